#include <gtest/gtest.h>

#include <Eigen/LU>

#include <tuple>

#include "headflow/flow/flow.hpp"
#include "headflow/flow/output_times.hpp"
#include "support.hpp"

namespace headflow {
namespace {

using namespace testing_support;

constexpr Shape shape{4, 2, 2};

struct Run {
  std::vector<FlowRecord> records;
  Stages stages;
  FlowResult summary;
  const FlowRecord& at(double t) const {
    for (const auto& record : records)
      if (record.time >= t) return record;
    return records.back();
  }
};

FlowOptions options_to(double end, int outputs) {
  FlowOptions options{.end_time = end};
  options.output_times = linear_times(end, outputs);
  return options;
}

Run run(const Communicator& comm, const Activation& activation, const Start& start,
        const FlowOptions& options, Sampling sampling, const Prior& prior = flipping_spike(2, 2)) {
  PopulationLoss loss(comm, {shape, activation, prior, start.spike_factor}, sampling);
  Run result;
  result.summary = run_flow(loss, start.parameters, options,
                            {.record = [&](const FlowRecord& record, const Stages& stages) {
                              result.records.push_back(record);
                              result.stages = stages;
                            }});
  return result;
}

Sampling small(std::int64_t samples = 16384) { return {.samples = samples, .replicates = 8}; }

/// r at t of du/dt = -dE/du + (kappa/2) N u^{-T}, theory.md section 5, by Euler steps in u; with m,
/// b and v as the flow has them.
Matrix euler_in_u(PopulationLoss& loss, Parameters parameters, double kappa, double end,
                  int steps) {
  const double dt = end / steps;
  for (int i = 0; i < steps; ++i) {
    const LossGradient value = loss.evaluate(parameters);
    const Matrix u = parameters.K.rightCols(2);
    parameters.K -= dt * value.gradient.K;
    parameters.K.rightCols(2) += 0.5 * dt * kappa * value.noise * u.inverse().transpose();
    parameters.b -= dt * value.gradient.b;
    parameters.v -= dt * value.gradient.v;
  }
  const Matrix u = parameters.K.rightCols(2);
  return u * u.transpose();
}

Matrix r_of(const State& state) {
  const Matrix u = state.parameters.K.rightCols(state.parameters.K.rows());
  return u * u.transpose();
}

// Euler's error is first order: the values at two step sizes, extrapolated to zero. The sampled
// loss is no exact function of r = u u', which leaves a difference of the sampling error. Noise
// makes a hundred times more.
TEST(FlowWithLearningRateNoise, agreesWithTheEquationInU) {
  Matrix m(2, 2), r(2, 2);
  m << 0.5, 0.3, 0.2, -0.4;
  r << 1, 0.2, 0.2, 0.7;
  const Start start = explicit_start(m, r, Vector::Zero(2), 1);
  for (const Activation& activation : all_activations) {
    PopulationLoss loss(world(), {shape, activation, flipping_spike(2, 2)}, small(), true);
    FlowOptions options = options_to(3, 1);
    Matrix found, without;
    run_flow(loss, start.parameters, options,
             {.record = [&](const FlowRecord& record, const Stages&) { without = r_of(record); }});
    options.kappa = 1.5;
    run_flow(loss, start.parameters, options,
             {.record = [&](const FlowRecord& record, const Stages&) { found = r_of(record); }});
    const Matrix coarse = euler_in_u(loss, start.parameters, 1.5, 3, 100);
    const Matrix fine = euler_in_u(loss, start.parameters, 1.5, 3, 200);
    EXPECT_LT((2 * fine - coarse - found).cwiseAbs().maxCoeff(), 3e-4) << name_of(activation);
    EXPECT_GT((found - without).cwiseAbs().maxCoeff(), 0.03) << name_of(activation);
  }
}

// As the noise goes to zero the flow in r is that in u, with weight decay, too.
TEST(FlowWithLearningRateNoise, decaysLikeTheFlowInU) {
  const Start start = noisy_start(shape, 0.3, 1, 2);
  for (const Activation& activation : all_activations) {
    Model model(shape, activation, flipping_spike(2, 2));
    model.weight_decay = 0.2;
    PopulationLoss loss(world(), model, small(2048), true);
    State states[2];
    for (const int noise : {0, 1}) {
      FlowOptions options = options_to(4, 1);
      options.stepper.tolerance = 1e-10;
      options.kappa = noise == 0 ? 0 : 1e-12;
      run_flow(
          loss, start.parameters, options,
          {.record = [&](const FlowRecord& record, const Stages&) { states[noise] = record; }});
    }
    // Samples tell two u of the same r apart, as they do without decay.
    EXPECT_LT((states[0].order.q - states[1].order.q).cwiseAbs().maxCoeff(), 2e-3)
        << name_of(activation);
    EXPECT_LT(states[0].order.r.trace(),
              0.5 * order_parameters(start.parameters.K, start.spike_factor).r.trace());
  }
}

// At r = 0 there is no u^{-1}, but the equation for r is smooth: r = kappa N t to first order.
TEST(FlowWithLearningRateNoise, growsOutOfASingularR) {
  Matrix m(2, 2);
  m << 0.5, 0.3, 0.2, -0.4;
  const Start start = explicit_start(m, Matrix::Zero(2, 2), Vector::Zero(2), 1);
  PopulationLoss loss(world(), {shape, Softmax{}, flipping_spike(2, 2)}, small(), true);
  const Matrix N = loss.evaluate(start.parameters).noise;
  FlowOptions options = options_to(1e-3, 1);
  options.kappa = 2;
  Matrix found;
  run_flow(loss, start.parameters, options,
           {.record = [&](const FlowRecord& record, const Stages&) { found = r_of(record); }});
  EXPECT_LT((found / 2e-3 - N).cwiseAbs().maxCoeff(), 2e-3 * N.cwiseAbs().maxCoeff());
}

// The flow with noise ends by the norm of dE/d(K, b, v) as well, not by that of its own slope,
// which the noise keeps from zero.
TEST(FlowWithLearningRateNoise, endsByTheGradientNorm) {
  const Start start = noisy_start(shape, 0.3, 1, 2);
  PopulationLoss loss(world(), {shape, Softmax{}, flipping_spike(2, 2)}, small(1024), true);
  for (const char* method : {"5dp", "5f", "euler"}) {
    FlowOptions options{.end_time = 100, .stop_gradient_norm = 0.08, .kappa = 0.5};
    options.stepper.method = method;
    options.stepper.step = 0.5;
    std::vector<double> norms;
    const FlowResult result = run_flow(loss, start.parameters, options,
                                       {.record = [&](const FlowRecord& record, const Stages&) {
                                         norms.push_back(record.loss.gradient_norm);
                                       }});
    EXPECT_EQ(result.end, FlowEnd::small_gradient) << method;
    EXPECT_LT(norms.back(), options.stop_gradient_norm) << method;
    EXPECT_GT(norms.back(), 0.5 * options.stop_gradient_norm) << method;
  }
}

// kappa -> 0: the form in r is the form in u. The sampled loss is no exact function of r, so the
// closed sample set's error remains.
TEST(FlowWithLearningRateNoise, vanishesWithKappa) {
  const Start start = noisy_start(shape, 0.3, 1, 2);
  PopulationLoss loss(world(), {shape, Softmax{}, flipping_spike(2, 2)}, small(), true);
  FlowOptions options = options_to(20, 4);
  options.stepper.tolerance = 1e-9;
  std::vector<FlowRecord> records[2];
  for (int form = 0; form < 2; ++form) {
    options.kappa = form == 0 ? 0 : 1e-12;
    run_flow(loss, start.parameters, options,
             {.record = [&](const FlowRecord& record, const Stages&) {
               records[form].push_back(record);
             }});
  }
  for (std::size_t i = 0; i < records[0].size(); ++i) {
    EXPECT_LT((records[0][i].order.m - records[1][i].order.m).cwiseAbs().maxCoeff(), 1e-3);
    EXPECT_LT((r_of(records[0][i]) - r_of(records[1][i])).cwiseAbs().maxCoeff(), 1e-3);
  }
}

// theory.md section 8, "Flow": values with 1 or 2 units in the last given digit, loss .82 at t = 0,
// plateau near .439 from t ~ 35 with m_{h1} ~ 1.4, m_{h2} ~ 0, then .433 with m -> (1.60, +-.67), r
// -> 0.
TEST(Flow, softmaxLearnsInTwoPhases) {
  const auto result =
      run(world(), Softmax{}, noisy_start(shape, 0.01, 1, 1), options_to(400, 80), small(65536));
  EXPECT_NEAR(result.records[0].loss.mean.loss, 0.82, 0.01);
  const auto& plateau = result.at(60);
  EXPECT_NEAR(plateau.loss.mean.loss, 0.439, 0.002);
  for (int h = 0; h < 2; ++h) {
    EXPECT_NEAR(plateau.order.m(h, 0), 1.45, 0.06);
    EXPECT_NEAR(plateau.order.m(h, 1), 0, 0.06);
  }
  const auto& end = result.records.back();
  EXPECT_NEAR(end.loss.mean.loss, 0.432, 0.002);
  for (int h = 0; h < 2; ++h) {
    EXPECT_NEAR(end.order.m(h, 0), 1.60, 0.02);
    EXPECT_NEAR(std::abs(end.order.m(h, 1)), 0.67, 0.02);
  }
  EXPECT_LT(end.order.m(0, 1) * end.order.m(1, 1), 0);
  EXPECT_LT(end.order.r.cwiseAbs().maxCoeff(), 0.01);
  EXPECT_GT(result.stages.split_time[1], 80);
  EXPECT_TRUE(std::isnan(result.stages.split_time[0]));
  EXPECT_NEAR(result.stages.alignment_time, 4.6, 0.3);
}

TEST(Flow, softmaxOneIsLowerAndStillFalling) {
  const auto result =
      run(world(), SoftmaxOne{}, noisy_start(shape, 0.01, 1, 1), options_to(300, 60), small(65536));
  EXPECT_NEAR(result.records.back().loss.mean.loss, 0.4275, 0.003);
  EXPECT_LT(result.records.back().loss.mean.loss, result.at(250).loss.mean.loss);
}

// The Bayes risk .34267 +- .0003, within 4 combined standard errors, and m -> (sqrt 2, +- sqrt 2).
TEST(Flow, bayesSoftmaxReachesTheBayesRisk) {
  const auto result = run(world(), BayesSoftmax{}, noisy_start(shape, 0.01, 1, 1),
                          options_to(300, 10), small(65536));
  const auto& end = result.records.back();
  EXPECT_NEAR(end.loss.mean.loss, .34267, 4 * std::hypot(.0003, end.loss.loss_stderr));
  for (int h = 0; h < 2; ++h) {
    EXPECT_NEAR(end.order.m(h, 0), std::sqrt(2.0), 0.03);
    EXPECT_NEAR(std::abs(end.order.m(h, 1)), std::sqrt(2.0), 0.03);
  }
}

// A gradient flow of a fixed function never climbs; slack: the tolerance of the interpolated
// states.
TEST(Flow, lossNeverRisesOnFixedSamples) {
  for (const Activation& activation : all_activations) {
    const auto result = run(world(), activation, random_start(shape, 100, 1, true, 2),
                            options_to(150, 300), small());
    for (std::size_t i = 1; i < result.records.size(); ++i)
      EXPECT_LE(result.records[i].loss.mean.loss, result.records[i - 1].loss.mean.loss + 1e-7)
          << name_of(activation) << " t " << result.records[i].time;
  }
}

// A step too large for the flow is tried again, by what the loss is at its end: also with methods
// whose last stage lies elsewhere, and where the error estimate would let it pass.
TEST(Flow, lossNeverRisesInLargeSteps) {
  const Start start = noisy_start(shape, 0.1, 1, 1);
  for (const char* method : {"2a", "3bs", "5f", "5dp", "5bs"}) {
    FlowOptions options{.end_time = 60};
    options.stepper = {.method = method, .tolerance = 1e6, .step = 20};
    const auto result = run(world(), Softmax{}, start, options, small(1024));
    EXPECT_EQ(result.summary.rises.count, 0) << method;
    EXPECT_GT(result.summary.rejected_steps, 0) << method;
  }
}

// Finite-D spikes: a flow in coordinates of an orthonormal basis equals the flow whose prior is S'
// theta, and m = K S'.
TEST(Flow, overlapsAreThoseOfTheActualSpikes) {
  const Start start = random_start(shape, 20, 1, false, 4);
  const auto result = run(world(), Softmax{}, start, options_to(5, 5), small());
  for (const auto& record : result.records) {
    const Matrix m = record.parameters.K.leftCols(2) * start.spike_factor.transpose();
    EXPECT_LT((record.order.m - m).cwiseAbs().maxCoeff(), 1e-14);
    const Matrix gram = start.spike_factor * start.spike_factor.transpose();
    const Matrix rest = record.order.q - m * gram.inverse() * m.transpose();
    EXPECT_LT((record.order.r - rest).cwiseAbs().maxCoeff(), 1e-13);
  }
}

TEST(Flow, eulerConvergesToTheAdaptiveTrajectory) {
  const Start start = noisy_start(shape, 0.1, 1, 1);
  const auto exact = run(world(), Softmax{}, start, options_to(10, 5), small());
  double last = 0;
  for (const double step : {0.2, 0.1, 0.05}) {
    FlowOptions options = options_to(10, 5);
    options.stepper.method = "euler";
    options.stepper.step = step;
    const auto euler = run(world(), Softmax{}, start, options, small());
    double error = 0;
    for (std::size_t i = 0; i < euler.records.size(); ++i)
      error = std::max(error,
                       (euler.records[i].order.m - exact.records[i].order.m).cwiseAbs().maxCoeff());
    if (last > 0) {
      EXPECT_NEAR(std::log2(last / error), 1, 0.3);
    }
    last = error;
  }
}

TEST(Flow, theOutputScheduleDoesNotChangeTheTrajectory) {
  const Start start = noisy_start(shape, 0.1, 1, 1);
  for (const std::string method : {"5dp", "euler", "3bs"}) {
    FlowOptions few = options_to(20, 2);
    FlowOptions many = options_to(20, 40);
    few.stepper.method = many.stepper.method = method;
    const auto a = run(world(), Softmax{}, start, few, small());
    const auto b = run(world(), Softmax{}, start, many, small());
    for (const double t : {0.0, 10.0, 20.0}) {
      EXPECT_EQ(a.at(t).parameters.K, b.at(t).parameters.K) << method;
      EXPECT_EQ(a.at(t).loss.mean.loss, b.at(t).loss.mean.loss) << method;
    }
  }
}

TEST(Flow, stopsWhereTheGradientVanishes) {
  FlowOptions options = options_to(1000, 10);
  options.stop_gradient_norm = 1e-3;
  const auto result = run(world(), BayesSoftmax{}, noisy_start(shape, 0.1, 1, 1), options, small());
  EXPECT_EQ(result.summary.end, FlowEnd::small_gradient);
  EXPECT_LT(result.summary.time, 900);
  EXPECT_EQ(result.records.back().time, result.summary.time);
  EXPECT_LT(result.records.back().loss.gradient_norm, 2e-3);
}

// Fresh samples at every step: the same physics, another sample set each time (Figure 8).
TEST(Flow, freshSamplesGiveTheSameBehaviour) {
  FlowOptions options = options_to(30, 3);
  options.stepper.method = "euler";
  options.resample = 1;
  const Start start = noisy_start(shape, 0.1, 1, 1);
  const auto fresh = run(world(), Softmax{}, start, options, small());
  options.resample = 0;
  const auto fixed = run(world(), Softmax{}, start, options, small());
  EXPECT_NE(fresh.records.back().order.m, fixed.records.back().order.m);
  EXPECT_LT((fresh.records.back().order.m - fixed.records.back().order.m).cwiseAbs().maxCoeff(),
            0.05);
}

TEST(DistributedFlow, hasTheBitsOfOneProcess) {
  const Communicator self = Communicator::self();
  for (const Activation& activation : all_activations) {
    const Start start = random_start(shape, 1000, 1, false, 3);
    const auto alone = run(self, activation, start, options_to(40, 7), small());
    const auto shared = run(world(), activation, start, options_to(40, 7), small());
    ASSERT_EQ(alone.records.size(), shared.records.size());
    for (std::size_t i = 0; i < alone.records.size(); ++i) {
      EXPECT_EQ(alone.records[i].parameters.K, shared.records[i].parameters.K);
      EXPECT_EQ(alone.records[i].loss.loss_stderr, shared.records[i].loss.loss_stderr);
    }
    EXPECT_EQ(alone.summary.right_hand_sides, shared.summary.right_hand_sides);
  }
}

// theory.md section 5: on a closed set a hundred times less noise delays the split by
// ln(100)/lambda, because it scales the whole split down by a hundred: when the run with noise 1e-4
// has split by 0.01, that with 1e-6 stands at 0.0001. On a plain set the sampling noise splits the
// heads by itself. (lambda itself, the small curvature of one sample set, is .031 to .044 on 4096
// samples and .035 on many.)
TEST(LongFlow, splitTimeFollowsTheLogarithmOfTheNoiseOnAClosedSet) {
  const auto splits_at = [](double noise, bool symmetric, double probe) {
    const Sampling sampling{.samples = 4096, .replicates = 8, .symmetric = symmetric};
    FlowOptions options{.end_time = 600};
    options.split_threshold = 0.01;
    options.output_times = {probe, 600};
    options.stepper.tolerance = 1e-10;
    const auto result = run(world(), Softmax{}, noisy_start(shape, noise, 1, 1), options, sampling);
    return std::pair(result.stages.split_time[1], spread_over_heads(result.records[0].order.m)[1]);
  };
  const double early = splits_at(1e-4, true, 1).first;
  const auto [late, spread] = splits_at(1e-6, true, early);
  EXPECT_NEAR(spread, 1e-4, 2e-6);
  EXPECT_GT(late - early, std::log(100.0) / 0.05);
  EXPECT_LT(late - early, std::log(100.0) / 0.03);
  EXPECT_LT(std::abs(splits_at(1e-6, false, 1).first - splits_at(1e-4, false, 1).first), 5);
}

// One step of Euler's method moves each parameter by its rate times its gradient; what is not
// trained keeps its bits along the flow, where the objective only falls.
TEST(Flow, movesWhatIsTrainedAtItsRates) {
  Start start = noisy_start(shape, 0.3, 1, 2);
  start.parameters.b << 0.5, -0.25;
  start.parameters.v = 1.5;
  const Parameters& first = start.parameters;
  for (const Activation& activation : all_activations)
    for (const auto& [k, b, v] :
         {std::tuple{true, 0.0, 0.0}, {true, 3.0, 0.2}, {false, 2.0, 0.0}}) {
      Model model(shape, activation, flipping_spike(2, 2));
      model.training = training_of(activation, k, b, v);
      if (!k && model.training.b == 0) continue;
      PopulationLoss loss(world(), model, small(1024));
      const auto end_of = [&](FlowOptions options) {
        const FlowResult result =
            run_flow(loss, first, options, {.record = [](const FlowRecord&, const Stages&) {}});
        EXPECT_EQ(result.rises.count, 0) << name_of(activation);
        return result.parameters;
      };
      FlowOptions step{.end_time = 1e-2};
      step.stepper.method = "euler";
      step.stepper.step = 1e-2;
      const Parameters moved = end_of(step), slope = loss.evaluate(first).gradient;
      const Training& rates = model.training;
      EXPECT_LT((moved.K - first.K + (k ? 1e-2 : 0) * slope.K).norm(), 1e-14);
      EXPECT_LT((moved.b - first.b + 1e-2 * rates.b * slope.b).norm(), 1e-14);
      EXPECT_NEAR(moved.v - first.v, -1e-2 * rates.v * slope.v, 1e-14);
      const Parameters end = end_of({.end_time = 20});
      EXPECT_EQ(end.K == first.K, !k);
      EXPECT_EQ(end.b == first.b, rates.b == 0);
      EXPECT_EQ(end.v == first.v, rates.v == 0);
    }
}

}  // namespace
}  // namespace headflow
