// When a flow that climbs has a wrong gradient, and when its step is only too large.
#include "flow/descent.hpp"

#include <gtest/gtest.h>

namespace headflow {
namespace {

/// L(y) = sum_i a_i y_i^2 / 2, of which a gradient is computed that is wrong in its last component.
struct Quadratic {
  Vector a, y;
  double wrong = 0;  // that component is 1 - wrong times the right one

  double value(const Vector& at) const { return 0.5 * (a.array() * at.array().square()).sum(); }
  Vector gradient(const Vector& at) const {
    Vector g = a.cwiseProduct(at);
    g(g.size() - 1) *= 1 - wrong;
    return g;
  }
  /// What a step that moves so is told to be, by a program that believes in the gradient.
  bool contradicts_moving(const Vector& moved) const {
    const double rise = value(y + moved) - value(y), rounding = 1e-12 * value(y);
    return contradicts_descent(
        {gradient(y), gradient(y + moved), moved, rise > rounding ? rise : 0, rounding});
  }
  /// An Euler step.
  bool contradicts(double size) const { return contradicts_moving(-size * gradient(y)); }
};

Vector of(double first, double second) {
  Vector both(2);
  both << first, second;
  return both;
}

TEST(Descent, isNotContradictedByStepsThatAreTooLarge) {
  for (const double size : {1e-12, 1e-6, 1e-3, 0.1, 1.9, 2.01, 2.05, 2.2, 3.0, 10.0, 100.0})
    for (const double flat : {0.0, 1e-6, 1e-3, 0.3}) {
      const Quadratic loss{of(1, flat), of(0.7, -40)};
      EXPECT_FALSE(loss.contradicts(size)) << size << ' ' << flat;
    }
}

TEST(Descent, isContradictedWhereTheGradientIsWrong) {
  const Quadratic loss{of(1, 1), of(0.7, -1), 2};  // climbs along its second direction
  EXPECT_FALSE(loss.contradicts(1)) << "the gradient changes as much as itself";
  for (const double size : {0.05, 1e-3, 1e-6, 1e-9}) EXPECT_TRUE(loss.contradicts(size)) << size;
  EXPECT_FALSE(loss.contradicts(1e-14)) << "that is rounding";
  EXPECT_FALSE((Quadratic{of(1, 1), of(1, -0.7), 2}.contradicts(1e-3))) << "it still falls";
}

// A method of low order at a large tolerance comes back, and a little up.
TEST(Descent, isNotContradictedByAStepThatDoesNotGoDown) {
  const Quadratic loss{of(1, 1e-3), of(0.7, -40)};
  EXPECT_FALSE(loss.contradicts_moving(1e-3 * loss.gradient(loss.y)));
  EXPECT_FALSE(loss.contradicts_moving(of(1e-4, 1e-3)));
}

TEST(Descent, isNotJudgedWithoutAGradient) {
  const Vector g = Vector::Ones(1), none;
  EXPECT_FALSE(contradicts_descent({none, g, -g, 1, 1e-12}));
}

}  // namespace
}  // namespace headflow
