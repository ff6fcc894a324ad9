#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/commands.hpp"
#include "app/job.hpp"
#include "restart/checkpoints.hpp"
#include "restart/identity.hpp"

namespace headflow {

/// Paths of all files that the run may make: its output first, weights, checkpoints, stop file,
/// lock.
std::vector<std::string> files_of(const Job& job);

/// What decides about the numbers of a run: its input, the options for PETSc wherever they come
/// from (but those that only watch) and the state at the start. PETSc must have been started.
Identity identity_of(const Job& job);

/// The output, where an earlier run of the same input has written it. On rank 0; null on others.
/// Collective.
std::shared_ptr<const DataReader> own_output(const Communicator& comm, const Job& job,
                                             const Identity& identity);

/// The checkpoint that the command line and the files ask to go on from, or none. A run that begins
/// anew may do so: its output may be written. Changes no file. Collective. Throws InputError: the
/// input has changed since (with the differences), the output exists; FileError: there are
/// checkpoints but none is valid.
std::optional<Checkpoint> find_restart(const Communicator& comm, const Command& command,
                                       const Job& job, const Identity& identity,
                                       const Checkpoints& checkpoints);

/// Warns where another build of the program has made the file, whose code of the model may be
/// another. Rank 0 alone has the file.
void warn_of_another_build(const Communicator& comm, const std::shared_ptr<const DataReader>& file,
                           const std::string& path);

/// Whether nothing is left to do: the checkpoint is of a finished run of this very input, and its
/// output is there. Collective.
bool already_finished(const Communicator& comm, const Checkpoint& checkpoint, const Job& job,
                      const Identity& identity);

/// Throws InputError where the command line asks for a part of what is no sweep.
void require_sweep_for_parts(const Command& command, const Job& job);

/// What `run` would do with the files that are there, in one line: begin, go on, nothing, refuse.
/// Changes no file, but uses up the job: its sections take up the state of a checkpoint, as in a
/// run. Collective.
std::string outlook(const Communicator& comm, const Command& command, Job& job);

/// The whole provenance of a run that begins now: what made it (provenance.hpp), its identity, and
/// the chain of runs that it goes on from. Collective.
std::map<std::string, std::string> run_provenance(const Communicator& comm, const Command& command,
                                                  const Job& job, const Identity& identity,
                                                  const std::optional<Checkpoint>& from);

}  // namespace headflow
