#include "core/float_normals.hpp"

#include <bit>
#include <cmath>

namespace headflow {
namespace {

constexpr int lanes = FloatNormals::block / 4;  // each counter gives four words, two for each pair

/// log x for x in (0, 1]: exponent apart, polynomial in m = mantissa - 1 on [sqrt(1/2) - 1, sqrt 2
/// - 1].
inline float logarithm(float x) {
  const auto bits = std::bit_cast<std::int32_t>(x);
  const std::int32_t exponent = (bits - 0x3f3504f3) >> 23;
  const float m = std::bit_cast<float>(bits - exponent * (1 << 23)) - 1.0f;
  float p = 7.0376836292e-2f;
  p = p * m - 1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m - 1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m - 1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m - 2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  return m + m * m * (m * p - 0.5f) + static_cast<float>(exponent) * 0.69314718f;
}

/// The two Box-Muller numbers sqrt(-2 log u) (cos, sin)(2 pi w) of two random words.
inline void box_muller(std::uint32_t u, std::uint32_t w, float& c, float& s) {
  const float radius = std::sqrt(-2.0f * logarithm(static_cast<float>(u | 1u) * 0x1p-32f));
  // The two highest bits of w are the quadrant, the rest an angle in [-pi/4, pi/4) inside it.
  const float angle = static_cast<float>(static_cast<std::int32_t>(w << 2)) * 0x1.921fb6p-32f;
  const float square = angle * angle;
  const float sine =
      angle + angle * square *
                  (-1.6666654611e-1f + square * (8.3321608736e-3f - square * 1.9515295891e-4f));
  const float cosine =
      1.0f - 0.5f * square +
      square * square * (4.1666645683e-2f + square * (-1.3887316255e-3f + square * 2.4433157e-5f));
  const std::uint32_t quadrant = w >> 30;
  const bool odd = (quadrant & 1u) != 0;
  const std::uint32_t c_sign = ((quadrant + 1) & 2u) << 30;
  const std::uint32_t s_sign = (quadrant & 2u) << 30;
  c = radius * std::bit_cast<float>(std::bit_cast<std::uint32_t>(odd ? sine : cosine) ^ c_sign);
  s = radius * std::bit_cast<float>(std::bit_cast<std::uint32_t>(odd ? cosine : sine) ^ s_sign);
}

}  // namespace

FloatNormals::FloatNormals(const RandomStream& stream) {
  const auto words = stream.bits(0, 0);
  key_ = {{words[0], words[1], words[2], words[3]}};
}

void FloatNormals::fill(std::uint32_t item, std::uint32_t row, std::uint32_t first_block,
                        std::uint32_t blocks, float* out) const {
  // Loops over lanes without branches: the compiler turns each into vector instructions.
  alignas(64) std::uint32_t words[4][lanes];
  for (std::uint32_t b = first_block; b < first_block + blocks; ++b, out += block) {
    for (std::uint32_t i = 0; i < lanes; ++i) {
      const auto word = Threefry()({{b * lanes + i, row, item, 0}}, key_);
      for (std::size_t k = 0; k < 4; ++k) words[k][i] = word[k];
    }
    for (int pair = 0; pair < 2; ++pair)
      for (int i = 0; i < lanes; ++i)
        box_muller(words[2 * pair][i], words[2 * pair + 1][i], out[2 * pair * lanes + i],
                   out[(2 * pair + 1) * lanes + i]);
  }
}

}  // namespace headflow
