#pragma once
#include <cstdint>

#include "core/lanes.hpp"

namespace headflow {

/// Floating-point operations of `multiply_adds<Real>(rounds)`.
template <class Real>
constexpr double multiply_add_flops(std::int64_t rounds) {
  return 2.0 * 12 * lane_count<Real> * static_cast<double>(rounds);
}

/// The most that one core can do: 12 independent chains of fused multiply-adds that stay in
/// registers, more than latency times throughput (4 x 2 on the processors of today), fewer than the
/// 16 registers of AVX2. The chains are written out, because compilers may keep an array in memory.
template <class Real>
Lanes<Real> multiply_adds(std::int64_t rounds, Real factor, Real term) {
  const Lanes<Real> f = broadcast(factor);
  const Lanes<Real> t = broadcast(term);
  Lanes<Real> a = t, b = t + t, c = b + t, d = c + t, e = d + t, g = e + t;
  Lanes<Real> h = g + t, i = h + t, j = i + t, k = j + t, l = k + t, m = l + t;
  for (std::int64_t round = 0; round < rounds; ++round) {
    a = a * f + t, b = b * f + t, c = c * f + t, d = d * f + t, e = e * f + t, g = g * f + t;
    h = h * f + t, i = i * f + t, j = j * f + t, k = k * f + t, l = l * f + t, m = m * f + t;
  }
  return ((a + b) + (c + d)) + ((e + g) + (h + i)) + ((j + k) + (l + m));
}

}  // namespace headflow
