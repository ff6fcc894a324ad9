// The Bayes risk and the Bayes estimator: theory.md, sections 6 and 8.
#include <gtest/gtest.h>

#include <Eigen/LU>
#include <numbers>
#include <numeric>

#include "headflow/core/error.hpp"
#include "headflow/core/statistics.hpp"
#include "headflow/flow/flow.hpp"
#include "headflow/train/attention_maps.hpp"
#include "headflow/train/bayes_risk.hpp"
#include "headflow/train/minimise.hpp"
#include "headflow/train/prune.hpp"
#include "trained_support.hpp"

namespace headflow {
namespace {

using namespace testing_support;

// Section 6: the Bayes risk.

// The values of theory.md, section 8, are +-.0003 or .0002. Together with the own error (t with 7
// degrees of freedom, but far smaller) 4 sigma: false alarm 6e-5 for each of the 6.
TEST(BayesRisk, hasTheReferenceValues) {
  const auto check = [](int L, const Prior& prior, double risk, double error) {
    const BayesRisk found = bayes_risk(world(), sequences(L, prior), sobol(65536), {1e-4, 1 << 20});
    EXPECT_LE(found.error, 1e-4);
    EXPECT_NEAR(found.risk, risk, 4 * std::hypot(error, found.error)) << L;
  };
  check(4, flipping_spike(2, 2), .34267, .0003);
  check(5, flipping_spike(2, 2), .39711, .0003);
  check(10, flipping_spike(2, 2), .55312, .0003);
  check(5, canonical_spikes(4, 10), .14893, .0002);
  check(5, anisotropic_gaussian(2, 2, 2), .58363, .0002);
  check(5, anisotropic_gaussian(2, 10, 10), .22434, .0002);
}

// The same bits for the same law; by other samples (signs and atoms) within 6 combined sigma of t
// with 7 degrees of freedom each: false alarm 6e-4 at worst.
TEST(BayesRisk, ofAWideLawIsThatOfTheNarrowOne) {
  const auto risk = [](const Prior& prior) {
    return bayes_risk(world(), sequences(4, prior), sobol(8192), {1, 1 << 20});
  };
  const Matrix atoms{{1, 2}, {-1, 0.5}, {3, 0}};
  const Vector weights{{0.2, 0.5, 0.3}}, mean{{0.5, -1}};
  const Matrix covariance{{2, 0.4}, {0.4, 1}};
  EXPECT_EQ(risk(mixture_prior(atoms, std::vector(3, Matrix(Matrix::Zero(2, 2))), weights)).risk,
            risk(discrete_prior(atoms, weights)).risk);
  EXPECT_EQ(risk(mixture_prior(mean.transpose(), {covariance}, Vector::Ones(1))).risk,
            risk(gaussian_prior(mean, covariance)).risk);
  EXPECT_NEAR(
      risk(product_prior(std::vector(2, FeatureLaw{}), Vector{{3, 1}}, Vector::Zero(2))).risk,
      risk(anisotropic_gaussian(2, 3, 1)).risk, 1e-12);
  const double a = std::sqrt(2.0), b = 1;
  const BayesRisk corners =
      risk(discrete_prior(Matrix{{a, b}, {a, -b}, {-a, b}, {-a, -b}}, Vector::Constant(4, 0.25)));
  const BayesRisk signs = risk(product_prior(std::vector(2, FeatureLaw{FeatureLaw::Kind::signs, 1}),
                                             Vector{{2, 1}}, Vector::Zero(2)));
  EXPECT_NEAR(signs.risk, corners.risk, 6 * std::hypot(signs.error, corners.error));
  EXPECT_LT(signs.error, 1e-3);
}

TEST(BayesRisk, isThatOfAGuessWithoutASignal) {
  for (const int L : {2, 5, 17})
    for (const Prior& prior : {canonical_spikes(3, 0), anisotropic_gaussian(2, 0, 0)}) {
      const BayesRisk found =
          bayes_risk(world(), sequences(L, prior), sobol(1024), {1e-9, 1 << 20});
      EXPECT_NEAR(found.risk, 1 - 1.0 / L, 1e-14);
      EXPECT_LT(found.error, 1e-14);
      EXPECT_EQ(found.samples, 1024);
    }
}

/// L = 2, one known direction of length s: the log odds of the relevant token are N(s^2, 2 s^2).
double risk_of_two_tokens(double s) {
  double risk = 0;
  constexpr double step = 0.05;
  for (int i = -400; i <= 400; ++i) {
    const double z = step * i;
    risk += step / std::sqrt(2 * std::numbers::pi) * std::exp(-z * z / 2) /
            (1 + std::exp(s * s + std::sqrt(2.0) * s * z));
  }
  return risk;
}

// 6 sigma of t with 31 degrees of freedom: false alarm 1.3e-6.
TEST(BayesRisk, ofTwoTokensHasItsClosedForm) {
  for (const double s : {0.5, 1.5, 3.0}) {
    const Prior known = discrete_prior(Matrix{{s}}, Vector{{1}});
    const BayesRisk found =
        bayes_risk(world(), sequences(2, known), sobol(65536, 32), {2e-5, 1 << 18});
    EXPECT_NEAR(found.risk, risk_of_two_tokens(s), 6 * found.error);
    EXPECT_LE(found.error, 2e-5);
  }
}

// Importance sampling by an independent program: flipping spike at nu = 30, L = 5, 2.682e-7 +-
// .003e-7. At two tokens the closed form of above, down to 1e-24.
TEST(BayesRisk, ofRareErrorsIsFound) {
  const auto risk = [](int L, const Prior& prior) {
    const BayesRisk found = bayes_risk(world(), sequences(L, prior), sobol(65536), {1e-5, 1 << 20});
    EXPECT_LT(found.error, 0.02 * found.risk);
    EXPECT_EQ(found.samples, 65536);
    return found;
  };
  const BayesRisk flipping = risk(5, flipping_spike(30, 30));
  EXPECT_NEAR(flipping.risk, 2.682e-7, 6 * std::hypot(.003e-7, flipping.error));
  for (const double s : {6.0, 10.0, 14.0}) {
    const BayesRisk two = risk(2, discrete_prior(Matrix{{s}}, Vector{{1}}));
    EXPECT_NEAR(two.risk, risk_of_two_tokens(s), 8 * two.error);
  }
}

/// The plain way: the mean of 1 - sum_l p_l^2 over samples of the model.
Measured plain_risk(int L, const Prior& prior, const Sampling& sampling) {
  const int F = prior.features();
  std::vector<double> each;
  for (int replicate = 0; replicate < sampling.replicates; ++replicate) {
    const std::int64_t count = sampling.samples_per_replicate();
    const Shape shape{L, 0, F};
    AlignedVector<double> x(static_cast<std::size_t>((count + 15) * L * F));
    SampleGenerator(shape, prior, sampling).fill(replicate, 0, count, x.data());
    double sum = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      const Vector evidence = log_evidence(prior, sample(x.data(), i, shape));
      const Vector p = (evidence.array() - evidence.maxCoeff()).exp();
      sum += 1 - (p / p.sum()).squaredNorm();
    }
    each.push_back(sum / static_cast<double>(count));
  }
  const auto n = static_cast<double>(each.size());
  return {std::accumulate(each.begin(), each.end(), 0.0) / n, standard_error(each)};
}

// Every kind of law, also with a mean and a singular covariance: the same as the plain way within 6
// combined sigma (t with 31 degrees of freedom), and with no larger an error from as many samples
// (up to 1.4, which a ratio of two such errors exceeds by chance with probability .03).
TEST(BayesRisk, isAsGoodAsThatOfPlainSamplesWhereItIsNotSmall) {
  for (const double nu : {2.0, 10.0})
    for (const Prior& prior :
         {flipping_spike(nu, nu), canonical_spikes(4, nu), anisotropic_gaussian(2, nu, nu),
          anisotropic_gaussian(3, nu, 1), unequal_atoms().transformed(Matrix{{nu / 2, 0}, {0, 1}}),
          gaussian_prior(Vector{{nu / 3, -1}}, Matrix{{nu, nu}, {nu, nu}}),
          gaussian_prior(Vector{{2, 1}}, Matrix::Zero(2, 2)),
          mixture_prior(Matrix{{nu / 3, -1}, {-1, 2}, {0, 0}},
                        {Matrix{{nu, nu}, {nu, nu}}, Matrix::Zero(2, 2), Matrix{{1, 0}, {0, nu}}},
                        Vector{{0.3, 0.4, 0.3}}),
          product_prior({{FeatureLaw::Kind::signs, 1}, {FeatureLaw::Kind::uniform, 1}},
                        Vector{{nu, nu}}, Vector{{1, 0}}),
          product_prior({{FeatureLaw::Kind::sparse, 0.3}, {FeatureLaw::Kind::gaussian, 1}},
                        Vector{{nu, 1}}, Vector{{0, -1}})}) {
      const Measured plain = plain_risk(5, prior, sobol(32 * 128, 32));
      const BayesRisk found =
          bayes_risk(world(), sequences(5, prior), sobol(32 * 128, 32, 2), {1, 1 << 20});
      EXPECT_NEAR(found.risk, plain.value, 6 * std::hypot(plain.error, found.error));
      EXPECT_LT(found.error, 1.4 * plain.error) << nu;
    }
}

// (risk - truth) / stderr over 64 seeds has a mean square near 7/5, that of t with 7 degrees of
// freedom; [0.7, 2.6] is missed with probability under 1e-3.
TEST(BayesRisk, standardErrorsAreHonest) {
  const Prior known = discrete_prior(Matrix{{1.5}}, Vector{{1}});
  double mean_square = 0;
  for (std::uint64_t seed = 1; seed <= 64; ++seed) {
    Sampling sampling = sobol(4096, 8, seed);
    sampling.method = SamplingMethod::monte_carlo;
    const BayesRisk found = bayes_risk(world(), sequences(2, known), sampling, {1, 4096});
    mean_square += std::pow((found.risk - risk_of_two_tokens(1.5)) / found.error, 2) / 64;
  }
  EXPECT_GT(mean_square, 0.7);
  EXPECT_LT(mean_square, 2.6);
}

TEST(BayesRisk, doublesItsSamplesUntilTheErrorIsSmall) {
  const Prior prior = flipping_spike(2, 2);
  const auto risk = [&](double error, std::int64_t most) {
    Sampling sampling = sobol(512);
    sampling.method = SamplingMethod::monte_carlo;
    return bayes_risk(world(), sequences(4, prior), sampling, {error, most});
  };
  const BayesRisk found = risk(1e-3, 1 << 22);
  EXPECT_LE(found.error, 1e-3);
  EXPECT_GE(found.samples, 4096);
  const BayesRisk before = risk(1e-3, found.samples - 1);
  EXPECT_EQ(2 * before.samples, found.samples);
  EXPECT_GT(before.error, 1e-3);
  EXPECT_EQ(risk(1e-3, found.samples).risk, found.risk);
  EXPECT_EQ(risk(1, 1 << 22).samples, 512);
}

TEST(DistributedBayesRisk, hasTheBitsOfOneProcess) {
  const Communicator self = Communicator::self();
  for (const Prior& prior :
       {flipping_spike(2, 2), unequal_atoms(), anisotropic_gaussian(2, 3, 1)}) {
    const auto alone = bayes_risk(self, sequences(3, prior), sobol(8 * 1500), {1e-3, 1 << 17});
    const auto shared = bayes_risk(world(), sequences(3, prior), sobol(8 * 1500), {1e-3, 1 << 17});
    EXPECT_EQ(alone.risk, shared.risk);
    EXPECT_EQ(alone.error, shared.error);
    EXPECT_EQ(alone.samples, shared.samples);
  }
}

// Prop. IV.2: Bayes-softmax is the Bayes estimator.

const std::vector<Prior> laws_with_atoms = {flipping_spike(2, 2), canonical_spikes(4, 10),
                                            unequal_atoms()};

int atoms_of(const Prior& prior) {
  return static_cast<int>((std::get<MixtureLaw>(prior.law()).weights.array() > 0).count());
}

// On every single sequence: A_l is the posterior of the location.
TEST(BayesParameters, attendByThePosterior) {
  for (const Prior& prior : laws_with_atoms)
    for (const int H : {atoms_of(prior), atoms_of(prior) + 1, 2 * atoms_of(prior) + 1}) {
      const Shape shape{5, H, prior.features()};
      const Parameters parameters = bayes_parameters(shape, prior);
      EXPECT_EQ(parameters.K.rightCols(H), Matrix::Zero(H, H));
      constexpr std::int64_t count = 64;
      AlignedVector<double> x(static_cast<std::size_t>(count * 5 * shape.coordinates()));
      SampleGenerator(shape, prior, sobol(count, 1)).fill(0, 0, count, x.data());
      for (std::int64_t i = 0; i < count; ++i) {
        const Matrix tokens = sample(x.data(), i, shape);
        const auto A = reference_attention(BayesSoftmax{}, parameters.K * tokens.transpose(),
                                           parameters.b, parameters.v);
        const Vector evidence = log_evidence(prior, tokens.leftCols(shape.features));
        const Vector p = (evidence.array() - evidence.maxCoeff()).exp();
        for (Eigen::Index l = 0; l < 5; ++l)
          EXPECT_NEAR(static_cast<double>(A[static_cast<std::size_t>(l)]), p[l] / p.sum(), 1e-13);
      }
    }
}

/// dE/d(K, b) at `parameters` over its standard error, entry by entry: the largest. 64 independent
/// sample sets; entries that vanish to rounding do not count.
double largest_force(const Shape& shape, const Prior& prior, const Parameters& parameters) {
  std::vector<std::vector<double>> entries(parameters.trained_size(Training(BayesSoftmax{})));
  std::vector<double> packed(entries.size());
  for (std::uint64_t seed = 1; seed <= 64; ++seed) {
    PopulationLoss loss(world(), {shape, BayesSoftmax{}, prior}, sobol(1024, 1, seed));
    loss.evaluate(parameters).gradient.pack(Training(BayesSoftmax{}), packed);
    for (std::size_t i = 0; i < packed.size(); ++i) entries[i].push_back(packed[i]);
  }
  double largest = 0;
  for (const auto& entry : entries)
    largest = std::max(largest, std::abs(estimate(entry).mean) / (estimate(entry).error + 1e-14));
  return largest;
}

// The loss within 5 combined sigma of the risk on other samples (32 replicates each, false alarm
// 1e-5 for each of 9); the gradient's largest entry under 4.5 sigma (t with 63 degrees of freedom,
// about 250 entries in all: false alarm under 1e-2; the seeds are fixed). Without log P(theta) in b
// it is far above.
TEST(BayesParameters, reachTheBayesRiskWithoutAForce) {
  for (const Prior& prior : laws_with_atoms)
    for (const int H : {atoms_of(prior), atoms_of(prior) + 1, 2 * atoms_of(prior)}) {
      const Shape shape{5, H, prior.features()};
      const Parameters parameters = bayes_parameters(shape, prior);
      PopulationLoss loss(world(), {shape, BayesSoftmax{}, prior}, sobol(32768, 32));
      const LossStatistics value = loss.statistics(parameters);
      const BayesRisk risk =
          bayes_risk(world(), sequences(5, prior), sobol(65536, 32, 2), {1e-4, 1 << 18});
      EXPECT_NEAR(value.mean.loss, risk.risk, 5 * std::hypot(value.loss_stderr, risk.error));
      EXPECT_LT(value.loss_stderr, 2e-3);
      EXPECT_LT(largest_force(shape, prior, parameters), 4.5);
    }
  const Shape shape{5, 3, 2};
  Parameters wrong = bayes_parameters(shape, unequal_atoms());
  wrong.b = -0.5 * wrong.K.rowwise().squaredNorm();
  EXPECT_GT(largest_force(shape, unequal_atoms(), wrong), 10);
}

TEST(BayesParameters, needAHeadForEachAtom) {
  EXPECT_THROW(bayes_parameters({4, 2, 2}, anisotropic_gaussian(2, 2, 1)), InputError);
  EXPECT_THROW(bayes_parameters({4, 3, 4}, canonical_spikes(4, 10)), InputError);
  EXPECT_THROW(bayes_parameters({4, 2, 2}, unequal_atoms()), InputError);
  EXPECT_NO_THROW(bayes_parameters({4, 3, 2}, unequal_atoms()));  // one atom has no weight
}

}  // namespace
}  // namespace headflow
