#include "population/kernel.hpp"

#include <algorithm>

#include "headflow/core/local_range.hpp"
#include "model/attention_formulas.hpp"
#include "population/field_tiles.hpp"

namespace headflow {
namespace {

/// N_{hh'} += sum_l g_{hl} g_{h'l}, h' <= h.
template <class V>
[[gnu::noinline]] void add_second_moments(const V* g, int L, int H, V* N) {
  for (int h = 0; h < H; ++h)
    for (int other = 0; other <= h; ++other, ++N) {
      V sum = g[h * L] * g[other * L];
      for (int l = 1; l < L; ++l) sum += g[h * L + l] * g[other * L + l];
      *N += sum;
    }
}

/// a_l = de/dA_l; returns e. `weight` tells which samples exist.
template <class V, class Tokens>
[[gnu::always_inline]] inline V loss_of(const V* A, V* a, Tokens L, const V& weight) {
  const V twice = weight + weight;
  V e{};
  for (int l = 0; l < L; ++l) {
    const V c = A[l] - Element<V>(l == 0);
    e += c * c;
    a[l] = twice * c;
  }
  return weight * e;
}

/// A number that the compiler knows, else 1: room for what is kept elsewhere then.
template <class Size>
constexpr int known_or_one = 1;
template <int size>
constexpr int known_or_one<Count<size>> = size;

constexpr int most_together = 4;

/// Groups of samples to compute together, for sequences whose length the compiler does not know.
/// Several, so that short chains of operations do not wait for themselves, while the first-level
/// cache holds them.
template <class Real>
int groups_together(const Shape& shape) {
  constexpr int cache = 24 * 1024;
  const int numbers = shape.tokens * (shape.coordinates() + shape.heads);
  return std::clamp(cache / (numbers * vector_bytes), 1, most_together);
}

}  // namespace

template <class Real>
Kernel<Real>::Kernel(const Shape& shape, Activation activation, bool noise)
    : samples_(shape, most_together),
      shape_(shape),
      activation_(activation),
      noise_(noise),
      K_(static_cast<std::size_t>(shape.heads * shape.coordinates())),
      b_(static_cast<std::size_t>(shape.heads)),
      fields_(static_cast<std::size_t>(most_together * shape.heads * shape.tokens)),
      tokens_(static_cast<std::size_t>(2 * most_together * shape.tokens)),
      sums_(result_size(shape, noise)) {}

template <class Real>
template <class Formulas, class Tokens, class Heads, class Coordinates, class Groups>
void Kernel<Real>::run(Tokens tokens, Heads H, Coordinates P, Groups B, std::int64_t count) {
  using V = Lanes<Real>;
  const auto T = product(tokens, B);
  // As far as the compiler knows the sizes, it may keep these in registers.
  constexpr int fields = known_or_one<decltype(product(T, H))>;
  constexpr int length = known_or_one<decltype(product(Count<2>{}, T))>;
  constexpr int numbers = known_or_one<decltype(product(H, P))>;
  V own_fields[fields], own_tokens[length], own_gradient[numbers] = {};
  V* const chi = fields > 1 ? own_fields : fields_.data();
  V* const A = length > 1 ? own_tokens : tokens_.data();
  V* const G = numbers > 1 ? own_gradient : sums_.data() + 1;
  V* const a = A + T;
  V* const offset_sums = sums_.data() + 1 + H * P;
  const Offsets<Real> offsets{b_.data(), v_};
  const OffsetGradient<V> gradient{offset_sums, offset_sums + H};
  V loss{};
  // A tile of heads reads each number twice, so that it is not worth widening before for one tile.
  // (Two heads with any features where the length is unrolled are left out, for less code.)
  constexpr int most_narrow = std::is_same_v<Heads, int> && !std::is_same_v<Tokens, int> ? 1 : 2;
  for (std::int64_t left = count; left > 0;) {
    const int groups =
        static_cast<int>(std::min<std::int64_t>(B, divided_up(left, lane_count<Real>)));
    const bool is_narrow = H <= most_narrow && groups == B && samples_.are_narrow();
    const NarrowLanes<Real> narrow = is_narrow ? samples_.next_narrow(B) : NarrowLanes<Real>{};
    const V* const wide = is_narrow ? nullptr : samples_.next(groups, B);
    const auto with_stored = [&](auto heads, auto&& tile) __attribute__((always_inline)) {
      if constexpr (heads() <= most_narrow && !std::is_same_v<Real, float>)
        if (is_narrow) return tile(narrow);
      tile(wide);
    };
    for_tiles(
        H, T, [&](auto heads, auto width, int h, int l) __attribute__((always_inline)) {
          with_stored(
              heads, [&](auto x) __attribute__((always_inline)) {
                fields_tile<heads(), width(), Real>(&K_[static_cast<std::size_t>(h * P)], x + l * P,
                                                    P, chi + h * T + l, T);
              });
        });
    Formulas::forward(chi, A, tokens, H, offsets, B);
    for (int b = 0; b < B; ++b, left -= lane_count<Real>) {
      const V weight = left >= lane_count<Real> ? broadcast(Real(1)) : lane_weights<Real>(left);
      loss += loss_of(A + b * tokens, a + b * tokens, tokens, weight);
    }
    Formulas::backward(chi, A, a, tokens, H, offsets, gradient, B);
    for_tiles(
        H, T, [&](auto heads, auto width, int h, int l) __attribute__((always_inline)) {
          with_stored(
              heads, [&](auto x) __attribute__((always_inline)) {
                gradient_tile<heads(), width(), Real>(chi + h * T + l, x + l * P, P, G + h * P, T);
              });
        });
    if (noise_) add_second_moments(chi, T, H, offset_sums + H + 1);
  }
  sums_[0] = loss;
  if constexpr (numbers > 1) std::copy(own_gradient, own_gradient + numbers, sums_.data() + 1);
}

template <class Real>
template <class Formulas>
void Kernel<Real>::dispatch_tokens(std::int64_t count) {
  // The lengths of the paper and shorter ones unrolled, those of the paper fully so for two heads
  // and two features; any other shape runs the same code with run-time sizes. The shorter, the more
  // groups together.
  const int H = shape_.heads, P = shape_.coordinates();
  const auto with_tokens = [&](auto tokens) {
    const Count<(tokens <= 3 ? 4 : tokens <= 5 ? 2 : 1)> together;
    if constexpr (tokens > 3)
      if (H == 2 && shape_.features == 2)
        return run<Formulas>(tokens, Count<2>{}, Count<4>{}, together, count);
    run<Formulas>(tokens, H, P, together, count);
  };
  switch (shape_.tokens) {
    case 2:
      return with_tokens(Count<2>{});
    case 3:
      return with_tokens(Count<3>{});
    case 4:
      return with_tokens(Count<4>{});
    case 5:
      return with_tokens(Count<5>{});
    case 10:
      return with_tokens(Count<10>{});
    default:
      return run<Formulas>(shape_.tokens, H, P, groups_together<Real>(shape_), count);
  }
}

template <class Real>
void Kernel<Real>::add(const Parameters& parameters, std::int64_t count, std::span<double> sums) {
  std::transform(parameters.K.data(), parameters.K.data() + parameters.K.size(), K_.begin(),
                 [](double k) { return static_cast<Real>(k); });
  std::transform(parameters.b.begin(), parameters.b.end(), b_.begin(),
                 [](double b) { return static_cast<Real>(b); });
  v_ = static_cast<Real>(parameters.v);
  std::fill(sums_.begin(), sums_.end(), Lanes<Real>{});
  std::visit([&]<class Formulas>(Formulas) { dispatch_tokens<Formulas>(count); }, activation_);
  sum_lanes<Real>(sums_, sums);
}

template class Kernel<double>;
template class Kernel<float>;

}  // namespace headflow
