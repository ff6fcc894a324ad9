#pragma once
#include <optional>

#include "restart/checkpoints.hpp"
#include "app/commands.hpp"

namespace headflow {

/// Checks the input of every member, each rank a share of them. Collective. Throws InputError with
/// the changes of the first member that is refused.
void check_members(const Communicator& comm, const Configuration& configuration,
                   const InputRequest& request);

/// Computes the members of a sweep on groups of ranks, which take one after the other as they
/// become free, and collects their results in one file on rank 0. A member that fails is reported
/// and does not stop the others. Checkpoints hold the finished members; one that is interrupted
/// begins anew. Results do not depend on groups and ranks. Collective. Throws NumericalError when
/// every member has failed.
ExitCode run_sweep(const Communicator& comm, const Configuration& configuration,
                   const Command& command, Checkpoints& checkpoints,
                   const std::optional<Checkpoint>& from);

}  // namespace headflow
