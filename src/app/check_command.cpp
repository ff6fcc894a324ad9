#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "app/commands.hpp"
#include "app/job.hpp"
#include "app/restart.hpp"
#include "headflow/core/petsc.hpp"
#include "input/toml_text.hpp"
#include "output/output_file.hpp"
#include "sections/cost.hpp"
#include "sweep/sweep_run.hpp"

namespace headflow {
namespace {

constexpr std::int64_t many_members = 10'000;  // whose results may be too many for the memory

void print_memory(Job& job) {
  const double gib = least_numbers_of_member(Communicator::self(), job.input) *
                     static_cast<double>(job.sweep.size()) * sizeof(double) / 0x1p30;
  fmt::print(
      "# results                    {:.3g} GiB or more, twice that in the memory of rank 0\n", gib);
}

/// Names, those with a line's end or the like in quotes.
std::string in_one_line(std::vector<std::string> names) {
  for (auto& name : names)
    if (std::any_of(name.begin(), name.end(), [](unsigned char c) { return std::iscntrl(c); }))
      name = to_toml(name);
  return fmt::format("{}", fmt::join(names, ", "));
}

/// The resolved input and what it costs.
void print_job(int ranks, Job& job) {
  fmt::print("{}\n", job.resolved());
  for (const auto& warning : job.input.warnings()) fmt::print("# warning: {}\n", warning);
  if (job.sweep.size() > 0)
    fmt::print(
        "# sweep                      {} members; what follows is the cost of one, the base of "
        "them\n",
        job.sweep.size());
  CostReport report(ranks, job.input);
  for (const auto& section : job.input.sections())
    if (section->given) section->print_cost(report);
  report.print_memory();
  if (job.sweep.size() > 0)
    report.print_members(job.sweep.size());
  else
    report.print_disk(job.input.output().checkpoints_kept);
  if (job.sweep.size() >= many_members) print_memory(job);
  fmt::print("# output                     {}\n", in_one_line(job.input.files()));
}

}  // namespace

ExitCode check(const Communicator& comm, const Command& command) {
  if (command.members) {
    const Job job = Job::read_base(comm, command.request);
    if (comm.root()) fmt::print("{}\n", std::max<std::int64_t>(1, job.sweep.size()));
    return ExitCode::finished;
  }
  Job job = Job::read(comm, command.request);
  require_sweep_for_parts(command, job);
  require_room(comm, files_of(job), command.request.input);
  const PetscSession petsc(command.petsc_options);  // collective
  check_petsc_options(job.input.sections());
  if (comm.root()) print_job(command.ranks.value_or(comm.size()), job);
  const std::string run = outlook(comm, command, job);
  if (comm.root()) fmt::print("# run                        {}\n", in_one_line({run}));
  return ExitCode::finished;
}

}  // namespace headflow
