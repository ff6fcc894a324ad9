#pragma once
#include <chrono>
#include <limits>
#include <string>

#include "headflow/core/mpi.hpp"
#include "headflow/core/snapshot.hpp"

namespace headflow {

/// Decides when a run saves its state and when it stops: signals, a STOP file, wall time. Rank 0
/// decides for all.
class Watch {
 public:
  struct Limits {
    double checkpoint_every = 600;                                  ///< seconds
    double wall_seconds = std::numeric_limits<double>::infinity();  ///< from now on
    std::string stop_file;                                          ///< obeyed and removed
  };
  Watch(const Communicator& comm, Limits limits);

  /// What is to be done now. Collective.
  Request poll();
  /// Throws Interrupt on all ranks when the run is to stop. Collective.
  void interrupt();
  /// A state was saved, which took so many seconds.
  void saved(double seconds);
  /// Why the run was stopped; on rank 0.
  const std::string& reason() const { return reason_; }

 private:
  using Clock = std::chrono::steady_clock;
  bool must_stop();

  const Communicator& comm_;
  Limits limits_;
  std::string reason_;
  Clock::time_point begin_ = Clock::now();
  Clock::time_point last_poll_ = begin_;
  Clock::time_point last_save_ = begin_;
  Clock::time_point last_look_ = begin_;  // for the STOP file
  double longest_gap_ = 0;                // seconds between polls
  double save_seconds_ = 0;
};

/// Seconds in "hh:mm:ss", "mm:ss" or "ss", or for "auto" those until Slurm ends the job (infinite
/// outside Slurm). Throws InputError.
double wall_seconds_of(const std::string& text);

}  // namespace headflow
