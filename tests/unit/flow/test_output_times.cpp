#include <gtest/gtest.h>

#include <cmath>

#include "headflow/core/error.hpp"
#include "headflow/flow/output_times.hpp"

namespace headflow {
namespace {

std::string refusal(const OutputTimes& times, double end) {
  try {
    times.until("flow.output_times", end);
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

TEST(OutputTimes, areEquallySpacedInTOrInItsLogarithm) {
  EXPECT_EQ((OutputTimes{.outputs = 4}.until("", 2)), (std::vector<double>{0, 0.5, 1, 1.5, 2}));
  const auto log = OutputTimes{.outputs = 5, .spacing = Spacing::log}.until("", 300);
  ASSERT_EQ(log.size(), 6u);
  EXPECT_EQ(log.front(), 0);
  EXPECT_EQ(log.back(), 300);
  for (std::size_t i = 1; i < log.size(); ++i)
    EXPECT_NEAR(std::log10(log[i] / 300), static_cast<double>(i) - 5, 1e-12);
  EXPECT_EQ(logarithmic_times(7, 1), (std::vector<double>{0, 7}));
}

TEST(OutputTimes, mustIncreaseAndStayWithinTheRun) {
  EXPECT_EQ((OutputTimes{.times = {{0, 1, 3}}}.until("", 3)), (std::vector<double>{0, 1, 3}));
  EXPECT_EQ(refusal({.times = {{0, 1, 1}}}, 3),
            "flow.output_times must increase and stay within end_time = 3, found 1");
  EXPECT_EQ(refusal({.times = {{1, 1}}}, 3),
            "flow.output_times must increase and stay within end_time = 3, found 1");
  EXPECT_EQ(refusal({.times = {{0, 4}}}, 3),
            "flow.output_times must increase and stay within end_time = 3, found 4");
  EXPECT_EQ(refusal({.times = std::vector<double>{}}, 3), "flow.output_times must not be empty");
}

}  // namespace
}  // namespace headflow
