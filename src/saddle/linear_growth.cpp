#include "headflow/saddle/linear_growth.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <span>
#include <utility>

#include "core/bisect.hpp"
#include "headflow/core/keys.hpp"
#include "headflow/core/statistics.hpp"
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
              Control& control)
      : loss_(loss),
        manifold_(manifold),
        activation_(manifold.model().activation),
        control_(control),
        point_(start),
        pattern_(alternating(manifold.model().shape.heads)),
        F_(manifold.model().shape.features),
        C_(manifold.head_coordinate_count()),
        trained_size_(start.trained_size(activation_)),
        directions_(static_cast<std::size_t>(C_), Parameters::zero(manifold.model().shape)) {
    for (int c = 0; c < C_; ++c) {
      Parameters& direction = directions_[static_cast<std::size_t>(c)];
      if (c < F_)
        direction.K.col(c) = pattern_;
      else
        direction.b = pattern_;
    }
  }

  std::size_t trained_size() const { return trained_size_; }
  std::size_t amplitudes(int c) const {
    return trained_size_ + static_cast<std::size_t>(c * (C_ + 1));
  }
  std::size_t exponent(int c) const { return amplitudes(c) + static_cast<std::size_t>(C_); }

  std::vector<double> start() const {
    std::vector<double> y(amplitudes(C_), 0.0);
    point_.pack(activation_, y);
    for (int c = 0; c < C_; ++c) y[amplitudes(c) + static_cast<std::size_t>(c)] = 1;
    return y;
  }

  void operator()(std::span<const double> y, std::span<double> slope) {
    point_.unpack(activation_, y.subspan(0, trained_size_));
    const LossTangents found = loss_.differentiate(point_, directions_, control_);
    last_loss_ = found.at.loss;
    manifold_.projection(found.at.gradient).pack(activation_, slope.subspan(0, trained_size_));
    for (std::size_t i = 0; i < trained_size_; ++i) slope[i] = -slope[i];
    const Matrix B = pattern_block(found.products);
    for (int c = 0; c < C_; ++c) {
      const Eigen::Map<const Vector> amplitude(&y[amplitudes(c)], C_);
      const Vector change = -B * amplitude;
      const double rate = amplitude.dot(change) / amplitude.squaredNorm();
      Eigen::Map<Vector>(&slope[amplitudes(c)], C_) = change - rate * amplitude;
      slope[exponent(c)] = rate;
    }
  }

  /// Of the last call.
  double last_loss() const { return last_loss_; }
  double rounding() const { return loss_.rounding(); }

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
  double last_loss_ = 0;
  const UnspecializedManifold& manifold_;
  Activation activation_;
  Control& control_;
  Parameters point_;
  Vector pattern_;
  int F_, C_;
  std::size_t trained_size_;
  std::vector<Parameters> directions_;
};

using Nodes = std::vector<LinearGrowth::Node>;

/// The flow, step by step. The list of nodes only grows, so that snapshots share it.
class ManifoldFlow {
 public:
  ManifoldFlow(PopulationLoss& loss, const UnspecializedManifold& manifold, const Parameters& start,
               const LinearGrowthOptions& options, Control& control)
      : F_(manifold.model().shape.features),
        C_(manifold.head_coordinate_count()),
        tangents_(loss, manifold, start, control),
        y_(tangents_.start()),
        slope_(y_.size()),
        stepper_(
            options.stepper(),
            [this](double, std::span<const double> y, std::span<double> f) { tangents_(y, f); }, y_,
            options.end_time) {}

  void begin(const Snapshot& from) {
    if (from.empty()) return add_node();
    stepper_.restore(from);
    y_ = stepper_.state();
    restore_nodes(from.list("nodes"));
    gradient_norm_ = from.number("gradient_norm");
    loss_ = from.number("loss");
  }

  /// The loss falls along this flow, too: a step that raises it is rejected.
  void step() {
    stepper_.step([this] {
      stepper_.end_slope();
      return tangents_.last_loss() <= loss_ + tangents_.rounding() * std::abs(loss_);
    });
    y_ = stepper_.state();
    add_node();
  }

  double time() const { return stepper_.time(); }
  double gradient_norm() const { return gradient_norm_; }
  const Nodes& nodes() const { return *nodes_; }
  std::span<const double> trained() const {
    return std::span(y_).subspan(0, tangents_.trained_size());
  }

  /// Makes the snapshot of now, whenever it is called.
  std::function<Snapshot()> snapshot() const {
    return [nodes = nodes_, count = nodes_->size(), gradient_norm = gradient_norm_, loss = loss_,
            snapshot = stepper_.snapshot(true)] {
      std::vector<double> numbers;
      const auto add = [&](const auto& values) {
        numbers.insert(numbers.end(), values.data(), values.data() + values.size());
      };
      for (const LinearGrowth::Node& node : std::span(*nodes).first(count)) {
        numbers.push_back(node.time);
        add(node.exponent);
        add(node.rate);
        add(node.direction);
      }
      Snapshot all = snapshot;
      all.put("nodes", std::move(numbers));
      all.put("gradient_norm", gradient_norm);
      all.put("loss", loss);
      return all;
    };
  }

 private:
  void add_node() {
    tangents_(y_, slope_);
    loss_ = tangents_.last_loss();
    LinearGrowth::Node node{stepper_.time(), Vector(C_), Vector(C_), Matrix(C_, F_)};
    for (int c = 0; c < C_; ++c) {
      const Eigen::Map<const Vector> amplitude(&y_[tangents_.amplitudes(c)], C_);
      node.direction.row(c) = amplitude.normalized().head(F_);
      node.exponent[c] = y_[tangents_.exponent(c)];
      node.rate[c] = slope_[tangents_.exponent(c)];
    }
    nodes_->push_back(std::move(node));
    gradient_norm_ =
        Eigen::Map<const Vector>(slope_.data(), static_cast<Eigen::Index>(tangents_.trained_size()))
            .norm();
  }

  void restore_nodes(const std::vector<double>& numbers) {
    const double* next = numbers.data();
    const auto take = [&](auto& values) {
      std::copy_n(next, values.size(), values.data());
      next += values.size();
    };
    while (next < numbers.data() + numbers.size()) {
      LinearGrowth::Node node{*next++, Vector(C_), Vector(C_), Matrix(C_, F_)};
      take(node.exponent);
      take(node.rate);
      take(node.direction);
      nodes_->push_back(std::move(node));
    }
  }

  int F_, C_;
  TangentFlow tangents_;
  std::vector<double> y_, slope_;
  TimeStepper stepper_;
  std::shared_ptr<Nodes> nodes_ = std::make_shared<Nodes>();
  double gradient_norm_ = 0, loss_ = 0;
};

}  // namespace

void LinearGrowthOptions::declare_keys(KeyVisitor& visitor) {
  visitor.key(
      {.name = "gradient_tolerance",
       .help = "gradient norm on the manifold at which it ends; Newton's method goes on from there",
       .change = Change::allowed},
      gradient_tolerance, positive);
}

LinearGrowth follow_manifold(PopulationLoss& loss, const UnspecializedManifold& manifold,
                             const Parameters& start, const LinearGrowthOptions& options,
                             Control& control,
                             const std::function<void(const std::function<Snapshot()>&)>& step,
                             const Snapshot& from) {
  Parameters end = manifold.projection(start);
  ManifoldFlow flow(loss, manifold, end, options, control);
  flow.begin(from);
  while (!(flow.gradient_norm() <= options.gradient_tolerance) && flow.time() < options.end_time) {
    flow.step();
    if (step) step(flow.snapshot());
  }
  end.unpack(manifold.model().activation, flow.trained());
  return {flow.nodes(), end, flow.gradient_norm(), options.gradient_tolerance,
          manifold.model().spike_factor};
}

LinearGrowth::Node LinearGrowth::at(double t) const {
  const auto past = std::upper_bound(nodes_.begin(), nodes_.end(), t,
                                     [](double x, const Node& node) { return x < node.time; });
  const Node& before = *(past - 1);
  Node node = before;
  node.time = t;
  if (past == nodes_.end()) {
    node.exponent += (t - before.time) * before.rate;
    if (t > before.time && !at_rest()) node.exponent.setConstant(never);
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

Vector LinearGrowth::log_spread(const Matrix& heads, double t) const {
  const Node node = at(t);
  const Matrix direction = node.direction * spike_factor_.transpose();
  Vector logs(direction.cols());
  for (Eigen::Index f = 0; f < logs.size(); ++f) {
    // The largest contribution is taken out, so that none over- or underflows beside it.
    const Vector exponents = node.exponent.array() + direction.col(f).array().abs().log();
    const double top = exponents.maxCoeff();
    const Vector growth = (exponents.array() - top).exp() * direction.col(f).array().sign();
    logs[f] = std::log(spread_over_heads(heads * growth)[0]) + top;
  }
  return logs;
}

double LinearGrowth::time_of(const Matrix& heads, int feature, double level) const {
  const auto above = [&](double t) { return log_spread(heads, t)[feature] >= std::log(level); };
  if (above(0)) return 0;
  double before = 0, after = 0;
  for (const Node& node : nodes_) {
    before = after;
    after = node.time;
    if (above(after)) break;
  }
  for (double ahead = 1 + end_time(); !above(after); ahead *= 2) {
    if (ahead > 1e9 || !at_rest()) return never;
    before = after;
    after = end_time() + ahead;
  }
  return bisect(before, after, above);
}

}  // namespace headflow
