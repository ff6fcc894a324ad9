#pragma once
#if HEADFLOW_VECTOR_BYTES == 64
#include <immintrin.h>
#endif

#include <boost/align/aligned_allocator.hpp>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace headflow {

/// Of a vector register, as the build has found for its instruction set.
inline constexpr int vector_bytes = HEADFLOW_VECTOR_BYTES;

template <class Real>
struct LaneTraits;
template <>
struct LaneTraits<double> {
  using Vector = double __attribute__((vector_size(vector_bytes)));
  using Integers = std::int64_t __attribute__((vector_size(vector_bytes)));
  using Singles = float __attribute__((vector_size(vector_bytes / 2)));
};
template <>
struct LaneTraits<float> {
  using Vector = float __attribute__((vector_size(vector_bytes)));
  using Integers = std::int32_t __attribute__((vector_size(vector_bytes)));
  using Singles = Vector;
};

/// One number for each of `lane_count` samples that are computed side by side (compiler vector
/// type).
template <class Real>
using Lanes = typename LaneTraits<Real>::Vector;
/// As many numbers in single precision.
template <class Real>
using SingleLanes = typename LaneTraits<Real>::Singles;
template <class Real>
inline constexpr int lane_count = vector_bytes / static_cast<int>(sizeof(Real));

template <class Real>
struct ElementOf {
  using type = Real;
};
template <>
struct ElementOf<Lanes<double>> {
  using type = double;
};
template <>
struct ElementOf<Lanes<float>> {
  using type = float;
};
/// The number in each lane of a vector; a number itself.
template <class Real>
using Element = typename ElementOf<Real>::type;

/// Storage aligned for Lanes.
template <class T>
using AlignedVector = std::vector<T, boost::alignment::aligned_allocator<T, 64>>;

template <class Real>
inline Lanes<Real> broadcast(Real value) {
  return value -
         Lanes<Real>{};  // x - 0 is x for every x, so the compiler leaves only the broadcast
}

/// The larger number; `b` where one of them is NaN.
template <class Vector>
inline Vector lane_max(Vector a, Vector b) {
  return a > b ? a : b;
}

/// log(a) in every lane, relative error under 1 unit in the last place; -infinity at 0, NaN below.
/// Method: a = 2^k m with m near 1 and s = (m - 1) / (m + 1), log m = 2 atanh(s), a polynomial
/// (fdlibm's).
inline Lanes<double> lane_log(Lanes<double> a) {
  using Vector = Lanes<double>;
  using Integers = LaneTraits<double>::Integers;
  const auto subnormal = a < 0x1p-1022;
  const Integers bits = reinterpret_cast<Integers>(subnormal ? a * 0x1p54 : a);
  const Integers exponent = (bits - 0x3fe6a09e667f3bcd) >> 52;  // of a number above sqrt(1/2)
  const Vector f = reinterpret_cast<Vector>(bits - (exponent << 52)) - 1.0;
  const Vector magic = broadcast(0x1.8p52);
  const Vector k = reinterpret_cast<Vector>(reinterpret_cast<Integers>(magic) + exponent) - magic -
                   (subnormal ? broadcast(54.0) : Vector{});
  const Vector s = f / (2.0 + f);
  const Vector z = s * s;
  const Vector z2 = z * z;
  const Vector odd = 6.666666666666735130e-01 +
                     z2 * (2.857142874366239149e-01 +
                           z2 * (1.818357216161805012e-01 + z2 * 1.479819860511658591e-01));
  const Vector even =
      3.999999999940941908e-01 + z2 * (2.222219843214978396e-01 + z2 * 1.531383769920937332e-01);
  const Vector half_square = 0.5 * f * f;
  // ln2 in two parts, the first with so few bits that k times it is exact.
  const Vector low = s * (half_square + (z * odd + z2 * even)) + k * 1.90821492927058770002e-10;
  const Vector log = k * 6.93147180369123816490e-01 - ((half_square - low) - f);
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const Vector special = a == 0.0 ? broadcast(-infinity) : (a < 0.0 ? broadcast(std::nan("")) : a);
  const auto ordinary = (a > 0.0) & (a < infinity);
  return ordinary ? log : special;
}

/// 1 / a for a normal number a whose inverse is one, relative error under 1 unit in the last place.
template <class Real>
inline Real reciprocal(const Real& a) {
  return Element<Real>(1) / a;
}

#if HEADFLOW_VECTOR_BYTES == 64
/// Intrinsics without a mask make GCC 12 warn about its own header.
inline constexpr __mmask8 all_lanes = 0xff;

inline Lanes<double> lane_sqrt(Lanes<double> a) { return _mm512_maskz_sqrt_pd(all_lanes, a); }

/// Two steps of Newton's from 14 bits: a quarter of the time that the division takes.
inline Lanes<double> reciprocal(const Lanes<double>& a) {
  Lanes<double> inverse = _mm512_maskz_rcp14_pd(all_lanes, a);
  for (int step = 0; step < 2; ++step) inverse += inverse * (1.0 - a * inverse);
  return inverse;
}
#else
inline Lanes<double> lane_sqrt(Lanes<double> a) {
  for (int i = 0; i < lane_count<double>; ++i) a[i] = std::sqrt(a[i]);
  return a;
}
#endif

/// The sum over lanes, halves folded onto each other: the same order every time.
template <class Real>
inline Real lane_sum(Lanes<Real> a) {
  for (int half = lane_count<Real> / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) a[i] += a[i + half];
  return a[0];
}

/// Each sum over lanes in double, one after the other: the same order every time.
template <class Real>
void sum_lanes(const AlignedVector<Lanes<Real>>& lanes, std::span<double> sums) {
  for (std::size_t i = 0; i < sums.size(); ++i) {
    double sum = 0;
    for (int lane = 0; lane < lane_count<Real>; ++lane) sum += static_cast<double>(lanes[i][lane]);
    sums[i] = sum;
  }
}

#if HEADFLOW_VECTOR_BYTES == 64
/// exp(x) for n numbers x <= 0 in every lane, relative error under 2 units in the last place; below
/// the smallest normal number it returns about that number instead of 0; NaN stays NaN. Method: x =
/// k ln2 + r with 16 k whole and |r| <= ln2/32; 2^k is its whole part, put into the exponent, times
/// one of 16 numbers in two registers; e^r is a polynomial. The n chains of operations are written
/// side by side, because the processor does not look far enough ahead for a second one.
template <int n>
[[gnu::always_inline]] inline void exp_nonpositive(Lanes<double>* x) {
  using Vector = Lanes<double>;
  constexpr Vector low = {1,
                          0x1.0b5586cf9890fp0,
                          0x1.172b83c7d517bp0,
                          0x1.2387a6e756238p0,
                          0x1.306fe0a31b715p0,
                          0x1.3dea64c123422p0,
                          0x1.4bfdad5362a27p0,
                          0x1.5ab07dd485429p0};  // 2^(j/16)
  constexpr Vector high = {0x1.6a09e667f3bcdp0, 0x1.7a11473eb0187p0, 0x1.8ace5422aa0dbp0,
                           0x1.9c49182a3f090p0, 0x1.ae89f995ad3adp0, 0x1.c199bdd85529cp0,
                           0x1.d5818dcfba487p0, 0x1.ea4afa2a490dap0};
  const Vector magic = broadcast(0x1.8p48);  // adding it rounds to sixteenths, the low bits count
  Vector shifted[n], k[n], r[n], r2[n], p23[n], p45[n];
  for (int i = 0; i < n; ++i)
    r[i] = _mm512_maskz_max_pd(all_lanes, broadcast(-708.0), x[i]);  // NaN if x is
  for (int i = 0; i < n; ++i) shifted[i] = r[i] * 1.4426950408889634 + magic;
  for (int i = 0; i < n; ++i) k[i] = shifted[i] - magic;
  // ln2 in two parts, the first with so few bits that k times it is exact.
  for (int i = 0; i < n; ++i) r[i] -= k[i] * 0x1.62e42feep-1;
  for (int i = 0; i < n; ++i) r[i] -= k[i] * 0x1.a39ef35793c76p-33;
  // Minimax polynomial of e^r - 1 with r itself first; the remainder is 1.2e-17.
  for (int i = 0; i < n; ++i) r2[i] = r[i] * r[i];
  for (int i = 0; i < n; ++i) p45[i] = 0x1.555555545e433p-5 + r[i] * 0x1.11123afe6bf37p-7;
  for (int i = 0; i < n; ++i) p23[i] = 0x1.0000000000005p-1 + r[i] * 0x1.555555548f1d3p-3;
  for (int i = 0; i < n; ++i) p45[i] += r2[i] * 0x1.6c185e42ef61bp-10;
  for (int i = 0; i < n; ++i) p23[i] += r2[i] * p45[i];
  for (int i = 0; i < n; ++i) r[i] += r2[i] * p23[i];
  for (int i = 0; i < n; ++i)
    shifted[i] = _mm512_permutex2var_pd(low, reinterpret_cast<__m512i>(shifted[i]), high);
  for (int i = 0; i < n; ++i) shifted[i] += shifted[i] * r[i];
  for (int i = 0; i < n; ++i) x[i] = _mm512_maskz_scalef_pd(all_lanes, shifted[i], k[i]);
}
inline Lanes<double> exp_nonpositive(Lanes<double> x) {
  exp_nonpositive<1>(&x);
  return x;
}
#else
/// exp(x) for x <= 0 in every lane, relative error under 4 units in the last place; below the
/// smallest normal number it returns about that number instead of 0; NaN stays NaN. Method: x = n
/// ln2 + r with |r| <= ln2/2, polynomial in r, n added to its exponent bits.
inline Lanes<double> exp_nonpositive(Lanes<double> x) {
  using Vector = Lanes<double>;
  using Integers = LaneTraits<double>::Integers;
  x = lane_max(broadcast(-708.0), x);
  const Vector magic = broadcast(0x1.8p52);  // adding it rounds to an integer held in the low bits
  const Vector shifted = x * 1.4426950408889634 + magic;
  const Vector n = shifted - magic;
  // ln2 in two parts, the first with so few bits that n times it is exact.
  const Vector r = (x - n * 0x1.62e42feep-1) - n * 0x1.a39ef35793c76p-33;
  // Taylor coefficients 1/k!: the remainder at |r| = ln2/2 is 7e-18; Estrin's scheme shortens the
  // chain.
  const Vector r2 = r * r;
  const Vector r4 = r2 * r2;
  const Vector p01 = 1.0 + r;
  const Vector p23 = 0.5 + r * (1.0 / 6);
  const Vector p45 = 1.0 / 24 + r * (1.0 / 120);
  const Vector p67 = 1.0 / 720 + r * (1.0 / 5040);
  const Vector p89 = 1.0 / 40320 + r * (1.0 / 362880);
  const Vector pab = 1.0 / 3628800 + r * (1.0 / 39916800 + r * (1.0 / 479001600));
  const Vector low = (p23 * r2 + p01);
  const Vector middle = p67 * r2 + p45;
  const Vector high = pab * r2 + p89;
  const Vector p = (high * r4 + middle) * r4 + low;
  return reinterpret_cast<Vector>(reinterpret_cast<Integers>(p) +
                                  (reinterpret_cast<Integers>(shifted) << 52));
}
#endif

/// exp(x) of one number, so that what is written for lanes also serves a single sequence.
inline double exp_nonpositive(double x) { return std::exp(x); }

/// The same in single precision.
inline Lanes<float> exp_nonpositive(Lanes<float> x) {
  using Vector = Lanes<float>;
  using Integers = LaneTraits<float>::Integers;
  x = lane_max(broadcast(-87.0f), x);
  const Vector magic = broadcast(0x1.8p23f);
  const Vector shifted = x * 1.44269504f + magic;
  const Vector n = shifted - magic;
  const Vector r = (x - n * 0x1.62e4p-1f) - n * 0x1.7f7d1cp-20f;
  const Vector r2 = r * r;
  const Vector p01 = 1.0f + r;
  const Vector p23 = 0.5f + r * (1.0f / 6);
  const Vector p456 = 1.0f / 24 + r * (1.0f / 120 + r * (1.0f / 720));
  const Vector p = (p456 * r2 + p23) * r2 + p01;
  return reinterpret_cast<Vector>(reinterpret_cast<Integers>(p) +
                                  (reinterpret_cast<Integers>(shifted) << 23));
}

/// The same of n numbers, one after the other.
template <int n, class Real>
inline void exp_nonpositive(Real* x) {
  for (int i = 0; i < n; ++i) x[i] = exp_nonpositive(x[i]);
}

}  // namespace headflow
