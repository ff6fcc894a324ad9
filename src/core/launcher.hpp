#pragma once
#include <optional>

namespace headflow {

/// The rank that mpirun or srun has given this process, from the environment, before MPI starts;
/// empty for a process that was started alone. Open MPI, PMIx, PMI.
/// SLURM_PROCID does not count: tasks that Slurm starts without PMIx or PMI are no ranks of one
/// world, and each has to say what is wrong with it.
std::optional<int> launched_rank();

}  // namespace headflow
