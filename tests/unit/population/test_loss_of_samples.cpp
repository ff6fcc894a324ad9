// The population loss as an average over samples: its error, its bits, what it refuses.
#include <gtest/gtest.h>

#include "headflow/core/error.hpp"
#include "support.hpp"

namespace headflow {
namespace {

using namespace testing_support;

std::vector<double> flat(const LossGradient& value) {
  std::vector<double> all = {value.loss, value.gradient.v};
  const auto& g = value.gradient;
  all.insert(all.end(), g.K.data(), g.K.data() + g.K.size());
  all.insert(all.end(), g.b.begin(), g.b.end());
  return all;
}

// Both estimate the same integral: within 6 combined standard errors (8 + 32 replicates) and Sobol'
// far more precise.
TEST(PopulationLoss, sobolAndMonteCarloAgree) {
  const Shape shape{4, 2, 2};
  for (const Activation& activation : all_activations) {
    Sampling plain = sobol(131072, 32);
    plain.method = SamplingMethod::monte_carlo;
    PopulationLoss quasi(world(), {shape, activation, flipping_spike(2, 2)}, sobol(131072));
    PopulationLoss pseudo(world(), {shape, activation, flipping_spike(2, 2)}, plain);
    const Parameters parameters = generic_parameters(shape);
    const auto a = quasi.statistics(parameters);
    const auto b = pseudo.statistics(parameters);
    EXPECT_NEAR(a.mean.loss, b.mean.loss, 6 * std::hypot(a.loss_stderr, b.loss_stderr));
    EXPECT_NEAR(a.gradient_norm, b.gradient_norm,
                6 * std::hypot(a.gradient_norm_stderr, b.gradient_norm_stderr));
    EXPECT_LT(a.loss_stderr, 0.5 * b.loss_stderr);
  }
}

// The stated standard error is the actual error's: over 64 seeds, (loss - truth) / stderr has a
// mean square near the value 7/5 of Student's t with 7 degrees of freedom; [0.7, 2.6] is missed
// with probability under 1e-3.
TEST(PopulationLoss, standardErrorsAreHonest) {
  const Shape shape{3, 1, 1};
  const Prior prior = canonical_spikes(1, 2);
  const Parameters parameters = generic_parameters(shape);
  PopulationLoss precise(world(), {shape, Softmax{}, prior}, sobol(1 << 20));
  const double truth = precise.evaluate(parameters).loss;
  double mean_square = 0;
  for (std::uint64_t seed = 10; seed < 74; ++seed) {
    Sampling sampling = sobol(8192, 8, seed);
    sampling.method = SamplingMethod::monte_carlo;
    PopulationLoss loss(world(), {shape, Softmax{}, prior}, sampling);
    const auto value = loss.statistics(parameters);
    const double z = (value.mean.loss - truth) / value.loss_stderr;
    mean_square += z * z / 64;
  }
  EXPECT_GT(mean_square, 0.7);
  EXPECT_LT(mean_square, 2.6);
}

TEST(PopulationLoss, stopsAtWhatIsNotFinite) {
  const Shape shape{4, 2, 2};
  PopulationLoss loss(world(), {shape, Softmax{}, flipping_spike(2, 2)}, sobol(1024));
  Parameters parameters = Parameters::zero(shape);
  parameters.K(0, 0) = std::nan("");
  EXPECT_THROW(loss.evaluate(parameters), NumericalError);
}

TEST(PopulationLoss, refusesAClosedSetThatIsTooLarge) {
  Sampling sampling = sobol(1024);
  sampling.symmetric = true;
  const auto make = [&](const Shape& shape) {
    PopulationLoss(world(), {shape, Softmax{}, anisotropic_gaussian(shape.features, 2, 1)},
                   sampling);
  };
  EXPECT_THROW(make({4, 2, 14}), InputError) << "too many signs to look at";
  EXPECT_THROW(make({2, 2, 12}), InputError) << "2^13 images";
  EXPECT_NO_THROW(make({2, 1, 12})) << "2^12 images";
}

// Samples rounded to single precision move by 3e-8 of themselves at random: the mean over n of them
// by that over the square root of n.
TEST(PopulationLoss, samplesInSinglePrecisionDoNotShow) {
  for (const Shape& shape : {Shape{4, 2, 2}, Shape{10, 2, 2}, Shape{5, 3, 2}})
    for (const Activation& activation : all_activations) {
      const Parameters parameters = generic_parameters(shape);
      const auto at = [&](Precision precision) {
        Sampling sampling = sobol(8 * 1024);
        sampling.precision = precision;
        const Model model{shape, activation, flipping_spike(2, 2)};
        return PopulationLoss(world(), model, sampling).statistics(parameters);
      };
      const LossStatistics exact = at(Precision::double_), mixed = at(Precision::mixed);
      EXPECT_NE(mixed.mean.loss, exact.mean.loss);
      EXPECT_NEAR(mixed.mean.loss / exact.mean.loss, 1, 1e-8);
      EXPECT_LT(std::abs(mixed.mean.loss - exact.mean.loss), 1e-3 * exact.loss_stderr);
      const auto gradient = flat(exact.mean), rounded = flat(mixed.mean);
      for (std::size_t i = 0; i < gradient.size(); ++i) EXPECT_NEAR(rounded[i], gradient[i], 1e-8);
    }
}

TEST(DistributedPopulationLoss, hasTheBitsOfOneProcessHoweverSamplesAreKept) {
  const auto self = Communicator::self();
  const Shape shape{4, 2, 2};
  for (const Activation& activation : all_activations)
    for (const Precision precision : {Precision::double_, Precision::mixed, Precision::single})
      for (const bool symmetric : {false, true}) {
        Sampling sampling = sobol(8 * 3000);  // not a multiple of the block
        sampling.precision = precision;
        sampling.symmetric = symmetric;
        const Parameters parameters = generic_parameters(shape);
        PopulationLoss alone(self, {shape, activation, flipping_spike(2, 2)}, sampling);
        PopulationLoss shared(world(), {shape, activation, flipping_spike(2, 2)}, sampling);
        sampling.memory_gib = 0;
        PopulationLoss regenerated(world(), {shape, activation, flipping_spike(2, 2)}, sampling);
        const auto expected = alone.statistics(parameters);
        const auto value = shared.statistics(parameters);
        EXPECT_EQ(flat(value.mean), flat(expected.mean));
        EXPECT_EQ(value.loss_stderr, expected.loss_stderr);
        EXPECT_EQ(value.gradient_norm_stderr, expected.gradient_norm_stderr);
        EXPECT_EQ(flat(regenerated.evaluate(parameters)), flat(expected.mean));
        EXPECT_EQ(flat(shared.evaluate(parameters)), flat(expected.mean));
      }
}

// Replicates that are no whole number of lane groups: every block must still start aligned, and
// padding must not count.
TEST(DistributedPopulationLoss, takesAnyNumberOfSamples) {
  const Shape shape{2, 1, 2};
  for (const std::int64_t per_replicate : {1, 3, 37, 1025}) {
    PopulationLoss loss(world(), {shape, Softmax{}, flipping_spike(2, 2)},
                        sobol(5 * per_replicate, 5));
    EXPECT_NEAR(loss.evaluate(Parameters::zero(shape)).loss, 0.5, 1e-14) << per_replicate;
  }
}

TEST(DistributedPopulationLoss, resamplesAlikeKeptOrNot) {
  const Shape shape{4, 2, 2};
  Sampling sampling = sobol(8192);
  const Parameters parameters = generic_parameters(shape);
  PopulationLoss kept(world(), {shape, Softmax{}, flipping_spike(2, 2)}, sampling);
  sampling.memory_gib = 0;
  PopulationLoss regenerated(world(), {shape, Softmax{}, flipping_spike(2, 2)}, sampling);
  const double before = kept.evaluate(parameters).loss;
  kept.resample(3);
  regenerated.resample(3);
  EXPECT_NE(kept.evaluate(parameters).loss, before);
  EXPECT_EQ(kept.evaluate(parameters).loss, regenerated.evaluate(parameters).loss);
}

}  // namespace
}  // namespace headflow
