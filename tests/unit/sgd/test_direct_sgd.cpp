#include <gtest/gtest.h>

#include <limits>

#include "headflow/core/error.hpp"
#include "sgd/direct_sgd.hpp"
#include "support.hpp"

namespace headflow {
namespace {

using namespace testing_support;

SgdProblem problem_for(const Activation& activation, const Shape& shape = {4, 3, 2},
                       std::int64_t dimension = 40) {
  return {.model = {shape, activation, anisotropic_gaussian(shape.features, 3, 1)},
          .dimension = dimension,
          .batch = 3,
          .learning_rate = 1,
          .seed = 7};
}

Start start_for(const Shape& shape, double dimension) {
  Start start = random_start(shape, dimension, 1.5, false, 3);
  for (Eigen::Index h = 0; h < shape.heads; ++h)
    start.parameters.b[h] = 0.3 * std::cos(2.0 * static_cast<double>(h));
  start.parameters.v = 1.2;
  return start;
}

/// Mean of |X_1 - sum_l A_l X_l|^2 / D over sequences, plainly.
double reference_loss(const Activation& activation, const std::vector<Matrix>& batch,
                      const Matrix& k, const Vector& b, double v) {
  double loss = 0;
  for (const Matrix& X : batch) {
    const auto A = reference_attention(activation, k * X.transpose(), b, v);
    Vector residual = X.row(0);
    for (Eigen::Index l = 0; l < X.rows(); ++l)
      residual -= static_cast<double>(A[static_cast<std::size_t>(l)]) * X.row(l).transpose();
    loss += residual.squaredNorm() /
            static_cast<double>(X.cols() * static_cast<Eigen::Index>(batch.size()));
  }
  return loss;
}

std::vector<Matrix> batch_of(DirectSgd& sgd, std::uint32_t replica, std::int64_t step) {
  std::vector<Matrix> batch;
  for (std::int64_t s = 0; s < sgd.problem().batch; ++s)
    batch.push_back(sgd.tokens(replica, step, s));
  return batch;
}

// One step with lr = 1 is minus the gradient. Tokens are single precision, so fields have errors of
// a few 1e-7; the differences themselves are good to 1e-9.
TEST(DirectSgd, gradientAgreesWithCentralDifferences) {
  for (const Activation& activation : all_activations) {
    const SgdProblem problem = problem_for(activation);
    const Start start = start_for(problem.model.shape, 40);
    DirectSgd sgd(world(), with_spikes(problem, start), start.parameters, 5);
    const SgdReplica before = sgd.replica(2);
    SgdReplica after = before;
    sgd.step(after);
    const auto batch = batch_of(sgd, 2, 0);
    EXPECT_NEAR(after.batch_loss, reference_loss(activation, batch, before.k, before.b, before.v),
                1e-6)
        << beside_plain_formula(activation);
    const auto difference = [&](auto&& move) {
      constexpr double h = 1e-5;
      double loss[2];
      for (int side = 0; side < 2; ++side) {
        SgdReplica moved = before;
        move(moved, side == 0 ? h : -h);
        loss[side] = reference_loss(activation, batch, moved.k, moved.b, moved.v);
      }
      return (loss[0] - loss[1]) / (2 * h);
    };
    for (Eigen::Index i = 0; i < before.k.size(); ++i)
      EXPECT_NEAR(before.k.data()[i] - after.k.data()[i],
                  difference([&](SgdReplica& r, double h) { r.k.data()[i] += h; }), 1e-6)
          << beside_plain_formula(activation) << " k " << i;
    const TrainedParts trained = trained_by(activation);
    for (Eigen::Index h = 0; h < before.b.size(); ++h)
      EXPECT_NEAR(before.b[h] - after.b[h],
                  trained.b ? difference([&](SgdReplica& r, double d) { r.b[h] += d; }) : 0, 1e-6)
          << beside_plain_formula(activation) << " b " << h;
    EXPECT_NEAR(before.v - after.v,
                trained.v ? difference([&](SgdReplica& r, double d) { r.v += d; }) : 0, 1e-6)
        << beside_plain_formula(activation);
  }
}

/// theory.md section 3 for softmax in Eigen's words: mean of de/dk over the batch.
Matrix plain_softmax_gradient(const std::vector<Matrix>& batch, const Matrix& k) {
  Matrix gradient = Matrix::Zero(k.rows(), k.cols());
  const auto H = static_cast<double>(k.rows());
  for (const Matrix& X : batch) {
    const Matrix G = X * X.transpose() / static_cast<double>(X.cols());
    Matrix s = (k * X.transpose()).array().exp();
    for (Eigen::Index h = 0; h < s.rows(); ++h) s.row(h) /= s.row(h).sum();
    Vector c = -s.colwise().mean();
    c[0] += 1;
    const Vector a = -2 * G * c;
    for (Eigen::Index h = 0; h < s.rows(); ++h) {
      const double mean = s.row(h) * a;
      const Vector g = s.row(h).transpose().array() * (a.array() - mean) / H;
      gradient.row(h) += (X.transpose() * g).transpose() / static_cast<double>(batch.size());
    }
  }
  return gradient;
}

// Every size of the register tiles, dimensions off and on the blocks and tiles of the layout.
TEST(DirectSgd, oneStepAgreesWithEigen) {
  for (const Shape& shape : {Shape{2, 1, 1}, Shape{5, 2, 2}, Shape{10, 3, 1}, Shape{11, 5, 3}})
    for (const std::int64_t dimension : {22, 64, 512, 1000, 1099}) {
      SgdProblem problem = problem_for(Softmax{}, shape, dimension);
      const Start start = start_for(shape, static_cast<double>(dimension));
      DirectSgd sgd(world(), with_spikes(problem, start), start.parameters, 5);
      const SgdReplica before = sgd.replica(0);
      SgdReplica after = before;
      sgd.step(after);
      const Matrix expected = plain_softmax_gradient(batch_of(sgd, 0, 0), before.k);
      EXPECT_LT((before.k - after.k - expected).cwiseAbs().maxCoeff(), 1e-6)
          << shape.tokens << ' ' << shape.heads << " D " << dimension;
      EXPECT_EQ(after.k.cast<float>()(0, dimension - 1),
                after.k_single[static_cast<std::size_t>(
                    TileLayout{dimension, shape.heads}.index(0, dimension - 1))]);
    }
}

TEST(DirectSgd, startsWithTheOverlapsOfTheFlow) {
  for (const int D : {9, 30, 700}) {
    const Shape shape{4, 3, 2};
    const Start start = start_for(shape, D);
    const DirectSgd sgd(world(), with_spikes(problem_for(Softmax{}, shape, D), start),
                        start.parameters, 5);
    const SgdReplica replica = sgd.replica(0);
    const auto order = order_parameters(start.parameters.K, start.spike_factor);
    const auto reduced = order_parameters(sgd.parameters(replica).K, start.spike_factor);
    const Matrix gram = start.spike_factor * start.spike_factor.transpose();
    const auto distance = [](const Matrix& a, const Matrix& b) {
      return (a - b).cwiseAbs().maxCoeff();
    };
    EXPECT_LT(distance(replica.k * sgd.spikes().transpose(), order.m), 1e-13);
    EXPECT_LT(distance(replica.k * replica.k.transpose(), order.q), 1e-13);
    EXPECT_LT(distance(sgd.spikes() * sgd.spikes().transpose(), gram), 1e-13);
    EXPECT_LT(distance(reduced.m, order.m), 1e-13);
    EXPECT_LT(distance(reduced.q, order.q), 1e-13);
  }
}

TEST(DirectSgd, aVanishingRestOfTheHeadsKeepsItsDigits) {
  Matrix m(2, 2), r(2, 2);
  m << 1, 0.5, -0.5, 1;
  r << 2e-20, 1e-20, 1e-20, 1e-20;
  const Start start = explicit_start(m, r, Vector::Zero(2), 1);
  const DirectSgd sgd(world(), problem_for(Softmax{}, {4, 2, 2}, 300), start.parameters, 5);
  const Matrix u = sgd.parameters(sgd.replica(0)).K.rightCols(2);
  EXPECT_LT((u * u.transpose() - r).cwiseAbs().maxCoeff(), 1e-24);
}

/// Steps of a run with three sequences in a batch, on `comm`.
SgdReplica after_steps(const Communicator& comm, const SgdProblem& problem, int steps) {
  const Start start = start_for(problem.model.shape, static_cast<double>(problem.dimension));
  DirectSgd sgd(comm, with_spikes(problem, start), start.parameters, 5);
  SgdReplica replica = sgd.replica(1);
  for (int i = 0; i < steps; ++i) sgd.step(replica);
  return replica;
}

TEST(DistributedDirectSgd, hasTheSameBitsOnAnyNumberOfRanks) {
  const Communicator self = Communicator::self();
  for (const Activation& activation : all_activations)
    for (const std::int64_t batch : {1, 2, 7}) {
      SgdProblem problem = problem_for(activation, {4, 3, 2}, 700);
      problem.batch = batch;
      problem.learning_rate = 0.1;
      const SgdReplica together = after_steps(world(), problem, 10);
      const SgdReplica alone = after_steps(self, problem, 10);
      EXPECT_TRUE(together.k == alone.k) << name_of(activation) << " batch " << batch;
      EXPECT_EQ(together.b, alone.b);
      EXPECT_EQ(together.v, alone.v);
      EXPECT_EQ(together.batch_loss, alone.batch_loss);
      problem.reduction = Reduction::fast;
      const SgdReplica fast = after_steps(world(), problem, 10);
      EXPECT_LT((fast.k - alone.k).cwiseAbs().maxCoeff(), 1e-5);
    }
}

TEST(DirectSgd, addressesItsSequences) {
  const Start start = start_for({4, 3, 2}, 40);
  DirectSgd sgd(world(), with_spikes(problem_for(Softmax{}), start), start.parameters, 5);
  const Matrix base = sgd.tokens(1, 2, 0);
  EXPECT_TRUE(base == sgd.tokens(1, 2, 0));
  EXPECT_FALSE(base == sgd.tokens(0, 2, 0));
  EXPECT_FALSE(base == sgd.tokens(1, 3, 0));
  EXPECT_FALSE(base == sgd.tokens(1, 2, 1));
}

// 10^6 steps of 1e-9, each under 1e-9 of a weight: weights in single precision would not move at
// all. A twin with lr = 1 tells the gradient of each step; their sum is kept apart.
TEST(DirectSgd, losesNoSmallUpdate) {
  SgdProblem problem = problem_for(Softmax{}, {2, 1, 1}, 16);
  problem.batch = 1;
  const Start start = start_for(problem.model.shape, 16);
  problem = with_spikes(problem, start);
  DirectSgd twin(world(), problem, start.parameters, 5);
  problem.learning_rate = 1e-9;
  DirectSgd sgd(world(), problem, start.parameters, 5);
  SgdReplica replica = sgd.replica(0);
  const Matrix first = replica.k;
  Matrix sum = Matrix::Zero(1, 16);
  for (int i = 0; i < 1'000'000; ++i) {
    SgdReplica probe = replica;
    twin.step(probe);
    sum += probe.k - replica.k;
    sgd.step(replica);
  }
  EXPECT_GT(sum.cwiseAbs().minCoeff(), 100);
  EXPECT_LT((replica.k - first - 1e-9 * sum).cwiseAbs().maxCoeff(), 1e-12);
}

// Large batches of large gradients: exact sums in units of 2^-40 would pass 2^63.
TEST(DirectSgd, sumsDoNotOverflow) {
  SgdProblem problem = problem_for(Softmax{}, {2, 1, 1}, 4);
  problem.model = {{2, 1, 1}, Softmax{}, canonical_spikes(1, 100)};
  problem.batch = 1'000'000;
  problem.learning_rate = 1e-3;
  const SgdReplica exact = after_steps(world(), problem, 1);
  problem.reduction = Reduction::fast;
  const SgdReplica fast = after_steps(world(), problem, 1);
  EXPECT_LT((exact.k - fast.k).cwiseAbs().maxCoeff(), 1e-5);
  for (const std::int64_t count : {1ll, 4095ll, 4096ll, 1'000'000ll, 4'000'000'000ll})
    EXPECT_LT(static_cast<double>(count) * TokenKernel::term_limit * TokenKernel::units_for(count),
              0x1p63);
}

TEST(DirectSgd, stopsWhenTheGradientIsNotFinite) {
  const Start start = start_for({4, 3, 2}, 40);
  DirectSgd sgd(world(), with_spikes(problem_for(SoftmaxOne{}), start), start.parameters, 5);
  SgdReplica replica = sgd.replica(0);
  replica.v = 1e8;
  const Matrix k = replica.k;
  EXPECT_THROW(sgd.step(replica), NumericalError);
  EXPECT_TRUE(replica.k == k);
  EXPECT_EQ(replica.steps, 0);
  replica.v = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW(sgd.step(replica), NumericalError);
}

TEST(DirectSgd, stopsWhenTheWeightsExplode) {
  SgdProblem problem = problem_for(Softmax{});
  problem.learning_rate = 1e6;
  const Start start = start_for({4, 3, 2}, 40);
  DirectSgd sgd(world(), with_spikes(problem, start), start.parameters, 5);
  SgdReplica replica = sgd.replica(0);
  EXPECT_THROW(for (int i = 0; i < 10; ++i) sgd.step(replica), NumericalError);
}

TEST(DirectSgd, needsRoom) {
  const auto make = [](int D) {
    const Start start = start_for({4, 3, 2}, D);
    DirectSgd(world(), problem_for(Softmax{}, {4, 3, 2}, D), start.parameters, 1);
  };
  EXPECT_THROW(make(8), InputError);
  EXPECT_NO_THROW(make(9));
}

// The overlaps of the mean gradient of 20000 sequences with spikes and heads against the population
// gradient, whose overlaps are dE/dK S' and (dE/dK) K'. The finite-D bias is of order L/D = 2e-4,
// under a tenth of the standard errors; 10 comparisons for each activation at 4.5 sigma, fixed
// seeds: false alarms 2e-4 in all.
TEST(DirectSgd, batchGradientIsUnbiased) {
  const Shape shape{4, 2, 2};
  constexpr int batches = 100;
  for (const Activation& activation : all_activations) {
    const Start start = start_for(shape, 20000);
    SgdProblem problem = with_spikes(problem_for(activation, shape, 20000), start);
    problem.batch = 40;
    problem.learning_rate = 1e-3;
    DirectSgd sgd(world(), problem, start.parameters, 5);
    PopulationLoss loss(world(), problem.model, {.samples = 1 << 18});
    const LossGradient population = loss.evaluate(start.parameters);
    const Matrix spikes = population.gradient.K.leftCols(2) * start.spike_factor.transpose();
    const Matrix heads = population.gradient.K * start.parameters.K.transpose();
    std::vector<double> expected(spikes.data(), spikes.data() + 4);
    expected.insert(expected.end(), heads.data(), heads.data() + 4);
    expected.push_back(population.loss);
    expected.push_back(trained_by(activation).b ? population.gradient.b[0] : 0);
    std::vector<std::vector<double>> found(expected.size());
    for (std::uint32_t number = 0; number < batches; ++number) {
      const SgdReplica before = sgd.replica(number);
      SgdReplica after = before;
      sgd.step(after);
      const Matrix gradient = (before.k - after.k) / problem.learning_rate;
      const Matrix m = gradient * sgd.spikes().transpose();
      const Matrix q = gradient * before.k.transpose();
      for (std::size_t i = 0; i < 4; ++i) {
        found[i].push_back(m.data()[i]);
        found[4 + i].push_back(q.data()[i]);
      }
      found[8].push_back(after.batch_loss);
      found[9].push_back((before.b[0] - after.b[0]) / problem.learning_rate);
    }
    for (std::size_t i = 0; i < found.size(); ++i)
      EXPECT_NEAR(estimate(found[i]).mean, expected[i], 4.5 * estimate(found[i]).error + 1e-15)
          << name_of(activation) << " component " << i;
  }
}

// On the same sequences: k <- (1 - lr decay) k - lr gradient, b and v as without.
TEST(DirectSgd, weightDecayShrinksTheWeightsAlone) {
  for (const Activation& activation : all_activations) {
    SgdProblem problem = problem_for(activation);
    const Start start = start_for(problem.model.shape, 40);
    const auto stepped = [&] {
      DirectSgd sgd(world(), with_spikes(problem, start), start.parameters, 5);
      SgdReplica replica = sgd.replica(0);
      const Matrix k = replica.k;
      sgd.step(replica);
      return std::pair(k, replica);
    };
    const auto [first, plain] = stepped();
    problem.model.weight_decay = 0.25;
    const auto [same, decayed] = stepped();
    EXPECT_EQ(first, same);
    EXPECT_LT((plain.k - decayed.k - 0.25 * first).cwiseAbs().maxCoeff(), 1e-15);
    EXPECT_EQ(plain.b, decayed.b);
    EXPECT_EQ(plain.v, decayed.v);
    EXPECT_EQ(plain.batch_loss, decayed.batch_loss);
  }
}

}  // namespace
}  // namespace headflow
