#pragma once
#include <functional>
#include <span>
#include <vector>

#include "headflow/core/control.hpp"
#include "headflow/core/mpi.hpp"
#include "headflow/model/prior.hpp"
#include "headflow/model/shape.hpp"
#include "headflow/population/sampling.hpp"

namespace headflow {

/// Means over samples of several numbers, over all replicates and in each.
struct SampleMeans {
  std::vector<double> mean;
  std::vector<std::vector<double>> replicates;

  /// Standard error of a function of the means, from its spread over the replicates; 0 for one.
  double standard_error(const std::function<double(const std::vector<double>&)>& f) const;
};

/// Throws InputError where there are no such samples: Sobol points have too few dimensions, or a
/// replicate of them too many points.
void require_samples(const Shape& shape, const Prior& prior, const Sampling& sampling);

/// Adds, for `count` samples laid out as SampleGenerator::fill lays them out, what is averaged.
using BlockSums = std::function<void(const double* x, std::int64_t count, std::span<double> sums)>;

/// The means of `size` numbers over the samples, which are drawn block by block and not kept.
/// Blocks are partitioned over the ranks and block sums added exactly: the same bits on any number
/// of ranks. Collective. Asks control.within_step() at least every 2^18 samples of a rank. Throws
/// NumericalError when a mean is not finite.
SampleMeans sample_means(const Communicator& comm, const Shape& shape, const Prior& prior,
                         const Sampling& sampling, std::size_t size, const BlockSums& block_sums,
                         Control& control);

}  // namespace headflow
