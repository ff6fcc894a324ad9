#include <fmt/format.h>

#include "app/commands.hpp"
#include "app/job.hpp"
#include "headflow/core/petsc.hpp"
#include "output/output_file.hpp"
#include "sections/cost.hpp"

namespace headflow {

ExitCode check(const Communicator& comm, const Command& command) {
  const Job job = Job::read(comm, command.request);
  const auto files = job.input.files();
  for (const auto& file : files) require_writable_output(comm, file, command.request.input, true);
  const PetscSession petsc(command.petsc_options);  // collective
  if (!comm.root()) return ExitCode::finished;
  fmt::print("{}\n", job.resolved());
  if (job.sweep.size() > 0)
    fmt::print("# sweep                      {} members; for the base of them:\n",
               job.sweep.size());
  CostReport report(comm, job.input);
  for (const auto& section : job.input.sections())
    if (section->given) section->print_cost(report);
  fmt::print("# output                     {}\n", fmt::join(files, ", "));
  return ExitCode::finished;
}

}  // namespace headflow
