#include "app/job.hpp"

#include "input/toml_text.hpp"
#include "sweep/sweep_run.hpp"

namespace headflow {

Job Job::read_base(const Communicator& comm, const InputRequest& request) {
  const std::string text = read_text(comm, request.input);
  const toml::table table = parse_input(text, request.input, request.overrides);
  Configuration input(comm, request, table);
  Sweep sweep = read_sweep(table, request.input, input.sections());
  require_unswept(sweep, request.overrides);
  return {std::move(input), std::move(sweep)};
}

Job Job::read(const Communicator& comm, const InputRequest& request, Control& control) {
  Job job = read_base(comm, request);
  if (job.sweep.size() > 0) check_members(comm, job.sweep, request, control);
  return job;
}

}  // namespace headflow
