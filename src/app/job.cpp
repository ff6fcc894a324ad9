#include "app/job.hpp"

#include "input/toml_text.hpp"
#include "sweep/sweep_run.hpp"

namespace headflow {

Job Job::read(const Communicator& comm, const InputRequest& request) {
  const std::string text = read_text(comm, request.input);
  const toml::table table = parse_input(text, request.input, request.overrides);
  Configuration input(comm, request, table);
  Sweep sweep = read_sweep(table, request.input, input.sections());
  if (sweep.size() > 0) check_members(comm, sweep, request, text);
  return {text, std::move(input), std::move(sweep)};
}

}  // namespace headflow
