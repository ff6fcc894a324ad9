#pragma once
// The bodies of the activations, apart from attention.hpp so that only kernels pay for compiling
// them.
#include "core/lanes.hpp"
#include "core/pieces.hpp"
#include "headflow/model/attention.hpp"

namespace headflow {

/// H L, known to the compiler when both are.
template <int L, int H>
constexpr Count<L * H> product(Count<L>, Count<H>) {
  return {};
}
constexpr int product(int L, int H) { return L * H; }

/// s_i = exp(s_i), i < n, for s_i <= 0.
template <class Real, class Number>
inline void exp_each(Real* s, Number n) {
  for_pieces<5>(
      n, [&](auto width, int i)
             __attribute__((always_inline)) { exp_nonpositive<width()>(s + i); });
}

/// s_{h,l} = softmax over l, divided by H; with the sink it has one more entry of field -b_h.
template <bool sink, class Real, class Scalar, class Tokens, class Heads>
inline void normalise_each_head(Real* s, Tokens L, Heads H, const Scalar* b) {
  const auto top_of = [&](int h) {
    Real top = s[h * L];
    for (int l = 1; l < L; ++l) top = lane_max(top, s[h * L + l]);
    return top;
  };
  const auto normalise = [&](int h, Real sum) {
    for (int l = 0; l < L; ++l) sum += s[h * L + l];
    const Real scale = reciprocal(Element<Real>(H) * sum);
    for (int l = 0; l < L; ++l) s[h * L + l] *= scale;
  };
  const auto subtract = [&](int h, const Real& top) {
    for (int l = 0; l < L; ++l) s[h * L + l] -= top;
  };
  if constexpr (sink) {
    for (int h = 0; h < H; ++h) {
      const Real top = lane_max(top_of(h) + b[h], Real{});
      subtract(h, top - b[h]);
      exp_each(s + h * L, L);
      normalise(h, exp_nonpositive(-top));
    }
  } else {
    for (int h = 0; h < H; ++h) subtract(h, top_of(h));
    exp_each(s, product(L, H));
    for (int h = 0; h < H; ++h) normalise(h, Real{});
  }
}

/// A_l = sum_h s_{h,l}.
template <class Real, class Tokens, class Heads>
inline void add_heads(const Real* __restrict s, Real* __restrict A, Tokens L, Heads H) {
  for (int l = 0; l < L; ++l) A[l] = s[l];
  for (int h = 1; h < H; ++h)
    for (int l = 0; l < L; ++l) A[l] += s[h * L + l];
}

template <class Real, class Scalar, class Tokens, class Heads>
inline void Softmax::forward(Real* __restrict s, Real* __restrict A, Tokens L, Heads H,
                             const Offsets<Scalar>& offsets) {
  normalise_each_head<false>(s, L, H, offsets.b);
  add_heads(s, A, L, H);
}

template <class Real, class Scalar, class Tokens, class Heads>
inline void Softmax::backward(Real* __restrict s, const Real*, const Real* __restrict a, Tokens L,
                              Heads H, const Offsets<Scalar>&, OffsetGradient<Real>) {
  for (int h = 0; h < H; ++h, s += L) {
    Real mean{};
    for (int l = 0; l < L; ++l) mean += s[l] * a[l];
    mean *= Element<Real>(H);
    for (int l = 0; l < L; ++l) s[l] *= a[l] - mean;
  }
}

template <class Real, class Scalar, class Tokens, class Heads>
inline void SoftmaxOne::forward(Real* __restrict s, Real* __restrict A, Tokens L, Heads H,
                                const Offsets<Scalar>& offsets) {
  normalise_each_head<true>(s, L, H, offsets.b);
  add_heads(s, A, L, H);
  for (int l = 0; l < L; ++l) A[l] *= offsets.v;
}

template <class Real, class Scalar, class Tokens, class Heads>
inline void SoftmaxOne::backward(Real* __restrict s, const Real*, const Real* __restrict a,
                                 Tokens L, Heads H, const Offsets<Scalar>& offsets,
                                 OffsetGradient<Real> gradient) {
  for (int h = 0; h < H; ++h, s += L) {
    Real mean{};
    for (int l = 0; l < L; ++l) mean += s[l] * a[l];
    *gradient.v += mean;
    mean *= Element<Real>(H);
    Real total{};
    for (int l = 0; l < L; ++l) total += s[l] *= offsets.v * (a[l] - mean);
    gradient.b[h] += total;
  }
}

template <class Real, class Scalar, class Tokens, class Heads>
inline void BayesSoftmax::forward(Real* __restrict s, Real* __restrict A, Tokens L, Heads H,
                                  const Offsets<Scalar>& offsets) {
  Real top = s[0] + offsets.b[0];
  for (int h = 0; h < H; ++h)
    for (int l = 0; l < L; ++l) top = lane_max(top, s[h * L + l] + offsets.b[h]);
  for (int h = 0; h < H; ++h) {
    const Real shift = top - offsets.b[h];
    for (int l = 0; l < L; ++l) s[h * L + l] -= shift;
  }
  exp_each(s, product(L, H));
  Real sum{};
  for (int i = 0; i < H * L; ++i) sum += s[i];
  const Real scale = reciprocal(sum);
  for (int i = 0; i < H * L; ++i) s[i] *= scale;
  add_heads(s, A, L, H);
}

template <class Real, class Scalar, class Tokens, class Heads>
inline void BayesSoftmax::backward(Real* __restrict s, const Real* __restrict A,
                                   const Real* __restrict a, Tokens L, Heads H,
                                   const Offsets<Scalar>&, OffsetGradient<Real> gradient) {
  Real mean{};
  for (int l = 0; l < L; ++l) mean += A[l] * a[l];
  for (int h = 0; h < H; ++h, s += L) {
    Real total{};
    for (int l = 0; l < L; ++l) total += s[l] *= a[l] - mean;
    gradient.b[h] += total;
  }
}

}  // namespace headflow
