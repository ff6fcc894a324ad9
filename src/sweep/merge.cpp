#include <fmt/format.h>

#include "core/paths.hpp"
#include "input/toml_text.hpp"
#include "output/output_file.hpp"
#include "output/provenance.hpp"
#include "restart/output_lock.hpp"
#include "sweep/sweep_run.hpp"
#include "sweep/sweep_store.hpp"

namespace headflow {

void merge_sweeps(const std::string& output, const std::vector<std::string>& files, bool force,
                  const std::string& command_line) {
  const Communicator self = Communicator::self();
  const std::string path = follow_links(output);
  require_room(self, {path}, files[0]);
  if (!force) require_new(self, path);
  const OutputLock lock(path, {});
  const DataReader first(files[0]);
  if (!first.has("provenance/sweep"))
    throw InputError(fmt::format("{} is no file of a sweep", files[0]));
  const std::string input = first.text("provenance/input");
  const toml::table table = parse_input(input, files[0], {});
  Sections base;
  base.read(table, files[0]);
  const Sweep sweep = read_sweep(table, files[0], base);
  DataFile content{.attributes = file_attributes(),
                   .provenance = {{"input", input},
                                  {"sweep", sweep.text},
                                  {"command_line", command_line},
                                  {"run_id", first.text("provenance/run_id")}},
                   .groups = {}};
  const Identity identity = Identity::of(first, key_lookup(base));
  content.provenance.insert(identity.texts.begin(), identity.texts.end());  // so that it can go on
  SweepStore store(sweep, content.groups);
  std::string& sources = content.provenance["merged"];
  for (const auto& path : files) {
    const DataReader file(path);
    if (const auto different = identity.differences_from(file); !different.empty())
      throw InputError(
          fmt::format("{} and {} are of different inputs: {}", path, files[0], different));
    store.read(file);
    sources += file.text("provenance/run_id") + " " + path + "\n";
  }
  const SweepProgress progress = store.progress();
  if (progress.complete()) content.provenance["finished"] = utc_now();
  write_data_file(self, output, content);
  fmt::print("merged: {} in {}\n", progress.text(), output);
}

}  // namespace headflow
