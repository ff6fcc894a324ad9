#include "flow/descent.hpp"

#include <cstddef>

namespace headflow {

bool contradicts_descent(const DescentStep& step) {
  if (step.f_before.size() != step.f_after.size()) return false;
  double change = 0, size = 0;  // squared
  for (std::size_t i = 0; i < step.f_before.size(); ++i) {
    const double difference = step.f_after[i] - step.f_before[i];
    change += difference * difference;
    size += step.f_before[i] * step.f_before[i];
  }
  return step.rise > 0 && step.fall > 10 * step.rounding && change <= 0.01 * size;
}

}  // namespace headflow
