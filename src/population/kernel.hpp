#pragma once
#include <cstdint>
#include <span>

#include "core/lanes.hpp"
#include "headflow/model/attention.hpp"
#include "headflow/model/parameters.hpp"
#include "population/sample_groups.hpp"

namespace headflow {

/// Sum over a block of samples of the loss and its gradient, vectorised over samples:
///   e = sum_l (delta_{l,1} - A_l)^2,  chi_l = K x_l,  de/dK = sum_l (de/dchi_l) x_l',  de/db,
///   de/dv
/// (theory.md, sections 3 and 4), and with `noise` the second moments of the step,
///   N_{hh'} = sum_l (de/dchi_{h,l}) (de/dchi_{h',l})
/// (section 5). All shapes; about 4 L H P + (15 to 20) L H fused multiply-adds a sample, L H (H +
/// 1) / 2 more with N.
template <class Real>
class Kernel {
 public:
  Kernel(const Shape& shape, Activation activation, bool noise = false);

  /// Length of the result: loss, de/dK (H x P, row by row), de/db (H), de/dv; with noise the lower
  /// triangle of N, row by row.
  std::size_t result_size() const { return sums_.size(); }
  static std::size_t result_size(const Shape& shape, bool noise = false) {
    const int H = shape.heads;
    return static_cast<std::size_t>(H * (shape.coordinates() + 1) + 2 +
                                    (noise ? H * (H + 1) / 2 : 0));
  }
  /// `x` as SampleGenerator::fill lays it out for Real, `count` samples, stored as Real or in
  /// single precision; `sums` (result_size) is overwritten. The lanes are summed in double, always
  /// in the same order.
  template <class Stored>
  void operator()(const Parameters& parameters, const Stored* x, std::int64_t count,
                  std::span<double> sums) {
    samples_.start(x);
    add(parameters, count, sums);
  }

 private:
  template <class Formulas, class Tokens, class Heads, class Coordinates, class Groups>
  void run(Tokens tokens, Heads H, Coordinates P, Groups B, std::int64_t count);
  template <class Formulas>
  void dispatch_tokens(std::int64_t count);
  void add(const Parameters& parameters, std::int64_t count, std::span<double> sums);

  SampleGroups<Real> samples_;
  Shape shape_;
  Activation activation_;
  bool noise_;
  AlignedVector<Real> K_, b_;
  Real v_ = 1;
  AlignedVector<Lanes<Real>> fields_;  // H x L
  AlignedVector<Lanes<Real>> tokens_;  // A_l, then a_l
  AlignedVector<Lanes<Real>> sums_;    // as the result, one number for each lane
};

extern template class Kernel<double>;
extern template class Kernel<float>;

}  // namespace headflow
