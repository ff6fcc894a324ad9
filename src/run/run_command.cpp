#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <cstdio>

#include "headflow/core/petsc.hpp"
#include "headflow/run/commands.hpp"
#include "headflow/run/comparison.hpp"
#include "headflow/run/output_file.hpp"
#include "headflow/run/progress.hpp"
#include "headflow/run/provenance.hpp"
#include "headflow/run/series.hpp"

namespace headflow {
namespace {

std::string time_or_never(double t) {
  return std::isnan(t) ? "not reached" : fmt::format("t = {:.4g}", t);
}

class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

/// One run: its output file and the computations that fill it, one after the other.
class Run {
 public:
  Run(const Communicator& comm, const Configuration& configuration, const Command& command)
      : comm_(comm),
        configuration_(configuration),
        loss_(comm, configuration.shape, configuration.activation, configuration.signal(),
              configuration.sampling, configuration.flow && configuration.flow->kappa > 0),
        file_(comm, configuration.output, configuration.output_every,
              {{"title", "learning of the single-location attention model"},
               {"program", "headflow"},
               {"version", version_text()},
               {"source", "arXiv:2603.03993"}}) {
    const Matrix& S = configuration.start.spike_factor;
    spike_gram_ = S * S.transpose();
    for (const auto& [name, text] : provenance(comm, command.command_line, configuration.resolved))
      file_.provenance(name, text);
    file_.provenance("restarted_from", configuration.restarted_from);
  }

  void run() {
    try {
      if (configuration_.flow) flow();
      if (configuration_.sgd) sgd();
    } catch (const NumericalError& error) {
      finish("stopped", error.what());  // what there is so far
      throw;
    }
    finish("finished", comm_.broadcast(utc_now()));
    if (comm_.root()) fmt::print("finished: {}\n", configuration_.output);
  }

 private:
  void finish(const std::string& how, const std::string& text) {
    file_.provenance(how, text);
    file_.write();
  }

  void flow() {
    const FlowOptions& options = *configuration_.flow;
    FlowSeries series(file_.add_group("flow"), configuration_.shape, spike_gram_,
                      options.split_threshold);
    ProgressPrinter progress(comm_.root(), options.end_time);
    const Stopwatch watch;
    FlowRecord last;
    Stages stages;
    const FlowSummary summary = run_flow(
        loss_, configuration_.start, configuration_.prior.mean(), options,
        {.record =
             [&](const FlowRecord& record, const Stages& known) {
               series.append(record, known);
               file_.update();
               comparison_.flow(record);
               last = record;
               stages = known;
             },
         .progress = [&](const FlowProgress& p) { progress.update(p.time, p.loss, p.steps); }});
    if (!comm_.root()) return;
    fmt::print("flow: t = {:g} ({}), {} steps, {} rejected, {} right-hand sides, {:.2f} s\n",
               summary.time,
               summary.stopped_early ? "gradient norm under its tolerance" : "end time",
               summary.steps, summary.rejected_steps, summary.right_hand_sides, watch.seconds());
    fmt::print("loss {:.6f} +- {:.1g}, gradient norm {:.3g}\n", last.loss.mean.loss,
               last.loss.loss_stderr, last.loss.gradient_norm);
    fmt::print("heads align at half their plateau: {}\n", time_or_never(stages.alignment_time));
    for (std::size_t f = 0; f < stages.split_time.size(); ++f)
      fmt::print("heads split along feature {}: {}\n", f + 1, time_or_never(stages.split_time[f]));
  }

  void sgd() {
    const auto& [problem, options] = *configuration_.sgd;
    if (configuration_.flow && configuration_.flow->resample > 0)
      loss_.resample(0);  // the flow has gone on to other samples
    SgdSeries series(file_.add_group("sgd"), configuration_.shape, spike_gram_, options.replicas);
    ProgressPrinter progress(comm_.root(), problem.time(options.output_steps.back()));
    const Stopwatch watch;
    SgdRecord last;
    run_sgd(comm_, problem, configuration_.start, options, loss_,
            {.record =
                 [&](const SgdRecord& record) {
                   series.append(record);
                   file_.update();
                   comparison_.sgd(record);
                   last = record;
                 },
             .weights =
                 [&](const SgdRecord& record, const SgdWeights& weights) {
                   DataFile content = file_.content();
                   content.groups = {
                       weights_group(configuration_.shape, problem.dimension, record, weights)};
                   write_data_file(comm_, configuration_.weights_file(record.steps), content);
                 },
             .progress = [&](const SgdProgress& p) { progress.update(p.time, p.loss, p.steps); }});
    if (comm_.root()) print_sgd(problem, last, watch.seconds());
  }

  void print_sgd(const SgdProblem& problem, const SgdRecord& last, double seconds) const {
    const auto replicas = static_cast<double>(last.replicas.size());
    double loss = 0;
    for (const SgdState& state : last.replicas) loss += state.loss.mean.loss / replicas;
    fmt::print("sgd: t = {:g}, {} steps of {} sequences in D = {}, kappa = {:.3g}, {} replica{}\n",
               last.time, last.steps, problem.batch, problem.dimension, problem.kappa(),
               last.replicas.size(), replicas > 1 ? "s" : "");
    fmt::print("loss {:.6f}, {:.4g} sequences in {:.2f} s: {:.2f} us each\n", loss,
               replicas * last.sequences, seconds, 1e6 * seconds / (replicas * last.sequences));
    fmt::print("{}", comparison_.text());
  }

  const Communicator& comm_;
  const Configuration& configuration_;
  PopulationLoss loss_;
  OutputFile file_;
  Matrix spike_gram_;
  Comparison comparison_;
};

}  // namespace

void run(const Communicator& comm, const Command& command) {
  const Configuration configuration = read_configuration(comm, command.request);
  for (const auto& file : configuration.files())
    require_writable_output(comm, file, command.request.input, command.force);
  const PetscSession petsc(command.petsc_options);
  if (!configuration.flow) require_petsc_options_used("flow_");
  Run(comm, configuration, command).run();
}

}  // namespace headflow
