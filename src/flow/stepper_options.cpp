#include "flow/stepper_options.hpp"

#include <algorithm>
#include <initializer_list>
#include <iterator>
#include <vector>

#include "headflow/core/error.hpp"
#include "headflow/core/keys.hpp"
#include "headflow/core/petsc.hpp"

namespace headflow {
namespace {

/// The options of TS that have an effect on steps that are driven from here, and leave nothing
/// behind that a snapshot lacks. Those that only watch are allowed as well.
constexpr const char* petsc_names[] = {"type",
                                       "rk_type",
                                       "ssp_type",
                                       "ssp_nstages",
                                       "rtol",
                                       "atol",
                                       "max_reject",
                                       "adapt_type",
                                       "adapt_safety",
                                       "adapt_reject_safety",
                                       "adapt_clip",
                                       "adapt_dt_min",
                                       "adapt_dt_max",
                                       "adapt_wnormtype",
                                       "adapt_max_ignore",
                                       "adapt_always_accept"};

/// Throws InputError for an option with the prefix about the adaption of steps, which are fixed.
void require_fixed_step(const std::string& prefix) {
  for (const auto& [name, value] : petsc_option_list())
    for (const char* about : {"ts_adapt_", "ts_rtol", "ts_atol", "ts_max_reject"})
      if (name.starts_with("-" + prefix + about) && value != TSADAPTNONE)
        throw InputError("PETSc option " + name + " has no effect: the method has fixed steps");
}

/// Throws InputError for an option with the prefix that is none of these.
void require_effect(const std::string& prefix) {
  std::string others;
  for (const auto& option : petsc_option_list()) {
    if (!option.name.starts_with("-" + prefix) || option.only_watches()) continue;
    const auto known = std::any_of(std::begin(petsc_names), std::end(petsc_names), [&](auto* name) {
      return option.name == "-" + prefix + "ts_" + name;
    });
    if (!known) others += " " + option.name;
  }
  if (!others.empty())
    throw InputError("no such option of PETSc has an effect here:" + others + " (there are " +
                     stepper_option_words(prefix) + ")");
}

bool one_of(const std::string& word, std::initializer_list<const char*> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

void set_method(TS ts, const std::string& method) {
  const bool adaptive = one_of(method, {"2a", "3bs", "5f", "5dp", "5bs", "6vr", "7vr", "8vr"});
  if (method == "euler") {
    petsc_check(TSSetType(ts, TSEULER), "TSSetType");
  } else if (method == "ssp") {
    petsc_check(TSSetType(ts, TSSSP), "TSSetType");
  } else {
    petsc_check(TSSetType(ts, TSRK), "TSSetType");
    petsc_check(TSRKSetType(ts, method.c_str()), "TSRKSetType");
  }
  TSAdapt adapt = nullptr;
  petsc_check(TSGetAdapt(ts, &adapt), "TSGetAdapt");
  petsc_check(TSAdaptSetType(adapt, adaptive ? TSADAPTBASIC : TSADAPTNONE), "TSAdaptSetType");
}

/// The command line wins; what PETSc refuses there is the user's input.
void set_from_options(TS ts, const std::string& prefix) {
  require_effect(prefix);
  try {
    petsc_check(TSSetFromOptions(ts), "TSSetFromOptions");
  } catch (const NumericalError& error) {
    throw InputError("with the PETSc options -" + prefix + ".. " + error.what());
  }
  TSType type = nullptr;
  petsc_check(TSGetType(ts, &type), "TSGetType");
  if (!one_of(type, {TSRK, TSEULER, TSSSP}))
    throw InputError(std::string("the time stepper must be explicit (") + TSRK + ", " + TSEULER +
                     " or " + TSSSP + "), found -" + prefix + "ts_type " + type);
  TSAdapt adapt = nullptr;
  TSAdaptType adapt_type = nullptr;
  petsc_check(TSGetAdapt(ts, &adapt), "TSGetAdapt");
  petsc_check(TSAdaptGetType(adapt, &adapt_type), "TSAdaptGetType");
  if (!one_of(adapt_type, {TSADAPTNONE, TSADAPTBASIC}))
    throw InputError("-" + prefix + "ts_adapt_type must be " + TSADAPTNONE + " or " + TSADAPTBASIC +
                     ", found " + adapt_type +
                     " (a run that goes on could not bring its memory back)");
  if (!one_of(type, {TSRK}) || !one_of(adapt_type, {TSADAPTBASIC})) require_fixed_step(prefix);
}

}  // namespace

std::string stepper_option_words(const std::string& prefix) {
  std::string words;
  for (const char* name : petsc_names) words += std::string(words.empty() ? "" : ", ") + name;
  return "-" + prefix + "ts_.. with " + words +
         " or a monitor; the first step and the end are keys of the input";
}

void set_stepper_options(TS ts, const TimeStepper::Options& options) {
  set_method(ts, options.method);
  petsc_check(TSSetTolerances(ts, options.tolerance, nullptr, options.tolerance, nullptr),
              "TSSetTolerances");
  set_from_options(ts, options.prefix);
}

void TimeStepper::Options::declare_keys(KeyVisitor& visitor) {
  visitor.key({"method", "explicit PETSc time stepper: 5dp adaptive, euler with a fixed step, .."},
              method, methods());
  visitor.key({"tolerance", "relative and absolute tolerance of adaptive methods"}, tolerance,
              {.least = 1e-14, .most = 1});
  visitor.key({"step", "first step of adaptive methods, step of the others"}, step, positive);
}

const std::vector<std::string>& TimeStepper::methods() {
  static const std::vector<std::string> names = {"5dp", "euler", "1fe", "2a",  "2b",  "3",   "3bs",
                                                 "4",   "5f",    "5bs", "6vr", "7vr", "8vr", "ssp"};
  return names;
}

}  // namespace headflow
