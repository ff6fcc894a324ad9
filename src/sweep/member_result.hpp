#pragma once
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "core/data_file.hpp"

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

}  // namespace headflow
