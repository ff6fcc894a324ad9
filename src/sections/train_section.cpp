#include "sections/train_section.hpp"

#include <fmt/format.h>

#include <algorithm>

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
       "population loss on the samples that were trained on",
       [](Search s) { return Values{s.minimum.loss}; }},
      {"sampled_gradient_norm",
       {},
       "gradient norm on the samples that were trained on",
       [](Search s) { return Values{s.minimum.gradient_norm}; }},
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
  visitor.choice<bool>(
      {"from", "start: from [start] with seeds seed, seed + 1, ..; flow: from its end"}, from_flow_,
      {{"start", false}, {"flow", true}});
  visitor.key({"starts", "number of starts"}, starts_, {.least = 1, .most = 10000});
  options_.declare_keys(visitor);
}

void TrainSection::prepare(Configuration& input) {
  if (!given) return;
  const auto& start = input.prepared<StartSection>();
  if (from_flow_ && !input.section<FlowSection>().given)
    throw InputError("train.from = \"flow\" needs a section [flow]");
  first_ = {start.parameters()};
  if (!from_flow_ && starts_ > 1) first_ = start.random_starts(input, starts_, "train.starts > 1");
}

void TrainSection::print_cost(CostReport& report) const {
  const auto& population = report.input().section<PopulationSection>();
  fmt::print(
      "# train                      {} start{}, {:.3g} s an evaluation; most searches need 20 to "
      "200\n",
      first_.size(), first_.size() > 1 ? "s" : "",
      report.seconds_per_evaluation(population.sampling));
  fmt::print("# fresh samples              {}, {:.3g} s for the loss of a start\n",
             population.test_sampling.samples,
             report.seconds_per_evaluation(population.test_sampling));
}

void TrainSection::run(Run& run) {
  if (from_flow_) first_ = {run.section<FlowSection>().result()->parameters};
  PopulationLoss fresh(run.comm(), run.model(), run.section<PopulationSection>().test_sampling,
                       false, run.without_state());
  resume_searches(run, fresh);
  group_ = &run.add_group(name());
  while (result_.size() < first_.size()) search(run, fresh);
  fill_group(run);
  if (run.talks()) print();
}

/// What a checkpoint has: the finished searches, and the log of the one that it was in.
void TrainSection::resume_searches(Run& run, PopulationLoss& fresh) {
  const Snapshot from = run.saved_state(name());
  if (from.has("log")) log_ = from.list("log");
  if (!from.has("minima")) return;
  const Shape& shape = run.model().shape;
  const std::span<const double> all = from.list("minima");
  const std::size_t size = numbers_of({.parameters = first_[0]}).size();
  for (std::size_t i = 0; i < all.size(); i += size) {
    Minimum minimum = minimum_of(all.subspan(i, size), shape);
    LossStatistics loss = fresh.statistics(minimum.parameters, run);
    result_.push_back({std::move(minimum), std::move(loss)});
  }
}

Snapshot TrainSection::state() const {
  Values minima;
  for (const FinishedSearch& one : result_) append(minima, numbers_of(one.minimum));
  Snapshot snapshot;
  snapshot.put("minima", minima);
  snapshot.put("log", log_);
  return snapshot;
}

void TrainSection::search(Run& run, PopulationLoss& fresh) {
  const auto save = [&] {
    if (run.stopping()) fill_group(run);
    run.save(state_group("train_state", state()));
  };
  try {
    Minimum minimum = minimise(run.loss(), first_[result_.size()], options_, run, &log_, save);
    LossStatistics loss = fresh.statistics(minimum.parameters, run);
    result_.push_back({std::move(minimum), std::move(loss)});
  } catch (const Interrupt&) {
    if (run.stopping()) save();  // with the log of the whole search
    throw;
  }
  log_.clear();
  fill_group(run);
  save();
}

std::size_t TrainSection::best() const {
  const auto least = std::min_element(
      result_.begin(), result_.end(),
      [](const auto& a, const auto& b) { return a.fresh.mean.loss < b.fresh.mean.loss; });
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
         .long_name = "number of the start with the smallest loss on fresh samples"});
  run.host().updated();
}

void TrainSection::print() const {
  const auto& [minimum, fresh] = result_[best()];
  fmt::print(
      "trained: loss {:.6f} +- {:.1g} on fresh samples, {:.6f} on its own, gradient norm "
      "{:.2g}, {} evaluations",
      fresh.mean.loss, fresh.loss_stderr, minimum.loss, minimum.gradient_norm, minimum.evaluations);
  if (result_.size() > 1) fmt::print("; best of {} starts", result_.size());
  const auto missed = std::count_if(result_.begin(), result_.end(),
                                    [](const auto& one) { return !one.minimum.converged; });
  if (missed > 0)
    fmt::print("; {} ended above the gradient tolerance {:g}", missed, options_.gradient_tolerance);
  fmt::print("\n");
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
