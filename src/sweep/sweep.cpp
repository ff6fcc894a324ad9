#include "sweep/sweep.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <numeric>
#include <optional>
#include <utility>

#include "headflow/core/error.hpp"
#include "input/printer.hpp"
#include "input/reader.hpp"
#include "input/toml_text.hpp"
#include "sweep/range.hpp"

namespace headflow {
namespace {

constexpr std::int64_t most_values = 1'000'000;  // of all axes but the repeats

/// A number as TOML that reads back as the same; whole ones without a point, which every key takes.
std::string text_of(double x) { return fmt::format("{}", x); }

std::vector<double> counted(std::size_t count) {
  std::vector<double> numbers(count);
  std::iota(numbers.begin(), numbers.end(), 1.0);
  return numbers;
}

/// The key of "section.list[i]" without its element.
std::string whole_key(const std::string& key) { return key.substr(0, key.find('[')); }

/// Whether to set one key sets all of the other.
bool covers(const std::string& key, const std::string& other) {
  return key == other || key == whole_key(other);
}

/// A seed as TOML, if it is a whole number that a seed may be.
std::optional<std::int64_t> seed_of(const std::string& text) {
  char* end = nullptr;
  const double x = std::strtod(text.c_str(), &end);
  if (*end != '\0' || !(x >= seeds.least && x <= seeds.most) || x != std::floor(x))
    return std::nullopt;
  return static_cast<std::int64_t>(x);
}

std::string section_of(const std::string& key) { return key.substr(0, key.find('.')); }

/// Reads the axes of one [sweep] section.
class SweepReader {
 public:
  SweepReader(const toml::table& table, std::string file, const Sections& base)
      : table_(table), file_(std::move(file)), base_(base), key_of_(key_lookup(base)) {}

  Sweep read() const {
    Sweep sweep{.axes = axes(), .seeds = {}, .base = {}, .text = {}};
    zip(sweep.axes);
    repeat(sweep);
    if (sweep.axes.empty()) fail(table_, "it has no axis: write \"section.key\" = [values]");
    sweep.ranks_per_member = whole("ranks_per_member", 0, most_members);
    require_few_members(sweep.axes);
    return sweep;
  }

 private:
  [[noreturn]] void fail(const toml::node& node, const std::string& message) const {
    const auto line = node.source().begin.line;
    throw InputError(line == 0 ? "[sweep]: " + message
                               : fmt::format("{}:{}: [sweep]: {}", file_, line, message));
  }

  /// That key's value, or `least`.
  std::int64_t whole(const char* key, std::int64_t least, std::int64_t most) const {
    const toml::node* node = table_.get(key);
    return node == nullptr ? least : whole(key, *node, least, most);
  }

  std::int64_t whole(const std::string& key, const toml::node& node, std::int64_t least,
                     std::int64_t most) const {
    const auto value = node.is_number() ? node.value<std::int64_t>() : std::nullopt;
    if (!value || *value < least || *value > most)
      fail(node, fmt::format("{} = {} is not allowed; it must be a whole number >= {} and <= {}",
                             key, to_toml(node), least, most));
    return *value;
  }

  void require_few_members(const std::vector<SweepAxis>& axes) const {
    std::int64_t size = 1;
    std::vector<std::string> extents;
    for (const SweepAxis& axis : axes) {
      const auto extent = static_cast<std::int64_t>(axis.coordinates.size());
      size = std::min(size, most_members + 1) * extent;  // far from an overflow
      extents.push_back(std::to_string(extent));
    }
    if (size > most_members)
      fail(table_, fmt::format("it has {} members, at most {} are allowed",
                               fmt::join(extents, " x "), most_members));
  }

  /// All axes, in the order of the file, which TOML tables do not keep.
  std::vector<SweepAxis> axes() const {
    using Place = std::pair<toml::source_index, toml::source_index>;
    std::vector<std::pair<Place, SweepAxis>> found;
    std::int64_t values = 0;
    const auto add = [&](const std::string& key, const toml::node& node) {
      for (const auto& [place, other] : found) {
        if (other.keys[0] == key) fail(node, fmt::format("{} is there twice", key));
        if (covers(key, other.keys[0]) || covers(other.keys[0], key))
          fail(node, fmt::format("{} and {} set the same numbers", other.keys[0], key));
      }
      const auto begin = node.source().begin;
      found.push_back({{begin.line, begin.column}, axis(key, node)});
      values += static_cast<std::int64_t>(found.back().second.coordinates.size());
      if (values > most_values)
        fail(node, fmt::format("its axes have more than {} values", most_values));
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
        const auto* whole = value.as_integer();
        axis.values.push_back({whole != nullptr ? std::to_string(whole->get()) : to_toml(value)});
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
    if (!numeric) axis.coordinates = counted(axis.values.size());
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
    const auto spacing = range["spacing"].value_or(std::string("linear"));
    const toml::node* count = range.get("count");
    if (!from || !to || count == nullptr || !std::isfinite(*from) || !std::isfinite(*to))
      fail(range, fmt::format("the range of {} needs numbers from, to and a count >= 1", key));
    const std::int64_t points = whole("the count of " + key, *count, 1, most_values);
    if (spacing != "linear" && spacing != "log")
      fail(range, fmt::format("the spacing of {} must be \"linear\" or \"log\", found \"{}\"", key,
                              spacing));
    if (spacing == "log" && (*from <= 0 || *to <= 0))
      fail(range, fmt::format("a log range of {} needs from and to > 0", key));
    return range_values(*from, *to, points, spacing == "log");
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

  /// Other seeds for each repeat: all of what is given, or becomes given by an axis.
  void repeat(Sweep& sweep) const {
    const std::int64_t repeats = whole("repeats", 1, most_members);
    if (repeats == 1) return;
    const auto keys = key_table(base_.views());
    const auto is_there = [&](const auto& named) {
      const auto sets = [&](const std::string& key) {
        return section_of(key) == section_of(named.first);
      };
      return named.second.given ||
             std::any_of(sweep.axes.begin(), sweep.axes.end(), [&](const SweepAxis& axis) {
               return std::any_of(axis.keys.begin(), axis.keys.end(), sets);
             });
    };
    std::int64_t starts = 1;
    for (const auto& named : keys)
      if (named.second.key.seed == Seed::count && is_there(named))
        starts = std::max(starts, range_of_values(sweep, named.first, named.second.value).second);
    for (const auto& named : keys) {
      const auto& [name, declared] = named;
      if (declared.key.seed != Seed::one && declared.key.seed != Seed::starts) continue;
      if (!is_there(named)) continue;
      const auto [least, most] = range_of_values(sweep, name, declared.value);
      const std::int64_t stride =
          most - least + (declared.key.seed == Seed::starts ? starts : std::int64_t{1});
      if (static_cast<double>(most) + static_cast<double>(stride) * static_cast<double>(repeats) >
          seeds.most)
        fail(*table_.get("repeats"),
             fmt::format("{} repeats of {} = {} to {}, {} apart, go beyond the largest seed, {}",
                         repeats, name, least, most, stride, seeds.most));
      sweep.seeds.push_back({name, *seed_of(declared.value), stride});
    }
    sweep.axes.push_back({.name = "repeat",
                          .keys = {},
                          .values = {},
                          .coordinates = counted(static_cast<std::size_t>(repeats))});
  }

  /// The least and the largest value of a whole number over all members.
  std::pair<std::int64_t, std::int64_t> range_of_values(const Sweep& sweep, const std::string& key,
                                                        const std::string& base) const {
    std::vector<std::string> texts;
    for (const SweepAxis& axis : sweep.axes)
      for (std::size_t k = 0; k < axis.keys.size(); ++k)
        for (const auto& point : axis.values)
          if (axis.keys[k] == key) texts.push_back(point[k]);
    if (texts.empty()) texts.push_back(base);
    std::vector<std::int64_t> values;
    for (const auto& text : texts) {
      const auto value = seed_of(text);
      if (!value)
        fail(table_, fmt::format("{} = {} is not allowed; it must be a whole number {}", key, text,
                                 describe(seeds)));
      values.push_back(*value);
    }
    const auto [least, most] = std::minmax_element(values.begin(), values.end());
    return {*least, *most};
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
      text += fmt::format("repeats = {}\n", axis.coordinates.size());
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
  for (const SweepAxis& axis : axes) size *= static_cast<std::int64_t>(axis.coordinates.size());
  return size;
}

std::int64_t Sweep::repeats() const {
  return seeds.empty() ? 1 : static_cast<std::int64_t>(axes.back().coordinates.size());
}

std::vector<std::string> Sweep::changes(std::int64_t member) const {
  std::map<std::string, std::string> seed_values;
  const std::int64_t repeat = member % repeats();
  for (const RepeatedSeed& seed : seeds) seed_values[seed.key] = std::to_string(seed.base);
  std::vector<std::pair<std::string, std::string>> changes;  // backwards
  for (auto axis = axes.rbegin(); axis != axes.rend(); ++axis) {
    const auto count = static_cast<std::int64_t>(axis->coordinates.size());
    const auto point = static_cast<std::size_t>(member % count);
    member /= count;
    for (std::size_t k = axis->keys.size(); k-- > 0;) {
      const std::string& key = axis->keys[k];
      const std::string& value = axis->values[point][k];
      if (const auto seed = seed_values.find(key); seed != seed_values.end())
        seed->second = value;
      else
        changes.emplace_back(key, value);
    }
  }
  std::reverse(changes.begin(), changes.end());
  for (const RepeatedSeed& seed : seeds)
    changes.emplace_back(seed.key,
                         std::to_string(*seed_of(seed_values[seed.key]) + repeat * seed.stride));
  std::vector<std::string> texts;
  for (const auto& [key, value] : changes) texts.push_back(key + "=" + value);
  return texts;
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
  for (const auto& [section, keys] : input)
    if (section != "sweep") sweep.base.insert(section, keys);
  for (const auto& section : base)
    if (section->given) section->require_sweepable();
  return sweep;
}

void require_unswept(const Sweep& sweep, const std::vector<std::string>& overrides) {
  for (const auto& setting : overrides) {
    const std::string key = setting.substr(0, setting.find('='));
    for (const SweepAxis& axis : sweep.axes)
      for (const auto& swept : axis.keys)
        if (covers(swept, key))
          throw InputError(fmt::format(
              "--set {}: the sweep sets {} in every member; --set 'sweep.\"{}\"=[..]' changes its "
              "values",
              setting, swept, swept));
  }
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
