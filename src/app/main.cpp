#include "app/commands.hpp"
#include "core/report.hpp"
#include "core/signals.hpp"
#include "headflow/core/mpi.hpp"

int main(int argc, char** argv) {
  using namespace headflow;
  install_signal_handlers();  // a signal while a run starts counts, too
  const MpiSession mpi(argc, argv);
  return run_and_report([&] {
    const Communicator comm = Communicator::world();
    const Command command = read_command_line(argc, argv, comm.root());
    if (command.execute != run) default_signal_actions();
    return static_cast<int>(command.execute == nullptr ? ExitCode::finished
                                                       : command.execute(comm, command));
  });
}
