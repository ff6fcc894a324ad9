// What is trained, at its rates (theory.md, section 13): packed coordinates make it a gradient
// flow.
#include <gtest/gtest.h>

#include <tuple>

#include "support.hpp"

namespace headflow {
namespace {

using namespace testing_support;

constexpr Shape shape{4, 3, 2};

/// All subsets, b and v at rates of their own.
std::vector<Training> trainings(const Activation& activation) {
  std::vector<Training> all;
  for (const bool k : {true, false})
    for (const double b : {0.0, 0.5})
      for (const double v : {0.0, 3.0}) {
        const Training one = training_of(activation, k, b, v);
        if (one.k || one.b > 0 || one.v > 0) all.push_back(one);
      }
  return all;
}

TEST(Training, packsAndUnpacks) {
  const Parameters at = generic_parameters(shape), other = generic_parameters(shape, 0.2);
  for (const Training& training : trainings(SoftmaxOne{})) {
    Parameters there = other;
    const Vector packed = at.packed(training);
    EXPECT_EQ(packed.size(), static_cast<Eigen::Index>(at.trained_size(training)));
    there.unpack(training, {packed.data(), static_cast<std::size_t>(packed.size())});
    EXPECT_EQ(there.K, training.k ? at.K : other.K);
    EXPECT_LT((there.b - (training.b > 0 ? at.b : other.b)).norm(), 1e-15);
    EXPECT_NEAR(there.v, training.v > 0 ? at.v : other.v, 1e-15);
    // A gradient flow in these coordinates has the rates: d(b) = -rate grad_b.
    const Parameters moved = at.moved(training, -1e-3 * other.packed_gradient(training));
    EXPECT_LT((moved.b - at.b + 1e-3 * training.b * other.b).norm(), 1e-15);
    EXPECT_NEAR(moved.v - at.v, -1e-3 * training.v * other.v, 1e-15);
    EXPECT_LT((moved.K - at.K + (training.k ? 1e-3 : 0) * other.K).norm(), 1e-15);
  }
}

// Gradient and Hessian in packed coordinates against central differences; what is not trained has
// no gradient.
TEST(DistributedTraining, derivativesAreThoseOfPackedCoordinates) {
  for (const Activation& activation : all_activations)
    for (const Training& training : trainings(activation)) {
      Model model(shape, activation, flipping_spike(2, 3));
      model.training = training;
      if (training.k) model.weight_decay = 0.2;
      PopulationLoss loss(world(), model, {.samples = 300, .replicates = 2});
      const Parameters at = generic_parameters(shape, 0.8);
      const auto gradient = [&](const Vector& by) {
        return loss.evaluate(at.moved(training, by)).gradient.packed_gradient(training);
      };
      const auto curvatures = loss.curvatures({&at, 1});
      const Vector found = 0.5 * (curvatures[0].gradient + curvatures[1].gradient);
      const Matrix hessian = 0.5 * (curvatures[0].hessian + curvatures[1].hessian);
      constexpr double h = 1e-5;
      const Eigen::Index n = found.size();
      for (Eigen::Index i = 0; i < n; ++i) {
        const Vector step = h * Vector::Unit(n, i);
        const double up = loss.evaluate(at.moved(training, step)).objective();
        const double down = loss.evaluate(at.moved(training, -step)).objective();
        EXPECT_NEAR(found[i], (up - down) / (2 * h), 1e-9);
        const Vector row = (gradient(step) - gradient(-step)) / (2 * h);
        EXPECT_LT((hessian.row(i).transpose() - row).cwiseAbs().maxCoeff(), 1e-8);
      }
      const Parameters all = loss.evaluate(at).gradient;
      EXPECT_EQ(all.K.isZero(0), !training.k);
      EXPECT_EQ(all.b.isZero(0), training.b == 0);
      EXPECT_EQ(all.v == 0, training.v == 0);
      EXPECT_NEAR(loss.statistics(at).gradient_norm, all.packed(training.at_one_rate()).norm(),
                  1e-14);
    }
}

}  // namespace
}  // namespace headflow
