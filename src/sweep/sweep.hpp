#pragma once
#include <toml++/toml.h>

#include <cstdint>
#include <string>
#include <vector>

#include "input/printer.hpp"
#include "restart/identity.hpp"
#include "sections/section.hpp"

namespace headflow {

/// One axis of a sweep: the keys that vary along it, together, and their values as TOML.
struct SweepAxis {
  std::string name;               ///< of the dimension: the first key with _ for .
  std::vector<std::string> keys;  ///< "section.key"; several are zipped; none for `repeat`
  std::vector<std::vector<std::string>> values;  ///< [point][key]
  std::vector<double> coordinates;               ///< numbers of the first key, else 1, 2, ..
};

/// A seed that repeats change: number i, from 0, adds i times `stride` to that of its member, which
/// is `base` where no axis sets it. The stride is as wide as all seeds of one repeat lie apart, so
/// that no two members share one.
struct RepeatedSeed {
  std::string key;
  std::int64_t base = 0, stride = 1;
};

/// [sweep]: a product of axes, the first one slowest; the last may be `repeat`.
struct Sweep {
  std::vector<SweepAxis> axes;
  std::vector<RepeatedSeed> seeds;    ///< of `repeat`
  toml::table base;                   ///< the rest of the input, which members change
  std::int64_t ranks_per_member = 0;  ///< 0: automatic
  std::string text;                   ///< the section as TOML, without its head and that number

  /// How many members there are; 0 where there is no sweep.
  std::int64_t size() const;
  /// How many consecutive members differ in their seeds alone.
  std::int64_t repeats() const;
  /// What member `member` changes in the input: "section.key=value".
  std::vector<std::string> changes(std::int64_t member) const;
  /// The section as TOML; empty where there is none.
  std::string to_toml() const;
};

/// Reads the section [sweep] of a parsed input, whose other sections are `base`. An empty sweep (no
/// axes) when there is none. Keys are written "section.key" = [values] or = { from, to, count,
/// spacing = "linear" or "log" }; `zip` lists lists of keys that vary together; `repeats` gives
/// every member other seeds, all that its sections declare (Seed). `file` is the file's name for
/// messages. Throws InputError.
Sweep read_sweep(const toml::table& input, const std::string& file, const Sections& base);

/// A sweep of more is refused.
inline constexpr std::int64_t most_members = 10'000'000;

/// The section [sweep] and its keys.
std::vector<KeyHelp> sweep_help();

/// Throws InputError when one of the `overrides`, "section.key=value", would be without effect
/// because an axis sets its key in every member.
void require_unswept(const Sweep& sweep, const std::vector<std::string>& overrides);

/// What is declared of a key of an input with these sections and perhaps [sweep], by "section.key".
KeyOf key_lookup(const Sections& sections);

}  // namespace headflow
