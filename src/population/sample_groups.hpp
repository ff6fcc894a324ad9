#pragma once
#include <algorithm>
#include <cstring>
#include <type_traits>

#include "core/lanes.hpp"
#include "headflow/model/shape.hpp"

namespace headflow {

/// Numbers stored in single precision that are read as lanes of Real.
template <class Real>
struct NarrowLanes {
  const float* x = nullptr;

  NarrowLanes operator+(std::ptrdiff_t i) const { return {x + i * lane_count<Real>}; }
  Lanes<Real> operator[](std::ptrdiff_t i) const {
    const float* const from = x + i * lane_count<Real>;
#if HEADFLOW_VECTOR_BYTES == 64
    // One instruction, of which GCC 12 makes four when it is asked for the conversion below.
    if constexpr (std::is_same_v<Real, double>)
      return _mm512_maskz_cvtps_pd(all_lanes, _mm256_load_ps(from));
#endif
    SingleLanes<Real> narrow;
    std::memcpy(&narrow, from, sizeof(narrow));
    return __builtin_convertvector(narrow, Lanes<Real>);
  }
};

/// What SampleGenerator::fill has stored, groups of lane_count<Real> samples one after the other,
/// in the precision of a kernel: as it is, or widened from single precision.
template <class Real>
class SampleGroups {
 public:
  /// `together` groups are asked for at a time.
  explicit SampleGroups(const Shape& shape, int together = 1)
      : size_(static_cast<std::size_t>(shape.tokens * shape.coordinates())),
        widened_(size_ * static_cast<std::size_t>(together)) {}

  /// next() will be the first groups at `x`, which is aligned.
  void start(const Real* x) {
    next_ = reinterpret_cast<const Lanes<Real>*>(x);
    narrow_ = nullptr;
  }
  void start(const float* x) requires(!std::is_same_v<Real, float>) { narrow_ = x; }

  /// x[l * P + p] of the next groups, one after the other, until next() is called again. Of
  /// `together` groups only the first `groups` are stored, the others are zero.
  [[gnu::noinline]] const Lanes<Real>* next(int groups = 1, int together = 1) {
    const std::size_t size = size_ * static_cast<std::size_t>(groups);
    const Lanes<Real>* const wide = next_;
    if (narrow_ != nullptr) {
      const NarrowLanes<Real> x{narrow_};
      Lanes<Real>* const to = widened_.data();
      for (std::size_t i = 0; i < size; ++i) to[i] = x[static_cast<std::ptrdiff_t>(i)];
      narrow_ += size * lane_count<Real>;
    } else {
      next_ += size;
      if (groups == together) return wide;
      std::copy(wide, wide + size, widened_.begin());
    }
    std::fill(widened_.begin() + static_cast<std::ptrdiff_t>(size),
              widened_.begin() + static_cast<std::ptrdiff_t>(size_) * together, Lanes<Real>{});
    return widened_.data();
  }
  /// Whether they are stored in single precision for a kernel in double.
  bool are_narrow() const { return narrow_ != nullptr; }
  /// Then the same as they are stored.
  NarrowLanes<Real> next_narrow(int groups) {
    const NarrowLanes<Real> x{narrow_};
    narrow_ += size_ * static_cast<std::size_t>(groups) * lane_count<Real>;
    return x;
  }

 private:
  std::size_t size_;  // L P
  const Lanes<Real>* next_ = nullptr;
  const float* narrow_ = nullptr;
  AlignedVector<Lanes<Real>> widened_;
};

}  // namespace headflow
