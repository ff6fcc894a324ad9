#pragma once
#include "headflow/core/matrix.hpp"

namespace headflow {

/// The sizes of the model: L tokens, H heads, F features. P = F + H coordinates carry everything a
/// field depends on.
struct Shape {
  int tokens = 0;
  int heads = 0;
  int features = 0;
  int coordinates() const { return features + heads; }
  bool operator==(const Shape&) const = default;
};

}  // namespace headflow
