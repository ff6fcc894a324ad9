#pragma once
#include <Random123/threefry.h>

#include <cstdint>

#include "core/random.hpp"

namespace headflow {

/// Addressed N(0, 1) numbers in single precision, as fast as they can be had: the tokens of direct
/// SGD. A number is a function of (stream, item, row, position) alone.
///
/// Threefry4x32 with 13 rounds (Salmon et al., SC11; crush-resistant from 12) from Random123 and
/// the Box-Muller transform with polynomials for log, sin and cos (Cephes), absolute error of a
/// number under 1e-6. The radius uses 31 random bits: the law is cut at |x| = 6.6 (probability
/// 4e-11). Cost with AVX-512: 0.4 ns a number.
class FloatNormals {
 public:
  /// Numbers come in blocks of so many.
  static constexpr int block = 64;

  explicit FloatNormals(const RandomStream& stream);

  /// Writes the numbers [first_block, first_block + blocks) * block of `row` of `item` to `out`.
  void fill(std::uint32_t item, std::uint32_t row, std::uint32_t first_block, std::uint32_t blocks,
            float* out) const;

 private:
  using Threefry = r123::Threefry4x32_R<13>;
  Threefry::key_type key_;
};

}  // namespace headflow
