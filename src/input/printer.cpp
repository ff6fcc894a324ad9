#include "input/printer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "input/reader.hpp"
#include "input/toml_text.hpp"

namespace headflow {
namespace {

/// A key, its value as TOML (empty: it has none), and what it may be.
struct Line {
  Key key;
  std::string value, allowed;
  Choices words;
};

std::string show(const std::vector<double>& values) {
  std::vector<std::string> texts;
  for (const double x : values) texts.push_back(to_toml(x));
  return fmt::format("[{}]", fmt::join(texts, ", "));
}

std::string show(const Matrix& matrix) {
  std::vector<std::string> rows;
  for (Eigen::Index i = 0; i < matrix.rows(); ++i) {
    const Vector row = matrix.row(i);
    rows.push_back(show(std::vector<double>(row.begin(), row.end())));
  }
  return fmt::format("[{}]", fmt::join(rows, ", "));
}

/// Collects a line for each key of a section.
class Lines : public KeyVisitor {
 public:
  explicit Lines(InputSection& section) { section.declare_keys(*this); }
  auto begin() const { return lines_.begin(); }
  auto end() const { return lines_.end(); }

  void key(const Key& key, bool& value) override {
    line(key, value ? "true" : "false", "true or false");
  }
  void key(const Key& key, std::int64_t& value, const Range& range) override {
    line(key, fmt::format("{}", value), "whole number " + describe(range));
  }
  void key(const Key& key, std::optional<std::int64_t>& value, const Range& range) override {
    line(key, value ? std::to_string(*value) : "", "whole number " + describe(range));
  }
  void key(const Key& key, double& value, const Range& range) override {
    line(key, to_toml(value), describe(range));
  }
  void key(const Key& key, NumberOrWord& value, const Range& range, const Choices& words) override {
    const auto* number = std::get_if<double>(&value);
    line(key, number ? to_toml(*number) : to_toml(std::get<std::string>(value)),
         fmt::format("{}, or {}", describe(range), quoted_list(words)), words);
  }
  void key(const Key& key, std::optional<double>& value, const Range& range) override {
    line(key, value ? to_toml(*value) : "", describe(range));
  }
  void key(const Key& key, std::string& value, const Choices& choices) override {
    line(key, value.empty() ? "" : to_toml(value), quoted_list(choices), choices);
  }
  void key(const Key& key, std::optional<std::string>& value) override {
    line(key, value ? to_toml(*value) : "", "text");
  }
  void key(const Key& key, std::optional<Choices>& value, const Choices& words) override {
    line(key, value ? fmt::format("[{}]", quoted_list(*value)) : "",
         "list of some of " + quoted_list(words), words);
  }
  void key(const Key& key, std::optional<std::vector<double>>& value, const Range& range) override {
    line(key, value ? show(*value) : "", "number or list of numbers, " + describe(range));
  }
  void key(const Key& key, std::optional<Matrix>& value) override {
    line(key, value ? show(*value) : "", "list of rows");
  }
  void key(const Key& key, std::optional<std::vector<Matrix>>& value) override {
    std::vector<std::string> matrices;
    if (value)
      std::transform(value->begin(), value->end(), std::back_inserter(matrices),
                     [](const Matrix& m) { return show(m); });
    line(key, value ? fmt::format("[{}]", fmt::join(matrices, ", ")) : "",
         "list of matrices, each a list of rows");
  }
  void words(const Key& key, std::optional<Choices>& value, const Choices& words) override {
    line(key, value ? fmt::format("[{}]", quoted_list(*value)) : "",
         "word or list of words, each " + quoted_list(words), words);
  }

 private:
  void line(const Key& key, std::string value, std::string allowed, const Choices& words = {}) {
    lines_.push_back({key, std::move(value), std::move(allowed), words});
  }

  std::vector<Line> lines_;
};

}  // namespace

std::string to_toml(InputSections sections) {
  std::string text;
  for (InputSection* section : sections) {
    if (!section->given) continue;
    text += fmt::format("[{}]\n", section->name());
    for (const auto& [key, value, allowed, words] : Lines(*section))
      if (!value.empty()) text += fmt::format("{} = {}\n", key.name, value);
  }
  return text;
}

std::vector<KeyHelp> key_help(InputSections sections) {
  std::vector<KeyHelp> rows;
  for (InputSection* section : sections) {
    rows.push_back({section->name(), "", section->help()});
    for (const auto& [key, value, allowed, words] : Lines(*section)) {
      const std::string more = key.required    ? "; required"
                               : value.empty() ? ""
                                               : "; default " + value;
      rows.push_back({section->name(), key.name, fmt::format("{} ({}{})", key.help, allowed, more),
                      words, key.change != Change::irrelevant});
    }
  }
  return rows;
}

std::string describe_keys(const std::vector<KeyHelp>& rows) {
  std::string text;
  for (const auto& [section, name, help, words, decides] : rows)
    text += name.empty() ? fmt::format("[{}]  {}\n", section, help)
                         : fmt::format("  {:<19} {}\n", name, help);
  return text;
}

std::map<std::string, DeclaredKey> key_table(InputSections sections) {
  std::map<std::string, DeclaredKey> table;
  for (InputSection* section : sections)
    for (const auto& [key, value, allowed, words] : Lines(*section))
      table[fmt::format("{}.{}", section->name(), key.name)] = {key, value, section->given};
  return table;
}

}  // namespace headflow
