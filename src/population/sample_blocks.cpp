#include "population/sample_blocks.hpp"

#include <algorithm>

#include "population/kernel.hpp"
#include "population/tangent_kernel.hpp"

namespace headflow {
namespace {

/// Samples in the largest block, filled up to whole groups of lanes, so that every block starts
/// aligned.
template <class Real>
std::size_t padded_block(const Sampling& sampling) {
  constexpr std::int64_t lanes = lane_count<Real>;
  const std::int64_t count = std::min(block_size, sampling.samples_per_replicate());
  return static_cast<std::size_t>(divided_up(count, lanes) * lanes);
}

template <class Real>
class TypedBlocks : public SampleBlocks {
 public:
  TypedBlocks(const Shape& shape, Activation activation, const Prior& prior,
              const Sampling& sampling, IndexRange range, bool kept, bool noise)
      : generator_(shape, prior, sampling),
        kernel_(shape, activation, noise),
        tangents_(shape, activation),
        sampling_(sampling),
        range_(range),
        kept_(kept),
        block_length_(padded_block<Real>(sampling) *
                      static_cast<std::size_t>(shape.tokens * shape.coordinates())) {
    memory_.resize(block_length_ * static_cast<std::size_t>(kept_ ? range_.size() : 1));
    if (kept_) fill_all();
  }

  void resample(std::uint64_t epoch) override {
    generator_.set_epoch(epoch);
    filled_ = -1;
    if (kept_) fill_all();
  }

  void evaluate(std::int64_t block, const Parameters& point, std::span<double> sums) override {
    kernel_(point, samples(block), count(block), sums);
  }

  void differentiate(std::int64_t block, const Parameters& point, const Parameters& direction,
                     std::span<double> sums) override {
    tangents_(point, direction, samples(block), count(block), sums);
  }

 private:
  std::int64_t first(std::int64_t block) const {
    return block % blocks_per_replicate(sampling_) * block_size;
  }
  std::int64_t count(std::int64_t block) const {
    return std::min(block_size, sampling_.samples_per_replicate() - first(block));
  }
  const Real* samples(std::int64_t block) {
    if (kept_)
      return memory_.data() + block_length_ * static_cast<std::size_t>(block - range_.begin);
    if (filled_ != block) fill(block, memory_.data());
    filled_ = block;
    return memory_.data();
  }
  void fill(std::int64_t block, Real* x) {
    generator_.fill(static_cast<int>(block / blocks_per_replicate(sampling_)), first(block),
                    count(block), x);
  }
  void fill_all() {
    for (std::int64_t block = range_.begin; block < range_.end; ++block)
      fill(block, memory_.data() + block_length_ * static_cast<std::size_t>(block - range_.begin));
  }

  SampleGenerator generator_;
  Kernel<Real> kernel_;
  TangentKernel<Real> tangents_;
  Sampling sampling_;
  IndexRange range_;
  bool kept_;
  std::size_t block_length_;
  AlignedVector<Real> memory_;
  std::int64_t filled_ = -1;  // the block in memory, where they are regenerated
};

}  // namespace

std::int64_t SampleBlocks::blocks_per_replicate(const Sampling& sampling) {
  return divided_up(sampling.samples_per_replicate(), block_size);
}

std::unique_ptr<SampleBlocks> SampleBlocks::make(const Shape& shape, const Activation& activation,
                                                 const Prior& prior, const Sampling& sampling,
                                                 IndexRange range, bool kept, bool noise) {
  if (sampling.precision == Precision::single)
    return std::make_unique<TypedBlocks<float>>(shape, activation, prior, sampling, range, kept,
                                                noise);
  return std::make_unique<TypedBlocks<double>>(shape, activation, prior, sampling, range, kept,
                                               noise);
}

}  // namespace headflow
