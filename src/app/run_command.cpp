#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "app/commands.hpp"
#include "app/job.hpp"
#include "app/restart.hpp"
#include "core/paths.hpp"
#include "core/signals.hpp"
#include "core/stopwatch.hpp"
#include "headflow/core/petsc.hpp"
#include "output/output_file.hpp"
#include "output/provenance.hpp"
#include "restart/watch.hpp"
#include "sections/run.hpp"
#include "sweep/sweep_run.hpp"

namespace headflow {
namespace {

/// One run: its output file, its checkpoints, and what stops it.
class SingleRun : public RunHost {
 public:
  SingleRun(const Communicator& comm, Configuration& input, const Watch::Limits& limits,
            Checkpoints& checkpoints, const std::optional<Checkpoint>& from,
            std::map<std::string, std::string> provenance)
      : comm_(comm),
        output_(input.output()),
        checkpoints_(checkpoints),
        file_(comm, output_.path(), output_.every, file_attributes()),
        watch_(comm, limits),
        run_(comm, input, file_.content(), *this, from) {
    file_.content().provenance = std::move(provenance);
  }

  ExitCode execute() {
    bool finished = true;
    try {
      finished = run_.execute();
    } catch (const NumericalError& error) {
      file_.provenance("stopped", error.what());  // what there is so far
      file_.write();
      throw;
    }
    file_.provenance(finished ? "finished" : "stopped", comm_.broadcast(utc_now()));
    file_.write();
    if (finished) checkpoint(run_.states());
    if (comm_.root() && finished) fmt::print("finished: {}\n", output_.path());
    if (comm_.root() && !finished)
      fmt::print("stopped early ({}), state saved: the same command goes on from there\n",
                 watch_.reason());
    return finished ? ExitCode::finished : ExitCode::stopped_early;
  }

  Request between_steps() override { return watch_.between_steps(); }
  void within_step() override { watch_.within_step(); }
  void updated() override { file_.update(); }
  void write() override { file_.write(); }
  void checkpoint(const std::vector<DataGroup>& states) override {
    const Stopwatch watch;
    auto& content = file_.content();  // which may be large: no copy
    for (const DataGroup& state : states) content.groups.push_back(state);
    checkpoints_.write(content);
    content.groups.resize(content.groups.size() - states.size());
    watch_.saved(watch.seconds());
  }
  bool talks() const override { return true; }

 private:
  const Communicator& comm_;
  const OutputSection& output_;
  Checkpoints& checkpoints_;
  OutputFile file_;
  Watch watch_;
  Run run_;
};

/// Throws InputError when Slurm started several tasks that do not know of each other.
void require_one_world(const Communicator& comm) {
  const char* tasks = std::getenv("SLURM_NTASKS");
  if (comm.size() > 1 || tasks == nullptr || std::atoi(tasks) < 2) return;
  if (std::getenv("OMPI_COMM_WORLD_SIZE") != nullptr) return;  // mpirun -n 1 in a larger allocation
  throw InputError(fmt::format(
      "Slurm gave the job {} tasks but MPI sees one; start headflow with mpirun or srun --mpi=pmix",
      tasks));
}

/// A stop file that was there before the run was not meant for it.
void remove_old_stop_file(const Communicator& comm, const std::string& path) {
  std::error_code ignored;
  if (comm.root() && std::filesystem::remove(path, ignored))
    fmt::print("removed {}, which was there before this run\n", path);
}

/// Of a whole run with that output.
Watch::Limits limits_of(const Command& command, const OutputSection& output,
                        const OutputLock* lock) {
  return {.checkpoint_every = output.checkpoint_every,
          .wall_seconds = command.wall_seconds,
          .begin = command.begin,
          .stop_file = stop_file(output.path()),
          .lock = lock};
}

/// With the lock of the output held.
ExitCode run_job(const Communicator& comm, const Command& command, Job& job,
                 const Watch::Limits& limits) {
  const bool swept = job.sweep.size() > 0;
  const PetscSession petsc(command.petsc_options);
  check_petsc_options(job.input.sections());
  const Identity identity = identity_of(job);
  const auto& output = job.input.output();
  Checkpoints checkpoints(comm, output.path(), output.checkpoints_kept);
  const auto from = find_restart(comm, command, job, identity, checkpoints);
  if (!from) checkpoints.remove_all();
  checkpoints.make_room();
  if (from) checkpoints.continue_after(from->number);
  if (from) warn_of_another_build(comm, from->file, from->path);
  if (from && !swept && already_finished(comm, *from, job, identity)) {
    if (comm.root())
      fmt::print("finished already: {} (--force computes it again)\n", output.path());
    return ExitCode::finished;
  }
  install_signal_handlers();
  for (const auto& warning : job.input.warnings())
    if (comm.root()) fmt::print("warning: {}\n", warning);
  auto provenance = run_provenance(comm, command, job, identity, from);
  if (!swept)
    return SingleRun(comm, job.input, limits, checkpoints, from, std::move(provenance)).execute();
  if (from && comm.root())
    fmt::print("going on from {} (checkpoint number {})\n", from->path, from->number);
  SweepRequest request{.provenance = std::move(provenance),
                       .part = command.part,
                       .parts = command.parts,
                       .limits = limits,
                       .earlier = {}};
  if (from) request.earlier.push_back(from->file);
  const auto output_of_before =
      command.restart == "none" ? nullptr : own_output(comm, job, identity);
  if (output_of_before) request.earlier.push_back(output_of_before);
  if (!from) warn_of_another_build(comm, output_of_before, output.path());
  return run_sweep(comm, job.input, job.sweep, request, checkpoints);
}

}  // namespace

ExitCode run(const Communicator& comm, const Command& command) {
  require_one_world(comm);
  Watch before(comm, {.wall_seconds = command.wall_seconds, .begin = command.begin});
  try {
    // Reading from a pipe may wait for ever.
    if (!obstacle_at(command.request.input).empty()) default_signal_actions();
    Job job = Job::read(comm, command.request, before);
    install_signal_handlers();
    require_sweep_for_parts(command, job);
    const auto& output = job.input.output();
    require_room(comm, files_of(job), command.request.input);
    const auto lock = lock_output(comm, output.path());
    remove_old_stop_file(comm, stop_file(output.path()));
    return run_job(comm, command, job, limits_of(command, output, lock.get()));
  } catch (const Interrupt&) {
    if (comm.root())
      fmt::print("stopped early ({}): nothing was computed yet\n",
                 before.reason().empty() ? "signal" : before.reason());
    return ExitCode::stopped_early;
  }
}

}  // namespace headflow
