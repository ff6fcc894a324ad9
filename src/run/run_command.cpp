#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <cstdio>

#include "headflow/core/petsc.hpp"
#include "headflow/run/commands.hpp"
#include "headflow/run/flow_output.hpp"
#include "headflow/run/progress.hpp"
#include "headflow/run/provenance.hpp"

namespace headflow {
namespace {

std::string time_or_never(double t) {
  return std::isnan(t) ? "not reached" : fmt::format("t = {:.4g}", t);
}

void print_summary(const Configuration& configuration, const FlowSummary& summary,
                   const FlowRecord& last, const Stages& stages, double seconds) {
  fmt::print("flow: t = {:g} ({}), {} steps, {} rejected, {} right-hand sides, {:.2f} s\n",
             summary.time, summary.stopped_early ? "gradient norm under its tolerance" : "end time",
             summary.steps, summary.rejected_steps, summary.right_hand_sides, seconds);
  fmt::print("loss {:.6f} +- {:.1g}, gradient norm {:.3g}\n", last.loss.mean.loss,
             last.loss.loss_stderr, last.loss.gradient_norm);
  fmt::print("heads align at half their plateau: {}\n", time_or_never(stages.alignment_time));
  for (std::size_t f = 0; f < stages.split_time.size(); ++f)
    fmt::print("heads split along feature {}: {}\n", f + 1, time_or_never(stages.split_time[f]));
  fmt::print("finished: {}\n", configuration.output);
}

}  // namespace

void run(const Communicator& comm, const Command& command) {
  const Configuration configuration = read_configuration(comm, command.request);
  require_writable_output(comm, configuration.output, command.request.input, command.force);
  const PetscSession petsc(command.petsc_options);
  const auto begin = std::chrono::steady_clock::now();

  PopulationLoss loss(comm, configuration.shape, configuration.activation, configuration.signal(),
                      configuration.sampling);
  const Matrix& S = configuration.start.spike_factor;
  FlowOutput output(comm, configuration.output, configuration.output_every, configuration.shape,
                    S * S.transpose(), configuration.flow.split_threshold,
                    {{"title", "order-parameter flow of the single-location attention model"},
                     {"program", "headflow"},
                     {"version", version_text()},
                     {"source", "arXiv:2603.03993"}});
  for (const auto& [name, text] : provenance(comm, command.command_line, configuration.resolved))
    output.provenance(name, text);

  output.provenance("restarted_from", configuration.restarted_from);

  ProgressPrinter progress(comm.root(), configuration.flow.end_time);
  FlowRecord last;
  Stages stages;
  const FlowSummary summary = run_flow(
      loss, configuration.start, configuration.prior.mean(), configuration.flow,
      {.record =
           [&](const FlowRecord& record, const Stages& known) {
             output.record(record, known);
             last = record;
             stages = known;
           },
       .progress = [&](const FlowProgress& p) { progress.update(p.time, p.loss, p.steps); }});
  output.provenance("finished", comm.broadcast(utc_now()));
  output.write();
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (comm.root()) print_summary(configuration, summary, last, stages, seconds);
}

}  // namespace headflow
