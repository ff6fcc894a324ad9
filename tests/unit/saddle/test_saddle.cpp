// The unspecialized saddle, growth there, and the paper's lemmas on it.
#include <gtest/gtest.h>

#include <tuple>

#include "headflow/flow/flow.hpp"
#include "headflow/saddle/linear_growth.hpp"
#include "headflow/saddle/saddle.hpp"
#include "headflow/train/bayes_risk.hpp"
#include "population/sample_means.hpp"
#include "trained_support.hpp"

namespace headflow {
namespace {

using namespace testing_support;

TEST(DistributedSaddle, hasTheSameBitsOnAnyNumberOfRanks) {
  const Shape shape{4, 3, 2};
  const Prior prior = flipping_spike(2, 3);
  const Communicator self = Communicator::self();
  std::vector<double> rates[2];
  for (const int alone : {0, 1}) {
    PopulationLoss loss(alone ? self : world(), {shape, SoftmaxOne{}, prior},
                        {.samples = 8 * 1500, .replicates = 8});
    const UnspecializedManifold manifold({shape, SoftmaxOne{}, prior});
    const LinearGrowth growth =
        follow_manifold(loss, manifold, noisy_start(shape, 0.01, 1, 2).parameters, {.end_time = 8});
    const Saddle saddle = find_saddle(loss, manifold, growth.end());
    for (const GrowthMode& mode : saddle.split)
      rates[alone].insert(rates[alone].end(), {mode.rate.value, mode.rate.error});
    for (const Measured& one : local_spectrum(loss, growth.end()).eigenvalues)
      rates[alone].push_back(one.value);
  }
  EXPECT_EQ(rates[0], rates[1]);
  EXPECT_GT(rates[0][0], 0);
}

// At the saddle of the flipping spike the heads see the constant direction alone, for which softmax
// of sqrt(nu_1) x_1 is the Bayes estimator: m_1 = sqrt(nu_1) exactly, with the Bayes risk of that
// prior. There r = 0 is restored on the common pattern and flat on split ones (no closed form; its
// sign, of which no more is known than that it is zero within 5.5 standard errors of about 1e-4),
// for each activation; softmax-1 comes to softmax as b grows, so it is taken at b = 6.
TEST(Saddle, ofAPriorWithAMeanHasItsClosedForm) {
  const Shape shape{4, 3, 2};
  const Prior prior = flipping_spike(2, 3);
  const BayesRisk bayes =
      bayes_risk(world(), sequences(4, discrete_prior(Matrix{{std::sqrt(2)}}, Vector::Ones(1))),
                 {.samples = 1 << 18, .replicates = 16}, {0, 1 << 18});
  for (const Activation& activation : all_activations) {
    PopulationLoss loss(world(), {shape, activation, prior},
                        {.samples = 16 * 8192, .replicates = 16, .seed = 6});
    const UnspecializedManifold manifold({shape, activation, prior});
    Parameters start = Parameters::zero(shape);
    start.K.col(0).setConstant(1);
    start.v = 1;
    if (name_of(activation) == "softmax-1") start.b.setConstant(6);
    const Saddle saddle = find_saddle(loss, manifold, start);
    EXPECT_NEAR(saddle.parameters.K(0, 0), std::sqrt(2), 2e-3) << name_of(activation);
    EXPECT_NEAR(saddle.loss.value, bayes.risk, 5.5 * (saddle.loss.error + bayes.error) + 1e-5)
        << name_of(activation);
    EXPECT_NEAR(saddle.u_split.value, 0, 5.5 * saddle.u_split.error) << name_of(activation);
    EXPECT_LT(saddle.u_split.error, 3e-4);
    EXPECT_LT(saddle.u_common.value, -0.02) << name_of(activation);
    EXPECT_GT(saddle.split[0].rate.value, 20 * saddle.split[0].rate.error);
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
    PopulationLoss loss(world(), {shape, activation, prior},
                        {.samples = 2048, .replicates = 2, .symmetric = true});
    const UnspecializedManifold manifold({shape, activation, prior});
    const Start start = noisy_start(shape, 1e-7, 1, 4);
    const LinearGrowth growth =
        follow_manifold(loss, manifold, start.parameters, {.end_time = 40, .tolerance = 1e-9});
    const Matrix own = manifold.head_coordinates(start.parameters);
    FlowOptions options{.end_time = 40};
    options.stepper.tolerance = 1e-10;
    options.output_times = {0, 1, 5, 12, 20, 30, 40};
    run_flow(loss, start.parameters, options,
             {.record = [&](const FlowRecord& record, const Stages&) {
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

// Weight decay takes its rate from every growth rate at a point, and moves the saddle to where it
// balances the loss; the differences between heads grow along the flow as predicted there.
TEST(Saddle, hasWeightDecay) {
  const Shape shape{4, 2, 2};
  constexpr double decay = 0.02;
  for (const Activation& activation : all_activations) {
    Model model(shape, activation, flipping_spike(2, 3));
    const Sampling sampling{.samples = 2048, .replicates = 2, .symmetric = true};
    PopulationLoss without(world(), model, sampling);
    model.weight_decay = decay;
    PopulationLoss loss(world(), model, sampling);
    const UnspecializedManifold manifold(model);
    const Start start = noisy_start(shape, 1e-7, 1, 4);
    const Saddle saddle = find_saddle(loss, manifold, start.parameters);
    const LossGradient plain = without.evaluate(saddle.parameters);
    EXPECT_NEAR(saddle.loss.value, plain.loss, 1e-13);
    EXPECT_LT((plain.gradient.K + decay * saddle.parameters.K).leftCols(2).norm(), 1e-8)
        << name_of(activation);
    const auto here = local_spectrum(loss, saddle.parameters);
    const auto there = local_spectrum(without, saddle.parameters);
    for (int f = 0; f < 2; ++f)
      EXPECT_NEAR(here.rate[f].value, there.rate[f].value - decay, 1e-13) << name_of(activation);
    EXPECT_NEAR(saddle.split[0].rate.value, here.rate[1].value, 1e-9);
    const LinearGrowth growth =
        follow_manifold(loss, manifold, start.parameters, {.end_time = 30, .tolerance = 1e-9});
    const Matrix own = manifold.head_coordinates(start.parameters);
    FlowOptions options{.end_time = 30, .output_times = {5, 20, 30}};
    options.stepper.tolerance = 1e-10;
    const FlowResult flow = run_flow(loss, start.parameters, options,
                                     {.record = [&](const FlowRecord& record, const Stages&) {
                                       EXPECT_NEAR(std::log(spread_over_heads(record.order.m)[1]),
                                                   growth.log_spread(own, record.time)[1], 2e-3)
                                           << name_of(activation) << " t = " << record.time;
                                     }});
    EXPECT_EQ(flow.rises.count, 0);
  }
}

// With rates of b and v of their own, and where they stay: growth as along the flow.
TEST(Saddle, linearGrowthHasTheRatesOfWhatIsTrained) {
  const Shape shape{4, 2, 2};
  for (const auto& [activation, b, v] : {std::tuple{Activation{SoftmaxOne{}}, 5.0, 0.2},
                                         {Activation{SoftmaxOne{}}, 0.0, 0.0},
                                         {Activation{BayesSoftmax{}}, 8.0, 1.0},
                                         {Activation{BayesSoftmax{}}, 0.0, 1.0}}) {
    Model model(shape, activation, flipping_spike(2, 3));
    model.training = training_of(activation, true, b, v);
    PopulationLoss loss(world(), model, {.samples = 2048, .replicates = 2, .symmetric = true});
    const UnspecializedManifold manifold(model);
    Start start = noisy_start(shape, 1e-7, 1, 4);
    start.parameters.b << -0.3, -0.3 + (b > 0 ? 1e-7 : 0);
    start.parameters.v = 1.2;
    const LinearGrowth growth =
        follow_manifold(loss, manifold, start.parameters, {.end_time = 20, .tolerance = 1e-9});
    EXPECT_EQ(growth.end().b[0] == start.parameters.b[0], b == 0);
    EXPECT_EQ(growth.end().v == 1.2, model.training.v == 0);
    const Matrix own = manifold.head_coordinates(start.parameters);
    EXPECT_EQ(own.cols(), b > 0 ? 4 : 3);  // with r_hh
    FlowOptions options{.end_time = 20, .output_times = {1, 5, 20}};
    options.stepper.tolerance = 1e-10;
    run_flow(loss, start.parameters, options,
             {.record = [&](const FlowRecord& record, const Stages&) {
               const Vector spread = spread_over_heads(record.order.m);
               const Vector predicted = growth.log_spread(own, record.time);
               EXPECT_NEAR(std::log(spread[1]), predicted[1], 2e-3)
                   << name_of(model.activation) << " t = " << record.time;
             }});
    const Saddle saddle = find_saddle(loss, manifold, growth.end());
    EXPECT_LT(saddle.gradient_norm, 1e-8);
    EXPECT_NEAR(saddle.split[0].rate.value, local_spectrum(loss, saddle.parameters).rate[1].value,
                1e-9);
  }
}

// Eigenvectors have norm 1, in parameters that are scaled by the roots of their rates; those that
// split heads leave v as it is, which all heads share.
TEST(Saddle, modesAreUnitVectors) {
  const Shape shape{4, 2, 2};
  Model model(shape, SoftmaxOne{}, flipping_spike(2, 3));
  model.training = training_of(model.activation, true, 0.5, 2);
  PopulationLoss loss(world(), model, {.samples = 1024, .replicates = 2, .symmetric = true});
  Parameters start = Parameters::zero(shape);
  start.K.col(0).setConstant(1);
  start.v = 1;
  const Saddle saddle = find_saddle(loss, UnspecializedManifold(model), start);
  EXPECT_EQ(saddle.split.size(), 3u);
  EXPECT_EQ(saddle.common.size(), 4u);
  for (const GrowthMode& mode : saddle.split) {
    EXPECT_EQ(mode.scale, 0);
    EXPECT_NEAR(mode.feature.squaredNorm() + mode.bias * mode.bias / 0.5, 1, 1e-12);
  }
  double scales = 0;
  for (const GrowthMode& mode : saddle.common) {
    EXPECT_NEAR(
        mode.feature.squaredNorm() + mode.bias * mode.bias / 0.5 + mode.scale * mode.scale / 2, 1,
        1e-12);
    scales += mode.scale * mode.scale / 2;
  }
  EXPECT_NEAR(scales, 1, 1e-12);
}

// From far away, where a full step of Newton's method leaves the basin: m_1 = sqrt(nu_1) is found.
TEST(Saddle, isFoundFromFarInItsClosedForm) {
  const Shape shape{4, 2, 2};
  for (const double nu : {2.0, 6.0, 10.0})
    for (const Activation& activation : all_activations) {
      const Prior prior = flipping_spike(nu, nu);
      const UnspecializedManifold manifold({shape, activation, prior});
      PopulationLoss loss(world(), {shape, activation, prior}, {.samples = 8 * 4096});
      for (const double m : {0.01, 0.3, 6.0}) {
        Parameters start = Parameters::zero(shape);
        start.K.col(0).setConstant(m);
        start.v = 1;
        const Saddle saddle = find_saddle(loss, manifold, start);
        EXPECT_LE(saddle.loss.value, loss.evaluate(start).loss);
        EXPECT_NEAR(saddle.parameters.K(0, 0), std::sqrt(nu), 0.05 * std::sqrt(nu))
            << name_of(activation) << " nu = " << nu << " from " << m;
      }
    }
}

// Newton's method lowers the loss, from wherever it starts; and its standard errors fall like
// n^(-1/2) also where the saddle is one of a nearly flat line (softmax-1 with a mean signal).
TEST(Saddle, itsErrorsAreThoseOfTheSamples) {
  const Shape shape{4, 2, 2};
  const Prior prior = flipping_spike(2, 3);
  for (const Activation& activation : all_activations) {
    const UnspecializedManifold manifold({shape, activation, prior});
    double loss_error[2], rate_error[2];
    for (const int many : {0, 1}) {
      PopulationLoss loss(world(), {shape, activation, prior},
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
      loss_error[many] = saddle.loss.error;
      rate_error[many] = saddle.split[0].rate.error;
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
    PopulationLoss loss(world(), {shape, activation, prior}, sampling);
    const UnspecializedManifold manifold({shape, activation, prior});
    Parameters start = Parameters::zero(shape);
    start.v = 1;
    start.K.col(0).setConstant(0.5);
    const Saddle saddle = find_saddle(loss, manifold, start);
    if (name_of(activation) == "bayes-softmax") {
      EXPECT_NEAR(saddle.u_split.value, 0, 5.5 * saddle.u_split.error);
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
        },
        Control::none());
    const double error =
        formula.standard_error([](const std::vector<double>& mean) { return mean[0]; });
    EXPECT_NEAR(saddle.u_split.value, formula.mean[0], 5.5 * (saddle.u_split.error + error))
        << name_of(activation);
    EXPECT_LT(saddle.u_split.value, -8 * saddle.u_split.error) << name_of(activation);
    EXPECT_LT(saddle.u_split.error, 6e-4);
  }
}

// A Hessian whose fastest growth on split patterns is degenerate: the feature that is ahead counts,
// not an arbitrary vector of that space.
TEST(Saddle, timesToSplitFollowTheHeadsAsTheyAre) {
  const Model model({5, 4, 2}, Softmax{}, flipping_spike(1, 1));
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
  auto times = times_to_split(hessian, K, model, 0.3);
  EXPECT_NEAR(times[0], std::log(3000.0) / 0.4, 1e-6);
  EXPECT_NEAR(times[1], std::log(30.0) / 0.3, 1e-6);
  K.col(1) *= 100;  // has split: the other goes on alone
  times = times_to_split(hessian, K, model, 0.3);
  EXPECT_NEAR(times[0], std::log(3000.0) / 0.4, 1e-6);
  EXPECT_TRUE(std::isnan(times[1]));
  EXPECT_TRUE(std::isnan(times_to_split(-hessian, K, model, 0.3)[1]));
}

}  // namespace
}  // namespace headflow
