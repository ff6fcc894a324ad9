#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "headflow/core/error.hpp"
#include "restart/checkpoints.hpp"
#include "restart/watch.hpp"
#include "sections/configuration.hpp"
#include "sweep/sweep.hpp"

namespace headflow {

/// What a sweep's run is told besides its input.
struct SweepRequest {
  std::map<std::string, std::string> provenance;
  std::int64_t part = 0, parts = 1;  ///< members number part modulo parts are computed
  Watch::Limits limits;              ///< of the whole run
  /// Files with members that are done: a checkpoint, the output. On rank 0.
  std::vector<std::shared_ptr<const DataReader>> earlier;
};

/// Checks the input of every member, each rank a share of them. Repeats of a member differ in seeds
/// alone, and are one. Collective. Throws InputError with the changes of the first member that is
/// refused, Interrupt when `control` asks to stop.
void check_members(const Communicator& comm, const Sweep& sweep, const InputRequest& input,
                   Control& control);

/// How many numbers the file keeps of a member, at the least: of what the sections of `input` make
/// before their first step. Computes and prints nothing else. For one process alone.
double least_numbers_of_member(const Communicator& self, Configuration& input);

/// Computes the members of a sweep on groups of ranks, which take one after the other as they
/// become free, and collects their results in one file on rank 0. Members that are done in an
/// earlier file are taken from there. A member that fails is reported and does not stop the others;
/// one that is interrupted begins anew. Output and checkpoints hold the members that are done, and
/// are finished when these are all of the sweep, by whichever runs. Results do not depend on groups
/// and ranks. Collective. Throws NumericalError when every member has failed.
ExitCode run_sweep(const Communicator& comm, const Configuration& base, const Sweep& sweep,
                   const SweepRequest& request, Checkpoints& checkpoints);

/// Writes one file of the results of a sweep that several runs have computed in parts. For rank 0
/// alone. Throws InputError when they are not of one sweep.
void merge_sweeps(const std::string& output, const std::vector<std::string>& files, bool force,
                  const std::string& command_line);

}  // namespace headflow
