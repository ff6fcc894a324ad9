#include "core/launcher.hpp"

#include <cstdlib>

namespace headflow {

std::optional<int> launched_rank() {
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"})
    if (const char* rank = std::getenv(name)) return std::atoi(rank);
  return {};
}

}  // namespace headflow
