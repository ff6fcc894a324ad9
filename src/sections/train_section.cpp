#include "sections/train_section.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/progress.hpp"
#include "headflow/core/error.hpp"
#include "sections/cost.hpp"
#include "sections/flow_section.hpp"
#include "sections/population_section.hpp"
#include "sections/run.hpp"
#include "sections/start_section.hpp"

namespace headflow {
namespace {

using Searches = std::vector<FinishedSearch>;

/// What is written of the searches besides their states.
const std::vector<Column<FinishedSearch>>& search_columns() {
  using Search = const FinishedSearch&;
  static const std::vector<Column<FinishedSearch>> columns = {
      {"sampled_loss",
       {},
       "population loss on the samples that were trained on, without weight decay",
       [](Search s) { return Values{s.minimum.loss}; }},
      {"sampled_gradient_norm",
       {},
       "gradient norm on the samples that were trained on",
       [](Search s) { return Values{s.minimum.gradient_norm}; }},
      {"choice_loss",
       {},
       "population loss on other fresh samples, by which, with weight decay, the best is chosen",
       [](Search s) { return Values{s.choice.mean}; }},
      {"loss_share",
       {},
       "part of the samples that the loss comes from, mean(e)^2 / mean(e^2) of single sequences",
       [](Search s) { return Values{s.choice.share}; }},
      {"evaluations",
       {},
       "evaluations of loss and gradient",
       [](Search s) { return Values{static_cast<double>(s.minimum.evaluations)}; }},
      {"converged", {}, "whether the gradient norm has fallen under its tolerance", [](Search s) {
         return Values{s.minimum.converged ? 1.0 : 0.0};
       }}};
  return columns;
}

/// A minimum as numbers, and back.
Values numbers_of(const Minimum& minimum) {
  Values all = minimum.parameters.numbers();
  append(all, {minimum.loss, minimum.gradient_norm, static_cast<double>(minimum.evaluations),
               minimum.converged ? 1.0 : 0.0});
  return all;
}

Minimum minimum_of(std::span<const double> numbers, const Shape& shape) {
  const auto rest = numbers.last(4);
  return {.parameters = Parameters::from_numbers(numbers.first(numbers.size() - 4), shape),
          .loss = rest[0],
          .gradient_norm = rest[1],
          .evaluations = static_cast<std::int64_t>(rest[2]),
          .converged = rest[3] != 0};
}

}  // namespace

void TrainSection::declare_keys(KeyVisitor& visitor) {
  visitor.choice<TrainFrom>(
      {"from",
       "search: the least loss, from [start] and from draws of theta in turn, also with fewer "
       "heads; "
       "start: one descent each from [start] with seeds seed, seed + 1, ..; flow: from its end"},
      from_,
      {{"search", TrainFrom::search}, {"start", TrainFrom::start}, {"flow", TrainFrom::flow}});
  visitor.key(
      {.name = "starts", .help = "number of starts; one from the flow", .seed = Seed::count},
      starts_, {.least = 1, .most = 10000});
  options_.declare_keys(visitor);
}

void TrainSection::prepare(Configuration& input) {
  if (!given) return;
  if (from_ == TrainFrom::flow && !input.section<FlowSection>().given)
    throw InputError("train.from = \"flow\" needs a section [flow]");
  const auto& start = input.prepared<StartSection>();
  first_ = {start.parameters()};
  if (starts_ == 1 || from_ == TrainFrom::flow) return;
  first_ = from_ == TrainFrom::start
               ? start.random_starts(input, starts_, "train.from = \"start\" with train.starts > 1")
               : random_starts(input);
}

/// From [start] and from draws of theta in turn, or all but the first from draws where [start] has
/// no seeds.
std::vector<Parameters> TrainSection::random_starts(Configuration& input) const {
  const auto& start = input.section<StartSection>();
  const Model& model = input.model();
  const std::int64_t count = start.has_seeds() ? (starts_ + 1) / 2 : 1;
  std::vector<Parameters> all{start.parameters()};
  if (count > 1) all = start.random_starts(input, count, "train.starts > 1");
  for (std::int64_t i = 0; std::ssize(all) < starts_; ++i) {
    const auto place = std::min(2 * i + 1, static_cast<std::int64_t>(all.size()));
    Parameters heads =
        heads_on_draws(model.shape, model.signal, static_cast<std::uint64_t>(start.seed + i));
    if (!model.training.k) heads.K = start.parameters().K;
    if (model.training.b == 0) heads.b = start.parameters().b;
    if (model.training.v == 0) heads.v = start.parameters().v;
    all.insert(all.begin() + place, std::move(heads));
  }
  return all;
}

void TrainSection::print_cost(CostReport& report) const {
  report.add_samples();
  report.add_fresh_samples();
  const auto& population = report.input().section<PopulationSection>();
  fmt::print(
      "# train                      {}, {:.3g} s an evaluation; most need 20 to 200, "
      "with fewer heads three times that\n",
      with_noun(first_.size(), "start"), report.seconds_per_evaluation(population.sampling));
  fmt::print("# fresh samples              {}, {:.3g} s for the loss of a start\n",
             population.test_sampling.samples,
             report.seconds_per_evaluation(population.test_sampling));
}

void TrainSection::run(Run& run) {
  if (from_ == TrainFrom::flow) first_ = {run.section<FlowSection>().result()->parameters};
  PopulationLoss fresh(run.comm(), run.model(), run.section<PopulationSection>().test_sampling,
                       false, run.without_state());
  resume_searches(run, fresh);
  group_ = &run.add_group(name());
  while (result_.size() < first_.size()) search(run, fresh);
  fill_group(run);
  if (run.talks()) print();
  warn_of_few(run, run.section<PopulationSection>().test_sampling);
}

/// What a checkpoint has: the finished searches, and the log of the one that it was in; nothing of
/// use where the flow has gone on since.
void TrainSection::resume_searches(Run& run, PopulationLoss& fresh) {
  const Snapshot from = run.saved_state(name());
  if (!from.has("first") || from.list("first") != first_[0].numbers()) return;
  if (from.has("log")) log_.numbers = from.list("log");
  if (!from.has("minima")) return;
  const Shape& shape = run.model().shape;
  const std::span<const double> all = from.list("minima");
  const std::size_t size = numbers_of({.parameters = first_[0]}).size();
  for (std::size_t i = 0; i < all.size(); i += size)
    result_.push_back(finished(run, fresh, minimum_of(all.subspan(i, size), shape)));
}

/// The best is chosen on replicates that no other loss uses.
FinishedSearch TrainSection::finished(Run& run, PopulationLoss& fresh, Minimum minimum) const {
  const auto& population = run.section<PopulationSection>();
  Sampling others = population.test_sampling;
  others.samples = population.sampling.samples;
  others.first_replicate += others.replicates;
  LossStatistics loss = fresh.statistics(minimum.parameters, run);
  const LossMoments choice = loss_moments(run.comm(), run.model(), minimum.parameters, others, run);
  return {std::move(minimum), std::move(loss), choice};
}

Snapshot TrainSection::state() const {
  Values minima;
  for (const FinishedSearch& one : result_) append(minima, numbers_of(one.minimum));
  Snapshot snapshot;
  snapshot.put("first", first_[0].numbers());
  snapshot.put("minima", minima);
  snapshot.put("log", log_.numbers);
  return snapshot;
}

void TrainSection::search(Run& run, PopulationLoss& fresh) {
  const auto save = [&] {
    if (run.stopping()) fill_group(run);
    run.save(state_group("train_state", state()));
  };
  try {
    const auto& descend = from_ == TrainFrom::search ? minimise_with_fewer_heads : minimise;
    result_.push_back(finished(
        run, fresh, descend(run.loss(), first_[result_.size()], options_, run, &log_, save)));
  } catch (const Interrupt&) {
    if (run.stopping()) save();  // with the log of the whole search
    throw;
  }
  log_.numbers.clear();
  fill_group(run);
  save();
}

std::size_t TrainSection::best() const {
  const auto least = std::min_element(result_.begin(), result_.end(),
                                      [](const FinishedSearch& a, const FinishedSearch& b) {
                                        return a.choice_objective() < b.choice_objective();
                                      });
  return static_cast<std::size_t>(least - result_.begin());
}

void TrainSection::fill_group(Run& run) {
  std::vector<State> states;
  for (const FinishedSearch& one : result_) {
    const Parameters& parameters = one.minimum.parameters;
    states.push_back(
        {parameters, order_parameters(parameters.K, run.model().spike_factor), one.fresh});
  }
  fill_states(*group_, run.model().shape, "start", states);
  for (const auto& column : search_columns()) {
    Variable& variable = group_->variables.emplace_back(variable_of(column, {"start"}));
    for (const FinishedSearch& one : result_) append(variable.data, column.values(one));
  }
  if (!result_.empty())
    group_->variables.push_back(
        {.name = "best",
         .axes = {},
         .data = {static_cast<double>(best() + 1)},
         .long_name = "number of the start with the smallest choice_loss (with weight decay)"});
  run.host().updated();
}

void TrainSection::print() const {
  const auto& [minimum, fresh, choice] = result_[best()];
  fmt::print(
      "trained: loss {} on fresh samples, {:.6g} on its own, gradient norm {:.2g}, {} evaluations",
      with_error(fresh.mean.loss, fresh.loss_stderr, "{:.6g}"), minimum.loss, minimum.gradient_norm,
      minimum.evaluations);
  if (result_.size() > 1) fmt::print("; best of {} starts", result_.size());
  const auto missed = std::count_if(result_.begin(), result_.end(),
                                    [](const auto& one) { return !one.minimum.converged; });
  if (missed > 0)
    fmt::print("; {} ended above the gradient tolerance {:g}", missed, options_.gradient_tolerance);
  fmt::print("\n");
}

void TrainSection::warn_of_few(Run& run, const Sampling& fresh_samples) const {
  constexpr double few = 100;
  const double count = result_[best()].choice.share * static_cast<double>(fresh_samples.samples);
  if (count < few)
    run.warn(fmt::format(
        "the trained loss comes from about {:.2g} of {} fresh samples; it and its error may be far "
        "too small, as rarer errors were not seen (more population.test_samples see more)",
        count, fresh_samples.samples));
}

std::vector<Parameters> heads_of(const Run& run) {
  std::vector<Parameters> heads;
  for (const FinishedSearch& one : run.section<TrainSection>().result())
    heads.push_back(one.minimum.parameters);
  if (heads.empty()) heads.push_back(run.section<FlowSection>().result()->parameters);
  return heads;
}

void require_heads(Configuration& input, const char* section) {
  if (!input.section<FlowSection>().given && !input.section<TrainSection>().given)
    throw InputError(fmt::format("[{}] needs heads: a section [train] or [flow]", section));
}

}  // namespace headflow
