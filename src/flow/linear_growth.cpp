#include "headflow/flow/linear_growth.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "headflow/flow/stages.hpp"
#include "headflow/flow/time_stepper.hpp"

namespace headflow {
namespace {

/// Alternating signs over heads, orthogonal to (1, .., 1), normalised.
Vector alternating(int heads) {
  Vector e(heads);
  for (int h = 0; h < heads; ++h) e[h] = h % 2 == 0 ? 1 : -1;
  return (e.array() - e.mean()).matrix().normalized();
}

/// The right-hand side of both: the flow on the manifold, and for each feature the amplitudes that
/// have grown from it, kept at unit length beside the logarithm of their growth. The state is what
/// is trained (packed), then for each feature C amplitudes and an exponent.
class TangentFlow {
 public:
  TangentFlow(PopulationLoss& loss, const UnspecializedManifold& manifold, const Parameters& start)
      : loss_(loss),
        manifold_(manifold),
        point_(start),
        pattern_(alternating(manifold.shape().heads)),
        F_(manifold.shape().features),
        C_(manifold.own_numbers()),
        trained_(start.trained_size(manifold.activation())),
        directions_(static_cast<std::size_t>(C_), Parameters::zero(manifold.shape())) {
    for (int c = 0; c < C_; ++c) {
      Parameters& direction = directions_[static_cast<std::size_t>(c)];
      if (c < F_)
        direction.K.col(c) = pattern_;
      else
        direction.b = pattern_;
    }
  }

  std::size_t trained() const { return trained_; }
  std::size_t amplitudes(int feature) const {
    return trained_ + static_cast<std::size_t>(feature * (C_ + 1));
  }
  std::size_t exponent(int feature) const {
    return amplitudes(feature) + static_cast<std::size_t>(C_);
  }

  std::vector<double> start() const {
    std::vector<double> y(amplitudes(F_), 0.0);
    point_.pack(manifold_.activation(), y);
    for (int f = 0; f < F_; ++f) y[amplitudes(f) + static_cast<std::size_t>(f)] = 1;
    return y;
  }

  void operator()(std::span<const double> y, std::span<double> slope) {
    point_.unpack(manifold_.activation(), y.subspan(0, trained_));
    const LossTangents found = loss_.differentiate(point_, directions_);
    manifold_.projection(found.at.gradient)
        .pack(manifold_.activation(), slope.subspan(0, trained_));
    for (std::size_t i = 0; i < trained_; ++i) slope[i] = -slope[i];
    const Matrix B = pattern_block(found.products);
    for (int f = 0; f < F_; ++f) {
      const Eigen::Map<const Vector> amplitude(&y[amplitudes(f)], C_);
      const Vector change = -B * amplitude;
      const double rate = amplitude.dot(change) / amplitude.squaredNorm();
      Eigen::Map<Vector>(&slope[amplitudes(f)], C_) = change - rate * amplitude;
      slope[exponent(f)] = rate;
    }
  }

 private:
  /// B = e' (Hessian) e, without what the prior's symmetries forbid.
  Matrix pattern_block(const std::vector<Parameters>& products) const {
    Matrix B = Matrix::Zero(C_, C_);
    for (int c = 0; c < C_; ++c)
      for (int other = 0; other < C_; ++other) {
        const Parameters& product = products[static_cast<std::size_t>(c)];
        if (manifold_.coupled(c, other))
          B(other, c) = pattern_.dot(other < F_ ? Vector(product.K.col(other)) : product.b);
      }
    return B;
  }

  PopulationLoss& loss_;
  const UnspecializedManifold& manifold_;
  Parameters point_;
  Vector pattern_;
  int F_, C_;
  std::size_t trained_;
  std::vector<Parameters> directions_;
};

}  // namespace

LinearGrowth::LinearGrowth(PopulationLoss& loss, const UnspecializedManifold& manifold,
                           const Start& start, const LinearGrowthOptions& options,
                           const std::function<void()>& poll)
    : spike_factor_(start.spike_factor), end_(manifold.projection(start.parameters)) {
  const int F = manifold.shape().features;
  TangentFlow flow(loss, manifold, end_);
  std::vector<double> y = flow.start();
  std::vector<double> slope(y.size());
  TimeStepper stepper(
      {.tolerance = options.tolerance, .prefix = "saddle_"},
      [&](double, std::span<const double> state, std::span<double> f) { flow(state, f); }, y,
      options.end_time);
  const auto add_node = [&](double t) {
    Node node{t, Vector(F), Vector(F), Matrix(F, F)};
    for (int f = 0; f < F; ++f) {
      node.direction.row(f) =
          Eigen::Map<const Vector>(&y[flow.amplitudes(f)], manifold.own_numbers())
              .normalized()
              .head(F);
      node.exponent[f] = y[flow.exponent(f)];
      node.rate[f] = slope[flow.exponent(f)];
    }
    nodes_.push_back(std::move(node));
    gradient_norm_ =
        Eigen::Map<const Vector>(slope.data(), static_cast<Eigen::Index>(flow.trained())).norm();
  };
  flow(y, slope);
  add_node(0);
  while (gradient_norm_ > options.gradient_tolerance && stepper.time() < options.end_time) {
    stepper.step();
    y = stepper.state();
    slope = stepper.last_slope();
    add_node(stepper.time());
    if (poll) poll();
  }
  end_.unpack(manifold.activation(), std::span(y).subspan(0, flow.trained()));
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
