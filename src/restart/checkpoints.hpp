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
/// turn. Each ends with a checksum, so that a damaged one is not taken for a good one, and says of
/// which output it is: no other file is removed or replaced.
class Checkpoints {
 public:
  Checkpoints(const Communicator& comm, const std::string& output, int kept);

  /// The newest valid one of this output, by its content. A warning for each that is not; throws
  /// FileError when there are some and none is valid. Collective.
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
  /// Removes all of this output.
  void remove_all() const;
  /// Renames files that are in the places to be written and not of this output to PATH.set-aside-N.
  void make_room() const;
  /// The files in the places from 1 to KEPT.
  std::vector<std::string> places() const;

 private:
  std::string path_at(std::int64_t place) const;
  /// The attribute by which a checkpoint says of which output it is.
  std::string owner() const;
  /// Whether the file says so; not collective.
  bool is_own(const std::string& path) const;
  std::optional<Checkpoint> read(const std::string& path, std::string& problem) const;
  /// Paths of all that there are; not collective.
  std::vector<std::string> paths() const;

  const Communicator& comm_;
  std::string output_;
  int kept_;
  std::int64_t number_ = 0;
};

/// A group of a checkpoint that holds a state.
DataGroup state_group(const std::string& name, const Snapshot& snapshot);

}  // namespace headflow
