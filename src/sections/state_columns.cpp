#include "sections/state_columns.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/progress.hpp"

namespace headflow {

const std::vector<StateColumn>& state_columns() {
  static const std::vector<StateColumn> columns = {
      {{"m",
        {"head", "feature"},
        "overlap of head and spike, m = k . k*",
        [](const State& s) { return flat(s.order.m); }},
       true,
       true},
      {{"r",
        {"head", "head_b"},
        "overlap of heads outside the span of the spikes, r = u u'",
        [](const State& s) { return flat(s.order.r); }}},
      {{"u",
        {"head", "head_b"},
        "components of the heads outside the span of the spikes",
        [](const State& s) {
          return flat(Matrix(s.parameters.K.rightCols(s.parameters.K.rows())));
        }},
       false},
      {{"q",
        {"head", "head_b"},
        "overlap of heads, q = k . k'",
        [](const State& s) { return flat(s.order.q); }},
       true,
       true},
      {{"b", {"head"}, "bias of the head", [](const State& s) { return flat(s.parameters.b); }}},
      {{"v", {}, "scale of the attention", [](const State& s) { return Values{s.parameters.v}; }}},
      {{"loss",
        {},
        "population loss E(m, r, b, v)",
        [](const State& s) { return Values{s.loss.mean.loss}; }},
       true,
       true},
      {{"loss_stderr",
        {},
        "standard error of the loss, from replicates of the samples",
        [](const State& s) { return Values{s.loss.loss_stderr}; }},
       false},
      {{"gradient_norm",
        {},
        "Euclidean norm of d/d(K, b, v) of what is trained, E + (weight_decay / 2) sum_h q_hh",
        [](const State& s) { return Values{s.loss.gradient_norm}; }}},
      {{"gradient_norm_stderr",
        {},
        "standard error of the gradient norm, from replicates of the samples",
        [](const State& s) { return Values{s.loss.gradient_norm_stderr}; }},
       false},
      {{"cosine",
        {"head", "head_b"},
        "cosine similarity of heads, q_hh' / sqrt(q_hh q_h'h')",
        [](const State& s) { return flat(cosine_similarity(s.order.q)); }}}};
  return columns;
}

void add_heads_and_features(DataGroup& group, const Shape& shape) {
  group.dimensions.push_back(counted("head", shape.heads, "head h"));
  group.dimensions.push_back(counted("head_b", shape.heads, "second head h'"));
  group.dimensions.push_back(counted("feature", shape.features, "feature f"));
  group.dimensions.push_back(counted("feature_b", shape.features, "second feature f'"));
}

Dimension time_axis() {
  return {.name = "time",
          .values = {},
          .unlimited = true,
          .long_name = "time t = learning rate * steps"};
}

/// Numbers of a variable at one time, or of one without time.
static std::size_t numbers_of(const DataGroup& group, const Variable& variable) {
  std::size_t count = 1;
  for (const auto& axis : variable.axes)
    if (axis != "time") count *= group.dimension(axis).values.size();
  return count;
}

static bool over_time(const Variable& variable) {
  return !variable.axes.empty() && variable.axes[0] == "time";
}

void reserve_records(DataGroup& group, std::size_t records) {
  for (Variable& variable : group.variables)
    if (over_time(variable)) variable.data.reserve(records * numbers_of(group, variable));
}

double bytes_of_records(const DataGroup& group, std::size_t records) {
  double numbers = 0;
  for (const Variable& variable : group.variables)
    numbers += static_cast<double>(numbers_of(group, variable)) *
               (over_time(variable) ? static_cast<double>(records) : 1.0);
  return sizeof(double) * numbers;
}

double bytes_on_disk(const DataGroup& group, std::size_t records) {
  constexpr double description = 3500;
  double numbers = 0;
  for (const Variable& variable : group.variables) {
    const std::size_t record = numbers_of(group, variable);
    const std::size_t chunk = records_in_chunk(record);
    const std::size_t kept = over_time(variable) ? (records + chunk - 1) / chunk * chunk : 1;
    numbers += static_cast<double>(record * kept);
  }
  return sizeof(double) * numbers + description * static_cast<double>(group.variables.size());
}

double bytes_of_state(const Shape& shape) {
  const double H = shape.heads, F = shape.features;
  constexpr double allocations = 1500;
  return sizeof(double) * (2 * H * (F + H) + H * F + 3 * H * H + 4 * H) + allocations;
}

Variable spike_gram(const Model& model) {
  return {.name = "spike_gram",
          .axes = {"feature", "feature_b"},
          .data = flat(model.spike_gram()),
          .long_name = "Gram matrix of the spikes, k* . k*'"};
}

void fill_states(DataGroup& group, const Shape& shape, const std::string& axis,
                 const std::vector<State>& states) {
  group.dimensions = {counted(axis, static_cast<std::int64_t>(states.size()), axis)};
  group.variables.clear();
  add_heads_and_features(group, shape);
  for (const StateColumn& column : state_columns()) {
    Variable& variable = group.variables.emplace_back(variable_of(column, {axis}));
    for (const State& state : states) append(variable.data, column.values(state));
  }
}

namespace {

/// Pairs of indices of the same time, t = 0 left out.
std::vector<std::pair<std::size_t, std::size_t>> common_times(const std::vector<double>& flow,
                                                              const std::vector<double>& sgd) {
  std::vector<std::pair<std::size_t, std::size_t>> common;
  for (std::size_t i = 0; i < sgd.size(); ++i) {
    const auto found = std::lower_bound(flow.begin(), flow.end(), sgd[i]);
    if (sgd[i] > 0 && found != flow.end() && *found == sgd[i])
      common.emplace_back(found - flow.begin(), i);
  }
  return common;
}

}  // namespace

std::string compare(const Trajectory& flow, const Trajectory& sgd, std::int64_t replicas,
                    const std::string& advice) {
  constexpr double far = 10;  // spreads
  const auto common = common_times(flow.times, sgd.times);
  if (common.empty()) return "";
  std::string text = fmt::format("largest deviation of SGD from the flow at {}\n",
                                 with_noun(common.size(), "common time"));
  std::vector<std::size_t> order(flow.lines.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_partition(order.begin(), order.end(), [&](std::size_t line) {
    return flow.lines[line].mean.size() == flow.times.size();  // a single number comes first
  });
  double farthest = 0;
  for (const std::size_t line : order) {
    const auto& [name, mean, deviation] = sgd.lines[line];
    const std::size_t entries = mean.size() / sgd.times.size();
    double largest = 0, when = 0, variance = 0;
    for (const auto& [i, j] : common)
      for (std::size_t k = 0; k < entries; ++k) {
        const double size =
            std::abs(mean[j * entries + k] - flow.lines[line].mean[i * entries + k]);
        variance += deviation[j * entries + k] * deviation[j * entries + k];
        if (size < largest) continue;
        largest = size;
        when = sgd.times[j];
      }
    text += fmt::format("  {:<5} {:.4f} at t = {:.4g}", name, largest, when);
    if (replicas > 1) {
      const double spread = std::sqrt(variance / static_cast<double>(common.size() * entries));
      text += fmt::format(", {:.1f} times the rms spread {:.2g} of {} replicas", largest / spread,
                          spread, replicas);
      farthest = std::max(farthest, largest / spread);
    }
    text += "\n";
  }
  return farthest > far ? text + advice : text;
}

}  // namespace headflow
