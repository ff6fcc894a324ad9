#include "headflow/saddle/linear_growth.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numbers>
#include <span>
#include <utility>

#include "core/bisect.hpp"
#include "headflow/core/keys.hpp"
#include "headflow/core/statistics.hpp"
#include "headflow/flow/drift.hpp"
#include "saddle/pattern_dynamics.hpp"

namespace headflow {
namespace {

constexpr int nodes_in_step = 4;
constexpr double nothing = -std::numeric_limits<double>::infinity();  // log of 0

/// The flow on the manifold: the drift, projected.
class ManifoldDrift {
 public:
  ManifoldDrift(PopulationLoss& loss, const UnspecializedManifold& manifold,
                const Parameters& start, double kappa, Control& control)
      : drift_(loss, start, kappa),
        manifold_(manifold),
        zero_(Parameters::zero(manifold.model().shape)),
        control_(control),
        y_(projected(drift_.packed(start))) {}

  const std::vector<double>& start() const { return y_; }
  Parameters unpacked(std::span<const double> y) const { return drift_.unpacked(y); }

  void operator()(std::span<const double> y, std::span<double> slope) {
    last_objective_ = drift_(0, y, slope, control_).objective();
    const auto on_manifold = projected(slope);
    std::copy(on_manifold.begin(), on_manifold.end(), slope.begin());
  }

  /// Of the last call.
  double last_objective() const { return last_objective_; }

 private:
  /// u or r, whichever is the state, has the same projection.
  std::vector<double> projected(std::span<const double> y) const {
    const Training& training = manifold_.model().training;
    Parameters parameters = zero_;
    parameters.unpack(training, y);
    std::vector<double> result(y.size());
    manifold_.projection(parameters).pack(training, result);
    return result;
  }

  Drift drift_;
  const UnspecializedManifold& manifold_;
  Parameters zero_;
  Control& control_;
  std::vector<double> y_;
  double last_objective_ = 0;
};

/// What has grown until now: from each coordinate alone the amplitudes, of unit length beside the
/// logarithm of their growth, and the covariance that noise has made, of unit trace beside its own.
struct Grown {
  Matrix amplitudes;  // C x C, one in each column
  Vector exponent;
  Matrix noise;  // C x C
  double log_noise = nothing;

  explicit Grown(Eigen::Index C)
      : amplitudes(Matrix::Identity(C, C)), exponent(Vector::Zero(C)), noise(Matrix::Zero(C, C)) {}

  Grown after(const Propagator& step) const {
    Grown next = *this;
    next.amplitudes = step.growth * amplitudes;
    for (Eigen::Index c = 0; c < exponent.size(); ++c) {
      const double norm = next.amplitudes.col(c).norm();
      next.amplitudes.col(c) /= norm;
      next.exponent[c] += std::log(norm);
    }
    const bool before = log_noise > nothing;  // whether there is some already
    const double unit = before ? log_noise : 0;
    next.noise = step.growth * noise * step.growth.transpose() + std::exp(-unit) * step.noise;
    const double trace = next.noise.trace();
    if (!(trace > 0)) return next;
    next.noise /= trace;
    next.log_noise = unit + std::log(trace);
    return next;
  }

  LinearGrowth::Node node(double time, const Matrix& spike_factor) const {
    const Eigen::Index F = spike_factor.rows();
    LinearGrowth::Node node{time, exponent, Matrix(exponent.size(), F), Vector(F)};
    node.direction = amplitudes.topRows(F).transpose() * spike_factor.transpose();
    const Matrix of_m = spike_factor * noise.topLeftCorner(F, F) * spike_factor.transpose();
    node.log_noise = of_m.diagonal().array().max(0.0).log() + (log_noise > nothing ? log_noise : 0);
    return node;
  }
};

using Nodes = std::vector<LinearGrowth::Node>;

/// The numbers of several matrices, one after the other, and back.
void add_numbers(std::vector<double>& numbers, const auto&... values) {
  (numbers.insert(numbers.end(), values.data(), values.data() + values.size()), ...);
}
void take_numbers(const double*& next, auto&... values) {
  ((std::copy_n(next, values.size(), values.data()), next += values.size()), ...);
}

/// The flow, step by step. The list of nodes only grows, so that snapshots share it.
class ManifoldFlow {
 public:
  ManifoldFlow(PopulationLoss& loss, const UnspecializedManifold& manifold, const Parameters& start,
               const LinearGrowthOptions& options, Control& control)
      : loss_(loss),
        manifold_(manifold),
        options_(options),
        control_(control),
        drift_(loss, manifold, start, options.kappa, control),
        grown_(manifold.head_coordinate_count()),
        stepper_(
            options.stepper(),
            [this](double, std::span<const double> y, std::span<double> f) { drift_(y, f); },
            drift_.start(), options.end_time) {}

  void begin(const Snapshot& from) {
    if (from.empty()) {
      nodes_->push_back(grown_.node(0, manifold_.model().spike_factor));
      return end_step();
    }
    stepper_.restore(from);
    const double* next = from.list("grown").data();
    take_numbers(next, grown_.amplitudes, grown_.exponent, grown_.noise);
    grown_.log_noise = *next;
    restore_nodes(from.list("nodes"));
    gradient_norm_ = from.number("gradient_norm");
    objective_ = from.number("loss");
  }

  /// Without noise the objective falls along this flow, too: a step that raises it is rejected.
  void step() {
    stepper_.step([this] {
      if (options_.kappa > 0) return true;
      stepper_.end_slope();
      return drift_.last_objective() <= objective_ + loss_.rounding() * std::abs(objective_);
    });
    end_step();
    const double begin = stepper_.previous_time(), h = stepper_.step_size();
    constexpr double off = 0.5 / std::numbers::sqrt3;
    const LinearNoise first = dynamics(begin + (0.5 - off) * h);
    const LinearNoise second = dynamics(begin + (0.5 + off) * h);
    Grown grown = grown_;
    for (int i = 1; i <= nodes_in_step; ++i) {
      const double part = static_cast<double>(i) / nodes_in_step;
      grown = grown_.after(propagator(first, second, options_.kappa, h, part));
      nodes_->push_back(grown.node(i == nodes_in_step ? stepper_.time() : begin + part * h,
                                   manifold_.model().spike_factor));
    }
    grown_ = std::move(grown);
  }

  double time() const { return stepper_.time(); }
  double gradient_norm() const { return gradient_norm_; }
  const Nodes& nodes() const { return *nodes_; }
  Parameters parameters() const { return drift_.unpacked(stepper_.state()); }

  /// Makes the snapshot of now, whenever it is called.
  std::function<Snapshot()> snapshot() const {
    return [nodes = nodes_, count = nodes_->size(), gradient_norm = gradient_norm_,
            objective = objective_, grown = grown_, snapshot = stepper_.snapshot(true)] {
      std::vector<double> numbers, state;
      for (const LinearGrowth::Node& node : std::span(*nodes).first(count)) {
        numbers.push_back(node.time);
        add_numbers(numbers, node.exponent, node.direction, node.log_noise);
      }
      add_numbers(state, grown.amplitudes, grown.exponent, grown.noise);
      state.push_back(grown.log_noise);
      Snapshot all = snapshot;
      all.put("nodes", std::move(numbers));
      all.put("grown", std::move(state));
      all.put("gradient_norm", gradient_norm);
      all.put("loss", objective);
      return all;
    };
  }

 private:
  void end_step() {
    const auto& slope = stepper_.end_slope();
    objective_ = drift_.last_objective();
    gradient_norm_ =
        Eigen::Map<const Vector>(slope.data(), static_cast<Eigen::Index>(slope.size())).norm();
  }

  LinearNoise dynamics(double t) {
    return pattern_dynamics(loss_, manifold_, drift_.unpacked(stepper_.interpolate(t)),
                            options_.kappa, control_);
  }

  void restore_nodes(const std::vector<double>& numbers) {
    const Eigen::Index C = grown_.exponent.size(), F = manifold_.model().shape.features;
    for (const double* next = numbers.data(); next < numbers.data() + numbers.size();) {
      LinearGrowth::Node node{*next++, Vector(C), Matrix(C, F), Vector(F)};
      take_numbers(next, node.exponent, node.direction, node.log_noise);
      nodes_->push_back(std::move(node));
    }
  }

  PopulationLoss& loss_;
  const UnspecializedManifold& manifold_;
  const LinearGrowthOptions& options_;
  Control& control_;
  ManifoldDrift drift_;
  Grown grown_;
  TimeStepper stepper_;
  std::shared_ptr<Nodes> nodes_ = std::make_shared<Nodes>();
  double gradient_norm_ = never, objective_ = never;  // until end_step()
};

/// The first from the line through both at s in [0, 1), which stays minus infinity where it is so.
auto on_line(const auto& before, const auto& after, double s) {
  return before
      .binaryExpr(after, [s](double a, double b) { return a == b ? a : (1 - s) * a + s * b; })
      .eval();
}

}  // namespace

void LinearGrowthOptions::declare_keys(KeyVisitor& visitor) {
  visitor.key({.name = "gradient_tolerance",
               .help = "gradient norm at which the flow on the manifold ends; Newton's method goes "
                       "on from there",
               .change = Change::allowed},
              gradient_tolerance, positive);
}

LinearGrowth follow_manifold(PopulationLoss& loss, const UnspecializedManifold& manifold,
                             const Parameters& start, const LinearGrowthOptions& options,
                             Control& control,
                             const std::function<void(const std::function<Snapshot()>&)>& step,
                             const Snapshot& from) {
  ManifoldFlow flow(loss, manifold, start, options, control);
  flow.begin(from);
  // A flow that begins at rest takes one step, too: its rates are those of all later times.
  while ((flow.time() == 0 || !(flow.gradient_norm() <= options.gradient_tolerance)) &&
         flow.time() < options.end_time) {
    flow.step();
    if (step) step(flow.snapshot());
  }
  return {flow.nodes(), flow.parameters(), flow.gradient_norm(), options.gradient_tolerance};
}

LinearGrowth::Node LinearGrowth::at(double t) const {
  const auto past = std::upper_bound(nodes_.begin(), nodes_.end(), t,
                                     [](double x, const Node& node) { return x < node.time; });
  const Node& before = *(past - 1);
  Node node = before;
  node.time = t;
  if (past != nodes_.end()) {
    const double s = (t - before.time) / (past->time - before.time);
    node.exponent = on_line(before.exponent, past->exponent, s);
    node.direction = on_line(before.direction, past->direction, s);
    node.log_noise = on_line(before.log_noise, past->log_noise, s);
  } else if (t > before.time) {
    if (!at_rest()) {
      node.exponent.setConstant(never);
      node.log_noise.setConstant(never);
    } else if (nodes_.size() > 1) {
      const Node& earlier = *(past - 2);
      const double beyond = (t - before.time) / (before.time - earlier.time);
      node.exponent += beyond * (before.exponent - earlier.exponent);
      for (Eigen::Index f = 0; f < node.log_noise.size(); ++f)
        if (earlier.log_noise[f] > nothing)
          node.log_noise[f] += beyond * (before.log_noise[f] - earlier.log_noise[f]);
    }
  }
  return node;
}

SplitLaw LinearGrowth::law(const HeadLaw& start, int feature, double t) const {
  const Node node = at(t);
  const Vector logs = node.exponent.array() + node.direction.col(feature).array().abs().log();
  SplitLaw law{.patterns = static_cast<int>(start.mean.rows()) - 1, .mean = {}};
  // The largest contribution is taken out, so that none over- or underflows beside it.
  law.log_unit = logs.maxCoeff();
  if (law.log_unit == nothing) law.log_unit = 0;
  const Vector growth =
      (logs.array() - law.log_unit).exp() * node.direction.col(feature).array().sign();
  law.mean = (start.mean.rowwise() - start.mean.colwise().mean()) * growth;
  law.log_variance = log_of_sum(2 * law.log_unit + std::log(start.variance.dot(growth.cwiseAbs2())),
                                std::log(start.strength) + node.log_noise[feature]);
  return law;
}

Vector LinearGrowth::log_spread(const Matrix& heads, double t) const {
  const HeadLaw start{heads, Vector::Zero(heads.cols())};
  Vector logs(nodes_[0].direction.cols());
  for (Eigen::Index f = 0; f < logs.size(); ++f)
    logs[f] = law(start, static_cast<int>(f), t).log_spread_of_mean();
  return logs;
}

double LinearGrowth::time_of(const Matrix& heads, int feature, double level) const {
  const HeadLaw start{heads, Vector::Zero(heads.cols())};
  return first_time(
      [&](double t) { return law(start, feature, t).log_spread_of_mean() >= std::log(level); });
}

double LinearGrowth::first_time(const std::function<bool(double)>& above) const {
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
