#include "app/restart.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>

#include "core/exact_sum.hpp"
#include "core/paths.hpp"
#include "core/report.hpp"
#include "headflow/core/error.hpp"
#include "headflow/core/petsc.hpp"
#include "output/provenance.hpp"
#include "sections/run.hpp"
#include "sweep/sweep_store.hpp"

namespace headflow {
namespace {

/// Whether a run may replace its output without a checkpoint, as nothing is lost: an earlier run of
/// the same input was killed too soon, or it is a sweep, which takes over what is there.
bool loses_nothing(const Communicator& comm, const Job& job, const Identity& identity) {
  const auto file = own_output(comm, job, identity);
  return comm.any(file && (job.sweep.size() > 0 || !file->has("provenance/finished")));
}

/// The first run of those that have made a file, one after the other, each from the state of the
/// one before. Empty where it does not say.
std::string chain_of(const DataReader& file) {
  if (!file.has("provenance/runs")) return "";
  const std::string runs = file.text("provenance/runs");
  return runs.substr(0, runs.find(' '));
}

std::string chain_of(const std::string& path) {
  try {
    return chain_of(DataReader(path));
  } catch (const Error&) {
    return "";
  }
}

/// Throws InputError when a file is there that those runs have not made. Collective.
void require_own(const Communicator& comm, const std::vector<std::string>& files,
                 const std::string& chain) {
  comm.on_root([&] {
    std::error_code ignored;
    for (const auto& file : files) {
      if (!std::filesystem::exists(file, ignored)) continue;
      if (chain.empty())
        throw InputError(fmt::format(
            "output {} exists; use --force to replace it or --output for another name", file));
      if (chain_of(file) != chain)
        throw InputError(fmt::format(
            "output {} belongs to another run than the checkpoint; move it away, or replace "
            "it with --restart auto --force",
            file));
    }
  });
}

}  // namespace

std::shared_ptr<const DataReader> own_output(const Communicator& comm, const Job& job,
                                             const Identity& identity) {
  std::shared_ptr<const DataReader> own;
  comm.on_root([&] {
    try {
      const auto file = std::make_shared<const DataReader>(job.input.output().path());
      if (identity.obstacles(*file).empty()) own = file;
    } catch (const Error&) {
      // not there, or not ours
    }
  });
  return own;
}

std::vector<std::string> files_of(const Job& job) {
  const OutputSection& output = job.input.output();
  std::vector<std::string> files = job.input.files();
  const auto places =
      Checkpoints(job.input.comm(), output.path(), output.checkpoints_kept).places();
  files.insert(files.end(), places.begin(), places.end());
  files.insert(files.end(), {stop_file(output.path()), lock_file(output.path())});
  return files;
}

Identity identity_of(const Job& job) {
  const Start& start = job.input.start().start();
  std::vector<double> numbers = start.parameters.numbers();
  const Matrix& S = start.spike_factor;
  numbers.insert(numbers.end(), S.data(), S.data() + S.size());
  return {.input = job.resolved(),
          .texts = {{"solver_options", deciding_petsc_options()},
                    {"start_hash", fmt::format("{:016x}", fingerprint(numbers))}},
          .key_of = key_lookup(job.input.sections()),
          .extendable = job.sweep.size() == 0};
}

std::map<std::string, std::string> run_provenance(const Communicator& comm, const Command& command,
                                                  const Job& job, const Identity& identity,
                                                  const std::optional<Checkpoint>& from) {
  auto texts = provenance(comm, command.command_line, identity.input);
  texts["restarted_from"] = job.input.start().restarted_from;
  texts["runs"] = from ? from->file->text("provenance/runs") + "\n" : "";
  texts["runs"] += fmt::format("{} {} {} ranks", texts["run_id"], texts["started"], comm.size());
  if (const auto warnings = job.input.warnings(); !warnings.empty())
    texts["warnings"] = fmt::format("{}", fmt::join(warnings, "\n"));
  texts.insert(identity.texts.begin(), identity.texts.end());
  return texts;
}

std::optional<Checkpoint> find_restart(const Communicator& comm, const Command& command,
                                       const Job& job, const Identity& identity,
                                       const Checkpoints& checkpoints) {
  std::optional<Checkpoint> found;
  if (command.restart == "auto")
    found = checkpoints.newest();
  else if (command.restart != "none")
    found = checkpoints.open(command.restart);
  const bool replace =
      command.force || (command.restart == "auto" && loses_nothing(comm, job, identity));
  if (!replace) require_own(comm, job.input.files(), found ? chain_of(*found->file) : "");
  if (!found) return found;
  const std::string changed = identity.obstacles(*found->file);
  if (!changed.empty())
    throw InputError(fmt::format(
        "checkpoint {} belongs to another input: {}; choose another --output, or begin anew with "
        "--restart none (and --force, if the output exists)",
        found->path, changed));
  return found;
}

void warn_of_another_build(const Communicator& comm, const std::shared_ptr<const DataReader>& file,
                           const std::string& path) {
  comm.on_root([&] {
    const std::string version =
        file && file->has("provenance/version") ? file->text("provenance/version") : "";
    if (!version.empty() && version != version_text())
      warn(
          fmt::format("{} is by another build, {}, and this is {}: if the code of the model has "
                      "changed, --force --restart none computes anew",
                      path, version, version_text()));
  });
}

bool already_finished(const Communicator& comm, const Checkpoint& checkpoint, const Job& job,
                      const Identity& identity) {
  bool finished = false;
  comm.on_root([&] {
    finished = std::filesystem::exists(job.input.output().path()) &&
               identity.is_finished(*checkpoint.file);
  });
  return comm.any(finished);
}

void require_sweep_for_parts(const Command& command, const Job& job) {
  if (job.sweep.size() == 0 && command.parts > 1)
    throw InputError("--part needs an input with a section [sweep]");
}

namespace {

std::string verdict(const Communicator& comm, const Command& command, Job& job) {
  const auto& output = job.input.output();
  const bool swept = job.sweep.size() > 0;
  const Identity identity = identity_of(job);
  const Checkpoints checkpoints(comm, output.path(), output.checkpoints_kept);
  try {
    const auto from = find_restart(comm, command, job, identity, checkpoints);
    if (from && !swept && already_finished(comm, *from, job, identity))
      return fmt::format("has finished already: {} (--force computes it again)", output.path());
    std::string reached;
    if (from && !swept) {
      RunHost nobody;
      DataFile content;
      Run run(comm, job.input, content, nobody, from);
      run.resume();
      reached = run.times_reached();
    }
    const auto own = swept && command.restart != "none" ? own_output(comm, job, identity) : nullptr;
    const SweepProgress progress = own ? SweepProgress::of(*own) : SweepProgress{};
    if (comm.any(own && progress.complete() && !progress.all_failed()))
      return fmt::format("has finished already: {}", output.path());
    if (from)
      return fmt::format("goes on from {}{}{}", from->path, reached,
                         reached.empty() ? "" : " (the costs are those of the whole run)");
    if (comm.any(own != nullptr)) return fmt::format("goes on with what {} has", output.path());
    std::error_code ignored;
    if (std::filesystem::exists(output.path(), ignored))
      return fmt::format("begins anew and replaces {}", output.path());
    for (const auto& place : checkpoints.places())
      if (std::filesystem::exists(place, ignored))
        return fmt::format("begins anew and removes {}", place);
    return fmt::format("begins: {} is new", output.path());
  } catch (const Error& error) {
    return fmt::format("refuses: {}", error.what());
  }
}

}  // namespace

std::string outlook(const Communicator& comm, const Command& command, Job& job) {
  const std::string lock = lock_file(job.input.output().path());
  std::error_code ignored;
  const bool locked = std::filesystem::exists(lock, ignored);
  return (locked ? fmt::format("refuses while the run that made {} lives, else ", lock) : "") +
         verdict(comm, command, job);
}

}  // namespace headflow
