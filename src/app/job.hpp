#pragma once
#include <string>

#include "sections/configuration.hpp"
#include "sweep/sweep.hpp"

namespace headflow {

/// A whole checked input: its sections, which are those of the base where there is a sweep.
struct Job {
  std::string text;  ///< of the file
  Configuration input;
  Sweep sweep;

  /// Reads and checks everything, with all members of a sweep; rank 0 reads the file. Collective.
  /// Throws InputError.
  static Job read(const Communicator& comm, const InputRequest& request);

  /// Every key with its value, as TOML.
  std::string resolved() const { return input.resolved() + sweep.to_toml(); }
};

}  // namespace headflow
