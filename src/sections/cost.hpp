#pragma once
#include <optional>

#include "headflow/population/population_loss.hpp"
#include "sections/configuration.hpp"

namespace headflow {

/// What `headflow check` measures with a few samples on this process, for the sections' estimates.
class CostReport {
 public:
  /// Of a run on the ranks of `comm`; measures and prints on the calling rank alone.
  CostReport(const Communicator& comm, const Configuration& input) : comm_(comm), input_(input) {}

  int ranks() const { return comm_.size(); }
  const Configuration& input() const { return input_; }
  /// Seconds for one evaluation of loss and gradient, or one of fresh samples.
  double seconds_per_evaluation(const Sampling& sampling);
  /// What a pilot tells about samples.
  struct Pilot {
    double per_sample = 0;  ///< seconds of one right-hand side
    double to_draw = 0;     ///< seconds to draw one sample
  };
  const Pilot& pilot();
  /// The loss on one block of samples, on this process alone.
  PopulationLoss one_block() const;

 private:
  const Communicator& comm_;
  const Configuration& input_;
  Communicator self_ = Communicator::self();
  std::optional<Pilot> pilot_;
};

}  // namespace headflow
