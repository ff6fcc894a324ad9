#pragma once
#include <functional>
#include <map>
#include <string>

#include "core/data_file.hpp"
#include "headflow/core/keys.hpp"

namespace headflow {

/// What is declared of a key of the input, by "section.key".
using KeyOf = std::function<Key(const std::string&)>;

/// Each key of two resolved inputs that differs and whose Change is not among those that are
/// `ignored`, with both values, in one line; empty if none does.
std::string differences(const std::string& before, const std::string& now, const KeyOf& key_of,
                        const std::function<bool(Change)>& ignored);

/// What decides about the numbers of a run: its resolved input, and texts besides it.
struct Identity {
  std::string input;
  std::map<std::string, std::string> texts;  ///< as in the provenance of files, by name
  KeyOf key_of;
  bool extendable = true;  ///< whether keys may differ whose Change is allowed

  /// What a file says of the run that made it.
  static Identity of(const DataReader& file, KeyOf key_of);

  /// What stands between going on from `file` and this run, in one line; empty if nothing.
  std::string obstacles(const DataReader& file) const;
  /// What makes `file` that of another run, even of one that goes on elsewhere or to another end.
  std::string differences_from(const DataReader& file) const;
  /// Whether `file` is of a finished run of this very input.
  bool is_finished(const DataReader& file) const;

 private:
  std::string compare(const DataReader& file, const std::function<bool(Change)>& ignored) const;
};

}  // namespace headflow
