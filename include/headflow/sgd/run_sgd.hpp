#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "headflow/core/snapshot.hpp"
#include "headflow/population/population_loss.hpp"
#include "sgd/sgd_engine.hpp"

namespace headflow {

struct SgdOptions {
  std::int64_t replicas = 1;
  std::uint64_t start_seed = 1;              ///< of the directions of spikes and first weights
  std::vector<std::int64_t> output_steps{};  ///< increasing; the run ends with the last
  std::vector<std::int64_t> weight_steps{};  ///< those at which engine direct hands out weights
  std::vector<Parameters> first{};           ///< of each replica at t = 0; empty: all as the start
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
  double microseconds = 0;          ///< of a sequence, in all steps of this process; wall time
  std::vector<SgdState> replicas;
};

/// A state of SGD between two outputs, from which it goes on with the same bits.
struct SgdSaved {
  Snapshot numbers;
  SgdWeights weights;  ///< without the spikes, which the start tells
};

/// Where a restarted SGD finds its state: what SgdSaved held.
struct SgdSource {
  Snapshot numbers;
  SavedWeights weights;
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

/// How many groups the ranks form so that the busiest rank has the least to do: each group runs its
/// share of the replicas and splits their batches over its ranks.
int replica_groups(int ranks, std::int64_t replicas, std::int64_t batch, Engine engine);

/// R independent runs of SGD, by the engine of `problem`. `loss` gives the population loss at the
/// outputs; its prior is the signal seen through the spikes. Collective on `comm`; all results but
/// the speed have the same bits on any number of ranks (with Reduction::exact). Throws
/// NumericalError naming the replica and its last good step when one diverges; records before that
/// have been handed out. With `from` it goes on there; records until then are not repeated. Returns
/// false when it was asked to stop before its end.
bool run_sgd(const Communicator& comm, const SgdProblem& problem, const Start& start,
             const SgdOptions& options, PopulationLoss& loss, const SgdObserver& observer,
             const SgdSource* from = nullptr);

}  // namespace headflow
