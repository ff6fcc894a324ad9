#include "headflow/model/prior.hpp"

#include <cmath>
#include <string>

#include "core/eigen.hpp"
#include "headflow/core/error.hpp"

namespace headflow {
Prior flipping_spike(double nu_1, double nu_2) {
  Matrix atoms(2, 2);
  atoms << std::sqrt(nu_1), std::sqrt(nu_2), std::sqrt(nu_1), -std::sqrt(nu_2);
  return Prior(DiscreteLaw{atoms, Vector::Constant(2, 0.5)});
}

Prior canonical_spikes(int features, double nu) {
  return Prior(DiscreteLaw{std::sqrt(nu) * Matrix::Identity(features, features),
                           Vector::Constant(features, 1.0 / features)});
}

Prior anisotropic_gaussian(int features, double nu_1, double nu_F) {
  Vector variances = Vector::Constant(1, nu_1);
  if (features > 1) variances = Vector::LinSpaced(features, nu_1, nu_F);
  return Prior(GaussianLaw{Vector::Zero(features), variances.cwiseSqrt().asDiagonal()});
}

Prior discrete_prior(const Matrix& atoms, const Vector& weights) {
  if (weights.size() != atoms.rows())
    throw InputError("model.weights must have one weight for each of the " +
                     std::to_string(atoms.rows()) + " atoms, found " +
                     std::to_string(weights.size()));
  if (weights.minCoeff() < 0) throw InputError("model.weights must be >= 0");
  if (std::abs(weights.sum() - 1) > 1e-9)
    throw InputError("model.weights must sum to one, found " + std::to_string(weights.sum()));
  return Prior(DiscreteLaw{atoms, weights});
}

Prior gaussian_prior(const Vector& mean, const Matrix& covariance) {
  const double scale = covariance.cwiseAbs().maxCoeff();
  Eigen::Index i = 0, j = 0;
  if ((covariance - covariance.transpose()).cwiseAbs().maxCoeff(&i, &j) > 1e-12 * scale)
    throw InputError("model.covariance must be symmetric, but has " +
                     std::to_string(covariance(i, j)) + " and " + std::to_string(covariance(j, i)) +
                     " at mirrored places");
  const SymmetricEigen eigen(covariance);
  if (eigen.values.minCoeff() < -1e-9 * scale)
    throw InputError("model.covariance must be positive semi-definite, but has the eigenvalue " +
                     std::to_string(eigen.values.minCoeff()));
  const Vector root = eigen.values.cwiseMax(0).cwiseSqrt();
  const Matrix vectors = eigen.vectors;
  return Prior(GaussianLaw{mean, vectors * root.asDiagonal() * vectors.transpose()});
}

}  // namespace headflow
