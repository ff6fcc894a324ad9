#include "sweep/sweep_store.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>

#include "headflow/core/error.hpp"

namespace headflow {
namespace {

constexpr double never = std::numeric_limits<double>::quiet_NaN();

std::size_t product(const std::vector<std::size_t>& extents) {
  return std::accumulate(extents.begin(), extents.end(), std::size_t{1}, std::multiplies<>());
}

const Dimension& axis_of(const DataGroup& group, const std::string& name) {
  return *std::find_if(group.dimensions.begin(), group.dimensions.end(),
                       [&](const Dimension& d) { return d.name == name; });
}

std::vector<std::size_t> shape_of(const DataGroup& group, const Variable& variable) {
  std::vector<std::size_t> shape;
  for (const auto& axis : variable.axes) shape.push_back(axis_of(group, axis).values.size());
  return shape;
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

class Packer {
 public:
  void number(double x) { bytes_.append(reinterpret_cast<const char*>(&x), sizeof x); }
  void count(std::size_t n) { number(static_cast<double>(n)); }
  void text(const std::string& s) {
    count(s.size());
    bytes_ += s;
  }
  void numbers(const std::vector<double>& values) {
    count(values.size());
    bytes_.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(double));
  }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

class Unpacker {
 public:
  explicit Unpacker(const std::string& bytes) : next_(bytes.data()) {}
  double number() {
    double x = 0;
    std::memcpy(&x, next_, sizeof x);
    next_ += sizeof x;
    return x;
  }
  std::size_t count() { return static_cast<std::size_t>(number()); }
  std::string text() {
    const std::size_t size = count();
    std::string s(next_, size);
    next_ += size;
    return s;
  }
  std::vector<double> numbers() {
    std::vector<double> values(count());
    for (double& x : values) x = number();
    return values;
  }

 private:
  const char* next_;
};

}  // namespace

std::string MemberResult::packed() const {
  Packer pack;
  pack.number(static_cast<double>(member));
  pack.number(seconds);
  pack.text(failure);
  pack.count(groups.size());
  for (const DataGroup& group : groups) {
    pack.text(group.name);
    pack.count(group.dimensions.size());
    for (const Dimension& axis : group.dimensions) {
      pack.text(axis.name);
      pack.text(axis.long_name);
      pack.numbers(axis.values);
    }
    pack.count(group.variables.size());
    for (const Variable& variable : group.variables) {
      pack.text(variable.name);
      pack.text(variable.units);
      pack.text(variable.long_name);
      pack.count(variable.axes.size());
      for (const auto& axis : variable.axes) pack.text(axis);
      pack.numbers(variable.data);
    }
  }
  return pack.take();
}

MemberResult MemberResult::unpacked(const std::string& bytes) {
  Unpacker unpack(bytes);
  MemberResult result{.member = static_cast<std::int64_t>(unpack.number())};
  result.seconds = unpack.number();
  result.failure = unpack.text();
  result.groups.resize(unpack.count());
  for (DataGroup& group : result.groups) {
    group.name = unpack.text();
    group.dimensions.resize(unpack.count());
    for (Dimension& axis : group.dimensions) {
      axis.name = unpack.text();
      axis.long_name = unpack.text();
      axis.values = unpack.numbers();
    }
    group.variables.resize(unpack.count());
    for (Variable& variable : group.variables) {
      variable.name = unpack.text();
      variable.units = unpack.text();
      variable.long_name = unpack.text();
      variable.axes.resize(unpack.count());
      for (auto& axis : variable.axes) axis = unpack.text();
      variable.data = unpack.numbers();
    }
  }
  return result;
}

std::vector<DataGroup> last_values(std::deque<DataGroup> groups) {
  for (DataGroup& group : groups) {
    const auto time = std::find_if(group.dimensions.begin(), group.dimensions.end(),
                                   [](const Dimension& axis) { return axis.unlimited; });
    if (time == group.dimensions.end()) continue;
    const std::size_t records = time->values.size();
    std::erase_if(group.variables, [&](const Variable& variable) {
      return variable.name == "sequences_per_second";  // differs whenever it is computed
    });
    for (Variable& variable : group.variables) {
      if (variable.axes.empty() || variable.axes[0] != time->name) continue;
      variable.axes.erase(variable.axes.begin());
      const std::size_t size = records == 0 ? 0 : variable.data.size() / records;
      variable.data.erase(variable.data.begin(),
                          variable.data.end() - static_cast<std::ptrdiff_t>(size));
    }
    group.variables.push_back({"end_time",
                               {},
                               {records == 0 ? never : time->values.back()},
                               time->units,
                               "time of these values"});
    group.dimensions.erase(time);
  }
  return {groups.begin(), groups.end()};
}

SweepStore::SweepStore(Sweep sweep)
    : sweep_(std::move(sweep)),
      done_(static_cast<std::size_t>(sweep_.size()), 0),
      seconds_(done_.size(), never) {}

void SweepStore::add(const MemberResult& result) {
  const auto member = static_cast<std::size_t>(result.member);
  done_[member] = result.failure.empty() ? 1 : -1;
  seconds_[member] = result.seconds;
  if (!result.failure.empty()) failures_[result.member] = result.failure;
  for (const DataGroup& group : result.groups)
    for (const Variable& variable : group.variables) {
      if (variable.data.empty()) continue;
      const std::string name = group.name + "/" + variable.name;
      const auto [found, fresh] = variables_.try_emplace(name);
      Stored& stored = found->second;
      const std::vector<std::size_t> shape = shape_of(group, variable);
      if (fresh) {
        order_.push_back(name);
        stored.axes = variable.axes;
        stored.extents = shape;
        stored.units = variable.units;
        stored.long_name = variable.long_name;
        for (const auto& axis : variable.axes) axis_names_[axis] = axis_of(group, axis).long_name;
      }
      for (std::size_t i = 0; i < shape.size(); ++i)
        stored.extents[i] = std::max(stored.extents[i], shape[i]);
      stored.members[result.member] = variable.data;
      stored.shapes[result.member] = shape;
    }
}

bool SweepStore::done(std::int64_t member) const {
  return done_[static_cast<std::size_t>(member)] != 0;
}

std::int64_t SweepStore::finished() const {
  return std::count_if(done_.begin(), done_.end(), [](double d) { return d != 0; });
}

std::int64_t SweepStore::failed() const {
  return std::count_if(done_.begin(), done_.end(), [](double d) { return d < 0; });
}

std::vector<Dimension> SweepStore::sweep_dimensions() const {
  std::vector<Dimension> dimensions;
  for (const SweepAxis& axis : sweep_.axes)
    dimensions.push_back({.name = axis.name,
                          .values = axis.coordinates,
                          .long_name = fmt::format("{}", fmt::join(axis.keys, ", "))});
  return dimensions;
}

std::deque<DataGroup> SweepStore::groups() const {
  std::vector<std::string> leading;
  for (const SweepAxis& axis : sweep_.axes) leading.push_back(axis.name);
  std::deque<DataGroup> groups;
  groups.push_back({"sweep",
                    sweep_dimensions(),
                    {{"done", leading, done_, "1", "1 finished, 0 not yet, -1 failed"},
                     {"seconds", leading, seconds_, "s", "wall time of the member"}}});
  std::map<std::string, std::map<std::string, std::size_t>> extents;  // of own axes, by group
  for (const auto& [name, stored] : variables_)
    for (std::size_t i = 0; i < stored.axes.size(); ++i) {
      auto& extent = extents[name.substr(0, name.find('/'))][stored.axes[i]];
      extent = std::max(extent, stored.extents[i]);
    }
  for (const std::string& name : order_) {
    const std::string group_name = name.substr(0, name.find('/'));
    auto group = std::find_if(groups.begin(), groups.end(),
                              [&](const DataGroup& g) { return g.name == group_name; });
    if (group == groups.end()) {
      groups.push_back({group_name, sweep_dimensions(), {}});
      group = groups.end() - 1;
      for (const auto& [axis, extent] : extents[group_name]) {
        Dimension dimension{.name = axis, .values = {}, .long_name = axis_names_.at(axis)};
        for (std::size_t i = 1; i <= extent; ++i)
          dimension.values.push_back(static_cast<double>(i));
        group->dimensions.push_back(std::move(dimension));
      }
    }
    const Stored& stored = variables_.at(name);
    std::vector<std::size_t> own;
    for (const auto& axis : stored.axes) own.push_back(extents[group_name][axis]);
    Variable variable{name.substr(group_name.size() + 1), leading,
                      std::vector<double>(done_.size() * product(own), never), stored.units,
                      stored.long_name};
    variable.axes.insert(variable.axes.end(), stored.axes.begin(), stored.axes.end());
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
  const auto leading = static_cast<std::ptrdiff_t>(sweep_.axes.size());
  const std::vector<std::string> axes = file.axes(path);
  if (axes.size() < sweep_.axes.size() || axes[0] != sweep_.axes[0].name ||
      name == sweep_.axes[0].name)
    return;  // an axis
  const Numbers numbers = file.numbers(path);
  const std::vector<std::size_t> shape(numbers.shape.begin() + leading, numbers.shape.end());
  const std::size_t size = product(shape);
  auto attributes = file.attributes(path);
  for (MemberResult& result : results) {
    DataGroup& target = result.groups.back();
    const auto* first = &numbers.data[static_cast<std::size_t>(result.member) * size];
    target.variables.push_back({name,
                                {axes.begin() + leading, axes.end()},
                                {first, first + size},
                                attributes["units"],
                                attributes["long_name"]});
    for (std::size_t i = 0; i < shape.size(); ++i) {
      const std::string& axis = axes[static_cast<std::size_t>(leading) + i];
      if (std::any_of(target.dimensions.begin(), target.dimensions.end(),
                      [&](const Dimension& d) { return d.name == axis; }))
        continue;
      target.dimensions.push_back({.name = axis,
                                   .values = std::vector<double>(shape[i]),
                                   .long_name = file.attributes(group + "/" + axis)["long_name"]});
    }
  }
}

}  // namespace headflow
