#include "population/kernel.hpp"

#include <algorithm>

#include "model/attention_formulas.hpp"
#include "population/field_tiles.hpp"

namespace headflow {
namespace {

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

}  // namespace

template <class Real>
Kernel<Real>::Kernel(const Shape& shape, Activation activation, bool noise)
    : samples_(shape),
      shape_(shape),
      activation_(activation),
      noise_(noise),
      K_(static_cast<std::size_t>(shape.heads * shape.coordinates())),
      b_(static_cast<std::size_t>(shape.heads)),
      fields_(static_cast<std::size_t>(shape.heads * shape.tokens)),
      tokens_(static_cast<std::size_t>(2 * shape.tokens)),
      sums_(result_size(shape, noise)) {}

template <class Real>
template <class Formulas, class Tokens, class Heads, class Coordinates>
void Kernel<Real>::run(Tokens tokens, Heads H, Coordinates P, std::int64_t count) {
  using V = Lanes<Real>;
  const int L = tokens;
  V* const chi = fields_.data();
  V* const A = tokens_.data();
  V* const a = A + L;
  V* const G = sums_.data() + 1;
  const Offsets<Real> offsets{b_.data(), v_};
  const OffsetGradient<V> gradient{G + H * P, G + H * P + H};
  V loss{};
  for (std::int64_t left = count; left > 0; left -= lane_count<Real>) {
    const V* const group = samples_.next();
    for_tiles(
        H, tokens, [&](auto heads, auto width, int h, int l) __attribute__((always_inline)) {
          fields_tile<heads(), width(), Real>(&K_[static_cast<std::size_t>(h * P)], group + l * P,
                                              P, chi + h * L + l, L);
        });
    Formulas::forward(chi, A, tokens, H, offsets);
    const V weight = left >= lane_count<Real> ? broadcast(Real(1)) : lane_weights<Real>(left);
    const V twice = weight + weight;
    V e{};
    for (int l = 0; l < L; ++l) {
      const V c = A[l] - Real(l == 0);
      e += c * c;
      a[l] = twice * c;
    }
    loss += weight * e;
    Formulas::backward(chi, A, a, tokens, H, offsets, gradient);
    for_tiles(
        H, tokens, [&](auto heads, auto width, int h, int l) __attribute__((always_inline)) {
          gradient_tile<heads(), width(), Real>(chi + h * L + l, group + l * P, P, G + h * P, L);
        });
    if (noise_) add_second_moments(chi, L, H, G + H * P + H + 1);
  }
  sums_[0] = loss;
}

template <class Real>
template <class Formulas>
void Kernel<Real>::dispatch_tokens(std::int64_t count) {
  // The lengths of the paper unrolled, fully so for two heads and two features; any other shape
  // runs the same code with run-time sizes.
  const auto with_tokens = [&](auto tokens) {
    if (shape_.heads == 2 && shape_.features == 2)
      return run<Formulas>(tokens, Count<2>{}, Count<4>{}, count);
    run<Formulas>(tokens, shape_.heads, shape_.coordinates(), count);
  };
  switch (shape_.tokens) {
    case 4:
      return with_tokens(Count<4>{});
    case 5:
      return with_tokens(Count<5>{});
    case 10:
      return with_tokens(Count<10>{});
    default:
      return run<Formulas>(shape_.tokens, shape_.heads, shape_.coordinates(), count);
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
