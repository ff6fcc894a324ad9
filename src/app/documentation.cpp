#include "app/documentation.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <string_view>
#include <vector>

#include "git_revision.hpp"
#include "headflow/core/error.hpp"
#include "input/nearest.hpp"
#include "input/toml_text.hpp"
#include "sections/configuration.hpp"
#include "sweep/sweep.hpp"

namespace headflow {
namespace {

/// Text for groff: nothing in it is a request or an escape, each line of it a paragraph's.
std::string roff(std::string_view text) {
  std::string safe;
  bool line_start = true;
  for (const char c : text) {
    if (line_start && (c == '.' || c == '\'')) safe += "\\&";
    if (c == '\\')
      safe += "\\e";
    else if (c == '-')
      safe += "\\-";
    else
      safe += c;
    line_start = c == '\n';
  }
  return safe;
}

std::vector<const CLI::App*> commands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App* one) { return !one->get_group().empty(); });
}

/// "--force", "-f,--force" or, of a positional, "FILE".
std::string shown_name(const CLI::Option& option) { return option.get_name(false, true); }

std::string option_list(const CLI::App& command) {
  std::string text;
  for (const CLI::Option* option : command.get_options()) {
    const bool has_value = option->get_items_expected_max() > 0 && !option->get_positional();
    text += fmt::format(".TP\n.B {}{}\n{}\n", roff(shown_name(*option)), has_value ? " VALUE" : "",
                        roff(option->get_description()));
  }
  return text;
}

std::string synopsis(const CLI::App& command) {
  std::string text = fmt::format(".B headflow {}\n", command.get_name());
  for (const CLI::Option* option : command.get_options())
    if (option->get_positional())
      text += fmt::format(".I {}{}\n", option->get_name(true),
                          option->get_items_expected_max() > 1 ? " .." : "");
  return text + "[options]\n";
}

std::string list_of_keys() {
  std::string text;
  for (const auto& [section, name, help, words, decides] : input_help())
    text += name.empty() ? fmt::format(".SS [{}]\n{}\n", section, roff(help))
                         : fmt::format(".TP\n.B {}\n{}\n", name, roff(help));
  return text;
}

/// The options of a command as words.
std::string option_words(const CLI::App& command) {
  std::string words;
  for (const CLI::Option* option : command.get_options())
    for (const auto& name : option->get_lnames()) words += fmt::format("--{} ", name);
  return words;
}

}  // namespace

std::vector<KeyHelp> input_help() {
  std::vector<KeyHelp> rows = key_help(Sections().views());
  const std::vector<KeyHelp> of_sweep = sweep_help();
  rows.insert(rows.end(), of_sweep.begin(), of_sweep.end());
  return rows;
}

std::string keys_as_text(const std::string& section) {
  std::vector<KeyHelp> rows;
  std::vector<std::string> sections;
  for (const KeyHelp& row : input_help()) {
    if (row.key.empty()) sections.push_back(row.section);
    if (section.empty() || row.section == section) rows.push_back(row);
  }
  if (rows.empty())
    throw InputError(fmt::format("no section [{}]; did you mean [{}]? Known: {}", section,
                                 nearest(section, sections), quoted_list(sections)));
  return describe_keys(rows);
}

std::string explanation(const std::string& name) {
  std::string text;
  std::vector<std::string> known;
  for (const auto& [section, key, help, words, decides] : input_help()) {
    if (key.empty()) {
      known.push_back(section);
      if (name == section) return keys_as_text(section);
      continue;
    }
    const std::string full = fmt::format("{}.{}", section, key);
    known.insert(known.end(), {key, full});
    if (name != key && name != full) continue;
    text += fmt::format("{}{}\n  {}\n", text.empty() ? "" : "\n", full, help);
    if (!decides)
      text += "  does not change the results; a run that goes on may have another value\n";
    if (section != "sweep")
      text += fmt::format(
          "  in the file:         [{}]\n                       {} = ..\n  on the command line: "
          "--set "
          "{}=..\n",
          section, key, full);
  }
  if (text.empty())
    throw InputError(fmt::format("no key \"{}\"; did you mean \"{}\"? headflow help keys shows all",
                                 name, nearest(name, known)));
  return text;
}

std::string manual_page(const CLI::App& app, const std::string& notes) {
  std::string text = fmt::format(
      ".TH HEADFLOW 1 \"\" \"headflow {}\" \"User Commands\"\n.SH NAME\nheadflow \\- how the heads "
      "of multi\\-head softmax attention specialize\n.SH SYNOPSIS\n",
      HEADFLOW_VERSION);
  for (const CLI::App* command : commands_of(app)) text += synopsis(*command) + ".br\n";
  text += fmt::format(".SH DESCRIPTION\n{}\n{}.SH COMMANDS\n", roff(app.get_description()),
                      option_list(app));
  for (const CLI::App* command : commands_of(app))
    text += fmt::format(".SS headflow {}\n{}\n{}", command->get_name(),
                        roff(command->get_description()), option_list(*command));
  text += ".SH KEYS OF THE INPUT\nAn input is a TOML file with these sections.\n" + list_of_keys();
  text += ".SH NOTES\n";
  for (std::size_t first = 0; first < notes.size();) {
    const std::size_t end = std::min(notes.find('\n', first), notes.size());
    text += fmt::format(".PP\n{}\n", roff(notes.substr(first, end - first)));
    first = end + 1;
  }
  return text + ".SH SEE ALSO\n.BR headflow\\-plot (1), mpirun (1)\n";
}

std::string bash_completion(const CLI::App& app) {
  std::string names, cases, keys, full_names;
  for (const CLI::App* command : commands_of(app)) {
    names += command->get_name() + " ";
    cases += fmt::format("    {}) words='{}' ;;\n", command->get_name(), option_words(*command));
  }
  for (const auto& [section, name, help, words, decides] : key_help(Sections().views()))
    if (!name.empty()) {
      keys += fmt::format("{}.{}= ", section, name);
      full_names += fmt::format("{}.{} ", section, name);
    }
  return fmt::format(
      R"(# bash completion of headflow; where it gives nothing, bash completes names of files
_headflow() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} words=
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    mapfile -t COMPREPLY < <(compgen -W '{0}{1}' -- "$word")
    return
  fi
  case ${{COMP_WORDS[COMP_CWORD - 1]}} in
    --set)
      mapfile -t COMPREPLY < <(compgen -W '{2}' -- "$word")
      compopt -o nospace 2>/dev/null
      return
      ;;
    --restart) mapfile -t COMPREPLY < <(compgen -W 'auto none' -f -- "$word") && return ;;
    --max-walltime) mapfile -t COMPREPLY < <(compgen -W 'auto' -- "$word") && return ;;
  esac
  case ${{COMP_WORDS[1]}} in
    explain) mapfile -t COMPREPLY < <(compgen -W '{4}' -- "$word") && return ;;
    help) mapfile -t COMPREPLY < <(compgen -W '{0}keys' -- "$word") && return ;;
{3}  esac
  if [[ $word == -* ]]; then mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word"); fi
}}
complete -o bashdefault -o default -F _headflow headflow
)",
      names, option_words(app), keys, cases, full_names);
}

std::string keys_as_json() {
  std::string rows;
  // What quotes a text for TOML quotes it for JSON, too.
  for (const auto& [section, name, help, words, decides] : input_help())
    rows +=
        fmt::format(R"({}{{"section": {}, "key": {}, "help": {}, "words": [{}], "decides": {}}})",
                    rows.empty() ? "" : ",\n", to_toml(section), to_toml(name), to_toml(help),
                    quoted_list(words), decides);
  return fmt::format("[{}]\n", rows);
}

}  // namespace headflow
