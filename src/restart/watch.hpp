#pragma once
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <utility>

#include "core/stopwatch.hpp"
#include "headflow/core/control.hpp"
#include "headflow/core/mpi.hpp"
#include "restart/output_lock.hpp"

namespace headflow {

/// For tests, which must not depend on how fast a run is: with HEADFLOW_PAUSE=N:GATE a run, each
/// time that it has been asked N times, makes a file GATE.paused with the number of questions so
/// far, by which one pause is told from the next, says so and waits until that is gone, a signal
/// comes or there is no file GATE. The other ranks, which must have the same HEADFLOW_PAUSE, sleep.
class Pause {
 public:
  Pause();
  /// Whether this question was one of those.
  bool hold();
  /// Whether a run may be held.
  bool holds() const { return every_ != 0; }

 private:
  std::string gate_;
  std::int64_t every_ = 0, asked_ = 0;
};

/// Decides when a run saves its state and when it stops: signals on any rank, a stop file, wall
/// time, the time since the last checkpoint.
class Watch : public Control {
 public:
  struct Limits {
    double checkpoint_every = 600;                                  ///< seconds
    double wall_seconds = std::numeric_limits<double>::infinity();  ///< since `begin`
    Stopwatch begin{};                                              ///< of the program
    std::string stop_file{};                    ///< obeyed and removed; none where it is empty
    const OutputLock* lock = nullptr;           ///< must be held, on rank 0
    std::function<bool()> stopped_elsewhere{};  ///< asked on rank 0, if there is one
  };
  Watch(const Communicator& comm, Limits limits) : comm_(comm), limits_(std::move(limits)) {}

  Request between_steps() override;
  void within_step() override;
  /// A state was saved, which took so many seconds.
  void saved(double seconds);
  /// Whether this rank knows a reason to stop. Not collective: for a rank that the others wait for.
  bool must_stop();
  /// Why the run was stopped; on rank 0.
  const std::string& reason() const { return reason_; }

 private:
  /// must_stop(); collective: the other ranks wait asleep for rank 0, which may be held.
  bool asked_together();
  const Communicator& comm_;
  Limits limits_;
  std::string reason_;
  Stopwatch since_question_, since_save_;
  Stopwatch since_look_;    // for the stop file
  double longest_gap_ = 0;  // seconds between questions
  double save_seconds_ = 0;
  Pause pause_;
};

/// Seconds in "hh:mm:ss", "mm:ss" or "ss", or for "auto" those until Slurm ends the job by
/// SLURM_JOB_END_TIME: infinite outside Slurm, and where that is no time to come, with a `warning`.
/// Throws InputError.
double wall_seconds_of(const std::string& text, std::string& warning);

}  // namespace headflow
