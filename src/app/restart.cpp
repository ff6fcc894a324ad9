#include "app/restart.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <map>
#include <set>
#include <sstream>

#include "headflow/core/error.hpp"
#include "core/exact_sum.hpp"
#include "output/provenance.hpp"

namespace headflow {
namespace {

/// Keys that may change between a checkpoint and its restart: the end, outputs to come, and what
/// leaves the numbers as they are.
bool may_change(const std::string& key) {
  static const std::set<std::string> keys = {
      "flow.end_time",    "flow.outputs",     "flow.spacing",      "flow.output_times",
      "sgd.end_time",     "sgd.steps",        "sgd.outputs",       "sgd.spacing",
      "sgd.output_times", "sgd.save_weights", "sgd.weights_times", "population.memory"};
  if (key.starts_with("saddle.")) return true;  // what is computed after the flow, and anew
  return key.starts_with("output.") || keys.contains(key);
}

/// "section.key" and value of a resolved input.
std::map<std::string, std::string> keys_of(const std::string& resolved) {
  std::map<std::string, std::string> keys;
  std::istringstream lines(resolved);
  std::string section;
  for (std::string line; std::getline(lines, line);) {
    const std::size_t equals = line.find(" = ");
    if (line.starts_with("["))
      section = line.substr(1, line.find(']') - 1);
    else if (equals != std::string::npos)
      keys[section + "." + line.substr(0, equals)] = line.substr(equals + 3);
  }
  return keys;
}

/// A line for each key that differs and is not `ignored`.
std::string differences(const std::string& before, const std::string& now, auto&& ignored) {
  auto old_keys = keys_of(before);
  auto new_keys = keys_of(now);
  std::string text;
  for (const auto& [key, value] : new_keys) old_keys.try_emplace(key, "(not given)");
  for (const auto& [key, value] : old_keys) {
    const auto found = new_keys.find(key);
    const std::string there = found == new_keys.end() ? "(not given)" : found->second;
    if (value == there || ignored(key)) continue;
    const char* hint =
        key == "sgd.engine" ? " (\"auto\" follows save_weights and weights_times: set it)" : "";
    text += fmt::format("  {}: {} -> {}{}\n", key, value, there, hint);
  }
  return text;
}

/// What stands between going on from `file` and this command, a line for each; empty if nothing.
std::string obstacles(const DataReader& file, const Command& command,
                      const Configuration& configuration) {
  std::string text = differences(file.text("provenance/input"), configuration.resolved, may_change);
  for (const auto& [name, now] : identity(command, configuration)) {
    const std::string before = file.text("provenance/" + name);
    if (before != now) text += fmt::format("  {}: \"{}\" -> \"{}\"\n", name, before, now);
  }
  return text;
}

/// An output that an earlier run of the same input left unfinished, without a checkpoint: killed
/// too soon. To compute it again loses nothing.
bool left_unfinished(const Communicator& comm, const Command& command,
                     const Configuration& configuration) {
  bool unfinished = false;
  comm.on_root([&] {
    try {
      const DataReader file(configuration.output);
      unfinished =
          !file.has("provenance/finished") && obstacles(file, command, configuration).empty();
    } catch (const Error&) {
      // not there, or not ours
    }
  });
  return comm.max(unfinished ? 1 : 0) != 0;
}

}  // namespace

std::map<std::string, std::string> identity(const Command& command,
                                            const Configuration& configuration) {
  std::string options;
  bool watching = false;
  for (const auto& word : command.petsc_options) {
    if (word.starts_with("-flow_") || word.starts_with("-saddle_") || word.starts_with("-train_"))
      watching =
          word.find("monitor") != std::string::npos || word.find("view") != std::string::npos;
    if (!watching) options += (options.empty() ? "" : " ") + word;
  }
  const Parameters& start = configuration.start.parameters;
  std::vector<double> numbers(start.K.data(), start.K.data() + start.K.size());
  numbers.insert(numbers.end(), start.b.begin(), start.b.end());
  numbers.push_back(start.v);
  const Matrix& S = configuration.start.spike_factor;
  numbers.insert(numbers.end(), S.data(), S.data() + S.size());
  return {{"solver_options", options},
          {"start_hash", fmt::format("{:016x}", fingerprint(numbers))}};
}

std::map<std::string, std::string> run_provenance(const Communicator& comm, const Command& command,
                                                  const Configuration& configuration,
                                                  const std::optional<Checkpoint>& from) {
  auto texts = provenance(comm, command.command_line, configuration.resolved);
  texts["restarted_from"] = configuration.restarted_from;
  texts["runs"] = from ? from->file->text("provenance/runs") + "\n" : "";
  texts["runs"] += fmt::format("{} {} {} ranks", texts["run_id"], texts["started"], comm.size());
  texts.merge(identity(command, configuration));
  return texts;
}

std::optional<Checkpoint> find_restart(const Communicator& comm, const Command& command,
                                       const Configuration& configuration,
                                       Checkpoints& checkpoints) {
  std::optional<Checkpoint> found;
  if (command.restart == "auto")
    found = checkpoints.newest();
  else if (command.restart != "none")
    found = checkpoints.open(command.restart);
  const bool replace = command.force || found ||
                       (command.restart == "auto" && left_unfinished(comm, command, configuration));
  for (const auto& file : configuration.files())
    require_writable_output(comm, file, command.request.input, replace);
  if (!found) {
    comm.on_root([&] {
      std::error_code ignored;
      for (int i = 1; i <= 100; ++i) std::filesystem::remove(checkpoints.path_at(i), ignored);
    });
    return found;
  }
  const std::string changed = obstacles(*found->file, command, configuration);
  if (!changed.empty())
    throw InputError(fmt::format(
        "the input is not that of checkpoint {}:\n{}--restart none begins anew (with --force, if "
        "the output exists)",
        found->path, changed));
  checkpoints.continue_after(found->number);
  return found;
}

bool already_finished(const Communicator& comm, const Checkpoint& checkpoint,
                      const Configuration& configuration) {
  bool finished = false;
  comm.on_root([&] {
    finished = checkpoint.file->has("provenance/finished") &&
               std::filesystem::exists(configuration.output) &&
               differences(checkpoint.file->text("provenance/input"), configuration.resolved,
                           [](const std::string& key) { return key.starts_with("output."); })
                   .empty();
  });
  return comm.max(finished ? 1 : 0) != 0;
}

}  // namespace headflow
