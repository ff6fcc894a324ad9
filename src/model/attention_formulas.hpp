#pragma once
// The bodies of the activations, apart from attention.hpp so that only kernels pay for compiling
// them.
#include "core/lanes.hpp"
#include "headflow/model/attention.hpp"

namespace headflow {

template <bool sink, class Real, class Scalar, class Tokens, class Heads>
inline void normalise_each_head(Real* s, Tokens L, Heads H, const Scalar* b) {
  for (int h = 0; h < H; ++h, s += L) {
    Real top = s[0];
    for (int l = 1; l < L; ++l) top = lane_max(top, s[l]);
    Real sum{};
    if constexpr (sink) {
      top = lane_max(top + b[h], Real{});
      sum = exp_nonpositive(-top);
      top -= b[h];
    }
    for (int l = 0; l < L; ++l) sum += s[l] = exp_nonpositive(s[l] - top);
    const Real scale = Element<Real>(1) / sum;
    for (int l = 0; l < L; ++l) s[l] *= scale;
  }
}

/// A_l = scale * sum_h s_{h,l}.
template <class Real, class Scalar, class Tokens, class Heads>
inline void average_heads(const Real* __restrict s, Real* __restrict A, Tokens L, Heads H,
                          Scalar scale) {
  for (int l = 0; l < L; ++l) A[l] = s[l];
  for (int h = 1; h < H; ++h)
    for (int l = 0; l < L; ++l) A[l] += s[h * L + l];
  for (int l = 0; l < L; ++l) A[l] *= scale;
}

template <class Real, class Scalar, class Tokens, class Heads>
inline void Softmax::forward(Real* __restrict s, Real* __restrict A, Tokens L, Heads H,
                             const Offsets<Scalar>& offsets) {
  normalise_each_head<false>(s, L, H, offsets.b);
  average_heads(s, A, L, H, Element<Real>(1) / Element<Real>(H));
}

template <class Real, class Scalar, class Tokens, class Heads>
inline void Softmax::backward(Real* __restrict s, const Real*, const Real* __restrict a, Tokens L,
                              Heads H, const Offsets<Scalar>&, OffsetGradient<Real>) {
  const Element<Real> scale = Element<Real>(1) / Element<Real>(H);
  for (int h = 0; h < H; ++h, s += L) {
    Real mean{};
    for (int l = 0; l < L; ++l) mean += s[l] * a[l];
    for (int l = 0; l < L; ++l) s[l] *= scale * (a[l] - mean);
  }
}

template <class Real, class Scalar, class Tokens, class Heads>
inline void SoftmaxOne::forward(Real* __restrict s, Real* __restrict A, Tokens L, Heads H,
                                const Offsets<Scalar>& offsets) {
  normalise_each_head<true>(s, L, H, offsets.b);
  average_heads(s, A, L, H, offsets.v / Element<Real>(H));
}

template <class Real, class Scalar, class Tokens, class Heads>
inline void SoftmaxOne::backward(Real* __restrict s, const Real*, const Real* __restrict a,
                                 Tokens L, Heads H, const Offsets<Scalar>& offsets,
                                 OffsetGradient<Real> gradient) {
  const Element<Real> scale = Element<Real>(1) / Element<Real>(H);
  const Scalar scaled_v = offsets.v / Element<Real>(H);
  for (int h = 0; h < H; ++h, s += L) {
    Real mean{};
    for (int l = 0; l < L; ++l) mean += s[l] * a[l];
    *gradient.v += scale * mean;
    Real total{};
    for (int l = 0; l < L; ++l) total += s[l] *= scaled_v * (a[l] - mean);
    gradient.b[h] += total;
  }
}

template <class Real, class Scalar, class Tokens, class Heads>
inline void BayesSoftmax::forward(Real* __restrict s, Real* __restrict A, Tokens L, Heads H,
                                  const Offsets<Scalar>& offsets) {
  Real top = s[0] + offsets.b[0];
  for (int h = 0; h < H; ++h)
    for (int l = 0; l < L; ++l) top = lane_max(top, s[h * L + l] + offsets.b[h]);
  Real sum{};
  for (int h = 0; h < H; ++h) {
    const Real shift = top - offsets.b[h];
    for (int l = 0; l < L; ++l) sum += s[h * L + l] = exp_nonpositive(s[h * L + l] - shift);
  }
  const Real scale = Element<Real>(1) / sum;
  for (int i = 0; i < H * L; ++i) s[i] *= scale;
  average_heads(s, A, L, H, Element<Real>(1));
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
