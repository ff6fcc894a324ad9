#include <gtest/gtest.h>

#include <boost/math/distributions/chi_squared.hpp>

#include "core/lane_random.hpp"
#include "core/normal.hpp"
#include "support.hpp"

namespace headflow {
namespace {

// lane_chi against the chi-square law: one-sample Kolmogorov-Smirnov, 200000 numbers, false alarm
// 1e-6 for each of 8 numbers of degrees. Above 1e6 in units of the spread, where the law is that of
// Wilson and Hilferty's cube to 1e-6.
TEST(LaneChi, hasItsLaw) {
  constexpr int lanes = LaneRandom::lanes;
  for (const double degrees : {1.0, 2.0, 3.0, 7.0, 100.0, 1e4, 1e9, 1e12}) {
    LaneRandom random;
    const RandomStream more(9, Purpose::merge_retries);
    for (std::size_t i = 0; i < lanes; ++i) {
      random.key[i] = LaneRandom::key_of(RandomStream(3, Purpose::overlaps, 7));
      random.item[i] = i;
    }
    std::vector<double> u;
    for (std::uint64_t step = 0; step < 200000 / lanes; ++step) {
      random.step.fill(step);
      alignas(64) double draws[2 * lanes];
      random.fill(2, draws);
      normal_quantile({draws, lanes});
      const Lanes<double> chi =
          lane_chi(degrees, *reinterpret_cast<const Lanes<double>*>(draws),
                   *reinterpret_cast<const Lanes<double>*>(draws + lanes), [&](int lane) {
                     return RandomSequence(more, step * lanes + static_cast<unsigned>(lane));
                   });
      for (int lane = 0; lane < lanes; ++lane) {
        const double square = chi[lane] * chi[lane];
        if (degrees <= 1e4) {
          u.push_back(boost::math::cdf(boost::math::chi_squared(degrees), square));
        } else {
          const double z =
              std::expm1(std::log1p((square - degrees) / degrees) / 3) + 2 / (9 * degrees);
          u.push_back(0.5 * std::erfc(-z / std::sqrt(2 / (9 * degrees)) / std::sqrt(2.0)));
        }
      }
    }
    std::sort(u.begin(), u.end());
    double distance = 0;
    const auto n = static_cast<double>(u.size());
    for (std::size_t i = 0; i < u.size(); ++i)
      distance = std::max(
          {distance, u[i] - static_cast<double>(i) / n, static_cast<double>(i + 1) / n - u[i]});
    EXPECT_LT(distance * std::sqrt(n), 2.7) << degrees;  // 2 exp(-2 2.7^2) = 1e-6
  }
}

}  // namespace
}  // namespace headflow
