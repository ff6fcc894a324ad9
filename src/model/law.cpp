#include "headflow/model/law.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "core/normal.hpp"

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

MixtureLaw::MixtureLaw(Matrix centres_, Vector weights_)
    : MixtureLaw(std::move(centres_), std::move(weights_), {}) {}

MixtureLaw::MixtureLaw(Matrix centres_, Vector weights_, std::vector<Matrix> factors_)
    : centres(std::move(centres_)), weights(std::move(weights_)), factors(std::move(factors_)) {
  factors.resize(static_cast<std::size_t>(centres.rows()), Matrix(centres.cols(), 0));
  atomic_ = std::all_of(factors.begin(), factors.end(),
                        [](const Matrix& factor) { return factor.cols() == 0; });
  chooses_ = atomic_ || centres.rows() > 1;
  cumulative_.resize(weights.size());
  std::partial_sum(weights.begin(), weights.end(), cumulative_.begin());
}

Matrix MixtureLaw::second_moment() const {
  Matrix sum = centres.transpose() * weights.asDiagonal() * centres;
  for (std::size_t n = 0; n < factors.size(); ++n)
    if (factors[n].cols() > 0)
      sum += weights[static_cast<Eigen::Index>(n)] * factors[n] * factors[n].transpose();
  return sum;
}

MixtureLaw MixtureLaw::transformed(const Matrix& A) const {
  std::vector<Matrix> images;
  for (const Matrix& factor : factors) images.emplace_back(A * factor);
  return {centres * A.transpose(), weights, std::move(images)};
}

/// True when the image has the same components with the same weights, in any order. A component is
/// a row: its centre and, unless all are atoms, its covariance.
bool MixtureLaw::invariant_under_signs(const Vector& signs) const {
  const Eigen::Index F = centres.cols();
  Matrix rows(centres.rows(), atomic_ ? F : F + F * F);
  rows.leftCols(F) = centres;
  for (Eigen::Index n = 0; n < rows.rows() && !atomic_; ++n) {
    const Matrix& factor = factors[static_cast<std::size_t>(n)];
    const Matrix covariance = factor * factor.transpose();
    rows.row(n).tail(F * F) = covariance.reshaped().transpose();
  }
  Vector flips(rows.cols());
  flips.head(F) = signs;
  if (!atomic_) flips.tail(F * F) = Matrix(signs * signs.transpose()).reshaped();
  const Matrix flipped = rows * flips.asDiagonal();
  const double tolerance = 1e-12 * (1 + rows.cwiseAbs().maxCoeff());
  const RowFinder here(rows, tolerance), there(flipped, tolerance);
  for (Eigen::Index i = 0; i < flipped.rows(); ++i) {
    const Vector row = flipped.row(i);
    if (std::abs(here.weight_at(row, weights) - there.weight_at(row, weights)) > 1e-12)
      return false;
  }
  return true;
}

void MixtureLaw::draw(std::span<const double> uniforms, std::span<const double> normals,
                      std::span<double> theta) const {
  std::ptrdiff_t n = 0;
  if (chooses_) {
    const auto past = std::upper_bound(cumulative_.begin(), cumulative_.end(), uniforms[0]);
    n = std::min<std::ptrdiff_t>(past - cumulative_.begin(), std::ssize(cumulative_) - 1);
  }
  Eigen::Map<Vector> out(theta.data(), features());
  out = centres.row(n);
  const Matrix& factor = factors[static_cast<std::size_t>(n)];
  if (factor.cols() > 0)
    out += factor * Eigen::Map<const Vector>(normals.data() + (chooses_ ? 1 : 0), features());
}

double FeatureLaw::draw(double uniform, double normal) const {
  switch (kind) {
    case Kind::signs:
      return uniform < 0.5 ? -1 : 1;
    case Kind::uniform:
      return std::sqrt(3.0) * (2 * uniform - 1);
    case Kind::sparse: {
      const double outer = std::min(uniform, 1 - uniform) / density;
      if (outer >= 0.5) return 0;
      return std::copysign(normal_quantile(outer) / std::sqrt(density), uniform - 0.5);
    }
    case Kind::gaussian:
      break;
  }
  return normal;
}

/// All laws of features are even, so a sign of a column of `mixing` does not matter.
bool ProductLaw::invariant_under_signs(const Vector& signs) const {
  const double tolerance = 1e-12 * (1 + mixing.cwiseAbs().maxCoeff());
  const auto same = [&](const Vector& a, const Vector& b) {
    return (a - b).cwiseAbs().maxCoeff() <= tolerance;
  };
  for (Eigen::Index f = 0; f < mixing.cols(); ++f) {
    const Vector column = mixing.col(f), image = signs.asDiagonal() * column;
    if (!same(image, column) && !same(image, -column)) return false;
  }
  return same(signs.asDiagonal() * centre, centre);
}

void ProductLaw::draw(std::span<const double> uniforms, std::span<const double> normals,
                      std::span<double> theta) const {
  Eigen::Map<Vector> out(theta.data(), features());
  out = centre;
  for (Eigen::Index f = 0; f < out.size(); ++f) {
    const auto i = static_cast<std::size_t>(f);
    out += laws[i].draw(uniforms[i], normals[i]) * mixing.col(f);
  }
}

}  // namespace headflow
