#pragma once
#include <map>
#include <string>

#include "headflow/core/mpi.hpp"

namespace headflow {

/// "headflow 0.1.0 (revision)".
std::string version_text();

/// Texts that say what made a file: versions of the code and of its libraries, command line, PETSc
/// options, ranks, instruction set, start (UTC), run id. Collective: the run id is rank 0's.
std::map<std::string, std::string> provenance(const Communicator& comm,
                                              const std::string& command_line,
                                              const std::string& resolved_input);

/// Now, in UTC, like 2026-03-01T12:00:00Z.
std::string utc_now();

/// Root attributes of every output.
std::map<std::string, std::string> file_attributes();

}  // namespace headflow
