#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <random>
#include <vector>

#include "core/exact_sum.hpp"
#include "headflow/core/error.hpp"
#include "headflow/core/local_range.hpp"

namespace headflow {
namespace {

std::vector<double> awkward_terms() {
  std::mt19937_64 generator(5);
  std::vector<double> terms;
  for (int i = 0; i < 5000; ++i) {
    const double mantissa = std::ldexp(static_cast<double>(generator() >> 11), -53) - 0.5;
    terms.push_back(std::ldexp(mantissa, static_cast<int>(generator() % 90) - 45));
  }
  return terms;
}

double sum_of(const std::vector<double>& terms) {
  ExactSums sums(1);
  for (const double term : terms) sums.add(0, term);
  return sums.value(0);
}

TEST(ExactSums, keepsWhatAPlainSumLoses) {
  EXPECT_EQ(sum_of({0x1p59, 1.0, -0x1p59}), 1.0);
  EXPECT_EQ(sum_of({1e16, 1.0, -1e16, 1e-16}), 1.0 + 1e-16);
  EXPECT_EQ(sum_of({-0x1p-60, -3.0}), -3.0);
  EXPECT_EQ(sum_of({0x1p-120, 1.0, -1.0}), 0x1p-120);  // down to the last piece
}

TEST(ExactSums, doesNotDependOnTheOrder) {
  auto terms = awkward_terms();
  const double expected = sum_of(terms);
  std::mt19937_64 generator(7);
  for (int trial = 0; trial < 10; ++trial) {
    std::shuffle(terms.begin(), terms.end(), generator);
    EXPECT_EQ(sum_of(terms), expected);
  }
}

TEST(ExactSums, agreesWithAWideSum) {
  const auto terms = awkward_terms();
#ifdef __SIZEOF_FLOAT128__
  __float128 wide = 0;
#else
  long double wide = 0;  // of 128 bits on aarch64
#endif
  for (const double term : terms) wide += term;
  EXPECT_NEAR(sum_of(terms), static_cast<double>(wide),
              std::abs(static_cast<double>(wide)) * 1e-15);
}

TEST(ExactSums, oppositeTermsGiveOppositeSums) {
  auto terms = awkward_terms();
  const double sum = sum_of(terms);
  for (double& term : terms) term = -term;
  EXPECT_EQ(sum_of(terms), -sum);
}

TEST(ExactSums, countsWhatIsNotFiniteInsteadOfAddingIt) {
  for (const double bad : std::initializer_list<double>{std::nan(""), HUGE_VAL, -HUGE_VAL, 1e300}) {
    ExactSums sums(2);
    sums.add(0, 1.0);
    EXPECT_FALSE(sums.poisoned());
    sums.add(1, bad);
    EXPECT_TRUE(sums.poisoned());
    EXPECT_TRUE(std::isnan(sums.value(0)));
  }
}

TEST(ExactSums, groupsAddUpToTheBitsOfOneSum) {
  const auto terms = awkward_terms();
  ExactSums grouped(6);  // two sums in three groups
  for (std::size_t i = 0; i < terms.size(); ++i) grouped.add(2 * (i % 3) + 1, terms[i]);
  EXPECT_EQ(grouped.value(1, 2, 3), sum_of(terms));
  EXPECT_EQ(grouped.value(0, 2, 3), 0.0);
}

TEST(DistributedExactSums, hasTheBitsOfOneProcess) {
  const auto world = Communicator::world();
  const auto terms = awkward_terms();
  const auto range =
      local_range(world.rank(), static_cast<std::int64_t>(terms.size()), world.size());
  ExactSums sums(1);
  for (auto i = range.begin; i < range.end; ++i) sums.add(0, terms[static_cast<std::size_t>(i)]);
  sums.reduce(world, fingerprint(terms));
  EXPECT_EQ(sums.value(0), sum_of(terms));
}

TEST(DistributedExactSums, noticesRanksThatDisagree) {
  const auto world = Communicator::world();
  const std::vector<double> state = {1.0, world.root() ? 2.0 : std::nextafter(2.0, 3.0)};
  ExactSums sums(1);
  if (world.size() == 1)
    EXPECT_NO_THROW(sums.reduce(world, fingerprint(state)));  // nobody to disagree with
  else
    EXPECT_THROW(sums.reduce(world, fingerprint(state)), NumericalError);
}

TEST(DistributedExactSums, refusesMoreTermsThanItHolds) {
  const auto world = Communicator::world();
  if (world.size() == 1) return;  // 2^34 additions take too long; over ranks each reduction doubles
  constexpr double term = 0x1p31;  // 2^34 of it are 2^65: no piece holds them unless it is carried
  ExactSums sums(2);
  sums.add(1, term);
  const auto reduce_often = [&](int times) {
    for (int i = 0; i < times; ++i) sums.reduce(world);
  };
  const int most = static_cast<int>(34 / std::log2(world.size()));
  EXPECT_NO_THROW(reduce_often(most));
  EXPECT_EQ(sums.value(1), std::pow(world.size(), most) * term);
  EXPECT_THROW(reduce_often(1), NumericalError);
  sums.clear();
  EXPECT_NO_THROW(reduce_often(1));
}

TEST(LocalRange, coversAllOnceAndEvenly) {
  for (const std::int64_t count : {0, 1, 5, 1000})
    for (int size = 1; size <= 7; ++size) {
      std::int64_t next = 0;
      for (int rank = 0; rank < size; ++rank) {
        const auto range = local_range(rank, count, size);
        EXPECT_EQ(range.begin, next);
        EXPECT_LE(std::abs(range.size() - count / size), 1);
        next = range.end;
      }
      EXPECT_EQ(next, count);
    }
}

}  // namespace
}  // namespace headflow
