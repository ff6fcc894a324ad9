#include "sections/computation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

#include "headflow/core/error.hpp"
#include "core/stopwatch.hpp"
#include "sections/comparison.hpp"
#include "core/progress.hpp"

namespace headflow {
namespace {

std::string time_or_never(double t) {
  return std::isnan(t) ? "not reached" : fmt::format("t = {:.4g}", t);
}

/// What is already computed cannot be taken back.
void require_later(const char* section, double end, double reached) {
  if (end < reached)
    throw InputError(
        fmt::format("{}.end_time = {} is before the checkpoint, at t = {}", section, end, reached));
}

}  // namespace

Computation::Computation(const Communicator& comm, const Configuration& configuration,
                         DataFile& content, Host host, const std::optional<Checkpoint>& from)
    : comm_(comm),
      configuration_(configuration),
      content_(content),
      host_(std::move(host)),
      from_(from),
      talk_(host_.talk && comm.root()),
      loss_(comm, configuration.shape, configuration.activation, configuration.signal(),
            configuration.sampling, configuration.flow && configuration.flow->kappa > 0) {
  const Matrix& S = configuration.start.spike_factor;
  spike_gram_ = S * S.transpose();
  // Kept while what comes before [train] goes on.
  if (from && from->file->has("train_state"))
    train_state_ = state_group("train_state", from->snapshot("train_state"));
}

bool Computation::run() {
  bool finished = true;
  if (configuration_.flow) finished = flow();
  if (configuration_.sgd && finished) finished = sgd();
  if (configuration_.saddle && finished) finished = saddle();
  return finished && trained();
}

std::vector<DataGroup> Computation::states() const {
  std::vector<DataGroup> states;
  for (const auto* state : {&flow_state_, &sgd_state_, &saddle_state_, &train_state_})
    if (!state->variables.empty()) states.push_back(*state);
  return states;
}

Request Computation::poll() {
  request_ = host_.poll();
  return request_;
}

void Computation::answer() {
  if (std::exchange(request_, Request::none) != Request::none) host_.checkpoint();
}

bool Computation::flow() {
  const FlowOptions& options = *configuration_.flow;
  DataGroup& group = content_.add_group("flow");
  FlowSeries series(group, configuration_.shape, spike_gram_, configuration_.prior,
                    configuration_.split_threshold);
  const Snapshot from = from_ ? from_->snapshot("flow_state") : Snapshot();
  if (!from.empty()) {
    require_later("flow", options.end_time, from.number("t"));
    from_->read_series(group, from.number("t"));
    warn_of_past_outputs("flow", options.output_times, group, from.number("t"));
    if (from_->file->has("sgd_state")) begin_sgd();  // what it has is kept while the flow goes on
    host_.write();
  }
  ProgressPrinter progress(talk_, options.end_time);
  const Stopwatch watch;
  FlowRecord last;
  Stages stages;
  const FlowSummary summary = run_flow(
      loss_, configuration_.start, configuration_.prior, options,
      {.record =
           [&](const FlowRecord& record, const Stages& known) {
             series.append(record, known);
             host_.update();
             last = record;
             stages = known;
           },
       .progress = [&](const FlowProgress& p) { progress.update(p.time, p.loss, p.steps); },
       .poll = [&] { return poll(); },
       .save =
           [&](const Snapshot& snapshot) {
             flow_state_ = state_group("flow_state", snapshot);
             answer();
           },
       .interrupt =
           [&] {
             request_ = Request::stop;  // for the save that answers an Interrupt
             host_.interrupt();
             request_ = Request::none;
           }},
      from);
  const bool went_on = from.empty() || summary.time > from.number("t");
  if (talk_ && went_on) print_flow(summary, last, stages, watch.seconds());
  end_of_flow_ = summary.parameters;
  observed_ = {variable(group, "growth_rate").data, variable(group, "split_time").data,
               summary.plateaus};
  return summary.end != FlowEnd::requested;
}

void Computation::print_flow(const FlowSummary& summary, const FlowRecord& last,
                             const Stages& stages, double seconds) const {
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

/// Outputs that the input asks for now, but did not when their time went by.
void Computation::warn_of_past_outputs(const char* section, const std::vector<double>& times,
                                       const DataGroup& group, double reached) const {
  const auto& known = group.dimensions[0].values;
  const auto missing = std::count_if(times.begin(), times.end(), [&](double t) {
    return t <= reached && !std::binary_search(known.begin(), known.end(), t);
  });
  if (missing > 0 && talk_)
    fmt::print(stderr,
               "headflow: warning: {} output times of [{}] up to t = {:g} are past and left out\n",
               missing, section, reached);
}

bool Computation::sgd() {
  const auto& [problem, options] = *configuration_.sgd;
  if (configuration_.flow && configuration_.flow->resample > 0)
    loss_.resample(0);  // the flow has gone on to other samples
  if (!sgd_series_) begin_sgd();
  ProgressPrinter progress(talk_, problem.time(options.output_steps.back()));
  const Stopwatch watch;
  SgdRecord last;
  const bool finished =
      run_sgd(comm_, problem, configuration_.start, options, loss_,
              {.record =
                   [&](const SgdRecord& record) {
                     sgd_series_->append(record);
                     host_.update();
                     last = record;
                   },
               .weights =
                   [&](const SgdRecord& record, const SgdWeights& weights) {
                     DataFile content = content_;
                     content.groups = {
                         weights_group(configuration_.shape, problem.dimension, record, weights)};
                     write_data_file(comm_, configuration_.weights_file(record.steps), content);
                   },
               .progress = [&](const SgdProgress& p) { progress.update(p.time, p.loss, p.steps); },
               .poll = [&] { return poll(); },
               .save =
                   [&](const SgdSaved& saved) {
                     sgd_state_ = sgd_state_group(problem, options.replicas, saved);
                     answer();
                   }},
              sgd_from_ ? &*sgd_from_ : nullptr);
  if (talk_) print_sgd(problem, options, last, watch.seconds());
  if (talk_ && finished && configuration_.flow && options.first.empty())
    fmt::print("{}", compare_with_flow(content_.groups[0], content_.groups[1]));
  return finished;
}

/// Adds the group of SGD, and what the checkpoint has of it.
void Computation::begin_sgd() {
  const auto& [problem, options] = *configuration_.sgd;
  const Shape& shape = configuration_.shape;
  DataGroup& group = content_.add_group("sgd");
  sgd_series_.emplace(group, shape, spike_gram_, configuration_.split_threshold, options.replicas);
  const Snapshot numbers = from_ ? from_->snapshot("sgd_state") : Snapshot();
  if (numbers.empty()) return;
  const auto step = static_cast<std::int64_t>(numbers.number("step"));
  require_later("sgd", problem.time(options.output_steps.back()), problem.time(step));
  from_->read_series(group, problem.time(step));
  std::vector<double> times;
  for (const std::int64_t output : options.output_steps) times.push_back(problem.time(output));
  warn_of_past_outputs("sgd", times, group, problem.time(step));
  host_.write();
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

bool Computation::saddle() {
  const Snapshot from = from_ ? from_->snapshot("saddle_state") : Snapshot();
  Snapshot state = from;
  const auto ask = [&] {
    const Request request = poll();
    if (request != Request::none && !state.empty())
      saddle_state_ = state_group("saddle_state", state);
    answer();
    if (request == Request::stop) throw Interrupt{};
  };
  try {
    compute_saddle(comm_, configuration_, loss_, observed_, content_, talk_,
                   {.step =
                        [&](const Snapshot& snapshot) {
                          state = snapshot;
                          ask();
                        },
                    .interrupt = ask},
                   from);
  } catch (const Interrupt&) {
    return false;
  }
  host_.update();
  return true;
}

/// [train], [bayes], [prune] and [maps].
bool Computation::trained() {
  TrainedRun trained(comm_, configuration_, loss_, content_, talk_, host_.update);
  const Parameters* flow = end_of_flow_ ? &*end_of_flow_ : nullptr;
  if (configuration_.train) {
    if (configuration_.flow && configuration_.flow->resample > 0) loss_.resample(0);
    const Snapshot from = from_ ? from_->snapshot("train_state") : Snapshot();
    const bool finished = trained.train(
        flow, from, [&] { return poll(); },
        [&](const Snapshot& snapshot, Request request) {
          train_state_ = state_group("train_state", snapshot);
          request_ = request;
          answer();
        });
    if (!finished) return false;
  }
  const auto poll_and_answer = [&] {
    const Request request = poll();
    answer();  // what is finished is saved already
    return request;
  };
  if (configuration_.bayes && !trained.bayes(poll_and_answer)) return false;
  if (configuration_.prune) trained.prune(flow);
  if (configuration_.maps) trained.maps(flow);
  return true;
}

void Computation::print_sgd(const SgdProblem& problem, const SgdOptions& options,
                            const SgdRecord& last, double seconds) const {
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

}  // namespace headflow
