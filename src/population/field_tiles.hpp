#pragma once
// The two small matrix products of every kernel, chi = K x and G += g x', for lanes of samples.
#include <cstdint>

#include "core/lanes.hpp"
#include "core/pieces.hpp"

namespace headflow {

// Register tiles of two heads by up to six tokens: enough independent sums to hide the latency of
// the multiply-add, few enough for the 32 vector registers, and less than one load for each
// multiply-add.
inline constexpr int tile_heads = 2;
inline constexpr int tile_tokens = 6;

/// chi_{h,l} = sum_p K_{hp} x_{lp} for TH heads and TL tokens.
template <int TH, int TL, class Real, class Tokens, class Coordinates>
[[gnu::always_inline]] inline void fields_tile(const Real* __restrict K, Tokens x, Coordinates P,
                                               Lanes<Real>* __restrict chi, int L) {
  Lanes<Real> sum[TH][TL] = {};
  for (int p = 0; p < P; ++p) {
    Lanes<Real> token[TL];
    for (int l = 0; l < TL; ++l) token[l] = x[l * P + p];
    for (int h = 0; h < TH; ++h) {
      const Lanes<Real> k = broadcast(K[h * P + p]);
      for (int l = 0; l < TL; ++l) sum[h][l] += k * token[l];
    }
  }
  for (int h = 0; h < TH; ++h)
    for (int l = 0; l < TL; ++l) chi[h * L + l] = sum[h][l];
}

/// G_{hp} += sum_l g_{hl} x_{lp} for TH heads and TL tokens.
template <int TH, int TL, class Real, class Tokens, class Coordinates>
[[gnu::always_inline]] inline void gradient_tile(const Lanes<Real>* __restrict g, Tokens x,
                                                 Coordinates P, Lanes<Real>* __restrict G, int L) {
  Lanes<Real> factor[TH][TL];
  for (int h = 0; h < TH; ++h)
    for (int l = 0; l < TL; ++l) factor[h][l] = g[h * L + l];
  for (int p = 0; p < P; ++p) {
    Lanes<Real> token[TL];
    for (int l = 0; l < TL; ++l) token[l] = x[l * P + p];
    for (int h = 0; h < TH; ++h) {
      Lanes<Real> sum = G[h * P + p];
      for (int l = 0; l < TL; ++l) sum += factor[h][l] * token[l];
      G[h * P + p] = sum;
    }
  }
}

/// Calls tile(heads, width, h, l) so that the tiles cover H x L.
template <class Heads, class Tokens, class Tile>
[[gnu::always_inline]] inline void for_tiles(Heads H, Tokens tokens, Tile&& tile) {
  const auto row_of_tiles = [&](auto heads, int h) __attribute__((always_inline)) {
    for_pieces<tile_tokens>(
        tokens, [&](auto width, int l)
                    __attribute__((always_inline)) { tile(heads, width, h, l); });
  };
  int h = 0;
  for (; h + tile_heads <= H; h += tile_heads) row_of_tiles(Count<tile_heads>{}, h);
  if (h < H) row_of_tiles(Count<1>{}, h);
}

/// 1 for each lane whose sample exists, 0 for those past `left`.
template <class Real>
Lanes<Real> lane_weights(std::int64_t left) {
  Lanes<Real> weight{};
  for (int i = 0; i < lane_count<Real>; ++i) weight[i] = i < left ? Real(1) : Real(0);
  return weight;
}

}  // namespace headflow
