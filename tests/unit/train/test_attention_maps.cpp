// Attention of trained heads: theory.md, section 10.
#include <gtest/gtest.h>

#include "headflow/core/error.hpp"
#include "headflow/train/attention_maps.hpp"
#include "trained_support.hpp"

namespace headflow {
namespace {

using namespace testing_support;

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
          EXPECT_NEAR(A[l], static_cast<double>(expected[static_cast<std::size_t>(l)]), 1e-11)
              << beside_plain_formula(activation);
          EXPECT_NEAR(A[l], sigma.col(l).mean(), 1e-15);
        }
        const Matrix plainly = reference_sigma(activation, chi, parameters.b, parameters.v);
        EXPECT_LT((sigma - plainly).cwiseAbs().maxCoeff(), 1e-11)
            << beside_plain_formula(activation);
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
