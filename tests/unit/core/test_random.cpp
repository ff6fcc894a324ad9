#include <gtest/gtest.h>

#include <boost/math/distributions/chi_squared.hpp>
#include <boost/math/distributions/normal.hpp>
#include <cmath>
#include <limits>
#include <vector>

#include "core/lanes.hpp"
#include "core/normal.hpp"
#include "core/random.hpp"
#include "support.hpp"

namespace headflow {
namespace {

using testing_support::estimate;

TEST(Philox, givesTheKnownAnswers) {
  // kat_vectors of the Random123 distribution: philox4x32, 10 rounds.
  using Philox = r123::Philox4x32_R<10>;
  const auto check = [](std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key,
                        std::array<std::uint32_t, 4> expected) {
    const auto out =
        Philox()({{counter[0], counter[1], counter[2], counter[3]}}, {{key[0], key[1]}});
    for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(out[i], expected[i]);
  };
  check({0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  check({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  check({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0},
        {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST(RandomStream, everyPartOfTheAddressMatters) {
  const auto bits = [](std::uint64_t seed, Purpose purpose, std::uint32_t a, std::uint64_t b,
                       std::uint64_t i, std::uint32_t draw) {
    return RandomStream(seed, purpose, a, b).bits(i, draw);
  };
  const auto base = bits(1, Purpose::samples, 2, 3, 4, 5);
  EXPECT_EQ(base, bits(1, Purpose::samples, 2, 3, 4, 5));
  EXPECT_NE(base, bits(1ull << 40, Purpose::samples, 2, 3, 4, 5));
  EXPECT_NE(base, bits(1, Purpose::start, 2, 3, 4, 5));
  EXPECT_NE(base, bits(1, Purpose::samples, 3, 3, 4, 5));
  EXPECT_NE(base, bits(1, Purpose::samples, 2, 3 + (1ull << 32), 4, 5));
  EXPECT_NE(base, bits(1, Purpose::samples, 2, 3, 4 + (1ull << 32), 5));
  EXPECT_NE(base, bits(1, Purpose::samples, 2, 3, 4, 6));
}

TEST(RandomStream, manyItemsHaveTheirOwnBits) {
  const auto unit = [](std::uint32_t high, std::uint32_t low) {
    return to_unit_interval(static_cast<std::uint64_t>(high) << 32 | low);
  };
  const RandomStream stream(1ull << 40, Purpose::samples, 3, 5);
  for (const std::uint64_t index : {0ull, 64ull, (1ull << 32) - 64, (7ull << 35) + 128}) {
    RandomStream::Items first, second;
    stream.uniforms(index, 9, first, second);
    for (std::size_t i = 0; i < RandomStream::items_at_once; ++i) {
      const auto bits = stream.bits(index + i, 9);
      EXPECT_EQ(first[i], unit(bits[0], bits[1]));
      EXPECT_EQ(second[i], unit(bits[2], bits[3]));
    }
  }
}

TEST(NormalQuantile, agreesWithBoost) {
  const boost::math::normal normal;
  for (double u = 1e-16; u < 1; u = u < 0.5 ? u * 1.37 : 1 - (1 - u) / 1.37) {
    if (1 - u < 1e-15) break;
    const double expected = boost::math::quantile(normal, u);
    EXPECT_NEAR(normal_quantile(u), expected, 2e-15 * (1 + std::abs(expected))) << u;
  }
  EXPECT_EQ(normal_quantile(0.5), 0.0);
}

TEST(NormalQuantile, aListHasTheBitsOfSingleCalls) {
  std::vector<double> u;
  for (int i = 0; i < 777; ++i) u.push_back((i + 0.5) / 777);
  auto list = u;
  normal_quantile(list);
  for (std::size_t i = 0; i < u.size(); ++i) EXPECT_EQ(list[i], normal_quantile(u[i]));
}

// Kolmogorov-Smirnov against the exact law, 20000 draws: P(sqrt(n) D > 1.95) = 1.0e-3 for each of 7
// laws, fixed seed.
TEST(RandomSequence, chiSquareHasItsLawForFewAndManyDegreesOfFreedom) {
  for (const double degrees : {1.0, 2.0, 3.0, 7.5, 1e3, 1e7, 1e12}) {
    const RandomStream stream(11, Purpose::start, 0, static_cast<std::uint64_t>(degrees));
    std::vector<double> draws;
    for (std::uint64_t i = 0; i < 20000; ++i)
      draws.push_back(RandomSequence(stream, i).chi_square(degrees));
    std::sort(draws.begin(), draws.end());
    const boost::math::chi_squared law(degrees);
    double distance = 0;
    for (std::size_t i = 0; i < draws.size(); ++i) {
      const double p = degrees < 1e9
                           ? boost::math::cdf(law, draws[i])
                           : 0.5 * std::erfc(-(draws[i] - degrees) / std::sqrt(4 * degrees));
      distance = std::max({distance, std::abs(p - static_cast<double>(i) / 20000),
                           std::abs(p - static_cast<double>(i + 1) / 20000)});
    }
    EXPECT_LT(std::sqrt(20000.0) * distance, 1.95) << degrees << " degrees of freedom";
  }
}

// Means of 40000 draws within 4.5 standard errors: false alarm 7e-6 for each.
TEST(RandomSequence, normalsHaveTheirMoments) {
  const RandomStream stream(3, Purpose::start);
  std::vector<double> first, second, fourth;
  RandomSequence sequence(stream, 0);
  for (int i = 0; i < 40000; ++i) {
    const double x = sequence.normal();
    first.push_back(x);
    second.push_back(x * x);
    fourth.push_back(x * x * x * x);
  }
  EXPECT_NEAR(estimate(first).mean, 0, 4.5 * estimate(first).error);
  EXPECT_NEAR(estimate(second).mean, 1, 4.5 * estimate(second).error);
  EXPECT_NEAR(estimate(fourth).mean, 3, 4.5 * estimate(fourth).error);
}

/// exp of numbers as many as fill 5 vectors from `top` down, as the kernels compute them; its
/// largest relative error, in machine epsilons.
template <class Real>
double error_of_exp(Real top, Real step) {
  Lanes<Real> x[5];
  for (int i = 0; i < 5 * lane_count<Real>; ++i)
    x[i / lane_count<Real>][i % lane_count<Real>] = top - static_cast<Real>(i) * step;
  Lanes<Real> value[5] = {x[0], x[1], x[2], x[3], x[4]};
  exp_nonpositive<5>(value);
  double worst = 0;
  for (int i = 0; i < 5; ++i) {
    const Lanes<Real> alone = exp_nonpositive(x[i]);
    for (int lane = 0; lane < lane_count<Real>; ++lane) {
      EXPECT_EQ(value[i][lane], alone[lane]);
      const auto exact = std::exp(static_cast<long double>(x[i][lane]));
      const auto error = static_cast<double>(static_cast<long double>(value[i][lane]) / exact - 1);
      worst = std::max(worst, std::abs(error) / double{std::numeric_limits<Real>::epsilon()});
    }
  }
  return worst;
}

template <class Real>
void check_exp(Real lowest, double epsilons) {
  double worst = 0;
  for (Real x = 0; x > lowest; x -= Real(0.01))
    worst = std::max(worst, error_of_exp<Real>(x, Real(0.000317)));
  for (Real x = -1; x < Real(-1e-30); x /= 2)
    worst = std::max(worst, error_of_exp<Real>(x, -x / 100));
  EXPECT_LT(worst, epsilons);
  EXPECT_EQ(exp_nonpositive(broadcast(Real(0)))[0], Real(1));
  EXPECT_LT(exp_nonpositive(broadcast(Real(-1e30)))[0], Real(1e-35));
  EXPECT_GE(exp_nonpositive(broadcast(Real(-1e30)))[0], Real(0));
  EXPECT_LT(exp_nonpositive(broadcast(-std::numeric_limits<Real>::infinity()))[0], Real(1e-35));
  EXPECT_TRUE(std::isnan(exp_nonpositive(broadcast(std::numeric_limits<Real>::quiet_NaN()))[0]));
}

TEST(Lanes, expIsAccurateStableAndKeepsNan) {
  check_exp<double>(-700, vector_bytes == 64 ? 2 : 4);
  check_exp<float>(-85, 3);
}

TEST(Lanes, logIsAccurateEverywhere) {
  const auto log = [](double x) { return lane_log(broadcast(x))[0]; };
  double worst = 0;
  const auto check = [&](double x) {
    const auto exact = std::log(static_cast<long double>(x));
    const auto error = static_cast<double>(static_cast<long double>(log(x)) / exact - 1);
    worst = std::max(worst, std::abs(error) / std::numeric_limits<double>::epsilon());
  };
  for (double x = 1e-320; x < 1e308; x *= 1.0123) check(x);
  for (double x = 0.9; x < 1.1; x += 1.7e-5) check(x);
  for (double h = 0.5; h > 1e-15; h *= 0.7) {
    check(1 + h);
    check(1 - h);
  }
  EXPECT_LT(worst, 1);
  constexpr double infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(log(1), 0);
  EXPECT_EQ(log(0), -infinity);
  EXPECT_EQ(log(infinity), infinity);
  EXPECT_TRUE(std::isnan(log(-1)));
  EXPECT_TRUE(std::isnan(log(-infinity)));
  EXPECT_TRUE(std::isnan(log(std::nan(""))));
}

TEST(Lanes, reciprocalIsAccurateAndKeepsNan) {
  for (double x = 1e-300; x < 1e300; x *= 1.00917) {
    const auto error =
        static_cast<double>(reciprocal(broadcast(x))[0] * static_cast<long double>(x) - 1);
    EXPECT_LT(std::abs(error), std::numeric_limits<double>::epsilon()) << x;
  }
  EXPECT_TRUE(std::isnan(reciprocal(broadcast(std::numeric_limits<double>::quiet_NaN()))[0]));
}

}  // namespace
}  // namespace headflow
