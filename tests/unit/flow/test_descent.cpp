// When a flow that climbs has a wrong gradient, and when its step is only too large.
#include "flow/descent.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace headflow {
namespace {

/// L(y) = sum_i a_i y_i^2 / 2, and f = -dL/dy but for a wrong last component.
struct Quadratic {
  std::vector<double> a, y;
  double wrong = 0;  // f_last = -(1 - wrong) dL/dy_last

  double value(const std::vector<double>& at) const {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += 0.5 * a[i] * at[i] * at[i];
    return sum;
  }
  std::vector<double> f(const std::vector<double>& at) const {
    std::vector<double> f(at.size());
    for (std::size_t i = 0; i < a.size(); ++i) f[i] = -a[i] * at[i];
    f.back() *= 1 - wrong;
    return f;
  }
  /// What a step of this size is told to be, by a program that believes in f.
  bool contradicts(double size) const {
    const std::vector<double> before = f(y);
    std::vector<double> end = y;
    double fall = 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
      end[i] += size * before[i];
      fall += size * before[i] * before[i];
    }
    const double rise = value(end) - value(y), rounding = 1e-12 * value(y);
    return contradicts_descent({before, f(end), fall, rise > rounding ? rise : 0, rounding});
  }
};

TEST(Descent, isNotContradictedByStepsThatAreTooLarge) {
  for (const double size : {1e-12, 1e-6, 1e-3, 0.1, 1.9, 2.01, 2.05, 2.2, 3.0, 10.0, 100.0})
    for (const double flat : {0.0, 1e-6, 1e-3, 0.3}) {
      const Quadratic loss{{1, flat}, {0.7, -40}};
      EXPECT_FALSE(loss.contradicts(size)) << size << ' ' << flat;
    }
}

TEST(Descent, isContradictedWhereTheGradientIsWrong) {
  const Quadratic loss{{1, 1}, {0.7, -1}, 2};  // climbs along its second direction
  EXPECT_FALSE(loss.contradicts(1)) << "f changes as much as itself";
  for (const double size : {0.05, 1e-3, 1e-6, 1e-9}) EXPECT_TRUE(loss.contradicts(size)) << size;
  EXPECT_FALSE(loss.contradicts(1e-14)) << "that is rounding";
  EXPECT_FALSE((Quadratic{{1, 1}, {1, -0.7}, 2}.contradicts(1e-3))) << "it still falls";
}

TEST(Descent, isNotJudgedWithoutASlope) {
  const std::vector<double> f{1.0};
  EXPECT_FALSE(contradicts_descent({{}, f, 1, 1, 1e-12}));
}

}  // namespace
}  // namespace headflow
