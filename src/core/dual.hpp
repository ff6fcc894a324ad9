#pragma once
#include "core/lanes.hpp"

namespace headflow {

/// A number, or lanes of them, with its derivative along one direction: forward automatic
/// differentiation of whatever is written for lanes. V is Lanes<double> or Lanes<float>.
template <class V>
struct Dual {
  V value{};
  V tangent{};

  Dual& operator+=(const Dual& b) { return *this = *this + b; }
  Dual& operator-=(const Dual& b) { return *this = *this - b; }
  Dual& operator+=(Element<V> b) { return *this = *this + b; }
  Dual& operator-=(Element<V> b) { return *this = *this - b; }
  Dual& operator*=(const Dual& b) { return *this = *this * b; }
  Dual& operator*=(Element<V> b) { return *this = b * *this; }

  friend Dual operator-(const Dual& a) { return {-a.value, -a.tangent}; }
  friend Dual operator+(const Dual& a, const Dual& b) {
    return {a.value + b.value, a.tangent + b.tangent};
  }
  friend Dual operator-(const Dual& a, const Dual& b) {
    return {a.value - b.value, a.tangent - b.tangent};
  }
  friend Dual operator+(const Dual& a, Element<V> b) { return {a.value + b, a.tangent}; }
  friend Dual operator-(const Dual& a, Element<V> b) { return {a.value - b, a.tangent}; }
  friend Dual operator*(const Dual& a, const Dual& b) {
    return {a.value * b.value, a.value * b.tangent + a.tangent * b.value};
  }
  friend Dual operator+(Element<V> a, const Dual& b) { return b + a; }
  friend Dual operator-(Element<V> a, const Dual& b) { return {a - b.value, -b.tangent}; }
  friend Dual operator*(Element<V> a, const Dual& b) { return {a * b.value, a * b.tangent}; }
  friend Dual operator*(const Dual& a, Element<V> b) { return b * a; }
  friend Dual operator/(const Dual& a, const Dual& b) {
    const V quotient = a.value / b.value;
    return {quotient, (a.tangent - quotient * b.tangent) / b.value};
  }
  friend Dual operator/(const Dual& a, Element<V> b) { return {a.value / b, a.tangent / b}; }
  friend Dual operator/(Element<V> a, const Dual& b) {
    const V quotient = a / b.value;
    return {quotient, -quotient / b.value * b.tangent};
  }
};

template <class V>
struct ElementOf<Dual<V>> {
  using type = Element<V>;
};

/// The larger value with its derivative.
template <class V>
inline Dual<V> lane_max(const Dual<V>& a, const Dual<V>& b) {
  return {lane_max(a.value, b.value), a.value > b.value ? a.tangent : b.tangent};
}

template <class V>
inline Dual<V> exp_nonpositive(const Dual<V>& x) {
  const V value = exp_nonpositive(x.value);
  return {value, value * x.tangent};
}

/// The same of n numbers, whose values are computed side by side.
template <int n, class V>
inline void exp_nonpositive(Dual<V>* x) {
  V value[n];
  for (int i = 0; i < n; ++i) value[i] = x[i].value;
  exp_nonpositive<n>(value);
  for (int i = 0; i < n; ++i) x[i] = {value[i], value[i] * x[i].tangent};
}

}  // namespace headflow
