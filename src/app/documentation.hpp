#pragma once
#include <string>

namespace CLI {
class App;
}

namespace headflow {

/// The manual page headflow.1 (man, groff): commands and options from `app`, keys of the input from
/// their declarations, the `notes` as paragraphs.
std::string manual_page(const CLI::App& app, const std::string& notes);

/// Completion of commands, options, keys and names of files for bash.
std::string bash_completion(const CLI::App& app);

}  // namespace headflow
