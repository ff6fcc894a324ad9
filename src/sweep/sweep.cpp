#include "sweep/sweep.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "headflow/core/error.hpp"
#include "input/printer.hpp"
#include "input/toml_text.hpp"

namespace headflow {
namespace {

/// To 13 digits, so that a step of a decade gives 1000 and not 1000.0000000000002.
double round_number(double x) { return std::stod(fmt::format("{:.13g}", x)); }

/// A number as TOML that reads back as the same; whole ones without a point, which every key takes.
std::string text_of(double x) { return std::isfinite(x) ? fmt::format("{}", x) : "nan"; }

void count(SweepAxis& axis) {
  axis.coordinates.clear();
  for (std::size_t i = 1; i <= axis.values.size(); ++i)
    axis.coordinates.push_back(static_cast<double>(i));
}

/// Reads the axes of one [sweep] section.
class SweepReader {
 public:
  SweepReader(const toml::table& table, std::string file, const Sections& base)
      : table_(table), file_(std::move(file)), base_(base), key_of_(key_lookup(base)) {}

  Sweep read() const {
    Sweep sweep{.axes = axes(), .text = {}};
    zip(sweep.axes);
    repeat(sweep.axes);
    if (sweep.axes.empty()) fail(table_, "it has no axis: write \"section.key\" = [values]");
    sweep.ranks_per_member = whole("ranks_per_member", 0, 0);
    if (sweep.size() > 10'000'000)
      fail(table_, fmt::format("it has {} members, at most 10000000 are allowed", sweep.size()));
    return sweep;
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
                              to_toml(*node), least));
    return *value;
  }

  /// All axes, in the order of the file, which TOML tables do not keep.
  std::vector<SweepAxis> axes() const {
    using Place = std::pair<toml::source_index, toml::source_index>;
    std::vector<std::pair<Place, SweepAxis>> found;
    const auto add = [&](const std::string& key, const toml::node& node) {
      for (const auto& [place, other] : found)
        if (other.keys[0] == key) fail(node, fmt::format("{} is there twice", key));
      const auto begin = node.source().begin;
      found.push_back({{begin.line, begin.column}, axis(key, node)});
    };
    for (const auto& [key, value] : table_) {
      const std::string word(key.str());
      if (word == "repeats" || word == "zip" || word == "ranks_per_member") continue;
      const auto* inner = value.as_table();
      // "attention.heads" in quotes is one key, without quotes a table of tables.
      if (word.find('.') == std::string::npos && inner != nullptr)
        for (const auto& [second, list] : *inner) add(word + "." + std::string(second.str()), list);
      else
        add(word, value);
    }
    std::stable_sort(found.begin(), found.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    std::vector<SweepAxis> axes;
    for (auto& [place, axis] : found) axes.push_back(std::move(axis));
    return axes;
  }

  SweepAxis axis(const std::string& key, const toml::node& node) const {
    SweepAxis axis{.name = key, .keys = {key}, .values = {}, .coordinates = {}};
    if (key.find('.') == std::string::npos || key_of_(key).change == Change::irrelevant ||
        key.starts_with("sweep."))
      fail(node, fmt::format("\"{}\" cannot be swept; write \"section.key\"", key));
    std::erase(axis.name, ']');
    for (const char c : {'.', '['}) std::replace(axis.name.begin(), axis.name.end(), c, '_');
    bool numeric = true;
    if (const auto* list = node.as_array()) {
      for (const auto& value : *list) {
        axis.values.push_back({to_toml(value)});
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
                             to_toml(node)));
    }
    if (axis.values.empty()) fail(node, fmt::format("{} has no values", key));
    if (!numeric) count(axis);
    return axis;
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
  void zip(std::vector<SweepAxis>& axes) const {
    const toml::node* node = table_.get("zip");
    if (node == nullptr) return;
    const auto* groups = node->as_array();
    if (groups == nullptr) fail(*node, "zip must be a list of lists of keys");
    // Which axis a word names; it must have that key alone, and not be number `taken`.
    const auto find = [&](const toml::node& word, std::ptrdiff_t taken = -1) {
      const std::string key = word.value_or(std::string());
      const auto found = std::find_if(axes.begin(), axes.end(), [&](const SweepAxis& axis) {
        return axis.keys.size() == 1 && axis.keys[0] == key;
      });
      if (found == axes.end() || found - axes.begin() == taken)
        fail(*node, fmt::format("zip: \"{}\" is no axis of this sweep, or zipped twice", key));
      return found - axes.begin();
    };
    for (const auto& group : *groups) {
      const auto* keys = group.as_array();
      if (keys == nullptr || keys->size() < 2) fail(*node, "zip must be a list of lists of keys");
      std::ptrdiff_t first = find((*keys)[0]);
      for (std::size_t k = 1; k < keys->size(); ++k) {
        const auto place = find((*keys)[k], first);
        SweepAxis& joined = axes[static_cast<std::size_t>(first)];
        const SweepAxis& other = axes[static_cast<std::size_t>(place)];
        if (other.values.size() != joined.values.size())
          fail(*node, fmt::format("zip: \"{}\" has {} values but \"{}\" has {}", other.keys[0],
                                  other.values.size(), joined.keys[0], joined.values.size()));
        joined.keys.push_back(other.keys[0]);
        for (std::size_t i = 0; i < joined.values.size(); ++i)
          joined.values[i].push_back(other.values[i][0]);
        axes.erase(axes.begin() + place);
        if (place < first) --first;
      }
    }
  }

  /// Other seeds for each repeat.
  void repeat(std::vector<SweepAxis>& axes) const {
    const std::int64_t repeats = whole("repeats", 1, 1);
    if (repeats == 1) return;
    std::int64_t starts = 1;
    for (const auto& section : base_)
      if (section->given) starts = std::max(starts, section->starts());
    SweepAxis axis{.name = "repeat", .keys = {}, .values = {}, .coordinates = {}};
    axis.values.resize(static_cast<std::size_t>(repeats));
    for (const auto& section : base_) {
      InputSection* const one[] = {section.get()};
      for (const auto& [name, declared] : key_table(one)) {
        if (declared.key.seed == Seed::none || !declared.given) continue;
        axis.keys.push_back(name);
        const std::int64_t stride = declared.key.seed == Seed::starts ? starts : 1;
        for (std::int64_t i = 0; i < repeats; ++i)
          axis.values[static_cast<std::size_t>(i)].push_back(
              std::to_string(std::stoll(declared.value) + i * stride));
      }
    }
    count(axis);
    axes.push_back(std::move(axis));
  }

  const toml::table& table_;
  std::string file_;
  const Sections& base_;
  KeyOf key_of_;
};

std::string text_of(const std::vector<SweepAxis>& axes) {
  std::string text;
  std::vector<std::string> zips;
  for (const SweepAxis& axis : axes) {
    if (axis.name == "repeat") {
      text += fmt::format("repeats = {}\n", axis.values.size());
      continue;
    }
    for (std::size_t k = 0; k < axis.keys.size(); ++k) {
      std::vector<std::string> values;
      for (const auto& point : axis.values) values.push_back(point[k]);
      text += fmt::format("\"{}\" = [{}]\n", axis.keys[k], fmt::join(values, ", "));
    }
    if (axis.keys.size() > 1) zips.push_back(fmt::format("[{}]", quoted_list(axis.keys)));
  }
  if (!zips.empty()) text += fmt::format("zip = [{}]\n", fmt::join(zips, ", "));
  return text;
}

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

std::string Sweep::to_toml() const {
  if (axes.empty()) return "";
  return "[sweep]\n" + text +
         (ranks_per_member > 0 ? fmt::format("ranks_per_member = {}\n", ranks_per_member) : "");
}

Sweep read_sweep(const toml::table& input, const std::string& file, const Sections& base) {
  if (!input.contains("sweep")) return {};
  const auto* table = input["sweep"].as_table();
  if (table == nullptr)
    throw InputError("sweep must be a section: write [sweep] on a line of its own");
  Sweep sweep = SweepReader(*table, file, base).read();
  sweep.text = text_of(sweep.axes);
  for (const auto& section : base)
    if (section->given) section->require_sweepable();
  return sweep;
}

KeyOf key_lookup(const Sections& sections) {
  return [table = key_table(sections.views())](const std::string& name) {
    const auto found = table.find(name);
    if (found != table.end()) return found->second.key;
    return Key{.name = "",
               .help = "",
               .change = name == "sweep.ranks_per_member" ? Change::irrelevant : Change::refused};
  };
}

}  // namespace headflow
