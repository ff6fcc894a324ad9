#include "sections/sgd_series.hpp"

#include <fmt/format.h>

#include <cmath>
#include <numeric>

#include "core/progress.hpp"
#include "headflow/flow/stages.hpp"

namespace headflow {
namespace {

/// Appends the mean over replicas and their standard deviation, NaN for a single one.
void append_moments(const std::vector<Values>& all, Values& means, Values& deviations) {
  const auto replicas = static_cast<double>(all.size());
  Values mean(all[0].size(), 0.0);
  Values deviation(all[0].size(), never);
  for (const Values& one : all)
    for (std::size_t i = 0; i < one.size(); ++i) mean[i] += one[i] / replicas;
  for (std::size_t i = 0; i < mean.size() && all.size() > 1; ++i) {
    double sum = 0;
    for (const Values& one : all) sum += (one[i] - mean[i]) * (one[i] - mean[i]);
    deviation[i] = std::sqrt(sum / (replicas - 1));
  }
  append(means, mean);
  append(deviations, deviation);
}

std::pair<std::size_t, std::size_t> slab_of(IndexRange range) {
  return {static_cast<std::size_t>(range.begin), static_cast<std::size_t>(range.size())};
}

Slab weights_slab(const Shape& shape, IndexRange replicas, IndexRange coordinates) {
  const auto [first_replica, replica_count] = slab_of(replicas);
  const auto [first, count] = slab_of(coordinates);
  return {{first_replica, 0, first}, {replica_count, static_cast<std::size_t>(shape.heads), count}};
}

/// A group with axes of replicas, heads and coordinates and the weights k.
void add_weights(DataGroup& group, const SgdProblem& problem, std::int64_t replicas,
                 const SgdWeights& weights) {
  const Shape& shape = problem.model.shape;
  group.dimensions.push_back(counted("replica", replicas, "independent run"));
  group.dimensions.push_back(counted("head", shape.heads, "head h"));
  group.dimensions.push_back(
      counted("coordinate", problem.dimension, "coordinate of the tokens' space R^D"));
  group.variables.push_back({.name = "k",
                             .axes = {"replica", "head", "coordinate"},
                             .data = weights.k,
                             .long_name = "weights of the heads",
                             .slab = weights_slab(shape, weights.replicas, weights.coordinates)});
}

}  // namespace

/// What is written of each replica at each output.
const std::vector<SgdSeries::OverReplicas>& SgdSeries::replica_columns() {
  static const std::vector<OverReplicas> columns = [] {
    std::vector<OverReplicas> all;
    for (const StateColumn& column : state_columns())
      all.push_back({{column.name, column.axes, column.long_name, column.values},
                     column.averaged,
                     column.compared});
    all.push_back({{"batch_loss",
                    {},
                    "mean loss of the sequences since the output before",
                    [](const SgdState& state) { return Values{state.batch_loss}; }},
                   true,
                   false});
    return all;
  }();
  return columns;
}

/// What is written at each output besides.
const std::vector<Column<SgdRecord>>& SgdSeries::record_columns() {
  static const std::vector<Column<SgdRecord>> columns = {
      {"steps",
       {},
       "steps of SGD",
       [](const SgdRecord& record) { return Values{static_cast<double>(record.steps)}; }},
      {"sequences",
       {},
       "sequences that each replica has seen",
       [](const SgdRecord& record) { return Values{record.sequences}; }},
      {"sequences_per_second",
       {},
       "sequences of all replicas in a second of wall time, since the output before",
       [](const SgdRecord& record) { return Values{record.sequences_per_second}; },
       "s-1",
       true}};
  return columns;
}

SgdSeries::SgdSeries(DataGroup& group, const Model& model, double split_threshold,
                     std::int64_t replicas)
    : group_(group), shape_(model.shape), split_threshold_(split_threshold) {
  group.dimensions = {time_axis(), counted("replica", replicas, "independent run")};
  add_heads_and_features(group, shape_);
  for (const auto& [column, averaged, compared] : replica_columns()) {
    group.variables.push_back(variable_of(column, {"time", "replica"}));
    if (!averaged) continue;
    Variable mean = variable_of(column, {"time"}), deviation = mean;
    mean.name += "_mean";
    mean.long_name += ": mean over replicas";
    deviation.name += "_std";
    deviation.long_name += ": standard deviation over replicas";
    group.variables.push_back(mean);
    group.variables.push_back(deviation);
  }
  for (const auto& column : record_columns())
    group.variables.push_back(variable_of(column, {"time"}));
  split_time_ = group.variables.size();
  group.variables.push_back(
      {.name = "split_time",
       .axes = {"replica", "feature"},
       .data = Values(static_cast<std::size_t>(replicas * shape_.features), never),
       .long_name = fmt::format("time at which the spread of m over heads reaches {}, linear "
                                "between outputs; NaN if it has not yet",
                                split_threshold)});
  group.variables.push_back(spike_gram(model));
}

void SgdSeries::append(const SgdRecord& record) {
  group_.dimensions[0].values.push_back(record.time);
  auto variable = group_.variables.begin();
  for (const auto& [column, averaged, compared] : replica_columns()) {
    std::vector<Values> all;
    for (const SgdState& state : record.replicas) all.push_back(column.values(state));
    for (const Values& one : all) headflow::append(variable->data, one);
    ++variable;
    if (!averaged) continue;
    append_moments(all, variable->data, (variable + 1)->data);
    variable += 2;
  }
  for (const auto& column : record_columns())
    headflow::append((variable++)->data, column.values(record));
  std::vector<Vector> spreads;
  for (const SgdState& state : record.replicas) spreads.push_back(spread_over_heads(state.order.m));
  find_splits(spreads);
}

void SgdSeries::find_splits(const std::vector<Vector>& spreads) {
  const auto& times = group_.dimensions[0].values;
  const std::size_t last = times.size() - 1;
  const auto F = static_cast<std::size_t>(shape_.features);
  for (std::size_t replica = 0; replica < spreads.size(); ++replica)
    for (std::size_t f = 0; f < F; ++f) {
      double& time = group_.variables[split_time_].data[replica * F + f];
      const double reached = spreads[replica][static_cast<Eigen::Index>(f)];
      if (!std::isnan(time) || !(reached >= split_threshold_)) continue;
      time = times[last];
      if (last == 0) continue;
      const double before = spreads_[replica][static_cast<Eigen::Index>(f)];
      time -= (times[last] - times[last - 1]) * (reached - split_threshold_) / (reached - before);
    }
  spreads_ = spreads;
}

std::string SgdSeries::describe_splits() const {
  const Values& times = group_.variables[split_time_].data;
  const auto F = static_cast<std::size_t>(shape_.features);
  std::string text;
  for (std::size_t f = 0; f < F; ++f) {
    std::vector<double> seen;
    for (std::size_t place = f; place < times.size(); place += F)
      if (!std::isnan(times[place])) seen.push_back(times[place]);
    const double sum = std::accumulate(seen.begin(), seen.end(), 0.0), error = standard_error(seen);
    const std::size_t replicas = times.size() / F;
    const bool biased = !seen.empty() && seen.size() < replicas;
    text +=
        fmt::format("heads split along feature {}: {}{} ({} of {} replicas{})\n", f + 1,
                    time_or_never(seen.empty() ? never : sum / static_cast<double>(seen.size())),
                    std::isnan(error) ? "" : fmt::format(" +- {:.2g}", error), seen.size(),
                    replicas, biased ? "; the others not yet" : "");
  }
  return text;
}

void SgdSeries::resume() {
  const std::size_t records = group_.dimensions[0].values.size();
  if (records == 0) return;
  const Values& m = group_.variables.front().data;  // (time, replica, head, feature)
  const auto size = static_cast<std::size_t>(shape_.heads * shape_.features);
  const auto replicas = m.size() / (records * size);
  spreads_.clear();
  for (std::size_t replica = 0; replica < replicas; ++replica)
    spreads_.push_back(spread_over_heads(Eigen::Map<const Matrix>(
        &m[((records - 1) * replicas + replica) * size], shape_.heads, shape_.features)));
}

Trajectory SgdSeries::trajectory() const {
  Trajectory trajectory{.times = group_.dimensions[0].values, .lines = {}};
  auto variable = group_.variables.begin();
  for (const auto& [column, averaged, compared] : replica_columns()) {
    if (compared)
      trajectory.lines.push_back({column.name, (variable + 1)->data, (variable + 2)->data});
    variable += averaged ? 3 : 1;
  }
  return trajectory;
}

DataGroup weights_group(const SgdProblem& problem, const SgdRecord& record,
                        const SgdWeights& weights) {
  const Shape& shape = problem.model.shape;
  DataGroup group{.name = "sgd", .dimensions = {}, .variables = {}};
  add_weights(group, problem, static_cast<std::int64_t>(record.replicas.size()), weights);
  group.dimensions.push_back(counted("feature", shape.features, "feature f"));
  const auto [first, count] = slab_of(weights.spike_coordinates);
  Values b, v;
  for (const SgdState& state : record.replicas) {
    append(b, flat(state.parameters.b));
    v.push_back(state.parameters.v);
  }
  group.variables.push_back(
      {.name = "spikes",
       .axes = {"feature", "coordinate"},
       .data = weights.spikes,
       .long_name = "spikes k*",
       .slab = Slab{{0, first}, {static_cast<std::size_t>(shape.features), count}}});
  const auto add = [&](const char* name, std::vector<std::string> axes, const char* long_name,
                       Values data) {
    group.variables.push_back(
        {.name = name, .axes = std::move(axes), .data = std::move(data), .long_name = long_name});
  };
  add("b", {"replica", "head"}, "bias of the head", b);
  add("v", {"replica"}, "scale of the attention", v);
  add("time", {}, "time t = learning rate * steps", {record.time});
  add("steps", {}, "steps of SGD", {static_cast<double>(record.steps)});
  return group;
}

DataGroup sgd_state_group(const SgdProblem& problem, std::int64_t replicas, const SgdSaved& saved) {
  DataGroup group = state_group("sgd_state", saved.numbers);
  if (problem.engine == Engine::direct) add_weights(group, problem, replicas, saved.weights);
  return group;  // of engine overlaps the numbers are all there is
}

Values read_weights(const DataReader& checkpoint, const Shape& shape, IndexRange replicas,
                    IndexRange coordinates) {
  return checkpoint.numbers("sgd_state/k", weights_slab(shape, replicas, coordinates)).data;
}

}  // namespace headflow
