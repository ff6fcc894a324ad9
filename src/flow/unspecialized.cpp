#include "headflow/flow/unspecialized.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "headflow/flow/stages.hpp"

namespace headflow {
namespace {

constexpr int all_subsets = 12;  // of so many features are tried, of more only single ones and all

/// Alternating signs over heads, orthogonal to (1, .., 1), normalised.
Vector alternating(int heads) {
  Vector e(heads);
  for (int h = 0; h < heads; ++h) e[h] = h % 2 == 0 ? 1 : -1;
  return (e.array() - e.mean()).matrix().normalized();
}

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

LinearGrowth::LinearGrowth(PopulationLoss& loss, const UnspecializedManifold& manifold,
                           const Start& start, const LinearGrowthOptions& options,
                           const std::function<void()>& poll)
    : spike_factor_(start.spike_factor), end_(manifold.projection(start.parameters)) {
  const auto& [L, H, F] = manifold.shape();
  const Activation& activation = manifold.activation();
  const int C = manifold.own_numbers();
  const Vector e = alternating(H);
  const std::size_t n = end_.trained_size(activation);
  // The state: parameters, then for each feature a unit amplitude (C) and the exponent.
  const auto stride = static_cast<std::size_t>(C + 1);
  std::vector<double> y(n + stride * static_cast<std::size_t>(F), 0.0);
  end_.pack(activation, y);
  for (int f = 0; f < F; ++f)
    y[n + stride * static_cast<std::size_t>(f) + static_cast<std::size_t>(f)] = 1;
  std::vector<Parameters> directions(static_cast<std::size_t>(C),
                                     Parameters::zero(manifold.shape()));
  for (int c = 0; c < C; ++c) {
    Parameters& direction = directions[static_cast<std::size_t>(c)];
    if (c < F)
      direction.K.col(c) = e;
    else
      direction.b = e;
  }
  const auto right_hand_side = [&](double, std::span<const double> state, std::span<double> slope) {
    Parameters parameters = end_;
    parameters.unpack(activation, state.subspan(0, n));
    const LossTangents found = loss.differentiate(parameters, directions);
    manifold.projection(found.at.gradient).pack(activation, slope.subspan(0, n));
    for (std::size_t i = 0; i < n; ++i) slope[i] = -slope[i];
    Matrix B = Matrix::Zero(C, C);
    for (int c = 0; c < C; ++c)
      for (int other = 0; other < C; ++other) {
        const Parameters& product = found.products[static_cast<std::size_t>(c)];
        if (manifold.coupled(c, other))
          B(other, c) = other < F ? e.dot(product.K.col(other)) : e.dot(product.b);
      }
    for (std::size_t i = n; i < y.size(); i += stride) {
      const Eigen::Map<const Vector> amplitude(&state[i], C);
      const Vector change = -B * amplitude;
      const double rate = amplitude.dot(change) / amplitude.squaredNorm();
      Eigen::Map<Vector>(&slope[i], C) = change - rate * amplitude;
      slope[i + stride - 1] = rate;
    }
  };
  TimeStepper stepper({.tolerance = options.tolerance, .prefix = "saddle_"}, right_hand_side, y,
                      options.end_time);
  const auto add_node = [&](double t, const std::vector<double>& state,
                            const std::vector<double>& slope) {
    Node node{t, Vector(F), Vector(F), Matrix(F, F)};
    for (int f = 0; f < F; ++f) {
      const std::size_t first = n + stride * static_cast<std::size_t>(f);
      node.direction.row(f) = Eigen::Map<const Vector>(&state[first], C).normalized().head(F);
      node.exponent[f] = state[first + stride - 1];
      node.rate[f] = slope[first + stride - 1];
    }
    nodes_.push_back(std::move(node));
  };
  std::vector<double> slope(y.size());
  right_hand_side(0, y, slope);
  add_node(0, y, slope);
  const auto norm = [&] {
    return Eigen::Map<const Vector>(slope.data(), static_cast<Eigen::Index>(n)).norm();
  };
  while (norm() > options.gradient_tolerance && stepper.time() < options.end_time) {
    stepper.step();
    slope = stepper.last_slope();
    add_node(stepper.time(), stepper.state(), slope);
    if (poll) poll();
  }
  const std::vector<double> last = stepper.state();
  end_.unpack(activation, std::span(last).subspan(0, n));
  gradient_norm_ = norm();
}

LinearGrowth::Node LinearGrowth::at(double t) const {
  const auto past = std::upper_bound(nodes_.begin(), nodes_.end(), t,
                                     [](double x, const Node& node) { return x < node.time; });
  const Node& before = *(past - 1);
  Node node = before;
  node.time = t;
  if (past == nodes_.end()) {
    node.exponent += (t - before.time) * before.rate;
    return node;
  }
  // The cubic that has the exponents and rates of both ends.
  const double width = past->time - before.time;
  const double s = (t - before.time) / width;
  node.exponent = (1 + 2 * s) * (1 - s) * (1 - s) * before.exponent +
                  s * s * (3 - 2 * s) * past->exponent +
                  width * s * (1 - s) * ((1 - s) * before.rate - s * past->rate);
  node.direction = (1 - s) * before.direction + s * past->direction;
  return node;
}

Vector LinearGrowth::log_spread(const Matrix& k, double t) const {
  const Node node = at(t);
  const double top = node.exponent.maxCoeff();
  const Vector growth = (node.exponent.array() - top).exp();
  const Matrix grown = k * growth.asDiagonal() * node.direction * spike_factor_.transpose();
  return spread_over_heads(grown).array().log() + top;
}

double LinearGrowth::time_of(const Matrix& k, int feature, double level) const {
  const auto above = [&](double t) { return log_spread(k, t)[feature] >= std::log(level); };
  if (above(0)) return 0;
  double before = 0, after = 0;
  for (const Node& node : nodes_) {
    before = after;
    after = node.time;
    if (above(after)) break;
  }
  for (double ahead = 1 + end_time(); !above(after); ahead *= 2) {
    if (ahead > 1e9) return std::numeric_limits<double>::quiet_NaN();
    before = after;
    after = end_time() + ahead;
  }
  while (after - before > 1e-12 * after) {
    const double middle = 0.5 * (before + after);
    if (middle <= before || middle >= after) break;
    (above(middle) ? after : before) = middle;
  }
  return after;
}

}  // namespace headflow
