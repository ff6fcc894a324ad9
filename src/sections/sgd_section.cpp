#include "sections/sgd_section.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/paths.hpp"
#include "core/progress.hpp"
#include "core/stopwatch.hpp"
#include "headflow/core/error.hpp"
#include "headflow/core/statistics.hpp"
#include "sections/attention_section.hpp"
#include "sections/cost.hpp"
#include "sections/flow_section.hpp"
#include "sections/output_section.hpp"
#include "sections/population_section.hpp"
#include "sections/resumed_series.hpp"
#include "sections/run.hpp"
#include "sections/schedule_section.hpp"
#include "sections/start_section.hpp"

namespace headflow {
namespace {

/// Whole steps nearest to the times, each once.
std::vector<std::int64_t> steps_of(const std::vector<double>& times, const SgdProblem& problem,
                                   std::int64_t most) {
  std::vector<std::int64_t> steps;
  for (const double t : times) {
    const double exact = problem.schedule.elapsed(t) / problem.learning_rate;
    const auto step = std::min<std::int64_t>(most, std::llround(exact));
    if (steps.empty() || step > steps.back()) steps.push_back(step);
  }
  return steps;
}

std::string weights_file(const std::string& output, std::int64_t step) {
  return companion(output, fmt::format("weights-{}", step));
}

}  // namespace

void SgdSection::declare_keys(KeyVisitor& visitor) {
  problem_.declare_keys(visitor);
  visitor.key({.name = "end_time",
               .help = "t at which SGD ends; steps can replace it; default: flow.end_time",
               .change = Change::allowed},
              end_time_, positive);
  visitor.key(
      {.name = "steps", .help = "number of steps, instead of end_time", .change = Change::allowed},
      steps_, {.least = 1, .most = 9e15});
  options_.declare_keys(visitor);
  visitor.choice<bool>(
      {"starts",
       "shared: all replicas have the same start; own: replica i has the start of start.seed + i - "
       "1 (finite-D spikes would differ, too: use spikes = \"orthonormal\", or noise)"},
      own_starts_, {{"shared", false}, {"own", true}});
  times_.declare_keys(visitor, "number of output times after t = 0, each rounded to a whole step");
  visitor.key({.name = "save_weights",
               .help = "write all weights and the spikes at the end, to FILE.weights-STEP.h5",
               .change = Change::allowed},
              save_weights_);
  visitor.key({.name = "weights_times",
               .help = "further times at which all weights are written",
               .change = Change::allowed},
              weights_times_, at_least_zero);
}

void SgdSection::prepare(Configuration& input) {
  if (!given) return;
  const auto& flow = input.section<FlowSection>();
  const auto& start = input.section<StartSection>();
  resolve_engine(input.prepared<AttentionSection>().shape);
  problem_.schedule = input.prepared<ScheduleSection>().schedule;
  const std::int64_t steps = resolve_end_times(input.section<FlowSection>().end_time);
  problem_.model = input.model();
  const double most = problem_.schedule.most();
  if (problem_.learning_rate * most * problem_.model.weight_decay >= 1)
    throw InputError(fmt::format(
        "sgd.learning_rate = {}{} times attention.weight_decay = {} must be below 1: a step keeps "
        "1 - learning_rate * weight_decay of the weights",
        problem_.learning_rate, most > 1 ? fmt::format(" times up to {} of [schedule]", most) : "",
        problem_.model.weight_decay));
  options_.start_seed = static_cast<std::uint64_t>(start.seed);
  resolve_outputs(steps);
  if (own_starts_)
    options_.first = start.random_starts(input, options_.replicas, "sgd.starts = \"own\"");
  split_threshold_ = flow.options.split_threshold;
}

void SgdSection::resolve_engine(const Shape& shape) {
  const bool weights = save_weights_ || weights_times_;
  const bool fast = problem_.reduction == Reduction::fast;
  const std::int64_t D = problem_.dimension;
  const int least = shape.coordinates() + shape.tokens;
  const int least_of_overlaps = least + shape.heads;
  if (problem_.engine == Engine::automatic)
    problem_.engine = weights || fast || D < least_of_overlaps ? Engine::direct : Engine::overlaps;
  const bool direct = problem_.engine == Engine::direct;
  if (!direct && weights)
    throw InputError(
        "sgd.engine = \"overlaps\" has no weights to write; save_weights and weights_times need "
        "engine = \"direct\"");
  if (!direct && fast) throw InputError("sgd.reduction = \"fast\" needs engine = \"direct\"");
  if (direct && D > 1000000000)
    throw InputError(
        fmt::format("sgd.dimension must be at most 1e9 for engine = \"direct\", found {}", D));
  if (!direct && D < least_of_overlaps)
    throw InputError(
        fmt::format("sgd.dimension must be at least features + 2 heads + tokens = {} for engine = "
                    "\"overlaps\", found {} (engine = \"direct\" needs {})",
                    least_of_overlaps, D, least));
  if (D < least)
    throw InputError(fmt::format(
        "sgd.dimension must be at least features + heads + tokens = {}, found {}", least, D));
}

/// Completes the end times: that of SGD from [flow] where it has none of its own, that of the flow
/// from SGD. Returns the number of SGD's steps. The resolved input then says the same.
std::int64_t SgdSection::resolve_end_times(std::optional<double>& end_of_flow) {
  if (end_time_ && steps_)
    throw InputError(fmt::format("[sgd] must have one of end_time and steps, found {} and {}",
                                 *end_time_, *steps_));
  if (!end_time_ && !steps_) end_time_ = end_of_flow;
  if (!end_time_ && !steps_)
    throw InputError(fmt::format("sgd.end_time is missing (t at which SGD ends; or sgd.steps){}",
                                 times_.times ? "; sgd.output_times do not say it" : ""));
  const double rate = problem_.learning_rate;
  const double exact =
      steps_ ? static_cast<double>(*steps_) : problem_.schedule.elapsed(*end_time_) / rate;
  const double steps = std::round(exact);
  const double end = problem_.schedule.time(rate * steps);
  if (!(steps >= 1 && steps <= 9e15 && std::isfinite(end)))
    throw InputError(fmt::format(
        "{} is {:.3g} steps of sgd.learning_rate = {}; there must be 1 to 9e15, to a finite time",
        steps_ ? fmt::format("sgd.steps = {}", *steps_)
               : fmt::format("sgd.end_time = {}", *end_time_),
        exact, rate));
  // The flow ends no sooner than SGD does when only whole steps separate them. What is given stays
  // as it is where that is rounding alone: see end_beside.
  const std::optional<double>& given_end = end_of_flow ? end_of_flow : end_time_;
  if (given_end && same_time(*given_end, end))
    end_of_flow = given_end;
  else if (!end_of_flow || std::abs(*end_of_flow - end) <= 0.5 * problem_.rate(std::llround(steps)))
    end_of_flow = std::max(end, end_of_flow.value_or(end));
  return static_cast<std::int64_t>(steps);
}

double SgdSection::end_beside(double end) const {
  if (!given) return end;
  const double own = problem_.time(options_.output_steps.back());
  return same_time(own, end) ? std::max(own, end) : end;
}

void SgdSection::resolve_outputs(std::int64_t steps) {
  const double end = std::max(end_time_.value_or(0), problem_.time(steps));
  auto& outputs = options_.output_steps =
      steps_of(times_.until("sgd.output_times", end), problem_, steps);
  const std::vector<double> weights_times = weights_times_.value_or(std::vector<double>{});
  require_times("sgd.weights_times", weights_times, end);
  options_.weight_steps = steps_of(weights_times, problem_, steps);
  if (save_weights_) options_.weight_steps.push_back(steps);
  outputs.push_back(steps);
  outputs.insert(outputs.end(), options_.weight_steps.begin(), options_.weight_steps.end());
  for (auto* list : {&outputs, &options_.weight_steps}) {
    std::sort(list->begin(), list->end());
    list->erase(std::unique(list->begin(), list->end()), list->end());
  }
}

std::vector<double> SgdSection::output_times() const {
  std::vector<double> times;
  for (const std::int64_t step : options_.output_steps) times.push_back(problem_.time(step));
  return times;
}

void SgdSection::add_output_times(std::vector<double>& times, double end) const {
  for (const double t : output_times()) {
    if (t > end) break;
    std::erase_if(times, [&](double own) { return same_time(own, t); });
    times.push_back(t);
  }
  std::sort(times.begin(), times.end());
}

std::vector<std::string> SgdSection::files(const std::string& output) const {
  std::vector<std::string> files;
  for (const std::int64_t step : options_.weight_steps) files.push_back(weights_file(output, step));
  return files;
}

void SgdSection::require_sweepable() const {
  if (save_weights_ || weights_times_)
    throw InputError("a sweep writes no weights: leave out save_weights and weights_times");
}

void SgdSection::print_cost(CostReport& report) const {
  const int groups =
      replica_groups(report.ranks(), options_.replicas, problem_.batch, problem_.engine);
  const std::int64_t replicas = local_range(0, options_.replicas, groups).size();
  const std::int64_t sequences =
      local_range(0, problem_.batch, std::max(1, report.ranks() / groups)).size();
  const auto& input = report.input();
  const double each = seconds_per_sequence(problem_, input.section<StartSection>().parameters(),
                                           options_.start_seed, replicas);
  const auto steps = static_cast<double>(options_.output_steps.back());
  fmt::print("# sgd                        {}, t = {:g}, kappa = {:.3g}\n",
             with_noun(steps, "step"), problem_.time(options_.output_steps.back()),
             problem_.kappa());
  fmt::print("# ranks                      {} in {}; a group has up to {}\n", report.ranks(),
             with_noun(groups, "group"), with_noun(replicas, "replica"));
  add_memory(report, replicas);
  fmt::print("# one sequence               {:.2f} us\n", 1e6 * each);
  const double outputs =
      report.seconds_per_evaluation(input.section<PopulationSection>().sampling) *
      static_cast<double>(options_.replicas) * static_cast<double>(options_.output_steps.size());
  fmt::print("# outputs of SGD             {}, about {}: population losses of {}\n",
             options_.output_steps.size(), clock_text(outputs),
             with_noun(options_.replicas, "replica"));
  const double seconds = outputs + each * steps * static_cast<double>(sequences * replicas);
  fmt::print("# the whole SGD              about {}\n", clock_text(seconds));
  report.add_seconds(name(), seconds);
  report.print_ranks_of_use(name(), [&](int ranks) {
    const int groups_of_them =
        replica_groups(ranks, options_.replicas, problem_.batch, problem_.engine);
    const std::int64_t own = local_range(0, options_.replicas, groups_of_them).size();
    const int in_group = std::max(1, ranks / groups_of_them);
    const auto [calls, bytes] = sgd_messages(problem_, own, in_group);
    const std::int64_t share = local_range(0, problem_.batch, calls > 0 ? in_group : 1).size();
    return each * static_cast<double>(own * share) + seconds_of_messages(in_group, calls, bytes);
  });
}

/// The outputs on rank 0; on every rank the engine, what is saved of it, and all replicas at an
/// output.
void SgdSection::add_memory(CostReport& report, std::int64_t replicas) const {
  const Shape& shape = problem_.model.shape;
  const auto all = static_cast<double>(options_.replicas);
  const std::size_t outputs = options_.output_steps.size();
  report.add_samples();
  DataGroup group;
  const SgdSeries series(group, problem_.model, split_threshold_, options_.replicas);
  report.add_outputs(name(), group, outputs);
  const bool direct = problem_.engine == Engine::direct;
  const double heads = 8.0 * shape.heads;
  const double vectors =
      8 * all * static_cast<double>(problem_.dimension) * (shape.heads + shape.features);
  report.add_disk({.state = direct ? vectors : all * bytes_of_state(shape),
                   .others = vectors * static_cast<double>(options_.weight_steps.size())});
  const double saved = direct ? 2 * heads * all * static_cast<double>(problem_.dimension) /
                                    static_cast<double>(report.ranks())
                              : 4 * heads * all * (shape.coordinates() + 2);
  report.add_memory(
      {.what = direct ? "vectors of SGD" : "overlaps of SGD",
       .each = sgd_memory_gib(problem_, replicas) * 0x1p30 + saved + all * bytes_of_state(shape),
       .passing = true});
}

double SgdSection::time_of(const Snapshot& state) const {
  return problem_.time(std::llround(state.number("step")));
}

void SgdSection::resume(Run& run) {
  const Snapshot numbers = run.saved_state(name());
  if (numbers.empty()) return;
  DataGroup& group = run.add_group(name());
  series_.emplace(group, run.model(), split_threshold_, options_.replicas);
  const auto step = static_cast<std::int64_t>(numbers.number("step"));
  require_later(name(), problem_.time(options_.output_steps.back()), problem_.time(step));
  std::vector<double> outputs = output_times();
  // An output that was interrupted is made again: it is not past.
  if (numbers.number("last_output") < numbers.number("step"))
    std::erase(outputs, problem_.time(step));
  resume_series(run, group, outputs, outputs, problem_.time(step));
  if (run.comm().root()) series_->resume();
  const auto& file = *run.from()->file;
  source_ = {numbers, [this, &file](IndexRange replicas, IndexRange coordinates) {
               return read_weights(file, problem_.model.shape, replicas, coordinates);
             }};
  SgdSaved saved{.numbers = numbers, .weights = {}};
  if (problem_.engine == Engine::direct) {
    saved.weights.replicas = {0, options_.replicas};
    saved.weights.coordinates =
        local_range(run.comm().rank(), problem_.dimension, run.comm().size());
    saved.weights.k = source_->weights(saved.weights.replicas, saved.weights.coordinates);
  }
  run.save(sgd_state_group(problem_, options_.replicas, saved));
}

void SgdSection::run(Run& run) {
  if (!series_)
    series_.emplace(run.add_group(name()), run.model(), split_threshold_, options_.replicas);
  const bool root = run.comm().root();  // which alone has the outputs
  if (root) reserve_records(run.group(name()), options_.output_steps.size() + 1);
  Reached begin;
  if (source_) begin.steps = std::llround(source_->numbers.number("step"));
  begin.time = problem_.time(begin.steps);
  ProgressPrinter progress(run.talks(), name(), begin, problem_.time(options_.output_steps.back()),
                           "batch loss");
  const Stopwatch watch;
  SgdRecord last;
  const SgdResult result =
      run_sgd(run.comm(), problem_, run.section<StartSection>().parameters(), options_, run.loss(),
              {.record =
                   [&](const SgdRecord& record) {
                     if (root) series_->append(record);
                     run.host().updated();
                     last = record;
                   },
               .weights = [&](const SgdRecord& record,
                              const SgdWeights& weights) { write_weights(run, record, weights); },
               .progress =
                   [&](const SgdProgress& p) {
                     progress.update({p.time, p.steps}, p.loss);
                   },
               .save =
                   [&](const SgdSaved& saved) {
                     run.save(sgd_state_group(problem_, options_.replicas, saved));
                   }},
              run, source_ ? &*source_ : nullptr);
  if (run.talks() && (!last.replicas.empty() || result.steps_here > 0))
    print(last, result, begin, watch.seconds());
  if (!result.finished) throw Interrupt{};
  if (run.talks()) fmt::print("{}", series_->describe_splits());
  const auto& flow = run.section<FlowSection>();
  if (run.talks() && flow.given && options_.first.empty())
    fmt::print("{}",
               compare(flow.trajectory(), series_->trajectory(), options_.replicas, advice(run)));
}

double SgdSection::kappa_for(const char* section, const NumberOrWord& learning_rate_noise) const {
  if (const auto* number = std::get_if<double>(&learning_rate_noise)) return *number;
  if (!given)
    throw InputError(
        fmt::format("{}.learning_rate_noise = \"from-sgd\" needs a section [sgd]; without one it "
                    "must be kappa = learning rate * "
                    "dimension / batch",
                    section));
  return problem_.kappa();
}

std::string SgdSection::advice(Run& run) const {
  const std::string reasons[] = {
      run.section<PopulationSection>().sampling.symmetric
          ? ""
          : "population.symmetric = true (samples then do not push heads apart)",
      run.section<FlowSection>().options.kappa > 0
          ? ""
          : fmt::format(
                "flow.learning_rate_noise = \"from-sgd\" (the noise of kappa = {:.3g} may be seen)",
                problem_.kappa())};
  std::string text;
  for (const auto& reason : reasons)
    if (!reason.empty()) text += fmt::format("  it may come nearer with {}\n", reason);
  return text;
}

void SgdSection::write_weights(Run& run, const SgdRecord& record, const SgdWeights& weights) const {
  DataFile file{.attributes = run.content().attributes,
                .provenance = run.content().provenance,
                .groups = {weights_group(problem_, record, weights)}};
  const std::string& output = run.section<OutputSection>().path();
  write_data_file(run.comm(), weights_file(output, record.steps), file);
}

void SgdSection::print(const SgdRecord& last, const SgdResult& result, const Reached& begin,
                       double seconds) const {
  const auto replicas = static_cast<double>(options_.replicas);
  const double time = problem_.time(result.steps);
  fmt::print("sgd: t = {:g}, {} of {} in D = {}, kappa = {:.3g}, {}\n", time,
             with_noun(result.steps, "step"), with_noun(problem_.batch, "sequence"),
             problem_.dimension, problem_.kappa(), with_noun(replicas, "replica"));
  const double sequences =
      replicas * static_cast<double>(result.steps_here) * static_cast<double>(problem_.batch);
  if (result.steps_here > 0)
    fmt::print("{:.4g} sequences of {:.3g} us, {:.4g} s with outputs{}\n", sequences,
               result.microseconds, seconds,
               begin.steps > 0 ? fmt::format(", since it went on at t = {:g}", begin.time) : "");
  if (last.replicas.empty()) return;  // nothing was recorded since the restart
  std::vector<double> losses;
  for (const SgdState& state : last.replicas) losses.push_back(state.loss.mean.loss);
  const double loss = std::reduce(losses.begin(), losses.end()) / replicas;
  std::string text = fmt::format("{:.6f}", loss);
  if (std::ranges::min(losses) < std::ranges::max(losses))
    text = with_error(loss, standard_error(losses), "{:.6f}") +
           " over replicas, all on the same samples";
  else if (losses.size() > 1)
    text += " in all replicas";
  fmt::print("{}loss {}\n", at_last_output(last.time, time), text);
}

}  // namespace headflow
