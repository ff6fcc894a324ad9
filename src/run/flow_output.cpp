#include "headflow/run/flow_output.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace headflow {
namespace {

using Clock = std::chrono::steady_clock;

Dimension counted(const std::string& name, int count, const std::string& long_name) {
  Dimension dimension{.name = name, .values = {}, .long_name = long_name};
  for (int i = 1; i <= count; ++i) dimension.values.push_back(i);
  return dimension;
}

double seconds_since(Clock::time_point then) {
  return std::chrono::duration<double>(Clock::now() - then).count();
}

}  // namespace

FlowOutput::FlowOutput(const Communicator& comm, std::string path, double every, const Shape& shape,
                       const Matrix& spike_gram, double split_threshold,
                       std::map<std::string, std::string> attributes)
    : comm_(comm), path_(std::move(path)), every_(every), last_write_(Clock::now()) {
  content_.attributes = std::move(attributes);
  DataGroup& flow = content_.groups.emplace_back();
  flow.name = "flow";
  flow.dimensions = {{.name = "time",
                      .values = {},
                      .unlimited = true,
                      .long_name = "time t = learning rate * steps"},
                     counted("head", shape.heads, "head h"),
                     counted("head_b", shape.heads, "second head h'"),
                     counted("feature", shape.features, "feature f"),
                     counted("feature_b", shape.features, "second feature f'")};
  const auto series = [&](const char* name, std::vector<std::string> axes, const char* long_name) {
    axes.insert(axes.begin(), "time");
    flow.variables.push_back({name, std::move(axes), {}, "1", long_name});
  };
  series("m", {"head", "feature"}, "overlap of head and spike, m = k . k*");
  series("r", {"head", "head_b"}, "overlap of heads beyond the spikes, r = q - m m'");
  series("u", {"head", "head_b"}, "components of the heads outside the span of the spikes");
  series("q", {"head", "head_b"}, "overlap of heads, q = k . k'");
  series("b", {"head"}, "bias of the head");
  series("v", {}, "scale of the attention");
  series("loss", {}, "population loss E(m, r, b, v)");
  series("loss_stderr", {}, "standard error of the loss, from replicates");
  series("gradient_norm", {}, "Euclidean norm of dE/d(K, b, v)");
  series("gradient_norm_stderr", {}, "standard error of the gradient norm, from replicates");
  series("step_size", {}, "step of the time stepper that covers this time");
  series("cosine", {"head", "head_b"}, "cosine similarity of heads, q_hh' / sqrt(q_hh q_h'h')");
  flow.variables.push_back({"spike_gram",
                            {"feature", "feature_b"},
                            {spike_gram.data(), spike_gram.data() + spike_gram.size()},
                            "1",
                            "Gram matrix of the spikes, k* . k*'"});
  flow.variables.push_back({"alignment_time",
                            {},
                            {},
                            "1",
                            "time at which |mean over heads of m| reaches half its plateau"});
  flow.variables.push_back(
      {"split_time",
       {"feature"},
       {},
       "1",
       fmt::format("time at which the spread of m over heads reaches {}", split_threshold)});
}

Variable& FlowOutput::variable(const std::string& name) {
  auto& variables = content_.groups[0].variables;
  return *std::find_if(variables.begin(), variables.end(),
                       [&](const Variable& v) { return v.name == name; });
}

void FlowOutput::append(const std::string& name, const double* values, Eigen::Index count) {
  auto& data = variable(name).data;
  data.insert(data.end(), values, values + count);
}

void FlowOutput::record(const FlowRecord& record, const Stages& stages) {
  const auto matrix = [&](const char* name, const Matrix& x) { append(name, x.data(), x.size()); };
  const auto number = [&](const char* name, double x) { append(name, &x, 1); };
  content_.groups[0].dimensions[0].values.push_back(record.time);
  matrix("m", record.order.m);
  matrix("r", record.order.r);
  matrix("u", record.parameters.K.rightCols(record.order.q.rows()));
  matrix("q", record.order.q);
  append("b", record.parameters.b.data(), record.parameters.b.size());
  number("v", record.parameters.v);
  number("loss", record.loss.mean.loss);
  number("loss_stderr", record.loss.loss_stderr);
  number("gradient_norm", record.loss.gradient_norm);
  number("gradient_norm_stderr", record.loss.gradient_norm_stderr);
  number("step_size", record.step_size);
  matrix("cosine", cosine_similarity(record.order.q));
  stages_ = stages;
  const bool first = content_.groups[0].dimensions[0].values.size() == 1;
  const bool due = seconds_since(last_write_) > std::max(every_, 50 * write_seconds_);
  if (first || comm_.max(due ? 1 : 0) != 0) write();
}

void FlowOutput::write() {
  const auto begin = Clock::now();
  variable("alignment_time").data = {stages_.alignment_time};
  variable("split_time").data = stages_.split_time;
  write_data_file(comm_, path_, content_);
  write_seconds_ = seconds_since(begin);
  last_write_ = Clock::now();
}

}  // namespace headflow
