#pragma once
#include <toml++/toml.h>

#include <map>
#include <string>
#include <vector>

namespace headflow {

/// An input file's TOML `text` with overrides like "flow.end_time=50" on top. `name` is the file's
/// name for messages. Throws InputError: syntax with line.
toml::table parse_input(const std::string& text, const std::string& name,
                        const std::vector<std::string>& overrides);

/// The same on top of a parsed input.
void override_keys(toml::table& table, const std::vector<std::string>& overrides);

/// A value as TOML that reads back as the same, on one line.
std::string to_toml(const toml::node& node);
/// A number as TOML: the shortest digits that read back as the same number.
std::string to_toml(double x);
/// A text as TOML, in quotes and with escapes.
std::string to_toml(const std::string& text);
/// Throws InputError for the key `who` when `text` cannot stand in an input or name a file: it is
/// no UTF-8, or has a NUL.
void require_text(const std::string& who, const std::string& text);
/// "a", "b", "c".
std::string quoted_list(const std::vector<std::string>& words);

/// "section.key" and value, as TOML, of everything in a resolved input.
std::map<std::string, std::string> values_of(const std::string& resolved);

}  // namespace headflow
