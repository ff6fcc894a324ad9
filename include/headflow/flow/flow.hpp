#pragma once
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "headflow/flow/plateaus.hpp"
#include "headflow/flow/stages.hpp"
#include "headflow/flow/time_stepper.hpp"
#include "headflow/model/schedule.hpp"
#include "headflow/population/population_loss.hpp"

namespace headflow {

class KeyVisitor;

struct FlowOptions {
  double end_time = 200;
  TimeStepper::Options stepper{};
  std::vector<double> output_times{};  ///< increasing, within [0, end_time]
  double split_threshold = 0.3;
  /// End the run when |dE/d(K,b,v)| at the end of a step falls under it; 0: never. With fresh
  /// samples (resample) it is that of the step's last right-hand side.
  double stop_gradient_norm = 0;
  std::int64_t resample = 0;  ///< fresh samples every so many steps; 0: the same at every step
  double kappa = 0;           ///< lr D / B, the learning-rate noise; 0: the paper's limit
  Schedule schedule{};        ///< whose factor multiplies kappa

  /// split_threshold and stop_gradient_norm. `stepper` and OutputTimes have keys of their own.
  void declare_keys(KeyVisitor& visitor);
};

/// Where the loss of fixed samples has risen, which it cannot do along the flow without noise: what
/// an integration with too large a step does wrong. Rises below rounding do not count. NaN where it
/// cannot be told.
struct LossRises {
  double count = 0;    ///< steps that end, and outputs that lie, above the one before
  double largest = 0;  ///< of these rises
};

/// The state at one output time.
struct FlowRecord : State {
  double time = 0;
  double step_size = 0;
  LossRises rises{};  ///< so far
  double kappa = 0;   ///< at this time
};

/// How far a running flow is.
struct FlowProgress {
  double time = 0;
  double loss = 0;
  std::int64_t steps = 0;
};

enum class FlowEnd { end_time, small_gradient, requested };

struct FlowResult {
  double time = 0;  ///< reached: end_time, or where the gradient norm fell under its tolerance
  std::int64_t steps = 0;
  std::int64_t rejected_steps = 0;
  std::int64_t right_hand_sides = 0;
  FlowEnd end = FlowEnd::end_time;
  Parameters parameters{};  ///< where it has ended, unless requested
  Stages stages{};          ///< up to `time`
  LossRises rises{};
  std::vector<std::pair<double, Parameters>> plateaus{};  ///< times and places where it lingered
};

/// What a flow hands out while it runs; all are called on every rank, `progress` after each step
/// but the last, whose loss may be that of a later time.
struct FlowObserver {
  std::function<void(const FlowRecord&, const Stages&)> record;
  std::function<void(const FlowProgress&)> progress = [](const FlowProgress&) {};
  std::function<void(const Snapshot&)> save = [](const Snapshot&) {};
};

/// The gradient flow of the order parameters (Prop. III.2 in the form of theory.md section 5)
///   dK/dt = -dE/dK,  db/dt = -dE/db,  dv/dt = -dE/dv
/// from `start` to options.end_time. With kappa > 0 SGD's noise drives what the heads have outside
/// the span of the spikes (theory.md, section 5),
///   dr/dt = -(dE/du u' + u dE/du') + kappa N,  r = u u',
/// and the flow is integrated in (m, r, b, v) instead of (m, u, b, v); this form is smooth also
/// where r is singular. `loss` must then be one with noise. E is sampled by `loss`; the prior of
/// its model tells whether there is a common direction to align with and which signs are free.
/// Collective; the trajectory has the same bits on any number of ranks and for any output times.
/// Throws NumericalError, with the time of the last good step, when the loss is not finite.
///
/// With kappa = 0 and the same samples at every step the loss can only fall. An adaptive method's
/// step that raises it is rejected; of other methods it is counted (FlowResult::rises), and a step
/// that raises the loss by more than 1 % ends the flow with a NumericalError. An output between the
/// ends of steps that lies above the output before is counted, too.
///
/// control.between_steps() is asked after each step, control.within_step() inside right-hand sides
/// and records. observer.save answers a request of the first with the state after the step, an
/// Interrupt of the second with the state before the step; no state is saved for an Interrupt in
/// the record of t = 0. When the flow ends by itself it saves the state before its last step: from
/// there a flow to a later end time goes on as if it had never ended. Records may have been handed
/// out for times after that of a saved state.
/// With `from` it goes on where that state was saved; records until its time are not repeated.
FlowResult run_flow(PopulationLoss& loss, const Parameters& start, const FlowOptions& options,
                    const FlowObserver& observer, Control& control = Control::none(),
                    const Snapshot& from = {});

}  // namespace headflow
