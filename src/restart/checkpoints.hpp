#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/data_file.hpp"
#include "headflow/core/snapshot.hpp"

namespace headflow {

/// A valid checkpoint, open for reading on every rank.
struct Checkpoint {
  std::string path;
  std::int64_t number = 0;  ///< counts the checkpoints of a run
  std::shared_ptr<const DataReader> file;

  /// The state that was saved under that name, empty when there is none.
  Snapshot snapshot(const std::string& name) const;
  /// Fills the variables of `group` with those records that are not later than `until`.
  void read_series(DataGroup& group, double until) const;
};

/// The checkpoints of the run with that output: OUTPUT.checkpoint-1.h5 .. -KEPT.h5, written in
/// turn. Each ends with a checksum, so that a damaged one is not taken for a good one.
class Checkpoints {
 public:
  Checkpoints(const Communicator& comm, const std::string& output, int kept);

  /// The newest valid one, by its content. A warning for each that is not; throws FileError when
  /// there are some and none is valid. Collective.
  std::optional<Checkpoint> newest() const;
  /// That file. Throws InputError when it is no valid checkpoint. Collective.
  Checkpoint open(const std::string& path) const;
  /// Writes the next one, over the oldest. Collective. Throws FileError.
  /// `content` is as before when it returns.
  void write(DataFile& content) { write_alone(comm_, content); }
  /// The same by the ranks of another communicator.
  void write_alone(const Communicator& comm, DataFile& content);
  /// Goes on counting after `number`.
  void continue_after(std::int64_t number) { number_ = number; }
  /// Removes all of them.
  void remove_all() const;
  /// The file in that place, from 1.
  std::string path_at(std::int64_t place) const;

 private:
  std::optional<Checkpoint> read(const std::string& path, std::string& problem) const;
  /// Paths of all that there are; not collective.
  std::vector<std::string> paths() const;

  const Communicator& comm_;
  std::string stem_;
  int kept_;
  std::int64_t number_ = 0;
};

/// A group of a checkpoint that holds a state.
DataGroup state_group(const std::string& name, const Snapshot& snapshot);

}  // namespace headflow
