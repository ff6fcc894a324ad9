#pragma once
#include <map>
#include <optional>
#include <string>

#include "restart/checkpoints.hpp"
#include "app/commands.hpp"

namespace headflow {

/// The checkpoint that the command line and the files ask to go on from, or none. A run that begins
/// anew may do so: its output may be written, and checkpoints of an earlier one are removed.
/// Collective. Throws InputError: the input has changed since (with the differences), the output
/// exists; FileError: there are checkpoints but none is valid.
std::optional<Checkpoint> find_restart(const Communicator& comm, const Command& command,
                                       const Configuration& configuration,
                                       Checkpoints& checkpoints);

/// What besides the input decides about the numbers: options for PETSc (but those that only watch)
/// and the state at the start. Kept in the provenance of outputs and checkpoints.
std::map<std::string, std::string> identity(const Command& command,
                                            const Configuration& configuration);

/// The whole provenance of a run that begins now: what made it (provenance.hpp), its input and
/// identity, and the chain of runs that it goes on from. Collective.
std::map<std::string, std::string> run_provenance(const Communicator& comm, const Command& command,
                                                  const Configuration& configuration,
                                                  const std::optional<Checkpoint>& from);

/// Whether nothing is left to do: the checkpoint is of a finished run of this very input, and its
/// output is there. Collective.
bool already_finished(const Communicator& comm, const Checkpoint& checkpoint,
                      const Configuration& configuration);

}  // namespace headflow
