// The Hessian of the population loss: against differences of gradients, and the closed forms of
// theory.md, section 7.
#include <gtest/gtest.h>

#include <vector>

#include "support.hpp"

namespace headflow {
namespace {

using namespace testing_support;

/// Mean over the replicates of f(curvature), with its standard error.
template <class F>
Estimate over_replicates(const std::vector<Curvature>& replicates, F&& f) {
  std::vector<double> values;
  for (const Curvature& one : replicates) values.push_back(f(one));
  return estimate(values);
}

// Central differences of the exact gradient: error h^2 times third derivatives, and rounding over
// h. Shapes with unrolled and with run-time sizes, whole and partial groups of lanes.
TEST(DistributedCurvature, isTheDerivativeOfTheGradient) {
  for (const Shape shape : {Shape{4, 2, 2}, Shape{5, 3, 2}, Shape{3, 1, 3}, Shape{10, 4, 1}})
    for (const Activation& activation : all_activations) {
      const Prior prior = anisotropic_gaussian(shape.features, 3, 1);
      PopulationLoss loss(world(), {shape, activation, prior}, {.samples = 1500, .replicates = 3});
      const Parameters point = generic_parameters(shape, 0.8);
      const auto curvatures = loss.curvatures({&point, 1});
      ASSERT_EQ(curvatures.size(), 3u);
      const auto n = static_cast<Eigen::Index>(point.trained_size(activation));
      Matrix mean = Matrix::Zero(n, n);
      double value = 0;
      for (const Curvature& one : curvatures) {
        mean += one.hessian / 3;
        value += one.loss / 3;
      }
      EXPECT_NEAR(value, loss.evaluate(point).loss, 1e-13);
      const double h = 1e-5;
      Matrix differences(n, n);
      for (Eigen::Index i = 0; i < n; ++i)
        differences.row(i) = (loss.evaluate(point.moved(activation, h * Vector::Unit(n, i)))
                                  .gradient.packed(activation) -
                              loss.evaluate(point.moved(activation, -h * Vector::Unit(n, i)))
                                  .gradient.packed(activation)) /
                             (2 * h);
      EXPECT_LT((mean - differences).cwiseAbs().maxCoeff(), 1e-9)
          << name_of(activation) << " L = " << shape.tokens << " H = " << shape.heads;
      EXPECT_GT(mean.cwiseAbs().maxCoeff(), 1e-2);
    }
}

// Products with any direction are the Hessian's, on a set closed under symmetries as well, and a
// replicate may have its own point.
TEST(DistributedCurvature, productsAndOwnPointsAgreeWithIt) {
  const Shape shape{4, 3, 2};
  const Prior prior = flipping_spike(2, 3);
  for (const Activation& activation : all_activations) {
    const Sampling sampling{.samples = 600, .replicates = 2, .symmetric = true};
    PopulationLoss loss(world(), {shape, activation, prior}, sampling);
    const std::vector<Parameters> points = {generic_parameters(shape, 0.8),
                                            generic_parameters(shape, 0.3)};
    const auto own = loss.curvatures(points);
    for (std::size_t r = 0; r < points.size(); ++r) {
      const auto all = loss.curvatures({&points[r], 1});
      EXPECT_EQ(own[r].hessian, all[r].hessian);
      EXPECT_EQ(own[r].gradient, all[r].gradient);
      Parameters direction = generic_parameters(shape, 1.1);
      const LossTangents found = loss.differentiate(points[r], {direction, points[0]});
      const Vector expected =
          0.5 * (all[0].hessian + all[1].hessian) * direction.packed(activation);
      EXPECT_LT((found.products[0].packed(activation) - expected).cwiseAbs().maxCoeff(), 1e-13);
      EXPECT_EQ(found.at.gradient.packed(activation),
                loss.evaluate(points[r]).gradient.packed(activation));
    }
  }
}

TEST(Curvature, inSinglePrecisionIsThatOfDoubleToRounding) {
  const Shape shape{5, 3, 2};
  const Parameters point = generic_parameters(shape);
  Sampling sampling{.samples = 1024, .replicates = 1};
  PopulationLoss exact(world(), {shape, SoftmaxOne{}, flipping_spike(2, 2)}, sampling);
  sampling.precision = Precision::single;
  PopulationLoss rounded(world(), {shape, SoftmaxOne{}, flipping_spike(2, 2)}, sampling);
  const Matrix difference =
      exact.curvatures({&point, 1})[0].hessian - rounded.curvatures({&point, 1})[0].hessian;
  EXPECT_LT(difference.cwiseAbs().maxCoeff(), 1e-5);
}

/// Item 3 of section 7 as the Hessian of Q in (m, u) at m = u = 0: entries of one column of K are
/// split * delta_hh' + together, the same for all w and by Gamma_ff' for features.
struct ClosedForm {
  double feature_split, feature_together, restoring;
};
ClosedForm closed_form(const Activation& activation, double L, double H, double p) {
  const bool bayes = name_of(activation) == "bayes-softmax";
  if (bayes)
    return {-2 * (1 - 1 / L) / (L * H), 2 * (1 - 1 / L) * 3 / (L * L * H * H),
            2 * (1 - 1 / L) / (L * H * H)};
  const double rest = (1 - 2 * p + L * p * p) / (L * L);
  return {-2 * (1 - 1 / L) * (1 - 2 * p) / (L * H), 2 * rest / (H * H), 2 * rest * L / (H * H)};
}

// Lemmas III.1 and A.5 with A.3's mixed derivatives, for every entry in m and u: within 5.5
// standard errors of 16 replicates (t with 15 degrees of freedom: false alarm 6e-5 an entry; the
// errors are of independent sets, so a wrong factor of 1.3 is seen in each, and smaller ones in
// their number), or to rounding where nothing is random.
void expect_closed_form_at_zero_fields(const std::vector<int>& tokens,
                                       const std::vector<int>& heads) {
  for (const int L : tokens)
    for (const int H : heads)
      for (const Activation& activation : all_activations) {
        const Shape shape{L, H, 2};
        const Prior prior = anisotropic_gaussian(2, 4, 1);
        Parameters point = Parameters::zero(shape);
        double p = 1.0 / L;
        if (name_of(activation) == "softmax-1") {
          point.b.setConstant(-0.4);
          p = std::exp(-0.4) / (1 + L * std::exp(-0.4));
          point.v = 1 / (L * p);
        }
        PopulationLoss loss(world(), {shape, activation, prior},
                            {.samples = 16 * 512, .replicates = 16, .seed = 5});
        const auto curvatures = loss.curvatures({&point, 1});
        const ClosedForm form = closed_form(activation, L, H, p);
        const int P = shape.coordinates();
        const Matrix Gamma = prior.second_moment();
        for (int i = 0; i < H * P; ++i)
          for (int j = 0; j <= i; ++j) {
            const int f = i % P, g = j % P;
            const double same = i / P == j / P ? 1 : 0;
            double expected = f == g ? form.restoring : 0;
            if (f < 2 && g < 2)
              expected += Gamma(f, g) * (form.feature_split * same + form.feature_together);
            const auto found = over_replicates(
                curvatures, [&](const Curvature& one) { return one.hessian(i, j); });
            EXPECT_NEAR(found.mean, expected, 5.5 * found.error + 1e-12)
                << name_of(activation) << " L = " << L << " H = " << H << " entry " << i << " "
                << j;
            EXPECT_LT(found.error, 0.04 * std::abs(form.feature_split * Gamma(0, 0)) + 4e-3);
          }
      }
}

TEST(Curvature, atZeroFieldsHasItsClosedForm) {
  expect_closed_form_at_zero_fields({3, 4, 10}, {1, 2, 5, 8});
}

TEST(LongCurvature, atZeroFieldsHasItsClosedForm) {
  expect_closed_form_at_zero_fields({3, 4, 5, 6, 7, 8, 9, 10}, {1, 2, 3, 4, 5, 6, 7, 8});
}

}  // namespace
}  // namespace headflow
