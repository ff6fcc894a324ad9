#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "headflow/core/snapshot.hpp"

namespace headflow {

class KeyVisitor;

/// An explicit PETSc TS for dy/dt = f(t, y), driven one accepted step at a time. It lives on this
/// process alone; on several ranks every rank holds the same one and f does the communication. The
/// step sequence knows nothing of output times: those are interpolated.
class TimeStepper {
 public:
  using RightHandSide =
      std::function<void(double t, std::span<const double> y, std::span<double> f)>;

  struct Options {
    std::string method = "5dp";    ///< a TSRKType, "euler" or "ssp"
    double tolerance = 1e-6;       ///< relative and absolute, of the adaptive methods
    double step = 0.1;             ///< first step of an adaptive method, step of the others
    std::string prefix = "flow_";  ///< of PETSc options that override method and tolerance

    void declare_keys(KeyVisitor& visitor);
  };

  /// Throws InputError when a PETSc option with the prefix has no effect: PETSc does not know it,
  /// or the steps are driven here without it (time and size of the first step, end, outputs), or a
  /// snapshot could not bring back what it depends on.
  TimeStepper(const Options& options, RightHandSide f, std::span<const double> y0, double end_time);
  ~TimeStepper();
  TimeStepper(const TimeStepper&) = delete;
  TimeStepper& operator=(const TimeStepper&) = delete;

  /// Throws InputError where a stepper with these options and the PETSc options of their prefix
  /// would be refused, or could not take a step.
  static void check(const Options& options);

  /// One accepted step. With an adaptive method `acceptable` is asked after each step that the
  /// error estimate accepts, at its end; where it says no, the step is rejected and tried again
  /// with a quarter of its size. An exception of f comes out as it is; NumericalError when PETSc
  /// gives up or the step has become too small to advance the time.
  void step(const std::function<bool()>& acceptable = {});
  double time() const;
  double previous_time() const;
  double step_size() const { return time() - previous_time(); }
  std::int64_t steps() const;
  std::int64_t rejected_steps() const;
  /// The state at time().
  std::vector<double> state() const;
  /// The state at previous_time() <= t <= time(), cheap, for locating events: the method's own
  /// dense output (4th order for 5dp), a line for Euler, a cubic Hermite polynomial (which may cost
  /// one right-hand side, used again by the next step) for the rest.
  std::vector<double> interpolate(double t);
  /// The state at such a t to the method's own order: interpolate() for 5dp and Euler; for the rest
  /// one more step of the same method from previous_time() to t, at the cost of its right-hand
  /// sides.
  std::vector<double> resolve(double t);
  /// f as the last stage of the last step had it; what interpolate() and resolve() ask for leaves
  /// no trace here.
  const std::vector<double>& last_slope() const;
  /// f at (time(), state()), which the next step uses again: free for methods whose last stage is
  /// there, and of no cost in the end for all others.
  const std::vector<double>& end_slope();
  /// Whether the size of a step follows an estimate of its error.
  bool adaptive() const;
  /// What the next step depends on, as it was before step number steps() (the last one, or the one
  /// that an exception has ended) or, with `now`, as it is.
  Snapshot snapshot(bool now) const;
  /// Goes on where `snapshot` was taken: the steps after it have the same bits.
  void restore(const Snapshot& snapshot);
  /// The size that the next step will try.
  double next_step_size() const;
  /// Forget what is known of f, because f itself has changed (fresh samples).
  void invalidate();

  /// The methods that options.method may name.
  static const std::vector<std::string>& methods();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace headflow
