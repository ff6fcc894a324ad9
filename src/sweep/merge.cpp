#include <fmt/format.h>

#include "input/toml_text.hpp"
#include "output/output_file.hpp"
#include "output/provenance.hpp"
#include "sweep/sweep_run.hpp"
#include "sweep/sweep_store.hpp"

namespace headflow {

void merge_sweeps(const std::string& output, const std::vector<std::string>& files, bool force,
                  const std::string& command_line) {
  const Communicator self = Communicator::self();
  require_writable_output(self, output, files[0], force);
  const DataReader first(files[0]);
  if (!first.has("provenance/sweep"))
    throw InputError(fmt::format("{} is no file of a sweep", files[0]));
  const std::string input = first.text("provenance/input");
  const toml::table table = parse_input(input, files[0], {});
  Sections base;
  base.read(table, files[0]);
  const Sweep sweep = read_sweep(table, files[0], base);
  SweepStore store(sweep);
  std::string sources;
  for (const auto& path : files) {
    const DataReader file(path);
    if (!file.has("provenance/input") ||
        !differences(file.text("provenance/input"), input, key_lookup(base), [](Change change) {
           return change == Change::irrelevant;
         }).empty())
      throw InputError(fmt::format("{} and {} are of different inputs", files[0], path));
    try {
      store.read(file);
    } catch (const InputError& error) {
      throw InputError(path + ": " + error.what());
    }
    sources += file.text("provenance/run_id") + " " + path + "\n";
  }
  DataFile content{.attributes = file_attributes(),
                   .provenance = {{"input", input},
                                  {"sweep", sweep.text},
                                  {"merged", sources},
                                  {"command_line", command_line},
                                  {"run_id", first.text("provenance/run_id")}},
                   .groups = store.groups()};
  if (store.finished() == sweep.size()) content.provenance["finished"] = utc_now();
  write_data_file(self, output, content);
  fmt::print("merged: {} of {} members in {}\n", store.finished(), sweep.size(), output);
}

}  // namespace headflow
