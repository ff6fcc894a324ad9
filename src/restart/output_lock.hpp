#pragma once
#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "headflow/core/mpi.hpp"

namespace headflow {

/// The right of one run to write an output and the files that belong to it: the file OUTPUT.lock.
///
/// It holds the run's host, process and start for messages, the place of the process (the boot of
/// its machine, its process namespace) and a beat, which a thread of the run counts up. A lock that
/// is there belongs to a run that lives
/// - if the system says that another process has locked the file (flock): always true in one place;
/// - if it was made in this place on a file system without flock: when its process is still there;
/// - if it was made elsewhere: when its beat is seen to advance within three of its beats. Clocks
///   of two hosts are never compared.
/// Any other was left behind by a run that was killed, and is taken over.
class OutputLock {
 public:
  struct Options {
    double beat_every = 5;  ///< seconds
    std::string place{};    ///< where this process is; the true place where it is empty
    bool flock = true;      ///< whether the file system is asked for a lock
    std::function<bool()> stopped = [] { return false; };  ///< ends the wait for a beat
  };
  /// Throws InputError when a run that lives holds the lock, with its host, process and start, or
  /// when it cannot be made; Interrupt when options.stopped().
  OutputLock(const std::string& output, Options options);
  /// Removes the file.
  ~OutputLock();
  OutputLock(const OutputLock&) = delete;
  OutputLock& operator=(const OutputLock&) = delete;

  /// Throws FileError when another run has taken the lock over: this one was suspended for long.
  void require_held() const;

 private:
  bool take();
  bool holder_lives(const std::string& text, bool locked);
  bool seen_to_beat(const std::string& text, double every);
  bool is_ours() const;
  void write();
  void beat();

  std::string output_, path_, id_;
  Options options_;
  int file_ = -1;
  bool watched_ = false;  // the holder of before was judged by its beat
  long beats_ = 0;
  std::atomic<bool> lost_ = false;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::jthread thread_;
};

/// The lock of an output, on rank 0. Collective. Throws as OutputLock; Interrupt also when a signal
/// asks to stop.
std::unique_ptr<OutputLock> lock_output(const Communicator& comm, const std::string& output);

}  // namespace headflow
