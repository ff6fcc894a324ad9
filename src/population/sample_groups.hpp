#pragma once
#include <cstring>
#include <type_traits>

#include "core/lanes.hpp"
#include "headflow/model/shape.hpp"

namespace headflow {

/// What SampleGenerator::fill has stored, one group of lane_count<Real> samples after the other, in
/// the precision of a kernel: as it is, or widened from single precision.
template <class Real>
class SampleGroups {
 public:
  explicit SampleGroups(const Shape& shape)
      : size_(static_cast<std::size_t>(shape.tokens * shape.coordinates())), widened_(size_) {}

  /// next() will be the first group at `x`, which is aligned.
  void start(const Real* x) {
    next_ = reinterpret_cast<const Lanes<Real>*>(x);
    narrow_ = nullptr;
  }
  void start(const float* x) requires(!std::is_same_v<Real, float>) { narrow_ = x; }

  /// x[l * P + p] of the next group, until next() is called again.
  const Lanes<Real>* next() {
    if (narrow_ == nullptr) {
      const Lanes<Real>* group = next_;
      next_ += size_;
      return group;
    }
    const float* x = narrow_;
    for (std::size_t i = 0; i < size_; ++i, x += lane_count<Real>) widened_[i] = widened(x);
    narrow_ = x;
    return widened_.data();
  }

 private:
  static Lanes<Real> widened(const float* x) {
#if HEADFLOW_VECTOR_BYTES == 64
    // One instruction, of which GCC 12 makes four when it is asked for the conversion below.
    if constexpr (std::is_same_v<Real, double>)
      return _mm512_maskz_cvtps_pd(all_lanes, _mm256_load_ps(x));
#endif
    SingleLanes<Real> narrow;
    std::memcpy(&narrow, x, sizeof(narrow));
    return __builtin_convertvector(narrow, Lanes<Real>);
  }

  std::size_t size_;  // L P
  const Lanes<Real>* next_ = nullptr;
  const float* narrow_ = nullptr;
  AlignedVector<Lanes<Real>> widened_;
};

}  // namespace headflow
