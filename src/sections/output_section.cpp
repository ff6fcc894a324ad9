#include "sections/output_section.hpp"

#include <filesystem>

#include "core/paths.hpp"
#include "headflow/core/error.hpp"
#include "input/toml_text.hpp"
#include "sections/configuration.hpp"

namespace headflow {
namespace {

/// X.h5 for FOLDER/X.toml, NAME.h5 for any other.
std::string default_name(const std::string& input) {
  const std::filesystem::path name = std::filesystem::path(input).filename();
  return (name.extension() == ".toml" ? name.stem() : name).string() + ".h5";
}

}  // namespace

void OutputSection::declare_keys(KeyVisitor& visitor) {
  constexpr auto irrelevant = Change::irrelevant;
  visitor.key(
      {.name = "file",
       .help = "name of the file; default: the input's name with .h5, in the working folder",
       .change = irrelevant},
      file_);
  visitor.key(
      {.name = "every",
       .help =
           "seconds of wall time between updates of the file, more where writing would take over "
           "2 % of the time; 0 updates it at each chance",
       .change = irrelevant},
      every, at_least_zero);
  visitor.key({.name = "checkpoint_every",
               .help = "seconds of wall time between checkpoints",
               .change = irrelevant},
              checkpoint_every, at_least_zero);
  visitor.whole({.name = "checkpoints_kept",
                 .help = "number of checkpoints FILE.checkpoint-N.h5, which are written in turn",
                 .change = irrelevant},
                checkpoints_kept, {.least = 1, .most = 100});
}

void OutputSection::prepare(Configuration& input) {
  const InputRequest& request = input.request();
  if (!request.output.empty()) file_ = request.output;
  if (!file_) file_ = default_name(request.input);
  if (file_->empty()) throw InputError("output.file must not be empty");
  require_text("output.file", *file_);
  input.comm().on_root([&] { path_ = follow_links(*file_); });
  path_ = input.comm().broadcast(path_);
}

}  // namespace headflow
