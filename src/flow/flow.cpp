#include "headflow/flow/flow.hpp"

#include <algorithm>
#include <cmath>

#include "headflow/core/error.hpp"

namespace headflow {
namespace {

class Flow {
 public:
  Flow(PopulationLoss& loss, const Start& start, const Prior& prior, const FlowOptions& options,
       const FlowObserver& observer)
      : loss_(loss),
        start_(start),
        options_(options),
        observer_(observer),
        stages_(prior, options.split_threshold),
        last_stages_(stages_),
        stepper_(
            options.stepper,
            [this](double t, std::span<const double> y, std::span<double> f) {
              right_hand_side(t, y, f);
            },
            packed(start.parameters), options.end_time) {}

  FlowSummary run(const Snapshot& from) {
    stages_.start(0, order_parameters(start_.parameters.K, start_.spike_factor).m);
    if (from.empty())
      write_records_until(0);
    else
      restore(from);
    summary_.end = FlowEnd::end_time;
    bool running = true;
    while (running && stepper_.time() < options_.end_time) {
      // Needed only if this step turns out to be the last.
      if (options_.stop_gradient_norm > 0 ||
          stepper_.time() + stepper_.next_step_size() >= options_.end_time) {
        last_stages_ = stages_;
        last_plateaus_ = plateaus_;
      }
      try {
        draw_samples();
        step();
      } catch (const Interrupt&) {
        interruptible_ = false;
        save(stepper_.snapshot(false), stages_, plateaus_);
        summary_.end = FlowEnd::requested;
        break;
      }
      running = answer(observer_.poll());
    }
    if (summary_.end != FlowEnd::requested)
      save(stepper_.snapshot(false), last_stages_, last_plateaus_);
    summary_.time = std::min(stepper_.time(), options_.end_time);
    if (summary_.end != FlowEnd::requested)
      summary_.parameters = unpacked(stepper_.resolve(summary_.time));
    for (const Plateau& plateau : plateaus_.plateaus())
      summary_.plateaus.push_back({plateau.time, unpacked(plateau.state)});
    summary_.steps = stepper_.steps();
    summary_.rejected_steps = stepper_.rejected_steps();
    return summary_;
  }

 private:
  void step() {
    interruptible_ = true;
    stepper_.step();
    interruptible_ = false;
    const FlowProgress progress{std::min(stepper_.time(), options_.end_time), last_loss_,
                                stepper_.steps()};
    const auto& slope = stepper_.last_slope();
    const double speed =
        Eigen::Map<const Vector>(slope.data(), static_cast<Eigen::Index>(slope.size())).norm();
    const double end = progress.time;
    stages_.step(stepper_.previous_time(), end, [this](double t) {
      return order_parameters(unpacked(stepper_.interpolate(t)).K, start_.spike_factor).m;
    });
    write_records_until(end);
    observer_.progress(progress);
    if (stepper_.time() <= options_.end_time)
      plateaus_.step(end, speed, [this] { return stepper_.state(); });
    if (speed < options_.stop_gradient_norm) stop(end);
  }

  /// False when the flow is to end.
  bool answer(Request request) {
    const bool last =
        summary_.end == FlowEnd::small_gradient || stepper_.time() >= options_.end_time;
    if (last) return false;
    if (request != Request::none) save(stepper_.snapshot(true), stages_, plateaus_);
    if (request == Request::stop) summary_.end = FlowEnd::requested;
    return request != Request::stop;
  }

  void save(Snapshot snapshot, const StageFinder& stages, const PlateauFinder& plateaus) const {
    stages.save(snapshot);
    plateaus.save(snapshot);
    snapshot.put("loss", last_loss_);
    snapshot.put("right_hand_sides", static_cast<double>(summary_.right_hand_sides));
    observer_.save(snapshot);
  }

  void restore(const Snapshot& from) {
    stepper_.restore(from);
    stages_.restore(from);
    plateaus_.restore(from);
    last_loss_ = from.number("loss");
    summary_.right_hand_sides = static_cast<std::int64_t>(from.number("right_hand_sides"));
    next_output_ =
        static_cast<std::size_t>(std::upper_bound(options_.output_times.begin(),
                                                  options_.output_times.end(), stepper_.time()) -
                                 options_.output_times.begin());
    // The samples of the step before this one; draw_samples() has those of the next.
    if (options_.resample > 0 && stepper_.steps() > 0)
      loss_.resample(static_cast<std::uint64_t>(stepper_.steps() / options_.resample));
  }

  // The state is K = [m | u], b, v, or with noise [m | r], b, v.
  std::vector<double> packed(Parameters parameters) const {
    std::vector<double> y(parameters.trained_size(loss_.activation()));
    auto u = parameters.K.rightCols(parameters.K.rows());
    if (options_.kappa > 0) u = (u * u.transpose()).eval();
    parameters.pack(loss_.activation(), y);
    return y;
  }

  Parameters unpacked(std::span<const double> y) const {
    Parameters parameters = start_.parameters;
    parameters.unpack(loss_.activation(), y);
    auto u = parameters.K.rightCols(parameters.K.rows());
    if (options_.kappa > 0) u = symmetric_root(u);
    return parameters;
  }

  void right_hand_side(double t, std::span<const double> y, std::span<double> f) {
    LossGradient value;
    const Parameters parameters = unpacked(y);
    try {
      value = loss_.evaluate(parameters, interruptible_ ? observer_.interrupt : nullptr);
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
    value.gradient.pack(loss_.activation(), f);
    for (double& slope : f) slope = -slope;
    last_loss_ = value.loss;
    ++summary_.right_hand_sides;
  }

  void draw_samples() {
    if (options_.resample == 0 || stepper_.steps() == 0 ||
        stepper_.steps() % options_.resample != 0)
      return;
    loss_.resample(static_cast<std::uint64_t>(stepper_.steps() / options_.resample));
    stepper_.invalidate();
  }

  void write_record(double t) {
    const Parameters parameters = t == 0 ? start_.parameters : unpacked(stepper_.resolve(t));
    observer_.record({loss_.state(parameters, start_.spike_factor), t, stepper_.step_size()},
                     stages_.stages());
  }

  void write_records_until(double t) {
    for (; next_output_ < options_.output_times.size() && options_.output_times[next_output_] <= t;
         ++next_output_)
      write_record(options_.output_times[next_output_]);
  }

  void stop(double t) {
    summary_.end = FlowEnd::small_gradient;
    if (next_output_ == 0 || options_.output_times[next_output_ - 1] < t) write_record(t);
  }

  PopulationLoss& loss_;
  const Start& start_;
  const FlowOptions& options_;
  const FlowObserver& observer_;
  StageFinder stages_;
  PlateauFinder plateaus_;
  StageFinder last_stages_;  // these two before the step that may be the last
  PlateauFinder last_plateaus_;
  TimeStepper stepper_;
  FlowSummary summary_;
  std::size_t next_output_ = 0;
  double last_loss_ = 0;
  bool interruptible_ = false;  // what is asked for after a step must not be cut short
};

}  // namespace

FlowSummary run_flow(PopulationLoss& loss, const Start& start, const Prior& prior,
                     const FlowOptions& options, const FlowObserver& observer,
                     const Snapshot& from) {
  return Flow(loss, start, prior, options, observer).run(from);
}

std::vector<double> linear_times(double end, int count) {
  std::vector<double> times;
  for (int i = 0; i <= count; ++i) times.push_back(i == count ? end : end * i / count);
  return times;
}

std::vector<double> logarithmic_times(double end, int count) {
  std::vector<double> times = {0};
  for (int i = 1; i <= count; ++i)
    times.push_back(i == count ? end
                               : end * std::pow(10.0, 4.0 * (i - 1) / std::max(1, count - 1) - 4));
  return times;
}

}  // namespace headflow
