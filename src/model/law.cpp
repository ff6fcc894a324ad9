#include "headflow/model/law.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace headflow {

DiscreteLaw::DiscreteLaw(Matrix atoms_, Vector weights_)
    : atoms(std::move(atoms_)), weights(std::move(weights_)) {
  cumulative_.resize(weights.size());
  std::partial_sum(weights.begin(), weights.end(), cumulative_.begin());
}

/// True when the image has the same atoms with the same weights, in any order.
bool DiscreteLaw::invariant_under_signs(const Vector& signs) const {
  const Matrix flipped = atoms * signs.asDiagonal();
  const double tolerance = 1e-12 * (1 + atoms.cwiseAbs().maxCoeff());
  for (Eigen::Index i = 0; i < flipped.rows(); ++i) {
    double weight = 0;
    double mirrored = 0;
    for (Eigen::Index j = 0; j < atoms.rows(); ++j) {
      if ((atoms.row(j) - flipped.row(i)).cwiseAbs().maxCoeff() <= tolerance) weight += weights[j];
      if ((flipped.row(j) - flipped.row(i)).cwiseAbs().maxCoeff() <= tolerance)
        mirrored += weights[j];
    }
    if (std::abs(weight - mirrored) > 1e-12) return false;
  }
  return true;
}

void DiscreteLaw::draw(std::span<const double> uniforms, std::span<const double>,
                       std::span<double> theta) const {
  const auto past = std::upper_bound(cumulative_.begin(), cumulative_.end(), uniforms[0]);
  const auto row = std::min<std::ptrdiff_t>(past - cumulative_.begin(),
                                            static_cast<std::ptrdiff_t>(cumulative_.size()) - 1);
  Eigen::Map<Vector>(theta.data(), features()) = atoms.row(row);
}

bool GaussianLaw::invariant_under_signs(const Vector& signs) const {
  const Matrix covariance = factor * factor.transpose();
  const Matrix flipped = signs.asDiagonal() * covariance * signs.asDiagonal();
  const Vector mirrored = signs.asDiagonal() * centre;
  const double tolerance = 1e-12 * (1 + covariance.cwiseAbs().maxCoeff());
  return (flipped - covariance).cwiseAbs().maxCoeff() <= tolerance &&
         (mirrored - centre).cwiseAbs().maxCoeff() <= tolerance;
}

void GaussianLaw::draw(std::span<const double>, std::span<const double> normals,
                       std::span<double> theta) const {
  Eigen::Map<Vector>(theta.data(), features()).noalias() =
      centre + factor * Eigen::Map<const Vector>(normals.data(), features());
}

}  // namespace headflow
