#pragma once
#include <cstdint>
#include <span>

#include "core/lanes.hpp"
#include "headflow/model/attention.hpp"
#include "headflow/model/parameters.hpp"
#include "headflow/population/population_loss.hpp"
#include "population/sample_groups.hpp"

namespace headflow {

/// Sums over a block of samples of zeta, what one sequence does to the order parameters, and of its
/// products, vectorised over samples (theory.md, section 11; the order is that of StepMoments):
///   zeta = (sum_l g_l x_{F,l}'; G + G' - kappa sum_l g_l g_l'; rate_b de/db; rate_v de/dv),
///   g_l = de/dchi_l,  G = sum_l g_l (u w_l)'.
template <class Real>
class MomentKernel {
 public:
  MomentKernel(const Shape& shape, Activation activation, const Training& training);

  /// n + n (n + 1) / 2.
  static std::size_t result_size(const Shape& shape, const Training& training) {
    const std::size_t n = order_parameter_count(shape, training);
    return n + n * (n + 1) / 2;
  }
  /// `x` and `count` as for Kernel; `sums` (result_size), which is overwritten, gets the sum of
  /// zeta, then the lower triangle of that of zeta zeta', row by row.
  template <class Stored>
  void operator()(const Parameters& parameters, double kappa, const Stored* x, std::int64_t count,
                  std::span<double> sums) {
    samples_.start(x);
    add(parameters, kappa, count, sums);
  }

 private:
  using V = Lanes<Real>;
  template <class Formulas>
  void run(std::int64_t count);
  void add(const Parameters& parameters, double kappa, std::int64_t count, std::span<double> sums);
  void fields(const V* x);
  void fill(const V* x);
  V* fill_overlaps(const V* x, V* next);
  void add_zeta();

  SampleGroups<Real> samples_;
  Shape shape_;
  Activation activation_;
  Training training_;
  AlignedVector<Real> K_, b_;
  Real v_ = 1, kappa_ = 0;
  AlignedVector<V> fields_;   // H x L: chi, then g
  AlignedVector<V> outside_;  // H x L: u w
  AlignedVector<V> tokens_;   // A_l, then a_l
  AlignedVector<V> offsets_;  // de/db, then de/dv
  AlignedVector<V> zeta_;
  AlignedVector<V> sums_;
};

extern template class MomentKernel<double>;
extern template class MomentKernel<float>;

}  // namespace headflow
