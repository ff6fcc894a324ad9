// Pruning and attention of trained heads: theory.md, sections 10 and 13.
#include <gtest/gtest.h>

#include <numeric>

#include "headflow/core/error.hpp"
#include "headflow/flow/flow.hpp"
#include "headflow/train/attention_maps.hpp"
#include "headflow/train/bayes_risk.hpp"
#include "headflow/train/minimise.hpp"
#include "headflow/train/prune.hpp"
#include "trained_support.hpp"

namespace headflow {
namespace {

using namespace testing_support;

/// theory.md section 2: sigma_{h,l} of one sequence from its fields (H x L), in the plainest way.
Matrix reference_sigma(const Activation& activation, const Matrix& chi, const Vector& b, double v) {
  const std::string_view name = name_of(activation);
  Matrix e = chi.array().exp();
  if (trained_by(activation).b) e = b.array().exp().matrix().asDiagonal() * e;
  if (name == "bayes-softmax") return static_cast<double>(chi.rows()) * e / e.sum();
  const double sink = reference_sink(activation);
  const Vector total = e.rowwise().sum().array() + sink;
  return (trained_by(activation).v ? v : 1) * total.cwiseInverse().asDiagonal() * e;
}

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
    EXPECT_NEAR(found.loss[i], plain.loss(left), 1e-10) << name_of(activation) << " " << i;
    EXPECT_NEAR(found.loss_stderr[i], plain.standard_error(left), 1e-10) << name_of(activation);
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

/// (H x L) of sequence i.
Matrix sigma_of(const AttentionMaps& maps, const Shape& shape, std::int64_t i) {
  const std::int64_t size = shape.heads * shape.tokens;
  return Eigen::Map<const Matrix>(&maps.sigma[static_cast<std::size_t>(i * size)], shape.heads,
                                  shape.tokens);
}

/// The fields of sequence i, which softmax-1 with b = 0 and v = 1 tells: sigma = e^chi times what
/// its head leaves out.
Matrix fields(const AttentionMaps& maps, const Shape& shape, std::int64_t i) {
  const Matrix sigma = sigma_of(maps, shape, i);
  const Vector rest = 1 - sigma.rowwise().sum().array();
  return (rest.cwiseInverse().asDiagonal() * sigma).array().log();
}

Parameters with_plain_offsets(Parameters parameters) {
  parameters.b.setZero();
  parameters.v = 1;
  return parameters;
}

TEST(AttentionMaps, areTheAttentionOfTheSameSequences) {
  const Shape shape{5, 3, 2};
  const Parameters parameters = generic_parameters(shape);
  for (const Prior& prior : {flipping_spike(3, 2), anisotropic_gaussian(2, 4, 1)}) {
    constexpr std::int64_t count = 200;
    const auto plain =
        attention_maps({shape, SoftmaxOne{}, prior}, with_plain_offsets(parameters), {count, 7});
    for (const Activation& activation : all_activations) {
      const AttentionMaps maps = attention_maps({shape, activation, prior}, parameters, {count, 7});
      EXPECT_EQ(maps.theta, plain.theta);
      EXPECT_EQ(maps.place, plain.place);
      ASSERT_EQ(maps.sigma.size(), count * 15);
      ASSERT_EQ(maps.A.size(), count * 5);
      for (std::int64_t i = 0; i < count; ++i) {
        const Matrix chi = fields(plain, shape, i);
        const Matrix sigma = sigma_of(maps, shape, i);
        const Eigen::Map<const Vector> A(&maps.A[static_cast<std::size_t>(i * 5)], 5);
        const auto expected = reference_attention(activation, chi, parameters.b, parameters.v);
        for (Eigen::Index l = 0; l < 5; ++l) {
          EXPECT_NEAR(A[l], static_cast<double>(expected[static_cast<std::size_t>(l)]), 1e-11);
          EXPECT_NEAR(A[l], sigma.col(l).mean(), 1e-15);
        }
        const Matrix plainly = reference_sigma(activation, chi, parameters.b, parameters.v);
        EXPECT_LT((sigma - plainly).cwiseAbs().maxCoeff(), 1e-11);
        const Vector rows = sigma.rowwise().sum();
        if (name_of(activation) == "softmax") {
          EXPECT_LT((rows.array() - 1).abs().maxCoeff(), 1e-14);
        }
        if (name_of(activation) == "softmax-1") {
          EXPECT_LT(rows.maxCoeff(), parameters.v);
        }
        if (name_of(activation) == "bayes-softmax") {
          EXPECT_NEAR(A.sum(), 1, 1e-14);
        }
      }
    }
  }
}

// chi_{h,l} - delta_{l,eps} m_h . theta ~ N(0, K K'), tokens independent: means, covariances and
// correlation of neighbours within 4.5 sigma (25 numbers: false alarm 2e-4); places by chi^2 with 4
// degrees of freedom (over 23.5: 1e-4), theta's sign and mean within 4.5 sigma.
TEST(AttentionMaps, areOfTheModelsSequences) {
  const Shape shape{5, 2, 2};
  Parameters parameters = generic_parameters(shape);
  parameters = with_plain_offsets(parameters);
  constexpr std::int64_t count = 4000;
  constexpr auto tokens = static_cast<double>(5 * count);
  for (const Prior& prior : {flipping_spike(3, 2), anisotropic_gaussian(2, 4, 1)}) {
    const auto maps = attention_maps({shape, SoftmaxOne{}, prior}, parameters, {count, 11});
    const Matrix theta = Eigen::Map<const Matrix>(maps.theta.data(), count, 2);
    std::vector<double> places(5);
    Matrix fluctuation(5 * count, 2);
    for (std::int64_t i = 0; i < count; ++i) {
      const double place = maps.place[static_cast<std::size_t>(i)];
      ASSERT_TRUE(place == std::floor(place) && place >= 1 && place <= 5) << place;
      const auto relevant = static_cast<Eigen::Index>(place) - 1;
      places[static_cast<std::size_t>(relevant)] += 1;
      Matrix chi = fields(maps, shape, i);
      chi.col(relevant) -= parameters.K.leftCols(2) * theta.row(i).transpose();
      fluctuation.middleRows(5 * i, 5) = chi.transpose();
    }
    const Matrix C = parameters.K * parameters.K.transpose();
    const Matrix found = fluctuation.transpose() * fluctuation / tokens;
    const Matrix neighbours =
        fluctuation.topRows(5 * count - 1).transpose() * fluctuation.bottomRows(5 * count - 1);
    for (int h = 0; h < 2; ++h) {
      EXPECT_LT(std::abs(fluctuation.col(h).mean()), 4.5 * std::sqrt(C(h, h) / tokens));
      for (int g = 0; g < 2; ++g) {
        const double scale = C(h, h) * C(g, g);
        EXPECT_NEAR(found(h, g), C(h, g), 4.5 * std::sqrt((scale + C(h, g) * C(h, g)) / tokens));
        EXPECT_LT(std::abs(neighbours(h, g) / tokens), 4.5 * std::sqrt(scale / tokens));
      }
    }
    double chi_square = 0;
    for (const double n : places) chi_square += std::pow(n - count / 5.0, 2) / (count / 5.0);
    EXPECT_LT(chi_square, 23.5);
    const Matrix second = theta.transpose() * theta / static_cast<double>(count);
    const double error = 4.5 / std::sqrt(static_cast<double>(count));
    const Matrix Gamma = prior.second_moment();
    for (int f = 0; f < 2; ++f) {
      EXPECT_NEAR(theta.col(f).mean(), prior.mean()[f], error * std::sqrt(Gamma(f, f)));
      EXPECT_NEAR(second(f, f), Gamma(f, f), error * std::sqrt(2.0) * Gamma(f, f));
    }
    EXPECT_NEAR(second(0, 1), Gamma(0, 1), error * std::sqrt(Gamma(0, 0) * Gamma(1, 1)));
  }
}

TEST(AttentionMaps, areAddressedBySeedAndNumber) {
  const Shape shape{4, 2, 2};
  const auto maps = [&](std::int64_t count, std::uint64_t seed) {
    return attention_maps({shape, Softmax{}, flipping_spike(2, 2)}, generic_parameters(shape),
                          {count, seed});
  };
  const AttentionMaps few = maps(3, 5), many = maps(30, 5), others = maps(30, 6);
  EXPECT_TRUE(std::equal(few.sigma.begin(), few.sigma.end(), many.sigma.begin()));
  EXPECT_TRUE(std::equal(few.place.begin(), few.place.end(), many.place.begin()));
  EXPECT_NE(many.sigma, others.sigma);
  EXPECT_NE(many.place, others.place);
}

}  // namespace
}  // namespace headflow
