#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "headflow/core/error.hpp"
#include "app/commands.hpp"
#include "output/provenance.hpp"
#include "restart/watch.hpp"

namespace headflow {
namespace {

/// Takes the words for PETSc (-flow_ts_adapt_type none, ..) out of `words`.
std::vector<std::string> take_petsc_options(std::vector<std::string>& words) {
  std::vector<std::string> options;
  for (auto word = words.begin(); word != words.end();) {
    if (!word->starts_with("-flow_") && !word->starts_with("-saddle_") &&
        !word->starts_with("-train_")) {
      ++word;
      continue;
    }
    options.push_back(*word);
    word = words.erase(word);
    const bool negative_number =
        word != words.end() && word->size() > 1 && word->front() == '-' &&
        std::string_view("0123456789.").find((*word)[1]) != std::string_view::npos;
    if (word != words.end() && (negative_number || !word->starts_with("-"))) {
      options.push_back(*word);
      word = words.erase(word);
    }
  }
  return options;
}

void require_known_command(const std::vector<std::string>& words) {
  if (words.empty() || words[0].starts_with("-")) return;
  if (words[0] != "run" && words[0] != "check" && words[0] != "info" && words[0] != "merge")
    throw InputError(fmt::format(
        "unknown subcommand \"{}\"; known: run, check, info, merge (headflow --help)", words[0]));
}

/// "I/N" with 1 <= I <= N.
void read_part(const std::string& text, Command& command) {
  if (text.empty()) return;
  long long part = 0, parts = 0;
  char rest = 0;
  if (std::sscanf(text.c_str(), "%lld/%lld%c", &part, &parts, &rest) != 2 || part < 1 ||
      part > parts)
    throw InputError(
        fmt::format("--part {} is not allowed; it must be I/N with 1 <= I <= N", text));
  command.part = part - 1;
  command.parts = parts;
}

std::string footer() {
  return "Exit codes: 0 finished, 2 bad input, 3 numerical failure, 4 file failure, 75 stopped "
         "early "
         "with a checkpoint: the same command goes on.\n"
         "Signals: USR1, TERM, INT save and stop, USR2 saves; a file STOP beside the output "
         "stops.\n"
         "Words that start with -flow_, -saddle_ or -train_ go to PETSc (-flow_ts_rk_type 3bs, "
         "-flow_ts_monitor, -train_tao_type bncg, "
         "..).\n\n"
         "Keys of the input file (TOML):\n\n" +
         describe_keys();
}

}  // namespace

Command read_command_line(int argc, char** argv, bool root) {
  Command command;
  std::vector<std::string> words(argv + 1, argv + argc);
  command.command_line = fmt::format("{}", fmt::join(argv, argv + argc, " "));
  command.petsc_options = take_petsc_options(words);
  require_known_command(words);
  std::reverse(words.begin(), words.end());  // as CLI11 wants them

  CLI::App app(
      "How the heads of multi-head softmax attention specialize: order-parameter flows of the "
      "single-location model (arXiv:2603.03993).\nStart on several ranks with mpirun -n RANKS "
      "headflow ..",
      "headflow");
  app.footer(footer);
  app.set_version_flag("--version", version_text());
  app.require_subcommand(1);
  const auto add_input = [&](CLI::App* sub) {
    sub->add_option("INPUT", command.request.input, "input file (TOML)")->required();
    sub->add_option("--set", command.request.overrides,
                    "section.key=value: one key's value instead of the file's")
        ->type_size(1)
        ->allow_extra_args(false);
    sub->add_option("--output", command.request.output, "name of the output file")
        ->check([](const std::string& name) {
          return name.empty() ? std::string("must not be empty") : std::string();
        });
  };
  CLI::App* run = app.add_subcommand("run", "compute what the input describes");
  add_input(run);
  const auto* force =
      run->add_flag("--force", command.force, "begin anew and replace an existing output file");
  const auto* restart = run->add_option(
      "--restart", command.restart,
      "auto (default): go on where a valid checkpoint of the same input exists; none: begin anew; "
      "or a checkpoint's file");
  std::string wall_time;
  run->add_option("--max-walltime", wall_time,
                  "hh:mm:ss, or auto for Slurm's end time: save and stop in time (exit code 75)");
  CLI::App* check = app.add_subcommand(
      "check", "validate the input, print it resolved, memory and cost; run nothing");
  add_input(check);
  CLI::App* info = app.add_subcommand("info", "what an output file holds");
  info->add_option("FILE", command.file, "output file (HDF5)")->required();

  CLI::App* merge =
      app.add_subcommand("merge", "one file of a sweep that several runs have computed in parts");
  merge->add_option("OUT", command.file, "file to write")->required();
  merge->add_option("FILES", command.files, "outputs of the parts")->required();
  merge->add_flag("-f,--force", command.force, "replace an existing OUT");
  std::string part;
  run->add_option("--part", part, "of a sweep, compute part I of N: \"I/N\"; see merge");

  try {
    app.parse(words);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0)
      throw InputError(std::string(error.what()) + " (headflow --help shows what there is)");
    if (root) app.exit(error);
    return command;
  }
  command.wall_seconds = wall_seconds_of(wall_time);
  read_part(part, command);
  if (force->count() > 0 && restart->count() == 0) command.restart = "none";
  command.kind = run->parsed()     ? Command::Kind::run
                 : check->parsed() ? Command::Kind::check
                 : merge->parsed() ? Command::Kind::merge
                                   : Command::Kind::info;
  return command;
}

void require_one_world(const Communicator& comm) {
  const char* tasks = std::getenv("SLURM_NTASKS");
  if (comm.size() > 1 || tasks == nullptr || std::atoi(tasks) < 2) return;
  if (std::getenv("OMPI_COMM_WORLD_SIZE") != nullptr) return;  // mpirun -n 1 in a larger allocation
  throw InputError(fmt::format(
      "Slurm gave the job {} tasks but MPI sees one; start headflow with mpirun or srun --mpi=pmix",
      tasks));
}

}  // namespace headflow
