#pragma once
#include <limits>

namespace headflow {

/// The place in [a, b], 0 <= a, at which `above` turns true, to 1e-12 of the interval; false at a,
/// true at b.
template <class Above>
double bisect(double a, double b, Above&& above) {
  const double width = 1e-12 * (b - a) + 4 * std::numeric_limits<double>::epsilon() * b;
  while (b - a > width) {
    const double middle = 0.5 * (a + b);
    (above(middle) ? b : a) = middle;
  }
  return b;
}

}  // namespace headflow
