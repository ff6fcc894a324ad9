#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <exception>
#include <thread>

#include "core/cpu_check.hpp"
#include "headflow/core/error.hpp"
#include "headflow/core/mpi.hpp"
#include "core/signals.hpp"
#include "app/commands.hpp"

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

/// Errors of input are the same on every rank: rank 0 prints, all return. Any other error may have
/// hit one rank alone, so it ends all of them; the other ranks leave rank 0 time to say the same
/// first.
int run_and_report(const headflow::Communicator& comm, int argc, char** argv) {
  try {
    return execute(comm, argc, argv);
  } catch (const headflow::Error& error) {
    if (comm.root()) fmt::print(stderr, "headflow: error: {}\n", error.what());
    std::fflush(stderr);
    // After a failed write HDF5 and MPI-IO hold files that they cannot close: an orderly end would
    // crash.
    const bool orderly = error.code() == ExitCode::bad_input ||
                         (comm.size() == 1 && error.code() != ExitCode::file_failure);
    if (orderly) return static_cast<int>(error.code());
    if (!comm.root()) {
      std::this_thread::sleep_for(std::chrono::seconds(2));
      fmt::print(stderr, "headflow: error on rank {}: {}\n", comm.rank(), error.what());
    }
    headflow::MpiSession::abort(static_cast<int>(error.code()));
  } catch (const std::exception& error) {
    fmt::print(stderr, "headflow: internal error on rank {}: {}\n", comm.rank(), error.what());
    std::fflush(stderr);
    headflow::MpiSession::abort(static_cast<int>(ExitCode::numerical_failure));
  }
}

}  // namespace

int main(int argc, char** argv) {
  headflow::require_processor();
  headflow::install_signal_handlers();  // a signal while the program starts counts, too
  const headflow::MpiSession mpi(argc, argv);
  const headflow::Communicator comm = headflow::Communicator::world();
  return run_and_report(comm, argc, argv);
}
