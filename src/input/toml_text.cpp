#include "input/toml_text.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <sstream>
#include <system_error>

#include "headflow/core/error.hpp"

namespace headflow {
namespace {

toml::table parse(const std::string& text, const std::string& name) {
  try {
    return toml::parse(text, name);
  } catch (const toml::parse_error& error) {
    throw InputError(
        fmt::format("{}:{}: not valid TOML: {} (texts need quotes, lists need brackets)", name,
                    error.source().begin.line, error.description()));
  }
}

/// The value of `parsed` into element i, from 1, of the list named "key[i]".
void set_element(toml::table& section, const std::string& setting, const std::string& key,
                 std::size_t bracket, const toml::table& parsed) {
  const std::string name = key.substr(0, bracket);
  const std::string number = key.substr(bracket + 1, key.size() - bracket - 2);
  std::ptrdiff_t index =
      0;  // written in one way only, so that keys are the same if their names are
  const auto end = std::from_chars(number.data(), number.data() + number.size(), index);
  auto* list = section[name].as_array();
  if (key.back() != ']' || number != std::to_string(index) || end.ec != std::errc() || index < 1 ||
      list == nullptr || index > static_cast<std::ptrdiff_t>(list->size())) {
    std::vector<std::string> lists;
    for (const auto& [word, node] : section)
      if (node.is_array())
        lists.push_back(fmt::format("{} (of {})", word.str(), node.as_array()->size()));
    throw InputError(fmt::format(
        "{}: {} must be a list in the file, with an element of that number (from 1); "
        "lists of this section in the file: {}",
        setting, name, lists.empty() ? "none" : fmt::format("{}", fmt::join(lists, ", "))));
  }
  parsed.for_each(
      [&](const toml::key&, auto&& node) { list->replace(list->cbegin() + index - 1, node); });
}

/// "section.key=value" or "section.list[i]=value" into the table; a value that is no TOML counts as
/// a number (.5, 1.) or a text.
void override_key(toml::table& table, const std::string& setting) {
  const std::size_t equals = setting.find('=');
  const std::size_t dot = setting.find('.');
  if (equals == std::string::npos || dot == std::string::npos || dot > equals)
    throw InputError(fmt::format("--set {}: write --set section.key=value", setting));
  const std::string section = setting.substr(0, dot);
  std::string key = setting.substr(dot + 1, equals - dot - 1);
  const std::string value = setting.substr(equals + 1);
  toml::table parsed;
  try {
    parsed = toml::parse("value = " + value);
  } catch (const toml::parse_error&) {
  }
  if (parsed.size() != 1) {  // also where a line's end begins another key
    parsed.clear();
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
  if (section == "sweep") {  // whose keys are "section.key", with or without the quotes
    std::erase(key, '"');
    const std::size_t inner = key.find('.');
    auto* table_of_keys =
        inner == std::string::npos ? nullptr : (*target)[key.substr(0, inner)].as_table();
    if (table_of_keys != nullptr) table_of_keys->erase(key.substr(inner + 1));
  }
  const std::size_t bracket = key.find('[');
  if (bracket != std::string::npos && section != "sweep")
    return set_element(*target, setting, key, bracket, parsed);
  parsed.for_each([&](const toml::key&, auto&& node) { target->insert_or_assign(key, node); });
}

}  // namespace

toml::table parse_input(const std::string& text, const std::string& name,
                        const std::vector<std::string>& overrides) {
  toml::table table = parse(text, name);
  override_keys(table, overrides);
  return table;
}

void override_keys(toml::table& table, const std::vector<std::string>& overrides) {
  for (const auto& setting : overrides) override_key(table, setting);
}

std::string to_toml(const toml::node& node) {
  if (const auto* number = node.as_floating_point()) return to_toml(number->get());
  if (const auto* number = node.as_integer()) return fmt::format("{}", number->get());
  if (const auto* text = node.as_string()) return to_toml(text->get());
  std::vector<std::string> items;
  if (const auto* list = node.as_array()) {
    for (const auto& item : *list) items.push_back(to_toml(item));
    return fmt::format("[{}]", fmt::join(items, ", "));
  }
  if (const auto* table = node.as_table()) {
    for (const auto& [key, value] : *table)
      items.push_back(fmt::format("{} = {}", to_toml(std::string(key.str())), to_toml(value)));
    return fmt::format("{{ {} }}", fmt::join(items, ", "));
  }
  std::ostringstream text;  // a truth value, a date
  node.visit([&](const auto& value) { text << value; });
  return text.str();
}

std::string to_toml(double x) {
  std::string text = fmt::format("{}", x);
  return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;
}

std::string to_toml(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      quoted += fmt::format("\\u{:04X}", byte);
    } else {
      if (c == '"' || c == '\\') quoted += '\\';
      quoted += c;
    }
  }
  return quoted + "\"";
}

void require_text(const std::string& who, const std::string& text) {
  const char* fault = text.find('\0') != std::string::npos ? "has a NUL" : nullptr;
  try {
    static_cast<void>(toml::parse("text = " + to_toml(text)));
  } catch (const toml::parse_error&) {
    fault = "is no UTF-8";
  }
  if (fault == nullptr) return;
  std::string shown;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    shown += byte < 0x20 || byte > 0x7e ? fmt::format("\\x{:02x}", byte) : std::string(1, c);
  }
  throw InputError(
      fmt::format("{} = \"{}\" {}; it must be UTF-8 text without NUL", who, shown, fault));
}

std::string quoted_list(const std::vector<std::string>& words) {
  std::vector<std::string> quoted;
  for (const auto& word : words) quoted.push_back(to_toml(word));
  return fmt::format("{}", fmt::join(quoted, ", "));
}

std::map<std::string, std::string> values_of(const std::string& resolved) {
  std::map<std::string, std::string> values;
  for (const auto& [section, keys] : parse(resolved, "the resolved input"))
    if (keys.is_table())
      for (const auto& [key, value] : *keys.as_table())
        values[std::string(section.str()) + "." + std::string(key.str())] = to_toml(value);
  return values;
}

}  // namespace headflow
