#pragma once
#include <optional>

#include "sections/section.hpp"

namespace headflow {

/// [output]: the HDF5 file and its checkpoints.
class OutputSection : public Section {
 public:
  const char* name() const override { return "output"; }
  const char* help() const override { return "the HDF5 file"; }
  void declare_keys(KeyVisitor& visitor) override;
  void prepare(Configuration& input) override;

  /// Path of the output file, with symbolic links in its last place followed: the same for all
  /// names of one file. Those that belong to it stand beside it.
  const std::string& path() const { return path_; }

  double every = 5;               ///< seconds between its updates
  double checkpoint_every = 600;  ///< seconds between checkpoints
  int checkpoints_kept = 2;

 private:
  std::optional<std::string> file_;
  std::string path_;
};

}  // namespace headflow
