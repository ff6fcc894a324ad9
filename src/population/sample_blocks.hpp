#pragma once
#include <memory>
#include <span>

#include "headflow/model/model.hpp"
#include "headflow/model/parameters.hpp"
#include "population/rank_blocks.hpp"

namespace headflow {

/// This rank's blocks of samples and the kernels that sum over one of them: kept in memory, or
/// drawn again one at a time, with the same bits.
class SampleBlocks {
 public:
  virtual ~SampleBlocks() = default;
  /// Draws the samples of an epoch, which must be done before they are used. Collective; an
  /// Interrupt of `control` leaves some of them undrawn.
  virtual void draw(std::uint64_t epoch, Control& control) = 0;
  /// Kernel's sums over a block at `point`.
  virtual void evaluate(std::int64_t block, const Parameters& point, std::span<double> sums) = 0;
  /// TangentKernel's sums over a block at `point` along `direction`.
  virtual void differentiate(std::int64_t block, const Parameters& point,
                             const Parameters& direction, std::span<double> sums) = 0;

  /// MomentKernel's sums over a block at `point`.
  virtual void moments(std::int64_t block, const Parameters& point, double kappa,
                       std::span<double> sums) = 0;

  /// Blocks of samples of model.signal, not drawn yet. Throws std::bad_alloc when `kept` samples do
  /// not fit in memory.
  static std::unique_ptr<SampleBlocks> make(const Model& model, const Sampling& sampling,
                                            const RankBlocks& blocks, bool kept, bool noise);
};

}  // namespace headflow
