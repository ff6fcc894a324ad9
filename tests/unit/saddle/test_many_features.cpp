#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "headflow/core/error.hpp"
#include "headflow/saddle/saddle.hpp"
#include "population/symmetry.hpp"
#include "support.hpp"

namespace headflow {
namespace {

/// Atoms that are one in all features but the last, which is 1 or -1.
Prior one_flip(int features) {
  Matrix atoms = Matrix::Ones(2, features);
  atoms(1, features - 1) = -1;
  return discrete_prior(atoms, Vector::Constant(2, 0.5));
}

/// More features than an unsigned has bits: the loss, its closed set, the saddle.
TEST(ManyFeatures, lossClosedSetAndSaddle) {
  for (const int F : {33, 40, 64}) {
    const Shape shape{2, 2, F};
    const Model model(shape, Softmax{}, one_flip(F));
    EXPECT_EQ(closed_set(shape, model.signal).size(), 4u) << F;
    const Sampling sampling{.samples = 64, .replicates = 2, .symmetric = true};
    PopulationLoss loss(testing_support::world(), model, sampling);
    const UnspecializedManifold manifold(model);
    EXPECT_FALSE(manifold.coupled(0, F - 1));
    EXPECT_TRUE(manifold.coupled(0, 1));
    const Parameters point = manifold.projection(testing_support::generic_parameters(shape, 0.1));
    const Parameters gradient = loss.evaluate(point).gradient;
    EXPECT_LT((gradient.K - manifold.projection(gradient).K).norm(), 1e-14) << F;
    EXPECT_LT(find_saddle(loss, manifold, point).gradient_norm, 1e-6) << F;
  }
  EXPECT_THROW(closed_set({2, 2, 33}, anisotropic_gaussian(33, 1, 2)), InputError);
}

/// Features that are correlated, so that their signs can change together alone: a head's components
/// of m drive each other, and nothing that has no sign.
TEST(ManyFeatures, theSignOfAllIsASymmetry) {
  for (const int F : {2, 13}) {
    const Matrix covariance = Matrix::Identity(F, F) + Matrix::Constant(F, F, 0.5);
    const Model model({2, 2, F}, Softmax{}, gaussian_prior(Vector::Zero(F), covariance));
    const UnspecializedManifold manifold(model);
    EXPECT_TRUE(manifold.coupled(0, F - 1)) << F;
    EXPECT_FALSE(manifold.coupled(0, F)) << F;
  }
}

/// invariant_under_signs as its words say it, for every two atoms.
bool invariant(const Matrix& atoms, const Vector& weights, const Vector& signs) {
  const Matrix flipped = atoms * signs.asDiagonal();
  for (Eigen::Index i = 0; i < atoms.rows(); ++i) {
    double here = 0, there = 0;
    for (Eigen::Index j = 0; j < atoms.rows(); ++j) {
      if (atoms.row(j) == flipped.row(i)) here += weights[j];
      if (flipped.row(j) == flipped.row(i)) there += weights[j];
    }
    if (std::abs(here - there) > 1e-12) return false;
  }
  return true;
}

TEST(ManyFeatures, signsThatLeaveAtomsAsTheyAre) {
  std::mt19937 random(1);
  int found = 0;
  for (int i = 0; i < 300; ++i) {
    Matrix atoms(1 + random() % 6, 3);
    for (double& x : atoms.reshaped()) x = static_cast<double>(random() % 3) - 1;
    Vector weights = Vector::Constant(atoms.rows(), 1.0 / static_cast<double>(atoms.rows()));
    const MixtureLaw law(atoms, weights);
    for (int subset = 1; subset < 8; ++subset) {
      const Vector signs{{subset & 1 ? -1.0 : 1, subset & 2 ? -1.0 : 1, subset & 4 ? -1.0 : 1}};
      ASSERT_EQ(law.invariant_under_signs(signs), invariant(atoms, weights, signs)) << atoms;
      found += law.invariant_under_signs(signs);
    }
  }
  EXPECT_GT(found, 100);
}

/// All corners of a cube in 12 dimensions with all of its 4096 symmetries: by pairs of atoms that
/// would be 10^12 numbers.
TEST(ManyFeatures, aCubesSymmetriesAreFoundInTime) {
  constexpr int F = 12;
  Matrix corners(1 << F, F);
  for (int i = 0; i < 1 << F; ++i)
    for (int f = 0; f < F; ++f) corners(i, f) = i >> f & 1 ? -1.0 : 1;
  const MixtureLaw cube(corners, Vector::Constant(1 << F, std::ldexp(1.0, -F)));
  for (int subset = 1; subset < 64; ++subset) {
    Vector signs = Vector::Ones(F);
    for (int f = 0; f < 6; ++f) signs[f] = subset >> f & 1 ? -1 : 1;
    ASSERT_TRUE(cube.invariant_under_signs(signs));
  }
}

/// Images of a prior whose features are permuted: those of the prior itself, with the features
/// permuted.
TEST(ManyFeatures, aPermutedPriorHasThePermutedImages) {
  const std::vector<int> place = {2, 0, 3, 1};
  const Shape shape{2, 2, 4};
  Matrix permutation = Matrix::Zero(4, 4);
  for (int f = 0; f < 4; ++f) permutation(f, place[static_cast<std::size_t>(f)]) = 1;
  const Matrix K = testing_support::generic_parameters(shape).K;
  const auto permuted = [&](Matrix image) {
    image.leftCols(4) *= permutation.transpose();
    return image;
  };
  for (const Prior& prior :
       {discrete_prior(Matrix{{1, 2, 0, 0}, {1, -2, 0, 0}, {1, 2, 3, -1}, {1, -2, 3, -1}},
                       Vector{{0.2, 0.2, 0.3, 0.3}}),
        product_prior({{}, {FeatureLaw::Kind::signs}, {}, {FeatureLaw::Kind::uniform}},
                      Vector{{1, 1, 2, 3}}, Vector{{0, 1, 0, 0}}),
        gaussian_prior(Vector{{0, 0, 1, 0}}, Matrix(Vector{{1, 2, 2, 2}}.asDiagonal()))}) {
    const auto own = closed_set(shape, prior);
    const auto other = closed_set(shape, prior.transformed(permutation));
    ASSERT_EQ(own.size(), other.size());
    EXPECT_GE(own.size(), 4u);  // some feature is flipped
    for (const SampleSymmetry& g : own) {
      const Matrix image = permuted(g.apply(K));
      EXPECT_EQ(
          std::count_if(other.begin(), other.end(),
                        [&](const SampleSymmetry& h) { return h.apply(permuted(K)) == image; }),
          1);
    }
  }
}

}  // namespace
}  // namespace headflow
