// The law of the time at which heads split: closed forms, and the covariance of [fluctuations].
#include <gtest/gtest.h>

#include "headflow/flow/fluctuations.hpp"
#include "headflow/flow/order_tangents.hpp"
#include "headflow/saddle/prediction.hpp"
#include "saddle/pattern_dynamics.hpp"
#include "support.hpp"

namespace headflow {
namespace {

using namespace testing_support;

double normal_above(double x) { return 0.5 * std::erfc(x / std::sqrt(2.0)); }

/// One pattern of two heads: (m_1 - m_2) / 2 ~ N(mean, deviation^2).
SplitLaw two_heads(double mean, double deviation, double log_unit = 0) {
  const double unit = std::exp(log_unit);
  return {.patterns = 1,
          .mean = Vector{{mean / unit, -mean / unit}},
          .log_unit = log_unit,
          .log_variance = std::log(2 * deviation * deviation)};
}

TEST(SplitLaw, ofTwoHeadsIsThatOfOneNormalNumber) {
  for (const double mean : {0.0, 1e-9, 0.02, 0.1, 0.4})
    for (const double deviation : {0.003, 0.05, 0.2, 3.0})
      for (const double log_unit : {0.0, -5.0}) {
        const double expected =
            normal_above((0.3 - mean) / deviation) + normal_above((0.3 + mean) / deviation);
        EXPECT_NEAR(two_heads(mean, deviation, log_unit).probability_above(0.3), expected, 2e-5)
            << mean << " " << deviation;
      }
  EXPECT_NEAR(two_heads(0.1, 0.2).probability_of_upper_side()[0], normal_above(-0.5), 1e-12);
  EXPECT_NEAR(two_heads(0.1, 0.2).probability_of_upper_side()[1], normal_above(0.5), 1e-12);
  EXPECT_EQ(two_heads(0, 0.2).probability_of_upper_side()[0], 0.5);
  EXPECT_NEAR(two_heads(0.3, 0.4).log_root_mean_square(), std::log(0.5), 1e-12);
}

TEST(SplitLaw, ofThreeHeadsIsExponential) {
  const SplitLaw law{.patterns = 2, .mean = Vector::Zero(3), .log_variance = std::log(0.04)};
  EXPECT_NEAR(law.probability_above(0.3), std::exp(-3 * 0.09 / 0.04 / 2), 1e-14);
}

TEST(SplitLaw, withoutNoiseIsCertain) {
  EXPECT_EQ(two_heads(0.31, 0).probability_above(0.3), 1);
  EXPECT_EQ(two_heads(0.29, 0).probability_above(0.3), 0);
  EXPECT_EQ(two_heads(0.29, 0).probability_of_upper_side()[1], 0);
  EXPECT_EQ(two_heads(0, 0).probability_above(0.3), 0);
}

/// The rows of y = (m, r, b, v) that make the amplitude of (1, -1) / sqrt(2) in m, b and r_hh.
Matrix pattern_rows(const Model& model) {
  const auto& [L, H, F] = model.shape;
  const int r = H * F, b = r + H * (H + 1) / 2;
  std::vector<std::pair<int, int>> places;
  for (int f = 0; f < F; ++f) places.push_back({f, F + f});
  if (model.training.b > 0) places.push_back({b, b + 1});
  places.push_back({r, r + 2});
  Matrix rows =
      Matrix::Zero(static_cast<Eigen::Index>(places.size()),
                   static_cast<Eigen::Index>(order_parameter_count(model.shape, model.activation)));
  for (std::size_t i = 0; i < places.size(); ++i) {
    rows(static_cast<Eigen::Index>(i), places[i].first) = std::sqrt(0.5);
    rows(static_cast<Eigen::Index>(i), places[i].second) = -std::sqrt(0.5);
  }
  return rows;
}

Parameters point_of_manifold(const UnspecializedManifold& manifold) {
  Parameters at = generic_parameters(manifold.model().shape);
  at.K.rightCols(manifold.model().shape.heads).diagonal().array() += 1;
  return manifold.projection(at);
}

TEST(PatternDynamics, areThoseOfTheOrderParameters) {
  constexpr double kappa = 0.6;
  const Shape shape{4, 2, 2};
  for (const Activation& activation : all_activations) {
    const Model model(shape, activation, flipping_spike(2, 3));
    const UnspecializedManifold manifold(model);
    PopulationLoss loss(world(), model, {.samples = 512, .replicates = 2, .symmetric = true}, true);
    const Parameters at = point_of_manifold(manifold);
    const LinearNoise own = pattern_dynamics(loss, manifold, at, kappa, Control::none());
    const LinearNoise all = linear_noise(loss, at, kappa);
    const Matrix rows = pattern_rows(model);
    EXPECT_LT((own.jacobian - rows * all.jacobian * rows.transpose()).cwiseAbs().maxCoeff(), 1e-12)
        << name_of(activation);
    EXPECT_LT((own.noise - rows * all.noise * rows.transpose()).cwiseAbs().maxCoeff(), 1e-12)
        << name_of(activation);
    EXPECT_GT(own.noise(0, 0), 1e-3);
  }
}

// The variance over patterns of the covariance along the flow, for random starts and SGD's noise,
// through r also of the feature with a mean. To 1 %: samples tell two u of the same r apart.
TEST(LinearGrowth, hasTheCovarianceOfFluctuations) {
  constexpr double D = 1000, kappa = 1, t = 20;
  for (const int heads : {2, 3}) {
    const Shape shape{4, heads, 2};
    const Model model(shape, Softmax{}, flipping_spike(2, 2));
    const UnspecializedManifold manifold(model);
    PopulationLoss loss(world(), model, {.samples = 8192, .replicates = 1, .symmetric = true},
                        true);
    const StartSpread spread = random_start_spread(shape, D, 1);
    const LinearGrowth growth =
        follow_manifold(loss, manifold, spread.mean, {.end_time = t, .kappa = kappa});
    const HeadLaw start = law_at_dimension({.heads = manifold.head_coordinates(spread.mean)}, D);
    const FluctuationsOptions options{
        .end_time = t, .output_times = {1, 5, t}, .kappa = kappa, .dimension = D, .starts = spread};
    run_fluctuations(
        loss, spread.mean, options, {.record = [&](const FluctuationsRecord& record) {
          for (int f = 0; f < 2; ++f) {
            double sum = 0;
            for (int h = 0; h < heads; ++h)
              for (int g = 0; g < heads; ++g)
                sum +=
                    ((h == g) - 1.0 / heads) * record.spreads[0].covariance(h * 2 + f, g * 2 + f);
            const SplitLaw law = growth.law(start, f, record.time);
            EXPECT_NEAR(std::exp(law.log_variance), sum / (heads - 1), 0.01 * sum / (heads - 1))
                << "H = " << heads << " feature " << f + 1 << " t = " << record.time;
            EXPECT_EQ(law.mean.norm(), 0);
          }
        }});
  }
}

// After its end a growth that is at rest goes on at its last rates: like one that was followed for
// longer, to 1 % of what has grown since then, because the rates still change by the order of the
// slope there. One that is not at rest knows nothing.
TEST(LinearGrowth, goesOnAfterItsEnd) {
  const Shape shape{4, 2, 2};
  const Model model(shape, BayesSoftmax{}, flipping_spike(2, 4));
  const UnspecializedManifold manifold(model);
  PopulationLoss loss(world(), model, {.samples = 1024, .replicates = 1, .symmetric = true}, true);
  const Parameters start = noisy_start(shape, 1e-3, 0.5, 3).parameters;
  for (const double kappa : {0.0, 0.1}) {
    const auto followed = [&](double gradient_tolerance, double end_time) {
      return follow_manifold(
          loss, manifold, start,
          {.end_time = end_time, .gradient_tolerance = gradient_tolerance, .kappa = kappa});
    };
    const LinearGrowth early = followed(1e-4, 1000), late = followed(1e-5, 1000);
    ASSERT_TRUE(early.at_rest() && late.at_rest());
    const double end = early.end_time(), t = 0.5 * (end + late.end_time());
    for (const double variance : {0.0, 1e-8}) {
      const Matrix heads = manifold.head_coordinates(start);
      const HeadLaw law{heads, Vector::Constant(heads.cols(), variance), 1e-8};
      const SplitLaw found = early.law(law, 1, t), expected = late.law(law, 1, t);
      const SplitLaw before = late.law(law, 1, end);
      const double grown = expected.log_spread_of_mean() - before.log_spread_of_mean();
      EXPECT_GT(grown, 1) << kappa;
      EXPECT_NEAR(found.log_spread_of_mean(), expected.log_spread_of_mean(), 0.01 * grown) << kappa;
      if (kappa > 0 || variance > 0)
        EXPECT_NEAR(found.log_variance, expected.log_variance, 0.02 * grown) << kappa;
      else
        EXPECT_EQ(found.log_variance, -std::numeric_limits<double>::infinity());
    }
    const LinearGrowth cut = followed(1e-5, 5);
    EXPECT_TRUE(std::isnan(cut.log_spread(manifold.head_coordinates(start), cut.end_time() + 1)[1]))
        << kappa;
  }
}

// With D the noise of start and SGD falls together, so with a hundred times larger D a quantile is
// where the variance has grown by that factor more; quantiles are ordered; those of one start with
// little noise are its own split time.
TEST(Prediction, ofRunsAtLargeDimension) {
  const Shape shape{4, 2, 2};
  const Model model(shape, BayesSoftmax{}, flipping_spike(2, 4));
  const UnspecializedManifold manifold(model);
  PopulationLoss loss(world(), model, {.samples = 2048, .replicates = 1, .symmetric = true}, true);
  const Start start = noisy_start(shape, 1e-3, 0.5, 3);
  const LinearGrowth growth =
      follow_manifold(loss, manifold, start.parameters, {.end_time = 100, .kappa = 0.1});
  SplitQuestion question{.heads = manifold.head_coordinates(start.parameters),
                         .threshold = 0.3,
                         .dimensions = {1e8, 1e10, 1e14},
                         .eta = 0.5,
                         .biased = true};
  const Prediction own = predict(growth, question);
  const auto quantile = [](const Prediction& of, std::size_t d, std::size_t q) {
    return of.quantiles[(d * split_quantiles().size() + q) * 2 + 1];
  };
  for (std::size_t q = 1; q < 7; ++q) EXPECT_GT(quantile(own, 0, q), quantile(own, 0, q - 1));
  const HeadLaw at_1e8 = law_at_dimension(question, 1e8);
  const auto log_variance = [&](double t) { return growth.law(at_1e8, 1, t).log_variance; };
  for (std::size_t q = 0; q < 7; ++q)
    EXPECT_NEAR(log_variance(quantile(own, 1, q)) - log_variance(quantile(own, 0, q)),
                std::log(100.0), 1e-6);
  for (const double half : own.upper_side) EXPECT_TRUE(std::isnan(half) || half == 0.5) << half;
  question.shared = true;
  const Prediction shared = predict(growth, question);
  for (std::size_t q = 0; q < 7; ++q)
    EXPECT_NEAR(quantile(shared, 2, q), shared.split_time[1], 0.01);
  const double side = shared.upper_side[2 * 4 + 1];
  EXPECT_NEAR(side, question.heads(0, 1) > question.heads(1, 1) ? 1 : 0, 1e-6);
  // At 10^4 noise decides as much as the start: at the median, m_1 - m_2 by its normal law. Later
  // the share of the noise is larger, by some 10^-5.
  question.dimensions = {1e4};
  const Prediction noisy = predict(growth, question);
  const SplitLaw law = growth.law(law_at_dimension(question, 1e4), 1, quantile(noisy, 0, 3));
  EXPECT_NEAR(law.probability_above(question.threshold), 0.5, 1e-6);
  const double deviation = std::exp(0.5 * law.log_variance - law.log_unit) / std::sqrt(2.0);
  const double upper = normal_above(-law.mean[0] / deviation);
  EXPECT_NEAR(noisy.upper_side[1], upper, 1e-9);
  EXPECT_GT(std::abs(upper - 0.5), 0.02);
  EXPECT_LT(std::abs(upper - 0.5), 0.48);
}

}  // namespace
}  // namespace headflow
