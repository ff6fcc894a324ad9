#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "headflow/core/local_range.hpp"
#include "headflow/core/snapshot.hpp"
#include "headflow/population/population_loss.hpp"
#include "headflow/sgd/direct_sgd.hpp"

namespace headflow {

struct SgdOptions {
  std::int64_t replicas = 1;
  std::uint64_t start_seed = 1;              ///< of the directions of spikes and first weights
  std::vector<std::int64_t> output_steps{};  ///< increasing; the run ends with the last
  std::vector<std::int64_t> weight_steps{};  ///< those of them at which weights are handed out
};

/// One replica at an output.
struct SgdState : State {
  double batch_loss = 0;  ///< mean over all sequences since the output before; NaN at step 0
};

struct SgdRecord {
  double time = 0;  ///< lr * steps
  std::int64_t steps = 0;
  double sequences = 0;             ///< that each replica has seen
  double sequences_per_second = 0;  ///< of all replicas, since the output before; wall time
  std::vector<SgdState> replicas;
};

/// This rank's part of all weights: some replicas, some coordinates.
struct SgdWeights {
  IndexRange replicas;
  IndexRange coordinates;
  std::vector<double> k;         ///< replica, head, coordinate
  IndexRange spike_coordinates;  ///< this rank's part of the spikes, which all replicas share
  std::vector<double> spikes;    ///< feature, coordinate
};

/// A state of SGD between two outputs, from which it goes on with the same bits.
struct SgdSaved {
  Snapshot numbers;
  SgdWeights weights;  ///< without the spikes, which the start tells
};

/// Where a restarted SGD finds its state: what SgdSaved held, and any part of the weights k
/// (replica, head, coordinate).
struct SgdSource {
  Snapshot numbers;
  std::function<std::vector<double>(IndexRange replicas, IndexRange coordinates)> weights;
};

/// How far the replica that is running on this rank is.
struct SgdProgress {
  double time = 0;
  double loss = 0;  ///< of the last batch
  std::int64_t steps = 0;
};

/// What SGD hands out while it runs; all but progress are called on every rank. `poll` comes about
/// once a second: to Request::checkpoint and ::stop SGD answers with `save`, and to the latter it
/// ends; it also saves its end.
struct SgdObserver {
  std::function<void(const SgdRecord&)> record;
  std::function<void(const SgdRecord&, const SgdWeights&)> weights = [](const SgdRecord&,
                                                                        const SgdWeights&) {};
  std::function<void(const SgdProgress&)> progress = [](const SgdProgress&) {};
  std::function<Request()> poll = [] { return Request::none; };
  std::function<void(const SgdSaved&)> save = [](const SgdSaved&) {};
};

/// How many groups the ranks form so that the busiest rank has the fewest sequences: each group
/// runs its share of the replicas, one after the other, and splits their batches over its ranks.
int replica_groups(int ranks, std::int64_t replicas, std::int64_t batch);

/// R independent runs of SGD from the same weights. `loss` gives the population loss at the
/// outputs; its prior is the signal seen through the spikes. Collective on `comm`; all results but
/// the speed have the same bits on any number of ranks (with Reduction::exact). Throws
/// NumericalError naming the replica and its last good step when one diverges; records before that
/// have been handed out. With `from` it goes on there; records until then are not repeated. Returns
/// false when it was asked to stop before its end.
bool run_sgd(const Communicator& comm, const SgdProblem& problem, const Start& start,
             const SgdOptions& options, PopulationLoss& loss, const SgdObserver& observer,
             const SgdSource* from = nullptr);

}  // namespace headflow
