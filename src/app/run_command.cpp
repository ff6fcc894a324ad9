#include <fmt/format.h>

#include <cstdio>
#include <filesystem>

#include "headflow/core/petsc.hpp"
#include "core/signals.hpp"
#include "core/stopwatch.hpp"
#include "app/commands.hpp"
#include "sections/computation.hpp"
#include "output/output_file.hpp"
#include "output/provenance.hpp"
#include "app/restart.hpp"
#include "sweep/sweep_run.hpp"
#include "restart/watch.hpp"

namespace headflow {
namespace {

namespace fs = std::filesystem;

/// One run: its output file, its checkpoints, and what stops it.
class Run {
 public:
  Run(const Communicator& comm, const Configuration& configuration, const Command& command,
      Checkpoints& checkpoints, const std::optional<Checkpoint>& from)
      : comm_(comm),
        configuration_(configuration),
        checkpoints_(checkpoints),
        file_(comm, configuration.output, configuration.output_every, file_attributes()),
        watch_(comm, {.checkpoint_every = configuration.checkpoint_every,
                      .wall_seconds = command.wall_seconds,
                      .stop_file = fs::path(configuration.output).replace_filename("STOP")}),
        computation_(comm, configuration, file_.content(),
                     {.poll = [this] { return watch_.poll(); },
                      .interrupt = [this] { watch_.interrupt(); },
                      .update = [this] { file_.update(); },
                      .write = [this] { file_.write(); },
                      .checkpoint = [this] { write_checkpoint(); },
                      .talk = true},
                     from) {
    file_.content().provenance = run_provenance(comm, command, configuration, from);
  }

  ExitCode run() {
    bool finished = true;
    try {
      finished = computation_.run();
    } catch (const NumericalError& error) {
      file_.provenance("stopped", error.what());  // what there is so far
      file_.write();
      throw;
    }
    file_.provenance(finished ? "finished" : "stopped", comm_.broadcast(utc_now()));
    file_.write();
    if (finished) write_checkpoint();
    if (comm_.root() && finished) fmt::print("finished: {}\n", configuration_.output);
    if (comm_.root() && !finished)
      fmt::print("stopped early ({}), state saved: the same command goes on from there\n",
                 watch_.reason());
    return finished ? ExitCode::finished : ExitCode::stopped_early;
  }

 private:
  void write_checkpoint() {
    const Stopwatch watch;
    DataFile content = file_.content();
    for (auto& state : computation_.states()) content.groups.push_back(std::move(state));
    checkpoints_.write(std::move(content));
    watch_.saved(watch.seconds());
  }

  const Communicator& comm_;
  const Configuration& configuration_;
  Checkpoints& checkpoints_;
  OutputFile file_;
  Watch watch_;
  Computation computation_;
};

}  // namespace

ExitCode run(const Communicator& comm, const Command& command) {
  const Configuration configuration = read_configuration(comm, command.request);
  if (configuration.sweep.size() > 0)
    check_members(comm, configuration, command.request);
  else if (command.parts > 1)
    throw InputError("--part needs an input with a section [sweep]");
  Checkpoints checkpoints(comm, configuration.output, configuration.checkpoints_kept);
  const auto from = find_restart(comm, command, configuration, checkpoints);
  if (from && already_finished(comm, *from, configuration)) {
    if (comm.root())
      fmt::print("finished already: {} (--force computes it again)\n", configuration.output);
    return ExitCode::finished;
  }
  const PetscSession petsc(command.petsc_options);
  if (!configuration.flow) require_petsc_options_used("flow_");
  if (!configuration.saddle) require_petsc_options_used("saddle_");
  if (!configuration.train) require_petsc_options_used("train_");
  install_signal_handlers();
  if (from && comm.root())
    fmt::print("going on from {} ({})\n", from->path, from->file->attributes()["checkpoint"]);
  if (configuration.sweep.size() > 0)
    return run_sweep(comm, configuration, command, checkpoints, from);
  return Run(comm, configuration, command, checkpoints, from).run();
}

}  // namespace headflow
