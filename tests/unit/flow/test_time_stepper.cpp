#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <set>
#include <string>

#include "headflow/core/error.hpp"
#include "headflow/core/petsc.hpp"
#include "headflow/flow/time_stepper.hpp"

namespace headflow {
namespace {

/// y' = -y + sin(5 t) y', two components with different rates; y_i' = -a_i y_i + cos t.
void forced_decay(double t, std::span<const double> y, std::span<double> f) {
  f[0] = -y[0] + std::cos(t);
  f[1] = -3 * y[1] * y[1];
}

/// Exact solution from y(0) = (0.5, 1): y_1 = (sin t + cos t)/2, y_2 = 1/(1 + 3t).
double exact(int i, double t) {
  return i == 0 ? 0.5 * (std::sin(t) + std::cos(t)) : 1 / (1 + 3 * t);
}

/// Largest error at times off the step grid, up to t = 2, with the fixed step h.
double largest_error(const std::string& method, double h) {
  const double y0[] = {0.5, 1.0};
  const TimeStepper::Options options{.method = method, .tolerance = 1e-3, .step = h};
  set_petsc_option("-flow_ts_adapt_type", "none");
  TimeStepper stepper(options, forced_decay, y0, 3);
  double error = 0;
  while (stepper.time() < 2) {
    stepper.step();
    const double t = stepper.previous_time() + 0.6 * stepper.step_size();
    const auto y = stepper.resolve(t);
    error = std::max({error, std::abs(y[0] - exact(0, t)), std::abs(y[1] - exact(1, t))});
  }
  return error;
}

class FixedStep : public testing::Test {
 protected:
  ~FixedStep() override {
    static_cast<void>(PetscOptionsClearValue(nullptr, "-flow_ts_adapt_type"));
  }
};

// log2 of the error ratio under halving of the step: the method's order (5dp between steps: its
// dense output's, 4).
TEST_F(FixedStep, everyMethodHasItsOrder) {
  const std::vector<std::pair<std::string, int>> methods = {
      {"euler", 1}, {"1fe", 1}, {"2a", 2}, {"2b", 2},  {"3", 3},
      {"3bs", 3},   {"4", 4},   {"5f", 5}, {"5bs", 5}, {"5dp", 4}};
  for (const auto& [method, order] : methods) {
    const double ratio = largest_error(method, 0.02) / largest_error(method, 0.01);
    EXPECT_GT(std::log2(ratio), order - 0.7) << method;
    EXPECT_LT(std::log2(ratio), order + 1.6) << method;
  }
}

TEST(TimeStepper, everyMethodOfTheListRuns) {
  const double y0[] = {0.5, 1.0};
  for (const auto& method : TimeStepper::methods()) {
    TimeStepper stepper({.method = method, .tolerance = 1e-8, .step = 0.01}, forced_decay, y0, 1);
    while (stepper.time() < 1) stepper.step();
    const bool first_order = method == "euler" || method == "1fe";
    EXPECT_NEAR(stepper.resolve(1)[0], exact(0, 1), first_order ? 1e-2 : 1e-4) << method;
    EXPECT_NEAR(stepper.resolve(1)[1], exact(1, 1), first_order ? 1e-2 : 1e-4) << method;
  }
}

TEST(TimeStepper, toleranceIsKept) {
  const double y0[] = {0.5, 1.0};
  for (const double tolerance : {1e-4, 1e-7, 1e-10}) {
    TimeStepper stepper({.tolerance = tolerance}, forced_decay, y0, 5);
    while (stepper.time() < 5) stepper.step();
    EXPECT_NEAR(stepper.resolve(5)[0], exact(0, 5), 50 * tolerance);
  }
}

TEST(TimeStepper, lookingBetweenStepsLeavesNoTrace) {
  const double y0[] = {0.5, 1.0};
  for (const std::string method : {"5dp", "3bs", "euler", "8vr"}) {
    TimeStepper quiet({.method = method, .step = 0.05}, forced_decay, y0, 2);
    TimeStepper asked({.method = method, .step = 0.05}, forced_decay, y0, 2);
    while (quiet.time() < 2) {
      quiet.step();
      asked.step();
      for (const double s : {0.2, 0.7}) {
        const double t = asked.previous_time() + s * asked.step_size();
        EXPECT_NEAR(asked.interpolate(t)[0], exact(0, t), 0.05);
        asked.resolve(t);
      }
      ASSERT_EQ(quiet.time(), asked.time()) << method;
      ASSERT_EQ(quiet.state(), asked.state()) << method;
    }
  }
}

// A step that the caller refuses leaves no trace but a smaller step: the state is that of a stepper
// which has tried the smaller step at once.
TEST(TimeStepper, aRefusedStepIsTriedAgainWithAQuarter) {
  const std::vector<double> y0 = {1, 0};
  for (const auto& method : TimeStepper::methods()) {
    const TimeStepper::Options large{.method = method, .tolerance = 1, .step = 0.4};
    const TimeStepper::Options small{.method = method, .tolerance = 1, .step = 0.1};
    TimeStepper refused(large, forced_decay, y0, 3), plain(small, forced_decay, y0, 3);
    int asked = 0;
    refused.step([&] { return ++asked > 1; });
    plain.step();
    const bool has_estimate =
        std::set<std::string>{"2a", "3bs", "5f", "5dp", "5bs", "6vr", "7vr", "8vr"}.contains(
            method);
    EXPECT_EQ(refused.adaptive(), has_estimate) << method;
    EXPECT_EQ(asked, has_estimate ? 2 : 0) << method;
    if (!has_estimate) continue;
    EXPECT_EQ(refused.time(), plain.time()) << method;
    EXPECT_EQ(refused.state(), plain.state()) << method;
    EXPECT_EQ(refused.steps(), 1) << method;
    EXPECT_EQ(refused.rejected_steps(), 1) << method;
    std::vector<double> slope(y0.size());
    forced_decay(refused.time(), refused.state(), slope);
    for (std::size_t i = 0; i < slope.size(); ++i)
      EXPECT_NEAR(refused.end_slope()[i], slope[i], 1e-14) << method;
  }
}

/// Refused until time stands still, at another time than 0, where it never does.
TEST(TimeStepper, aStepThatIsRefusedForEverIsAnError) {
  const std::vector<double> y0 = {1, 0};
  TimeStepper stepper({}, forced_decay, y0, 3);
  stepper.step();
  try {
    stepper.step([] { return false; });
    FAIL() << "no error";
  } catch (const NumericalError& error) {
    EXPECT_EQ(std::string(error.what()), "the time step is too small to advance t = " +
                                             std::to_string(stepper.previous_time()));
  }
}

TEST(TimeStepper, aStateOfAnotherSizeIsRefused) {
  const std::vector<double> y0 = {1, 0}, longer = {1, 0, 0};
  const auto rest = [](double, auto, std::span<double> f) { std::fill(f.begin(), f.end(), 0); };
  TimeStepper two({}, forced_decay, y0, 3), three({}, rest, longer, 3);
  two.step();
  EXPECT_THROW(three.restore(two.snapshot(true)), FileError);
}

TEST(TimeStepper, anExceptionOfTheRightHandSideComesOutAsItIs) {
  const double y0[] = {1.0};
  TimeStepper stepper(
      {}, [](double, auto, auto) { throw NumericalError("from inside"); }, y0, 1);
  try {
    stepper.step();
    FAIL() << "no exception";
  } catch (const NumericalError& error) {
    EXPECT_STREQ(error.what(), "from inside");
  }
}

/// More steps than PETSc's 32 bits count.
TEST(TimeStepper, countsStepsPast32Bits) {
  const double y0[] = {1.0};
  TimeStepper stepper(
      {.method = "euler"}, [](double, auto y, auto f) { f[0] = -y[0]; }, y0, 1e9);
  stepper.step();
  Snapshot snapshot = stepper.snapshot(true);
  snapshot.put("steps", 3e9);
  stepper.restore(snapshot);
  stepper.step();
  stepper.step();
  EXPECT_EQ(stepper.steps(), 3000000002);
  EXPECT_EQ(stepper.snapshot(true).number("steps"), 3000000002.0);
  EXPECT_DOUBLE_EQ(stepper.time(), 0.1 * 3);
}

/// Options that the steps are driven without, or that a snapshot could not bring back.
TEST(TimeStepper, anOptionWithoutEffectIsAnError) {
  for (const auto& [name, value] : std::initializer_list<std::pair<const char*, const char*>>{
           {"-flow_ts_dt", "0.01"}, {"-flow_ts_max_steps", "3"}, {"-flow_ts_adapt_type", "dsp"}}) {
    set_petsc_option(name, value);
    EXPECT_THROW(TimeStepper::check({}), InputError) << name;
    petsc_check(PetscOptionsClearValue(nullptr, name), "PetscOptionsClearValue");
  }
  EXPECT_NO_THROW(TimeStepper::check({}));
}

TEST(TimeStepper, anUnknownPetscOptionIsAnError) {
  const double y0[] = {1.0};
  set_petsc_option("-flow_nonsense", "3");
  EXPECT_THROW(TimeStepper(
                   {}, [](double, auto, auto f) { f[0] = 0; }, y0, 1),
               InputError);
  petsc_check(PetscOptionsClearValue(nullptr, "-flow_nonsense"), "PetscOptionsClearValue");
  EXPECT_NO_THROW(TimeStepper(
      {}, [](double, auto, auto f) { f[0] = 0; }, y0, 1));
}

TEST(PetscVector, ownsExactlyOneReference) {
  PetscVector a(3);
  PetscInt references = 0;
  PetscVector b(std::move(a));
  EXPECT_EQ(a.handle(), nullptr);
  petsc_check(PetscObjectGetReference(reinterpret_cast<PetscObject>(b.handle()), &references),
              "PetscObjectGetReference");
  EXPECT_EQ(references, 1);
  Vec kept = b.handle();
  petsc_check(PetscObjectReference(reinterpret_cast<PetscObject>(kept)), "PetscObjectReference");
  { PetscVector c(std::move(b)); }
  petsc_check(PetscObjectGetReference(reinterpret_cast<PetscObject>(kept), &references),
              "PetscObjectGetReference");
  EXPECT_EQ(references, 1);
  petsc_check(VecDestroy(&kept), "VecDestroy");
}

}  // namespace
}  // namespace headflow
