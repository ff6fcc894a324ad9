#pragma once
#include <vector>

namespace headflow {

/// How the learning rate changes with t: lr(t) = lr factor(t). A warm-up, linear from
/// `warm_up_from` to 1 over a time `warm_up`, then a law of the time s since its end:
///   constant  1
///   steps     factors[i] from times[i] on, 1 before times[0]
///   power     (1 + s / scale)^(-exponent)
///   cosine    floor + (1 - floor) (1 + cos(pi s / length)) / 2 until s = length, then floor
/// With dt = lr factor(t) for each step, elapsed(t) = int_0^t dt' / factor(t') is lr times the
/// number of steps to t. It and its inverse are closed forms, so that a step knows its t without
/// those before it (theory.md, section 13).
struct Schedule {
  enum class Law { constant, steps, power, cosine };

  Law law = Law::constant;
  double warm_up = 0, warm_up_from = 0.1;
  std::vector<double> times{}, factors{};
  double scale = 1, exponent = 1;
  double length = 1, floor = 0.01;

  double factor(double t) const;
  /// The largest factor.
  double most() const;
  double elapsed(double t) const;
  double time(double elapsed) const;
};

}  // namespace headflow
