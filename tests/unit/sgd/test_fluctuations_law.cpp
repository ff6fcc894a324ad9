// The covariance of [fluctuations] against replicas of SGD.
#include <gtest/gtest.h>

#include <Eigen/Eigenvalues>
#include <cstdio>
#include <string>

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
  Shape shape{4, 2, 2};
  Prior prior = flipping_spike(2, 2);
  std::int64_t batch = 1;
};

Vector order_of(const Model& model, const State& state) {
  return OrderTangents(model, state.parameters)
      .packed(state.order.m, state.order.r, state.parameters.b, state.parameters.v);
}

/// W with W W' = C^-1 on the range of C: for Bayes-softmax the sum of the biases does not move.
Matrix whitening(const Matrix& C) {
  const Eigen::SelfAdjointEigenSolver<Matrix> solver(C);
  const Vector& values = solver.eigenvalues();
  const Eigen::Index zero = (values.array() < 1e-9 * values.maxCoeff()).count();
  const Eigen::Index rank = C.rows() - zero;
  return solver.eigenvectors().rightCols(rank) *
         values.tail(rank).cwiseSqrt().cwiseInverse().asDiagonal();
}

/// sum_i (y_i - mean)' C^-1 (y_i - mean) over n (R - 1), n the rank of C = (W W')^-1: its
/// mean where y has this covariance.
double chi_square(const std::vector<Vector>& y, const Matrix& W) {
  Vector mean = Vector::Zero(y[0].size());
  for (const Vector& one : y) mean += one / static_cast<double>(y.size());
  double sum = 0;
  for (const Vector& one : y) sum += (W.transpose() * (one - mean)).squaredNorm();
  return sum / static_cast<double>(W.cols() * static_cast<Eigen::Index>(y.size() - 1));
}

std::vector<Matrix> predicted(const Law& law, const SgdProblem& problem, const Parameters& start) {
  PopulationLoss loss(world(), problem.model, {.samples = 1 << 15, .replicates = 1}, true);
  FluctuationsOptions options{.end_time = law.times.back(),
                              .output_times = law.times,
                              .kappa = law.kappa,
                              .schedule = law.schedule,
                              .dimension = static_cast<double>(law.dimension)};
  if (law.own_starts)
    options.starts = random_start_spread(law.shape, static_cast<double>(law.dimension), 1);
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
    options.first.push_back(random_start(law.shape, static_cast<double>(law.dimension), 1, true,
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

// In y - mean of R replicas, of rank n each, the sum is chi-square of n (R - 1) degrees of freedom.
// Limits: five standard deviations (false alarm 2e-6 a time), and 3 % for what the theory leaves
// out, O(1/D) and O(lr). So a covariance that is 1.5 times too large or small is seen.
/// Gives them, too, and behind them the standard error of the last.
std::vector<double> expect_law(const Law& law) {
  const double D = static_cast<double>(law.dimension);
  SgdProblem problem{.model = {law.shape, law.activation, law.prior},
                     .engine = Engine::overlaps,
                     .dimension = law.dimension,
                     .batch = law.batch,
                     .learning_rate = law.kappa * static_cast<double>(law.batch) / D};
  problem.model.weight_decay = law.weight_decay;
  problem.schedule = law.schedule;
  problem.model.training = training_of(law.activation, law.k, law.b_rate, law.v_rate);
  const int H = law.shape.heads;
  Matrix m(H, law.shape.features);
  for (Eigen::Index h = 0; h < m.rows(); ++h)
    for (Eigen::Index f = 0; f < m.cols(); ++f)
      m(h, f) = 0.08 * std::cos(static_cast<double>(h + 4 * f));
  const Parameters start = explicit_start(m, Matrix::Identity(H, H), Vector::Zero(H), 1).parameters;
  const auto C = predicted(law, problem, start);
  const auto y = simulated(law, problem, start);
  EXPECT_EQ(C.size(), y.size());
  std::vector<double> found;
  double error = 0;
  for (std::size_t i = 0; i < C.size(); ++i) {
    const Matrix W = whitening(C[i]);
    const double degrees = static_cast<double>(W.cols() * (law.replicas - 1));
    error = std::sqrt(2 / degrees);
    const double limit = 0.03 + 5 * error;
    found.push_back(chi_square(y[i], W));
    EXPECT_NEAR(found.back(), 1, limit) << name_of(law.activation) << " t = " << law.times[i];
    EXPECT_LT(limit, 1 - 1 / 1.5);
    for (Eigen::Index k = 0; k < C[i].rows(); ++k) {
      std::vector<double> entry;
      for (const Vector& one : y[i]) entry.push_back(one[k]);
      const double deviation = estimate(entry).error * std::sqrt(static_cast<double>(law.replicas));
      if (C[i](k, k) < 1e-20) {  // b of one head of Bayes-softmax
        EXPECT_LT(deviation, 1e-10);
        continue;
      }
      // A standard deviation of R normal numbers has the relative error 1 / sqrt(2 (R - 1)).
      EXPECT_NEAR(deviation / std::sqrt(C[i](k, k)), 1,
                  0.03 + 5 / std::sqrt(2.0 * static_cast<double>(law.replicas - 1)))
          << name_of(law.activation) << " entry " << k << " t = " << law.times[i];
    }
  }
  found.push_back(error);
  return found;
}

/// The same, and a line of a table.
void print_law(const char* prior, const Law& law) {
  const auto found = expect_law(law);
  std::printf("| %s | %s | %d | %lld | %g | %lld |", std::string(name_of(law.activation)).c_str(),
              prior, law.shape.heads, static_cast<long long>(law.dimension), law.kappa,
              static_cast<long long>(law.batch));
  for (std::size_t i = 0; i + 1 < found.size(); ++i)
    std::printf("%s %.3f", i > 0 ? "," : "", found[i]);
  std::printf(" | %.3f |\n", found.back());
  std::fflush(stdout);
}

TEST(FluctuationsLaw, isThatOfSgdFromOneStart) {
  expect_law({.activation = Softmax{}, .dimension = 500, .times = {2, 6}});
  expect_law({.activation = SoftmaxOne{}, .dimension = 500, .times = {2}, .weight_decay = 0.5});
  expect_law({.activation = BayesSoftmax{}, .dimension = 500, .times = {2}});
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

constexpr std::int64_t many = 1000;

TEST(LongFluctuationsLaw, isThatOfSgd) {
  for (const Activation& activation : all_activations) {
    print_law(
        "flipping spike",
        {.activation = activation, .dimension = 2000, .replicas = many, .times = {5, 10, 20}});
    print_law("flipping spike, own starts", {.activation = activation,
                                             .dimension = 2000,
                                             .replicas = many,
                                             .kappa = 2,
                                             .times = {5, 10},
                                             .own_starts = true,
                                             .weight_decay = 0.1});
  }
}

TEST(LongFluctuationsLaw, isThatOfSgdToLateTimes) {
  print_law("flipping spike", {.activation = Softmax{},
                               .dimension = 4000,
                               .replicas = many,
                               .times = {10, 20, 30, 40, 50, 60, 70, 80}});
}

// For other numbers of heads, priors, dimensions, kappa and batches: a table of chi-square at the
// times, and its standard error.
void print_laws(const Activation& activation) {
  const Prior gaussian =
      gaussian_prior(Vector::Zero(2), Matrix(Eigen::Vector2d(4, 2).asDiagonal()));
  std::printf("| activation | prior | H | D | kappa | batch | chi-square | error |\n");
  const Law plain{.activation = activation, .replicas = many, .times = {2, 5, 10}};
  const auto with = [&](const char* prior, auto&& change) {
    Law law = plain;
    change(law);
    print_law(prior, law);
  };
  with("flipping spike", [](Law& law) { law.dimension = 500; });
  with("flipping spike", [](Law& law) { law.batch = 64, law.dimension = 4000; });
  with("flipping spike", [](Law& law) { law.kappa = 0.05; });
  with("flipping spike", [](Law& law) { law.kappa = 2; });
  with("flipping spike", [](Law& law) { law.shape.heads = 1; });
  with("flipping spike", [](Law& law) { law.shape.heads = 4; });
  with("Gaussian", [&](Law& law) {
    law.prior = gaussian;
    // Those heads split at t = 7 from differences that the noise of D = 1000 is no small part of.
    if (name_of(activation) == "bayes-softmax") law.dimension = 16'000;
  });
  with("atoms", [](Law& law) { law.prior = canonical_spikes(2, 4); });
  with("flipping spike", [](Law& law) {
    law.dimension = 100'000, law.kappa = 2, law.times = {2, 5};
  });
}

TEST(LongFluctuationsLaw, isThatOfSgdForModelsWithSoftmax) { print_laws(Softmax{}); }
TEST(LongFluctuationsLaw, isThatOfSgdForModelsWithSoftmaxOne) { print_laws(SoftmaxOne{}); }
TEST(LongFluctuationsLaw, isThatOfSgdForModelsWithBayesSoftmax) { print_laws(BayesSoftmax{}); }

// chi-square - 1 = a / D + c over R = 4000 replicas: c is 0 within 5 of its standard errors (false
// alarm 6e-7) and .01 for the samples and O(lr).
TEST(LongFluctuationsLaw, isApproachedLikeOneOverD) {
  double w = 0, wx = 0, wxx = 0, wy = 0, wxy = 0;
  constexpr std::int64_t replicas = 4000;
  constexpr double weight = 7.0 * (replicas - 1) / 2;
  for (const std::int64_t D : {250, 500, 1000, 2000}) {
    const double x = 1 / static_cast<double>(D);
    const double y =
        expect_law(
            {.activation = Softmax{}, .dimension = D, .replicas = replicas, .times = {6}})[0] -
        1;
    std::printf("D = %lld: chi-square - 1 = %.4f +- %.4f\n", static_cast<long long>(D), y,
                1 / std::sqrt(weight));
    std::fflush(stdout);
    w += weight, wx += weight * x, wxx += weight * x * x, wy += weight * y, wxy += weight * x * y;
  }
  const double determinant = w * wxx - wx * wx;
  const double slope = (w * wxy - wx * wy) / determinant, c = (wxx * wy - wx * wxy) / determinant;
  std::printf("a = %.2f +- %.2f, c = %.4f +- %.4f\n", slope, std::sqrt(w / determinant), c,
              std::sqrt(wxx / determinant));
  EXPECT_LT(std::abs(c), 5 * std::sqrt(wxx / determinant) + 0.01);
}

}  // namespace
}  // namespace headflow
