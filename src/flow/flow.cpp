#include "headflow/flow/flow.hpp"

#include <algorithm>
#include <string>

#include "headflow/core/error.hpp"
#include "headflow/core/keys.hpp"

namespace headflow {
namespace {

class Flow {
 public:
  Flow(PopulationLoss& loss, const Parameters& start, const FlowOptions& options,
       const FlowObserver& observer, Control& control)
      : loss_(loss),
        start_(start),
        options_(options),
        observer_(observer),
        control_(control),
        stages_(loss.model().prior, options.split_threshold),
        stages_before_(stages_),
        stepper_(
            options.stepper,
            [this](double t, std::span<const double> y, std::span<double> f) {
              right_hand_side(t, y, f);
            },
            packed(start), options.end_time) {}

  FlowResult run(const Snapshot& from) {
    stages_.start(0, loss_.model().overlaps(start_.K));
    bool begun = false;  // whether there is a state to save
    try {
      if (from.empty())
        write_records_until(0);
      else
        restore(from);
      begun = true;
      while (!last() && result_.end != FlowEnd::requested) advance();
      if (result_.end != FlowEnd::requested) finish();
    } catch (const Interrupt&) {
      if (begun) save_before_step();
      if (in_step_) {
        result_.time = stepper_.previous_time();
        stages_ = stages_before_;
        plateaus_ = plateaus_before_;
      }
      result_.end = FlowEnd::requested;
    }
    result_.stages = stages_.stages();
    for (const Plateau& plateau : plateaus_.plateaus())
      result_.plateaus.push_back({plateau.time, unpacked(plateau.state)});
    result_.steps = stepper_.steps();
    result_.rejected_steps = stepper_.rejected_steps();
    return result_;
  }

 private:
  /// True when the flow ends by itself.
  bool last() const {
    return result_.end == FlowEnd::small_gradient || stepper_.time() >= options_.end_time;
  }

  /// One step, and what the control asks for after it.
  void advance() {
    in_step_ = false;
    draw_samples();
    stages_before_ = stages_;
    plateaus_before_ = plateaus_;
    in_step_ = true;
    step();
    const Request request = control_.between_steps();
    if (last() || request == Request::none) return;
    save(stepper_.snapshot(true), stages_, plateaus_);
    if (request == Request::stop) result_.end = FlowEnd::requested;
  }

  void step() {
    stepper_.step();
    result_.time = std::min(stepper_.time(), options_.end_time);
    const double end = result_.time;
    const FlowProgress progress{end, last_loss_, stepper_.steps()};
    const auto& slope = stepper_.last_slope();
    const double speed =
        Eigen::Map<const Vector>(slope.data(), static_cast<Eigen::Index>(slope.size())).norm();
    stages_.step(stepper_.previous_time(), end, [this](double t) {
      return loss_.model().overlaps(unpacked(stepper_.interpolate(t)).K);
    });
    write_records_until(end);
    observer_.progress(progress);
    if (stepper_.time() <= options_.end_time)
      plateaus_.step(end, speed, [this] { return stepper_.state(); });
    if (speed < options_.stop_gradient_norm) stop(end);
  }

  void finish() {
    save_before_step();
    result_.parameters = unpacked(stepper_.resolve(result_.time));
  }

  /// The state before the last step, or as it is where none has been begun.
  void save_before_step() const {
    if (in_step_)
      save(stepper_.snapshot(false), stages_before_, plateaus_before_);
    else
      save(stepper_.snapshot(true), stages_, plateaus_);
  }

  void save(Snapshot snapshot, const StageFinder& stages, const PlateauFinder& plateaus) const {
    stages.save(snapshot);
    plateaus.save(snapshot);
    snapshot.put("loss", last_loss_);
    snapshot.put("right_hand_sides", static_cast<double>(result_.right_hand_sides));
    observer_.save(snapshot);
  }

  void restore(const Snapshot& from) {
    stepper_.restore(from);
    stages_.restore(from);
    plateaus_.restore(from);
    last_loss_ = from.number("loss");
    result_.right_hand_sides = static_cast<std::int64_t>(from.number("right_hand_sides"));
    result_.time = std::min(stepper_.time(), options_.end_time);
    next_output_ =
        static_cast<std::size_t>(std::upper_bound(options_.output_times.begin(),
                                                  options_.output_times.end(), stepper_.time()) -
                                 options_.output_times.begin());
  }

  // The state is K = [m | u], b, v, or with noise [m | r], b, v.
  std::vector<double> packed(Parameters parameters) const {
    std::vector<double> y(parameters.trained_size(loss_.model().activation));
    auto u = parameters.K.rightCols(parameters.K.rows());
    if (options_.kappa > 0) u = (u * u.transpose()).eval();
    parameters.pack(loss_.model().activation, y);
    return y;
  }

  Parameters unpacked(std::span<const double> y) const {
    Parameters parameters = start_;
    parameters.unpack(loss_.model().activation, y);
    auto u = parameters.K.rightCols(parameters.K.rows());
    if (options_.kappa > 0) u = symmetric_root(u);
    return parameters;
  }

  void right_hand_side(double t, std::span<const double> y, std::span<double> f) {
    LossGradient value;
    const Parameters parameters = unpacked(y);
    try {
      value = loss_.evaluate(parameters, control_);
    } catch (const NumericalError& error) {
      throw NumericalError(std::string(error.what()) + " at t = " + std::to_string(t) +
                           "; the last good step ended at t = " + std::to_string(stepper_.time()));
    }
    if (options_.kappa > 0) {
      const auto heads = parameters.K.rows();
      auto slope = value.gradient.K.rightCols(heads);
      const Matrix half = slope * parameters.K.rightCols(heads).transpose();
      slope = half + half.transpose() - options_.kappa * value.noise;
    }
    value.gradient.pack(loss_.model().activation, f);
    for (double& slope : f) slope = -slope;
    last_loss_ = value.loss;
    ++result_.right_hand_sides;
  }

  void draw_samples() {
    if (options_.resample == 0) return;
    loss_.resample(static_cast<std::uint64_t>(stepper_.steps() / options_.resample), control_);
    if (stepper_.steps() > 0 && stepper_.steps() % options_.resample == 0) stepper_.invalidate();
  }

  void write_record(double t) {
    const Parameters parameters = t == 0 ? start_ : unpacked(stepper_.resolve(t));
    observer_.record({loss_.state(parameters, control_), t, stepper_.step_size()},
                     stages_.stages());
  }

  void write_records_until(double t) {
    for (; next_output_ < options_.output_times.size() && options_.output_times[next_output_] <= t;
         ++next_output_)
      write_record(options_.output_times[next_output_]);
  }

  void stop(double t) {
    result_.end = FlowEnd::small_gradient;
    if (next_output_ == 0 || options_.output_times[next_output_ - 1] < t) write_record(t);
  }

  PopulationLoss& loss_;
  const Parameters& start_;
  const FlowOptions& options_;
  const FlowObserver& observer_;
  Control& control_;
  StageFinder stages_, stages_before_;  // the latter before the step, as plateaus_before_
  PlateauFinder plateaus_, plateaus_before_;
  TimeStepper stepper_;
  FlowResult result_;
  std::size_t next_output_ = 0;
  double last_loss_ = 0;
  bool in_step_ = false;  // whether the stepper has begun the last step that was asked for
};

}  // namespace

void FlowOptions::declare_keys(KeyVisitor& visitor) {
  visitor.key(
      {"split_threshold",
       "spread of m_{.f} over heads at which feature f counts as split, also of SGD's replicas"},
      split_threshold, positive);
  visitor.key({"stop_gradient_norm", "end when the gradient norm falls under it; 0: never"},
              stop_gradient_norm, at_least_zero);
}

FlowResult run_flow(PopulationLoss& loss, const Parameters& start, const FlowOptions& options,
                    const FlowObserver& observer, Control& control, const Snapshot& from) {
  return Flow(loss, start, options, observer, control).run(from);
}

}  // namespace headflow
