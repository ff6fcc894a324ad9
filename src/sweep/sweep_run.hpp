#pragma once
#include <map>
#include <optional>
#include <string>

#include "headflow/core/error.hpp"
#include "restart/checkpoints.hpp"
#include "sections/configuration.hpp"
#include "sweep/sweep.hpp"

namespace headflow {

/// What a sweep's run is told besides its input.
struct SweepRequest {
  std::string text;  ///< of the input file
  std::map<std::string, std::string> provenance;
  std::int64_t part = 0, parts = 1;  ///< members number part modulo parts are computed
  double wall_seconds = 0;
};

/// Checks the input of every member, each rank a share of them. Collective. Throws InputError with
/// the changes of the first member that is refused.
void check_members(const Communicator& comm, const Sweep& sweep, const InputRequest& input,
                   const std::string& text);

/// Computes the members of a sweep on groups of ranks, which take one after the other as they
/// become free, and collects their results in one file on rank 0. A member that fails is reported
/// and does not stop the others. Checkpoints hold the finished members; one that is interrupted
/// begins anew. Results do not depend on groups and ranks. Collective. Throws NumericalError when
/// every member has failed.
ExitCode run_sweep(const Communicator& comm, const Configuration& base, const Sweep& sweep,
                   const SweepRequest& request, Checkpoints& checkpoints,
                   const std::optional<Checkpoint>& from);

/// Writes one file of the results of a sweep that several runs have computed in parts. For rank 0
/// alone. Throws InputError when they are not of one sweep.
void merge_sweeps(const std::string& output, const std::vector<std::string>& files, bool force,
                  const std::string& command_line);

}  // namespace headflow
