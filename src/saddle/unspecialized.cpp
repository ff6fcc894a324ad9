#include "headflow/saddle/unspecialized.hpp"

#include <algorithm>

namespace headflow {
namespace {

constexpr int all_subsets = 12;  // of so many features are tried, of more only single ones and all

}  // namespace

UnspecializedManifold::UnspecializedManifold(const Shape& shape, const Activation& activation,
                                             const Prior& signal)
    : shape_(shape), activation_(activation) {
  const int F = shape.features;
  const auto try_signs = [&](const Vector& signs) {
    if (signal.invariant_under_signs(signs)) signs_.push_back(signs);
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
  const int H = shape_.heads, F = shape_.features;
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
  const Trained trained = trained_by(activation_);
  std::vector<Vector> columns;
  const auto add = [&](Parameters direction) {
    direction = projection(direction);
    const Vector packed = direction.packed(activation_);
    if (packed.norm() > 0) columns.push_back(packed.normalized());
  };
  Parameters unit = Parameters::zero(shape_);
  for (int f = 0; f < shape_.features; ++f) {
    unit.K.setZero();
    unit.K.col(f).setOnes();
    add(unit);
  }
  unit = Parameters::zero(shape_);
  unit.b.setOnes();
  if (trained.b) add(unit);
  unit = Parameters::zero(shape_);
  unit.v = 1;
  if (trained.v) add(unit);
  Matrix all(static_cast<Eigen::Index>(unit.trained_size(activation_)),
             static_cast<Eigen::Index>(columns.size()));
  for (std::size_t i = 0; i < columns.size(); ++i)
    all.col(static_cast<Eigen::Index>(i)) = columns[i];
  return all;
}

Matrix UnspecializedManifold::own_numbers(const Parameters& parameters) const {
  Matrix own(shape_.heads, own_numbers());
  own.leftCols(shape_.features) = parameters.K.leftCols(shape_.features);
  if (own.cols() > shape_.features) own.rightCols(1) = parameters.b;
  return own;
}

bool UnspecializedManifold::coupled(int c, int other) const {
  const auto sign = [&](const Vector& signs, int i) { return i < signs.size() ? signs[i] : 1.0; };
  return std::all_of(signs_.begin(), signs_.end(),
                     [&](const Vector& signs) { return sign(signs, c) == sign(signs, other); });
}

}  // namespace headflow
