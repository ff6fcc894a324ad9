#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "headflow/core/petsc.hpp"
#include "headflow/core/signals.hpp"
#include "headflow/run/commands.hpp"
#include "headflow/run/comparison.hpp"
#include "headflow/run/output_file.hpp"
#include "headflow/run/progress.hpp"
#include "headflow/run/provenance.hpp"
#include "headflow/run/restart.hpp"
#include "headflow/run/series.hpp"
#include "headflow/run/trained_run.hpp"
#include "headflow/run/watch.hpp"

namespace headflow {
namespace {

namespace fs = std::filesystem;

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
  Run(const Communicator& comm, const Configuration& configuration, const Command& command,
      Checkpoints& checkpoints, const std::optional<Checkpoint>& from)
      : comm_(comm),
        configuration_(configuration),
        checkpoints_(checkpoints),
        from_(from),
        loss_(comm, configuration.shape, configuration.activation, configuration.signal(),
              configuration.sampling, configuration.flow && configuration.flow->kappa > 0),
        file_(comm, configuration.output, configuration.output_every,
              {{"title", "learning of the single-location attention model"},
               {"program", "headflow"},
               {"version", version_text()},
               {"source", "arXiv:2603.03993"}}),
        watch_(comm, {.checkpoint_every = configuration.checkpoint_every,
                      .wall_seconds = command.wall_seconds,
                      .stop_file = fs::path(configuration.output).replace_filename("STOP")}) {
    const Matrix& S = configuration.start.spike_factor;
    spike_gram_ = S * S.transpose();
    auto texts = provenance(comm, command.command_line, configuration.resolved);
    texts["restarted_from"] = configuration.restarted_from;
    texts["runs"] = from ? from->file->text("provenance/runs") + "\n" : "";
    texts["runs"] += fmt::format("{} {} {} ranks", texts["run_id"], texts["started"], comm.size());
    texts.merge(identity(command, configuration));
    for (const auto& [name, text] : texts) file_.provenance(name, text);
  }

  ExitCode run() {
    bool finished = true;
    try {
      if (configuration_.flow) finished = flow();
      if (configuration_.sgd && finished) finished = sgd();
      if (finished) finished = trained();
    } catch (const NumericalError& error) {
      file_.provenance("stopped", error.what());  // what there is so far
      file_.write();
      throw;
    }
    file_.provenance(finished ? "finished" : "stopped", comm_.broadcast(utc_now()));
    file_.write();
    if (finished) write_checkpoint();
    if (comm_.root() && finished) fmt::print("finished: {}\n", configuration_.output);
    if (comm_.root() && !finished)
      fmt::print("stopped early ({}), state saved: the same command goes on from there\n",
                 watch_.reason());
    return finished ? ExitCode::finished : ExitCode::stopped_early;
  }

 private:
  void write_checkpoint() {
    const Stopwatch watch;
    DataFile content = file_.content();
    for (const auto* state : {&flow_state_, &sgd_state_, &train_state_})
      if (!state->variables.empty()) content.groups.push_back(*state);
    checkpoints_.write(std::move(content));
    watch_.saved(watch.seconds());
  }

  /// Asks the watch; what is saved in answer goes into a checkpoint.
  Request poll() {
    request_ = watch_.poll();
    return request_;
  }

  bool flow() {
    const FlowOptions& options = *configuration_.flow;
    DataGroup& group = file_.add_group("flow");
    FlowSeries series(group, configuration_.shape, spike_gram_, configuration_.split_threshold);
    const Snapshot from = from_ ? from_->snapshot("flow_state") : Snapshot();
    if (!from.empty()) {
      require_later("flow", options.end_time, from.number("t"));
      from_->read_series(group, from.number("t"));
      warn_of_past_outputs("flow", options.output_times, group, from.number("t"));
      if (from_->file->has("sgd_state")) begin_sgd();  // what it has is kept while the flow goes on
      file_.write();
    }
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
               last = record;
               stages = known;
             },
         .progress = [&](const FlowProgress& p) { progress.update(p.time, p.loss, p.steps); },
         .poll = [&] { return poll(); },
         .save =
             [&](const Snapshot& snapshot) {
               flow_state_ = state_group("flow_state", snapshot);
               if (std::exchange(request_, Request::none) != Request::none) write_checkpoint();
             },
         .interrupt =
             [&] {
               request_ = Request::stop;  // for the save that answers an Interrupt
               watch_.interrupt();
               request_ = Request::none;
             }},
        from);
    const bool went_on = from.empty() || summary.time > from.number("t");
    if (comm_.root() && went_on) print_flow(summary, last, stages, watch.seconds());
    end_of_flow_ = summary.parameters;
    return summary.end != FlowEnd::requested;
  }

  void print_flow(const FlowSummary& summary, const FlowRecord& last, const Stages& stages,
                  double seconds) const {
    const char* ends[] = {"end time", "gradient norm under its tolerance", "asked to stop"};
    fmt::print("flow: t = {:g} ({}), {} steps, {} rejected, {} right-hand sides, {:.4g} s\n",
               summary.time, ends[static_cast<int>(summary.end)], summary.steps,
               summary.rejected_steps, summary.right_hand_sides, seconds);
    if (last.parameters.K.size() == 0) return;  // nothing was recorded since the restart
    fmt::print("loss {:.6f} +- {:.1g}, gradient norm {:.3g}\n", last.loss.mean.loss,
               last.loss.loss_stderr, last.loss.gradient_norm);
    fmt::print("heads align at half their plateau: {}\n", time_or_never(stages.alignment_time));
    for (std::size_t f = 0; f < stages.split_time.size(); ++f)
      fmt::print("heads split along feature {}: {}\n", f + 1, time_or_never(stages.split_time[f]));
  }

  /// What is already computed cannot be taken back.
  static void require_later(const char* section, double end, double reached) {
    if (end < reached)
      throw InputError(fmt::format("{}.end_time = {} is before the checkpoint, at t = {}", section,
                                   end, reached));
  }

  /// Outputs that the input asks for now, but did not when their time went by.
  void warn_of_past_outputs(const char* section, const std::vector<double>& times,
                            const DataGroup& group, double reached) const {
    const auto& known = group.dimensions[0].values;
    const auto missing = std::count_if(times.begin(), times.end(), [&](double t) {
      return t <= reached && !std::binary_search(known.begin(), known.end(), t);
    });
    if (missing > 0 && comm_.root())
      fmt::print(
          stderr,
          "headflow: warning: {} output times of [{}] up to t = {:g} are past and left out\n",
          missing, section, reached);
  }

  bool sgd() {
    const auto& [problem, options] = *configuration_.sgd;
    if (configuration_.flow && configuration_.flow->resample > 0)
      loss_.resample(0);  // the flow has gone on to other samples
    if (!sgd_series_) begin_sgd();
    ProgressPrinter progress(comm_.root(), problem.time(options.output_steps.back()));
    const Stopwatch watch;
    SgdRecord last;
    const bool finished = run_sgd(
        comm_, problem, configuration_.start, options, loss_,
        {.record =
             [&](const SgdRecord& record) {
               sgd_series_->append(record);
               file_.update();
               last = record;
             },
         .weights =
             [&](const SgdRecord& record, const SgdWeights& weights) {
               DataFile content = file_.content();
               content.groups = {
                   weights_group(configuration_.shape, problem.dimension, record, weights)};
               write_data_file(comm_, configuration_.weights_file(record.steps), content);
             },
         .progress = [&](const SgdProgress& p) { progress.update(p.time, p.loss, p.steps); },
         .poll = [&] { return poll(); },
         .save =
             [&](const SgdSaved& saved) {
               sgd_state_ = sgd_state_group(problem, options.replicas, saved);
               if (std::exchange(request_, Request::none) != Request::none) write_checkpoint();
             }},
        sgd_from_ ? &*sgd_from_ : nullptr);
    if (comm_.root()) print_sgd(problem, options, last, watch.seconds());
    if (comm_.root() && finished && configuration_.flow && options.first.empty())
      fmt::print("{}", compare_with_flow(file_.content().groups[0], file_.content().groups[1]));
    return finished;
  }

  /// Adds the group of SGD, and what the checkpoint has of it.
  void begin_sgd() {
    const auto& [problem, options] = *configuration_.sgd;
    const Shape& shape = configuration_.shape;
    DataGroup& group = file_.add_group("sgd");
    sgd_series_.emplace(group, shape, spike_gram_, configuration_.split_threshold,
                        options.replicas);
    const Snapshot numbers = from_ ? from_->snapshot("sgd_state") : Snapshot();
    if (numbers.empty()) return;
    const auto step = static_cast<std::int64_t>(numbers.number("step"));
    require_later("sgd", problem.time(options.output_steps.back()), problem.time(step));
    from_->read_series(group, problem.time(step));
    std::vector<double> times;
    for (const std::int64_t output : options.output_steps) times.push_back(problem.time(output));
    warn_of_past_outputs("sgd", times, group, problem.time(step));
    file_.write();
    sgd_from_ = {numbers, [this, &problem](IndexRange replicas, IndexRange coordinates) {
                   return read_weights(*from_->file, problem.shape, replicas, coordinates);
                 }};
    SgdSaved saved{.numbers = numbers, .weights = {}};
    if (problem.engine == Engine::direct) {
      saved.weights.replicas = {0, options.replicas};
      saved.weights.coordinates = local_range(comm_.rank(), problem.dimension, comm_.size());
      saved.weights.k = sgd_from_->weights(saved.weights.replicas, saved.weights.coordinates);
    }
    sgd_state_ = sgd_state_group(problem, options.replicas, saved);
  }

  /// [train], [bayes], [prune] and [maps].
  bool trained() {
    TrainedRun trained(comm_, configuration_, loss_, file_);
    const Parameters* flow = end_of_flow_ ? &*end_of_flow_ : nullptr;
    if (configuration_.train) {
      if (configuration_.flow && configuration_.flow->resample > 0) loss_.resample(0);
      const Snapshot from = from_ ? from_->snapshot("train_state") : Snapshot();
      const bool finished = trained.train(
          flow, from, [&] { return poll(); },
          [&](const Snapshot& snapshot, Request request) {
            train_state_ = state_group("train_state", snapshot);
            request_ = Request::none;
            if (request != Request::none) write_checkpoint();
          });
      if (!finished) return false;
    }
    if (configuration_.bayes) trained.bayes();
    if (configuration_.prune) trained.prune(flow);
    if (configuration_.maps) trained.maps(flow);
    return true;
  }

  void print_sgd(const SgdProblem& problem, const SgdOptions& options, const SgdRecord& last,
                 double seconds) const {
    if (last.replicas.empty()) return;  // nothing was recorded since the restart
    const auto replicas = static_cast<double>(options.replicas);
    double loss = 0;
    for (const SgdState& state : last.replicas) loss += state.loss.mean.loss / replicas;
    fmt::print("sgd: t = {:g}, {} steps of {} sequences in D = {}, kappa = {:.3g}, {} replica{}\n",
               last.time, last.steps, problem.batch, problem.dimension, problem.kappa(),
               last.replicas.size(), replicas > 1 ? "s" : "");
    fmt::print("loss {:.6f}, {:.4g} sequences of {:.3g} us, {:.4g} s with outputs\n", loss,
               replicas * last.sequences, last.microseconds, seconds);
  }

  const Communicator& comm_;
  const Configuration& configuration_;
  Checkpoints& checkpoints_;
  const std::optional<Checkpoint>& from_;
  PopulationLoss loss_;
  OutputFile file_;
  Watch watch_;
  Matrix spike_gram_;
  std::optional<Parameters> end_of_flow_;
  std::optional<SgdSeries> sgd_series_;
  std::optional<SgdSource> sgd_from_;
  DataGroup flow_state_, sgd_state_, train_state_;  // as last saved
  Request request_ = Request::none;                 // what the next save answers
};

}  // namespace

ExitCode run(const Communicator& comm, const Command& command) {
  const Configuration configuration = read_configuration(comm, command.request);
  Checkpoints checkpoints(comm, configuration.output, configuration.checkpoints_kept);
  const auto from = find_restart(comm, command, configuration, checkpoints);
  if (from && already_finished(comm, *from, configuration)) {
    if (comm.root())
      fmt::print("finished already: {} (--force computes it again)\n", configuration.output);
    return ExitCode::finished;
  }
  const PetscSession petsc(command.petsc_options);
  if (!configuration.flow) require_petsc_options_used("flow_");
  if (!configuration.train) require_petsc_options_used("train_");
  install_signal_handlers();
  if (from && comm.root())
    fmt::print("going on from {} ({})\n", from->path, from->file->attributes()["checkpoint"]);
  return Run(comm, configuration, command, checkpoints, from).run();
}

}  // namespace headflow
