#pragma once
#include <cmath>
#include <limits>
#include <vector>

namespace headflow {

/// A time that is not reached, a rate that is not known.
inline constexpr double never = std::numeric_limits<double>::quiet_NaN();

/// A number and its standard error.
struct Measured {
  double value = 0;
  double error = 0;
};

/// Standard error of the mean of independent values: their standard deviation / sqrt(n); NaN for
/// one, which tells nothing of it.
inline double standard_error(const std::vector<double>& values) {
  const auto n = static_cast<double>(values.size());
  if (n < 2) return never;
  double mean = 0, sum = 0;
  for (const double x : values) mean += x / n;
  for (const double x : values) sum += (x - mean) * (x - mean);
  return std::sqrt(sum / (n * (n - 1)));
}

}  // namespace headflow
