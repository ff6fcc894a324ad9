#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "headflow/core/error.hpp"
#include "support.hpp"

namespace headflow {
namespace {

using testing_support::estimate;
using testing_support::sample;

constexpr Shape shape{3, 2, 2};
constexpr int N = 4096;

Sampling method(SamplingMethod method, int replicates = 1) {
  return {.samples = N * replicates, .method = method, .replicates = replicates, .seed = 5};
}

AlignedVector<double> samples(const SampleGenerator& generator, int replicate, std::int64_t first,
                              std::int64_t count) {
  AlignedVector<double> x(
      static_cast<std::size_t>((count + 15) * shape.tokens * shape.coordinates()));
  generator.fill(replicate, first, count, x.data());
  return x;
}

/// P(N(0,1) <= z), the inverse of what the generator does.
double uniform_of(double z) { return 0.5 * std::erfc(-z / std::sqrt(2.0)); }

TEST(SampleGenerator, aSobolCoordinateHasOnePointInEveryCell) {
  const SampleGenerator generator(shape, flipping_spike(2, 2), method(SamplingMethod::sobol));
  const auto x = samples(generator, 0, 0, N);
  for (int l = 1; l < shape.tokens;
       ++l)  // tokens without signal: the coordinates are plain normals
    for (int p = 0; p < shape.coordinates(); ++p) {
      std::set<int> cells;
      for (int i = 0; i < N; ++i)
        cells.insert(static_cast<int>(N * uniform_of(sample(x.data(), i, shape)(l, p))));
      EXPECT_EQ(cells.size(), static_cast<std::size_t>(N)) << l << ' ' << p;
    }
}

/// 2^31 points, each replicate a sequence of its own.
TEST(SampleGenerator, aSobolSequenceHasSoManyPoints) {
  const auto refused = [](std::int64_t samples, SamplingMethod method) {
    try {
      SampleGenerator::dimension_of(shape, flipping_spike(2, 2),
                                    {.samples = samples, .method = method, .replicates = 2});
      return false;
    } catch (const InputError&) {
      return true;
    }
  };
  constexpr std::int64_t most = std::int64_t{2} << 31;  // of both replicates
  EXPECT_FALSE(refused(most, SamplingMethod::sobol));
  EXPECT_TRUE(refused(most + 2, SamplingMethod::sobol));
  EXPECT_FALSE(refused(most + 2, SamplingMethod::monte_carlo));
}

TEST(SampleGenerator, sobolBalancesTheAtomsExactly) {
  const SampleGenerator generator(shape, flipping_spike(4, 4), method(SamplingMethod::sobol));
  const auto x = samples(generator, 0, 0, N);
  double mean_1 = 0;
  double mean_2 = 0;
  for (int i = 0; i < N; ++i) {
    mean_1 += sample(x.data(), i, shape)(0, 0) / N;
    mean_2 += sample(x.data(), i, shape)(0, 1) / N;
  }
  EXPECT_NEAR(mean_1, 2,
              1e-3);  // 2 + the mean of a stratified normal (plain Monte Carlo: error 1.6e-2)
  EXPECT_NEAR(mean_2, 0, 1e-3);
}

TEST(SampleGenerator, blocksAndOrderDoNotMatter) {
  for (const auto m : {SamplingMethod::sobol, SamplingMethod::monte_carlo}) {
    const SampleGenerator generator(shape, anisotropic_gaussian(2, 3, 1), method(m, 2));
    const auto all = samples(generator, 1, 0, 300);
    for (const int first : {0, 64, 128, 192}) {
      const auto part = samples(generator, 1, first, 100);
      for (int i = 0; i < 100; ++i)
        EXPECT_EQ(sample(all.data(), first + i, shape), sample(part.data(), i, shape));
    }
  }
}

TEST(SampleGenerator, replicatesAndEpochsDiffer) {
  for (const auto m : {SamplingMethod::sobol, SamplingMethod::monte_carlo}) {
    SampleGenerator generator(shape, flipping_spike(2, 2), method(m, 2));
    const Matrix base = sample(samples(generator, 0, 0, 1).data(), 0, shape);
    EXPECT_NE(base, sample(samples(generator, 1, 0, 1).data(), 0, shape));
    generator.set_epoch(1);
    EXPECT_NE(base, sample(samples(generator, 0, 0, 1).data(), 0, shape));
    generator.set_epoch(0);
    EXPECT_EQ(base, sample(samples(generator, 0, 0, 1).data(), 0, shape));
  }
}

// First and second moments of every coordinate within 4.5 standard errors over 64 independent
// replicates (false alarm 7e-6 each, about 40 of them): scrambling must make each point uniform,
// not only the set balanced.
TEST(SampleGenerator, everySinglePointIsNormal) {
  for (const auto m : {SamplingMethod::sobol, SamplingMethod::monte_carlo}) {
    constexpr int replicates = 512;
    const SampleGenerator generator(shape, canonical_spikes(2, 0), method(m, replicates));
    for (const int index : {0, 1, 7, 2048})
      for (const int p : {0, 1, 3}) {
        std::vector<double> first, second;
        for (int r = 0; r < replicates; ++r) {
          const auto those = samples(generator, r, index / 64 * 64, 64);
          const double x = sample(those.data(), index % 64, shape)(1, p);
          first.push_back(x);
          second.push_back(x * x);
        }
        EXPECT_NEAR(estimate(first).mean, 0, 4.5 * estimate(first).error);
        EXPECT_NEAR(estimate(second).mean, 1, 4.5 * estimate(second).error);
      }
  }
}

// theory.md section 12: z of all tokens first, then all w, so that z does not depend on the number
// of heads, and neighbouring Sobol dimensions are those of different tokens.
TEST(SampleGenerator, headsDoNotChangeTheTokensOnTheSpikes) {
  const Prior prior = flipping_spike(2, 2);
  const Shape one{3, 1, 2}, many{3, 5, 2};
  for (const auto m : {SamplingMethod::sobol, SamplingMethod::monte_carlo}) {
    AlignedVector<double> few(static_cast<std::size_t>(64 * 3 * one.coordinates()));
    AlignedVector<double> all(static_cast<std::size_t>(64 * 3 * many.coordinates()));
    SampleGenerator(one, prior, method(m)).fill(0, 0, 64, few.data());
    SampleGenerator(many, prior, method(m)).fill(0, 0, 64, all.data());
    for (int i = 0; i < 64; ++i)
      EXPECT_EQ(sample(few.data(), i, one).leftCols(2), sample(all.data(), i, many).leftCols(2));
  }
}

TEST(SampleGenerator, refusesMoreDimensionsThanSobolHas) {
  const Shape wide{100, 30, 10};
  EXPECT_THROW(SampleGenerator(wide, canonical_spikes(10, 1), method(SamplingMethod::sobol)),
               InputError);
  EXPECT_NO_THROW(
      SampleGenerator(wide, canonical_spikes(10, 1), method(SamplingMethod::monte_carlo)));
}

TEST(SampleGenerator, refusesMorePointsThanSobolHas) {
  constexpr std::int64_t most = std::int64_t{1} << 31;
  const auto dimension = [](std::int64_t samples, int replicates, SamplingMethod method) {
    return SampleGenerator::dimension_of(
        shape, flipping_spike(2, 2),
        {.samples = samples, .method = method, .replicates = replicates});
  };
  const int expected = dimension(1024, 1, SamplingMethod::sobol);
  EXPECT_EQ(dimension(2 * most, 2, SamplingMethod::sobol), expected);
  EXPECT_EQ(dimension(most + 1, 1, SamplingMethod::monte_carlo), expected);
  EXPECT_THROW(dimension(most + 1, 1, SamplingMethod::sobol), InputError);
}

// theta's mean and covariance from 32 replicates of 4096 Sobol points within 4.5 standard errors,
// for each prior.
TEST(Prior, drawsHaveTheStatedMoments) {
  Matrix atoms(3, 2);
  atoms << 1, 0, -1, 2, 0.5, -1;
  Matrix covariance(2, 2);
  covariance << 2, 0.6, 0.6, 0.5;
  const std::vector<Prior> priors = {
      flipping_spike(3, 2), canonical_spikes(2, 5), anisotropic_gaussian(2, 3, 1),
      discrete_prior(atoms, Vector{{0.2, 0.5, 0.3}}), gaussian_prior(Vector{{1, -2}}, covariance)};
  for (const Prior& prior : priors) {
    const SampleGenerator generator(shape, prior, method(SamplingMethod::sobol, 32));
    std::vector<std::vector<double>> values(5);
    for (int r = 0; r < 32; ++r) {
      const auto x = samples(generator, r, 0, N);
      Eigen::Array<double, 5, 1> sums = Eigen::Array<double, 5, 1>::Zero();
      for (int i = 0; i < N; ++i) {
        const Vector t = sample(x.data(), i, shape).row(0).head(2).transpose();  // theta + z
        sums +=
            Eigen::Array<double, 5, 1>(t[0], t[1], t[0] * t[0] - 1, t[0] * t[1], t[1] * t[1] - 1) /
            N;
      }
      for (std::size_t k = 0; k < 5; ++k) values[k].push_back(sums[static_cast<Eigen::Index>(k)]);
    }
    const Matrix second = prior.second_moment();
    const double expected[] = {prior.mean()[0], prior.mean()[1], second(0, 0), second(0, 1),
                               second(1, 1)};
    for (std::size_t k = 0; k < 5; ++k)
      EXPECT_NEAR(estimate(values[k]).mean, expected[k], 4.5 * estimate(values[k]).error + 1e-12)
          << k;
  }
}

TEST(Prior, refusesWhatIsNoLaw) {
  EXPECT_THROW(discrete_prior(Matrix::Identity(2, 2), Vector{{0.5, 0.6}}), InputError);
  EXPECT_THROW(discrete_prior(Matrix::Identity(2, 2), Vector{{1.5, -0.5}}), InputError);
  EXPECT_THROW(discrete_prior(Matrix::Identity(2, 2), Vector{{1.0}}), InputError);
  Matrix indefinite(2, 2);
  indefinite << 1, 2, 2, 1;
  EXPECT_THROW(gaussian_prior(Vector::Zero(2), indefinite), InputError);
  Matrix skew(2, 2);
  skew << 1, 0.1, 0.2, 1;
  EXPECT_THROW(gaussian_prior(Vector::Zero(2), skew), InputError);
  EXPECT_NO_THROW(gaussian_prior(Vector::Zero(2), Matrix::Zero(2, 2)));
}

}  // namespace
}  // namespace headflow
