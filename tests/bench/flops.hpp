#pragma once
#include "headflow/model/shape.hpp"

namespace headflow {

/// Floating-point operations of one exp_nonpositive(Lanes<double>) a lane: clamp 1; n 3; r 4; r^2,
/// r^4 2; the pairs of coefficients p01 1, p23 .. p89 2 each, pab 4; Estrin's combinations 6 and 4.
/// The integer shift and addition that scale by 2^n are not counted.
inline constexpr double flops_of_exp = 1 + 3 + 4 + 2 + (1 + 4 * 2 + 4) + (6 + 4);

/// Floating-point operations of Kernel<double> with softmax a sample, as the code does them: a
/// fused multiply-add is two, a maximum, a division or a change of sign one. The one documented
/// count, from kernel.cpp and attention_formulas.hpp:
///   fields          2 L H P        chi = K x
///   normalisation   L H (exp + 4)  largest field, subtraction, sum, scaling; one division a head
///   average         L H            A_l
///   loss            5 L            c_l, its square added, a_l
///   backward        5 L H          mean of a_l 2, de/dchi 3
///   gradient        2 L H P        sum over tokens (2 L - 1), added to G (1)
inline double flops_per_sample(const Shape& shape) {
  const double L = shape.tokens;
  const double H = shape.heads;
  const double P = shape.coordinates();
  const double products = 2 * L * H * P;
  const double normalisation = L * H * (flops_of_exp + 4) + H;
  const double average = L * H;
  const double loss = 5 * L;
  const double backward = 5 * L * H;
  return products + normalisation + average + loss + backward + products;
}

}  // namespace headflow
