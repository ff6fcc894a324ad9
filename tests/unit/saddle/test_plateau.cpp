// Where a flow lingers: what the Hessian there says of what comes next.
#include <gtest/gtest.h>

#include "headflow/flow/flow.hpp"
#include "headflow/saddle/plateau_analysis.hpp"
#include "headflow/saddle/saddle.hpp"
#include "support.hpp"

namespace headflow {
namespace {

using namespace testing_support;

constexpr Shape shape{4, 2, 2};
constexpr double threshold = 0.05;

/// On a set closed under the symmetries, so that samples do not push heads off the saddle.
PopulationLoss loss_of(const Activation& activation) {
  return {world(),
          {shape, activation, flipping_spike(2, 3)},
          {.samples = 1024, .replicates = 2, .symmetric = true}};
}

/// The saddle, and heads moved apart along feature 2 by so much.
Parameters off_the_saddle(PopulationLoss& loss, double apart) {
  Parameters start = Parameters::zero(shape);
  start.K.col(0).setConstant(1);
  start.v = 1;
  Parameters at = find_saddle(loss, UnspecializedManifold(loss.model()), start).parameters;
  at.K(0, 1) += apart;
  at.K(1, 1) -= apart;
  return at;
}

// Where heads differ along feature 2 alone they go apart like exp(rate t), and so split at
// log(threshold / apart) / rate. The flow from there does so, to the part of second order in the
// threshold.
TEST(Plateau, isLeftAsItsHessianSays) {
  for (const Activation& activation : all_activations) {
    constexpr double apart = 1e-4, now = 12;
    PopulationLoss loss = loss_of(activation);
    const Parameters at = off_the_saddle(loss, apart);
    const PlateauAnalysis plateau = analyse_plateau(loss, now, at, threshold);
    const double rate = plateau.spectrum.rate[1].value;
    EXPECT_EQ(plateau.time, now);
    EXPECT_EQ(plateau.next_feature, 2) << name_of(activation);
    EXPECT_NEAR(plateau.next_split_time, now + std::log(threshold / apart) / rate, 1e-3)
        << name_of(activation);
    EXPECT_NEAR(plateau.growth_rate[1], rate, 1e-6) << name_of(activation);
    FlowOptions options{.end_time = 1.2 * (plateau.next_split_time - now),
                        .split_threshold = threshold};
    options.stepper.tolerance = 1e-9;
    const FlowResult flow =
        run_flow(loss, at, options, {.record = [](const FlowRecord&, const Stages&) {}});
    EXPECT_NEAR(flow.stages.split_time[1] / (plateau.next_split_time - now), 1, 0.01)
        << name_of(activation);
  }
}

// Heads that have split, or that nothing drives apart, split no more.
TEST(Plateau, isNotLeftWhereNothingGrows) {
  PopulationLoss loss = loss_of(Softmax{});
  const PlateauAnalysis plateau =
      analyse_plateau(loss, 12, off_the_saddle(loss, 2 * threshold), threshold);
  EXPECT_TRUE(std::isnan(plateau.next_split_time));
  EXPECT_TRUE(std::isnan(plateau.next_feature));
}

// Each eigenvector's part in m as pattern times direction: no other product of the same pattern or
// the same direction is nearer, and what is left has the rest of the squared norm. At the saddle
// with two heads nothing is left.
TEST(Plateau, modesAreTheNearestProducts) {
  PopulationLoss loss = loss_of(SoftmaxOne{});
  Parameters at = off_the_saddle(loss, 0.3);
  at.K += generic_parameters(shape, 0.1).K;
  const PlateauAnalysis plateau = analyse_plateau(loss, 12, at, threshold);
  ASSERT_EQ(plateau.modes.size(), plateau.eigenvectors.size());
  ASSERT_EQ(plateau.modes.size(), 2u * 4 + 2 + 1);
  for (std::size_t i = 0; i < plateau.modes.size(); ++i) {
    const auto& [pattern, direction, weight] = plateau.modes[i];
    const Matrix m = plateau.eigenvectors[i].K.leftCols(2);
    EXPECT_NEAR(pattern.norm(), 1, 1e-12);
    EXPECT_NEAR(direction.norm(), 1, 1e-12);
    EXPECT_LT((m * direction - std::sqrt(weight) * pattern).norm(), 1e-12);
    EXPECT_LT((m.transpose() * pattern - std::sqrt(weight) * direction).norm(), 1e-12);
    EXPECT_GE(weight, 0.5 * m.squaredNorm() - 1e-12)
        << "of two products at right angles the larger";
  }
}

}  // namespace
}  // namespace headflow
