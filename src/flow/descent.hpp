#pragma once
#include "headflow/core/matrix.hpp"

namespace headflow {

/// A step over which an objective L(y) was to fall.
struct DescentStep {
  const Vector& before;  ///< dL/dy as computed at its start
  const Vector& after;   ///< and at its end
  const Vector& moved;   ///< the change of y
  double rise = 0;       ///< of L, beyond rounding
  double rounding = 0;   ///< of L
};

/// By how much L has to fall where its gradient is that at the start.
double predicted_fall(const DescentStep& step);

/// Whether dL/dy cannot be what it was computed as: it is the same at both ends to a tenth, and by
/// it L has to fall, by ten times its rounding and by two tenths of |dL/dy| |moved|, and yet L has
/// risen. Over a step that is too large for a right gradient it changes by as much as itself, or
/// the step does not go down it.
bool contradicts_descent(const DescentStep& step);

}  // namespace headflow
