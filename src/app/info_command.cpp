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

void print_file(const std::string& file) {
  const DataReader reader(file);
  for (const auto& [name, value] : reader.attributes()) fmt::print("{}: {}\n", name, value);
  const auto sweep = SweepProgress::of(reader);
  if (sweep.members > 0) fmt::print("sweep: {}\n", sweep.text());
  for (const auto& group : reader.members("/")) {
    fmt::print("\n[{}]\n", group);
    for (const auto& name : reader.members("/" + group)) {
      if (group == "provenance")
        fmt::print("{}{}{}\n", name, name == "input" ? ":\n" : ": ",
                   reader.text("/" + group + "/" + name));
      else
        print_variable(reader, group + "/" + name);
    }
  }
}

}  // namespace

ExitCode info(const Communicator& comm, const Command& command) {
  comm.on_root([&] { print_file(command.file); });
  return ExitCode::finished;
}

}  // namespace headflow
