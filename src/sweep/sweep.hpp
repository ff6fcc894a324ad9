#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace headflow {

/// One axis of a sweep: the keys that vary along it, together, and their values as TOML.
struct SweepAxis {
  std::string name;                              ///< of the dimension: the first key with _ for .
  std::vector<std::string> keys;                 ///< "section.key"; several are zipped
  std::vector<std::vector<std::string>> values;  ///< [point][key]
  std::vector<double> coordinates;               ///< numbers of the first key, else 1, 2, ..
};

/// [sweep]: a product of axes, the first one slowest; the last may be `repeat`.
struct Sweep {
  std::vector<SweepAxis> axes;
  std::int64_t ranks_per_member = 0;  ///< 0: automatic
  std::string text;                   ///< the section as TOML

  /// How many members there are.
  std::int64_t size() const;
  /// What member `member` changes in the input: "section.key=value".
  std::vector<std::string> changes(std::int64_t member) const;
};

/// Reads the section [sweep] of a TOML text with overrides like "sweep.repeats=3". An empty sweep
/// (no axes) when there is none. Keys are written "section.key" = [values] or = { from, to, count,
/// spacing = "linear" or "log" }; `zip` lists lists of keys that vary together; `repeats` gives
/// every member other seeds, `seed_stride` apart. Throws InputError.
Sweep read_sweep(const std::string& text, const std::string& name,
                 const std::vector<std::string>& overrides);

}  // namespace headflow
