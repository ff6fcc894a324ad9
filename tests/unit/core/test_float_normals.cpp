#include <gtest/gtest.h>

#include <algorithm>
#include <boost/math/distributions/normal.hpp>

#include "core/float_normals.hpp"
#include "core/lanes.hpp"
#include "support.hpp"

namespace headflow {
namespace {

constexpr std::uint32_t block = FloatNormals::block;

AlignedVector<float> draw(const FloatNormals& normals, std::uint32_t item, std::uint32_t row,
                          std::uint32_t first, std::uint32_t blocks) {
  AlignedVector<float> x(block * blocks);
  normals.fill(item, row, first, blocks, x.data());
  return x;
}

FloatNormals stream(std::uint64_t seed, std::uint32_t replica = 0, std::uint64_t step = 0) {
  return FloatNormals(RandomStream(seed, Purpose::tokens, replica, step));
}

TEST(FloatNormals, piecesAreTheWhole) {
  const FloatNormals normals = stream(5);
  const auto whole = draw(normals, 3, 2, 0, 40);
  for (const std::uint32_t first : {0u, 1u, 7u, 39u}) {
    const auto piece = draw(normals, 3, 2, first, 1);
    EXPECT_TRUE(std::equal(piece.begin(), piece.end(), whole.begin() + first * block));
  }
}

// 2^24 numbers: moments within 4.5 standard errors, tails within 4.5 of their Poisson deviation: 8
// comparisons, false alarms 5e-5 in all, fixed seed.
TEST(FloatNormals, momentsAndTails) {
  constexpr double n = 0x1p24;
  const auto x = draw(stream(1), 0, 0, 0, (1u << 24) / block);
  double moment[5] = {};
  double beyond[6] = {};
  for (const double value : x) {
    double power = 1;
    for (double& m : moment) m += (power *= value) / n;
    for (int k = 2; k < 6; ++k) beyond[k] += std::abs(value) > k;
  }
  const double variance[] = {1, 2, 15, 96};  // of x, x^2, x^3, x^4
  const double mean[] = {0, 1, 0, 3};
  for (int k = 0; k < 4; ++k)
    EXPECT_NEAR(moment[k], mean[k], 4.5 * std::sqrt(variance[k] / n)) << "moment " << k + 1;
  const boost::math::normal normal;
  for (int k = 2; k < 6; ++k) {
    const double expected = 2 * n * boost::math::cdf(normal, -k);
    EXPECT_NEAR(beyond[k], expected, 4.5 * std::sqrt(expected)) << "beyond " << k;
  }
}

// Kolmogorov-Smirnov with 2^20 numbers: sqrt(n) D > 2.2 has probability 1.3e-4; fixed seed.
TEST(FloatNormals, distributionFunction) {
  auto x = draw(stream(2), 1, 1, 0, (1u << 20) / block);
  std::sort(x.begin(), x.end());
  const boost::math::normal normal;
  const auto n = static_cast<double>(x.size());
  double distance = 0;
  for (std::size_t i = 0; i < x.size(); ++i)
    distance = std::max(distance, std::abs(boost::math::cdf(normal, static_cast<double>(x[i])) -
                                           (static_cast<double>(i) + 0.5) / n));
  EXPECT_LT(std::sqrt(n) * distance, 2.2);
}

double correlation(const float* a, const float* b, std::size_t n, bool squares) {
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const double x = a[i], y = b[i];
    sum += squares ? (x * x - 1) * (y * y - 1) / 2 : x * y;
  }
  return sum / std::sqrt(static_cast<double>(n));
}

// Neighbours at any distance up to a block, other rows, items, replicas, steps and seeds: no
// correlation of the numbers or of their squares. 2 * (64 + 6) comparisons at 5 sigma: false alarms
// 8e-5 in all, fixed seeds. Equal addresses have correlation sqrt(n).
TEST(FloatNormals, areIndependent) {
  constexpr std::uint32_t blocks = 2048;
  constexpr std::size_t n = block * blocks;
  const auto x = draw(stream(1), 4, 2, 0, blocks + 1);
  for (const bool squares : {false, true}) {
    for (std::size_t lag = 1; lag <= block; ++lag)
      EXPECT_LT(std::abs(correlation(x.data(), x.data() + lag, n, squares)), 5) << "lag " << lag;
    for (const auto& other :
         {draw(stream(1), 4, 3, 0, blocks), draw(stream(1), 5, 2, 0, blocks),
          draw(stream(1, 1), 4, 2, 0, blocks), draw(stream(1, 0, 1), 4, 2, 0, blocks),
          draw(stream(2), 4, 2, 0, blocks), draw(stream(1), 4, 2, blocks, blocks)})
      EXPECT_LT(std::abs(correlation(x.data(), other.data(), n, squares)), 5);
  }
  EXPECT_GT(correlation(x.data(), draw(stream(1), 4, 2, 0, blocks).data(), n, false), 100);
}

}  // namespace
}  // namespace headflow
