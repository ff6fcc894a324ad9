#pragma once
#include <limits>
#include <string>

#include "core/stopwatch.hpp"
#include "headflow/core/control.hpp"
#include "headflow/core/mpi.hpp"

namespace headflow {

/// Decides when a run saves its state and when it stops: signals on any rank, a STOP file, wall
/// time, the time since the last checkpoint.
class Watch : public Control {
 public:
  struct Limits {
    double checkpoint_every = 600;                                  ///< seconds
    double wall_seconds = std::numeric_limits<double>::infinity();  ///< from now on
    std::string stop_file;                                          ///< obeyed and removed
  };
  Watch(const Communicator& comm, Limits limits) : comm_(comm), limits_(std::move(limits)) {}

  Request between_steps() override;
  void within_step() override;
  /// A state was saved, which took so many seconds.
  void saved(double seconds);
  /// Why the run was stopped; on rank 0.
  const std::string& reason() const { return reason_; }

 private:
  bool must_stop();

  const Communicator& comm_;
  Limits limits_;
  std::string reason_;
  Stopwatch since_begin_, since_question_, since_save_;
  Stopwatch since_look_;    // for the STOP file
  double longest_gap_ = 0;  // seconds between questions
  double save_seconds_ = 0;
};

/// Seconds in "hh:mm:ss", "mm:ss" or "ss", or for "auto" those until Slurm ends the job (infinite
/// outside Slurm). Throws InputError.
double wall_seconds_of(const std::string& text);

}  // namespace headflow
