#pragma once
#include <cstdint>
#include <span>

#include "core/dual.hpp"
#include "headflow/model/attention.hpp"
#include "headflow/model/parameters.hpp"
#include "population/sample_groups.hpp"

namespace headflow {

/// The derivative along a direction (dK, db, dv) of what Kernel sums over a block of samples:
/// de, d(de/dK), d(de/db), d(de/dv) and, with `noise`, dN. The middle three are the direction times
/// the block's Hessian, exact to rounding: the closed forms of the gradient are run on numbers that
/// carry their derivative (Dual). About three times the cost of Kernel.
template <class Real>
class TangentKernel {
 public:
  TangentKernel(const Shape& shape, Activation activation, bool noise = false);

  /// `x` and `count` as for Kernel; `sums` (Kernel::result_size, or what of it comes before N)
  /// is overwritten.
  template <class Stored>
  void operator()(const Parameters& parameters, const Parameters& direction, const Stored* x,
                  std::int64_t count, std::span<double> sums) {
    samples_.start(x);
    add(parameters, direction, count, sums);
  }

 private:
  using V = Lanes<Real>;
  template <class Formulas>
  void run(std::int64_t count);
  void add(const Parameters& parameters, const Parameters& direction, std::int64_t count,
           std::span<double> sums);
  void fields(const AlignedVector<Real>& K, const V* x);

  SampleGroups<Real> samples_;
  Shape shape_;
  Activation activation_;
  bool noise_;
  AlignedVector<Real> K_, dK_;
  AlignedVector<Dual<V>> b_;
  Dual<V> v_;
  AlignedVector<V> products_;      // H x L: chi, its derivative, then d(de/dchi)
  AlignedVector<Dual<V>> scores_;  // H x L
  AlignedVector<Dual<V>> tokens_;  // A_l, then a_l
  AlignedVector<Dual<V>> db_;      // de/db, then de/dv
  AlignedVector<V> sums_;
};

extern template class TangentKernel<double>;
extern template class TangentKernel<float>;

}  // namespace headflow
