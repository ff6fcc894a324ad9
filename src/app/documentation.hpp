#pragma once
#include <string>
#include <vector>

#include "input/printer.hpp"

namespace CLI {
class App;
}

namespace headflow {

/// All sections and keys of an input, [sweep] included.
std::vector<KeyHelp> input_help();

/// The reference of all keys, or of those of one section. Throws InputError: no such section.
std::string keys_as_text(const std::string& section);

/// What a user should know of `name`, "SECTION.KEY", "KEY" (of each section that has it) or
/// "SECTION". Throws InputError: no such key, with the nearest one.
std::string explanation(const std::string& name);

/// The manual page headflow.1 (man, groff): commands and options from `app`, keys of the input from
/// their declarations, the `notes` as paragraphs.
std::string manual_page(const CLI::App& app, const std::string& notes);

/// Completion of commands, options, keys and names of files for bash.
std::string bash_completion(const CLI::App& app);

/// The sections and keys of the input for other programs, a JSON list of {"section", "key" (empty
/// for the section itself), "help", "words" that are allowed, "decides" (about the results)}. An
/// axis of [sweep] has the key "SECTION.KEY" in quotes.
std::string keys_as_json();

}  // namespace headflow
