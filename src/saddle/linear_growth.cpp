#include "headflow/saddle/linear_growth.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/bisect.hpp"
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
/// is trained (packed), then for each c all C amplitudes and an exponent.
class TangentFlow {
 public:
  TangentFlow(PopulationLoss& loss, const UnspecializedManifold& manifold, const Parameters& start,
              const std::function<void()>& interrupt)
      : loss_(loss),
        manifold_(manifold),
        interrupt_(interrupt),
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
  std::size_t amplitudes(int c) const { return trained_ + static_cast<std::size_t>(c * (C_ + 1)); }
  std::size_t exponent(int c) const { return amplitudes(c) + static_cast<std::size_t>(C_); }

  std::vector<double> start() const {
    std::vector<double> y(amplitudes(C_), 0.0);
    point_.pack(manifold_.activation(), y);
    for (int c = 0; c < C_; ++c) y[amplitudes(c) + static_cast<std::size_t>(c)] = 1;
    return y;
  }

  void operator()(std::span<const double> y, std::span<double> slope) {
    point_.unpack(manifold_.activation(), y.subspan(0, trained_));
    const LossTangents found = loss_.differentiate(point_, directions_, interrupt_);
    manifold_.projection(found.at.gradient)
        .pack(manifold_.activation(), slope.subspan(0, trained_));
    for (std::size_t i = 0; i < trained_; ++i) slope[i] = -slope[i];
    const Matrix B = pattern_block(found.products);
    for (int c = 0; c < C_; ++c) {
      const Eigen::Map<const Vector> amplitude(&y[amplitudes(c)], C_);
      const Vector change = -B * amplitude;
      const double rate = amplitude.dot(change) / amplitude.squaredNorm();
      Eigen::Map<Vector>(&slope[amplitudes(c)], C_) = change - rate * amplitude;
      slope[exponent(c)] = rate;
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
  const std::function<void()>& interrupt_;
  Parameters point_;
  Vector pattern_;
  int F_, C_;
  std::size_t trained_;
  std::vector<Parameters> directions_;
};

}  // namespace

LinearGrowth::LinearGrowth(PopulationLoss& loss, const UnspecializedManifold& manifold,
                           const Start& start, const LinearGrowthOptions& options,
                           const LinearGrowthObserver& observer, const Snapshot& from)
    : spike_factor_(start.spike_factor),
      tolerance_(options.gradient_tolerance),
      end_(manifold.projection(start.parameters)) {
  const int F = manifold.shape().features, C = manifold.own_numbers();
  TangentFlow flow(loss, manifold, end_, observer.interrupt);
  std::vector<double> y = flow.start();
  std::vector<double> slope(y.size());
  TimeStepper stepper(
      {.tolerance = options.tolerance, .prefix = "saddle_"},
      [&](double, std::span<const double> state, std::span<double> f) { flow(state, f); }, y,
      options.end_time);
  const auto add_node = [&](double t) {
    flow(y, slope);
    Node node{t, Vector(C), Vector(C), Matrix(C, F)};
    for (int c = 0; c < C; ++c) {
      const Eigen::Map<const Vector> amplitude(&y[flow.amplitudes(c)], C);
      node.direction.row(c) = amplitude.normalized().head(F);
      node.exponent[c] = y[flow.exponent(c)];
      node.rate[c] = slope[flow.exponent(c)];
    }
    nodes_.push_back(std::move(node));
    gradient_norm_ =
        Eigen::Map<const Vector>(slope.data(), static_cast<Eigen::Index>(flow.trained())).norm();
  };
  if (from.empty()) {
    add_node(0);
  } else {
    stepper.restore(from);
    restore_nodes(from.list("nodes"), C, F);
    gradient_norm_ = from.number("gradient_norm");
  }
  while (!at_rest() && stepper.time() < options.end_time) {
    stepper.step();
    y = stepper.state();
    add_node(stepper.time());
    observer.step(with_nodes(stepper.snapshot(true)));
  }
  y = stepper.state();
  end_.unpack(manifold.activation(), std::span(y).subspan(0, flow.trained()));
}

Snapshot LinearGrowth::with_nodes(Snapshot snapshot) const {
  std::vector<double> numbers;
  const auto add = [&](const auto& values) {
    numbers.insert(numbers.end(), values.data(), values.data() + values.size());
  };
  for (const Node& node : nodes_) {
    numbers.push_back(node.time);
    add(node.exponent);
    add(node.rate);
    add(node.direction);
  }
  snapshot.put("nodes", std::move(numbers));
  snapshot.put("gradient_norm", gradient_norm_);
  return snapshot;
}

void LinearGrowth::restore_nodes(const std::vector<double>& numbers, int C, int F) {
  const double* next = numbers.data();
  const auto take = [&](auto& values) {
    std::copy_n(next, values.size(), values.data());
    next += values.size();
  };
  while (next < numbers.data() + numbers.size()) {
    Node node{*next++, Vector(C), Vector(C), Matrix(C, F)};
    take(node.exponent);
    take(node.rate);
    take(node.direction);
    nodes_.push_back(std::move(node));
  }
}

LinearGrowth::Node LinearGrowth::at(double t) const {
  const auto past = std::upper_bound(nodes_.begin(), nodes_.end(), t,
                                     [](double x, const Node& node) { return x < node.time; });
  const Node& before = *(past - 1);
  Node node = before;
  node.time = t;
  if (past == nodes_.end()) {
    const double unknown = std::numeric_limits<double>::quiet_NaN();
    node.exponent += (t - before.time) * before.rate;
    if (t > before.time && !at_rest()) node.exponent.setConstant(unknown);
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

Vector LinearGrowth::log_spread(const Matrix& own, double t) const {
  const Node node = at(t);
  const Matrix direction = node.direction * spike_factor_.transpose();
  Vector logs(direction.cols());
  for (Eigen::Index f = 0; f < logs.size(); ++f) {
    // The largest contribution is taken out, so that none over- or underflows beside it.
    const Vector exponents = node.exponent.array() + direction.col(f).array().abs().log();
    const double top = exponents.maxCoeff();
    const Vector growth = (exponents.array() - top).exp() * direction.col(f).array().sign();
    logs[f] = std::log(spread_over_heads(own * growth)[0]) + top;
  }
  return logs;
}

double LinearGrowth::time_of(const Matrix& own, int feature, double level) const {
  const auto above = [&](double t) { return log_spread(own, t)[feature] >= std::log(level); };
  if (above(0)) return 0;
  double before = 0, after = 0;
  for (const Node& node : nodes_) {
    before = after;
    after = node.time;
    if (above(after)) break;
  }
  for (double ahead = 1 + end_time(); !above(after); ahead *= 2) {
    if (ahead > 1e9 || !at_rest()) return std::numeric_limits<double>::quiet_NaN();
    before = after;
    after = end_time() + ahead;
  }
  return bisect(before, after, above);
}

}  // namespace headflow
