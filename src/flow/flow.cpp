#include "headflow/flow/flow.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "flow/descent.hpp"
#include "flow/run_steps.hpp"
#include "headflow/core/error.hpp"
#include "headflow/core/keys.hpp"
#include "headflow/core/statistics.hpp"
#include "headflow/flow/drift.hpp"

namespace headflow {
namespace {

/// What lies between the ends of steps may be above the output before by this part of it: near a
/// minimum the loss falls less than it is interpolated.
constexpr double interpolation = 1e-9;

/// A step that raises the loss by more than this part of it ends the flow.
constexpr double largest_rise = 0.01;

class Flow {
 public:
  Flow(PopulationLoss& loss, const Parameters& start, const FlowOptions& options,
       const FlowObserver& observer, Control& control)
      : loss_(loss),
        start_(start),
        options_(options),
        observer_(observer),
        control_(control),
        drift_(loss, start, options.kappa, options.schedule),
        falls_(options.kappa == 0 && options.resample == 0),
        now_{.stages = StageFinder(loss.model().prior, options.split_threshold)},
        before_(now_),
        stepper_(
            options.stepper,
            [this](double t, std::span<const double> y, std::span<double> f) {
              right_hand_side(t, y, f);
            },
            drift_.packed(start), options.end_time) {}

  FlowResult run(const Snapshot& from) {
    now_.stages.start(0, loss_.model().overlaps(start_.K));
    const Ending ending = run_steps(*this, control_, from);
    if (ending != Ending::finished) result_.end = FlowEnd::requested;
    if (ending == Ending::interrupted && in_step_) {
      result_.time = stepper_.previous_time();
      now_ = before_;
    }
    result_.stages = now_.stages.stages();
    result_.rises = now_.rises;
    for (const Plateau& plateau : now_.plateaus.plateaus())
      result_.plateaus.push_back({plateau.time, drift_.unpacked(plateau.state)});
    result_.steps = stepper_.steps();
    result_.rejected_steps = stepper_.rejected_steps();
    return result_;
  }

  // What run_steps asks for.

  void begin() {
    if (!falls_) now_.rises = {never, never};
    write_records_until(0);
  }

  void restore(const Snapshot& from) {
    stepper_.restore(from);
    now_.stages.restore(from);
    now_.plateaus.restore(from);
    now_.objective = last_objective_ = from.number("loss");
    now_.objective_of_record = from.number("loss_of_record");
    const auto& rises = from.list("loss_rises");
    now_.rises = {rises[0], rises[1]};
    result_.right_hand_sides = static_cast<std::int64_t>(from.number("right_hand_sides"));
    result_.time = std::min(stepper_.time(), options_.end_time);
    next_output_ =
        static_cast<std::size_t>(std::upper_bound(options_.output_times.begin(),
                                                  options_.output_times.end(), stepper_.time()) -
                                 options_.output_times.begin());
  }

  /// True when the flow ends by itself.
  bool last() const {
    return result_.end == FlowEnd::small_gradient || stepper_.time() >= options_.end_time;
  }

  void step() {
    in_step_ = false;
    draw_samples();
    if (falls_ && stepper_.steps() == 0) {
      stepper_.end_slope();
      gradient_ = last_gradient_;
      now_.objective = last_objective_;
    }
    before_ = now_;
    in_step_ = true;
    advance();
  }

  void save_now() const { save(stepper_.snapshot(true), now_); }

  /// The state before the last step, or as it is where none has been begun.
  void save_before_step() const {
    if (in_step_)
      save(stepper_.snapshot(false), before_);
    else
      save_now();
  }

  void finish() { result_.parameters = drift_.unpacked(stepper_.resolve(result_.time)); }

 private:
  /// What is known of the flow at the end of a step.
  struct Trail {
    StageFinder stages;
    PlateauFinder plateaus{};
    double objective = 0;
    double objective_of_record = never;  // the last one that was handed out
    LossRises rises{};
  };

  void advance() {
    stepper_.step([this] { return !falls_ || !rises(); });
    result_.time = std::min(stepper_.time(), options_.end_time);
    const double end = result_.time;
    // With fresh samples the next step could not use it.
    const auto& slope = options_.resample == 0 ? stepper_.end_slope() : stepper_.last_slope();
    const double speed =
        Eigen::Map<const Vector>(slope.data(), static_cast<Eigen::Index>(slope.size())).norm();
    const double gradient_norm = last_gradient_norm_;
    if (falls_) {
      count_rise();
      gradient_ = last_gradient_;
    }
    now_.objective = last_objective_;
    now_.stages.step(stepper_.previous_time(), end, [this](double t) {
      return loss_.model().overlaps(drift_.unpacked(stepper_.interpolate(t)).K);
    });
    write_records_until(end);
    if (!last()) observer_.progress({end, last_loss_, stepper_.steps()});
    if (stepper_.time() <= options_.end_time)
      now_.plateaus.step(end, speed, [this] { return stepper_.state(); });
    if (gradient_norm < options_.stop_gradient_norm) stop(end);
  }

  /// By how much the objective at the end of the step is above that at its start, beyond rounding.
  double rise() {
    stepper_.end_slope();  // of which last_objective_ is the objective
    const double rise = last_objective_ - now_.objective;
    return rise <= loss_.rounding() * std::abs(now_.objective) ? 0 : rise;
  }

  /// Whether the step raises the objective, which a smaller one will not do. Throws NumericalError
  /// where it would: the gradient is wrong.
  bool rises() {
    const double by = rise();
    if (by <= 0) return false;
    const double begun = stepper_.previous_time(), size = stepper_.time() - begun;
    const std::vector<double> y0 = stepper_.interpolate(begun), y1 = stepper_.state();
    const auto n = static_cast<Eigen::Index>(y0.size());
    const Vector moved =
        Eigen::Map<const Vector>(y1.data(), n) - Eigen::Map<const Vector>(y0.data(), n);
    const DescentStep step{gradient_, last_gradient_, moved, by,
                           loss_.rounding() * std::abs(now_.objective)};
    if (contradicts_descent(step))
      throw NumericalError(fmt::format(
          "the step from t = {:.6g} by {:.2g} raises the loss by {:.2g}, where its gradient, the "
          "same at both ends to a tenth, says that it falls by {:.2g}: the gradient is wrong. If "
          "the activation \"{}\" is new, look at its function `backward`",
          begun, size, by, predicted_fall(step), name_of(loss_.model().activation)));
    return true;
  }

  void count_rise() {
    if (!rises()) return;
    const double by = rise();
    if (by > largest_rise * now_.objective)
      throw NumericalError(fmt::format(
          "the step from t = {:.6g} to {:.6g} has raised the loss from {:.6g} to {:.6g}, which the "
          "flow cannot do: the step is too large; use a smaller flow.step or an adaptive "
          "flow.method",
          stepper_.previous_time(), stepper_.time(), now_.objective, last_objective_));
    count(by);
  }

  void count(double rise) {
    ++now_.rises.count;
    now_.rises.largest = std::max(now_.rises.largest, rise);
  }

  void save(Snapshot snapshot, const Trail& trail) const {
    trail.stages.save(snapshot);
    trail.plateaus.save(snapshot);
    snapshot.put("loss", trail.objective);
    snapshot.put("loss_of_record", trail.objective_of_record);
    snapshot.put("loss_rises", {trail.rises.count, trail.rises.largest});
    snapshot.put("right_hand_sides", static_cast<double>(result_.right_hand_sides));
    observer_.save(snapshot);
  }

  void right_hand_side(double t, std::span<const double> y, std::span<double> f) {
    LossGradient value;
    try {
      value = drift_(t, y, f, control_);
    } catch (const NumericalError& error) {
      throw NumericalError(std::string(error.what()) + " at t = " + std::to_string(t) +
                           "; the last good step ended at t = " + std::to_string(stepper_.time()));
    }
    last_gradient_ = value.gradient.packed(loss_.model().training.at_one_rate());
    last_gradient_norm_ = last_gradient_.norm();
    last_loss_ = value.loss;
    last_objective_ = value.objective();
    ++result_.right_hand_sides;
  }

  void draw_samples() {
    if (options_.resample == 0) return;
    loss_.resample(static_cast<std::uint64_t>(stepper_.steps() / options_.resample), control_);
    if (stepper_.steps() > 0 && stepper_.steps() % options_.resample == 0) stepper_.invalidate();
  }

  void write_record(double t) {
    const Parameters parameters = t == 0 ? start_ : drift_.unpacked(stepper_.resolve(t));
    FlowRecord record{loss_.state(parameters, control_), t, stepper_.step_size()};
    record.kappa = drift_.kappa(t);
    const double objective = record.loss.mean.objective(), before = now_.objective_of_record;
    if (falls_ && objective - before > std::max(interpolation, loss_.rounding()) * before)
      count(objective - before);
    now_.objective_of_record = objective;
    record.rises = now_.rises;
    observer_.record(record, now_.stages.stages());
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
  Drift drift_;
  bool falls_;          // whether the objective can only fall
  Trail now_, before_;  // the latter before the step
  TimeStepper stepper_;
  FlowResult result_;
  std::size_t next_output_ = 0;
  double last_loss_ = 0, last_objective_ = 0, last_gradient_norm_ = 0;  // of the last slope
  Vector last_gradient_;                                                // likewise
  Vector gradient_;       // where the step begins; empty where the flow goes on
  bool in_step_ = false;  // whether the stepper has begun the last step that was asked for
};

}  // namespace

void FlowOptions::declare_keys(KeyVisitor& visitor) {
  visitor.key(
      {"split_threshold",
       "spread of m_{.f} over heads at which feature f counts as split, also of SGD's replicas"},
      split_threshold, positive);
  visitor.key({"stop_gradient_norm", "gradient norm below which the flow ends; 0: never"},
              stop_gradient_norm, at_least_zero);
}

FlowResult run_flow(PopulationLoss& loss, const Parameters& start, const FlowOptions& options,
                    const FlowObserver& observer, Control& control, const Snapshot& from) {
  return Flow(loss, start, options, observer, control).run(from);
}

}  // namespace headflow
