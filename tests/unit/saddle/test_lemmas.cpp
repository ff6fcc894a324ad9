// The paper's lemmas on the unspecialized manifold and its saddle.
#include <gtest/gtest.h>

#include <vector>

#include "headflow/flow/time_stepper.hpp"
#include "headflow/saddle/saddle.hpp"
#include "support.hpp"

namespace headflow {
namespace {

using namespace testing_support;

/// Zero fields; softmax-1 at the fixed point v p = 1/L with these biases (Lemma A.4).
Parameters zero_fields(const Shape& shape, const Activation& activation, double b = 0.2) {
  Parameters parameters = Parameters::zero(shape);
  parameters.v = 1;
  if (name_of(activation) != "softmax-1") return parameters;
  parameters.b.setConstant(b);
  parameters.v = (1 + shape.tokens * std::exp(b)) / (shape.tokens * std::exp(b));
  return parameters;
}

double p_of(const Parameters& parameters, const Activation& activation, int L) {
  if (name_of(activation) != "softmax-1") return 1.0 / L;
  return std::exp(parameters.b[0]) / (1 + L * std::exp(parameters.b[0]));
}

// Lemma III.1: lambda_f = 2 gamma_f (1 - 1/L) (1 - 2p) / (L H), without the factor (1 - 2p) for
// Bayes-softmax; the eigenvectors are the features. Within 5.5 standard errors of 16 replicates
// (false alarm 6e-5 each), which are small enough to see 6 % of it; zero for softmax at L = 2.
void expect_closed_rates_at_zero_fields(const std::vector<int>& tokens,
                                        const std::vector<int>& heads) {
  for (const int L : tokens)
    for (const int H : heads)
      for (const Activation& activation : all_activations) {
        const Shape shape{L, H, 3};
        const Prior prior = anisotropic_gaussian(3, 5, 1);
        PopulationLoss loss(world(), {shape, activation, prior},
                            {.samples = 16 * 512, .replicates = 16, .seed = 3});
        const UnspecializedManifold manifold({shape, activation, prior});
        const Saddle saddle = find_saddle(loss, manifold, zero_fields(shape, activation));
        const double p = p_of(saddle.parameters, activation, L);
        const double factor = name_of(activation) == "bayes-softmax" ? 1 : 1 - 2 * p;
        const auto said = [&] {
          return testing::Message() << name_of(activation) << " L = " << L << " H = " << H;
        };
        EXPECT_LT(saddle.gradient_norm, 1e-12) << said();
        EXPECT_NEAR(saddle.loss.value, 1 - 1.0 / L, 1e-12) << said();
        EXPECT_LT(saddle.parameters.K.norm(), 1e-14) << said();
        // Features, fastest first; the bias has none.
        std::vector<const GrowthMode*> modes;
        for (const GrowthMode& mode : saddle.split)
          if (std::abs(mode.bias) < 0.5) modes.push_back(&mode);
        ASSERT_EQ(modes.size(), 3u) << said();
        for (int f = 0; f < 3; ++f) {
          const GrowthMode& mode = *modes[static_cast<std::size_t>(f)];
          const double expected = 2 * (5 - 2 * f) * (1 - 1.0 / L) * factor / (L * H);
          EXPECT_NEAR(mode.rate.value, expected, 5.5 * mode.rate.error + 1e-12)
              << said() << " feature " << f;
          EXPECT_LT(mode.rate.error, 0.01 * 2 * (5 - 2 * f) * (1 - 1.0 / L) / (L * H))
              << said() << " feature " << f;
          if (factor > 1e-12) {
            EXPECT_GT(std::abs(mode.feature[f]), 1 - 1e-12) << said() << " feature " << f;
          }
        }
        // Nothing pushes u away from zero; on split patterns nothing restores it.
        EXPECT_NEAR(saddle.u_split.value, 0, 5.5 * saddle.u_split.error + 1e-12) << said();
        EXPECT_LT(saddle.u_common.value, 0) << said();
      }
}

TEST(Lemmas, ratesAtZeroFieldsAreTheClosedForm) {
  expect_closed_rates_at_zero_fields({2, 3, 10}, {2, 3, 8});
}

TEST(LongLemmas, ratesAtZeroFieldsAreTheClosedForm) {
  expect_closed_rates_at_zero_fields({2, 3, 4, 5, 6, 7, 8, 9, 10}, {2, 3, 4, 5, 6, 7, 8});
}

// Lemma A.1. On a set that is closed under the symmetries, heads that are alike stay so, and the
// sign of theta_2 keeps m_2 at zero: to rounding. r stays invariant with up to three heads; cyclic
// shifts of more are not all permutations, which the projection on the manifold takes in. On an
// open set all this has the sampling error.
TEST(Lemmas, manifoldIsInvariantOnAClosedSet) {
  const Prior prior = flipping_spike(2, 3);
  for (const int H : {2, 3, 5})
    for (const Activation& activation : all_activations) {
      const Shape shape{4, H, 2};
      const UnspecializedManifold manifold({shape, activation, prior});
      Parameters point = generic_parameters(shape);
      point.K.col(0).array() += 0.7;
      point = manifold.projection(point);
      EXPECT_EQ(point.K.col(1).norm(), 0);
      EXPECT_GT(point.K(0, 0), 0.3);
      EXPECT_NEAR((manifold.projection(point).K - point.K).norm(), 0, 1e-14);
      const auto off = [&](bool symmetric) {
        PopulationLoss loss(world(), {shape, activation, prior},
                            {.samples = 4096, .replicates = 1, .symmetric = symmetric});
        const Parameters gradient = loss.evaluate(point).gradient;
        const Parameters on = manifold.projection(gradient);
        const Matrix half = gradient.K.rightCols(H) * point.K.rightCols(H).transpose();
        const Matrix r_slope = half + half.transpose();
        const Matrix others = r_slope - Matrix(r_slope.diagonal().asDiagonal());
        const double mean = others.sum() / (H * (H - 1));
        double largest = (gradient.K - on.K).leftCols(2).norm() + (gradient.b - on.b).norm();
        for (int h = 0; h < H && H <= 3; ++h)
          for (int g = 0; g < h; ++g) largest = std::max(largest, std::abs(others(h, g) - mean));
        return largest;
      };
      EXPECT_LT(off(true), 1e-15) << name_of(activation) << " H = " << H;
      EXPECT_GT(off(false), 1e-5) << name_of(activation) << " H = " << H;
    }
}

// Lemma A.2. At m = 0 and r = eta^2 I the gradient in m is the same for all heads and antiparallel
// to E theta: 5.5 standard errors of 16 replicates.
TEST(Lemmas, allHeadsMoveTowardsTheMeanFirst) {
  const Shape shape{5, 3, 3};
  Matrix covariance(3, 3);
  covariance << 1, 0.3, 0, 0.3, 2, -0.4, 0, -0.4, 0.5;
  const Vector mean = Vector{{0.8, -0.5, 0.3}};
  const Prior priors[] = {gaussian_prior(mean, covariance), canonical_spikes(3, 4)};
  for (const Prior& prior : priors)
    for (const Activation& activation : all_activations) {
      Parameters point = Parameters::zero(shape);
      point.v = 1;
      point.K.rightCols(3).setIdentity();
      PopulationLoss loss(world(), {shape, activation, prior},
                          {.samples = 16 * 4096, .replicates = 16, .seed = 8});
      const auto replicates = loss.curvatures({&point, 1});
      const Vector direction = prior.mean().normalized();
      double least = 1e9, most = 0;
      for (int h = 0; h < 3; ++h) {
        const auto component = [&](const Vector& along) {
          std::vector<double> values;
          for (const Curvature& one : replicates)
            values.push_back(one.gradient.segment(h * 6, 3).dot(along));
          return estimate(values);
        };
        const Estimate along = component(direction);
        EXPECT_LT(along.mean, -20 * along.error) << name_of(activation);
        least = std::min(least, -along.mean);
        most = std::max(most, -along.mean);
        EXPECT_LT(most - least, 8 * along.error) << name_of(activation);
        for (int f = 0; f < 3; ++f) {
          Vector across = Vector::Unit(3, f);
          across -= across.dot(direction) * direction;
          const Estimate off = component(across);
          EXPECT_NEAR(off.mean, 0, 5.5 * off.error) << name_of(activation) << f;
        }
      }
    }
}

// Lemma A.4: at zero fields the flow of (b, v) of softmax-1 is attracted by A = v p = 1/L, from
// above and from below; the curvature across these fixed points is positive, along them zero.
TEST(Lemmas, attentionOfSoftmaxOneScalesToOne) {
  const Shape shape{5, 2, 1};
  const Prior prior = anisotropic_gaussian(1, 2, 2);
  PopulationLoss loss(world(), {shape, SoftmaxOne{}, prior}, {.samples = 1024});
  for (const double b : {-2.0, 0.0, 1.5})
    for (const double v : {0.3, 1.0, 4.0}) {
      const auto at = [&](std::span<const double> y) {
        Parameters parameters = Parameters::zero(shape);
        parameters.b = Vector{{y[0], y[1]}};
        parameters.v = y[2];
        return parameters;
      };
      const double y0[] = {b, b + 0.1, v};
      TimeStepper stepper(
          {},
          [&](double, std::span<const double> y, std::span<double> f) {
            const Parameters gradient = loss.evaluate(at(y)).gradient;
            f[0] = -gradient.b[0];
            f[1] = -gradient.b[1];
            f[2] = -gradient.v;
          },
          y0, 3000);
      while (stepper.time() < 3000) stepper.step();
      const Parameters end = at(stepper.state());
      const double A = 0.5 * end.v *
                       (std::exp(end.b[0]) / (1 + 5 * std::exp(end.b[0])) +
                        std::exp(end.b[1]) / (1 + 5 * std::exp(end.b[1])));
      EXPECT_NEAR(A, 0.2, 1e-5) << b << " " << v;
      const UnspecializedManifold manifold({shape, SoftmaxOne{}, prior});
      const Saddle saddle = find_saddle(loss, manifold, end);
      std::vector<double> rates;
      for (const GrowthMode& mode : saddle.common)
        if (std::abs(mode.feature[0]) < 0.5) rates.push_back(mode.rate.value);
      ASSERT_EQ(rates.size(), 2u);
      // E is a function of A alone, so the curvature along is E'(A) times that of A, and the
      // gradient E'(A) times that of A: what Newton's method leaves of E'(A) is in both, with a
      // ratio of 5 or less here. It goes no further than the rounding of E lets it see a fall.
      EXPECT_LT(saddle.gradient_norm, 1e-7);
      EXPECT_NEAR(rates[0], 0, 20 * saddle.gradient_norm + 1e-13);
      EXPECT_LT(rates[1], -1e-3);
    }
}

/// Growth rate of feature 2, in each replicate, for the pattern at an angle from that of feature 1.
std::vector<double> rates_at_angle(const std::vector<Curvature>& replicates, const Shape& shape,
                                   const Vector& learnt, const Vector& other, double degrees) {
  const double angle = degrees * M_PI / 180;
  const Vector pattern = std::cos(angle) * learnt + std::sin(angle) * other;
  Vector direction = Vector::Zero(replicates[0].gradient.size());
  for (int h = 0; h < shape.heads; ++h) direction[h * shape.coordinates() + 1] = pattern[h];
  std::vector<double> rates;
  for (const Curvature& one : replicates) rates.push_back(-direction.dot(one.hessian * direction));
  return rates;
}

// Lemma III.2: once feature 1 is learnt, feature 2 grows fastest on patterns orthogonal to the
// first's, slower the smaller the angle: the difference of every 15 degrees is positive by 5
// standard errors of 16 replicates (false alarm of the sign 1e-4), for all three activations, where
// feature 1 has just split and where the flow has come to rest with it.
TEST(Lemmas, nextFeatureGrowsOrthogonallyToTheFirst) {
  const Shape shape{5, 4, 2};
  const Prior prior = anisotropic_gaussian(2, 10, 5);
  const Vector learnt = Vector{{0.5, 0.5, -0.5, -0.5}}, other = Vector{{0.5, -0.5, 0.5, -0.5}};
  for (const Activation& activation : all_activations) {
    PopulationLoss loss(world(), {shape, activation, prior},
                        {.samples = 16 * 2048, .replicates = 16, .seed = 2});
    Parameters point = zero_fields(shape, activation);
    point.K.col(0) = 1.0 * learnt;
    Parameters rested = point;  // by gradient steps that keep m_2 = 0 and u = 0
    for (int step = 0; step < 400; ++step) {
      const Parameters gradient = loss.evaluate(rested).gradient;
      rested.K.col(0) -= 2 * learnt.dot(gradient.K.col(0)) * learnt;
      rested.b.array() -= 2 * gradient.b.mean();
      rested.v -= 0.5 * gradient.v;
    }
    for (const Parameters& at : {point, rested}) {
      const auto replicates = loss.curvatures({&at, 1});
      for (int degrees = 15; degrees <= 90; degrees += 15) {
        std::vector<double> differences = rates_at_angle(replicates, shape, learnt, other, degrees);
        const auto before = rates_at_angle(replicates, shape, learnt, other, degrees - 15);
        for (std::size_t r = 0; r < differences.size(); ++r) differences[r] -= before[r];
        const Estimate growth = estimate(differences);
        EXPECT_GT(growth.mean, 5 * growth.error) << name_of(activation) << " at " << degrees;
      }
    }
  }
}

}  // namespace
}  // namespace headflow
