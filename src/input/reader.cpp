#include "input/reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "headflow/core/error.hpp"
#include "input/nearest.hpp"
#include "input/toml_text.hpp"

namespace headflow {
namespace {

bool inside(const Range& range, double x) {
  return std::isfinite(x) && (range.open_below ? x > range.least : x >= range.least) &&
         x <= range.most;
}

/// Fills the keys from a parsed table and remembers what it has met, to find what it has not.
class Reader : public KeyVisitor {
 public:
  Reader(const toml::table& table, std::string name) : table_(table), name_(std::move(name)) {}

  void read(InputSection& section) {
    section_ = section.name();
    known_sections_.push_back(section_);
    const toml::node* node = table_.get(section_);
    if (node != nullptr && !node->is_table())
      fail(*node, fmt::format("{0} must be a section: write [{0}] on a line of its own", section_));
    current_ = node == nullptr ? nullptr : node->as_table();
    section.given = !section.optional() || node != nullptr;
    absent_ = !section.given;
    section.declare_keys(*this);
  }

  void key(const Key& key, bool& value) override {
    if (const auto* node = find(key)) {
      if (!node->is_boolean()) wrong(key, *node, "true or false");
      value = node->as_boolean()->get();
    }
  }
  void key(const Key& key, std::int64_t& value, const Range& range) override {
    if (const auto* node = find(key)) value = whole_number(key, *node, range);
  }
  void key(const Key& key, std::optional<std::int64_t>& value, const Range& range) override {
    if (const auto* node = find(key)) value = whole_number(key, *node, range);
  }
  void key(const Key& key, NumberOrWord& value, const Range& range, const Choices& words) override {
    const auto* node = find(key);
    if (node == nullptr) return;
    const auto word = node->value_or(std::string());
    const auto number = number_of(*node);
    if (number && inside(range, *number))
      value = *number;
    else if (std::find(words.begin(), words.end(), word) != words.end())
      value = word;
    else
      wrong(key, *node, fmt::format("a number, {}, or {}", describe(range), quoted_list(words)));
  }
  void key(const Key& key, double& value, const Range& range) override {
    if (const auto* node = find(key)) value = number(key, *node, range);
  }
  void key(const Key& key, std::optional<double>& value, const Range& range) override {
    if (const auto* node = find(key)) value = number(key, *node, range);
  }
  void key(const Key& key, std::string& value, const Choices& choices) override {
    if (const auto* node = find(key)) {
      // A name like 4 or 2 (time steppers) may stand without quotes.
      const std::string word = node->is_integer() ? to_toml(*node) : node->value_or(std::string());
      if (!node->is_string() && !node->is_integer())
        wrong(key, *node, "one of " + quoted_list(choices));
      if (std::find(choices.begin(), choices.end(), word) == choices.end())
        wrong(key, *node,
              fmt::format("one of {} (did you mean \"{}\"?)", quoted_list(choices),
                          nearest(word, choices)));
      value = word;
    }
  }
  void key(const Key& key, std::optional<std::string>& value) override {
    if (const auto* node = find(key)) {
      if (!node->is_string()) wrong(key, *node, "a text in quotes");
      value = node->value<std::string>();
      require_text(fmt::format("{}.{}", section_, key.name), *value);
    }
  }
  void key(const Key& key, std::optional<Choices>& value, const Choices& words) override {
    const auto* node = find(key);
    if (node == nullptr) return;
    value = Choices();
    const std::string allowed = "a list of some of " + quoted_list(words);
    if (!node->is_array() || node->as_array()->empty()) wrong(key, *node, allowed);
    for (const auto& element : *node->as_array()) {
      const auto word = element.value_or(std::string());
      const bool known = std::find(words.begin(), words.end(), word) != words.end();
      if (!known || std::find(value->begin(), value->end(), word) != value->end())
        wrong(key, *node, allowed + ", each once");
      value->push_back(word);
    }
  }
  void key(const Key& key, std::optional<std::vector<double>>& value, const Range& range) override {
    if (const auto* node = find(key)) value = numbers(key, *node, range);
  }
  void key(const Key& key, std::optional<Matrix>& value) override {
    if (const auto* node = find(key)) value = matrix(key, *node);
  }
  void key(const Key& key, std::optional<std::vector<Matrix>>& value) override {
    const auto* node = find(key);
    if (node == nullptr) return;
    const auto* list = node->as_array();
    if (list == nullptr || list->empty())
      wrong(key, *node, "a list of matrices, each a list of rows");
    value.emplace();
    for (const auto& one : *list) value->push_back(matrix(key, one));
  }
  void words(const Key& key, std::optional<Choices>& value, const Choices& words) override {
    const auto* node = find(key);
    if (node == nullptr) return;
    const auto word_of = [&](const toml::node& one) {
      auto word = one.value_or(std::string());
      if (std::find(words.begin(), words.end(), word) == words.end())
        wrong(key, one,
              fmt::format("one of {} (did you mean \"{}\"?)", quoted_list(words),
                          nearest(word, words)));
      return word;
    };
    value.emplace();
    if (!node->is_array()) value->push_back(word_of(*node));
    if (node->is_array() && node->as_array()->empty())
      wrong(key, *node, "a list of some of " + quoted_list(words));
    if (node->is_array())
      for (const auto& one : *node->as_array()) value->push_back(word_of(one));
  }

  /// Throws when the file has a section or a key that no visit has asked for, or lacks one that is
  /// required (in this order: a misspelt word is the likeliest cause of a missing one).
  void require_complete(const std::string& other) const {
    for (const auto& [section, node] : table_) {
      const std::string name(section.str());
      if (name == other) continue;
      const auto keys = known_keys_.find(name);
      if (std::find(known_sections_.begin(), known_sections_.end(), name) == known_sections_.end())
        fail(node, fmt::format("unknown section [{}]; did you mean [{}]? Known: {}", name,
                               nearest(name, known_sections_), quoted_list(known_sections_)));
      for (const auto& [key, value] : *node.as_table()) {
        const std::string word(key.str());
        if (keys == known_keys_.end())
          fail(value, fmt::format("unknown key {}.{}; the section has no keys", name, word));
        if (std::find(keys->second.begin(), keys->second.end(), word) == keys->second.end())
          fail(value, fmt::format("unknown key {}.{}; did you mean {}? Known: {}", name, word,
                                  meant(name, word), quoted_list(keys->second)));
      }
    }
    if (!missing_.empty()) throw InputError(fmt::format("{}: {}", name_, missing_));
  }

 private:
  /// What an unknown key of a section may stand for: one of its own that goes on like it, else that
  /// key of other sections, else the nearest of its own.
  std::string meant(const std::string& section, const std::string& word) const {
    const std::string near = nearest(word, known_keys_.at(section));
    std::vector<std::string> others;
    for (const auto& [name, keys] : known_keys_)
      if (std::find(keys.begin(), keys.end(), word) != keys.end())
        others.push_back(fmt::format("{}.{}", name, word));
    if (others.empty() || near.starts_with(word)) return fmt::format("{}.{}", section, near);
    return fmt::format("{}", fmt::join(others, " or "));
  }

  const toml::node* find(const Key& key) {
    known_keys_[section_].push_back(key.name);
    const toml::node* node = current_ == nullptr ? nullptr : current_->get(key.name);
    if (node == nullptr && key.required && !absent_ && missing_.empty())
      missing_ = fmt::format(
          "{}.{} is missing ({}){}", section_, key.name, key.help,
          is_swept(key) ? "; what [sweep] varies needs a value in its own section, too" : "");
    return node;
  }

  bool is_swept(const Key& key) const {
    const auto sweep = table_["sweep"];
    return sweep[section_ + "." + key.name] || sweep[section_][key.name];
  }

  [[noreturn]] void fail(const toml::node& node, const std::string& message) const {
    const auto line = node.source().begin.line;
    throw InputError(line == 0 ? message : fmt::format("{}:{}: {}", name_, line, message));
  }

  [[noreturn]] void wrong(const Key& key, const toml::node& node,
                          const std::string& allowed) const {
    fail(node, fmt::format("{}.{} = {} is not allowed; it must be {}", section_, key.name,
                           to_toml(node), allowed));
  }

  /// A number; a whole one past 2^53 becomes the nearest double, like any other digits.
  static std::optional<double> number_of(const toml::node& node) {
    if (node.is_integer()) return static_cast<double>(node.as_integer()->get());
    return node.value<double>();
  }

  /// A whole number, also one written like 1e6.
  static std::optional<std::int64_t> whole(const toml::node& node) {
    if (node.is_integer()) return node.as_integer()->get();
    if (!node.is_floating_point()) return std::nullopt;
    const double x = node.as_floating_point()->get();
    if (x != std::floor(x) || std::abs(x) > 9e15) return std::nullopt;
    return static_cast<std::int64_t>(x);
  }

  std::int64_t whole_number(const Key& key, const toml::node& node, const Range& range) const {
    const auto number = whole(node);
    if (!number || !inside(range, static_cast<double>(*number)))
      wrong(key, node, "a whole number " + describe(range));
    return *number;
  }

  double number(const Key& key, const toml::node& node, const Range& range) const {
    const auto x = number_of(node);
    if (!x || !inside(range, *x)) wrong(key, node, "a number, " + describe(range));
    return *x;
  }

  std::vector<double> numbers(const Key& key, const toml::node& node, const Range& range) const {
    if (node.is_number()) return {number(key, node, range)};
    if (!node.is_array()) wrong(key, node, "a list of numbers, each " + describe(range));
    std::vector<double> values;
    for (const auto& element : *node.as_array()) values.push_back(number(key, element, range));
    return values;
  }

  Matrix matrix(const Key& key, const toml::node& node) const {
    const auto* rows = node.as_array();
    if (rows == nullptr || rows->empty())
      wrong(key, node, "a list of rows, each a list of numbers");
    std::vector<std::vector<double>> read;
    for (const auto& row : *rows) {
      if (!row.is_array()) wrong(key, node, "a list of rows, each a list of numbers");
      read.push_back(numbers(key, row, {}));
      if (read.back().size() != read.front().size() || read.back().empty())
        wrong(key, node, "rows of equal length");
    }
    Matrix matrix(read.size(), read.front().size());
    for (std::size_t i = 0; i < read.size(); ++i)
      for (std::size_t j = 0; j < read[i].size(); ++j)
        matrix(static_cast<Eigen::Index>(i), static_cast<Eigen::Index>(j)) = read[i][j];
    return matrix;
  }

  const toml::table& table_;
  std::string name_;
  std::string section_;
  std::string missing_;
  const toml::table* current_ = nullptr;
  bool absent_ = false;  // a section that may be left out, and is
  std::vector<std::string> known_sections_;
  std::map<std::string, std::vector<std::string>> known_keys_;
};

}  // namespace

std::string describe(const Range& range) {
  if (std::isinf(range.least) && std::isinf(range.most)) return "any finite number";
  std::string text = fmt::format("{} {}", range.open_below ? ">" : ">=", range.least);
  if (!std::isinf(range.most)) text += fmt::format(" and <= {}", range.most);
  return text;
}

void read_sections(const toml::table& table, const std::string& name, InputSections sections,
                   const std::string& other) {
  Reader reader(table, name);
  for (InputSection* section : sections) reader.read(*section);
  reader.require_complete(other);
}

}  // namespace headflow
