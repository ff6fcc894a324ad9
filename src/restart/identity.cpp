#include "restart/identity.hpp"

#include <fmt/format.h>

#include "input/toml_text.hpp"

namespace headflow {

std::string differences(const std::string& before, const std::string& now, const KeyOf& key_of,
                        const std::function<bool(Change)>& ignored) {
  auto old_values = values_of(before);
  const auto new_values = values_of(now);
  constexpr const char* absent = "(not given)";
  for (const auto& [key, value] : new_values) old_values.try_emplace(key, absent);
  std::string text;
  for (const auto& [name, value] : old_values) {
    const auto found = new_values.find(name);
    const std::string there = found == new_values.end() ? absent : found->second;
    const Key key = key_of(name);
    if (value == there || ignored(key.change)) continue;
    text += fmt::format("  {}: {} -> {}{}\n", name, value, there,
                        *key.hint == '\0' ? "" : fmt::format(" ({})", key.hint));
  }
  return text;
}

std::string Identity::obstacles(const DataReader& file) const {
  std::string text =
      differences(file.text("provenance/input"), input, key_of, [this](Change change) {
        return change == Change::irrelevant || (extendable && change == Change::allowed);
      });
  for (const auto& [name, now] : texts) {
    const std::string before = file.text("provenance/" + name);
    if (before != now) text += fmt::format("  {}: \"{}\" -> \"{}\"\n", name, before, now);
  }
  return text;
}

bool Identity::is_finished(const DataReader& file) const {
  return file.has("provenance/finished") &&
         differences(file.text("provenance/input"), input, key_of, [](Change change) {
           return change == Change::irrelevant;
         }).empty();
}

}  // namespace headflow
