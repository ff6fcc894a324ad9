#include <fmt/format.h>

#include "app/commands.hpp"
#include "core/report.hpp"
#include "core/signals.hpp"
#include "headflow/core/control.hpp"
#include "headflow/core/mpi.hpp"

int main(int argc, char** argv) {
  using namespace headflow;
  install_signal_handlers();  // a signal while the program starts counts, too
  const MpiSession mpi(argc, argv);
  return run_and_report([&] {
    const Communicator comm = Communicator::world();
    const Command command = read_command_line(argc, argv, comm.root());
    if (command.execute == nullptr) return static_cast<int>(ExitCode::finished);
    try {
      return static_cast<int>(command.execute(comm, command));
    } catch (const Interrupt&) {
      if (comm.root()) fmt::print("stopped early (signal): nothing was computed yet\n");
      return static_cast<int>(ExitCode::stopped_early);
    }
  });
}
