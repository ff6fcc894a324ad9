#include "restart/identity.hpp"

#include <fmt/format.h>

#include <vector>

#include "input/toml_text.hpp"

namespace headflow {

std::string differences(const std::string& before, const std::string& now, const KeyOf& key_of,
                        const std::function<bool(Change)>& ignored) {
  auto old_values = values_of(before);
  const auto new_values = values_of(now);
  constexpr const char* absent = "(not given)";
  for (const auto& [key, value] : new_values) old_values.try_emplace(key, absent);
  std::vector<std::string> changes;
  for (const auto& [name, value] : old_values) {
    const auto found = new_values.find(name);
    const std::string there = found == new_values.end() ? absent : found->second;
    const Key key = key_of(name);
    if (value == there || ignored(key.change)) continue;
    changes.push_back(fmt::format("{}: {} -> {}{}", name, value, there,
                                  *key.hint == '\0' ? "" : fmt::format(" ({})", key.hint)));
  }
  return fmt::format("{}", fmt::join(changes, "; "));
}

namespace {

/// A text of the provenance; of a file that has none, nothing.
std::string text_of(const DataReader& file, const std::string& name) {
  return file.has("provenance/" + name) ? file.text("provenance/" + name) : "";
}

}  // namespace

Identity Identity::of(const DataReader& file, KeyOf key_of) {
  Identity identity{.input = text_of(file, "input"), .texts = {}, .key_of = std::move(key_of)};
  for (const char* name : {"solver_options", "start_hash"})
    identity.texts[name] = text_of(file, name);
  return identity;
}

std::string Identity::compare(const DataReader& file,
                              const std::function<bool(Change)>& ignored) const {
  std::string text = differences(text_of(file, "input"), input, key_of, ignored);
  for (const auto& [name, now] : texts) {
    const std::string before = text_of(file, name);
    // The start follows from these sections, where one of their keys has been named.
    const auto names = [&](const char* section) { return text.find(section) != std::string::npos; };
    const bool follows =
        name == "start_hash" && (names("model.") || names("attention.") || names("start."));
    if (before != now && !follows)
      text += fmt::format("{}{}: \"{}\" -> \"{}\"", text.empty() ? "" : "; ", name, before, now);
  }
  return text;
}

std::string Identity::obstacles(const DataReader& file) const {
  return compare(file, [this](Change change) {
    return change == Change::irrelevant || (extendable && change == Change::allowed);
  });
}

std::string Identity::differences_from(const DataReader& file) const {
  return compare(file, [](Change change) { return change == Change::irrelevant; });
}

bool Identity::is_finished(const DataReader& file) const {
  return file.has("provenance/finished") && differences_from(file).empty();
}

}  // namespace headflow
