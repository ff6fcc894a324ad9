#pragma once
#include <bit>
#include <cstddef>

#include "core/lanes.hpp"

namespace headflow {

/// -1 in each lane where a comparison is true, 0 elsewhere.
using LaneMask = LaneTraits<double>::Integers;

#if HEADFLOW_VECTOR_BYTES == 64
inline __mmask8 mask_bits(LaneMask mask) {
  return _mm512_movepi64_mask(reinterpret_cast<__m512i>(mask));
}
inline bool any_lane(LaneMask mask) { return mask_bits(mask) != 0; }
#else
inline bool any_lane(LaneMask mask) {
  bool any = false;
  for (int i = 0; i < lane_count<double>; ++i) any |= mask[i] != 0;
  return any;
}
#endif

/// Writes the numbers where the mask is set one behind the other; how many. There is room for all.
inline std::size_t gather_lanes(LaneMask mask, Lanes<double> from, double* to) {
#if HEADFLOW_VECTOR_BYTES == 64
  const __mmask8 bits = mask_bits(mask);
  _mm512_storeu_pd(to, _mm512_maskz_compress_pd(bits, from));
  return static_cast<std::size_t>(std::popcount(bits));
#else
  std::size_t count = 0;
  for (int i = 0; i < lane_count<double>; ++i) {
    to[count] = from[i];
    count += mask[i] != 0 ? 1 : 0;
  }
  return count;
#endif
}

/// The reverse; reads whole vectors.
inline std::size_t scatter_lanes(LaneMask mask, const double* from, Lanes<double>& to) {
#if HEADFLOW_VECTOR_BYTES == 64
  const __mmask8 bits = mask_bits(mask);
  to = _mm512_mask_expand_pd(to, bits, _mm512_loadu_pd(from));
  return static_cast<std::size_t>(std::popcount(bits));
#else
  std::size_t count = 0;
  for (int i = 0; i < lane_count<double>; ++i)
    if (mask[i] != 0) to[i] = from[count++];
  return count;
#endif
}

}  // namespace headflow
