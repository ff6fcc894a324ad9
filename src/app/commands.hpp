#pragma once
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "core/stopwatch.hpp"
#include "headflow/core/error.hpp"
#include "sections/configuration.hpp"

namespace headflow {

/// What the command line asks for.
struct Command {
  /// Carries it out; returns the exit code. Collective. Null: help or version was printed.
  ExitCode (*execute)(const Communicator& comm, const Command& command) = nullptr;
  InputRequest request;
  bool force = false;
  bool members = false;          ///< of check: print only how many there are
  std::optional<int> ranks{};    ///< of check: for whose number it tells the cost
  std::string restart = "auto";  ///< auto, none, or a checkpoint's path
  double wall_seconds = std::numeric_limits<double>::infinity();  ///< since `begin`
  Stopwatch begin;
  std::string file;                        ///< of info, or that merge writes
  std::vector<std::string> files;          ///< that merge reads
  std::int64_t part = 0, parts = 1;        ///< of a sweep: members number part modulo parts
  std::vector<std::string> petsc_options;  ///< words that start with -flow_, .., and their values
  std::string command_line;
};

/// Reads the command line. Prints help or version if `root`. Needs no MPI. Throws InputError.
Command read_command_line(int argc, char** argv, bool root);

/// `headflow run`: the computation, its file and its summary. Goes on from a checkpoint where there
/// is one. Returns finished or stopped_early.
ExitCode run(const Communicator& comm, const Command& command);
/// `headflow check`: validates, prints the resolved input and the cost, computes nothing.
ExitCode check(const Communicator& comm, const Command& command);
/// `headflow info FILE`: what is in an output file.
ExitCode info(const Communicator& comm, const Command& command);
/// `headflow merge OUT FILES`: the results of a sweep that several runs have computed in parts.
ExitCode merge(const Communicator& comm, const Command& command);

}  // namespace headflow
