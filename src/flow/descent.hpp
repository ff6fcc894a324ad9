#pragma once
#include <span>

namespace headflow {

/// A step of y' = f with f = -(rates) dL/dy, over which the objective L was to fall.
struct DescentStep {
  std::span<const double> f_before, f_after;  ///< at its ends
  double fall = 0;                            ///< that f_before predicts: size * sum_i -f_i dL/dy_i
  double rise = 0;                            ///< of the objective beyond rounding
  double rounding = 0;                        ///< of the objective
};

/// Whether f cannot be what it was computed as: it is nearly the same at both ends, to a tenth, so
/// that the objective has to fall by nearly `fall`, which is ten times its rounding, and yet it has
/// risen. A step that is too large for a right f changes f by as much as f itself.
bool contradicts_descent(const DescentStep& step);

}  // namespace headflow
