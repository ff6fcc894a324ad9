// Pruning of trained heads: theory.md, sections 10 and 13.
#include <gtest/gtest.h>

#include <numeric>

#include "headflow/core/error.hpp"
#include "headflow/flow/flow.hpp"
#include "headflow/train/bayes_risk.hpp"
#include "headflow/train/minimise.hpp"
#include "headflow/train/prune.hpp"
#include "trained_support.hpp"

namespace headflow {
namespace {

using namespace testing_support;

/// The loss of any heads by sections 10 and 13, one sample after the other.
class PlainPruning {
 public:
  PlainPruning(const Shape& shape, const Activation& activation, const Parameters& parameters,
               const Prior& prior, const Sampling& sampling)
      : activation_(activation), parameters_(parameters) {
    const SampleGenerator generator(shape, prior, sampling);
    const std::int64_t count = sampling.samples_per_replicate();
    AlignedVector<double> x(
        static_cast<std::size_t>((count + 15) * shape.tokens * shape.coordinates()));
    for (int replicate = 0; replicate < sampling.replicates; ++replicate) {
      generator.fill(replicate, 0, count, x.data());
      replicates_.emplace_back();
      for (std::int64_t i = 0; i < count; ++i)
        replicates_.back().push_back(parameters.K * sample(x.data(), i, shape).transpose());
      all_.insert(all_.end(), replicates_.back().begin(), replicates_.back().end());
    }
  }

  double loss(const std::vector<int>& left) const { return loss(all_, left); }

  /// From the losses of the replicates, each by itself.
  double standard_error(const std::vector<int>& left) const {
    double sum = 0;
    for (const auto& replicate : replicates_)
      sum += std::pow(loss(replicate, left) - loss(left), 2);
    const auto n = static_cast<double>(replicates_.size());
    return std::sqrt(sum / (n * (n - 1)));
  }

 private:
  /// Of sequences with these fields: the mean over the heads left, each as if the others had never
  /// been, rescaled to the mean of sum_l A_l with all heads.
  double loss(const std::vector<Matrix>& fields, const std::vector<int>& left) const {
    const auto count = static_cast<double>(fields.size());
    std::vector<Vector> attention;
    double before = 0, after = 0;  // means of sum_l A_l
    for (const Matrix& chi : fields) {
      before += mean_attention(chi, parameters_.b).sum() / count;
      attention.push_back(mean_attention(chi(left, Eigen::all), parameters_.b(left)));
      after += attention.back().sum() / count;
    }
    double loss = 0;
    for (const Vector& A : attention) {
      const Vector c = Vector::Unit(A.size(), 0) - before / after * A;
      loss += c.squaredNorm() / count;
    }
    return loss;
  }
  Vector mean_attention(const Matrix& chi, const Vector& b) const {
    return reference_sigma(activation_, chi, b, parameters_.v).colwise().mean();
  }

  Activation activation_;
  Parameters parameters_;
  std::vector<std::vector<Matrix>> replicates_;
  std::vector<Matrix> all_;
};

std::vector<int> without(std::vector<int> heads, int head) {
  std::erase(heads, head);
  return heads;
}

std::vector<int> first_heads(int H) {
  std::vector<int> heads(static_cast<std::size_t>(H));
  std::iota(heads.begin(), heads.end(), 0);
  return heads;
}

/// Each step's loss, its error and the head that goes, against those of all subsets with a head
/// less.
void expect_greedy(const Shape& shape, const Activation& activation, const Parameters& parameters,
                   const Prior& prior, const Sampling& sampling) {
  const PlainPruning plain(shape, activation, parameters, prior, sampling);
  const Pruning found = prune(world(), {shape, activation, prior}, parameters, sampling);
  const auto H = static_cast<std::size_t>(shape.heads);
  ASSERT_EQ(found.order.size(), H - 1);
  ASSERT_EQ(found.loss.size(), H);
  ASSERT_EQ(found.loss_stderr.size(), H);
  std::vector<int> left = first_heads(shape.heads);
  for (std::size_t i = 0;; ++i) {
    EXPECT_NEAR(found.loss[i], plain.loss(left), 1e-10)
        << beside_plain_formula(activation) << " " << i;
    EXPECT_NEAR(found.loss_stderr[i], plain.standard_error(left), 1e-10)
        << beside_plain_formula(activation);
    if (i == H - 1) return;
    const int removed = *std::min_element(left.begin(), left.end(), [&](int g, int h) {
      return plain.loss(without(left, g)) < plain.loss(without(left, h));
    });
    EXPECT_EQ(found.order[i], removed) << name_of(activation) << " " << i;
    left = without(left, removed);
  }
}

TEST(Prune, followsTheSmallestLossOfAllSubsets) {
  for (const Activation& activation : all_activations)
    for (const Prior& prior : {flipping_spike(3, 2), anisotropic_gaussian(2, 4, 1)})
      for (const double scale : {0.6, 1.5}) {
        const Sampling sampling = sobol(5 * 103, 5);  // no whole number of lanes
        for (const Shape& shape : {Shape{4, 3, 2}, Shape{3, 7, 2}})
          expect_greedy(shape, activation, generic_parameters(shape, scale), prior, sampling);
      }
}

// What is left is 1e-12 of what there was: a difference of sums would be rounding.
TEST(Prune, holdsWhenNearlyAllAttentionIsOfOneHead) {
  const Shape shape{3, 4, 2};
  for (const Activation& activation : all_activations) {
    Parameters parameters = generic_parameters(shape, 1.5);
    parameters.b = Vector{{-30, 1, -28, -29}};
    expect_greedy(shape, activation, parameters, flipping_spike(3, 2), sobol(4 * 64, 4));
  }
}

// Fields that differ by more than exp can hold, as with a signal of nu = 2500.
TEST(Prune, holdsWhereOneHeadIsFarAboveTheOthers) {
  const Shape shape{3, 3, 2};
  Parameters parameters = generic_parameters(shape, 1.5);
  parameters.b = Vector{{0, 3000, 1500}};
  const Prior prior = flipping_spike(3, 2);
  const Pruning found =
      prune(world(), {shape, BayesSoftmax{}, prior}, parameters, sobol(4 * 64, 4));
  for (const int alone : {0, 1, 2}) {
    Parameters one = Parameters::zero({3, 1, 4});
    one.K = parameters.K.row(alone);
    const double loss = PopulationLoss(world(), {shape, Softmax{}, prior}, sobol(4 * 64, 4))
                            .evaluate({one.K.replicate(3, 1), Vector::Zero(3), 1})
                            .loss;
    // heads go or stay by what each does alone, as the others are as good as silent beside it
    if (alone == found.order[0] || alone == found.order[1]) continue;
    EXPECT_NEAR(found.loss[2], loss, 1e-12);
  }
  EXPECT_LE(found.loss[2], found.loss[0] + 1e-12);
}

// theory.md, section 13. Of five starts the best; on samples as few as these the losses are .01
// from their limit.
TEST(Prune, ofBayesSoftmaxGivesTheReferenceValues) {
  const Shape shape{5, 8, 4};
  const std::pair<Prior, std::vector<double>> references[] = {
      {canonical_spikes(4, 10), {.153, .152, .152, .151, .151}},
      {anisotropic_gaussian(4, 10, 10), {.081, .105, .139, .194, .250}}};
  for (const auto& [prior, losses] : references) {
    const Model model(shape, BayesSoftmax{}, prior);
    PopulationLoss loss(world(), model, sobol(8192, 8));
    Minimum best{.parameters = {}, .loss = 1};
    for (std::uint64_t seed = 1; seed <= 2; ++seed) {
      const Minimum one = minimise(loss, noisy_start(shape, 0.5, 1, seed).parameters,
                                   {.gradient_tolerance = 1e-4, .most_evaluations = 300});
      if (one.loss < best.loss) best = one;
    }
    const Pruning found = prune(world(), model, best.parameters, sobol(16384, 8, 2));
    for (std::size_t i = 0; i < losses.size(); ++i) EXPECT_NEAR(found.loss[i], losses[i], .012);
  }
}

TEST(Prune, beginsWithThePopulationLoss) {
  for (const Shape& shape : {Shape{4, 1, 2}, Shape{5, 6, 2}})
    for (const Activation& activation : all_activations)
      for (const Prior& prior : {flipping_spike(3, 2), anisotropic_gaussian(2, 4, 1)}) {
        const Sampling sampling = sobol(8 * 1500);
        const Parameters parameters = generic_parameters(shape);
        PopulationLoss loss(world(), {shape, activation, prior}, sampling);
        const LossStatistics expected = loss.statistics(parameters);
        const Pruning found = prune(world(), {shape, activation, prior}, parameters, sampling);
        EXPECT_NEAR(found.loss[0], expected.mean.loss, 1e-12);
        EXPECT_NEAR(found.loss_stderr[0], expected.loss_stderr, 1e-12);
        const auto H = static_cast<std::size_t>(shape.heads);
        EXPECT_EQ(found.loss.size(), H);
        EXPECT_EQ(found.order.size(), H - 1);
        std::vector<int> order = found.order;
        std::sort(order.begin(), order.end());
        EXPECT_EQ(std::unique(order.begin(), order.end()), order.end());
        if (H > 1) {
          EXPECT_TRUE(order.front() >= 0 && order.back() < shape.heads);
        }
      }
}

/// Two heads that have specialised on a flipping spike.
Parameters specialised() {
  Parameters parameters = Parameters::zero({0, 2, 2});
  parameters.K.leftCols(2) = Matrix{{1.6, 0.7}, {1.6, -0.7}};
  parameters.K.rightCols(2) = Matrix{{0.2, 0}, {0, 0.2}};
  parameters.b = Vector{{-0.5, -0.5}};
  parameters.v = 1.3;
  return parameters;
}

/// The same model with every head `times` times: the biases stay, because each head of softmax-1
/// is normalised by itself and those of Bayes-softmax by their sum, which A's mean makes good.
Parameters repeated(const Parameters& one, int times) {
  const auto H = static_cast<int>(one.b.size());
  const auto F = static_cast<int>(one.K.cols()) - H;
  Parameters all = Parameters::zero({0, times * H, F});
  for (int h = 0; h < times * H; ++h) {
    all.K.row(h).head(F + H) = one.K.row(h % H);
    all.b[h] = one.b[h % H];
  }
  all.v = one.v;
  return all;
}

TEST(Prune, takesCopiesForNothing) {
  for (const Activation& activation : all_activations) {
    const Sampling sampling = sobol(4096, 4);
    const Parameters parameters = repeated(specialised(), 2);
    const Pruning found =
        prune(world(), {{4, 4, 2}, activation, flipping_spike(2, 2)}, parameters, sampling);
    EXPECT_NE(found.order[0] % 2, found.order[1] % 2) << name_of(activation);
    EXPECT_NEAR(found.loss[2], found.loss[0], 1e-12) << name_of(activation);
    EXPECT_GT(found.loss[3], found.loss[2] + 1e-3) << name_of(activation);
    // one head many times
    Parameters one = Parameters::zero({0, 1, 2});
    one.K << 1.6, 0.3, 0.2;
    one.b[0] = -0.5;
    one.v = 1.3;
    const Pruning none = prune(world(), {{4, 5, 2}, activation, anisotropic_gaussian(2, 2, 1)},
                               repeated(one, 5), sampling);
    for (const double loss : none.loss) EXPECT_NEAR(loss, none.loss[0], 1e-12);
  }
}

// What is removed and never answers leaves nothing behind: the output is rescaled.
TEST(Prune, takesASilentHeadFirstAndForNothing) {
  for (const Activation& activation : {Activation{SoftmaxOne{}}, Activation{BayesSoftmax{}}}) {
    Parameters parameters = Parameters::zero({0, 3, 2});
    parameters.K.leftCols(2) = Matrix{{1.6, 0.7}, {0.5, 0.5}, {1.6, -0.7}};
    parameters.b = Vector{{-0.5, -60, -0.5}};
    parameters.v = 1.5;
    const Pruning found =
        prune(world(), {{4, 3, 2}, activation, flipping_spike(2, 2)}, parameters, sobol(4096, 4));
    EXPECT_EQ(found.order[0], 1) << name_of(activation);
    EXPECT_NEAR(found.loss[1], found.loss[0], 1e-12) << name_of(activation);
    EXPECT_GT(found.loss[2], found.loss[1] + 1e-3) << name_of(activation);
  }
}

TEST(DistributedPrune, hasTheBitsOfOneProcess) {
  const Communicator self = Communicator::self();
  const Shape shape{3, 4, 2};
  for (const Activation& activation : all_activations) {
    const auto found = [&](const Communicator& comm) {
      return prune(comm, {shape, activation, flipping_spike(2, 2)}, generic_parameters(shape),
                   sobol(4 * 2300, 4));
    };
    const Pruning alone = found(self);
    const Pruning shared = found(world());
    EXPECT_EQ(alone.order, shared.order);
    EXPECT_EQ(alone.loss, shared.loss);
    EXPECT_EQ(alone.loss_stderr, shared.loss_stderr);
  }
}

}  // namespace
}  // namespace headflow
