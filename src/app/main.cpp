#include <fmt/format.h>

#include <csignal>
#include <cstdio>
#include <optional>

#include "app/commands.hpp"
#include "core/launcher.hpp"
#include "core/report.hpp"
#include "core/signals.hpp"
#include "headflow/core/mpi.hpp"

namespace {

bool hangup_ignored = false;

/// Looks before the constructors of shared libraries run: one of UCX's catches SIGHUP, also after
/// nohup.
void look_at_hangup(int, char**, char**) {
  struct sigaction action = {};
  sigaction(SIGHUP, nullptr, &action);
  hangup_ignored = action.sa_handler == SIG_IGN;
}
[[gnu::section(".preinit_array"), gnu::used]] void (*before_all)(int, char**,
                                                                 char**) = look_at_hangup;

}  // namespace

int main(int argc, char** argv) {
  using namespace headflow;
  if (hangup_ignored) std::signal(SIGHUP, SIG_IGN);
  std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // a log has its lines at once, in their order
  install_signal_handlers();                      // a signal while a run starts counts, too
  // Before MPI, whose start takes longer than all of help, version or a wrong word.
  const std::optional<int> rank = launched_rank();
  std::optional<Command> command;
  std::optional<InputError> wrong;
  try {
    command = read_command_line(argc, argv, rank.value_or(0) == 0);
    if (command->execute == nullptr) return static_cast<int>(ExitCode::finished);
  } catch (const InputError& error) {
    if (!rank) return report(error);
    wrong = error;  // a launcher ends all ranks with the first: they agree on who prints first
  }
  const MpiSession mpi(argc, argv);
  return run_and_report([&] {
    if (wrong) throw InputError(*wrong);
    if (command->execute != run) default_signal_actions();
    return static_cast<int>(command->execute(Communicator::world(), *command));
  });
}
