#pragma once
#include "headflow/model/attention.hpp"
#include "headflow/model/shape.hpp"

namespace headflow {

/// The loss of one sequence at finite D, whose relevant token is the first, and its derivatives
/// (theory.md, section 3):
///   e = c' G c,  c_l = delta_{l,1} - A_l,  G = X X' / D,  a = de/dA = -2 G c,
///   g_{h,l} = de/dchi_{h,l},  de/db_h,  de/dv.
class SequenceGradient {
 public:
  SequenceGradient(const Shape& shape, Activation activation);

  /// Inputs, to be filled before each call: local fields (H x L), which the call turns into g, and
  /// G (L x L).
  Matrix fields;
  Matrix gram;
  /// Results.
  double e = 0;
  Vector b;
  double v = 0;

  /// g = de/dchi (H x L), after the call.
  const Matrix& g() const { return fields; }
  void operator()(const Vector& biases, double scale);

 private:
  Activation activation_;
  Vector A_, c_, a_;
};

}  // namespace headflow
