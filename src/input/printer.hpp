#pragma once
#include <map>
#include <string>
#include <vector>

#include "input/input_section.hpp"

namespace headflow {

/// All keys that have a value, as TOML, of the sections that are given.
std::string to_toml(InputSections sections);

/// What the user should know of a key, or, where `key` is empty, of a section.
struct KeyHelp {
  std::string section, key, text;
  Choices words{};      ///< which it may be, besides numbers
  bool decides = true;  ///< whether something in the results depends on it
};

/// The sections, each with its keys after it: help, type, range, default.
std::vector<KeyHelp> key_help(InputSections sections);

/// The reference of these keys, as text: type, default, range, help.
std::string describe_keys(const std::vector<KeyHelp>& rows);

/// A key as its section declares it.
struct DeclaredKey {
  Key key;
  std::string value;   ///< as TOML; empty when it has none
  bool given = false;  ///< whether its section is
};

/// Every key, by "section.key".
std::map<std::string, DeclaredKey> key_table(InputSections sections);

}  // namespace headflow
