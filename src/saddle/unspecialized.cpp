#include "headflow/saddle/unspecialized.hpp"

#include <algorithm>
#include <cmath>

namespace headflow {
namespace {

constexpr int all_subsets = 12;  // of so many features are tried, of more only single ones and all

}  // namespace

UnspecializedManifold::UnspecializedManifold(const Model& model) : model_(model) {
  const int F = model.shape.features;
  const auto try_signs = [&](const Vector& signs) {
    if (model.signal.invariant_under_signs(signs)) signs_.push_back(signs);
  };
  if (F <= all_subsets) {
    for (int subset = 1; subset < 1 << F; ++subset) {
      Vector signs(F);
      for (int f = 0; f < F; ++f) signs[f] = subset >> f & 1 ? -1 : 1;
      try_signs(signs);
    }
  } else {
    for (int f = 0; f < F; ++f) try_signs(Vector::Ones(F) - 2 * Vector::Unit(F, f));
    try_signs(-Vector::Ones(F));
  }
}

Parameters UnspecializedManifold::projection(const Parameters& parameters) const {
  const auto& [L, H, F] = model_.shape;
  Parameters result = parameters;
  Vector common = parameters.K.leftCols(F).colwise().mean();
  for (int f = 0; f < F; ++f)
    if (!coupled(f, F)) common[f] = 0;
  result.K.leftCols(F).rowwise() = common.transpose();
  const auto u = parameters.K.rightCols(H);
  const double same = u.trace() / H;
  const double other = H == 1 ? 0 : (u.sum() - u.trace()) / (H * (H - 1));
  result.K.rightCols(H).setConstant(other);
  result.K.rightCols(H).diagonal().setConstant(same);
  result.b.setConstant(parameters.b.mean());
  return result;
}

Matrix UnspecializedManifold::directions_without_u() const {
  const Training& training = model_.training;
  std::vector<Vector> columns;
  const auto add = [&](Parameters direction) {
    direction = projection(direction);
    const Vector packed = direction.packed(training);
    if (packed.norm() > 0) columns.push_back(packed.normalized());
  };
  Parameters unit = Parameters::zero(model_.shape);
  for (int f = 0; f < model_.shape.features; ++f) {
    unit.K.setZero();
    unit.K.col(f).setOnes();
    add(unit);
  }
  unit = Parameters::zero(model_.shape);
  unit.b.setOnes();
  if (training.b > 0) add(unit);
  unit = Parameters::zero(model_.shape);
  unit.v = 1;
  if (training.v > 0) add(unit);
  Matrix all(static_cast<Eigen::Index>(unit.trained_size(training)),
             static_cast<Eigen::Index>(columns.size()));
  for (std::size_t i = 0; i < columns.size(); ++i)
    all.col(static_cast<Eigen::Index>(i)) = columns[i];
  return all;
}

int UnspecializedManifold::head_coordinate_count() const {
  const auto& [L, H, F] = model_.shape;
  return F + (model_.training.b > 0 ? 1 : 0) + (H > 2 ? 2 : 1);
}

Matrix UnspecializedManifold::head_coordinates(const Parameters& parameters) const {
  const auto& [L, H, F] = model_.shape;
  const auto u = parameters.K.rightCols(H);
  return head_coordinates(parameters.K.leftCols(F), u * u.transpose(), parameters.b);
}

Matrix UnspecializedManifold::head_coordinates(const Matrix& m, const Matrix& r,
                                               const Vector& b) const {
  const auto& [L, H, F] = model_.shape;
  Matrix coordinates(H, head_coordinate_count());
  coordinates.leftCols(F) = m;
  Eigen::Index next = F;
  if (model_.training.b > 0) coordinates.col(next++) = b;
  coordinates.col(next++) = r.diagonal();
  if (H > 2) coordinates.col(next) = (r.rowwise().sum() - r.diagonal()) / (H - 2);
  return coordinates;
}

bool UnspecializedManifold::coupled(int c, int other) const {
  const auto sign = [&](const Vector& signs, int i) { return i < signs.size() ? signs[i] : 1.0; };
  return std::all_of(signs_.begin(), signs_.end(),
                     [&](const Vector& signs) { return sign(signs, c) == sign(signs, other); });
}

}  // namespace headflow
