#include <gtest/gtest.h>

#include <utility>

#include "core/progress.hpp"

namespace headflow {
namespace {

TEST(Progress, isAsFastAsThisStartHasBeen) {
  const Pace first = pace({}, {20, 50}, 80, 10);
  EXPECT_DOUBLE_EQ(first.steps_per_second, 5);
  EXPECT_DOUBLE_EQ(first.seconds_left, 30);
  // 8 steps in 200 s from t = 60 to 70: t = 80 comes after as many seconds again.
  const Pace later = pace({60, 118}, {70, 126}, 80, 200);
  EXPECT_DOUBLE_EQ(later.steps_per_second, 0.04);
  EXPECT_DOUBLE_EQ(later.seconds_left, 200);
  EXPECT_EQ(pace({60, 118}, {80.5, 127}, 80, 200).seconds_left, 0);  // its last step goes beyond
}

// The flow's steps grow: t = s^2 at second s. Over the whole run 1200 s would be left at s = 20,
// over its latter part at most 540; the rest takes 80 s.
TEST(Progress, isThatOfTheLatterPart) {
  RecentPace recent({}, 1e4);
  for (int second = 1; second <= 20; ++second) {
    const auto t = static_cast<double>(second * second);
    const Pace now = recent.after({t, second}, second);
    EXPECT_NEAR(now.steps_per_second, 1, 1e-12) << second;
    const double whole = (1e4 - t) * second / t;
    if (second > 1) {
      EXPECT_LE(now.seconds_left, 0.8 * whole) << second;
    }
    EXPECT_GE(now.seconds_left, (1e4 - t) / (2 * second)) << second;
  }
  RecentPace even({10, 5}, 110);
  for (const int second : {3, 4, 9, 30})
    EXPECT_NEAR(even.after({10.0 + second, 5 + second}, second).seconds_left, 100 - second, 1e-9);
}

TEST(Progress, errorsHaveOneDigit) {
  for (const auto& [error, text] : {std::pair{3e-5, "2.0 +- 3e-05"},
                                    {0.94, "2.0 +- 0.9"},
                                    {0.96, "2.0 +- 1"},
                                    {9.4, "2.0 +- 9"},
                                    {9.6, "2.0 +- 10"},
                                    {14.0, "2.0 +- 10"},
                                    {960.0, "2.0 +- 1000"},
                                    {1e20, "2.0 +- 1e+20"},
                                    {0.0, "2.0 +- 0"}})
    EXPECT_EQ(with_error(2, error, "{:.1f}"), text);
}

TEST(Progress, saysWhatThisStartHasTaken) {
  EXPECT_EQ(steps_and_seconds({}, 126, 224.8), ", 224.8 s");
  EXPECT_EQ(steps_and_seconds({75.756, 118}, 126, 224.8),
            "; since it went on at t = 75.756: 8 steps, 224.8 s");
  EXPECT_EQ(steps_and_seconds({1, 5}, 6, 2), "; since it went on at t = 1: 1 step, 2 s");
}

}  // namespace
}  // namespace headflow
