#include "sections/fluctuations_section.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/progress.hpp"
#include "core/stopwatch.hpp"
#include "headflow/core/error.hpp"
#include "sections/cost.hpp"
#include "sections/flow_section.hpp"
#include "sections/population_section.hpp"
#include "sections/resumed_series.hpp"
#include "sections/run.hpp"
#include "sections/schedule_section.hpp"
#include "sections/sgd_section.hpp"
#include "sections/start_section.hpp"

namespace headflow {

void FluctuationsSection::declare_keys(KeyVisitor& visitor) {
  visitor.key({.name = "end_time",
               .help = "t at which the computation ends; default: flow.end_time",
               .change = Change::allowed},
              end_time_, positive);
  visitor.key({"dimension", "D of SGD; default: sgd.dimension"}, dimension_, positive);
  visitor.key({"learning_rate_noise",
               "kappa = learning rate * D / batch of SGD; \"from-sgd\": kappa of [sgd]; 0: the "
               "spread of random starts alone"},
              learning_rate_noise_, at_least_zero, {"from-sgd"});
  visitor.key({"starts",
               "\"shared\": all runs begin at [start]; \"own\": each begins at a random start of "
               "the kind in [start], and the flow at their mean; \"from-sgd\": as in [sgd], "
               "without [sgd] \"shared\""},
              starts_, {"from-sgd", "shared", "own"});
  visitor.key({"tolerance", "relative and absolute tolerance of the time stepper"},
              options_.tolerance, positive);
  times_.declare_keys(visitor);
  visitor.key({"covariance", "write the whole covariance of (m, r, b, v), too"}, covariance_);
}

void FluctuationsSection::prepare(Configuration& input) {
  const auto& flow = input.prepared<FlowSection>();
  if (!end_time_) end_time_ = flow.end_time;
  options_.end_time = input.section<SgdSection>().end_beside(*end_time_);
  if (!given) return;
  complete_from_sgd(input);
  const Model& model = input.model();
  require_size(model.shape, order_parameter_count(model.shape, model.training));
  auto& population = input.section<PopulationSection>();
  if (population.resample > 0)
    throw InputError(
        fmt::format("[fluctuations] takes the loss on fixed samples: it needs population.resample "
                    "= 0, found {}",
                    population.resample));
  if (options_.kappa > 0) population.step_moments = true;
  options_.output_times = times_.until("fluctuations.output_times", options_.end_time);
  input.section<SgdSection>().add_output_times(options_.output_times, options_.end_time);
}

void FluctuationsSection::complete_from_sgd(Configuration& input) {
  const auto& sgd = input.section<SgdSection>();
  if (!dimension_ && sgd.given) dimension_ = static_cast<double>(sgd.dimension());
  if (!dimension_)
    throw InputError("fluctuations.dimension is missing (D of SGD; default: sgd.dimension)");
  options_.dimension = *dimension_;
  options_.kappa = sgd.kappa_for(name(), learning_rate_noise_);
  options_.schedule = input.prepared<ScheduleSection>().schedule;
  const bool own = starts_ == "own" || (starts_ == "from-sgd" && sgd.given && sgd.own_starts());
  if (own && !input.model().training.k)
    throw InputError(
        "fluctuations.starts = \"own\": random heads scatter, but \"k\" is not in attention.train");
  if (own)
    options_.starts =
        input.section<StartSection>().spread(input.model().shape, "fluctuations.starts = \"own\"");
}

void FluctuationsSection::require_size(const Shape& shape, std::size_t entries) const {
  constexpr std::size_t most = 300;  // whose Jacobian takes 3 evaluations for each
  if (entries > most)
    throw InputError(fmt::format(
        "[fluctuations] has a covariance of m, r, b and v, at most {} numbers; heads = {} and "
        "features = {} make {}",
        most, shape.heads, shape.features, entries));
}

const Parameters& FluctuationsSection::start(const Run& run) const {
  return options_.starts ? options_.starts->mean : run.section<StartSection>().parameters();
}

void FluctuationsSection::print_cost(CostReport& report) const {
  const Configuration& input = report.input();
  const Sampling& sampling = input.section<PopulationSection>().sampling;
  const Shape& shape = input.model().shape;
  const auto n = static_cast<double>(order_parameter_count(shape, input.model().training));
  const double products = n * (n + 1) / 2;
  const double evaluation = report.seconds_per_evaluation(sampling);
  // Two Jacobians a step, each of n products with the Hessian at 3 evaluations, and two sums over
  // the products of zeta; an evaluation is about 6 L H P multiplications. All that twice where
  // replicates have flows of their own.
  const double moments = 1 + products / (6.0 * shape.tokens * shape.heads * shape.coordinates());
  const double step =
      evaluation * (6 + 2 * (1 + 3 * n + moments)) * (sampling.replicates > 1 ? 2 : 1);
  PopulationLoss loss = report.one_block();
  FlowOptions flow;
  flow.stepper = options_.stepper();
  flow.end_time = options_.end_time;
  const FlowPilot pilot = pilot_flow(
      loss, options_.starts ? options_.starts->mean : input.section<StartSection>().parameters(),
      flow);
  fmt::print("# fluctuations               {:.3g} s a step, about {:.0f} steps, about {}\n", step,
             pilot.steps, clock_text(step * pilot.steps));
  report.add_seconds(name(), step * pilot.steps);
  constexpr double sums = 100;  // bytes of a number of each replicate: its exact sum, and copies
  report.add_samples();
  DataGroup group;
  const FluctuationsSeries series(group, input.model(), covariance_);
  report.add_outputs(name(), group, options_.output_times.size());
  report.add_memory({.what = "Jacobians of the replicates",
                     .each = sums * sampling.replicates *
                             (products + n * shape.heads * (shape.coordinates() + shape.heads)),
                     .passing = true});
}

void FluctuationsSection::resume(Run& run) {
  const Snapshot from = run.saved_state(name());
  if (from.empty()) return;
  require_later(name(), options_.end_time, from.number("t"));
  DataGroup& group = run.add_group(name());
  series_.emplace(group, run.model(), covariance_);
  resume_series(run, group, times_.until("fluctuations.output_times", options_.end_time),
                options_.output_times, from.number("t"));
}

void FluctuationsSection::run(Run& run) {
  if (!series_) series_.emplace(run.add_group(name()), run.model(), covariance_);
  const bool root = run.comm().root();  // which alone has the outputs
  if (root) reserve_records(run.group(name()), options_.output_times.size() + 1);
  const Snapshot from = run.saved_state(name());
  const Reached begin = reached_in(from);
  ProgressPrinter progress(run.talks(), name(), begin, options_.end_time);
  const Stopwatch watch;
  FluctuationsRecord last;
  Reached reached = begin;
  const FluctuationsResult result = run_fluctuations(
      run.loss(), start(run), options_,
      {.record =
           [&](const FluctuationsRecord& record) {
             if (root) series_->append(record);
             run.host().updated();
             last = record;
             if (record.time < options_.end_time)
               progress.update({record.time, reached.steps}, record.loss.mean.loss);
           },
       .progress =
           [&](const FlowProgress& p) {
             reached = {p.time, p.steps};
             progress.update(reached, p.loss);
           },
       .save = [&](const Snapshot& state) { run.save(state_group("fluctuations_state", state)); }},
      run, from);
  if (run.talks() && (from.empty() || result.time > begin.time)) {
    fmt::print("fluctuations: D = {:g}, kappa = {:.3g}, {}{}\n", options_.dimension, options_.kappa,
               with_noun(result.steps, "step"),
               steps_and_seconds(begin, result.steps, watch.seconds()));
    fmt::print("{}", outputs_made_again(last.time, result.time));
    if (!last.spreads.empty()) print(last, run.model());
  }
  if (!result.finished) throw Interrupt{};
}

void FluctuationsSection::print(const FluctuationsRecord& last, const Model& model) const {
  const auto at = sensitivities(model, last.spreads);
  const auto largest = [&](Matrix Sensitivities::*rows) {
    double most = 0;
    for (const Measured& one : deviations(at, rows, last.spreads)) most = std::max(most, one.value);
    return most;
  };
  fmt::print(
      "largest standard deviation of runs of SGD at t = {:g}: m {:.3g}, q {:.3g}, loss {:.3g}\n",
      last.time, largest(&Sensitivities::m), largest(&Sensitivities::q),
      largest(&Sensitivities::loss));
}

}  // namespace headflow
