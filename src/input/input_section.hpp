#pragma once
#include <span>

#include "headflow/core/keys.hpp"

namespace headflow {

/// A section of the input file as reading and printing see it.
class InputSection {
 public:
  virtual ~InputSection() = default;
  /// As it stands in the file: [name].
  virtual const char* name() const = 0;
  /// One line for --help.
  virtual const char* help() const = 0;
  /// Whether it may be left out, with all that it describes; else it is there with its defaults.
  virtual bool optional() const { return false; }
  /// Shows every key with its value to `visitor`.
  virtual void declare_keys(KeyVisitor& visitor) = 0;

  /// Whether what it describes is there. Set by reading.
  bool given = false;
};

using InputSections = std::span<InputSection* const>;

}  // namespace headflow
