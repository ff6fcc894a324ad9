#pragma once
#include <toml++/toml.h>

#include <string>
#include <vector>

namespace headflow {

/// An input file's TOML `text` with overrides like "flow.end_time=50" on top. `name` is the file's
/// name for messages. Throws InputError: syntax with line.
toml::table parse_input(const std::string& text, const std::string& name,
                        const std::vector<std::string>& overrides);

}  // namespace headflow
