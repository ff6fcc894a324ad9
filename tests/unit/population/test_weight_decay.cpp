// Weight decay (theory.md, section 13): what is trained is E + (decay / 2) sum_h q_hh.
#include <gtest/gtest.h>

#include "support.hpp"

namespace headflow {
namespace {

using namespace testing_support;

constexpr Shape shape{4, 3, 2};
constexpr double decay = 0.3;

Model decayed(const Activation& activation, double weight_decay = decay) {
  Matrix S(2, 2);
  S << 1.1, 0, 0.2, 0.9;
  Model model(shape, activation, flipping_spike(2, 3), S);
  model.weight_decay = weight_decay;
  return model;
}

constexpr Sampling sampling{.samples = 600, .replicates = 3};

// Central differences: h^2 times third derivatives, and rounding over h.
TEST(DistributedWeightDecay, gradientIsThatOfTheObjective) {
  for (const Activation& activation : all_activations) {
    PopulationLoss loss(world(), decayed(activation), sampling);
    PopulationLoss without(world(), decayed(activation, 0), sampling);
    const Parameters at = generic_parameters(shape, 0.8);
    const LossGradient found = loss.evaluate(at), plain = without.evaluate(at);
    EXPECT_EQ(found.loss, plain.loss);
    EXPECT_EQ(plain.objective(), plain.loss);
    EXPECT_NEAR(found.objective(), found.loss + 0.5 * decay * (at.K * at.K.transpose()).trace(),
                1e-14);
    EXPECT_EQ(found.gradient.b, plain.gradient.b);
    EXPECT_EQ(found.gradient.v, plain.gradient.v);
    const Vector gradient = found.gradient.packed(activation);
    constexpr double h = 1e-5;
    for (Eigen::Index i = 0; i < gradient.size(); ++i) {
      const Vector step = h * Vector::Unit(gradient.size(), i);
      const double difference = (loss.evaluate(at.moved(activation, step)).objective() -
                                 loss.evaluate(at.moved(activation, -step)).objective()) /
                                (2 * h);
      EXPECT_NEAR(gradient[i], difference, 1e-9) << name_of(activation) << " entry " << i;
    }
    const LossStatistics statistics = loss.statistics(at);
    EXPECT_EQ(statistics.mean.gradient.packed(activation), gradient);
    EXPECT_EQ(statistics.mean.objective(), found.objective());
    EXPECT_NEAR(statistics.gradient_norm, gradient.norm(), 1e-14);
    EXPECT_EQ(statistics.loss_stderr, without.statistics(at).loss_stderr);
  }
}

// The Hessian, its products with directions and the linearization of each replicate.
TEST(DistributedWeightDecay, secondDerivativesAreThoseOfTheObjective) {
  for (const Activation& activation : all_activations) {
    PopulationLoss loss(world(), decayed(activation), sampling, true);
    PopulationLoss without(world(), decayed(activation, 0), sampling, true);
    const Parameters at = generic_parameters(shape, 0.8);
    const Parameters direction = generic_parameters(shape, 1.1);
    const auto curvatures = loss.curvatures({&at, 1}), plain = without.curvatures({&at, 1});
    const Vector in_K = [&] {
      Parameters ones = Parameters::zero(shape);
      ones.K.setOnes();
      return ones.packed(activation);
    }();
    const std::vector<Parameters> directions = {direction, at};
    const auto linearized = loss.linearize({&at, 1}, {&directions, 1});
    Vector product = Vector::Zero(in_K.size());
    for (std::size_t r = 0; r < curvatures.size(); ++r) {
      const Matrix added = curvatures[r].hessian - plain[r].hessian;
      EXPECT_LT((added - Matrix(decay * in_K.asDiagonal())).cwiseAbs().maxCoeff(), 1e-15);
      EXPECT_EQ(curvatures[r].loss, plain[r].loss);
      const Linearization& one = linearized[r];
      EXPECT_EQ(one.at.gradient.packed(activation), curvatures[r].gradient);
      const Vector along = one.along[0].gradient.packed(activation);
      EXPECT_LT((along - curvatures[r].hessian * direction.packed(activation)).norm(), 1e-13);
      EXPECT_NEAR(one.along[0].objective(),
                  curvatures[r].gradient.dot(direction.packed(activation)), 1e-13);
      product += along / static_cast<double>(curvatures.size());
    }
    const LossTangents tangents = loss.differentiate(at, {direction});
    EXPECT_LT((tangents.products[0].packed(activation) - product).norm(), 1e-13);
    EXPECT_EQ(tangents.at.objective(), loss.evaluate(at).objective());
    const std::vector<Parameters> own = {at, direction, at};
    EXPECT_EQ(loss.curvatures(own)[2].gradient, curvatures[2].gradient);
    EXPECT_EQ(loss.evaluate_each(own)[1].gradient.packed(activation),
              loss.curvatures(own)[1].gradient);
    EXPECT_EQ(loss.curvatures(own)[1].gradient, loss.curvatures({&direction, 1})[1].gradient);
  }
}

}  // namespace
}  // namespace headflow
