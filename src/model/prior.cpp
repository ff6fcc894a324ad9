#include "headflow/model/prior.hpp"

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <numeric>

#include "headflow/core/error.hpp"

namespace headflow {
namespace {

/// True when `flipped` has the same atoms with the same weights as `law`, in any order.
bool same_atoms(const DiscreteLaw& law, const Matrix& flipped) {
  const double tolerance = 1e-12 * (1 + law.atoms.cwiseAbs().maxCoeff());
  for (Eigen::Index i = 0; i < flipped.rows(); ++i) {
    double weight = 0;
    double mirrored = 0;
    for (Eigen::Index j = 0; j < law.atoms.rows(); ++j) {
      if ((law.atoms.row(j) - flipped.row(i)).cwiseAbs().maxCoeff() <= tolerance)
        weight += law.weights[j];
      if ((flipped.row(j) - flipped.row(i)).cwiseAbs().maxCoeff() <= tolerance)
        mirrored += law.weights[j];
    }
    if (std::abs(weight - mirrored) > 1e-12) return false;
  }
  return true;
}

Vector flip_signs(int features, unsigned mask) {
  Vector signs = Vector::Ones(features);
  for (int f = 0; f < std::min(features, 32); ++f)
    if (mask >> f & 1u) signs[f] = -1;
  return signs;
}

template <class... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};

}  // namespace

Prior::Prior(Law law) : law_(std::move(law)) {
  if (const auto* discrete = std::get_if<DiscreteLaw>(&law_)) {
    cumulative_.resize(discrete->weights.size());
    std::partial_sum(discrete->weights.begin(), discrete->weights.end(), cumulative_.begin());
  }
}

int Prior::features() const {
  return std::visit(
      Overloaded{[](const DiscreteLaw& d) { return static_cast<int>(d.atoms.cols()); },
                 [](const GaussianLaw& g) { return static_cast<int>(g.mean.size()); }},
      law_);
}

Vector Prior::mean() const {
  return std::visit(
      Overloaded{[](const DiscreteLaw& d) -> Vector { return d.atoms.transpose() * d.weights; },
                 [](const GaussianLaw& g) -> Vector { return g.mean; }},
      law_);
}

Matrix Prior::second_moment() const {
  return std::visit(Overloaded{[](const DiscreteLaw& d) -> Matrix {
                                 return d.atoms.transpose() * d.weights.asDiagonal() * d.atoms;
                               },
                               [](const GaussianLaw& g) -> Matrix {
                                 return g.factor * g.factor.transpose() +
                                        g.mean * g.mean.transpose();
                               }},
                    law_);
}

Prior Prior::transformed(const Matrix& A) const {
  return std::visit(Overloaded{[&](const DiscreteLaw& d) {
                                 return Prior(DiscreteLaw{d.atoms * A.transpose(), d.weights});
                               },
                               [&](const GaussianLaw& g) {
                                 return Prior(GaussianLaw{A * g.mean, A * g.factor});
                               }},
                    law_);
}

bool Prior::invariant_under_flips(unsigned mask) const {
  return invariant_under_signs(flip_signs(features(), mask));
}

bool Prior::invariant_under_signs(const Vector& signs) const {
  return std::visit(
      Overloaded{[&](const DiscreteLaw& d) { return same_atoms(d, d.atoms * signs.asDiagonal()); },
                 [&](const GaussianLaw& g) {
                   const Matrix covariance = g.factor * g.factor.transpose();
                   const Matrix flipped = signs.asDiagonal() * covariance * signs.asDiagonal();
                   const Vector mirrored = signs.asDiagonal() * g.mean;
                   const double tolerance = 1e-12 * (1 + covariance.cwiseAbs().maxCoeff());
                   return (flipped - covariance).cwiseAbs().maxCoeff() <= tolerance &&
                          (mirrored - g.mean).cwiseAbs().maxCoeff() <= tolerance;
                 }},
      law_);
}

int Prior::draw_dimension() const {
  return std::holds_alternative<DiscreteLaw>(law_) ? 1 : features();
}

void Prior::draw(std::span<const double> uniforms, std::span<const double> normals,
                 std::span<double> theta) const {
  Eigen::Map<Vector> out(theta.data(), static_cast<Eigen::Index>(theta.size()));
  if (const auto* discrete = std::get_if<DiscreteLaw>(&law_)) {
    const auto past = std::upper_bound(cumulative_.begin(), cumulative_.end(), uniforms[0]);
    const auto row = std::min<std::ptrdiff_t>(past - cumulative_.begin(),
                                              static_cast<std::ptrdiff_t>(cumulative_.size()) - 1);
    out = discrete->atoms.row(row);
  } else {
    const auto& gaussian = std::get<GaussianLaw>(law_);
    out.noalias() = gaussian.mean +
                    gaussian.factor * Eigen::Map<const Vector>(
                                          normals.data(), static_cast<Eigen::Index>(theta.size()));
  }
}

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
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(covariance);
  if (solver.eigenvalues().minCoeff() < -1e-9 * scale)
    throw InputError("model.covariance must be positive semi-definite, but has the eigenvalue " +
                     std::to_string(solver.eigenvalues().minCoeff()));
  const Vector root = solver.eigenvalues().cwiseMax(0).cwiseSqrt();
  const Matrix vectors = solver.eigenvectors();
  return Prior(GaussianLaw{mean, vectors * root.asDiagonal() * vectors.transpose()});
}

}  // namespace headflow
