#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/data_file.hpp"
#include "sweep/sweep.hpp"

namespace headflow {

/// What one member of a sweep has found: the groups of its run without the axis of time, of which
/// the last value is kept; or why it has failed.
struct MemberResult {
  std::int64_t member = 0;
  double seconds = 0;
  std::string failure{};
  std::vector<DataGroup> groups{};

  /// As bytes, and back.
  std::string packed() const;
  static MemberResult unpacked(const std::string& bytes);
};

/// Reduces the groups of a finished run to what a sweep keeps of it.
std::vector<DataGroup> last_values(std::deque<DataGroup> groups);

/// The results of all members: every variable with the axes of the sweep before its own, NaN where
/// a member is missing or shorter.
class SweepStore {
 public:
  explicit SweepStore(Sweep sweep);

  void add(const MemberResult& result);
  /// Takes over the results in a file of the same sweep. Throws InputError when it is none.
  void read(const DataReader& file);
  bool done(std::int64_t member) const;
  std::int64_t finished() const;
  std::int64_t failed() const;
  /// One line for each member that has failed.
  const std::map<std::int64_t, std::string>& failures() const { return failures_; }

  /// All of it, as groups of a file.
  std::deque<DataGroup> groups() const;

 private:
  struct Stored {
    std::vector<std::string> axes;     ///< its own
    std::vector<std::size_t> extents;  ///< the largest so far
    std::map<std::int64_t, std::vector<double>> members;
    std::map<std::int64_t, std::vector<std::size_t>> shapes;
    std::string units, long_name;
  };
  std::vector<Dimension> sweep_dimensions() const;
  void read_variable(const DataReader& file, const std::string& group, const std::string& name,
                     std::vector<MemberResult>& results) const;

  Sweep sweep_;
  std::vector<std::string> order_;                 // "group/variable" as they came
  std::map<std::string, Stored> variables_;        // by "group/variable"
  std::map<std::string, std::string> axis_names_;  // long names of own axes
  std::vector<double> done_, seconds_;
  std::map<std::int64_t, std::string> failures_;
};

}  // namespace headflow
