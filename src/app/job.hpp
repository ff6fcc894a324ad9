#pragma once
#include <string>

#include "headflow/core/control.hpp"
#include "sections/configuration.hpp"
#include "sweep/sweep.hpp"

namespace headflow {

/// A whole checked input: its sections, which are those of the base where there is a sweep.
struct Job {
  Configuration input;
  Sweep sweep;

  /// Reads and checks everything, with all members of a sweep; rank 0 reads the file. Collective.
  /// Throws InputError; Interrupt when `control` is asked to stop.
  static Job read(const Communicator& comm, const InputRequest& request,
                  Control& control = Control::none());
  /// The same, but of the members of a sweep only how many there are.
  static Job read_base(const Communicator& comm, const InputRequest& request);

  /// Every key with its value, as TOML.
  std::string resolved() const { return input.resolved() + sweep.to_toml(); }
};

}  // namespace headflow
