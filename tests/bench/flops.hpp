#pragma once
#include "headflow/model/shape.hpp"

namespace headflow {

/// Floating-point operations of one exp_nonpositive(Lanes<double>) a lane, with AVX-512: clamp 1;
/// shifted 2, k 1, r 4, r^2 1; the polynomial 10; times the number of the table 2, the power of two
/// 1. The look-up is not counted.
inline constexpr double flops_of_exp = 1 + 2 + 1 + 4 + 1 + 10 + 2 + 1;

/// Floating-point operations of Kernel<double> with softmax a sample, as the code does them: a
/// fused multiply-add is two, a maximum, a division or a change of sign one. The one documented
/// count, from kernel.cpp and attention_formulas.hpp:
///   fields          2 L H P        chi = K x
///   normalisation   L H (exp + 4)  largest field, subtraction, sum, scaling; an inverse (10) a
///   head average         L H            A_l loss            4 L            c_l, its square added,
///   a_l backward        4 L H          mean of a_l 2, de/dchi 2; mean times H gradient        2 L
///   H P        added to G
inline double flops_per_sample(const Shape& shape) {
  const double L = shape.tokens;
  const double H = shape.heads;
  const double P = shape.coordinates();
  const double products = 2 * L * H * P;
  const double normalisation = L * H * (flops_of_exp + 4) + 10 * H;
  const double average = L * H;
  const double loss = 4 * L;
  const double backward = 4 * L * H + H;
  return products + normalisation + average + loss + backward + products;
}

}  // namespace headflow
