#include "sweep/sweep_store.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <numeric>

#include "headflow/core/error.hpp"
#include "headflow/core/statistics.hpp"

namespace headflow {
namespace {

std::size_t product(const std::vector<std::size_t>& extents) {
  return std::accumulate(extents.begin(), extents.end(), std::size_t{1}, std::multiplies<>());
}

/// Copies `from` of shape `small` into the corner of `to` of shape `large`.
void copy_corner(const std::vector<double>& from, const std::vector<std::size_t>& small, double* to,
                 const std::vector<std::size_t>& large) {
  for (std::size_t i = 0; i < from.size(); ++i) {
    std::size_t rest = i, place = 0, stride = 1;
    for (std::size_t axis = small.size(); axis-- > 0;) {
      place += rest % small[axis] * stride;
      rest /= small[axis];
      stride *= large[axis];
    }
    to[place] = from[i];
  }
}

}  // namespace

SweepStore::SweepStore(Sweep sweep)
    : sweep_(std::move(sweep)),
      done_(static_cast<std::size_t>(sweep_.size()), 0),
      seconds_(done_.size(), never) {
  for (const SweepAxis& axis : sweep_.axes) leading_.push_back(axis.name);
}

SweepStore::Stored& SweepStore::stored(const std::string& group, const Variable& variable) {
  const auto found = std::find_if(variables_.begin(), variables_.end(), [&](const Stored& one) {
    return one.group == group && one.variable.name == variable.name;
  });
  if (found != variables_.end()) return *found;
  Variable own = variable;
  own.data.clear();
  return variables_.emplace_back(Stored{group, own, {}, {}});
}

void SweepStore::add(const MemberResult& result) {
  const auto member = static_cast<std::size_t>(result.member);
  done_[member] = result.failure.empty() ? 1 : -1;
  seconds_[member] = result.seconds;
  if (!result.failure.empty()) failures_[result.member] = result.failure;
  for (const DataGroup& group : result.groups)
    for (const Variable& variable : group.variables) {
      if (variable.data.empty()) continue;
      Stored& all = stored(group.name, variable);
      all.members[result.member] = variable.data;
      const auto shape = all.shapes[result.member] = group.shape_of(variable);
      for (std::size_t i = 0; i < shape.size(); ++i) {
        Dimension& axis = own_axes_[group.name][variable.axes[i]];
        axis.name = variable.axes[i];
        if (axis.long_name.empty()) axis.long_name = group.dimension(axis.name).long_name;
        while (axis.values.size() < shape[i])
          axis.values.push_back(static_cast<double>(axis.values.size() + 1));
      }
    }
}

std::int64_t SweepStore::finished() const {
  return std::count_if(done_.begin(), done_.end(), [](double d) { return d != 0; });
}

std::int64_t SweepStore::failed() const {
  return std::count_if(done_.begin(), done_.end(), [](double d) { return d < 0; });
}

DataGroup SweepStore::empty_group(const std::string& name) const {
  DataGroup group{.name = name, .dimensions = {}, .variables = {}};
  for (const SweepAxis& axis : sweep_.axes)
    group.dimensions.push_back({.name = axis.name,
                                .values = axis.coordinates,
                                .long_name = fmt::format("{}", fmt::join(axis.keys, ", "))});
  if (const auto own = own_axes_.find(name); own != own_axes_.end())
    for (const auto& [axis, dimension] : own->second) group.dimensions.push_back(dimension);
  return group;
}

std::deque<DataGroup> SweepStore::groups() const {
  std::deque<DataGroup> groups = {empty_group("sweep")};
  groups[0].variables = {{.name = "done",
                          .axes = leading_,
                          .data = done_,
                          .long_name = "1 finished, 0 not yet, -1 failed"},
                         {.name = "seconds",
                          .axes = leading_,
                          .data = seconds_,
                          .units = "s",
                          .long_name = "wall time of the member"}};
  for (const Stored& stored : variables_) {
    auto group = std::find_if(groups.begin(), groups.end(),
                              [&](const DataGroup& one) { return one.name == stored.group; });
    if (group == groups.end()) group = groups.insert(group, empty_group(stored.group));
    const std::vector<std::size_t> own = group->shape_of(stored.variable);
    Variable variable = stored.variable;
    variable.axes.insert(variable.axes.begin(), leading_.begin(), leading_.end());
    variable.data.assign(done_.size() * product(own), never);
    for (const auto& [member, data] : stored.members)
      copy_corner(data, stored.shapes.at(member),
                  &variable.data[static_cast<std::size_t>(member) * product(own)], own);
    group->variables.push_back(std::move(variable));
  }
  return groups;
}

void SweepStore::read(const DataReader& file) {
  if (!file.has("sweep/done") || !file.has("provenance/sweep") ||
      file.text("provenance/sweep") != sweep_.text)
    throw InputError("it is no file of this sweep");
  const std::vector<double> done = file.numbers("sweep/done").data;
  const std::vector<double> seconds = file.numbers("sweep/seconds").data;
  std::vector<MemberResult> results;
  for (std::size_t i = 0; i < done.size(); ++i)
    if (done[i] != 0)
      results.push_back({.member = static_cast<std::int64_t>(i),
                         .seconds = seconds[i],
                         .failure = done[i] < 0 ? "it failed in an earlier run" : ""});
  for (const auto& group : file.members("/")) {
    if (group == "provenance" || group == "sweep") continue;
    for (MemberResult& result : results)
      result.groups.push_back({.name = group, .dimensions = {}, .variables = {}});
    for (const auto& name : file.members(group)) read_variable(file, group, name, results);
  }
  for (const MemberResult& result : results) add(result);
}

void SweepStore::read_variable(const DataReader& file, const std::string& group,
                               const std::string& name, std::vector<MemberResult>& results) const {
  const std::string path = group + "/" + name;
  const auto leading = static_cast<std::ptrdiff_t>(leading_.size());
  const std::vector<std::string> axes = file.axes(path);
  if (axes.size() < leading_.size() || axes[0] != leading_[0] || name == leading_[0])
    return;  // an axis
  const Numbers numbers = file.numbers(path);
  const std::vector<std::size_t> shape(numbers.shape.begin() + leading, numbers.shape.end());
  const std::size_t size = product(shape);
  auto attributes = file.attributes(path);
  std::vector<Dimension> own;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const std::string& axis = axes[leading_.size() + i];
    own.push_back({.name = axis,
                   .values = std::vector<double>(shape[i]),
                   .long_name = file.attributes(group + "/" + axis)["long_name"]});
  }
  for (MemberResult& result : results) {
    DataGroup& target = result.groups.back();
    const auto* first = &numbers.data[static_cast<std::size_t>(result.member) * size];
    target.variables.push_back({.name = name,
                                .axes = {axes.begin() + leading, axes.end()},
                                .data = {first, first + size},
                                .units = attributes["units"],
                                .long_name = attributes["long_name"]});
    for (const Dimension& axis : own)
      if (std::none_of(target.dimensions.begin(), target.dimensions.end(),
                       [&](const Dimension& known) { return known.name == axis.name; }))
        target.dimensions.push_back(axis);
  }
}

}  // namespace headflow
