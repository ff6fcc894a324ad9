// The covariance of [fluctuations] against replicas of SGD.
#include <gtest/gtest.h>

#include <Eigen/LU>

#include "headflow/flow/fluctuations.hpp"
#include "headflow/flow/order_tangents.hpp"
#include "headflow/sgd/run_sgd.hpp"
#include "support.hpp"

namespace headflow {
namespace {

using namespace testing_support;

struct Law {
  Activation activation;
  std::int64_t dimension = 1000, replicas = 200;
  double kappa = 0.5;
  std::vector<double> times{};
  bool own_starts = false;
  double weight_decay = 0;
  bool k = true;
  double b_rate = 1, v_rate = 1;
  Schedule schedule{};
};

constexpr Shape shape{4, 2, 2};

Vector order_of(const Model& model, const State& state) {
  return OrderTangents(model, state.parameters)
      .packed(state.order.m, state.order.r, state.parameters.b, state.parameters.v);
}

/// sum_i (y_i - mean)' C^-1 (y_i - mean) over n (R - 1), its mean where y has the covariance C.
double chi_square(const std::vector<Vector>& y, const Matrix& C) {
  Vector mean = Vector::Zero(y[0].size());
  for (const Vector& one : y) mean += one / static_cast<double>(y.size());
  const Matrix inverse = C.inverse();
  double sum = 0;
  for (const Vector& one : y) sum += (one - mean).dot(inverse * (one - mean));
  return sum / static_cast<double>(C.rows() * static_cast<Eigen::Index>(y.size() - 1));
}

std::vector<Matrix> predicted(const Law& law, const SgdProblem& problem, const Parameters& start) {
  PopulationLoss loss(world(), problem.model, {.samples = 1 << 15, .replicates = 1}, true);
  FluctuationsOptions options{.end_time = law.times.back(),
                              .output_times = law.times,
                              .kappa = law.kappa,
                              .schedule = law.schedule,
                              .dimension = static_cast<double>(law.dimension)};
  if (law.own_starts)
    options.starts = random_start_spread(shape, static_cast<double>(law.dimension), 1);
  std::vector<Matrix> covariances;
  run_fluctuations(loss, law.own_starts ? options.starts->mean : start, options,
                   {.record = [&](const FluctuationsRecord& record) {
                     covariances.push_back(record.spreads[0].covariance);
                   }});
  return covariances;
}

std::vector<std::vector<Vector>> simulated(const Law& law, const SgdProblem& problem,
                                           const Parameters& start) {
  PopulationLoss loss(world(), problem.model, {.samples = 64, .replicates = 1});
  SgdOptions options{.replicas = law.replicas};
  for (const double t : law.times)
    options.output_steps.push_back(
        std::llround(problem.schedule.elapsed(t) / problem.learning_rate));
  for (std::int64_t i = 0; i < law.replicas && law.own_starts; ++i)
    options.first.push_back(random_start(shape, static_cast<double>(law.dimension), 1, true,
                                         static_cast<std::uint64_t>(i + 1))
                                .parameters);
  std::vector<std::vector<Vector>> y;
  run_sgd(world(), problem, start, options, loss, {.record = [&](const SgdRecord& record) {
            auto& all = y.emplace_back();
            for (const SgdState& state : record.replicas)
              all.push_back(order_of(problem.model, state));
          }});
  return y;
}

// In y - mean of R replicas, n numbers each, the sum is chi-square of n (R - 1) degrees of freedom.
// Limits: five standard deviations (false alarm 2e-6 a time), and 3 % for what the theory leaves
// out, O(1/D) and O(lr). So a covariance that is 1.5 times too large or small is seen.
void expect_law(const Law& law) {
  const double D = static_cast<double>(law.dimension);
  SgdProblem problem{.model = {shape, law.activation, flipping_spike(2, 2)},
                     .engine = Engine::overlaps,
                     .dimension = law.dimension,
                     .batch = 1,
                     .learning_rate = law.kappa / D};
  problem.model.weight_decay = law.weight_decay;
  problem.schedule = law.schedule;
  problem.model.training = training_of(law.activation, law.k, law.b_rate, law.v_rate);
  Matrix m(2, 2);
  m << 0.10, 0.05, 0.08, -0.02;
  const Parameters start = explicit_start(m, Matrix::Identity(2, 2), Vector::Zero(2), 1).parameters;
  const auto C = predicted(law, problem, start);
  const auto y = simulated(law, problem, start);
  ASSERT_EQ(C.size(), y.size());
  for (std::size_t i = 0; i < C.size(); ++i) {
    const double degrees = static_cast<double>(C[i].rows() * (law.replicas - 1));
    const double limit = 0.03 + 5 * std::sqrt(2 / degrees);
    EXPECT_NEAR(chi_square(y[i], C[i]), 1, limit)
        << name_of(law.activation) << " t = " << law.times[i];
    EXPECT_LT(limit, 1 - 1 / 1.5);
    for (Eigen::Index k = 0; k < C[i].rows(); ++k) {
      std::vector<double> entry;
      for (const Vector& one : y[i]) entry.push_back(one[k]);
      const double deviation = estimate(entry).error * std::sqrt(static_cast<double>(law.replicas));
      // A standard deviation of R normal numbers has the relative error 1 / sqrt(2 (R - 1)).
      EXPECT_NEAR(deviation / std::sqrt(C[i](k, k)), 1,
                  0.03 + 5 / std::sqrt(2.0 * static_cast<double>(law.replicas - 1)))
          << name_of(law.activation) << " entry " << k << " t = " << law.times[i];
    }
  }
}

TEST(FluctuationsLaw, isThatOfSgdFromOneStart) {
  expect_law({.activation = Softmax{}, .dimension = 500, .times = {2, 6}});
  expect_law({.activation = SoftmaxOne{}, .dimension = 500, .times = {2}, .weight_decay = 0.5});
  expect_law({.activation = Softmax{},
              .dimension = 500,
              .kappa = 2,
              .times = {1, 4},
              .schedule = {.law = Schedule::Law::steps, .times = {1}, .factors = {0.1}}});
  expect_law({.activation = SoftmaxOne{},
              .dimension = 500,
              .times = {2},
              .k = false,
              .b_rate = 3,
              .v_rate = 0.5});
}

TEST(LongFluctuationsLaw, isThatOfSgd) {
  expect_law({.activation = Softmax{},
              .dimension = 4000,
              .replicas = 400,
              .times = {10, 20, 30, 40, 50, 60, 70, 80}});
  for (const Activation& activation : all_activations) {
    expect_law(
        {.activation = activation, .dimension = 2000, .replicas = 400, .times = {5, 10, 20}});
    expect_law({.activation = activation,
                .dimension = 2000,
                .replicas = 400,
                .kappa = 2,
                .times = {5, 10},
                .own_starts = true,
                .weight_decay = 0.1});
  }
}

}  // namespace
}  // namespace headflow
