#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "headflow/core/control.hpp"
#include "headflow/core/local_range.hpp"
#include "headflow/core/mpi.hpp"
#include "headflow/core/snapshot.hpp"
#include "headflow/population/population_loss.hpp"
#include "headflow/sgd/sgd_problem.hpp"

namespace headflow {

struct SgdOptions {
  std::int64_t replicas = 1;
  std::uint64_t start_seed = 1;              ///< of the directions of spikes and first weights
  std::vector<std::int64_t> output_steps{};  ///< increasing; the run ends with the last
  std::vector<std::int64_t> weight_steps{};  ///< those at which engine direct hands out weights
  std::vector<Parameters> first{};           ///< of each replica at t = 0; empty: all as the start

  /// replicas.
  void declare_keys(KeyVisitor& visitor);
};

/// How far a replica that is running on this rank is.
struct SgdProgress {
  double time = 0;
  double loss = 0;  ///< of the last batch
  std::int64_t steps = 0;
};

/// This rank's part of all weights: some replicas, some coordinates.
struct SgdWeights {
  IndexRange replicas;
  IndexRange coordinates;
  std::vector<double> k;         ///< replica, head, coordinate
  IndexRange spike_coordinates;  ///< this rank's part of the spikes, which all replicas share
  std::vector<double> spikes;    ///< feature, coordinate
};

/// Any part of saved weights k: replica, head, coordinate.
using SavedWeights =
    std::function<std::vector<double>(IndexRange replicas, IndexRange coordinates)>;

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

/// Where run_sgd has ended, and what it took.
struct SgdResult {
  bool finished = false;        ///< not asked to stop before its end
  std::int64_t steps = 0;       ///< of each replica, since t = 0
  std::int64_t steps_here = 0;  ///< those of this call, without a stretch that was interrupted
  double microseconds = 0;      ///< of a sequence in steps_here; wall time, 0 where there are none
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

/// What SGD hands out while it runs; all but progress are called on every rank.
struct SgdObserver {
  std::function<void(const SgdRecord&)> record;
  std::function<void(const SgdRecord&, const SgdWeights&)> weights = [](const SgdRecord&,
                                                                        const SgdWeights&) {};
  std::function<void(const SgdProgress&)> progress = [](const SgdProgress&) {};
  std::function<void(const SgdSaved&)> save = [](const SgdSaved&) {};
};

/// How many groups the ranks form so that the busiest rank has the least to do: each group runs its
/// share of the replicas and splits their batches over its ranks.
int replica_groups(int ranks, std::int64_t replicas, std::int64_t batch, Engine engine);

/// Collective operations in a step of `replicas` replicas on the ranks of a group, and the bytes
/// that each rank receives in them; none where every rank does all of the work.
struct SgdMessages {
  double calls = 0;
  double bytes = 0;
};
SgdMessages sgd_messages(const SgdProblem& problem, std::int64_t replicas, int ranks);

/// GiB on each rank that runs `replicas` replicas.
double sgd_memory_gib(const SgdProblem& problem, std::int64_t replicas);

/// Seconds of wall time for one sequence of SGD on this process, measured by a few steps with a
/// small batch: takes about 0.2 s.
double seconds_per_sequence(const SgdProblem& problem, const Parameters& start,
                            std::uint64_t start_seed, std::int64_t replicas_of_a_rank);

/// R independent runs of SGD from `start` (or options.first), by the engine of `problem`. `loss`,
/// of the same model, gives the population loss at the outputs. Collective on `comm`; all results
/// but the speed have the same bits on any number of ranks (with Reduction::exact). Throws
/// InputError when D < problem.least_dimension(), and NumericalError naming the replica and its
/// last good step when one diverges; records before that have been handed out.
///
/// control.between_steps() is asked about once a second and after each output: observer.save
/// answers Request::checkpoint and Request::stop, and the latter ends the run. The end is saved,
/// too. control.within_step() is asked inside steps that take long and inside the population losses
/// of an output: an Interrupt there ends the run after observer.save, from which the step or the
/// output is made again (of the output at step 0 nothing is saved). With `from` it goes on there;
/// records until then are not repeated.
SgdResult run_sgd(const Communicator& comm, const SgdProblem& problem, const Parameters& start,
                  const SgdOptions& options, PopulationLoss& loss, const SgdObserver& observer,
                  Control& control = Control::none(), const SgdSource* from = nullptr);

}  // namespace headflow
