#include "sweep/member_result.hpp"

#include <algorithm>
#include <cstring>

#include "headflow/core/statistics.hpp"

namespace headflow {
namespace {

/// Appends what it is shown to bytes.
class Packer {
 public:
  void operator()(double& x) { bytes.append(reinterpret_cast<const char*>(&x), sizeof x); }
  template <class List>
  void list(List& items, auto&& each) {
    double size = static_cast<double>(items.size());
    (*this)(size);
    for (auto& item : items) each(item);
  }

  std::string bytes;
};

/// Reads it back, in the same order.
class Unpacker {
 public:
  explicit Unpacker(const std::string& bytes) : next_(bytes.data()) {}
  void operator()(double& x) {
    std::memcpy(&x, next_, sizeof x);
    next_ += sizeof x;
  }
  template <class List>
  void list(List& items, auto&& each) {
    double size = 0;
    (*this)(size);
    items.resize(static_cast<std::size_t>(size));
    for (auto& item : items) each(item);
  }

 private:
  const char* next_;
};

/// One walk over a result, for both.
template <class Archive>
void exchange(Archive& archive, MemberResult& result) {
  const auto number = [&](double& x) { archive(x); };
  const auto text = [&](std::string& s) {
    archive.list(s, [&](char& c) {
      double code = static_cast<unsigned char>(c);
      archive(code);
      c = static_cast<char>(static_cast<unsigned char>(code));
    });
  };
  double member = static_cast<double>(result.member);
  number(member);
  result.member = static_cast<std::int64_t>(member);
  number(result.seconds);
  text(result.failure);
  archive.list(result.groups, [&](DataGroup& group) {
    text(group.name);
    archive.list(group.dimensions, [&](Dimension& axis) {
      text(axis.name);
      text(axis.long_name);
      archive.list(axis.values, number);
    });
    archive.list(group.variables, [&](Variable& variable) {
      text(variable.name);
      text(variable.units);
      text(variable.long_name);
      archive.list(variable.axes, text);
      archive.list(variable.data, number);
    });
  });
}

}  // namespace

std::string MemberResult::packed() const {
  MemberResult copy = *this;
  Packer packer;
  exchange(packer, copy);
  return std::move(packer.bytes);
}

MemberResult MemberResult::unpacked(const std::string& bytes) {
  Unpacker unpacker(bytes);
  MemberResult result;
  exchange(unpacker, result);
  return result;
}

std::vector<DataGroup> last_values(std::deque<DataGroup> groups) {
  for (DataGroup& group : groups) {
    const auto time = std::find_if(group.dimensions.begin(), group.dimensions.end(),
                                   [](const Dimension& axis) { return axis.unlimited; });
    if (time == group.dimensions.end()) continue;
    const std::size_t records = time->values.size();
    std::erase_if(group.variables, [](const Variable& variable) { return variable.wall_time; });
    for (Variable& variable : group.variables) {
      if (variable.axes.empty() || variable.axes[0] != time->name) continue;
      variable.axes.erase(variable.axes.begin());
      const std::size_t size = records == 0 ? 0 : variable.data.size() / records;
      variable.data.erase(variable.data.begin(),
                          variable.data.end() - static_cast<std::ptrdiff_t>(size));
    }
    group.variables.push_back({.name = "end_time",
                               .axes = {},
                               .data = {records == 0 ? never : time->values.back()},
                               .units = time->units,
                               .long_name = "time of these values"});
    group.dimensions.erase(time);
  }
  return {groups.begin(), groups.end()};
}

}  // namespace headflow
