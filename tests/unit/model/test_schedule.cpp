#include "headflow/model/schedule.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <utility>

namespace headflow {
namespace {

using Law = Schedule::Law;

std::vector<Schedule> schedules() {
  std::vector<Schedule> all(5);
  all[1].law = Law::steps;
  all[1].times = {1, 2.5};
  all[1].factors = {0.5, 2};
  all[2].law = Law::power;
  all[2].scale = 0.7;
  all[2].exponent = 1.5;
  all[3].law = Law::cosine;
  all[3].length = 4;
  all[3].floor = 0.02;
  all[4].law = Law::power;
  all[4].exponent = 0;
  for (std::size_t i = 0; i < 5; ++i) {
    Schedule warm = all[i];
    warm.warm_up = 0.8;
    warm.warm_up_from = i == 0 ? 1 : 0.2;
    all.push_back(warm);
  }
  return all;
}

TEST(Schedule, hasItsFactors) {
  const auto all = schedules();
  EXPECT_EQ(all[0].factor(3), 1);
  for (const auto& [t, factor] : {std::pair{0.5, 1.0}, {1, 0.5}, {2.4, 0.5}, {2.5, 2}, {9, 2}})
    EXPECT_EQ(all[1].factor(t), factor) << t;
  EXPECT_NEAR(all[2].factor(1.4), std::pow(3, -1.5), 1e-15);
  EXPECT_NEAR(all[3].factor(2), 0.51, 1e-15);
  EXPECT_EQ(all[3].factor(0), 1);
  EXPECT_EQ(all[3].factor(4), 0.02);
  EXPECT_EQ(all[3].factor(7), 0.02);
  EXPECT_EQ(all[6].factor(0), 0.2);
  EXPECT_NEAR(all[6].factor(0.4), 0.6, 1e-15);
  EXPECT_EQ(all[6].factor(2), 0.5);
  EXPECT_EQ(all[1].most(), 2);
  EXPECT_EQ(all[3].most(), 1);
}

// elapsed' = 1 / factor, by Simpson's rule between kinks; time is its inverse.
TEST(Schedule, countsTheSteps) {
  for (const Schedule& schedule : schedules()) {
    EXPECT_EQ(schedule.elapsed(0), 0);
    EXPECT_EQ(schedule.time(0), 0);
    double sum = 0, t = 0;
    const double h = 0.01;
    for (int i = 0; i < 600; ++i, t = i * h) {
      const auto inverse = [&](double at) { return 1 / schedule.factor(at); };
      constexpr double inside = 1e-12;  // a kink at the end is that of the next step
      sum += h / 6 * (inverse(t + inside) + 4 * inverse(t + 0.5 * h) + inverse(t + h - inside));
      const double elapsed = schedule.elapsed(t + h);
      EXPECT_NEAR(elapsed, sum, 1e-6 * (1 + sum)) << static_cast<int>(schedule.law) << " " << t;
      EXPECT_NEAR(schedule.time(elapsed), t + h, 1e-12 * (1 + t));
    }
  }
}

TEST(Schedule, thatIsConstantKeepsEveryBit) {
  for (const double x : {0.1, 1e-9, 3e7}) {
    EXPECT_EQ(Schedule().elapsed(x), x);
    EXPECT_EQ(Schedule().time(x), x);
  }
}

}  // namespace
}  // namespace headflow
