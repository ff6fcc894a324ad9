#include "sweep/sweep_store.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <numeric>

#include "headflow/core/error.hpp"
#include "headflow/core/statistics.hpp"

namespace headflow {
namespace {

constexpr const char* differs = "; other values in other members: counted";

std::size_t product(const std::vector<std::size_t>& extents) {
  return std::accumulate(extents.begin(), extents.end(), std::size_t{1}, std::multiplies<>());
}

/// Copies `from` of shape `small` into the corner of `to` of shape `large`.
void copy_corner(const double* from, const std::vector<std::size_t>& small, double* to,
                 const std::vector<std::size_t>& large) {
  const std::size_t size = product(small);
  if (small == large) {
    std::copy(from, from + size, to);
    return;
  }
  for (std::size_t i = 0; i < size; ++i) {
    std::size_t rest = i, place = 0, stride = 1;
    for (std::size_t axis = small.size(); axis-- > 0;) {
      place += rest % small[axis] * stride;
      rest /= small[axis];
      stride *= large[axis];
    }
    to[place] = from[i];
  }
}

/// The values of an axis that have two members: the longer of the two where they agree as far as
/// both go, else 1, 2, ..
void merge_values(Dimension& known, const Dimension& own) {
  const std::size_t both = std::min(known.values.size(), own.values.size());
  const bool agree =
      std::equal(own.values.begin(), own.values.begin() + static_cast<std::ptrdiff_t>(both),
                 known.values.begin());
  if (own.values.size() > both) known.values = own.values;
  if (agree && !known.long_name.ends_with(differs)) return;
  std::iota(known.values.begin(), known.values.end(), 1.0);
  if (!known.long_name.ends_with(differs)) known.long_name += differs;
}

}  // namespace

std::string SweepProgress::text() const {
  return fmt::format("{} of {} members{}", done, members,
                     failed > 0 ? fmt::format(", {} of them failed", failed) : "");
}

SweepProgress SweepProgress::of(const DataReader& file) {
  SweepProgress progress;
  if (!file.has("sweep/done")) return progress;
  for (const double d : file.numbers("sweep/done").data) {
    ++progress.members;
    progress.done += d != 0 ? 1 : 0;
    progress.failed += d < 0 ? 1 : 0;
  }
  return progress;
}

SweepStore::SweepStore(const Sweep& sweep, std::deque<DataGroup>& groups)
    : sweep_(sweep), groups_(groups) {
  for (const SweepAxis& axis : sweep_.axes) leading_.push_back(axis.name);
  DataGroup& own = groups_.emplace_back(empty_group("sweep"));
  const auto members = static_cast<std::size_t>(sweep_.size());
  own.variables = {{.name = "done",
                    .axes = leading_,
                    .data = std::vector<double>(members, 0),
                    .long_name = "1 finished, 0 not yet, -1 failed"},
                   {.name = "seconds",
                    .axes = leading_,
                    .data = std::vector<double>(members, never),
                    .units = "s",
                    .long_name = "wall time of the member"}};
}

SweepProgress SweepStore::progress() const {
  SweepProgress progress{.members = sweep_.size()};
  for (const double d : done()) {
    progress.done += d != 0 ? 1 : 0;
    progress.failed += d < 0 ? 1 : 0;
  }
  return progress;
}

DataGroup SweepStore::empty_group(const std::string& name) const {
  DataGroup group{.name = name, .dimensions = {}, .variables = {}};
  for (const SweepAxis& axis : sweep_.axes)
    group.dimensions.push_back({.name = axis.name,
                                .values = axis.coordinates,
                                .long_name = fmt::format("{}", fmt::join(axis.keys, ", "))});
  return group;
}

DataGroup& SweepStore::group(const std::string& name) {
  const auto found = std::find_if(groups_.begin(), groups_.end(),
                                  [&](const DataGroup& one) { return one.name == name; });
  return found != groups_.end() ? *found : groups_.emplace_back(empty_group(name));
}

/// All NaN.
std::vector<double> SweepStore::allocate(const std::vector<std::size_t>& shape) {
  constexpr double gib = 0x1p30;
  double numbers = 1;
  for (const std::size_t extent : shape) numbers *= static_cast<double>(extent);
  for (const DataGroup& group : groups_)
    for (const Variable& one : group.variables) numbers += static_cast<double>(one.data.size());
  const double needed = 2 * sizeof(double) * numbers;  // with the copy that a checkpoint takes
  const double there =
      static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGE_SIZE));
  if (needed > there)
    throw InputError(
        fmt::format("[sweep]: the results of its {} members need {:.3g} GiB of memory and more, "
                    "and this machine has {:.3g} GiB",
                    sweep_.size(), needed / gib, there / gib));
  return std::vector<double>(product(shape), never);
}

/// Makes room along an axis of a group, for a member that is longer there.
void SweepStore::extend(DataGroup& group, const Dimension& own) {
  const auto known = std::find_if(group.dimensions.begin(), group.dimensions.end(),
                                  [&](const Dimension& axis) { return axis.name == own.name; });
  if (known == group.dimensions.end()) {
    group.dimensions.push_back(own);
    return;
  }
  const Dimension before = *known;
  merge_values(*known, own);
  if (known->values.size() == before.values.size()) return;
  for (Variable& variable : group.variables) {
    if (std::find(variable.axes.begin(), variable.axes.end(), own.name) == variable.axes.end())
      continue;
    const auto large = group.shape_of(variable);
    auto small = large;
    for (std::size_t i = 0; i < large.size(); ++i)
      if (variable.axes[i] == own.name) small[i] = before.values.size();
    std::vector<double> data = allocate(large);
    copy_corner(variable.data.data(), small, data.data(), large);
    variable.data = std::move(data);
  }
}

/// That of all members, with room for one of that name and axes.
Variable& SweepStore::variable(DataGroup& group, const Variable& own) {
  const auto found = std::find_if(group.variables.begin(), group.variables.end(),
                                  [&](const Variable& one) { return one.name == own.name; });
  if (found != group.variables.end()) return *found;
  Variable all{.name = own.name,
               .axes = leading_,
               .data = {},
               .units = own.units,
               .long_name = own.long_name};
  all.axes.insert(all.axes.end(), own.axes.begin(), own.axes.end());
  all.data = allocate(group.shape_of(all));
  return group.variables.emplace_back(std::move(all));
}

void SweepStore::add(const MemberResult& result) {
  const auto member = static_cast<std::size_t>(result.member);
  groups_[0].variables[0].data[member] = result.failure.empty() ? 1 : -1;
  groups_[0].variables[1].data[member] = result.seconds;
  if (!result.failure.empty()) failures_[result.member] = result.failure;
  for (const DataGroup& own : result.groups) {
    DataGroup& all = group(own.name);
    for (const Variable& one : own.variables) {
      if (one.data.empty()) continue;
      for (const auto& axis : one.axes) extend(all, own.dimension(axis));
      Variable& target = variable(all, one);
      auto large = all.shape_of(target);
      large.erase(large.begin(), large.begin() + static_cast<std::ptrdiff_t>(leading_.size()));
      copy_corner(one.data.data(), own.shape_of(one), &target.data[member * product(large)], large);
    }
  }
}

void SweepStore::read(const DataReader& file) {
  if (!file.has("sweep/done") || !file.has("provenance/sweep") ||
      file.text("provenance/sweep") != sweep_.text)
    throw InputError(file.path() + ": it is no file of this sweep");
  const std::vector<double> done = file.numbers("sweep/done").data;
  const std::vector<double> seconds = file.numbers("sweep/seconds").data;
  if (done.size() != this->done().size() || seconds.size() != done.size())
    throw InputError(fmt::format("{}: sweep/done and sweep/seconds have {} and {} members, not {}",
                                 file.path(), done.size(), seconds.size(), sweep_.size()));
  std::vector<std::size_t> members;  // that are new
  for (std::size_t i = 0; i < done.size(); ++i) {
    if (done[i] == 0 || this->done()[i] != 0) continue;
    members.push_back(i);
    add({.member = static_cast<std::int64_t>(i),
         .seconds = seconds[i],
         .failure = done[i] < 0 ? "it failed in an earlier run" : ""});
  }
  if (members.empty()) return;
  for (const auto& name : file.members("/")) {
    if (name == "provenance" || name == "sweep") continue;
    DataGroup& all = group(name);
    for (const auto& variable : file.members(name)) read_variable(file, all, variable, members);
  }
}

void SweepStore::read_variable(const DataReader& file, DataGroup& group, const std::string& name,
                               const std::vector<std::size_t>& members) {
  const std::string path = group.name + "/" + name;
  const auto leading = static_cast<std::ptrdiff_t>(leading_.size());
  const std::vector<std::string> axes = file.axes(path);
  if (axes.size() < leading_.size() || name == leading_[0] ||
      !std::equal(leading_.begin(), leading_.end(), axes.begin()))
    return;  // an axis
  const Numbers numbers = file.numbers(path);
  std::vector<std::size_t> shape;
  for (const SweepAxis& axis : sweep_.axes) shape.push_back(axis.coordinates.size());
  auto attributes = file.attributes(path);
  Variable own{.name = name,
               .axes = {axes.begin() + leading, axes.end()},
               .data = {},
               .units = attributes["units"],
               .long_name = attributes["long_name"]};
  for (const auto& axis : own.axes) {
    const std::string its_path = group.name + "/" + axis;
    const std::vector<double> values = file.numbers(its_path).data;
    shape.push_back(values.size());
    extend(group,
           {.name = axis, .values = values, .long_name = file.attributes(its_path)["long_name"]});
  }
  if (numbers.shape != shape)
    throw InputError(fmt::format("{}: {} of shape ({}) does not fit its axes, which have ({})",
                                 file.path(), path, fmt::join(numbers.shape, ", "),
                                 fmt::join(shape, ", ")));
  const std::vector<std::size_t> small(shape.begin() + leading, shape.end());
  Variable& all = variable(group, own);
  auto large = group.shape_of(all);
  large.erase(large.begin(), large.begin() + leading);
  for (const std::size_t member : members)
    copy_corner(&numbers.data[member * product(small)], small, &all.data[member * product(large)],
                large);
}

}  // namespace headflow
