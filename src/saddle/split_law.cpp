#include "headflow/saddle/split_law.hpp"

#include <algorithm>
#include <boost/math/distributions/non_central_chi_squared.hpp>
#include <boost/math/special_functions/gamma.hpp>
#include <cmath>

#include "headflow/core/statistics.hpp"

namespace headflow {
namespace {

/// P(X > x) of the normal law.
double normal_above(double x) { return 0.5 * std::erfc(x / std::sqrt(2.0)); }

/// P(X > x) of a chi-square of `degrees` degrees of freedom and that noncentrality.
double chi_square_above(double degrees, double noncentrality, double x) {
  constexpr double far = 1e8;     // where a central one does not come
  constexpr double normal = 1e4;  // noncentrality from which its root is normal to 1e-4
  if (noncentrality < 1e-12) return x < far ? boost::math::gamma_q(0.5 * degrees, 0.5 * x) : 0;
  if (noncentrality > normal) {
    const double root = std::sqrt(noncentrality);
    return normal_above(std::sqrt(x) - root - 0.5 * (degrees - 1) / root);
  }
  if (x > far) return 0;
  return boost::math::cdf(
      boost::math::complement(boost::math::non_central_chi_squared(degrees, noncentrality), x));
}

}  // namespace

double log_of_sum(double a, double b) {
  const double top = std::max(a, b);
  return std::isinf(top) ? top : top + std::log(std::exp(a - top) + std::exp(b - top));
}

double SplitLaw::log_spread_of_mean() const {
  return log_unit + std::log(mean.norm() / std::sqrt(static_cast<double>(patterns + 1)));
}

double SplitLaw::log_root_mean_square() const {
  const double of_patterns = log_variance + std::log(patterns / (patterns + 1.0));
  return 0.5 * log_of_sum(2 * log_spread_of_mean(), of_patterns);
}

double SplitLaw::probability_above(double threshold) const {
  const double heads = patterns + 1, log_threshold = std::log(threshold);
  const double of_mean = log_spread_of_mean();
  if (std::isnan(of_mean + log_variance)) return never;
  constexpr double certain = 30;  // log of standard deviations that cannot be told from none
  if (std::isinf(log_variance) || of_mean - 0.5 * log_variance > certain)
    return of_mean >= log_threshold ? 1 : 0;
  return chi_square_above(patterns, heads * std::exp(2 * of_mean - log_variance),
                          heads * std::exp(2 * log_threshold - log_variance));
}

Vector SplitLaw::probability_of_upper_side() const {
  const double heads = patterns + 1;
  const double deviation = std::exp(0.5 * log_variance - log_unit) * std::sqrt(patterns / heads);
  return mean.unaryExpr([deviation](double expected) {
    if (std::isnan(deviation)) return never;
    return expected == 0 ? 0.5 : normal_above(-expected / deviation);
  });
}

}  // namespace headflow
