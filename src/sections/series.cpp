#include "sections/series.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "restart/checkpoints.hpp"

namespace headflow {
namespace {

using Values = std::vector<double>;

/// What is written of a state, with its axes after time (and replica).
struct StateVariable {
  const char* name;
  std::vector<std::string> axes;
  const char* long_name;
  bool averaged;  ///< whether its mean and standard deviation over replicas are written
  Values (*values)(const State&);
};

const std::vector<StateVariable>& state_variables() {
  static const std::vector<StateVariable> variables = {
      {"m",
       {"head", "feature"},
       "overlap of head and spike, m = k . k*",
       true,
       [](const State& s) { return flat(s.order.m); }},
      {"r",
       {"head", "head_b"},
       "overlap of heads beyond the spikes, r = q - m m'",
       true,
       [](const State& s) { return flat(s.order.r); }},
      {"u",
       {"head", "head_b"},
       "components of the heads outside the span of the spikes",
       false,
       [](const State& s) {
         return flat(Matrix(s.parameters.K.rightCols(s.parameters.K.rows())));
       }},
      {"q",
       {"head", "head_b"},
       "overlap of heads, q = k . k'",
       true,
       [](const State& s) { return flat(s.order.q); }},
      {"b",
       {"head"},
       "bias of the head",
       true,
       [](const State& s) { return flat(s.parameters.b); }},
      {"v",
       {},
       "scale of the attention",
       true,
       [](const State& s) { return Values{s.parameters.v}; }},
      {"loss",
       {},
       "population loss E(m, r, b, v)",
       true,
       [](const State& s) { return Values{s.loss.mean.loss}; }},
      {"loss_stderr",
       {},
       "standard error of the loss, from replicates of the samples",
       false,
       [](const State& s) { return Values{s.loss.loss_stderr}; }},
      {"gradient_norm",
       {},
       "Euclidean norm of dE/d(K, b, v)",
       true,
       [](const State& s) { return Values{s.loss.gradient_norm}; }},
      {"gradient_norm_stderr",
       {},
       "standard error of the gradient norm, from replicates of the samples",
       false,
       [](const State& s) { return Values{s.loss.gradient_norm_stderr}; }},
      {"cosine",
       {"head", "head_b"},
       "cosine similarity of heads, q_hh' / sqrt(q_hh q_h'h')",
       true,
       [](const State& s) { return flat(cosine_similarity(s.order.q)); }}};
  return variables;
}

const Dimension time_axis{
    .name = "time", .values = {}, .unlimited = true, .long_name = "time t = learning rate * steps"};

void add_heads_and_features(DataGroup& group, const Shape& shape) {
  group.dimensions.push_back(counted("head", shape.heads, "head h"));
  group.dimensions.push_back(counted("head_b", shape.heads, "second head h'"));
  group.dimensions.push_back(counted("feature", shape.features, "feature f"));
  group.dimensions.push_back(counted("feature_b", shape.features, "second feature f'"));
}

std::vector<std::string> with(std::vector<std::string> first,
                              const std::vector<std::string>& more) {
  first.insert(first.end(), more.begin(), more.end());
  return first;
}

void append_to(DataGroup& group, const std::string& name, const Values& values) {
  auto& data = variable(group, name).data;
  data.insert(data.end(), values.begin(), values.end());
}

constexpr const char* gram_name = "Gram matrix of the spikes, k* . k*'";

/// Appends one variable of all replicas and, if it is averaged, its mean and standard deviation
/// over them.
void append_replicas(DataGroup& group, const std::string& name, bool averaged,
                     const std::vector<Values>& all) {
  for (const Values& one : all) append_to(group, name, one);
  if (!averaged) return;
  const auto replicas = static_cast<double>(all.size());
  Values mean(all[0].size(), 0.0);
  Values deviation(all[0].size(), std::numeric_limits<double>::quiet_NaN());
  for (const Values& one : all)
    for (std::size_t i = 0; i < one.size(); ++i) mean[i] += one[i] / replicas;
  for (std::size_t i = 0; i < mean.size() && all.size() > 1; ++i) {
    double sum = 0;
    for (const Values& one : all) sum += (one[i] - mean[i]) * (one[i] - mean[i]);
    deviation[i] = std::sqrt(sum / (replicas - 1));
  }
  append_to(group, name + "_mean", mean);
  append_to(group, name + "_std", deviation);
}

}  // namespace

Variable& variable(DataGroup& group, const std::string& name) {
  return *std::find_if(group.variables.begin(), group.variables.end(),
                       [&](const Variable& v) { return v.name == name; });
}

void add_variable(DataGroup& group, const std::string& name, std::vector<std::string> axes,
                  const std::string& long_name, Values data) {
  group.variables.push_back({name, std::move(axes), std::move(data), "1", long_name});
}

void add_variable(DataGroup& group, const std::string& name, const std::vector<std::string>& axes,
                  const std::string& long_name, const std::vector<Measured>& numbers) {
  Values values, errors;
  for (const Measured& one : numbers) {
    values.push_back(one.value);
    errors.push_back(one.stderr_);
  }
  add_variable(group, name, axes, long_name, values);
  add_variable(group, name + "_stderr", axes,
               long_name + ": standard error, from replicates of the samples", errors);
}

Dimension counted(const std::string& name, std::int64_t count, const std::string& long_name) {
  Dimension dimension{.name = name, .values = {}, .long_name = long_name};
  for (std::int64_t i = 1; i <= count; ++i) dimension.values.push_back(static_cast<double>(i));
  return dimension;
}

void fill_states(DataGroup& group, const Shape& shape, const std::string& axis,
                 const std::vector<State>& states) {
  group.dimensions = {counted(axis, static_cast<std::int64_t>(states.size()), axis)};
  group.variables.clear();
  add_heads_and_features(group, shape);
  for (const auto& [name, axes, long_name, averaged, values] : state_variables()) {
    add_variable(group, name, with({axis}, axes), long_name);
    for (const State& state : states) append_to(group, name, values(state));
  }
}

FlowSeries::FlowSeries(DataGroup& group, const Shape& shape, const Matrix& spike_gram,
                       const Prior& prior, double split_threshold)
    : group_(group), rule_(prior, split_threshold), split_threshold_(split_threshold) {
  group.dimensions = {time_axis};
  add_heads_and_features(group, shape);
  for (const auto& [name, axes, long_name, averaged, values] : state_variables())
    add_variable(group, name, with({"time"}, axes), long_name);
  add_variable(group, "step_size", {"time"}, "step of the time stepper that covers this time");
  add_variable(group, "side", {"time", "head", "feature"},
               "side of the feature that the head is on: -1, 1, or 0 while undecided");
  add_variable(group, "evenness", {"time", "feature"},
               "of the split over the two sides: 1 half and half, 0 all on one");
  add_variable(group, "combinations", {"time"},
               "different combinations of sides among heads, of the features that have split");
  add_variable(group, "undecided", {"time"}, "heads on neither side of a feature that has split");
  add_variable(group, "excursions", {"time", "head", "feature"},
               "changes of side so far, after the feature's split");
  add_variable(group, "spike_gram", {"feature", "feature_b"}, gram_name, flat(spike_gram));
  add_variable(group, "alignment_time", {},
               "time at which |mean over heads of m| reaches half its plateau");
  add_variable(group, "split_time", {"feature"},
               fmt::format("time at which the spread of m over heads reaches {}", split_threshold));
  add_variable(group, "growth_rate", {"feature"},
               fmt::format("mean growth rate of that spread from {:g} to {:g}",
                           0.01 * split_threshold, 0.1 * split_threshold));
}

void FlowSeries::append(const FlowRecord& record, const Stages& stages) {
  group_.dimensions[0].values.push_back(record.time);
  for (const auto& [name, axes, long_name, averaged, values] : state_variables())
    append_to(group_, name, values(record));
  append_to(group_, "step_size", {record.step_size});
  variable(group_, "alignment_time").data = {stages.alignment_time};
  variable(group_, "split_time").data = stages.split_time;
  variable(group_, "growth_rate").data = stages.growth_rate;
  const Matrix sides = rule_.sides(record.order.m);
  append_to(group_, "side", flat(sides));
  append_to(group_, "evenness", flat(evenness(sides)));
  const Combinations found =
      combinations(sides, spread_over_heads(record.order.m), split_threshold_);
  append_to(group_, "combinations", {static_cast<double>(found.different)});
  append_to(group_, "undecided", {static_cast<double>(found.undecided)});
  append_to(group_, "excursions", flat(stages.excursions));
}

SgdSeries::SgdSeries(DataGroup& group, const Shape& shape, const Matrix& spike_gram,
                     double split_threshold, std::int64_t replicas)
    : group_(group), shape_(shape), split_threshold_(split_threshold) {
  group.dimensions = {time_axis, counted("replica", replicas, "independent run")};
  add_heads_and_features(group, shape);
  const auto add = [&](const std::string& name, const std::vector<std::string>& axes,
                       const std::string& long_name, bool averaged) {
    add_variable(group, name, with({"time", "replica"}, axes), long_name);
    if (!averaged) return;
    add_variable(group, name + "_mean", with({"time"}, axes), long_name + ": mean over replicas");
    add_variable(group, name + "_std", with({"time"}, axes),
                 long_name + ": standard deviation over replicas");
  };
  for (const auto& [name, axes, long_name, averaged, values] : state_variables())
    add(name, axes, long_name, averaged);
  add("batch_loss", {}, "mean loss of the sequences since the output before", true);
  add_variable(group, "steps", {"time"}, "steps of SGD");
  add_variable(group, "sequences", {"time"}, "sequences that each replica has seen");
  add_variable(group, "sequences_per_second", {"time"},
               "sequences of all replicas in a second of wall time, since the output before");
  variable(group, "sequences_per_second").units = "s-1";
  add_variable(group, "split_time", {"replica", "feature"},
               fmt::format("time at which the spread of m over heads reaches {}, linear between "
                           "outputs",
                           split_threshold),
               Values(static_cast<std::size_t>(replicas * shape.features),
                      std::numeric_limits<double>::quiet_NaN()));
  add_variable(group, "spike_gram", {"feature", "feature_b"}, gram_name, flat(spike_gram));
}

void SgdSeries::append(const SgdRecord& record) {
  group_.dimensions[0].values.push_back(record.time);
  const auto of_all = [&](auto&& values) {
    std::vector<Values> all;
    for (const SgdState& state : record.replicas) all.push_back(values(state));
    return all;
  };
  for (const auto& [name, axes, long_name, averaged, values] : state_variables())
    append_replicas(group_, name, averaged, of_all(values));
  append_replicas(group_, "batch_loss", true,
                  of_all([](const SgdState& state) { return Values{state.batch_loss}; }));
  append_to(group_, "steps", {static_cast<double>(record.steps)});
  append_to(group_, "sequences", {record.sequences});
  append_to(group_, "sequences_per_second", {record.sequences_per_second});
  find_splits();
}

void SgdSeries::find_splits() {
  const auto& times = group_.dimensions[0].values;
  const Values& m = variable(group_, "m").data;
  Values& split = variable(group_, "split_time").data;
  const auto F = static_cast<std::size_t>(shape_.features);
  const std::size_t size = static_cast<std::size_t>(shape_.heads) * F;
  const std::size_t replicas = split.size() / F;
  const auto spread = [&](std::size_t record, std::size_t replica) {
    return spread_over_heads(Eigen::Map<const Matrix>(&m[(record * replicas + replica) * size],
                                                      shape_.heads, shape_.features));
  };
  const std::size_t last = times.size() - 1;
  for (std::size_t replica = 0; replica < replicas; ++replica) {
    const Vector now = spread(last, replica);
    for (std::size_t f = 0; f < F; ++f) {
      double& time = split[replica * F + f];
      const double reached = now[static_cast<Eigen::Index>(f)];
      if (!std::isnan(time) || !(reached >= split_threshold_)) continue;
      time = times[last];
      if (last == 0) continue;
      const double before = spread(last - 1, replica)[static_cast<Eigen::Index>(f)];
      time -= (times[last] - times[last - 1]) * (reached - split_threshold_) / (reached - before);
    }
  }
}

namespace {

std::pair<std::size_t, std::size_t> slab_of(IndexRange range) {
  return {static_cast<std::size_t>(range.begin), static_cast<std::size_t>(range.size())};
}

Slab weights_slab(const Shape& shape, IndexRange replicas, IndexRange coordinates) {
  const auto [first_replica, replica_count] = slab_of(replicas);
  const auto [first, count] = slab_of(coordinates);
  return {{first_replica, 0, first}, {replica_count, static_cast<std::size_t>(shape.heads), count}};
}

/// A group with axes of replicas, heads and coordinates and the weights k.
void add_weights(DataGroup& group, const Shape& shape, std::int64_t dimension,
                 std::int64_t replicas, const SgdWeights& weights) {
  group.dimensions.push_back(counted("replica", replicas, "independent run"));
  group.dimensions.push_back(counted("head", shape.heads, "head h"));
  group.dimensions.push_back(
      counted("coordinate", dimension, "coordinate of the tokens' space R^D"));
  add_variable(group, "k", {"replica", "head", "coordinate"}, "weights of the heads", weights.k);
  group.variables.back().slab = weights_slab(shape, weights.replicas, weights.coordinates);
}

}  // namespace

DataGroup weights_group(const Shape& shape, std::int64_t dimension, const SgdRecord& record,
                        const SgdWeights& weights) {
  DataGroup group{.name = "sgd", .dimensions = {}, .variables = {}};
  add_weights(group, shape, dimension, static_cast<std::int64_t>(record.replicas.size()), weights);
  group.dimensions.push_back(counted("feature", shape.features, "feature f"));
  const auto [first, count] = slab_of(weights.spike_coordinates);
  add_variable(group, "spikes", {"feature", "coordinate"}, "spikes k*", weights.spikes);
  group.variables.back().slab = {{0, first}, {static_cast<std::size_t>(shape.features), count}};
  add_variable(group, "b", {"replica", "head"}, "bias of the head");
  add_variable(group, "v", {"replica"}, "scale of the attention");
  for (const SgdState& state : record.replicas) {
    append_to(group, "b", flat(state.parameters.b));
    append_to(group, "v", {state.parameters.v});
  }
  add_variable(group, "time", {}, "time t = learning rate * steps", Values{record.time});
  add_variable(group, "steps", {}, "steps of SGD", Values{static_cast<double>(record.steps)});
  return group;
}

DataGroup sgd_state_group(const SgdProblem& problem, std::int64_t replicas, const SgdSaved& saved) {
  DataGroup group = state_group("sgd_state", saved.numbers);
  if (problem.engine == Engine::overlaps) return group;  // the numbers are all there is
  add_weights(group, problem.shape, problem.dimension, replicas, saved.weights);
  return group;
}

std::vector<double> read_weights(const DataReader& checkpoint, const Shape& shape,
                                 IndexRange replicas, IndexRange coordinates) {
  return checkpoint.numbers("sgd_state/k", weights_slab(shape, replicas, coordinates)).data;
}

}  // namespace headflow
