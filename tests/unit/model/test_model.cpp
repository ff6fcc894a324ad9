// Laws of theta, and the model that is made of them.
#include <gtest/gtest.h>

#include "core/normal.hpp"
#include "headflow/model/model.hpp"
#include "headflow/model/start.hpp"
#include "support.hpp"

namespace headflow {
namespace {

using namespace testing_support;

TEST(Prior, knowsItsSignFlips) {
  EXPECT_TRUE(flipping_spike(2, 2).invariant_under_signs(Vector{{1, -1}}));
  EXPECT_FALSE(flipping_spike(2, 2).invariant_under_signs(Vector{{-1, 1}}));
  EXPECT_FALSE(canonical_spikes(3, 2).invariant_under_signs(Vector{{-1, 1, 1}}));
  for (unsigned mask = 0; mask < 8; ++mask)
    EXPECT_TRUE(anisotropic_gaussian(3, 3, 1).invariant_under_signs(
        Vector{{mask & 1 ? -1.0 : 1.0, mask & 2 ? -1.0 : 1.0, mask & 4 ? -1.0 : 1.0}}));
  Matrix pair(2, 2);
  pair << 1, 2, -1, -2;
  const Prior antipodal = discrete_prior(pair, Vector{{0.5, 0.5}});
  EXPECT_TRUE(antipodal.invariant_under_signs(Vector{{-1, -1}}));
  EXPECT_FALSE(antipodal.invariant_under_signs(Vector{{1, -1}}));
  Matrix covariance(2, 2);
  covariance << 1, 0.5, 0.5, 1;
  EXPECT_TRUE(gaussian_prior(Vector::Zero(2), covariance).invariant_under_signs(Vector{{-1, -1}}));
  EXPECT_FALSE(gaussian_prior(Vector::Zero(2), covariance).invariant_under_signs(Vector{{-1, 1}}));
  EXPECT_FALSE(gaussian_prior(Vector{{1, 0}}, Matrix::Identity(2, 2))
                   .invariant_under_signs(Vector{{-1, 1}}));
}

// Each law against sums over many draws, whose uniforms are on a grid: the moments of its draws are
// what it says, to the grid's width.
TEST(Prior, drawsWhatItsMomentsSay) {
  const Matrix A{{0.8, 0}, {-0.3, 1.2}};
  const Prior laws[] = {
      discrete_prior(Matrix{{1, 2}, {-1, 0.5}, {3, 0}}, Vector{{0.2, 0.5, 0.3}}),
      discrete_prior(Matrix{{1, 2}, {-1, 0.5}}, Vector{{0.25, 0.75}}).transformed(A)};
  constexpr int count = 1000;
  for (const Prior& law : laws) {
    ASSERT_EQ(law.draw_dimension(), 1);
    Vector mean = Vector::Zero(2);
    Matrix second = Matrix::Zero(2, 2);
    for (int i = 0; i < count; ++i) {
      const double u[] = {(i + 0.5) / count};
      Vector theta(2);
      law.draw(u, u, {theta.data(), 2});
      mean += theta / count;
      second += theta * theta.transpose() / count;
    }
    EXPECT_LT((mean - law.mean()).cwiseAbs().maxCoeff(), 1e-12);
    EXPECT_LT((second - law.second_moment()).cwiseAbs().maxCoeff(), 1e-12);
  }
}

TEST(Prior, aGaussianIsItsMeanAndFactor) {
  const Vector mean{{0.5, -1}};
  const Matrix covariance{{2, 0.4}, {0.4, 1}}, A{{1, 0}, {2, 3}};
  const Prior law = gaussian_prior(mean, covariance);
  EXPECT_EQ(law.draw_dimension(), 2);
  EXPECT_LT((law.second_moment() - covariance - mean * mean.transpose()).norm(), 1e-14);
  const Prior image = law.transformed(A);
  EXPECT_LT((image.mean() - A * mean).norm(), 1e-15);
  EXPECT_LT((image.second_moment() - A * law.second_moment() * A.transpose()).norm(), 1e-13);
  const double still[] = {0, 0};
  Vector theta(2);
  law.draw(still, still, {theta.data(), 2});
  EXPECT_EQ(theta, mean);
}

TEST(Prior, aMixtureKnowsItsSignFlips) {
  const Matrix means{{1, 2}, {1, -2}}, one{{1, 0.5}, {0.5, 2}}, mirrored{{1, -0.5}, {-0.5, 2}};
  const auto flips = [&](const Matrix& second, const Vector& weights, const Vector& signs) {
    return mixture_prior(means, {one, second}, weights).invariant_under_signs(signs);
  };
  EXPECT_TRUE(flips(mirrored, Vector{{0.5, 0.5}}, Vector{{1, -1}}));
  EXPECT_FALSE(flips(mirrored, Vector{{0.5, 0.5}}, Vector{{-1, 1}}));
  EXPECT_FALSE(flips(one, Vector{{0.5, 0.5}}, Vector{{1, -1}}));
  EXPECT_FALSE(flips(mirrored, Vector{{0.4, 0.6}}, Vector{{1, -1}}));
  EXPECT_FALSE(flips(Matrix::Zero(2, 2), Vector{{0.5, 0.5}}, Vector{{1, -1}}));
}

const std::vector<FeatureLaw> all_features = {{FeatureLaw::Kind::signs, 1},
                                              {FeatureLaw::Kind::gaussian, 1},
                                              {FeatureLaw::Kind::uniform, 1},
                                              {FeatureLaw::Kind::sparse, 0.3}};

TEST(Prior, aProductFlipsTheFeaturesWithoutAMean) {
  const Prior law = product_prior(all_features, Vector{{1, 2, 3, 4}}, Vector{{0, 0, 1, 0}});
  EXPECT_TRUE(law.invariant_under_signs(Vector{{-1, -1, 1, -1}}));
  EXPECT_FALSE(law.invariant_under_signs(Vector{{1, 1, -1, 1}}));
  Matrix A = Matrix::Identity(4, 4);
  A(0, 1) = 0.5;  // features 1 and 2 are no longer independent
  EXPECT_TRUE(law.transformed(A).invariant_under_signs(Vector{{-1, -1, 1, 1}}));
  EXPECT_FALSE(law.transformed(A).invariant_under_signs(Vector{{1, -1, 1, 1}}));
}

// On the midpoints of a grid of 10^5 uniforms; Gaussian tails beyond it hold 2e-4 of the variance.
TEST(Prior, featuresHaveMeanZeroAndVarianceOne) {
  constexpr int count = 100000;
  for (const FeatureLaw& law : all_features) {
    double mean = 0, square = 0, zeros = 0, least = -10;
    for (int i = 0; i < count; ++i) {
      const double u = (i + 0.5) / count, x = law.draw(u, normal_quantile(u));
      EXPECT_GE(x, least);  // the inverse of a distribution
      least = x;
      mean += x / count;
      square += x * x / count;
      zeros += (x == 0) * 1.0 / count;
    }
    EXPECT_NEAR(mean, 0, 1e-9);
    EXPECT_NEAR(square, 1, 1e-3);
    EXPECT_NEAR(zeros, law.kind == FeatureLaw::Kind::sparse ? 0.7 : 0, 1e-4);
  }
}

// 60 x 100^2 and 60^3 midpoints: what of a Gaussian they miss is below 2e-3 of its variance.
TEST(Prior, drawsOfMixturesAndProductsHaveTheirMoments) {
  const Matrix A{{0.8, 0}, {-0.3, 1.2}};
  const Prior mixture =
      mixture_prior(Matrix{{1, 2}, {-1, 0.5}, {0, 3}},
                    {Matrix{{2, 0.4}, {0.4, 1}}, Matrix::Zero(2, 2), Matrix{{0, 0}, {0, 1}}},
                    Vector{{0.25, 0.5, 0.25}});
  const Prior product =
      product_prior({all_features[0], all_features[1]}, Vector{{2, 3}}, Vector{{0.5, -1}});
  for (const Prior& law : {mixture, mixture.transformed(A), product, product.transformed(A)}) {
    const int d = law.draw_dimension();
    const int n = d == 3 ? 100 : 1000, first = d == 3 ? 4 : n;
    const int count = first * n * (d == 3 ? n : 1);
    Vector mean = Vector::Zero(2);
    Matrix second = Matrix::Zero(2, 2);
    for (int i = 0; i < count; ++i) {
      std::vector<double> u = {(i % first + 0.5) / first, (i / first % n + 0.5) / n};
      if (d == 3) u.push_back((i / first / n + 0.5) / n);
      std::vector<double> normals = u;
      normal_quantile(normals);
      Vector theta(2);
      law.draw(u, normals, {theta.data(), 2});
      mean += theta / count;
      second += theta * theta.transpose() / count;
    }
    EXPECT_LT((mean - law.mean()).cwiseAbs().maxCoeff(), 1e-9);
    EXPECT_LT((second - law.second_moment()).cwiseAbs().maxCoeff(), 0.04) << second;
  }
}

/// The draws of two laws are the same bits.
void expect_same_draws(const Prior& one, const Prior& other) {
  ASSERT_EQ(one.draw_dimension(), other.draw_dimension());
  for (int i = 0; i < 50; ++i) {
    std::vector<double> u;
    for (int d = 0; d < one.draw_dimension(); ++d)
      u.push_back(std::fmod(0.37 * (i + 1) + 0.618 * d * (i + 3), 0.98) + 0.01);
    std::vector<double> normals = u;
    normal_quantile(normals);
    Vector a(one.features()), b(a);
    one.draw(u, normals, {a.data(), static_cast<std::size_t>(a.size())});
    other.draw(u, normals, {b.data(), static_cast<std::size_t>(b.size())});
    EXPECT_EQ(a, b);
  }
}

TEST(Prior, wideLawsContainTheNarrowOnes) {
  const Matrix atoms{{1, 2}, {-1, 0.5}, {3, 0}};
  const Vector weights{{0.2, 0.5, 0.3}}, mean{{0.5, -1}};
  const Matrix covariance{{2, 0.4}, {0.4, 1}};
  expect_same_draws(mixture_prior(atoms, std::vector(3, Matrix(Matrix::Zero(2, 2))), weights),
                    discrete_prior(atoms, weights));
  expect_same_draws(mixture_prior(mean.transpose(), {covariance}, Vector::Ones(1)),
                    gaussian_prior(mean, covariance));
  expect_same_draws(
      product_prior(std::vector(3, all_features[1]), Vector{{4, 2.5, 1}}, Vector::Zero(3)),
      anisotropic_gaussian(3, 4, 1));
}

TEST(Model, itsHeadsSeeTheSignalThroughTheSpikes) {
  const Shape shape{4, 3, 2};
  const Prior prior = flipping_spike(2, 3);
  const Start start = random_start(shape, 20, 1, false, 4);
  const Matrix& S = start.spike_factor;
  const Model model(shape, SoftmaxOne{}, prior, S);
  EXPECT_EQ(model.spike_gram(), S * S.transpose());
  EXPECT_EQ(model.signal.mean(), prior.transformed(S.transpose()).mean());
  const Matrix m = model.overlaps(start.parameters.K);
  EXPECT_TRUE(m.isApprox(order_parameters(start.parameters.K, S).m, 1e-14)) << m;
  EXPECT_TRUE(model.training.k && model.training.b == 1 && model.training.v == 1);
  const Model ideal(shape, Softmax{}, prior);
  EXPECT_EQ(ideal.spike_factor, Matrix::Identity(2, 2));
  EXPECT_EQ(ideal.signal.second_moment(), prior.second_moment());
  EXPECT_TRUE(ideal.training.k && ideal.training.b == 0 && ideal.training.v == 0);
}

TEST(Parameters, areTheirNumbers) {
  const Shape shape{4, 3, 2};
  const Parameters parameters = generic_parameters(shape);
  std::vector<double> numbers = parameters.numbers();
  ASSERT_EQ(numbers.size(), 3u * 5 + 3 + 1);
  EXPECT_EQ(numbers[1], parameters.K(0, 1));
  EXPECT_EQ(numbers[15], parameters.b[0]);
  EXPECT_EQ(numbers[18], parameters.v);
  numbers.push_back(99);  // of something else
  const Parameters back = Parameters::from_numbers(numbers, shape);
  EXPECT_TRUE(back.K == parameters.K && back.b == parameters.b && back.v == parameters.v);
}

}  // namespace
}  // namespace headflow
