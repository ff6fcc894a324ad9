#pragma once
#include <memory>
#include <vector>

#include "headflow/core/local_range.hpp"
#include "headflow/model/attention.hpp"
#include "headflow/model/parameters.hpp"
#include "population/samples.hpp"

namespace headflow {

/// Some consecutive blocks of samples and the kernels that sum over one of them: kept in memory, or
/// regenerated one at a time, with the same bits. Block i is number i % blocks_per_replicate of
/// replicate i / blocks_per_replicate.
class SampleBlocks {
 public:
  virtual ~SampleBlocks() = default;
  /// Fresh, independent samples.
  virtual void resample(std::uint64_t epoch) = 0;
  /// Kernel's sums over a block at `point`.
  virtual void evaluate(std::int64_t block, const Parameters& point, std::span<double> sums) = 0;
  /// TangentKernel's sums over a block at `point` along `direction`.
  virtual void differentiate(std::int64_t block, const Parameters& point,
                             const Parameters& direction, std::span<double> sums) = 0;

  static std::int64_t blocks_per_replicate(const Sampling& sampling);
  /// Throws std::bad_alloc when `kept` samples do not fit in memory.
  static std::unique_ptr<SampleBlocks> make(const Shape& shape, const Activation& activation,
                                            const Prior& prior, const Sampling& sampling,
                                            IndexRange range, bool kept, bool noise);
};

}  // namespace headflow
