#pragma once
#include <algorithm>

#include "headflow/core/control.hpp"
#include "headflow/core/mpi.hpp"
#include "headflow/population/sampling.hpp"

namespace headflow {

/// This rank's share of the blocks of samples.
struct RankBlocks {
  IndexRange range;       ///< numbers of this rank's blocks
  std::int64_t most = 0;  ///< blocks of the rank that has the most

  RankBlocks(const Communicator& comm, const Sampling& sampling)
      : range(local_range(comm.rank(), sampling.blocks(), comm.size())),
        most(local_range(0, sampling.blocks(), comm.size()).size()) {}

  /// Calls body(number) for every block of this rank, which takes about `work` multiplications a
  /// sample, and control.within_step() as often as that needs (see PacedControl; at least every
  /// 2^18 samples), as often on this rank as on any other. Collective.
  template <class Body>
  void for_each(double work, Control& control, Body&& body) const {
    constexpr double most_samples = 1 << 18;
    const double samples = std::min(PacedControl::between / work, most_samples);
    const auto blocks_between =
        std::max<std::int64_t>(1, static_cast<std::int64_t>(samples) / block_size);
    const std::int64_t pieces = divided_up(most, blocks_between);
    std::int64_t piece = 0;
    for (std::int64_t block = range.begin; block < range.end; ++block) {
      for (; piece + 1 < pieces && block - range.begin >= (piece + 1) * blocks_between; ++piece)
        control.within_step();
      body(block);
    }
    for (; piece + 1 < pieces; ++piece) control.within_step();
  }
};

}  // namespace headflow
