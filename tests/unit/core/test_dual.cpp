#include <gtest/gtest.h>

#include <cmath>

#include "core/dual.hpp"

namespace headflow {
namespace {

using V = Lanes<double>;

/// f of a number, and of a Dual with its derivative along 1, against each other and a central
/// difference.
void check(auto f, const char* what) {
  constexpr double x = -0.75, step = 1e-5;
  const Dual<V> y = f(Dual<V>{V{} + x, V{} + 1.0});
  EXPECT_DOUBLE_EQ(y.value[0], f(x)) << what;
  EXPECT_NEAR(y.tangent[0], (f(x + step) - f(x - step)) / (2 * step), 1e-8) << what;
}

/// All that an activation may use: Reals with Reals and with numbers, on either side.
TEST(Dual, hasTheDerivativesOfAllOperations) {
  check([](auto x) { return -x; }, "-x");
  check([](auto x) { return x + x * x; }, "x + x");
  check([](auto x) { return x - x * x; }, "x - x");
  check([](auto x) { return x * (x - 2); }, "x * x");
  check([](auto x) { return (x - 3) / (x * x + 2); }, "x / x");
  check([](auto x) { return x + 2; }, "x + 2");
  check([](auto x) { return 2 + x; }, "2 + x");
  check([](auto x) { return x - 2; }, "x - 2");
  check([](auto x) { return 2 - x; }, "2 - x");
  check([](auto x) { return x * 2; }, "x * 2");
  check([](auto x) { return 2 * x; }, "2 * x");
  check([](auto x) { return x / 2; }, "x / 2");
  check([](auto x) { return 2 / x; }, "2 / x");
  check([](auto x) { return reciprocal(x); }, "reciprocal");
  check([](auto x) { return exp_nonpositive(x); }, "exp");
}

}  // namespace
}  // namespace headflow
