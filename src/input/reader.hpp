#pragma once
#include <toml++/toml.h>

#include <string>

#include "input/input_section.hpp"

namespace headflow {

/// Fills the keys of `sections` from a parsed table. `name` is the file's name for messages. Throws
/// InputError: unknown section or key with the nearest known one, key missing, wrong type, value
/// out of range.
void read_sections(const toml::table& table, const std::string& name, InputSections sections);

/// "a number's range" in words: ">= 0 and <= 1".
std::string describe(const Range& range);

}  // namespace headflow
