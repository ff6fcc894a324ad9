#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <iostream>

#include "app/commands.hpp"
#include "app/documentation.hpp"
#include "core/report.hpp"
#include "headflow/core/error.hpp"
#include "input/printer.hpp"
#include "output/provenance.hpp"
#include "restart/watch.hpp"
#include "sections/cost.hpp"

namespace headflow {
namespace {

/// Takes the words for PETSc (-flow_ts_adapt_type none, ..) out of `words`.
std::vector<std::string> take_petsc_options(std::vector<std::string>& words) {
  std::vector<std::string> options;
  for (auto word = words.begin(); word != words.end();) {
    if (!is_petsc_option(*word)) {
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

/// "I/N" with 1 <= I <= N.
void read_part(const std::string& text, Command& command) {
  if (text.empty()) return;
  constexpr long long most = 10'000'000;
  long long part = 0, parts = 0;
  char rest = 0;
  if (std::sscanf(text.c_str(), "%lld/%lld%c", &part, &parts, &rest) != 2 || part < 1 ||
      part > parts || parts > most)
    throw InputError(
        fmt::format("--part {} is not allowed; it must be I/N with 1 <= I <= N <= {}", text, most));
  command.part = part - 1;
  command.parts = parts;
}

std::string notes() {
  const auto prefixes = petsc_prefixes();
  return "Exit codes: 0 finished, 2 bad input, 3 numerical failure, 4 file failure, 75 stopped "
         "early with a checkpoint: the same command goes on.\n"
         "Signals: USR1, TERM, INT, HUP and XCPU save the state and stop the run. USR2 saves the "
         "state. A file OUTPUT.stop stops the run, too.\n"
         "Environment: HEADFLOW_PROGRESS=SECONDS is the time between lines of progress in a log "
         "(default 30).\n" +
         fmt::format("Words that start with {} or {} go to PETSc ({}, ..).\n",
                     fmt::join(prefixes.begin(), prefixes.end() - 1, ", "), prefixes.back(),
                     fmt::join(petsc_examples(), ", "));
}

std::string footer() {
  return notes() +
         "\nRead on:\n"
         "  headflow help COMMAND         the options of a command\n"
         "  headflow help keys [SECTION]  the keys of the input\n"
         "  headflow explain KEY          one key, as flow.end_time\n";
}

/// "help" and "help COMMAND" as what CLI11 has: --help.
std::vector<std::string> as_option(std::vector<std::string> words) {
  if (words.size() > 1 && (words[1] == "keys" || words[1].starts_with("-"))) return words;
  words.erase(words.begin());
  words.insert(words.begin() + (words.empty() ? 0 : 1), "--help");
  return words;
}

/// The commands, and where CLI11 leaves what is not at once part of a Command.
class CommandLine {
 public:
  explicit CommandLine(Command& command)
      : command_(command),
        app_(
            "headflow computes how the heads of multi-head softmax attention specialize, in the "
            "single-location model (arXiv:2603.03993).\nTo use several MPI ranks: mpirun -n RANKS "
            "headflow ..",
            "headflow") {
    app_.footer(footer);
    app_.set_version_flag("--version", version_text());
    app_.require_subcommand(1);
    add_run(add("run", "compute what the input describes", headflow::run));
    CLI::App& check = add(
        "check",
        "print the input with all defaults, its memory and its cost, and whether run would begin, "
        "go on or refuse; compute nothing. It takes the options of run, too",
        headflow::check);
    add_run(check);
    check.add_flag("--members", command_.members,
                   "print only the number of members of the sweep; 1 without a sweep");
    check
        .add_option("--ranks", command_.ranks,
                    "tell memory and cost for so many MPI ranks (default: those of mpirun)")
        ->check(CLI::Range(1, most_ranks));
    add("info", "print what an output file contains", headflow::info)
        .add_option("FILE", command_.file, "output file (HDF5)")
        ->required();
    CLI::App& merge =
        add("merge", "write one file from the parts of a sweep, which several runs have computed",
            headflow::merge);
    merge.add_option("OUT", command_.file, "file to write")->required();
    merge.add_option("FILES", command_.files, "outputs of the parts")->required();
    merge.add_flag("-f,--force", command_.force, "replace an existing OUT");
    // What as_option leaves.
    CLI::App& help = *app_.add_subcommand(
        "help", "print this help, the options of a command, or the keys of the input");
    help.add_option("TOPIC", topic_, "the name of a command, or the word keys")
        ->check(CLI::IsMember({"keys"}));
    help.add_option("SECTION", help_section_, "only the keys of this section");
    app_.add_subcommand("explain",
                        "print what a key of the input means, its allowed values and its default")
        ->add_option("KEY", explain_, "SECTION.KEY, KEY or SECTION")
        ->required();
    names_.insert(names_.end(), {"help", "explain"});
    // Not shown: what the build and the Python package ask for.
    app_.add_subcommand("documentation", "manual page, completion, table of keys")
        ->group("")
        ->add_option("KIND", documentation_)
        ->required()
        ->check(CLI::IsMember({"man", "bash-completion", "keys"}));
  }

  /// Reads `words`. Prints help or version on `root`.
  void parse(std::vector<std::string> words, bool root) {
    if (!words.empty() && words[0] == "help") words = as_option(std::move(words));
    require_known_command(words);
    std::reverse(words.begin(), words.end());  // as CLI11 wants them
    try {
      app_.parse(words);
    } catch (const CLI::ParseError& error) {
      if (error.get_exit_code() != 0)
        throw InputError(std::string(error.what()) + " (headflow --help shows what there is)");
      if (root) app_.exit(error);
      command_.execute = nullptr;
      return;
    }
    if (command_.execute == nullptr) {
      const std::string text = answer();
      if (root) std::cout << text;
      return;
    }
    std::string warning;
    command_.wall_seconds = wall_seconds_of(wall_time_, warning);
    if (root && !warning.empty()) warn(warning);
    read_part(part_, command_);
    const auto asked = [](const auto& one) { return one.second->count() > 0; };
    if (command_.force && std::none_of(restart_.begin(), restart_.end(), asked))
      command_.restart = "none";
  }

 private:
  /// What a command prints that only answers a question. Throws InputError.
  std::string answer() {
    if (documentation_ == "man") return manual_page(app_, notes());
    if (documentation_ == "keys") return keys_as_json();
    if (documentation_ == "bash-completion") return bash_completion(app_);
    if (explain_) return explanation(*explain_);
    return keys_as_text(help_section_);
  }

  CLI::App& add(const char* name, const char* help,
                ExitCode (*execute)(const Communicator&, const Command&)) {
    names_.emplace_back(name);
    CLI::App& sub = *app_.add_subcommand(name, help);
    sub.parse_complete_callback([this, execute] { command_.execute = execute; });
    return sub;
  }

  void add_input(CLI::App& sub) {
    sub.add_option("INPUT", command_.request.input, "input file (TOML)")->required();
    sub.add_option("--set", command_.request.overrides,
                   "section.key=value: replace one key's value in the input, as --set "
                   "'model.signal=[4, 1]'")
        ->type_size(1)
        ->allow_extra_args(false);
    sub.add_option("-o,--output", command_.request.output, "name of the output file")
        ->check([](const std::string& name) {
          return name.empty() ? std::string("must not be empty") : std::string();
        });
  }

  void add_run(CLI::App& run) {
    add_input(run);
    run.add_flag("--force", command_.force, "begin anew and replace an existing output file");
    restart_[&run] = run.add_option(
        "--restart", command_.restart,
        "auto (default): go on from the newest valid checkpoint, if there is one; none: begin "
        "anew; FILE: go on from this checkpoint");
    run.add_option(
        "--max-walltime", wall_time_,
        "hh:mm:ss, or auto for Slurm's end time: save the state and stop before that (exit "
        "code 75)");
    run.add_option("--part", part_,
                   "I/N: compute part I of the N parts of a sweep; merge joins them");
  }

  void require_known_command(const std::vector<std::string>& words) const {
    if (words.empty() || words[0].starts_with("-")) return;
    const auto is_it = [&](const CLI::App* command) { return command->get_name() == words[0]; };
    if (!app_.get_subcommands(is_it).empty()) return;
    throw InputError(fmt::format("unknown subcommand \"{}\"; known: {} (headflow --help)", words[0],
                                 fmt::join(names_, ", ")));
  }

  Command& command_;
  CLI::App app_;
  std::map<CLI::App*, CLI::Option*> restart_;
  std::string wall_time_, part_, documentation_, topic_, help_section_;
  std::optional<std::string> explain_;
  std::vector<std::string> names_;
};

}  // namespace

Command read_command_line(int argc, char** argv, bool root) {
  Command command;
  std::vector<std::string> words(argv + 1, argv + argc);
  command.command_line = fmt::format("{}", fmt::join(argv, argv + argc, " "));
  command.petsc_options = take_petsc_options(words);
  CommandLine(command).parse(std::move(words), root);
  return command;
}

}  // namespace headflow
