#include "restart/checkpoints.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "core/checksum.hpp"
#include "core/paths.hpp"
#include "core/report.hpp"
#include "headflow/core/error.hpp"

namespace headflow {
namespace {

namespace fs = std::filesystem;

constexpr const char* format_name = "headflow checkpoint 2";

}  // namespace

DataGroup state_group(const std::string& name, const Snapshot& snapshot) {
  DataGroup group{.name = name, .dimensions = {}, .variables = {}};
  for (const auto& [list, values] : snapshot.lists()) {
    if (values.empty()) continue;
    Dimension axis{.name = list + "_index", .values = {}, .long_name = "index into " + list};
    for (std::size_t i = 1; i <= values.size(); ++i) axis.values.push_back(static_cast<double>(i));
    group.variables.push_back({list, {axis.name}, values, "1", "part of the state"});
    group.dimensions.push_back(std::move(axis));
  }
  return group;
}

Snapshot Checkpoint::snapshot(const std::string& name) const {
  Snapshot snapshot;
  if (!file->has(name)) return snapshot;
  const auto members = file->members(name);
  for (const auto& member : members) {
    const auto is_list = std::find(members.begin(), members.end(), member + "_index");
    if (is_list != members.end()) snapshot.put(member, file->numbers(name + "/" + member).data);
  }
  return snapshot;
}

void Checkpoint::read_series(DataGroup& group, double until) const {
  if (!file->has(group.name)) return;
  auto& time = group.dimensions[0].values;
  time = file->numbers(group.name + "/time").data;
  const std::size_t all = time.size();
  time.erase(std::upper_bound(time.begin(), time.end(), until), time.end());
  for (auto& variable : group.variables) {
    const std::string name = group.name + "/" + variable.name;
    if (!file->has(name))
      throw InputError(fmt::format(
          "checkpoint {} has no variable {}: a program that had none has written it. Go on with "
          "that program, or begin anew with --restart none and another --output",
          path, name));
    variable.data = file->numbers(name).data;
    const bool series = !variable.axes.empty() && variable.axes[0] == "time";
    if (series && all > 0) variable.data.resize(variable.data.size() / all * time.size());
  }
}

Checkpoints::Checkpoints(const Communicator& comm, const std::string& output, int kept)
    : comm_(comm), output_(output), kept_(kept) {}

std::string Checkpoints::path_at(std::int64_t place) const {
  return companion(output_, fmt::format("checkpoint-{}", place));
}

std::vector<std::string> Checkpoints::places() const {
  std::vector<std::string> paths;
  for (int place = 1; place <= kept_; ++place) paths.push_back(path_at(place));
  return paths;
}

std::string Checkpoints::owner() const { return fs::path(output_).filename().string(); }

bool Checkpoints::is_own(const std::string& path) const {
  try {
    auto attributes = DataReader(path).attributes();
    return attributes["format"] == format_name && attributes["output"] == owner();
  } catch (const Error&) {
    return false;
  }
}

std::optional<Checkpoint> Checkpoints::read(const std::string& path, std::string& problem) const {
  Checkpoint checkpoint{.path = path, .file = nullptr};
  problem.clear();
  comm_.on_root([&] {
    try {
      if (checksum_of(path) != ChecksumState::intact)
        problem = "it is damaged or no checkpoint";
      else {
        auto attributes = DataReader(path, DataReader::Intact{}).attributes();
        if (attributes["format"] != format_name)
          problem = "it is no checkpoint of this version of headflow";
        else
          checkpoint.number = std::stoll(attributes["checkpoint"]);
      }
    } catch (const NewerFormat&) {
      throw;  // whole, and ahead of all that this program can read
    } catch (const std::exception& error) {
      problem = error.what();
    }
  });
  problem = comm_.broadcast(problem);
  if (!problem.empty()) return std::nullopt;
  checkpoint.number = comm_.broadcast(checkpoint.number);
  checkpoint.file = std::make_shared<DataReader>(path, DataReader::Intact{});
  return checkpoint;
}

std::vector<std::string> Checkpoints::paths() const {
  const fs::path folder = fs::path(output_).parent_path();
  const std::string suffix = companion(output_, "").ends_with(".h5") ? ".h5" : "";
  std::vector<std::string> paths;
  std::error_code ignored;
  for (const auto& entry :
       fs::directory_iterator(folder.empty() ? "." : folder.string(), ignored)) {
    const std::string path = (folder / entry.path().filename()).string();
    if (!path.ends_with(suffix)) continue;
    const std::size_t end = path.size() - suffix.size();
    const std::size_t first = path.find_last_not_of("0123456789", end - 1) + 1;
    const std::string place = path.substr(first, end - first);
    if (!place.empty() && path == companion(output_, "checkpoint-" + place)) paths.push_back(path);
  }
  return paths;
}

void Checkpoints::remove_all() const {
  std::error_code ignored;
  if (comm_.root())
    for (const auto& path : paths())
      if (is_own(path)) fs::remove(path, ignored);
}

void Checkpoints::make_room() const {
  comm_.on_root([&] {
    for (const auto& path : places()) {
      std::error_code ignored;
      if (!fs::exists(path, ignored) || is_own(path)) continue;
      int number = 1;
      const auto name = [&] { return fmt::format("{}.set-aside-{}", path, number); };
      while (fs::exists(fs::symlink_status(name(), ignored))) ++number;
      fs::rename(path, name());
    }
  });
}

std::optional<Checkpoint> Checkpoints::newest() const {
  std::vector<std::string> all;
  if (comm_.root()) all = paths();
  all.resize(comm_.broadcast(all.size()));
  std::optional<Checkpoint> best;
  std::vector<std::string> problems;
  for (const std::string& own : all) {
    const std::string path = comm_.broadcast(own);
    std::string problem;
    auto checkpoint = read(path, problem);
    if (checkpoint && checkpoint->file->attributes()["output"] != owner()) {
      problem = fmt::format("it is not of output {} (--restart {} goes on from it)", owner(), path);
      checkpoint.reset();
    }
    if (!checkpoint)
      problems.push_back(fmt::format("checkpoint {} cannot be used: {}", path, problem));
    else if (!best || checkpoint->number > best->number)
      best = checkpoint;
  }
  if (!problems.empty() && !best)
    throw FileError(fmt::format("{}; no valid checkpoint is left; --restart none begins anew",
                                fmt::join(problems, "; ")));
  if (comm_.root())
    for (const auto& problem : problems) warn(problem);
  return best;
}

Checkpoint Checkpoints::open(const std::string& path) const {
  std::string problem;
  const auto checkpoint = read(path, problem);
  if (!checkpoint) throw InputError(fmt::format("--restart {}: {}", path, problem));
  return *checkpoint;
}

void Checkpoints::write_alone(const Communicator& comm, DataFile& content) {
  const auto attributes = content.attributes;
  content.attributes["format"] = format_name;
  content.attributes["output"] = owner();
  content.attributes["checkpoint"] = std::to_string(number_ + 1);
  write_data_file(comm, path_at(1 + number_ % kept_), content);
  content.attributes = attributes;
  ++number_;
}

}  // namespace headflow
