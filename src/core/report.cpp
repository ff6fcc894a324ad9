#include "core/report.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <thread>

#include "headflow/core/error.hpp"
#include "headflow/core/mpi.hpp"

namespace headflow {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

/// How far apart in time the ranks may find an error that all of them find.
constexpr auto patience = 3s;

struct Failure {
  ExitCode code;
  const char* kind;
  std::string message;
};

/// Whether all ranks come here before the patience of this one ends.
bool all_arrive(const Communicator& world) {
  MPI_Request request = MPI_REQUEST_NULL;
  if (MPI_Ibarrier(world.handle(), &request) != MPI_SUCCESS) return false;
  const auto end = Clock::now() + patience;
  for (int done = 0;;) {
    if (MPI_Test(&request, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS) return false;
    if (done != 0) return true;
    if (Clock::now() > end) return false;
    std::this_thread::sleep_for(1ms);
  }
}

void print(const Failure& failure, const std::string& where) {
  fmt::print(stderr, "headflow: {}{}: {}\n", failure.kind, where, failure.message);
  std::fflush(stderr);
}

int end_all(const Communicator& world, const Failure& failure) {
  const std::string where = fmt::format(" on rank {}", world.rank());
  if (!all_arrive(world)) {
    print(failure, where);
    MpiSession::abort(static_cast<int>(failure.code));
  }
  if (world.root()) print(failure, "");
  const bool differs = world.broadcast(failure.message) != failure.message;
  if (world.min(differs ? world.rank() : world.size()) == world.rank()) print(failure, where);
  const int code = world.broadcast(static_cast<int>(failure.code));
  if (code != static_cast<int>(ExitCode::file_failure)) return code;
  if (!world.root()) std::this_thread::sleep_for(patience);  // rank 0 ends all of them
  MpiSession::abort(code);
}

}  // namespace

int report(const Error& error) {
  print({error.code(), "error", error.what()}, "");
  return static_cast<int>(error.code());
}

int run_and_report(const std::function<int()>& program) {
  // Of its own, because failing ranks may stand anywhere in the program's communication.
  const Communicator world = Communicator::world();
  Failure failure{ExitCode::numerical_failure, "internal error", "unknown exception"};
  try {
    return program();
  } catch (const Error& error) {
    failure = {error.code(), "error", error.what()};
  } catch (const std::exception& error) {
    failure.message = error.what();
  } catch (...) {
  }
  return end_all(world, failure);
}

}  // namespace headflow
