#include "headflow/model/law.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace headflow {

namespace {

/// Finds the rows of a matrix that are near a vector, by their projections on a direction.
class RowFinder {
 public:
  RowFinder(const Matrix& rows, double tolerance)
      : rows_(rows), tolerance_(tolerance), direction_(rows.cols()) {
    for (Eigen::Index f = 0; f < rows.cols(); ++f)
      direction_[f] = 1 + std::fmod(0.618034 * static_cast<double>(f + 1), 1.0);
    const Vector projections = rows * direction_;
    for (Eigen::Index i = 0; i < rows.rows(); ++i) sorted_.emplace_back(projections[i], i);
    std::sort(sorted_.begin(), sorted_.end());
  }

  /// The sum of the weights of the rows that are equal to x up to the tolerance.
  double weight_at(const Vector& x, const Vector& weights) const {
    const double place = x.dot(direction_), width = 2 * tolerance_ * direction_.sum();
    double sum = 0;
    for (auto one = std::lower_bound(sorted_.begin(), sorted_.end(),
                                     std::pair{place - width, Eigen::Index{0}});
         one != sorted_.end() && one->first <= place + width; ++one)
      if ((rows_.row(one->second).transpose() - x).cwiseAbs().maxCoeff() <= tolerance_)
        sum += weights[one->second];
    return sum;
  }

 private:
  const Matrix& rows_;
  double tolerance_;
  Vector direction_;
  std::vector<std::pair<double, Eigen::Index>> sorted_;  // projection, row
};

}  // namespace

DiscreteLaw::DiscreteLaw(Matrix atoms_, Vector weights_)
    : atoms(std::move(atoms_)), weights(std::move(weights_)) {
  cumulative_.resize(weights.size());
  std::partial_sum(weights.begin(), weights.end(), cumulative_.begin());
}

/// True when the image has the same atoms with the same weights, in any order.
bool DiscreteLaw::invariant_under_signs(const Vector& signs) const {
  const Matrix flipped = atoms * signs.asDiagonal();
  const double tolerance = 1e-12 * (1 + atoms.cwiseAbs().maxCoeff());
  const RowFinder here(atoms, tolerance), there(flipped, tolerance);
  for (Eigen::Index i = 0; i < flipped.rows(); ++i) {
    const Vector row = flipped.row(i);
    if (std::abs(here.weight_at(row, weights) - there.weight_at(row, weights)) > 1e-12)
      return false;
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
