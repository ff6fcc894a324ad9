#pragma once
#include <toml++/toml.h>

#include <optional>
#include <string>
#include <vector>

#include "headflow/core/mpi.hpp"
#include "headflow/model/model.hpp"
#include "sections/output_section.hpp"
#include "sections/section.hpp"
#include "sections/start_section.hpp"

namespace headflow {

/// What the command line adds to an input file.
struct InputRequest {
  std::string input;                   ///< path of the TOML file
  std::vector<std::string> overrides;  ///< "section.key=value"
  std::string output;                  ///< path of the output, or empty
};

/// A checked input: every section with its options, the same on every rank.
class Configuration {
 public:
  /// Reads and prepares all sections of a parsed input. Collective. Throws InputError.
  Configuration(const Communicator& comm, const InputRequest& request, const toml::table& table);

  /// That section, by its type.
  template <class S>
  S& section() {
    for (const auto& one : sections_)
      if (auto* found = dynamic_cast<S*>(one.get())) return *found;
    throw std::logic_error("no such section");
  }
  template <class S>
  const S& section() const {
    return const_cast<Configuration*>(this)->section<S>();
  }
  /// The same, prepared: for sections whose options follow from those of another one.
  template <class S>
  S& prepared() {
    S& found = section<S>();
    prepare(found);
    return found;
  }

  const OutputSection& output() const { return section<OutputSection>(); }
  const StartSection& start() const { return section<StartSection>(); }
  const Sections& sections() const { return sections_; }
  const Communicator& comm() const { return comm_; }
  const InputRequest& request() const { return request_; }
  /// L, H, F, the activation, how it is trained and the law of theta, seen through the spikes of
  /// the start.
  const Model& model();
  const Model& model() const { return *model_; }
  /// Every key with its value, as TOML.
  std::string resolved() const;
  /// What the user should know before a run.
  std::vector<std::string> warnings() const;
  /// Paths of the files that the run writes, the output first.
  std::vector<std::string> files() const;

 private:
  void prepare(Section& section);

  const Communicator& comm_;
  InputRequest request_;
  Sections sections_;
  std::vector<const Section*> prepared_;
  std::optional<Model> model_;
};

/// The text of a file, read by rank 0. Collective. Throws InputError.
std::string read_text(const Communicator& comm, const std::string& path);

}  // namespace headflow
