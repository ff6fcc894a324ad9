#pragma once
#include <span>

namespace headflow {

/// The x with P(N(0,1) <= x) = u, for u in (0, 1). Wichura's AS 241 (PPND16, Appl. Statist. 37
/// (1988) 477), relative error under 1e-15.
double normal_quantile(double u);

/// normal_quantile of every element in place; the same bits as the single call. Any length;
/// vectorised.
void normal_quantile(std::span<double> u);

}  // namespace headflow
