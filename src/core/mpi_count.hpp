#pragma once
#include <cstdint>
#include <limits>
#include <string>

#include "headflow/core/error.hpp"

namespace headflow {

/// Kinds of point-to-point messages of this program.
enum class MessageTag : int { mail = 7 };

/// `count` as MPI wants it. Throws NumericalError when it is beyond an int.
inline int mpi_count(std::uint64_t count, const char* call) {
  if (count > std::uint64_t{std::numeric_limits<int>::max()})
    throw NumericalError(std::string(call) + " cannot send " + std::to_string(count) +
                         " items at once: the most are 2147483647");
  return static_cast<int>(count);
}

}  // namespace headflow
