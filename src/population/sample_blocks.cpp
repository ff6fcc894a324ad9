#include "population/sample_blocks.hpp"

#include <algorithm>
#include <optional>

#include "population/kernel.hpp"
#include "population/moment_kernel.hpp"
#include "population/samples.hpp"
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

/// Samples stored as Stored, kernels that compute with Real.
template <class Real, class Stored>
class TypedBlocks : public SampleBlocks {
 public:
  TypedBlocks(const Model& model, const Sampling& sampling, const RankBlocks& blocks, bool kept,
              bool noise)
      : generator_(model.shape, model.signal, sampling),
        kernel_(model.shape, model.activation, noise),
        tangents_(model.shape, model.activation, noise),
        shape_(model.shape),
        activation_(model.activation),
        training_(model.training),
        sampling_(sampling),
        blocks_(blocks),
        kept_(kept),
        work_of_draw_(10.0 * model.shape.tokens * model.shape.coordinates()),
        block_length_(padded_block<Real>(sampling) *
                      static_cast<std::size_t>(model.shape.tokens * model.shape.coordinates())),
        memory_(block_length_ * static_cast<std::size_t>(kept ? blocks.range.size() : 1)) {}

  void draw(std::uint64_t epoch, Control& control) override {
    generator_.set_epoch(epoch);
    filled_ = -1;
    if (kept_)
      blocks_.for_each(work_of_draw_, control,
                       [&](std::int64_t block) { fill(block, place_of(block)); });
  }

  void evaluate(std::int64_t block, const Parameters& point, std::span<double> sums) override {
    kernel_(point, samples(block), sampling_.block(block).count, sums);
  }

  void differentiate(std::int64_t block, const Parameters& point, const Parameters& direction,
                     std::span<double> sums) override {
    tangents_(point, direction, samples(block), sampling_.block(block).count, sums);
  }

  void moments(std::int64_t block, const Parameters& point, double kappa,
               std::span<double> sums) override {
    if (!moments_) moments_.emplace(shape_, activation_, training_);
    (*moments_)(point, kappa, samples(block), sampling_.block(block).count, sums);
  }

 private:
  Stored* place_of(std::int64_t block) {
    return memory_.data() + block_length_ * static_cast<std::size_t>(block - blocks_.range.begin);
  }
  const Stored* samples(std::int64_t block) {
    if (kept_) return place_of(block);
    if (filled_ != block) fill(block, memory_.data());
    filled_ = block;
    return memory_.data();
  }
  void fill(std::int64_t block, Stored* x) {
    const auto [replicate, first, count] = sampling_.block(block);
    generator_.fill<Stored, lane_count<Real>>(replicate, first, count, x);
  }

  SampleGenerator generator_;
  Kernel<Real> kernel_;
  TangentKernel<Real> tangents_;
  Shape shape_;
  Activation activation_;
  Training training_;
  std::optional<MomentKernel<Real>> moments_;  // made when asked for: its sums are many
  Sampling sampling_;
  RankBlocks blocks_;
  bool kept_;
  double work_of_draw_;  // multiplications, or as long, for a sample
  std::size_t block_length_;
  AlignedVector<Stored> memory_;
  std::int64_t filled_ = -1;  // the block in memory, where they are drawn again
};

}  // namespace

std::unique_ptr<SampleBlocks> SampleBlocks::make(const Model& model, const Sampling& sampling,
                                                 const RankBlocks& blocks, bool kept, bool noise) {
  switch (sampling.precision) {
    case Precision::double_:
      return std::make_unique<TypedBlocks<double, double>>(model, sampling, blocks, kept, noise);
    case Precision::mixed:
      return std::make_unique<TypedBlocks<double, float>>(model, sampling, blocks, kept, noise);
    case Precision::single:
      break;
  }
  return std::make_unique<TypedBlocks<float, float>>(model, sampling, blocks, kept, noise);
}

}  // namespace headflow
