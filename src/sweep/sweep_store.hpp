#pragma once
#include <map>
#include <string>
#include <vector>

#include "sweep/member_result.hpp"
#include "sweep/sweep.hpp"

namespace headflow {

/// The results of all members: every variable with the axes of the sweep before its own, NaN where
/// a member is missing or shorter.
class SweepStore {
 public:
  explicit SweepStore(Sweep sweep);

  void add(const MemberResult& result);
  /// Takes over the results in a file of the same sweep. Throws InputError when it is none.
  void read(const DataReader& file);
  bool done(std::int64_t member) const { return done_[static_cast<std::size_t>(member)] != 0; }
  std::int64_t finished() const;
  std::int64_t failed() const;
  /// Why members have failed, by their number.
  const std::map<std::int64_t, std::string>& failures() const { return failures_; }

  /// All of it, as groups of a file.
  std::deque<DataGroup> groups() const;

 private:
  /// A variable of all members.
  struct Stored {
    std::string group;
    Variable variable;  ///< with its own axes, without data
    std::map<std::int64_t, std::vector<double>> members;
    std::map<std::int64_t, std::vector<std::size_t>> shapes;
  };
  Stored& stored(const std::string& group, const Variable& variable);
  DataGroup empty_group(const std::string& name) const;
  void read_variable(const DataReader& file, const std::string& group, const std::string& name,
                     std::vector<MemberResult>& results) const;

  Sweep sweep_;
  std::vector<std::string> leading_;                                  // the axes of the sweep
  std::vector<Stored> variables_;                                     // as they came
  std::map<std::string, std::map<std::string, Dimension>> own_axes_;  // by group: the longest
  std::vector<double> done_, seconds_;
  std::map<std::int64_t, std::string> failures_;
};

}  // namespace headflow
