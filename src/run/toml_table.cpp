#include "headflow/run/toml_table.hpp"

#include <fmt/format.h>

#include <cstdlib>

#include "headflow/core/error.hpp"

namespace headflow {
namespace {

toml::table parse(const std::string& text, const std::string& name) {
  try {
    return toml::parse(text, name);
  } catch (const toml::parse_error& error) {
    throw InputError(fmt::format("{}:{}: not valid TOML: {}", name, error.source().begin.line,
                                 error.description()));
  }
}

/// "section.key=value" into the table; a value that is no TOML counts as a number (.5, 1.) or a
/// text.
void override_key(toml::table& table, const std::string& setting) {
  const std::size_t equals = setting.find('=');
  const std::size_t dot = setting.find('.');
  if (equals == std::string::npos || dot == std::string::npos || dot > equals)
    throw InputError(fmt::format("--set {}: write --set section.key=value", setting));
  const std::string section = setting.substr(0, dot);
  const std::string key = setting.substr(dot + 1, equals - dot - 1);
  const std::string value = setting.substr(equals + 1);
  toml::table parsed;
  try {
    parsed = toml::parse("value = " + value);
  } catch (const toml::parse_error&) {
    char* end = nullptr;
    const double number = std::strtod(value.c_str(), &end);
    if (!value.empty() && *end == '\0')
      parsed.insert("value", number);
    else
      parsed.insert("value", value);
  }
  if (!table.contains(section)) table.insert(section, toml::table{});
  auto* target = table[section].as_table();
  if (target == nullptr)
    throw InputError(fmt::format("--set {}: {} is no section", setting, section));
  parsed.for_each([&](const toml::key&, auto&& node) { target->insert_or_assign(key, node); });
}

}  // namespace

toml::table parse_input(const std::string& text, const std::string& name,
                        const std::vector<std::string>& overrides) {
  toml::table table = parse(text, name);
  for (const auto& setting : overrides) override_key(table, setting);
  return table;
}

}  // namespace headflow
