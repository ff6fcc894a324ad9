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

/// The variables, then what made the file, and last the summary, which stays on the screen.
void print_file(const std::string& file) {
  const DataReader reader(file);
  for (const auto& group : reader.members("/")) {
    if (group == "provenance") continue;
    fmt::print("[{}]\n", group);
    for (const auto& name : reader.members("/" + group)) print_variable(reader, group + "/" + name);
    fmt::print("\n");
  }
  print_provenance(reader);
  fmt::print("file: {}\n", file);
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
