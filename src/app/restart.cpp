#include "app/restart.hpp"

#include <fmt/format.h>

#include <filesystem>

#include "core/exact_sum.hpp"
#include "headflow/core/error.hpp"
#include "headflow/core/petsc.hpp"
#include "output/output_file.hpp"
#include "output/provenance.hpp"

namespace headflow {
namespace {

/// Whether a run may replace its output without a checkpoint, as nothing is lost: an earlier run of
/// the same input was killed too soon, or it is a sweep, which takes over what is there.
bool loses_nothing(const Communicator& comm, const Job& job, const Identity& identity) {
  const auto file = own_output(comm, job, identity);
  return comm.any(file && (job.sweep.size() > 0 || !file->has("provenance/finished")));
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
  texts.insert(identity.texts.begin(), identity.texts.end());
  return texts;
}

std::optional<Checkpoint> find_restart(const Communicator& comm, const Command& command,
                                       const Job& job, const Identity& identity,
                                       Checkpoints& checkpoints) {
  std::optional<Checkpoint> found;
  if (command.restart == "auto")
    found = checkpoints.newest();
  else if (command.restart != "none")
    found = checkpoints.open(command.restart);
  const bool replace =
      command.force || found || (command.restart == "auto" && loses_nothing(comm, job, identity));
  for (const auto& file : job.input.files())
    require_writable_output(comm, file, command.request.input, replace);
  if (!found) {
    checkpoints.remove_all();
    return found;
  }
  const std::string changed = identity.obstacles(*found->file);
  if (!changed.empty())
    throw InputError(fmt::format(
        "the input is not that of checkpoint {}:\n{}--restart none begins anew (with --force, if "
        "the output exists)",
        found->path, changed));
  checkpoints.continue_after(found->number);
  return found;
}

}  // namespace headflow
