#include <gtest/gtest.h>

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

TEST(Progress, saysWhatThisStartHasTaken) {
  EXPECT_EQ(steps_and_seconds({}, 126, 224.8), ", 224.8 s");
  EXPECT_EQ(steps_and_seconds({75.756, 118}, 126, 224.8),
            "; since it went on at t = 75.756: 8 steps, 224.8 s");
  EXPECT_EQ(steps_and_seconds({1, 5}, 6, 2), "; since it went on at t = 1: 1 step, 2 s");
}

}  // namespace
}  // namespace headflow
