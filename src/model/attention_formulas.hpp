#pragma once
// The bodies of the activations, apart from attention.hpp so that only kernels pay for compiling
// them.
#include "core/lanes.hpp"
#include "core/pieces.hpp"
#include "headflow/model/attention.hpp"

namespace headflow {

/// The product, known to the compiler when both numbers are.
template <int a, int b>
constexpr Count<a * b> product(Count<a>, Count<b>) {
  return {};
}
constexpr int product(int a, int b) { return a * b; }

/// s_i = exp(s_i), i < n, for s_i <= 0.
template <class Real>
[[gnu::noinline]] void exp_each_of_many(Real* s, int n) {
  for_pieces<5>(
      n, [&](auto width, int i)
             __attribute__((always_inline)) { exp_nonpositive<width()>(s + i); });
}
template <class Real>
inline void exp_each(Real* s, int n) {
  exp_each_of_many(s, n);
}
template <class Real, int n>
inline void exp_each(Real* s, Count<n> number) {
  if constexpr (n > 10)
    exp_each_of_many(s, n);
  else
    for_pieces<5>(
        number, [&](auto width, int i)
                    __attribute__((always_inline)) { exp_nonpositive<width()>(s + i); });
}

/// s_l = exp(s_l - top), l < L; returns `sum` plus these.
template <class Real>
[[gnu::noinline]] Real exp_row(Real* s, int L, const Real& top, Real sum) {
  for_pieces<5>(
      L, [&](auto width, int l) __attribute__((always_inline)) {
        for (int i = 0; i < width; ++i) s[l + i] -= top;
        exp_nonpositive<width()>(s + l);
        for (int i = 0; i < width; ++i) sum += s[l + i];
      });
  return sum;
}

/// The largest of L numbers.
template <class Real>
inline Real largest(const Real* s, int L) {
  Real top = s[0], other = s[L - 1];
  for (int l = 1; l < L - 1; l += 2) top = lane_max(top, s[l]), other = lane_max(other, s[l + 1]);
  return lane_max(top, other);
}

/// The same as normalise_each_head, row by row with few passes over memory: for any numbers.
template <bool sink, class Real, class Scalar, class Heads, class Groups>
inline void normalise_rows(Real* s, int L, Heads H, const Scalar* b, Groups B) {
  for (int h = 0; h < H; ++h)
    for (int i = 0; i < B; ++i, s += L) {
      Real top = largest(s, L), sum{};
      if constexpr (sink) {
        top = lane_max(top + b[h], Real{});
        sum = exp_nonpositive(-top);
        top -= b[h];
      }
      sum = exp_row(s, L, top, sum);
      const Real scale = reciprocal(Element<Real>(H) * sum);
      for (int l = 0; l < L; ++l) s[l] *= scale;
    }
}

/// s_{h,l} = softmax over l, divided by H; with the sink it has one more entry of field -b_h.
template <bool sink, class Real, class Scalar, class Tokens, class Heads, class Groups>
inline void normalise_each_head(Real* s, Tokens L, Heads H, const Scalar* b, Groups B) {
  if constexpr (std::is_same_v<Groups, int>) {
    normalise_rows<sink>(s, L, H, b, B);
  } else {
    const auto T = product(L, B);
    const auto top_of = [&](const Real* row) {
      Real top = row[0];
      for (int l = 1; l < L; ++l) top = lane_max(top, row[l]);
      return top;
    };
    const auto subtract = [&](Real* row, const Real& top) {
      for (int l = 0; l < L; ++l) row[l] -= top;
    };
    const auto normalise = [&](Real* row, Real sum) {
      for (int l = 0; l < L; ++l) sum += row[l];
      const Real scale = reciprocal(Element<Real>(H) * sum);
      for (int l = 0; l < L; ++l) row[l] *= scale;
    };
    if constexpr (sink) {
      for (int h = 0; h < H; ++h, s += T) {
        Real rest[B()];
        for (int i = 0; i < B; ++i) {
          const Real top = lane_max(top_of(s + i * L) + b[h], Real{});
          rest[i] = -top;
          subtract(s + i * L, top - b[h]);
        }
        exp_each(s, T);
        exp_nonpositive<B()>(rest);
        for (int i = 0; i < B; ++i) normalise(s + i * L, rest[i]);
      }
    } else {
      for (int r = 0; r < H * B; ++r) subtract(s + r * L, top_of(s + r * L));
      exp_each(s, product(T, H));
      for (int r = 0; r < H * B; ++r) normalise(s + r * L, Real{});
    }
  }
}

/// A_l = sum_h s_{h,l}.
template <class Real, class Tokens, class Heads>
inline void add_heads(const Real* __restrict s, Real* __restrict A, Tokens L, Heads H) {
  for (int l = 0; l < L; ++l) A[l] = s[l];
  for (int h = 1; h < H; ++h)
    for (int l = 0; l < L; ++l) A[l] += s[h * L + l];
}

template <class Real, class Scalar, class Tokens, class Heads, class Groups>
inline void Softmax::forward(Real* __restrict s, Real* __restrict A, Tokens L, Heads H,
                             const Offsets<Scalar>& offsets, Groups B) {
  normalise_each_head<false>(s, L, H, offsets.b, B);
  add_heads(s, A, product(L, B), H);
}

template <class Real, class Scalar, class Tokens, class Heads, class Groups>
inline void Softmax::backward(Real* __restrict s, const Real*, const Real* __restrict a, Tokens L,
                              Heads H, const Offsets<Scalar>&, OffsetGradient<Real>, Groups B) {
  for (int h = 0; h < H; ++h)
    for (int i = 0; i < B; ++i, s += L) {
      Real mean{};
      for (int l = 0; l < L; ++l) mean += s[l] * a[i * L + l];
      mean *= Element<Real>(H);
      for (int l = 0; l < L; ++l) s[l] *= a[i * L + l] - mean;
    }
}

template <class Real, class Scalar, class Tokens, class Heads, class Groups>
inline void SoftmaxOne::forward(Real* __restrict s, Real* __restrict A, Tokens L, Heads H,
                                const Offsets<Scalar>& offsets, Groups B) {
  normalise_each_head<true>(s, L, H, offsets.b, B);
  add_heads(s, A, product(L, B), H);
  for (int l = 0; l < L * B; ++l) A[l] *= offsets.v;
}

template <class Real, class Scalar, class Tokens, class Heads, class Groups>
inline void SoftmaxOne::backward(Real* __restrict s, const Real*, const Real* __restrict a,
                                 Tokens L, Heads H, const Offsets<Scalar>& offsets,
                                 OffsetGradient<Real> gradient, Groups B) {
  for (int h = 0; h < H; ++h)
    for (int i = 0; i < B; ++i, s += L) {
      Real mean{};
      for (int l = 0; l < L; ++l) mean += s[l] * a[i * L + l];
      *gradient.v += mean;
      mean *= Element<Real>(H);
      Real total{};
      for (int l = 0; l < L; ++l) total += s[l] *= offsets.v * (a[i * L + l] - mean);
      gradient.b[h] += total;
    }
}

template <class Real, class Scalar, class Tokens, class Heads, class Groups>
inline void BayesSoftmax::forward(Real* __restrict s, Real* __restrict A, Tokens L, Heads H,
                                  const Offsets<Scalar>& offsets, Groups B) {
  const auto T = product(L, B);
  for (int i = 0; i < B; ++i) {
    Real* const first = s + i * L;
    Real top = first[0] + offsets.b[0];
    for (int h = 0; h < H; ++h)
      for (int l = 0; l < L; ++l) top = lane_max(top, first[h * T + l] + offsets.b[h]);
    for (int h = 0; h < H; ++h) {
      const Real shift = top - offsets.b[h];
      for (int l = 0; l < L; ++l) first[h * T + l] -= shift;
    }
  }
  exp_each(s, product(T, H));
  for (int i = 0; i < B; ++i) {
    Real* const first = s + i * L;
    Real sum{};
    for (int h = 0; h < H; ++h)
      for (int l = 0; l < L; ++l) sum += first[h * T + l];
    const Real scale = reciprocal(sum);
    for (int h = 0; h < H; ++h)
      for (int l = 0; l < L; ++l) first[h * T + l] *= scale;
  }
  add_heads(s, A, T, H);
}

template <class Real, class Scalar, class Tokens, class Heads, class Groups>
inline void BayesSoftmax::backward(Real* __restrict s, const Real* __restrict A,
                                   const Real* __restrict a, Tokens L, Heads H,
                                   const Offsets<Scalar>&, OffsetGradient<Real> gradient,
                                   Groups B) {
  for (int i = 0; i < B; ++i, A += L, a += L) {
    Real mean{};
    for (int l = 0; l < L; ++l) mean += A[l] * a[l];
    for (int h = 0; h < H; ++h) {
      Real* const row = s + (h * B + i) * L;
      Real total{};
      for (int l = 0; l < L; ++l) total += row[l] *= a[l] - mean;
      gradient.b[h] += total;
    }
  }
}

}  // namespace headflow
