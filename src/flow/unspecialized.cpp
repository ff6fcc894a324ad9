#include "headflow/flow/unspecialized.hpp"

#include <algorithm>

namespace headflow {
namespace {

constexpr int all_subsets = 12;  // of so many features are tried, of more only single ones and all

}  // namespace

UnspecializedManifold::UnspecializedManifold(const Shape& shape, const Activation& activation,
                                             const Prior& signal)
    : shape_(shape), activation_(activation) {
  const int F = std::min(shape.features, 32);
  const unsigned every = F == 32 ? ~0u : (1u << F) - 1;
  const auto try_flips = [&](unsigned flips) {
    if (signal.invariant_under_flips(flips)) flips_.push_back(flips);
  };
  if (F <= all_subsets) {
    for (unsigned flips = 1; flips <= every; ++flips) try_flips(flips);
  } else {
    for (int f = 0; f < F; ++f) try_flips(1u << f);
    try_flips(every);
  }
}

Parameters UnspecializedManifold::projection(const Parameters& parameters) const {
  const int H = shape_.heads, F = shape_.features;
  Parameters result = parameters;
  Vector common = parameters.K.leftCols(F).colwise().mean();
  for (int f = 0; f < F; ++f)
    if (std::any_of(flips_.begin(), flips_.end(),
                    [&](unsigned flips) { return f < 32 && (flips >> f & 1u) != 0; }))
      common[f] = 0;
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
    Vector packed(static_cast<Eigen::Index>(direction.trained_size(activation_)));
    direction.pack(activation_, {packed.data(), static_cast<std::size_t>(packed.size())});
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

bool UnspecializedManifold::coupled(int c, int other) const {
  const auto odd = [](unsigned flips, int f) { return f < 32 && (flips >> f & 1u) != 0; };
  return std::none_of(flips_.begin(), flips_.end(),
                      [&](unsigned flips) { return odd(flips, c) != odd(flips, other); });
}

}  // namespace headflow
