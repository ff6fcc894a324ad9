#pragma once
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "core/data_file.hpp"
#include "sweep/member_result.hpp"
#include "sweep/sweep.hpp"

namespace headflow {

/// How many members of a sweep there are, have an end, and have failed.
struct SweepProgress {
  std::int64_t members = 0, done = 0, failed = 0;

  bool complete() const { return done == members; }
  bool all_failed() const { return failed > 0 && failed == done; }
  /// "3 of 4 members, 1 of them failed".
  std::string text() const;
  /// What a file holds of its sweep; no members where it is none of a sweep.
  static SweepProgress of(const DataReader& file);
};

/// The results of all members, as groups of a file: every variable with the axes of the sweep
/// before its own, NaN where a member is missing or shorter. The group `sweep` says which members
/// are done.
class SweepStore {
 public:
  /// Keeps everything in `groups`, which are empty. Both must outlive the store.
  SweepStore(const Sweep& sweep, std::deque<DataGroup>& groups);

  /// Throws InputError when the results of all members cannot fit in this machine's memory.
  void add(const MemberResult& result);
  /// Takes over the results in a file of the same sweep, of members that are not done. Throws
  /// InputError when it is none.
  void read(const DataReader& file);
  /// By member: 1 finished, 0 not yet, -1 failed.
  const std::vector<double>& done() const { return groups_[0].variables[0].data; }
  SweepProgress progress() const;
  /// Why members have failed, by their number.
  const std::map<std::int64_t, std::string>& failures() const { return failures_; }

 private:
  DataGroup empty_group(const std::string& name) const;
  DataGroup& group(const std::string& name);
  Variable& variable(DataGroup& group, const Variable& own);
  void extend(DataGroup& group, const Dimension& own);
  std::vector<double> allocate(const std::vector<std::size_t>& shape);
  void read_variable(const DataReader& file, DataGroup& group, const std::string& name,
                     const std::vector<std::size_t>& members);

  const Sweep& sweep_;
  std::vector<std::string> leading_;  // the axes of the sweep
  std::deque<DataGroup>& groups_;
  std::map<std::int64_t, std::string> failures_;
};

}  // namespace headflow
