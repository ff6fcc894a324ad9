#pragma once
#include "headflow/core/matrix.hpp"

namespace headflow {

/// log(exp(a) + exp(b)), where either may be minus infinity.
double log_of_sum(double a, double b);

/// Amplitudes of patterns over heads are independent and Gaussian, so this is the law of
/// differences between heads in one feature at a time. Logarithms, because it grows without end.
struct SplitLaw {
  int patterns = 1;  ///< H - 1
  Vector mean;       ///< H: expected m_hf - mbar_f, in units of exp(log_unit)
  double log_unit = 0;
  double log_variance = 0;  ///< of the amplitude of each pattern

  /// log of the spread over heads, sqrt((1/H) sum_h (m_hf - mbar_f)^2), of the mean.
  double log_spread_of_mean() const;
  /// log of the root mean square of the spread.
  double log_root_mean_square() const;
  /// P(spread >= threshold). With x = H threshold^2 / variance it is that of a noncentral
  /// chi-square of H - 1 degrees of freedom and noncentrality |mean|^2 / variance above x.
  double probability_above(double threshold) const;
  /// P(m_hf > mbar_f) for every head.
  Vector probability_of_upper_side() const;
};

}  // namespace headflow
