#include "headflow/model/prior.hpp"

#include <fmt/format.h>

#include <cmath>
#include <string>
#include <utility>

#include "core/eigen.hpp"
#include "headflow/core/error.hpp"

namespace headflow {
namespace {

void require_probabilities(const Vector& weights, Eigen::Index count, const char* what) {
  if (weights.size() != count)
    throw InputError(
        fmt::format("model.weights must have one weight for each of the {} {}, found {}", count,
                    what, weights.size()));
  if (weights.minCoeff() < 0) throw InputError("model.weights must be >= 0");
  if (std::abs(weights.sum() - 1) > 1e-9)
    throw InputError("model.weights must sum to one, found " + std::to_string(weights.sum()));
}

/// The symmetric root of a covariance; `name` is the key's.
Matrix root_of(const Matrix& covariance, const std::string& name) {
  const double scale = covariance.cwiseAbs().maxCoeff();
  Eigen::Index i = 0, j = 0;
  if ((covariance - covariance.transpose()).cwiseAbs().maxCoeff(&i, &j) > 1e-12 * scale)
    throw InputError(name + " must be symmetric, but has " + std::to_string(covariance(i, j)) +
                     " and " + std::to_string(covariance(j, i)) + " at mirrored places");
  const SymmetricEigen eigen(covariance);
  if (eigen.values.minCoeff() < -1e-9 * scale)
    throw InputError(name + " must be positive semi-definite, but has the eigenvalue " +
                     std::to_string(eigen.values.minCoeff()));
  const Vector root = eigen.values.cwiseMax(0).cwiseSqrt();
  const Matrix vectors = eigen.vectors;
  return vectors * root.asDiagonal() * vectors.transpose();
}

Prior single_gaussian(const Vector& mean, Matrix factor) {
  return Prior(MixtureLaw(mean.transpose(), Vector::Ones(1), {std::move(factor)}));
}

}  // namespace

Prior flipping_spike(double nu_1, double nu_2) {
  Matrix atoms(2, 2);
  atoms << std::sqrt(nu_1), std::sqrt(nu_2), std::sqrt(nu_1), -std::sqrt(nu_2);
  return Prior(MixtureLaw(atoms, Vector::Constant(2, 0.5)));
}

Prior canonical_spikes(int features, double nu) {
  return Prior(MixtureLaw(std::sqrt(nu) * Matrix::Identity(features, features),
                          Vector::Constant(features, 1.0 / features)));
}

Prior anisotropic_gaussian(int features, double nu_1, double nu_F) {
  Vector variances = Vector::Constant(1, nu_1);
  if (features > 1) variances = Vector::LinSpaced(features, nu_1, nu_F);
  return single_gaussian(Vector::Zero(features), variances.cwiseSqrt().asDiagonal());
}

Prior discrete_prior(const Matrix& atoms, const Vector& weights) {
  require_probabilities(weights, atoms.rows(), "atoms");
  return Prior(MixtureLaw(atoms, weights));
}

Prior gaussian_prior(const Vector& mean, const Matrix& covariance) {
  return single_gaussian(mean, root_of(covariance, "model.covariance"));
}

Prior mixture_prior(const Matrix& means, const std::vector<Matrix>& covariances,
                    const Vector& weights) {
  require_probabilities(weights, means.rows(), "components");
  std::vector<Matrix> factors;
  for (std::size_t n = 0; n < covariances.size(); ++n)
    factors.push_back(
        covariances[n].isZero(0)
            ? Matrix(means.cols(), 0)
            : root_of(covariances[n], fmt::format("model.covariances, number {},", n + 1)));
  return Prior(MixtureLaw(means, weights, std::move(factors)));
}

Prior product_prior(const std::vector<FeatureLaw>& laws, const Vector& nu, const Vector& mean) {
  return Prior(ProductLaw{laws, nu.cwiseSqrt().asDiagonal(), mean});
}

}  // namespace headflow
