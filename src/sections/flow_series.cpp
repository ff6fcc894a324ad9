#include "sections/flow_series.hpp"

#include <fmt/format.h>

#include "headflow/flow/sides.hpp"

namespace headflow {

struct FlowSeries::Row {
  const FlowRecord& record;
  const Stages& stages;
  Matrix sides;
  Combinations combinations;
};

/// What is written at each output besides the state.
const std::vector<Column<FlowSeries::Row>>& FlowSeries::columns() {
  static const std::vector<Column<Row>> columns = {
      {"step_size",
       {},
       "step of the time stepper that covers this time",
       [](const Row& row) { return Values{row.record.step_size}; }},
      {"learning_rate_noise",
       {},
       "kappa at this time: learning rate * D / batch of SGD; 0: the limit of small ones",
       [](const Row& row) { return Values{row.record.kappa}; }},
      {"loss_rises",
       {},
       "steps and outputs so far with a higher loss (with weight decay) of the same samples than "
       "the one before",
       [](const Row& row) { return Values{row.record.rises.count}; }},
      {"largest_loss_rise",
       {},
       "largest of these rises so far",
       [](const Row& row) { return Values{row.record.rises.largest}; }},
      {"side",
       {"head", "feature"},
       "side of the feature that the head is on: -1, 1, or 0 while undecided",
       [](const Row& row) { return flat(row.sides); }},
      {"evenness",
       {"feature"},
       "of the split over the two sides: 1 half and half, 0 all on one",
       [](const Row& row) { return flat(evenness(row.sides)); }},
      {"combinations",
       {},
       "different combinations of sides among heads, of the features that have split",
       [](const Row& row) { return Values{static_cast<double>(row.combinations.different)}; }},
      {"undecided",
       {},
       "heads on neither side of a feature that has split",
       [](const Row& row) { return Values{static_cast<double>(row.combinations.undecided)}; }},
      {"excursions",
       {"head", "feature"},
       "changes of side so far, after the feature's split",
       [](const Row& row) { return flat(row.stages.excursions); }}};
  return columns;
}

/// What is written of the stages, as they are known at the last output.
std::vector<Column<Stages>> FlowSeries::stage_columns(double split_threshold) {
  return {{"alignment_time",
           {},
           "time at which |mean over heads of m| reaches half its plateau, of what is in the file "
           "while no "
           "feature has split",
           [](const Stages& stages) { return Values{stages.alignment_time}; }},
          {"split_time",
           {"feature"},
           fmt::format("time at which the spread of m over heads reaches {}", split_threshold),
           [](const Stages& stages) { return stages.split_time; }},
          {"growth_rate",
           {"feature"},
           fmt::format("mean growth rate of that spread from {:g} to {:g}", 0.01 * split_threshold,
                       0.1 * split_threshold),
           [](const Stages& stages) { return stages.growth_rate; }}};
}

FlowSeries::FlowSeries(DataGroup& group, const Model& model, double split_threshold)
    : group_(group),
      rule_(model.prior, split_threshold),
      split_threshold_(split_threshold),
      stages_(stage_columns(split_threshold)) {
  group.dimensions = {time_axis()};
  add_heads_and_features(group, model.shape);
  for (const auto& column : state_columns())
    group.variables.push_back(variable_of(column, {"time"}));
  for (const auto& column : columns()) group.variables.push_back(variable_of(column, {"time"}));
  group.variables.push_back(spike_gram(model));
  first_stage_ = group.variables.size();
  for (const auto& column : stages_) group.variables.push_back(variable_of(column));
}

void FlowSeries::append(const FlowRecord& record, const Stages& stages) {
  group_.dimensions[0].values.push_back(record.time);
  const Matrix sides = rule_.sides(record.order.m);
  const Row row{record, stages, sides,
                combinations(sides, spread_over_heads(record.order.m), split_threshold_)};
  auto variable = group_.variables.begin();
  for (const auto& column : state_columns())
    headflow::append((variable++)->data, column.values(record));
  for (const auto& column : columns()) headflow::append((variable++)->data, column.values(row));
  variable = group_.variables.begin() + static_cast<std::ptrdiff_t>(first_stage_);
  for (const auto& column : stages_) (variable++)->data = column.values(stages);
}

Trajectory FlowSeries::trajectory() const {
  Trajectory trajectory{.times = group_.dimensions[0].values, .lines = {}};
  auto variable = group_.variables.begin();
  for (const auto& column : state_columns()) {
    if (column.compared) trajectory.lines.push_back({column.name, variable->data});
    ++variable;
  }
  return trajectory;
}

}  // namespace headflow
