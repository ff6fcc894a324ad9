#pragma once
#include <sys/resource.h>

#include <chrono>
#include <cstdint>
#include <vector>

#include "headflow/core/mpi.hpp"

namespace headflow {

/// Wall time of `work` from when all ranks begin to when all have ended, the same on every rank.
double seconds_of(const Communicator& comm, auto&& work) {
  using namespace std::chrono;
  comm.barrier();
  const auto begin = steady_clock::now();
  work();
  comm.barrier();
  const nanoseconds taken = steady_clock::now() - begin;
  return 1e-9 * static_cast<double>(comm.max(taken.count()));
}

/// Peak resident memory, summed over ranks.
inline double peak_gib(const Communicator& comm) {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  std::vector<std::int64_t> kib = {usage.ru_maxrss};
  comm.sum(kib);
  return static_cast<double>(kib[0]) / 0x1p20;
}

}  // namespace headflow
