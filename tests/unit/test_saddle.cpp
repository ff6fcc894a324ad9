// The unspecialized saddle, growth there, and the paper's lemmas on it.
#include <gtest/gtest.h>

#include "headflow/flow/flow.hpp"
#include "headflow/flow/linear_growth.hpp"
#include "headflow/flow/saddle.hpp"
#include "headflow/population/bayes_risk.hpp"
#include "support.hpp"

namespace headflow {
namespace {

using namespace testing_support;

/// Zero fields; softmax-1 at the fixed point v p = 1/L with these biases (Lemma A.4).
Parameters zero_fields(const Shape& shape, const Activation& activation, double b = 0.2) {
  Parameters parameters = Parameters::zero(shape);
  parameters.v = 1;
  if (name_of(activation) != "softmax-1") return parameters;
  parameters.b.setConstant(b);
  parameters.v = (1 + shape.tokens * std::exp(b)) / (shape.tokens * std::exp(b));
  return parameters;
}

double p_of(const Parameters& parameters, const Activation& activation, int L) {
  if (name_of(activation) != "softmax-1") return 1.0 / L;
  return std::exp(parameters.b[0]) / (1 + L * std::exp(parameters.b[0]));
}

// Lemma III.1: lambda_f = 2 gamma_f (1 - 1/L) (1 - 2p) / (L H), without the factor (1 - 2p) for
// Bayes-softmax; the eigenvectors are the features. Within 5.5 standard errors of 16 replicates
// (false alarm 6e-5 each), which are small enough to see 6 % of it; zero for softmax at L = 2.
TEST(Saddle, ratesAtZeroFieldsAreTheClosedForm) {
  for (int L = 2; L <= 10; ++L)
    for (int H = 2; H <= 8; ++H)
      for (const Activation& activation : all_activations) {
        const Shape shape{L, H, 3};
        const Prior prior = anisotropic_gaussian(3, 5, 1);
        PopulationLoss loss(world(), shape, activation, prior,
                            {.samples = 16 * 512, .replicates = 16, .seed = 3});
        const UnspecializedManifold manifold(shape, activation, prior);
        const Saddle saddle = find_saddle(loss, manifold, zero_fields(shape, activation));
        const double p = p_of(saddle.parameters, activation, L);
        const double factor = name_of(activation) == "bayes-softmax" ? 1 : 1 - 2 * p;
        const auto said = [&] {
          return testing::Message() << name_of(activation) << " L = " << L << " H = " << H;
        };
        EXPECT_LT(saddle.gradient_norm, 1e-12) << said();
        EXPECT_NEAR(saddle.loss.value, 1 - 1.0 / L, 1e-12) << said();
        EXPECT_LT(saddle.parameters.K.norm(), 1e-14) << said();
        // Features, fastest first; the bias has none.
        std::vector<const GrowthMode*> modes;
        for (const GrowthMode& mode : saddle.split)
          if (std::abs(mode.bias) < 0.5) modes.push_back(&mode);
        ASSERT_EQ(modes.size(), 3u) << said();
        for (int f = 0; f < 3; ++f) {
          const GrowthMode& mode = *modes[static_cast<std::size_t>(f)];
          const double expected = 2 * (5 - 2 * f) * (1 - 1.0 / L) * factor / (L * H);
          EXPECT_NEAR(mode.rate.value, expected, 5.5 * mode.rate.stderr_ + 1e-12) << said() << f;
          EXPECT_LT(mode.rate.stderr_, 0.01 * 2 * (5 - 2 * f) * (1 - 1.0 / L) / (L * H)) << said();
          if (factor > 1e-12) {
            EXPECT_GT(std::abs(mode.feature[f]), 1 - 1e-12) << said() << f;
          }
        }
        // Nothing pushes u away from zero; on split patterns nothing restores it.
        EXPECT_NEAR(saddle.u_split.value, 0, 5.5 * saddle.u_split.stderr_ + 1e-12) << said();
        EXPECT_LT(saddle.u_common.value, 0) << said();
      }
}

TEST(DistributedSaddle, hasTheSameBitsOnAnyNumberOfRanks) {
  const Shape shape{4, 3, 2};
  const Prior prior = flipping_spike(2, 3);
  const Communicator self = Communicator::self();
  std::vector<double> rates[2];
  for (const int alone : {0, 1}) {
    PopulationLoss loss(alone ? self : world(), shape, SoftmaxOne{}, prior,
                        {.samples = 8 * 1500, .replicates = 8});
    const UnspecializedManifold manifold(shape, SoftmaxOne{}, prior);
    const LinearGrowth growth(loss, manifold, noisy_start(shape, 0.01, 1, 2), {.end_time = 8});
    const Saddle saddle = find_saddle(loss, manifold, growth.end());
    for (const GrowthMode& mode : saddle.split)
      rates[alone].insert(rates[alone].end(), {mode.rate.value, mode.rate.stderr_});
    for (const Measured& one : local_spectrum(loss, growth.end()).eigenvalues)
      rates[alone].push_back(one.value);
  }
  EXPECT_EQ(rates[0], rates[1]);
  EXPECT_GT(rates[0][0], 0);
}

// Lemma A.1. On a set that is closed under the symmetries, heads that are alike stay so, and the
// sign of theta_2 keeps m_2 at zero: to rounding. r stays invariant with up to three heads; cyclic
// shifts of more are not all permutations, which the projection on the manifold takes in. On an
// open set all this has the sampling error.
TEST(Saddle, manifoldIsInvariantOnAClosedSet) {
  const Prior prior = flipping_spike(2, 3);
  for (const int H : {2, 3, 5})
    for (const Activation& activation : all_activations) {
      const Shape shape{4, H, 2};
      const UnspecializedManifold manifold(shape, activation, prior);
      Parameters point = generic_parameters(shape);
      point.K.col(0).array() += 0.7;
      point = manifold.projection(point);
      EXPECT_EQ(point.K.col(1).norm(), 0);
      EXPECT_GT(point.K(0, 0), 0.3);
      EXPECT_NEAR((manifold.projection(point).K - point.K).norm(), 0, 1e-14);
      const auto off = [&](bool symmetric) {
        PopulationLoss loss(world(), shape, activation, prior,
                            {.samples = 4096, .replicates = 1, .symmetric = symmetric});
        const Parameters gradient = loss.evaluate(point).gradient;
        const Parameters on = manifold.projection(gradient);
        const Matrix half = gradient.K.rightCols(H) * point.K.rightCols(H).transpose();
        const Matrix r_slope = half + half.transpose();
        const Matrix others = r_slope - Matrix(r_slope.diagonal().asDiagonal());
        const double mean = others.sum() / (H * (H - 1));
        double largest = (gradient.K - on.K).leftCols(2).norm() + (gradient.b - on.b).norm();
        for (int h = 0; h < H && H <= 3; ++h)
          for (int g = 0; g < h; ++g) largest = std::max(largest, std::abs(others(h, g) - mean));
        return largest;
      };
      EXPECT_LT(off(true), 1e-15) << name_of(activation) << " H = " << H;
      EXPECT_GT(off(false), 1e-5) << name_of(activation) << " H = " << H;
    }
}

// Lemma A.2. At m = 0 and r = eta^2 I the gradient in m is the same for all heads and antiparallel
// to E theta: 5.5 standard errors of 16 replicates.
TEST(Saddle, allHeadsMoveTowardsTheMeanFirst) {
  const Shape shape{5, 3, 3};
  Matrix covariance(3, 3);
  covariance << 1, 0.3, 0, 0.3, 2, -0.4, 0, -0.4, 0.5;
  const Vector mean = Vector{{0.8, -0.5, 0.3}};
  const Prior priors[] = {gaussian_prior(mean, covariance), canonical_spikes(3, 4)};
  for (const Prior& prior : priors)
    for (const Activation& activation : all_activations) {
      Parameters point = Parameters::zero(shape);
      point.v = 1;
      point.K.rightCols(3).setIdentity();
      PopulationLoss loss(world(), shape, activation, prior,
                          {.samples = 16 * 4096, .replicates = 16, .seed = 8});
      const auto replicates = loss.curvatures({&point, 1});
      const Vector direction = prior.mean().normalized();
      double least = 1e9, most = 0;
      for (int h = 0; h < 3; ++h) {
        const auto component = [&](const Vector& along) {
          std::vector<double> values;
          for (const Curvature& one : replicates)
            values.push_back(one.gradient.segment(h * 6, 3).dot(along));
          return estimate(values);
        };
        const Estimate along = component(direction);
        EXPECT_LT(along.mean, -20 * along.stderr_) << name_of(activation);
        least = std::min(least, -along.mean);
        most = std::max(most, -along.mean);
        EXPECT_LT(most - least, 8 * along.stderr_) << name_of(activation);
        for (int f = 0; f < 3; ++f) {
          Vector across = Vector::Unit(3, f);
          across -= across.dot(direction) * direction;
          const Estimate off = component(across);
          EXPECT_NEAR(off.mean, 0, 5.5 * off.stderr_) << name_of(activation) << f;
        }
      }
    }
}

// Lemma A.4: at zero fields the flow of (b, v) of softmax-1 is attracted by A = v p = 1/L, from
// above and from below; the curvature across these fixed points is positive, along them zero.
TEST(Saddle, attentionOfSoftmaxOneScalesToOne) {
  const Shape shape{5, 2, 1};
  const Prior prior = anisotropic_gaussian(1, 2, 2);
  PopulationLoss loss(world(), shape, SoftmaxOne{}, prior, {.samples = 1024});
  for (const double b : {-2.0, 0.0, 1.5})
    for (const double v : {0.3, 1.0, 4.0}) {
      const auto at = [&](std::span<const double> y) {
        Parameters parameters = Parameters::zero(shape);
        parameters.b = Vector{{y[0], y[1]}};
        parameters.v = y[2];
        return parameters;
      };
      const double y0[] = {b, b + 0.1, v};
      TimeStepper stepper(
          {},
          [&](double, std::span<const double> y, std::span<double> f) {
            const Parameters gradient = loss.evaluate(at(y)).gradient;
            f[0] = -gradient.b[0];
            f[1] = -gradient.b[1];
            f[2] = -gradient.v;
          },
          y0, 3000);
      while (stepper.time() < 3000) stepper.step();
      const Parameters end = at(stepper.state());
      const double A = 0.5 * end.v *
                       (std::exp(end.b[0]) / (1 + 5 * std::exp(end.b[0])) +
                        std::exp(end.b[1]) / (1 + 5 * std::exp(end.b[1])));
      EXPECT_NEAR(A, 0.2, 1e-5) << b << " " << v;
      const UnspecializedManifold manifold(shape, SoftmaxOne{}, prior);
      const Saddle saddle = find_saddle(loss, manifold, end);
      std::vector<double> rates;
      for (const GrowthMode& mode : saddle.common)
        if (std::abs(mode.feature[0]) < 0.5) rates.push_back(mode.rate.value);
      ASSERT_EQ(rates.size(), 2u);
      EXPECT_NEAR(rates[0], 0, 1e-10);
      EXPECT_LT(rates[1], -1e-3);
    }
}

// At the saddle of the flipping spike the heads see the constant direction alone, for which softmax
// of sqrt(nu_1) x_1 is the Bayes estimator: m_1 = sqrt(nu_1) exactly, with the Bayes risk of that
// prior. There r = 0 is restored on the common pattern and flat on split ones (no closed form; its
// sign, of which no more is known than that it is zero within 5.5 standard errors of about 1e-4),
// for each activation; softmax-1 comes to softmax as b grows, so it is taken at b = 6.
TEST(Saddle, ofAPriorWithAMeanIsTheBayesEstimatorOfTheMean) {
  const Shape shape{4, 3, 2};
  const Prior prior = flipping_spike(2, 3);
  const BayesRisk bayes =
      bayes_risk(world(), 4, discrete_prior(Matrix{{std::sqrt(2)}}, Vector::Ones(1)),
                 {.samples = 1 << 18, .replicates = 16}, 0, 1 << 18);
  for (const Activation& activation : all_activations) {
    PopulationLoss loss(world(), shape, activation, prior,
                        {.samples = 16 * 8192, .replicates = 16, .seed = 6});
    const UnspecializedManifold manifold(shape, activation, prior);
    Parameters start = Parameters::zero(shape);
    start.K.col(0).setConstant(1);
    start.v = 1;
    if (name_of(activation) == "softmax-1") start.b.setConstant(6);
    const Saddle saddle = find_saddle(loss, manifold, start);
    EXPECT_NEAR(saddle.parameters.K(0, 0), std::sqrt(2), 2e-3) << name_of(activation);
    EXPECT_NEAR(saddle.loss.value, bayes.risk, 5.5 * (saddle.loss.stderr_ + bayes.stderr_) + 1e-5)
        << name_of(activation);
    EXPECT_NEAR(saddle.u_split.value, 0, 5.5 * saddle.u_split.stderr_) << name_of(activation);
    EXPECT_LT(saddle.u_split.stderr_, 3e-4);
    EXPECT_LT(saddle.u_common.value, -0.02) << name_of(activation);
    EXPECT_GT(saddle.split[0].rate.value, 20 * saddle.split[0].rate.stderr_);
    EXPECT_NEAR(std::abs(saddle.split[0].feature[1]), 1, 1e-12);
  }
}

// Small differences between heads grow as the linear dynamics say, through the alignment and along
// the plateau: the flow on the same closed set, from a start 1e-7 off the manifold. The prediction
// leaves out the answer of u, which vanishes for the feature that changes sign.
TEST(Saddle, linearGrowthIsThatOfTheFlow) {
  const Shape shape{4, 2, 2};
  const Prior prior = flipping_spike(2, 3);
  for (const Activation& activation : all_activations) {
    PopulationLoss loss(world(), shape, activation, prior,
                        {.samples = 2048, .replicates = 2, .symmetric = true});
    const UnspecializedManifold manifold(shape, activation, prior);
    const Start start = noisy_start(shape, 1e-7, 1, 4);
    const LinearGrowth growth(loss, manifold, start, {.end_time = 40, .tolerance = 1e-9});
    const Matrix own = manifold.own_numbers(start.parameters);
    FlowOptions options{.end_time = 40};
    options.stepper.tolerance = 1e-10;
    options.output_times = {0, 1, 5, 12, 20, 30, 40};
    run_flow(loss, start, prior, options, {.record = [&](const FlowRecord& record, const Stages&) {
               const double spread = spread_over_heads(record.order.m)[1];
               const double predicted = growth.log_spread(own, record.time)[1];
               EXPECT_NEAR(std::log(spread), predicted, 2e-3)
                   << name_of(activation) << " t = " << record.time;
               if (record.time == 30) {
                 const double t = growth.time_of(own, 1, std::exp(predicted));
                 EXPECT_NEAR(t, 30, 1e-6);
               }
             }});
  }
}

/// Growth rate of feature 2, in each replicate, for the pattern at an angle from that of feature 1.
std::vector<double> rates_at_angle(const std::vector<Curvature>& replicates, const Shape& shape,
                                   const Vector& learnt, const Vector& other, double degrees) {
  const double angle = degrees * M_PI / 180;
  const Vector pattern = std::cos(angle) * learnt + std::sin(angle) * other;
  Vector direction = Vector::Zero(replicates[0].gradient.size());
  for (int h = 0; h < shape.heads; ++h) direction[h * shape.coordinates() + 1] = pattern[h];
  std::vector<double> rates;
  for (const Curvature& one : replicates) rates.push_back(-direction.dot(one.hessian * direction));
  return rates;
}

// Lemma III.2: once feature 1 is learnt, feature 2 grows fastest on patterns orthogonal to the
// first's, slower the smaller the angle: the difference of every 15 degrees is positive by 5
// standard errors of 16 replicates (false alarm of the sign 1e-4), for all three activations, where
// feature 1 has just split and where the flow has come to rest with it.
TEST(Saddle, nextFeatureGrowsOrthogonallyToTheFirst) {
  const Shape shape{5, 4, 2};
  const Prior prior = anisotropic_gaussian(2, 10, 5);
  const Vector learnt = Vector{{0.5, 0.5, -0.5, -0.5}}, other = Vector{{0.5, -0.5, 0.5, -0.5}};
  for (const Activation& activation : all_activations) {
    PopulationLoss loss(world(), shape, activation, prior,
                        {.samples = 16 * 8192, .replicates = 16, .seed = 2});
    Parameters point = zero_fields(shape, activation);
    point.K.col(0) = 1.0 * learnt;
    Parameters rested = point;  // by gradient steps that keep m_2 = 0 and u = 0
    for (int step = 0; step < 400; ++step) {
      const Parameters gradient = loss.evaluate(rested).gradient;
      rested.K.col(0) -= 2 * learnt.dot(gradient.K.col(0)) * learnt;
      rested.b.array() -= 2 * gradient.b.mean();
      rested.v -= 0.5 * gradient.v;
    }
    for (const Parameters& at : {point, rested}) {
      const auto replicates = loss.curvatures({&at, 1});
      for (int degrees = 15; degrees <= 90; degrees += 15) {
        std::vector<double> differences = rates_at_angle(replicates, shape, learnt, other, degrees);
        const auto before = rates_at_angle(replicates, shape, learnt, other, degrees - 15);
        for (std::size_t r = 0; r < differences.size(); ++r) differences[r] -= before[r];
        const Estimate growth = estimate(differences);
        EXPECT_GT(growth.mean, 5 * growth.stderr_) << name_of(activation) << " at " << degrees;
      }
    }
  }
}

// Newton's method lowers the loss, from wherever it starts; and its standard errors fall like
// n^(-1/2) also where the saddle is one of a nearly flat line (softmax-1 with a mean signal).
TEST(Saddle, isFoundFromFarAndItsErrorsAreThoseOfTheSamples) {
  const Shape shape{4, 2, 2};
  const Prior prior = flipping_spike(2, 3);
  for (const Activation& activation : all_activations) {
    const UnspecializedManifold manifold(shape, activation, prior);
    double loss_error[2], rate_error[2];
    for (const int many : {0, 1}) {
      PopulationLoss loss(world(), shape, activation, prior,
                          {.samples = many ? 16 * 16384 : 16 * 256,
                           .method = SamplingMethod::monte_carlo,
                           .replicates = 16,
                           .seed = 5});
      Parameters start = Parameters::zero(shape);
      start.K.col(0).setConstant(0.05);
      start.v = 1;
      const double before = loss.evaluate(start).loss;
      const Saddle saddle = find_saddle(loss, manifold, start);
      EXPECT_LT(saddle.loss.value, before) << name_of(activation);
      EXPECT_NEAR(saddle.loss.value, 0.4377, 0.02) << name_of(activation);
      EXPECT_LT(saddle.gradient_norm, 1e-4) << name_of(activation);
      loss_error[many] = saddle.loss.stderr_;
      rate_error[many] = saddle.split[0].rate.stderr_;
    }
    // 64 times the samples: 8; each error has 15 degrees of freedom, so the ratio is within 3 of
    // that with probability 1 - 1e-4.
    EXPECT_NEAR(std::log(loss_error[0] / loss_error[1] / 8), 0, std::log(3)) << name_of(activation);
    EXPECT_NEAR(std::log(rate_error[0] / rate_error[1] / 8), 0, std::log(3)) << name_of(activation);
  }
}

// The curvature of u on split patterns at the unspecialized saddle of a Gaussian with a mean,
// against the second-order expansion of one sample averaged over w by hand: with s the scores, A =
// v s,
//   rate = (2v/H) E sum_l (delta_l - A_l) s_l (1 - S1 + 2 S2 - 2 s_l),  S1 = sum s, S2 = sum s^2
// for softmax (v = 1) and softmax-1; zero for Bayes-softmax, where (w_l^2 - sum_j A_j w_j^2)
// vanishes on average. 5.5 standard errors; for softmax r = 0 attracts by at least 8 of them.
TEST(Saddle, curvatureOfUWithAMeanSignal) {
  const Shape shape{4, 2, 2};
  const Prior prior = gaussian_prior(Vector{{1.5, 0}}, 3 * Matrix::Identity(2, 2));
  for (const Activation& activation : all_activations) {
    const Sampling sampling{.samples = 16 * 8192, .replicates = 16, .seed = 9};
    PopulationLoss loss(world(), shape, activation, prior, sampling);
    const UnspecializedManifold manifold(shape, activation, prior);
    Parameters start = Parameters::zero(shape);
    start.v = 1;
    start.K.col(0).setConstant(0.5);
    const Saddle saddle = find_saddle(loss, manifold, start);
    if (name_of(activation) == "bayes-softmax") {
      EXPECT_NEAR(saddle.u_split.value, 0, 5.5 * saddle.u_split.stderr_);
      continue;
    }
    const double v = saddle.parameters.v;
    const SampleMeans formula = sample_means(
        world(), shape, prior, sampling, 1,
        [&](const double* x, std::int64_t count, std::span<double> sums) {
          for (std::int64_t i = 0; i < count; ++i) {
            const Matrix tokens = sample(x, i, shape);
            const auto A = reference_attention(activation, saddle.parameters.K * tokens.transpose(),
                                               saddle.parameters.b, v);
            double S1 = 0, S2 = 0;
            for (const long double a : A) {
              S1 += static_cast<double>(a) / v;
              S2 += static_cast<double>(a * a) / (v * v);
            }
            for (std::size_t l = 0; l < A.size(); ++l) {
              const auto a = static_cast<double>(A[l]);
              sums[0] += 2 / 2.0 * ((l == 0) - a) * a * (1 - S1 + 2 * S2 - 2 * a / v);
            }
          }
        });
    const double error =
        formula.standard_error([](const std::vector<double>& mean) { return mean[0]; });
    EXPECT_NEAR(saddle.u_split.value, formula.mean[0], 5.5 * (saddle.u_split.stderr_ + error))
        << name_of(activation);
    EXPECT_LT(saddle.u_split.value, -8 * saddle.u_split.stderr_) << name_of(activation);
    EXPECT_LT(saddle.u_split.stderr_, 6e-4);
  }
}

// A Hessian whose fastest growth on split patterns is degenerate: the feature that is ahead counts,
// not an arbitrary vector of that space.
TEST(Saddle, timesToSplitFollowTheHeadsAsTheyAre) {
  const Shape shape{5, 4, 2};
  const Matrix projector = Matrix::Identity(4, 4) - Matrix::Constant(4, 4, 0.25);
  Matrix hessian = Matrix::Zero(24, 24);
  for (int h = 0; h < 4; ++h)
    for (int g = 0; g < 4; ++g) {
      hessian(h * 6, g * 6) = -0.4 * projector(h, g) + 0.1;
      hessian(h * 6 + 1, g * 6 + 1) = -0.3 * projector(h, g) + 0.1;
    }
  Matrix K = Matrix::Zero(4, 6);
  K.col(0) =
      1e-4 * Vector{{1, -1, 1, -1}} + Vector::Constant(4, 0.5);  // the common part does not grow
  K.col(1) = 1e-2 * Vector{{1, 1, -1, -1}};
  auto times = times_to_split(hessian, K, shape, Matrix::Identity(2, 2), 0.3);
  EXPECT_NEAR(times[0], std::log(3000.0) / 0.4, 1e-6);
  EXPECT_NEAR(times[1], std::log(30.0) / 0.3, 1e-6);
  K.col(1) *= 100;  // has split: the other goes on alone
  times = times_to_split(hessian, K, shape, Matrix::Identity(2, 2), 0.3);
  EXPECT_NEAR(times[0], std::log(3000.0) / 0.4, 1e-6);
  EXPECT_TRUE(std::isnan(times[1]));
  EXPECT_TRUE(std::isnan(times_to_split(-hessian, K, shape, Matrix::Identity(2, 2), 0.3)[1]));
}

}  // namespace
}  // namespace headflow
