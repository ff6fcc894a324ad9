#include "flow/descent.hpp"

namespace headflow {

double predicted_fall(const DescentStep& step) { return -step.before.dot(step.moved); }

bool contradicts_descent(const DescentStep& step) {
  if (step.before.size() != step.after.size()) return false;
  const double size = step.before.norm(), fall = predicted_fall(step);
  return step.rise > 0 && (step.after - step.before).norm() <= 0.1 * size &&
         fall > 10 * step.rounding && fall > 0.2 * size * step.moved.norm();
}

}  // namespace headflow
