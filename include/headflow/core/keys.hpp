#pragma once
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "headflow/core/matrix.hpp"

namespace headflow {

// How options become keys of an input. The struct of options that a computation takes declares each
// of its members once, with its name, range and one line of help, to a KeyVisitor; its initialiser
// is the default. Reading, checking, --help and the resolved input are visitors.

/// What a changed value means for a run that goes on from a checkpoint.
enum class Change {
  refused,    ///< it would be another computation
  allowed,    ///< it concerns what is still to come, or leaves the numbers as they are
  irrelevant  ///< nothing in the results depends on it
};

/// How the repeats of a sweep change a key.
enum class Seed {
  none,    ///< they do not
  one,     ///< a seed of which a run uses one
  starts,  ///< a seed of which a run uses as many, one after the other, as it has random starts
  count    ///< they do not; but it is how many random starts a run may have
};

/// A key's name in its section, and what the user should know of it.
struct Key {
  const char* name;
  const char* help;
  bool required = false;
  Change change = Change::refused;
  const char* hint = "";  ///< what to say where a change is refused
  Seed seed = Seed::none;
};

/// Allowed numbers; an open end excludes the bound itself.
struct Range {
  double least = -std::numeric_limits<double>::infinity();
  double most = std::numeric_limits<double>::infinity();
  bool open_below = false;
};

inline constexpr Range any_number{};
inline constexpr Range positive{.least = 0, .open_below = true};
inline constexpr Range at_least_zero{.least = 0};
inline constexpr Range seeds{.least = 0, .most = 9e15};

/// Allowed words.
using Choices = std::vector<std::string>;

/// A number, or a word that stands for one.
using NumberOrWord = std::variant<double, std::string>;

/// One walk over the keys of a section.
class KeyVisitor {
 public:
  virtual ~KeyVisitor() = default;
  virtual void key(const Key&, bool&) = 0;
  virtual void key(const Key&, std::int64_t&, const Range&) = 0;
  virtual void key(const Key&, std::optional<std::int64_t>&, const Range&) = 0;
  virtual void key(const Key&, double&, const Range&) = 0;
  virtual void key(const Key&, std::optional<double>&, const Range&) = 0;
  virtual void key(const Key&, NumberOrWord&, const Range&, const Choices& words) = 0;
  virtual void key(const Key&, std::string&, const Choices&) = 0;
  virtual void key(const Key&, std::optional<std::string>&) = 0;
  virtual void key(const Key&, std::optional<Choices>&,
                   const Choices& words) = 0;  ///< some of them
  virtual void key(const Key&, std::optional<std::vector<double>>&, const Range&) = 0;
  virtual void key(const Key&, std::optional<Matrix>&) = 0;
  virtual void key(const Key&, std::optional<std::vector<Matrix>>&) = 0;
  /// Any of the words, as often as wanted; one alone needs no list.
  virtual void words(const Key&, std::optional<Choices>&, const Choices& words) = 0;

  /// A whole number of another type.
  template <class Integer>
  void whole(const Key& key, Integer& value, const Range& range) {
    auto number = static_cast<std::int64_t>(value);
    this->key(key, number, range);
    value = static_cast<Integer>(number);
  }

  /// One of an enumeration's values, by its word.
  template <class Enum>
  void choice(const Key& key, Enum& value, const std::vector<std::pair<const char*, Enum>>& words) {
    Choices choices;
    std::string word;
    for (const auto& [name, one] : words) {
      choices.emplace_back(name);
      if (one == value) word = name;
    }
    this->key(key, word, choices);
    for (const auto& [name, one] : words)
      if (word == name) value = one;
  }
};

}  // namespace headflow
