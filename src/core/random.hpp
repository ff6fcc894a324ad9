#pragma once
#include <Random123/philox.h>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace headflow {

/// What a random number is drawn for: numbers of different purposes never meet.
enum class Purpose : std::uint32_t {
  samples = 1,
  scrambling = 2,
  start = 3,
  frame = 4,
  tokens = 5,
  theta = 6,
  overlaps = 7,
  merges = 8,
  overlap_retries = 9,
  merge_retries = 10,
  maps = 11
};

/// Addressed random numbers: a pure function of (seed, purpose, two sub-addresses, index, draw), so
/// neither ranks nor restarts change them and no generator state exists. Philox4x32-10 (Salmon et
/// al., SC11) from Random123, keyed with a 64-bit key which is itself the Philox image of the
/// address.
class RandomStream {
 public:
  RandomStream(std::uint64_t seed, Purpose purpose, std::uint32_t first = 0,
               std::uint64_t second = 0);

  /// 128 uniform random bits of item `index`, draw `draw`.
  std::array<std::uint32_t, 4> bits(std::uint64_t index, std::uint32_t draw) const {
    const auto out = Philox()(
        {{static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(index >> 32), draw, 0}},
        key_);
    return {out[0], out[1], out[2], out[3]};
  }

  static constexpr std::size_t items_at_once = 64;
  using Items = std::array<double, items_at_once>;
  /// Numbers uniform on (0, 1), 52 bits, for the items index, index + 1, ..: from the first two
  /// words of bits(), and from the last two. `index` is a multiple of items_at_once.
  void uniforms(std::uint64_t index, std::uint32_t draw, Items& first, Items& second) const;

 private:
  using Philox = r123::Philox4x32_R<10>;
  Philox::key_type key_;
};

/// A sequence of draws for one item of a stream; for samplers that need a varying number of them.
class RandomSequence {
 public:
  RandomSequence(const RandomStream& stream, std::uint64_t index)
      : stream_(stream), index_(index) {}

  /// Uniform on (0, 1), 52 bits, never 0 or 1.
  double uniform();
  /// N(0, 1) by inversion.
  double normal();
  /// Gamma(shape, 1), density x^(shape-1) e^-x / Gamma(shape), shape >= 1/2 of any size. Marsaglia
  /// and Tsang, ACM TOMS 26 (2000) 363, with the acceptance test written without cancellation, so
  /// that it stays exact at 1e12.
  double gamma(double shape);
  /// Chi-square with `degrees` > 0 degrees of freedom: 2 Gamma(degrees/2).
  double chi_square(double degrees) { return 2 * gamma(degrees / 2); }

 private:
  RandomStream stream_;
  std::uint64_t index_;
  std::uint32_t draw_ = 0;
};

/// One attempt at Gamma(shape, 1), shape >= 1, from x ~ N(0, 1) and u uniform on (0, 1): nothing if
/// it is refused.
std::optional<double> gamma_attempt(double shape, double x, double u);

/// (k + 1/2) 2^-52 for the top 52 bits k of a word: uniform on (0, 1), symmetric about 1/2.
inline double to_unit_interval(std::uint64_t bits) {
  // k as the fraction of a number in [1, 2), which vectorises everywhere; the differences are
  // exact.
  return (std::bit_cast<double>(bits >> 12 | 0x3ff0000000000000) - 1) + 0x1p-53;
}

}  // namespace headflow
