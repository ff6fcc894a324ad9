#include "app/commands.hpp"
#include "sweep/sweep_run.hpp"

namespace headflow {

ExitCode merge(const Communicator& comm, const Command& command) {
  comm.on_root(
      [&] { merge_sweeps(command.file, command.files, command.force, command.command_line); });
  return ExitCode::finished;
}

}  // namespace headflow
