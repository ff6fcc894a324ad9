// SGD by overlaps alone against SGD with vectors in R^D and against the plainest form of theory.md,
// section 9.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <array>

#include "headflow/core/error.hpp"
#include "sgd/sequential_frames.hpp"
#include "sgd/sgd_engine.hpp"

namespace headflow {
namespace {

using namespace testing_support;

/// What is measured of many replicas: one list of values for each overlap.
using Ensemble = std::vector<std::vector<double>>;

Ensemble transposed(const std::vector<std::vector<double>>& replicas) {
  Ensemble by_overlap(replicas[0].size());
  for (const auto& replica : replicas)
    for (std::size_t k = 0; k < replica.size(); ++k) by_overlap[k].push_back(replica[k]);
  return by_overlap;
}

Ensemble ensemble_of(SgdProblem problem, Engine engine, const Start& start, std::int64_t replicas,
                     std::int64_t steps) {
  problem = with_spikes(problem, start);
  problem.engine = engine;
  problem.seed = engine == Engine::direct ? 11 : 12;
  const Communicator self = Communicator::self();
  const auto sgd = make_sgd_engine(self, problem, 3, {start.parameters}, {0, replicas});
  sgd->advance(steps, [](const SgdProgress&) {});
  std::vector<std::vector<double>> all;
  for (std::size_t i = 0; i < sgd->runs().size(); ++i) {
    EXPECT_EQ(sgd->runs()[i].failure, "");
    all.push_back(overlaps_of(sgd->parameters(i), start.spike_factor));
  }
  return transposed(all);
}

/// Kolmogorov-Smirnov statistic sqrt(nm/(n+m)) * distance, of which 2 exp(-2 limit^2) = 4e-8.
constexpr double distance_limit = 2.98;
double distance_of(const std::vector<double>& a, const std::vector<double>& b) {
  const auto n = static_cast<double>(a.size()), m = static_cast<double>(b.size());
  return two_sample_distance(a, b) * std::sqrt(n * m / (n + m));
}

/// Kolmogorov-Smirnov on every overlap, and all means and covariances within 5.5 standard errors.
/// False alarms: p = 4e-8 for each comparison of distributions, of means and of covariances; about
/// 65 of them in a call with two heads and two features.
void expect_same_law(const Ensemble& one, const Ensemble& other, const std::string& what) {
  ASSERT_EQ(one.size(), other.size());
  const auto near = [&](const std::vector<double>& a, const std::vector<double>& b,
                        const std::string& name) {
    const Estimate x = estimate(a), y = estimate(b);
    EXPECT_LE(std::abs(x.mean - y.mean), 5.5 * std::hypot(x.error, y.error) + 1e-12)
        << what << ": " << name;
  };
  const auto products = [](const Ensemble& e, std::size_t i, std::size_t j) {
    const double mean_i = estimate(e[i]).mean, mean_j = estimate(e[j]).mean;
    std::vector<double> products;
    for (std::size_t r = 0; r < e[i].size(); ++r)
      products.push_back((e[i][r] - mean_i) * (e[j][r] - mean_j));
    return products;
  };
  for (std::size_t i = 0; i < one.size(); ++i) {
    const std::string name = "overlap " + std::to_string(i);
    // What does not change at all (b and v of softmax) has no distribution to compare.
    if (std::ranges::min(one[i]) < std::ranges::max(one[i])) {
      EXPECT_LT(distance_of(one[i], other[i]), distance_limit) << what << ": " << name;
    }
    near(one[i], other[i], name + ", mean");
    for (std::size_t j = 0; j <= i; ++j)
      near(products(one, i, j), products(other, i, j),
           name + ", covariance with " + std::to_string(j));
  }
}

/// SGD at that kappa, but with a learning rate of 1 at most: beyond, softmax-1 explodes.
SgdProblem problem_for(const Shape& shape, const Activation& activation, const Prior& prior,
                       std::int64_t dimension, std::int64_t batch, double kappa) {
  SgdProblem problem{.model = {shape, activation, prior}};
  problem.dimension = dimension;
  problem.batch = batch;
  problem.learning_rate =
      std::min(1.0, kappa * static_cast<double>(batch) / static_cast<double>(dimension));
  return problem;
}

/// softmax-1 at a kappa that is small where the batch is large.
SgdProblem small_problem(std::int64_t dimension, std::int64_t batch) {
  return problem_for({4, 2, 2}, SoftmaxOne{}, flipping_spike(2, 3), dimension, batch,
                     batch > 7 ? 0.4 : 2);
}

Ensemble sequential_ensemble(const SgdProblem& problem, const Start& start, std::int64_t steps,
                             SequentialFrames::Broken broken = SequentialFrames::Broken::no) {
  SequentialFrames reference(problem, start, broken);
  std::vector<std::vector<double>> all;
  for (int replica = 0; replica < 2000; ++replica)
    all.push_back(reference.run(start.parameters, steps));
  return transposed(all);
}

/// Two heads in the span of the spikes.
Start without_residual() {
  Matrix m(2, 2);
  m << 0.5, 0.2, -0.3, 0.4;
  return explicit_start(m, Matrix::Zero(2, 2), Vector::Zero(2), 1);
}

// From random spikes and heads at that D; some 60 comparisons at 4e-8 each.
void expect_law_of_vectors(const Activation& activation, std::int64_t dimension, std::int64_t batch,
                           double kappa) {
  const Shape shape{4, 2, 2};
  const SgdProblem problem =
      problem_for(shape, activation, flipping_spike(2, 3), dimension, batch, kappa);
  const Start start = random_start(shape, static_cast<double>(dimension), 1, false, 4);
  const auto steps = std::clamp<std::int64_t>(std::llround(1 / problem.learning_rate), 3, 60);
  const std::int64_t replicas = 2000;
  expect_same_law(ensemble_of(problem, Engine::direct, start, replicas, steps),
                  ensemble_of(problem, Engine::overlaps, start, 2 * replicas, steps),
                  std::string(name_of(activation)) + ", D " + std::to_string(dimension) +
                      ", batch " + std::to_string(batch) + ", kappa " +
                      std::to_string(problem.kappa()));
}

constexpr std::array law_dimensions{10, 40, 200};  // the smallest allowed is the first
constexpr std::array law_kappas{0.1, 1.0, 5.0};

// Three activations x three dimensions x two batches, each with one of three kappas, so that any
// two of these values meet: 18 cases, false alarm 5e-5 in all.
TEST(OverlapSgd, hasTheLawOfSgdWithVectors) {
  for (std::size_t a = 0; a < all_activations.size(); ++a)
    for (std::size_t d = 0; d < law_dimensions.size(); ++d)
      for (const std::size_t batch : {1, 7})
        expect_law_of_vectors(all_activations[a], law_dimensions[d],
                              static_cast<std::int64_t>(batch), law_kappas[(a + d + batch) % 3]);
}

// All 54, false alarm 1.4e-4.
TEST(LongOverlapSgd, hasTheLawOfSgdWithVectors) {
  for (const Activation& activation : all_activations)
    for (const int dimension : law_dimensions)
      for (const int batch : {1, 7})
        for (const double kappa : law_kappas)
          expect_law_of_vectors(activation, dimension, batch, kappa);
}

// Other shapes and priors: fewer tokens than heads (where the frames of two sequences overlap in
// the smallest D), one head, three features, Gaussian features, a mixture, independent features.
// False alarm 3e-5.
TEST(OverlapSgd, hasTheSameLawForOtherShapesAndPriors) {
  struct Case {
    Shape shape;
    Prior prior;
    std::int64_t dimension;
  };
  for (const auto& [shape, prior, dimension] :
       {Case{{2, 4, 1}, anisotropic_gaussian(1, 2, 2), 11},
        Case{{2, 4, 1}, anisotropic_gaussian(1, 2, 2), 13},
        Case{{5, 1, 3}, canonical_spikes(3, 4), 10},
        Case{{3, 3, 2}, gaussian_prior(Vector::Ones(2), Matrix::Identity(2, 2)), 30},
        Case{{3, 2, 2},
             mixture_prior(Matrix{{2, 1}, {-1, 0}},
                           {Matrix{{1, 0.5}, {0.5, 1}}, Matrix::Zero(2, 2)}, Vector{{0.4, 0.6}}),
             30},
        Case{{3, 2, 2},
             product_prior({{FeatureLaw::Kind::sparse, 0.3}, {FeatureLaw::Kind::uniform, 1}},
                           Vector{{3, 2}}, Vector{{0, 1}}),
             30}}) {
    const SgdProblem problem = problem_for(shape, SoftmaxOne{}, prior, dimension, 5, 1);
    const Start start = random_start(shape, static_cast<double>(dimension), 1, false, 4);
    expect_same_law(ensemble_of(problem, Engine::direct, start, 2000, 8),
                    ensemble_of(problem, Engine::overlaps, start, 4000, 8),
                    "L " + std::to_string(shape.tokens) + ", H " + std::to_string(shape.heads) +
                        ", D " + std::to_string(dimension));
  }
}

// The tree of merged frames against one frame for the whole batch, which is a third program. D = 13
// and 60, batch 2, 7 and 70 (more than a block), 5 steps; and one step from r = 0, after which r is
// the Gram matrix of the gradient alone. False alarm 3e-5.
TEST(OverlapSgd, mergedFramesHaveTheLawOfSequentialFrames) {
  for (const std::int64_t dimension : {13, 60})
    for (const std::int64_t batch : {2, 7, 70}) {
      const SgdProblem problem = small_problem(dimension, batch);
      const Start start =
          random_start(problem.model.shape, static_cast<double>(dimension), 1, false, 4);
      expect_same_law(sequential_ensemble(problem, start, 5),
                      ensemble_of(problem, Engine::overlaps, start, 4000, 5),
                      "D " + std::to_string(dimension) + ", batch " + std::to_string(batch));
      const Start flat = without_residual();
      expect_same_law(sequential_ensemble(problem, flat, 1),
                      ensemble_of(problem, Engine::overlaps, flat, 4000, 1),
                      "r = 0, D " + std::to_string(dimension) + ", batch " + std::to_string(batch));
    }
}

// Weight decay of one part in five a step, in all three programs, with spikes of that D and from
// r = 0; and its lack is seen. False alarm 1e-5.
TEST(OverlapSgd, hasTheLawOfSgdWithVectorsWhereWeightsDecay) {
  for (const Activation& activation : all_activations) {
    SgdProblem problem = problem_for({4, 2, 2}, activation, flipping_spike(2, 3), 30, 3, 2);
    const Start start = random_start(problem.model.shape, 30, 1, false, 4);
    const Ensemble without = ensemble_of(problem, Engine::overlaps, start, 4000, 8);
    problem.model.weight_decay = 0.2 / problem.learning_rate;
    const std::string what = "weight decay, " + std::string(name_of(activation));
    const Ensemble ours = ensemble_of(problem, Engine::overlaps, start, 4000, 8);
    expect_same_law(ensemble_of(problem, Engine::direct, start, 2000, 8), ours, what);
    expect_same_law(sequential_ensemble(problem, start, 8), ours, what + ", sequential");
    EXPECT_GT(distance_of(without[4], ours[4]), 3 * distance_limit);  // r_11
    const Start flat = without_residual();
    expect_same_law(sequential_ensemble(problem, flat, 3),
                    ensemble_of(problem, Engine::overlaps, flat, 4000, 3), what + ", r = 0");
  }
}

// Some parameters alone, and b and v at rates of their own, in all three programs; what is not
// trained keeps its bits. False alarm 1e-5.
TEST(OverlapSgd, hasTheLawOfSgdWithVectorsForWhatIsTrained) {
  SgdProblem problem = small_problem(30, 3);
  Start start = random_start(problem.model.shape, 30, 1, false, 4);
  start.parameters.b << 0.5, -0.25;
  start.parameters.v = 1.5;
  const auto trains = [&](bool k, double b, double v) {
    problem.model.training = training_of(SoftmaxOne{}, k, b, v);
    const std::string what = fmt::format("k {}, b {}, v {}", k, b, v);
    const Ensemble ours = ensemble_of(problem, Engine::overlaps, start, 4000, 8);
    expect_same_law(ensemble_of(problem, Engine::direct, start, 2000, 8), ours, what);
    expect_same_law(sequential_ensemble(problem, start, 8), ours, what + ", sequential");
    const auto moves = [&](std::size_t i) {
      return std::ranges::min(ours[i]) < std::ranges::max(ours[i]);
    };
    EXPECT_EQ(moves(0), k);      // m_11
    EXPECT_EQ(moves(5), k);      // r_21
    EXPECT_EQ(moves(7), b > 0);  // b_1
    EXPECT_EQ(moves(9), v > 0);
    if (b == 0) {
      EXPECT_EQ(ours[7][0], 0.5);
    }
    if (v == 0) {
      EXPECT_EQ(ours[9][0], 1.5);
    }
  };
  trains(true, 0, 0);
  trains(true, 3, 0.3);
  trains(false, 2, 0);
  trains(false, 0, 1);
}

// With a schedule and weight decay, in all three programs, of which the third adds up its own t; a
// constant rate is told apart. False alarm 1e-5.
TEST(OverlapSgd, hasTheLawOfSgdWithVectorsAlongASchedule) {
  SgdProblem problem = small_problem(30, 3);
  problem.model.weight_decay = 1;
  const Start start = random_start(problem.model.shape, 30, 1, false, 4);
  const Ensemble constant = ensemble_of(problem, Engine::overlaps, start, 4000, 12);
  Schedule warm_up{.law = Schedule::Law::cosine, .warm_up = 0.3};
  Schedule power{.law = Schedule::Law::power};
  power.scale = 0.1;
  for (const Schedule& schedule : {warm_up, power}) {
    problem.schedule = schedule;
    const std::string what = "law " + std::to_string(static_cast<int>(schedule.law));
    const Ensemble ours = ensemble_of(problem, Engine::overlaps, start, 4000, 12);
    expect_same_law(ensemble_of(problem, Engine::direct, start, 2000, 12), ours, what);
    expect_same_law(sequential_ensemble(problem, start, 12), ours, what + ", sequential");
    EXPECT_GT(distance_of(constant[4], ours[4]), 2 * distance_limit);  // r_11
  }
}

// What is left out of the law is seen: the Wishart term of the tokens' Gram matrix, the cross terms
// of the gradient's (which have mean zero, and are seen after one step from r = 0).
TEST(OverlapSgd, aBrokenLawFailsTheComparison) {
  using Broken = SequentialFrames::Broken;
  const SgdProblem problem = small_problem(13, 70);
  const Start start = without_residual();
  const Ensemble ours = ensemble_of(problem, Engine::overlaps, start, 4000, 1);
  for (const Broken broken : {Broken::without_wishart, Broken::without_cross_terms}) {
    const Ensemble theirs = sequential_ensemble(problem, start, 1, broken);
    double largest = 0;
    for (std::size_t i = 0; i < ours.size(); ++i)
      largest = std::max(largest, distance_of(ours[i], theirs[i]));
    EXPECT_GT(largest, 1.5 * distance_limit);
  }
}

// r = 1e-14, r = 0 and two heads that are one: r stays positive semi-definite, all stays finite,
// and the law that of vectors (false alarm 1e-5).
TEST(OverlapSgd, keepsTheGramMatrixPositive) {
  const Shape shape{4, 2, 2};
  Matrix m(2, 2);
  m << 0.5, 0.2, 0.5, 0.2;
  const SgdProblem problem = problem_for(shape, SoftmaxOne{}, flipping_spike(2, 3), 50, 3, 1);
  for (const double size : {1e-14, 0.0, 1.0}) {
    const Start start = explicit_start(m, Matrix::Constant(2, 2, size), Vector::Zero(2), 1);
    const Ensemble all = ensemble_of(problem, Engine::overlaps, start, 4000, 20);
    expect_same_law(ensemble_of(problem, Engine::direct, start, 2000, 20), all,
                    "r = " + std::to_string(size));
    // Heads that are one get one gradient: they stay one.
    const Ensemble& e = all;
    for (std::size_t i = 0; i < e[0].size(); ++i) {
      ASSERT_NEAR(e[0][i], e[2][i], 1e-13);
      ASSERT_NEAR(e[4][i] - 2 * e[5][i] + e[6][i], 0, 1e-12);
      ASSERT_GT(e[4][i], 1e-6);  // at least what SGD's noise has added
    }
  }
  // A step too small to move anything: r = 1e-14 is kept to full relative precision.
  Matrix r(2, 2);
  r << 1e-14, 0.6e-14, 0.6e-14, 2e-14;
  SgdProblem still = problem;
  still.learning_rate = 1e-30;
  const Start start = explicit_start(m, r, Vector::Zero(2), 1);
  const Ensemble kept = ensemble_of(still, Engine::overlaps, start, 1, 1);
  EXPECT_NEAR(kept[4][0], 1e-14, 1e-28);
  const Communicator self = Communicator::self();
  const auto sgd = make_sgd_engine(self, with_spikes(still, start), 1, {start.parameters}, {0, 1});
  sgd->advance(1, [](const SgdProgress&) {});
  const Matrix u = sgd->parameters(0).K.rightCols(2);
  EXPECT_LT((u * u.transpose() - r).cwiseAbs().maxCoeff(), 1e-14 * 1e-14);
}

TEST(OverlapSgd, refusesTooFewDimensions) {
  const Communicator self = Communicator::self();
  SgdProblem problem = problem_for({4, 2, 2}, Softmax{}, flipping_spike(2, 2), 9, 1, 1);
  const Start start = random_start(problem.model.shape, 9, 1, false, 1);
  const auto make = [&] {
    make_sgd_engine(self, with_spikes(problem, start), 1, {start.parameters}, {0, 1});
  };
  EXPECT_THROW(make(), InputError);
  ++problem.dimension;
  EXPECT_NO_THROW(make());
}

// A replica that fails says so and leaves the others of its pack alone.
TEST(OverlapSgd, aFailedReplicaStaysAtItsLastGoodStep) {
  const Communicator self = Communicator::self();
  const SgdProblem problem = problem_for({4, 2, 2}, Softmax{}, flipping_spike(2, 2), 40, 2, 1);
  const Start start = random_start(problem.model.shape, 40, 1, false, 1);
  std::vector<Parameters> first(3, start.parameters);
  first[0].K(0, 0) = std::numeric_limits<double>::infinity();
  const auto sgd = make_sgd_engine(self, with_spikes(problem, start), 1, first, {0, 3});
  const auto good =
      make_sgd_engine(self, with_spikes(problem, start), 1, {start.parameters}, {0, 3});
  for (const auto& engine : {sgd.get(), good.get()}) engine->advance(5, [](const SgdProgress&) {});
  EXPECT_NE(sgd->runs()[0].failure.find("replica 1, step 1"), std::string::npos);
  EXPECT_EQ(sgd->runs()[0].steps, 0);
  for (const std::size_t i : {1, 2}) {
    EXPECT_EQ(sgd->runs()[i].steps, 5);
    EXPECT_EQ(sgd->numbers(i), good->numbers(i));
  }
}

}  // namespace
}  // namespace headflow
