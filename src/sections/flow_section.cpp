#include "sections/flow_section.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/progress.hpp"
#include "core/stopwatch.hpp"
#include "headflow/core/error.hpp"
#include "headflow/core/local_range.hpp"
#include "sections/cost.hpp"
#include "sections/fluctuations_section.hpp"
#include "sections/population_section.hpp"
#include "sections/resumed_series.hpp"
#include "sections/run.hpp"
#include "sections/saddle_section.hpp"
#include "sections/schedule_section.hpp"
#include "sections/sgd_section.hpp"
#include "sections/start_section.hpp"

namespace headflow {

void FlowSection::declare_keys(KeyVisitor& visitor) {
  visitor.key({.name = "end_time",
               .help = "t at which the flow ends; default: sgd.end_time, else 200",
               .change = Change::allowed},
              end_time, positive);
  options.stepper.declare_keys(visitor);
  times_.declare_keys(visitor);
  visitor.key({"learning_rate_noise",
               "kappa = learning rate * D / batch of SGD, whose noise drives r; 0: the limit of "
               "many samples; \"from-sgd\": kappa of [sgd]"},
              learning_rate_noise_, at_least_zero, {"from-sgd"});
  options.declare_keys(visitor);
}

void FlowSection::prepare(Configuration& input) {
  const auto& sgd = input.prepared<SgdSection>();  // which completes the end time
  options.end_time = end_time.value_or(options.end_time);
  end_time = options.end_time;
  options.end_time = sgd.end_beside(options.end_time);
  if (!given) return;
  auto& population = input.section<PopulationSection>();
  options.resample = population.resample;
  const std::string& method = options.stepper.method;
  if (options.resample > 0 && method != "euler")
    throw InputError(
        fmt::format("population.resample = {} needs flow.method = \"euler\", found \"{}\" (an "
                    "adaptive step cannot tell fresh samples from an error)",
                    options.resample, method));
  options.kappa = sgd.kappa_for(name(), learning_rate_noise_);
  const auto& schedule = input.prepared<ScheduleSection>();
  options.schedule = schedule.schedule;
  if (given && schedule.given && options.kappa == 0 && !sgd.given &&
      !input.section<FluctuationsSection>().given)
    throw InputError(
        "[schedule] has no effect on [flow] where flow.learning_rate_noise = 0: t is the sum of "
        "learning rates");
  if (options.kappa > 0) population.step_moments = true;
  auto& times = options.output_times = times_.until("flow.output_times", options.end_time);
  sgd.add_output_times(times, options.end_time);
}

void FlowSection::print_cost(CostReport& report) const {
  const Configuration& input = report.input();
  const PopulationCost cost = PopulationLoss::cost(
      input.model(), input.section<PopulationSection>().sampling, report.ranks());
  PopulationLoss loss = report.one_block();
  const FlowPilot flow = pilot_flow(loss, input.section<StartSection>().parameters(), options);
  const CostReport::Pilot& pilot = report.pilot();
  const auto samples = static_cast<double>(cost.samples_per_rank);
  const double generate = samples * pilot.to_draw;
  const double rhs =
      samples * static_cast<double>(cost.images) * pilot.per_sample + (cost.kept ? 0 : generate);
  const std::size_t outputs = options.output_times.size();
  fmt::print("# ranks                      {}\n", report.ranks());
  fmt::print("# samples per rank           {}{}\n", cost.samples_per_rank,
             cost.images > 1 ? fmt::format(", each with {} images", cost.images) : "");
  if (!cost.kept)
    fmt::print(
        "# samples                    drawn again block by block: to keep them takes {:.3g} GiB a "
        "rank\n",
        cost.sample_gib);
  report.add_samples();
  DataGroup group;
  const FlowSeries series(group, input.model(), options.split_threshold);
  report.add_outputs(name(), group, outputs);
  fmt::print("# one right-hand side        {:.3g} s ({:.1f} ns {})\n", rhs, 1e9 * pilot.per_sample,
             cost.images > 1 ? "an image" : "a sample");
  fmt::print(
      "# right-hand sides           about {:.0f}{}, and as much as one for each of {} outputs\n",
      flow.right_hand_sides, flow.extrapolated ? " (extrapolated)" : "", outputs);
  const double seconds = (flow.right_hand_sides + static_cast<double>(outputs)) * rhs + generate;
  fmt::print("# the whole flow             about {}\n", clock_text(seconds));
  report.add_seconds(name(), seconds);
  const Sampling& sampling = input.section<PopulationSection>().sampling;
  const double bytes =
      PopulationLoss::cost(input.model(), sampling, 1, options.kappa > 0).message_bytes;
  report.print_ranks_of_use(name(), [&](int ranks) {
    constexpr double calls = 7.0 / 6;  // the sums; whether to stop, after a step's six
    const std::int64_t blocks = local_range(0, sampling.blocks(), ranks).size();
    const auto share = static_cast<double>(blocks) / static_cast<double>(sampling.blocks());
    return share * static_cast<double>(sampling.samples * static_cast<std::int64_t>(cost.images)) *
               (pilot.per_sample +
                (cost.kept ? 0 : pilot.to_draw / static_cast<double>(cost.images))) +
           seconds_of_messages(ranks, calls, bytes);
  });
}

void FlowSection::resume(Run& run) {
  const Snapshot from = run.saved_state(name());
  if (from.empty()) return;
  require_later(name(), options.end_time, from.number("t"));
  DataGroup& group = run.add_group(name());
  series_.emplace(group, run.model(), options.split_threshold);
  resume_series(run, group, times_.until("flow.output_times", options.end_time),
                options.output_times, from.number("t"));
}

void FlowSection::run(Run& run) {
  if (!series_) series_.emplace(run.add_group(name()), run.model(), options.split_threshold);
  const bool root = run.comm().root();  // which alone has the outputs
  if (root) reserve_records(run.group(name()), options.output_times.size() + 1);
  const Snapshot from = run.saved_state(name());
  const Reached begin = reached_in(from);
  ProgressPrinter progress(run.talks(), name(), begin, options.end_time);
  const Stopwatch watch;
  // The last output that will stay, and the newest, which is made again where its step is
  // interrupted.
  Output last, newest;
  Reached reached = begin;
  result_ =
      run_flow(run.loss(), run.section<StartSection>().parameters(), options,
               {.record =
                    [&](const FlowRecord& record, const Stages& stages) {
                      if (root) series_->append(record, stages);
                      run.host().updated();
                      if (newest.at_or_before(reached.time)) last = std::move(newest);
                      newest = {record, stages};
                      if (record.time < options.end_time)
                        progress.update({record.time, reached.steps}, record.loss.mean.loss);
                    },
                .progress =
                    [&](const FlowProgress& p) {
                      reached = {p.time, p.steps};
                      progress.update(reached, p.loss);
                    },
                .save = [&](const Snapshot& state) { run.save(state_group("flow_state", state)); }},
               run, from);
  const bool moved = from.empty() || result_->time > begin.time;
  if (run.talks() && moved) {
    print(steps_and_seconds(begin, result_->steps, watch.seconds()));
    fmt::print("{}", outputs_made_again(newest.record.time, result_->time));
    if (newest.at_or_before(result_->time)) last = std::move(newest);
    if (last.at_or_before(result_->time))
      print(last, run.model(), run.section<SaddleSection>().given);
    else
      fmt::print("no output since t = {:g}, where it went on or began\n", begin.time);
  }
  if (moved && result_->rises.count > 0)
    run.warn(fmt::format(
        "the loss{} has risen in a step or between outputs {:g} times, by at most {:.2g}, which it "
        "cannot do along the flow: use a smaller flow.tolerance, or a smaller flow.step of a "
        "method that is not adaptive",
        run.model().weight_decay > 0 ? " with weight decay" : "", result_->rises.count,
        result_->rises.largest));
  if (result_->end == FlowEnd::requested) throw Interrupt{};
}

void FlowSection::print(const std::string& spent) const {
  const char* ends[] = {"end time", "gradient norm under its tolerance", "asked to stop"};
  fmt::print("flow: t = {:g} ({}), {}, {} rejected, {}{}\n", result_->time,
             ends[static_cast<int>(result_->end)], with_noun(result_->steps, "step"),
             result_->rejected_steps, with_noun(result_->right_hand_sides, "right-hand side"),
             spent);
}

bool FlowSection::Output::at_or_before(double time) const {
  return record.parameters.K.size() > 0 && (record.time < time || same_time(record.time, time));
}

void FlowSection::print(const Output& output, const Model& model, bool saddle_follows) const {
  const auto& [last, stages] = output;
  fmt::print("{}", at_last_output(last.time, result_->time));
  fmt::print("loss {}{}, gradient norm {:.3g}\n",
             with_error(last.loss.mean.loss, last.loss.loss_stderr, "{:.6f}"),
             model.spike_gram().isIdentity(0) ? "" : " (for the spikes of this start)",
             last.loss.gradient_norm);
  const bool split =
      std::ranges::any_of(stages.split_time, [](double t) { return !std::isnan(t); });
  const bool without_mean = std::isnan(stages.alignment_time) && model.prior.mean().isZero(0);
  fmt::print("heads align at half their plateau: {}{}\n",
             without_mean ? "no, as theta has no mean" : time_or_never(stages.alignment_time),
             split || std::isnan(stages.alignment_time) ? "" : " so far (no feature has split)");
  for (std::size_t f = 0; f < stages.split_time.size(); ++f)
    fmt::print("heads split along feature {}: {}\n", f + 1, time_or_never(stages.split_time[f]));
  if (!split && last.parameters.K.rows() > 1 && result_->end == FlowEnd::end_time)
    fmt::print("no feature has split yet: with a later flow.end_time the run goes on{}\n",
               saddle_follows ? "" : ", and a section [saddle] predicts split times");
}

}  // namespace headflow
