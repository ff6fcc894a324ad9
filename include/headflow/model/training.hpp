#pragma once
#include "headflow/model/attention.hpp"

namespace headflow {

/// What is trained, and how fast (theory.md, section 13). What is not trained stays at its start.
///   dK/dt = -grad_K,  db/dt = -b grad_b,  dv/dt = -v grad_v
/// SGD has the rates times its learning rate. With b = sqrt(b rate) times coordinates of its own, v
/// likewise, this is a gradient flow: in these coordinates parameters are packed.
struct Training {
  bool k = true;
  double b = 0, v = 0;  ///< rates relative to that of k; 0 for what is not trained

  Training() = default;
  /// All that the activation has, at one rate.
  Training(const Activation& activation)  // NOLINT(google-explicit-constructor)
      : b(trained_by(activation).b ? 1 : 0), v(trained_by(activation).v ? 1 : 0) {}

  /// The same parameters at one rate: coordinates are the parameters themselves.
  Training at_one_rate() const {
    Training one = *this;
    if (b > 0) one.b = 1;
    if (v > 0) one.v = 1;
    return one;
  }
};

}  // namespace headflow
