#include "sweep/sweep.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "headflow/core/error.hpp"
#include "input/toml_table.hpp"

namespace headflow {
namespace {

/// To 13 digits, so that a step of a decade gives 1000 and not 1000.0000000000002.
double round_number(double x) { return std::stod(fmt::format("{:.13g}", x)); }

std::string text_of(const toml::node& node) {
  std::ostringstream text;
  node.visit([&](const auto& value) { text << value; });
  return text.str();
}

/// A number as TOML that reads back as the same; whole ones without a point, which every key takes.
std::string text_of(double x) {
  const std::string text = fmt::format("{}", x);
  return text.find("inf") == std::string::npos && text.find("nan") == std::string::npos ? text
                                                                                        : "nan";
}

/// Reads one [sweep] section.
class SweepReader {
 public:
  SweepReader(const toml::table& table, std::string file, std::int64_t seed_stride,
              const toml::table& input)
      : table_(table), file_(std::move(file)), seed_stride_(seed_stride), input_(input) {}

  Sweep read() {
    for (const auto& [key, value] : table_) {
      const std::string word(key.str());
      if (word == "repeats" || word == "zip" || word == "ranks_per_member") continue;
      const auto* inner = value.as_table();
      // "attention.heads" in quotes is one key, without quotes a table of tables.
      if (word.find('.') == std::string::npos && inner != nullptr) {
        for (const auto& [second, list] : *inner)
          add_axis(word + "." + std::string(second.str()), list);
      } else {
        add_axis(word, value);
      }
    }
    // In the order of the file, which TOML tables do not keep.
    std::stable_sort(places_.begin(), places_.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    std::vector<SweepAxis> ordered;
    for (const auto& [place, axis] : places_) ordered.push_back(sweep_.axes[axis]);
    sweep_.axes = std::move(ordered);
    zip();
    repeat();
    if (sweep_.axes.empty()) fail(table_, "it has no axis: write \"section.key\" = [values]");
    sweep_.ranks_per_member = whole("ranks_per_member", 0, 0);
    if (sweep_.size() > 10'000'000)
      fail(table_, fmt::format("it has {} members, at most 10000000 are allowed", sweep_.size()));
    std::ostringstream text;
    std::vector<std::string> zips;
    for (const SweepAxis& axis : sweep_.axes) {
      if (axis.name == "repeat") {
        text << fmt::format("repeats = {}\n", axis.values.size());
        continue;
      }
      for (std::size_t k = 0; k < axis.keys.size(); ++k) {
        std::vector<std::string> values;
        for (const auto& point : axis.values) values.push_back(point[k]);
        text << fmt::format("\"{}\" = [{}]\n", axis.keys[k], fmt::join(values, ", "));
      }
      if (axis.keys.size() > 1)
        zips.push_back(fmt::format("[\"{}\"]", fmt::join(axis.keys, "\", \"")));
    }
    if (!zips.empty()) text << fmt::format("zip = [{}]\n", fmt::join(zips, ", "));
    sweep_.text = text.str();
    return std::move(sweep_);
  }

 private:
  [[noreturn]] void fail(const toml::node& node, const std::string& message) const {
    const auto line = node.source().begin.line;
    throw InputError(line == 0 ? "[sweep]: " + message
                               : fmt::format("{}:{}: [sweep]: {}", file_, line, message));
  }

  std::int64_t whole(const char* key, std::int64_t least, std::int64_t otherwise) const {
    const toml::node* node = table_.get(key);
    if (node == nullptr) return otherwise;
    const auto value = node->value<std::int64_t>();
    if (!value || !node->is_integer() || *value < least)
      fail(*node, fmt::format("{} = {} is not allowed; it must be a whole number >= {}", key,
                              text_of(*node), least));
    return *value;
  }

  void add_axis(const std::string& key, const toml::node& node) {
    SweepAxis axis{.name = key, .keys = {key}, .values = {}, .coordinates = {}};
    if (key.find('.') == std::string::npos || key.starts_with("output.") ||
        key.starts_with("sweep."))
      fail(node, fmt::format("\"{}\" cannot be swept; write \"section.key\"", key));
    for (const SweepAxis& other : sweep_.axes)
      if (other.keys[0] == key) fail(node, fmt::format("{} is there twice", key));
    std::erase(axis.name, ']');
    for (const char c : {'.', '['}) std::replace(axis.name.begin(), axis.name.end(), c, '_');
    bool numeric = true;
    if (const auto* list = node.as_array()) {
      for (const auto& value : *list) {
        axis.values.push_back({text_of(value)});
        numeric = numeric && value.is_number();
        if (value.is_number()) axis.coordinates.push_back(*value.value<double>());
      }
    } else if (const auto* range = node.as_table()) {
      for (const double x : range_of(key, *range)) {
        axis.values.push_back({text_of(x)});
        axis.coordinates.push_back(x);
      }
    } else {
      fail(node, fmt::format("{} = {} must be a list of values or {{ from, to, count }}", key,
                             text_of(node)));
    }
    if (axis.values.empty()) fail(node, fmt::format("{} has no values", key));
    if (!numeric) count(axis);
    const auto begin = node.source().begin;
    places_.push_back({{begin.line, begin.column}, sweep_.axes.size()});
    sweep_.axes.push_back(std::move(axis));
  }

  static void count(SweepAxis& axis) {
    axis.coordinates.clear();
    for (std::size_t i = 1; i <= axis.values.size(); ++i)
      axis.coordinates.push_back(static_cast<double>(i));
  }

  std::vector<double> range_of(const std::string& key, const toml::table& range) const {
    for (const auto& [word, value] : range)
      if (word != "from" && word != "to" && word != "count" && word != "spacing")
        fail(value, fmt::format("unknown word {} in the range of {}; known: from, to, count, "
                                "spacing",
                                std::string(word.str()), key));
    const auto from = range["from"].value<double>();
    const auto to = range["to"].value<double>();
    const auto points = range["count"].value<std::int64_t>();
    const auto spacing = range["spacing"].value_or(std::string("linear"));
    if (!from || !to || !points || *points < 1 || !std::isfinite(*from) || !std::isfinite(*to))
      fail(range, fmt::format("the range of {} needs numbers from, to and a count >= 1", key));
    if (spacing != "linear" && spacing != "log")
      fail(range, fmt::format("the spacing of {} must be \"linear\" or \"log\", found \"{}\"", key,
                              spacing));
    if (spacing == "log" && (*from <= 0 || *to <= 0))
      fail(range, fmt::format("a log range of {} needs from and to > 0", key));
    std::vector<double> values;
    for (std::int64_t i = 0; i < *points; ++i) {
      const double s = *points == 1 ? 0 : static_cast<double>(i) / static_cast<double>(*points - 1);
      values.push_back(i == 0                ? *from
                       : i + 1 == *points    ? *to
                       : spacing == "linear" ? *from + s * (*to - *from)
                                             : round_number(*from * std::pow(*to / *from, s)));
    }
    return values;
  }

  /// Joins the axes that vary together, in the place of the first.
  void zip() {
    const toml::node* node = table_.get("zip");
    if (node == nullptr) return;
    const auto* groups = node->as_array();
    if (groups == nullptr) fail(*node, "zip must be a list of lists of keys");
    for (const auto& group : *groups) {
      const auto* keys = group.as_array();
      if (keys == nullptr || keys->size() < 2) fail(*node, "zip must be a list of lists of keys");
      SweepAxis* first = nullptr;
      for (const auto& word : *keys) {
        const std::string key = word.value_or(std::string());
        const auto found = std::find_if(
            sweep_.axes.begin(), sweep_.axes.end(),
            [&](const SweepAxis& axis) { return axis.keys.size() == 1 && axis.keys[0] == key; });
        if (found == sweep_.axes.end())
          fail(*node, fmt::format("zip: \"{}\" is no axis of this sweep, or zipped twice", key));
        if (first == nullptr) {
          first = &*found;
          continue;
        }
        if (found->values.size() != first->values.size())
          fail(*node, fmt::format("zip: \"{}\" has {} values but \"{}\" has {}", key,
                                  found->values.size(), first->keys[0], first->values.size()));
        first->keys.push_back(key);
        for (std::size_t i = 0; i < first->values.size(); ++i)
          first->values[i].push_back(found->values[i][0]);
        const std::string name = first->keys[0];
        sweep_.axes.erase(found);
        first = &*std::find_if(sweep_.axes.begin(), sweep_.axes.end(),
                               [&](const SweepAxis& axis) { return axis.keys[0] == name; });
      }
    }
  }

  /// Other seeds for each repeat.
  void repeat() {
    const std::int64_t repeats = whole("repeats", 1, 1);
    if (repeats == 1) return;
    SweepAxis axis{.name = "repeat", .keys = {"start.seed"}, .values = {}, .coordinates = {}};
    const bool sgd = input_.contains("sgd");
    if (sgd) axis.keys.push_back("sgd.seed");
    for (std::int64_t i = 0; i < repeats; ++i) {
      axis.values.push_back(
          {std::to_string(input_["start"]["seed"].value_or(std::int64_t{1}) + i * seed_stride_)});
      if (sgd)
        axis.values.back().push_back(
            std::to_string(input_["sgd"]["seed"].value_or(std::int64_t{1}) + i));
    }
    count(axis);
    sweep_.axes.push_back(std::move(axis));
  }

  const toml::table& table_;
  std::string file_;
  std::int64_t seed_stride_;
  const toml::table& input_;
  Sweep sweep_;
  /// Line and column of each axis, and its number.
  std::vector<std::pair<std::pair<toml::source_index, toml::source_index>, std::size_t>> places_;
};

}  // namespace

std::int64_t Sweep::size() const {
  std::int64_t size = axes.empty() ? 0 : 1;
  for (const SweepAxis& axis : axes) size *= static_cast<std::int64_t>(axis.values.size());
  return size;
}

std::vector<std::string> Sweep::changes(std::int64_t member) const {
  std::vector<std::string> changes;
  for (auto axis = axes.rbegin(); axis != axes.rend(); ++axis) {
    const auto count = static_cast<std::int64_t>(axis->values.size());
    const auto& values = axis->values[static_cast<std::size_t>(member % count)];
    member /= count;
    for (std::size_t k = 0; k < axis->keys.size(); ++k)
      changes.insert(changes.begin() + static_cast<std::ptrdiff_t>(k),
                     axis->keys[k] + "=" + values[k]);
  }
  return changes;
}

Sweep read_sweep(const std::string& text, const std::string& name,
                 const std::vector<std::string>& overrides) {
  const toml::table input = parse_input(text, name, overrides);
  if (!input.contains("sweep")) return {};
  const auto* table = input["sweep"].as_table();
  if (table == nullptr)
    throw InputError("sweep must be a section: write [sweep] on a line of its own");
  // Seeds that one member uses: those of the starts of [train], or of SGD's own starts.
  std::int64_t stride = 1;
  if (input.contains("train")) stride = input["train"]["starts"].value_or(std::int64_t{5});
  if (input["sgd"]["starts"].value_or(std::string()) == "own")
    stride = std::max(stride, input["sgd"]["replicas"].value_or(std::int64_t{1}));
  return SweepReader(*table, name, stride, input).read();
}

}  // namespace headflow
