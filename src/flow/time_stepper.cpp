#include "headflow/flow/time_stepper.hpp"

#include <petscts.h>

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "core/callback_guard.hpp"
#include "flow/stepper_options.hpp"
#include "headflow/core/error.hpp"
#include "headflow/core/petsc.hpp"
#include "headflow/core/statistics.hpp"

namespace headflow {
namespace {

constexpr std::int64_t many_steps = std::int64_t{1} << 30;

template <class Object>
bool is_of_type(Object object, const char* type) {
  PetscBool same = PETSC_FALSE;
  petsc_check(PetscObjectTypeCompare(reinterpret_cast<PetscObject>(object), type, &same), type);
  return same == PETSC_TRUE;
}

}  // namespace

class TimeStepper::Impl {
 public:
  Impl(const Options& options, RightHandSide f, std::span<const double> y0, double end_time)
      : f_(std::move(f)), y_(y0.size()), probe_y_(y0.size()), start_y_(y0.begin(), y0.end()) {
    write(y_.handle(), y0);
    ts_ = create(options, y_, end_time);
    petsc_check(TSSetTime(ts_, 0), "TSSetTime");
    petsc_check(TSSetTimeStep(ts_, options.step), "TSSetTimeStep");
    dense_ = dense_output();
    require_petsc_options_used(options.prefix, stepper_option_words(options.prefix));
    if (dense_ == Dense::hermite) {
      probe_ = create(options, probe_y_, end_time);
      TSAdapt adapt = nullptr;
      petsc_check(TSGetAdapt(probe_, &adapt), "TSGetAdapt");
      petsc_check(TSAdaptSetType(adapt, TSADAPTNONE), "TSAdaptSetType");
    }
  }

  void step(const std::function<bool()>& acceptable) {
    before_ = snapshot();
    start_time_ = time();
    start_y_ = state();
    // A method that reuses its last stage does not ask for f here again.
    start_f_ = known_.at(start_time_, start_y_) ? known_.f : std::vector<double>();
    attempt();
    if (acceptable && adaptive())
      for (; !acceptable(); attempt()) reject();
    const auto number = static_cast<PetscInt>(std::min<std::int64_t>(steps_, PETSC_MAX_INT));
    petsc_check(TSMonitor(ts_, number, time(), y_.handle()), "TSMonitor");
  }

  double time() const {
    PetscReal t = 0;
    petsc_check(TSGetTime(ts_, &t), "TSGetTime");
    return t;
  }

  std::vector<double> state() const {
    Vec y = nullptr;
    petsc_check(TSGetSolution(ts_, &y), "TSGetSolution");
    return read(y);
  }

  std::vector<double> interpolate(double t) {
    if (t == time()) return state();
    if (t == start_time_) return start_y_;
    if (dense_ == Dense::method) {
      petsc_check(TSInterpolate(ts_, t, probe_y_.handle()), "TSInterpolate");
      return read(probe_y_.handle());
    }
    return polynomial(t);
  }

  std::vector<double> resolve(double t) {
    if (dense_ != Dense::hermite || t == start_time_ || t == time()) return interpolate(t);
    write(probe_y_.handle(), start_y_);
    petsc_check(TSSetTime(probe_, start_time_), "TSSetTime");
    petsc_check(TSSetTimeStep(probe_, t - start_time_), "TSSetTimeStep");
    petsc_check(TSRestartStep(probe_), "TSRestartStep");
    one_step(probe_);
    return read(probe_y_.handle());
  }

  void invalidate() { known_ = {}; }

  const std::vector<double>& end_slope() {
    if (reuses_last_stage() && !last_slope_.empty()) return last_slope_;
    return derivative(time(), state());
  }

  bool adaptive() const {
    TSAdapt adapt = nullptr;
    petsc_check(TSGetAdapt(ts_, &adapt), "TSGetAdapt");
    return !is_of_type(adapt, TSADAPTNONE);
  }

  std::int64_t steps() const { return steps_; }

  /// FSAL methods take f at the start of a step from the last stage of the step before, which
  /// differs from f there by rounding: it is part of the state.
  Snapshot snapshot() const {
    Snapshot snapshot;
    snapshot.put("t", time());
    snapshot.put("dt", next_step_size());
    snapshot.put("steps", static_cast<double>(steps()));
    snapshot.put("rejected", static_cast<double>(rejected()));
    snapshot.put("y", state());
    if (reuses_last_stage() && !last_slope_.empty()) snapshot.put("f", last_slope_);
    return snapshot;
  }

  void restore(const Snapshot& snapshot) {
    if (snapshot.list("y").size() != start_y_.size())
      throw FileError("the saved state has another size");
    put_back(snapshot);
    rejected_before_ = static_cast<std::int64_t>(snapshot.number("rejected"));
    start_time_ = snapshot.number("t");
    start_y_ = snapshot.list("y");
    known_ = {};
  }

  double next_step_size() const {
    PetscReal dt = 0;
    petsc_check(TSGetTimeStep(ts_, &dt), "TSGetTimeStep");
    return dt;
  }

  std::int64_t rejected() const {
    PetscInt rejected = 0;
    petsc_check(TSGetStepRejections(ts_, &rejected), "TSGetStepRejections");
    return rejected_before_ + rejected + rejected_here_;
  }

  double start_time_ = 0;
  std::vector<double> last_slope_;
  Snapshot before_;

 private:
  using Stepper = PetscOwner<TS, TSDestroy>;
  enum class Dense { method, line, hermite };

  /// f at (t, y), kept because a method's first stage asks again for what an interpolation has
  /// computed.
  struct Derivative {
    double t = never;
    std::vector<double> y, f;
    bool at(double time, std::span<const double> state) const {
      return t == time && std::equal(state.begin(), state.end(), y.begin(), y.end());
    }
  };

  Stepper create(const Options& options, const PetscVector& y, double end_time) {
    Stepper owner;
    petsc_check(TSCreate(PETSC_COMM_SELF, owner.receive()), "TSCreate");
    const TS ts = owner;
    petsc_check(TSSetOptionsPrefix(ts, options.prefix.c_str()), "TSSetOptionsPrefix");
    petsc_check(TSSetProblemType(ts, TS_NONLINEAR), "TSSetProblemType");
    petsc_check(TSSetRHSFunction(ts, nullptr, &Impl::call, this), "TSSetRHSFunction");
    petsc_check(TSSetMaxSteps(ts, PETSC_MAX_INT), "TSSetMaxSteps");
    petsc_check(TSSetMaxTime(ts, end_time), "TSSetMaxTime");
    petsc_check(TSSetExactFinalTime(ts, TS_EXACTFINALTIME_STEPOVER), "TSSetExactFinalTime");
    petsc_check(TSSetSolution(ts, y.handle()), "TSSetSolution");
    // A failed step is told by one_step, with its time.
    petsc_check(TSSetErrorIfStepFails(ts, PETSC_FALSE), "TSSetErrorIfStepFails");
    set_stepper_options(ts, options);
    petsc_check(TSSetUp(ts), "TSSetUp");
    return owner;
  }

  /// PETSc counts in 32 bits and stops when they are full: past many_steps it counts no further.
  void count_step() {
    ++steps_;
    if (steps_ > many_steps)
      petsc_check(TSSetStepNumber(ts_, static_cast<PetscInt>(many_steps)), "TSSetStepNumber");
  }

  void attempt() {
    one_step(ts_);
    count_step();
    first_slope_.clear();
    if (!(time() > start_time_))
      throw NumericalError("the time step is too small to advance t = " +
                           std::to_string(start_time_));
  }

  /// Takes the last step back; the next one tries a quarter of it, as PETSc does where a stage has
  /// failed.
  void reject() {
    const double size = time() - start_time_;
    put_back(before_);
    petsc_check(TSSetTimeStep(ts_, 0.25 * size), "TSSetTimeStep");
    petsc_check(TSRestartStep(ts_), "TSRestartStep");
    petsc_check(TSSetConvergedReason(ts_, TS_CONVERGED_ITERATING), "TSSetConvergedReason");
    known_ = start_f_.empty() ? Derivative{} : Derivative{start_time_, start_y_, start_f_};
    ++rejected_here_;
  }

  /// Time, step size, number of steps, state and last slope of the stepper.
  void put_back(const Snapshot& snapshot) {
    write(y_.handle(), snapshot.list("y"));
    petsc_check(TSSetTime(ts_, snapshot.number("t")), "TSSetTime");
    petsc_check(TSSetTimeStep(ts_, snapshot.number("dt")), "TSSetTimeStep");
    steps_ = static_cast<std::int64_t>(snapshot.number("steps"));
    petsc_check(TSSetStepNumber(ts_, static_cast<PetscInt>(std::min(steps_, many_steps))),
                "TSSetStepNumber");
    if (snapshot.has("f")) last_slope_ = first_slope_ = snapshot.list("f");
  }

  /// f there, which is kept for the next step.
  const std::vector<double>& derivative(double t, const std::vector<double>& y) {
    if (!known_.at(t, y)) {
      Derivative there{t, y, std::vector<double>(y.size())};
      f_(there.t, there.y, there.f);
      known_ = std::move(there);
    }
    return known_.f;
  }

  void one_step(TS ts) {
    const PetscErrorCode code = TSStep(ts);
    guard_.rethrow();
    if (code == PETSC_ERR_FP)
      throw NumericalError("a number is infinite or not a number in the step from t = " +
                           std::to_string(start_time_));
    petsc_check(code, "TSStep");
    TSConvergedReason reason = TS_CONVERGED_ITERATING;
    petsc_check(TSGetConvergedReason(ts, &reason), "TSGetConvergedReason");
    if (reason < 0)
      throw NumericalError("the time stepper gave up at t = " + std::to_string(start_time_) + " (" +
                           TSConvergedReasons[reason] + ")");
  }

  static PetscErrorCode call(TS ts, PetscReal t, Vec y, Vec f, void* self) {
    auto& impl = *static_cast<Impl*>(self);
    return impl.guard_.run(PetscErrorCode{PETSC_ERR_USER}, [&] {
      const std::vector<double> state = read(y);
      std::vector<double> value(state.size());
      // The first step after a restart: PETSc asks for what the last stage before it has told.
      // After a rejected attempt the state here has rounding errors, so the time alone decides.
      const bool told = !impl.first_slope_.empty() && t == impl.start_time_;
      if (told)
        value = impl.first_slope_;
      else
        impl.evaluate(t, state, value);
      if (!told && t == impl.start_time_ && state == impl.start_y_) impl.start_f_ = value;
      write(f, value);
      if (ts == impl.ts_) impl.last_slope_ = std::move(value);
      return PetscErrorCode{};
    });
  }

  void evaluate(double t, std::span<const double> y, std::span<double> f) {
    if (known_.at(t, y)) {
      std::copy(known_.f.begin(), known_.f.end(), f.begin());
      return;
    }
    f_(t, y, f);
  }

  /// What the final type, options included, offers between steps; PETSc 3.18 has dense output for
  /// 5dp alone.
  Dense dense_output() const {
    if (is_of_type(ts_.handle(), TSEULER)) return Dense::line;
    if (!is_of_type(ts_.handle(), TSRK)) return Dense::hermite;
    TSRKType type = nullptr;
    petsc_check(TSRKGetType(ts_, &type), "TSRKGetType");
    return std::string(type) == TSRK5DP ? Dense::method : Dense::hermite;
  }

  bool reuses_last_stage() const {
    if (!is_of_type(ts_.handle(), TSRK)) return false;
    PetscBool fsal = PETSC_FALSE;
    petsc_check(
        TSRKGetTableau(ts_, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, &fsal),
        "TSRKGetTableau");
    return fsal;
  }

  std::vector<double> polynomial(double t) {
    const double h = time() - start_time_;
    const double s = (t - start_time_) / h;
    const std::vector<double> end_y = state();
    std::vector<double> y(end_y.size());
    for (std::size_t i = 0; i < y.size(); ++i) y[i] = start_y_[i] + s * (end_y[i] - start_y_[i]);
    if (dense_ == Dense::line) return y;
    if (start_f_.empty()) {
      start_f_.resize(y.size());
      f_(start_time_, start_y_, start_f_);
    }
    const std::vector<double>& end_f = derivative(time(), end_y);
    for (std::size_t i = 0; i < y.size(); ++i) {
      const double rise = end_y[i] - start_y_[i];
      y[i] += s * (1 - s) * ((1 - s) * (h * start_f_[i] - rise) - s * (h * end_f[i] - rise));
    }
    return y;
  }

  RightHandSide f_;
  PetscVector y_;
  PetscVector probe_y_;  // where interpolate() and resolve() put a state
  Stepper ts_;
  Stepper probe_;  // takes resolve's steps, so that they leave no trace in the run's
  Dense dense_ = Dense::method;
  std::vector<double> start_y_, start_f_;
  Derivative known_;
  std::vector<double> first_slope_;  // of the step after a restart of an FSAL method
  std::int64_t steps_ = 0;
  std::int64_t rejected_before_ = 0;  // of the runs that this one goes on from
  std::int64_t rejected_here_ = 0;    // by the caller of step()
  CallbackGuard guard_;
};

TimeStepper::TimeStepper(const Options& options, RightHandSide f, std::span<const double> y0,
                         double end_time)
    : impl_(std::make_unique<Impl>(options, std::move(f), y0, end_time)) {}

TimeStepper::~TimeStepper() = default;

void TimeStepper::check(const Options& options) {
  const QuietPetsc quiet;
  try {
    const double y0[] = {1.0};
    const auto decay = [](double, std::span<const double> y, std::span<double> f) { f[0] = -y[0]; };
    TimeStepper(options, decay, y0, 1).step();
  } catch (const NumericalError& error) {
    throw InputError("with the PETSc options -" + options.prefix + ".. " + error.what());
  }
}

void TimeStepper::step(const std::function<bool()>& acceptable) { impl_->step(acceptable); }
double TimeStepper::time() const { return impl_->time(); }
double TimeStepper::previous_time() const { return impl_->start_time_; }
std::vector<double> TimeStepper::state() const { return impl_->state(); }
std::vector<double> TimeStepper::interpolate(double t) { return impl_->interpolate(t); }
std::vector<double> TimeStepper::resolve(double t) { return impl_->resolve(t); }
const std::vector<double>& TimeStepper::last_slope() const { return impl_->last_slope_; }
const std::vector<double>& TimeStepper::end_slope() { return impl_->end_slope(); }
bool TimeStepper::adaptive() const { return impl_->adaptive(); }
void TimeStepper::invalidate() { impl_->invalidate(); }

std::int64_t TimeStepper::steps() const { return impl_->steps(); }

std::int64_t TimeStepper::rejected_steps() const { return impl_->rejected(); }

Snapshot TimeStepper::snapshot(bool now) const { return now ? impl_->snapshot() : impl_->before_; }
void TimeStepper::restore(const Snapshot& snapshot) { impl_->restore(snapshot); }
double TimeStepper::next_step_size() const { return impl_->next_step_size(); }

}  // namespace headflow
