#include <fmt/format.h>

#include "app/commands.hpp"
#include "core/data_file.hpp"
#include "sweep/sweep_store.hpp"

namespace headflow {
namespace {

void print_variable(const DataReader& file, const std::string& path) {
  const Numbers numbers = file.numbers(path);
  std::string last;
  if (!numbers.data.empty()) last = fmt::format(", last {:.6g}", numbers.data.back());
  fmt::print("  {:<28} {}{}\n", path,
             numbers.shape.empty() ? "scalar" : fmt::format("{}", fmt::join(numbers.shape, " x ")),
             last);
}

void print_provenance(const DataReader& file) {
  const std::string group = "provenance";
  if (!file.has(group)) return;
  fmt::print("[{}]\n", group);
  if (file.has(group + "/input")) fmt::print("input:\n{}\n", file.text(group + "/input"));
  for (const auto& name : file.members("/" + group))
    if (name != "input") fmt::print("{}: {}\n", name, file.text(group + "/" + name));
  fmt::print("\n");
}

/// Whether the run that made the file has come to its end; of other files of a run, what they are.
std::string state_of(const DataReader& file) {
  const auto attributes = file.attributes();
  if (const auto number = attributes.find("checkpoint"); number != attributes.end())
    return fmt::format("checkpoint number {} of {}", number->second, attributes.at("output"));
  if (file.has("sgd/spikes"))
    return fmt::format("weights of SGD at t = {:g}", file.numbers("sgd/time").data.at(0));
  const auto time_of = [&](const std::string& end) {
    return file.has("provenance/" + end) ? file.text("provenance/" + end) : "";
  };
  if (const std::string end = time_of("finished"); !end.empty())
    return fmt::format("the run has finished ({})", end);
  if (const std::string end = time_of("stopped"); !end.empty())
    return fmt::format("the run has stopped before its end ({})", end);
  if (const auto sweep = SweepProgress::of(file); sweep.members > 0 && !sweep.complete())
    return "the sweep is not complete: " + sweep.text();
  return "the run has not ended: it is running, or was killed";
}

/// First whether the run has finished, then the variables, what made the file, and its state again.
void print_file(const std::string& file) {
  const DataReader reader(file);
  const bool made_by_run = reader.has("provenance/run_id");
  if (made_by_run) fmt::print("{}: {}\n\n", file, state_of(reader));
  for (const auto& group : reader.members("/")) {
    if (group == "provenance") continue;
    fmt::print("[{}]\n", group);
    for (const auto& name : reader.members("/" + group)) print_variable(reader, group + "/" + name);
    fmt::print("\n");
  }
  print_provenance(reader);
  fmt::print("file: {}\n", file);
  if (made_by_run) fmt::print("state: {}\n", state_of(reader));
  for (const auto& [name, value] : reader.attributes()) fmt::print("{}: {}\n", name, value);
  if (const auto sweep = SweepProgress::of(reader); sweep.members > 0)
    fmt::print("sweep: {}\n", sweep.text());
}

}  // namespace

ExitCode info(const Communicator& comm, const Command& command) {
  comm.on_root([&] { print_file(command.file); });
  return ExitCode::finished;
}

}  // namespace headflow
