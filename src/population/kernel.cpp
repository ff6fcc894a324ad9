#include "headflow/population/kernel.hpp"

#include <algorithm>
#include <type_traits>

#include "headflow/model/attention_formulas.hpp"

namespace headflow {
namespace {

// Register tiles of two heads by up to six tokens: enough independent sums to hide the latency of
// the multiply-add, few enough for the 32 vector registers, and less than one load for each
// multiply-add.
constexpr int tile_heads = 2;
constexpr int tile_tokens = 6;

/// chi_{h,l} = sum_p K_{hp} x_{lp} for TH heads and TL tokens.
template <int TH, int TL, class Real, class Coordinates>
[[gnu::always_inline]] inline void fields_tile(const Real* __restrict K,
                                               const Lanes<Real>* __restrict x, Coordinates P,
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
template <int TH, int TL, class Real, class Coordinates>
[[gnu::always_inline]] inline void gradient_tile(const Lanes<Real>* __restrict g,
                                                 const Lanes<Real>* __restrict x, Coordinates P,
                                                 Lanes<Real>* __restrict G, int L) {
  Lanes<Real> factor[TH][TL];
  for (int h = 0; h < TH; ++h)
    for (int l = 0; l < TL; ++l) factor[h][l] = g[h * L + l];
  for (int p = 0; p < P; ++p) {
    Lanes<Real> token[TL];
    for (int l = 0; l < TL; ++l) token[l] = x[l * P + p];
    for (int h = 0; h < TH; ++h) {
      Lanes<Real> sum = factor[h][0] * token[0];
      for (int l = 1; l < TL; ++l) sum += factor[h][l] * token[l];
      G[h * P + p] += sum;
    }
  }
}

/// N_{hh'} += sum_l g_{hl} g_{h'l}, h' <= h.
template <class V>
void add_second_moments(const V* g, int L, int H, V* N) {
  for (int h = 0; h < H; ++h)
    for (int other = 0; other <= h; ++other, ++N) {
      V sum = g[h * L] * g[other * L];
      for (int l = 1; l < L; ++l) sum += g[h * L + l] * g[other * L + l];
      *N += sum;
    }
}

template <int N>
using Count = std::integral_constant<int, N>;

/// Calls tile(width, l) with a compile-time width so that the tiles cover L tokens; no branch is
/// left for a constant L.
template <class Tokens, class Tile>
[[gnu::always_inline]] inline void for_tokens(Tokens tokens, Tile&& tile) {
  const int L = tokens;
  const int tiles = (L + tile_tokens - 1) / tile_tokens;
#pragma GCC unroll 2
  for (int t = 0; t < tiles; ++t) {
    const int begin = t * L / tiles;
    switch ((t + 1) * L / tiles - begin) {
      case 1:
        tile(Count<1>{}, begin);
        break;
      case 2:
        tile(Count<2>{}, begin);
        break;
      case 3:
        tile(Count<3>{}, begin);
        break;
      case 4:
        tile(Count<4>{}, begin);
        break;
      case 5:
        tile(Count<5>{}, begin);
        break;
      default:
        tile(Count<6>{}, begin);
        break;
    }
  }
}

/// Calls tile(heads, width, h, l) so that the tiles cover H x L.
template <class Heads, class Tokens, class Tile>
[[gnu::always_inline]] inline void for_tiles(Heads H, Tokens tokens, Tile&& tile) {
  int h = 0;
  for (; h + tile_heads <= H; h += tile_heads)
    for_tokens(tokens, [&](auto width, int l)
                           [[gnu::always_inline]] { tile(Count<tile_heads>{}, width, h, l); });
  if (h < H)
    for_tokens(tokens,
               [&](auto width, int l) [[gnu::always_inline]] { tile(Count<1>{}, width, h, l); });
}

/// 1 for each lane whose sample exists, 0 for those past `left`.
template <class Real>
Lanes<Real> lane_weights(std::int64_t left) {
  Lanes<Real> weight{};
  for (int i = 0; i < lane_count<Real>; ++i) weight[i] = i < left ? Real(1) : Real(0);
  return weight;
}

}  // namespace

template <class Real>
Kernel<Real>::Kernel(const Shape& shape, Activation activation, bool noise)
    : shape_(shape),
      activation_(activation),
      noise_(noise),
      K_(static_cast<std::size_t>(shape.heads * shape.coordinates())),
      b_(static_cast<std::size_t>(shape.heads)),
      fields_(static_cast<std::size_t>(shape.heads * shape.tokens)),
      tokens_(static_cast<std::size_t>(2 * shape.tokens)),
      sums_(result_size(shape, noise)) {}

template <class Real>
template <class Formulas, class Tokens, class Heads, class Coordinates>
void Kernel<Real>::run(Tokens tokens, Heads H, Coordinates P, const Real* x, std::int64_t count) {
  using V = Lanes<Real>;
  const int L = tokens;
  V* const chi = fields_.data();
  V* const A = tokens_.data();
  V* const a = A + L;
  V* const G = sums_.data() + 1;
  const Offsets<Real> offsets{b_.data(), v_};
  const OffsetGradient<V> gradient{G + H * P, G + H * P + H};
  const V* group = reinterpret_cast<const V*>(x);
  V loss{};
  for (std::int64_t left = count; left > 0; left -= lane_count<Real>, group += L * P) {
    for_tiles(H, tokens, [&](auto heads, auto width, int h, int l) [[gnu::always_inline]] {
      fields_tile<heads(), width(), Real>(&K_[static_cast<std::size_t>(h * P)], group + l * P, P,
                                          chi + h * L + l, L);
    });
    Formulas::forward(chi, A, tokens, H, offsets);
    const V weight = left >= lane_count<Real> ? broadcast(Real(1)) : lane_weights<Real>(left);
    V e{};
    for (int l = 0; l < L; ++l) {
      const V c = l == 0 ? Real(1) - A[l] : -A[l];
      e += c * c;
      a[l] = Real(-2) * (weight * c);
    }
    loss += weight * e;
    Formulas::backward(chi, A, a, tokens, H, offsets, gradient);
    for_tiles(H, tokens, [&](auto heads, auto width, int h, int l) [[gnu::always_inline]] {
      gradient_tile<heads(), width(), Real>(chi + h * L + l, group + l * P, P, G + h * P, L);
    });
    if (noise_) add_second_moments(chi, L, H, G + H * P + H + 1);
  }
  sums_[0] = loss;
}

template <class Real>
template <class Formulas>
void Kernel<Real>::dispatch_tokens(const Real* x, std::int64_t count) {
  // The lengths of the paper unrolled, fully so for two heads and two features; any other shape
  // runs the same code with run-time sizes.
  const auto with_tokens = [&](auto tokens) {
    if (shape_.heads == 2 && shape_.features == 2)
      return run<Formulas>(tokens, Count<2>{}, Count<4>{}, x, count);
    run<Formulas>(tokens, shape_.heads, shape_.coordinates(), x, count);
  };
  switch (shape_.tokens) {
    case 4:
      return with_tokens(Count<4>{});
    case 5:
      return with_tokens(Count<5>{});
    case 10:
      return with_tokens(Count<10>{});
    default:
      return run<Formulas>(shape_.tokens, shape_.heads, shape_.coordinates(), x, count);
  }
}

template <class Real>
void Kernel<Real>::operator()(const Parameters& parameters, const Real* x, std::int64_t count,
                              std::span<double> sums) {
  std::transform(parameters.K.data(), parameters.K.data() + parameters.K.size(), K_.begin(),
                 [](double k) { return static_cast<Real>(k); });
  std::transform(parameters.b.begin(), parameters.b.end(), b_.begin(),
                 [](double b) { return static_cast<Real>(b); });
  v_ = static_cast<Real>(parameters.v);
  std::fill(sums_.begin(), sums_.end(), Lanes<Real>{});
  std::visit([&]<class Formulas>(Formulas) { dispatch_tokens<Formulas>(x, count); }, activation_);
  for (std::size_t i = 0; i < sums.size(); ++i) {
    double sum = 0;
    for (int lane = 0; lane < lane_count<Real>; ++lane) sum += static_cast<double>(sums_[i][lane]);
    sums[i] = sum;
  }
}

template class Kernel<double>;
template class Kernel<float>;

}  // namespace headflow
