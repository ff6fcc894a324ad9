#include "app/commands.hpp"
#include "core/report.hpp"
#include "core/signals.hpp"
#include "headflow/core/error.hpp"
#include "headflow/core/mpi.hpp"

namespace {

using headflow::Command;
using headflow::ExitCode;

int execute(const headflow::Communicator& comm, int argc, char** argv) {
  const Command command = headflow::read_command_line(argc, argv, comm.root());
  switch (command.kind) {
    case Command::Kind::run:
      headflow::require_one_world(comm);
      return static_cast<int>(headflow::run(comm, command));
    case Command::Kind::check:
      headflow::check(comm, command);
      break;
    case Command::Kind::info:
      comm.on_root([&] { headflow::info(command.file); });
      break;
    case Command::Kind::merge:
      headflow::merge(comm, command);
      break;
    case Command::Kind::done:
      break;
  }
  return static_cast<int>(ExitCode::finished);
}

}  // namespace

int main(int argc, char** argv) {
  headflow::install_signal_handlers();  // a signal while the program starts counts, too
  const headflow::MpiSession mpi(argc, argv);
  return headflow::run_and_report(
      [&] { return execute(headflow::Communicator::world(), argc, argv); });
}
