#pragma once
#include <algorithm>
#include <cstdint>

#include "headflow/core/local_range.hpp"

namespace headflow {

class KeyVisitor;

enum class SamplingMethod { sobol, monte_carlo };
/// Of the samples as they are stored and of the arithmetic with them: both double, both single, or
/// samples rounded to single precision once and all arithmetic with them in double.
enum class Precision { double_, mixed, single };

/// A block is this many consecutive samples of one replicate (the last one of a replicate may have
/// fewer): the unit that is partitioned over ranks and summed.
inline constexpr std::int64_t block_size = 1024;

/// The most samples that a set may have.
inline constexpr double most_samples = 4e9;

/// Samples [first, first + count) of a replicate.
struct SampleBlock {
  int replicate = 0;
  std::int64_t first = 0;
  std::int64_t count = 0;
};

/// How the expectation over (theta, z, w) is sampled (theory.md, section 4).
struct Sampling {
  std::int64_t samples = 65536;  ///< base samples over all replicates
  SamplingMethod method = SamplingMethod::sobol;
  int replicates = 8;  ///< independent sets whose spread gives the standard error; divides samples
  int first_replicate = 0;  ///< the number of the first of them: a part of a larger set
  std::uint64_t seed = 1;
  bool symmetric = false;  ///< close the set under cyclic head shifts and the prior's sign flips
  Precision precision = Precision::mixed;
  double memory_gib = 4;  ///< keep the samples when a rank's share fits in this, else regenerate

  void declare_keys(KeyVisitor& visitor);

  std::int64_t samples_per_replicate() const { return samples / replicates; }
  /// Of each number of a sample in memory.
  double stored_bytes() const {
    return precision == Precision::double_ ? sizeof(double) : sizeof(float);
  }
  /// Number r of the replicates alone.
  Sampling replicate(int r) const {
    Sampling one = *this;
    one.samples = samples_per_replicate();
    one.replicates = 1;
    one.first_replicate = first_replicate + r;
    return one;
  }

  std::int64_t blocks_per_replicate() const {
    return divided_up(samples_per_replicate(), block_size);
  }
  /// Blocks of all replicates, numbered one replicate after the other.
  std::int64_t blocks() const { return blocks_per_replicate() * replicates; }
  SampleBlock block(std::int64_t number) const {
    const std::int64_t first = number % blocks_per_replicate() * block_size;
    return {static_cast<int>(number / blocks_per_replicate()), first,
            std::min(block_size, samples_per_replicate() - first)};
  }
};

}  // namespace headflow
