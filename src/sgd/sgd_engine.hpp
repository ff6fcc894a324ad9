#pragma once
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "headflow/core/local_range.hpp"
#include "headflow/core/mpi.hpp"
#include "headflow/core/statistics.hpp"
#include "headflow/sgd/run_sgd.hpp"
#include "sgd/step_questions.hpp"

namespace headflow {

/// Independent runs of SGD that the ranks of one communicator advance together.
class SgdEngine {
 public:
  /// How far one run is.
  struct Progress {
    std::int64_t steps = 0;
    double batch_loss = never;  ///< of the last step; NaN before the first
    double loss_sum = 0;        ///< of batch_loss, since it was last set to zero
    std::string failure{};      ///< why it stays at its last good step; empty if it goes on
  };

  virtual ~SgdEngine() = default;

  /// Advances every run to `step`. One that fails stays at its last good step. Collective. An
  /// Interrupt of `questions` leaves each run at the end of one of its steps.
  virtual void advance(std::int64_t step, const std::function<void(const SgdProgress&)>& report,
                       StepQuestions& questions) = 0;
  void advance(std::int64_t step, const std::function<void(const SgdProgress&)>& report) {
    StepQuestions none;
    advance(step, report, none);
  }
  /// Run number i in reduced coordinates: K = [m S'^-1 | u], b, v; u the symmetric root of the
  /// Gram matrix of what the heads have outside the span of the spikes.
  virtual Parameters parameters(std::size_t i) const = 0;

  /// The numbers of run i from which, with its weights where there are any, it goes on.
  virtual std::vector<double> numbers(std::size_t i) const = 0;
  virtual void restore(std::size_t i, std::int64_t step, std::span<const double> numbers,
                       const SavedWeights& weights) = 0;
  /// This rank's part of the weights in R^D, and that part of the spikes; empty for an engine that
  /// has none.
  virtual SgdWeights weights(IndexRange /*spike_coordinates*/) const { return {}; }

  std::vector<Progress>& runs() { return runs_; }
  const SgdProblem& problem() const { return problem_; }
  IndexRange replicas() const { return replicas_; }

 protected:
  SgdEngine(const SgdProblem& problem, IndexRange replicas);
  /// Run i has failed for that reason in the step after its last good one.
  void fail(std::size_t i, const std::string& reason);

  SgdProblem problem_;
  IndexRange replicas_;
  std::vector<Progress> runs_;
};

/// The engine of `problem` for the replicas with those numbers. `first` holds K, b, v of each
/// replica of all at t = 0, or one that all share; the frame of the direct engine is drawn from
/// `start_seed`. Throws InputError when D < problem.least_dimension().
std::unique_ptr<SgdEngine> make_sgd_engine(const Communicator& comm, const SgdProblem& problem,
                                           std::uint64_t start_seed,
                                           const std::vector<Parameters>& first,
                                           IndexRange replicas);

}  // namespace headflow
