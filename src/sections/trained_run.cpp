#include "sections/trained_run.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "headflow/train/bayes_risk.hpp"
#include "sections/series.hpp"
#include "headflow/train/heads.hpp"

namespace headflow {
namespace {

using Values = std::vector<double>;

std::vector<double> numbers_of(const Minimum& minimum) {
  const Parameters& p = minimum.parameters;
  Values all(p.K.data(), p.K.data() + p.K.size());
  all.insert(all.end(), p.b.begin(), p.b.end());
  all.insert(all.end(), {p.v, minimum.loss, minimum.gradient_norm,
                         static_cast<double>(minimum.evaluations), minimum.converged ? 1.0 : 0.0});
  return all;
}

Minimum minimum_of(const double* next, const Shape& shape) {
  Minimum minimum{.parameters = Parameters::zero(shape)};
  for (double& x : minimum.parameters.K.reshaped<Eigen::RowMajor>()) x = *next++;
  for (double& x : minimum.parameters.b) x = *next++;
  minimum.parameters.v = *next++;
  minimum.loss = *next++;
  minimum.gradient_norm = *next++;
  minimum.evaluations = static_cast<std::int64_t>(*next++);
  minimum.converged = *next++ != 0;
  return minimum;
}

}  // namespace

bool TrainedRun::train(const Parameters* end_of_flow, const Snapshot& from,
                       const std::function<Request()>& poll,
                       const std::function<void(const Snapshot&, Request)>& saved) {
  const TrainConfiguration& train = *configuration_.train;
  const std::vector<Parameters> starts = train.from_flow ? std::vector{*end_of_flow} : train.starts;
  PopulationLoss fresh(comm_, configuration_.shape, configuration_.activation,
                       configuration_.signal(), configuration_.test_sampling);
  Values state;
  const auto add = [&](Minimum minimum) {
    const Values numbers = numbers_of(minimum);
    state.insert(state.end(), numbers.begin(), numbers.end());
    LossStatistics loss = fresh.statistics(minimum.parameters);
    trained_.push_back({std::move(minimum), std::move(loss)});
  };
  SearchLog log;  // of the search that is running
  if (from.has("log")) log = from.list("log");
  if (from.has("minima")) {
    const auto& all = from.list("minima");
    const std::size_t size = numbers_of({.parameters = starts[0]}).size();
    for (std::size_t i = 0; i < all.size(); i += size)
      add(minimum_of(&all[i], configuration_.shape));
  }
  group_ = &content_.add_group("train");
  const auto save = [&](Request request) {
    Snapshot snapshot;
    snapshot.put("minima", state);
    snapshot.put("log", log);
    saved(snapshot, request);
  };
  while (trained_.size() < starts.size()) {
    const auto between = [&](std::int64_t, double) {
      const Request request = poll();
      if (request == Request::checkpoint) save(request);
      if (request == Request::stop) throw Interrupt{};
    };
    try {
      add(minimise(loss_, starts[trained_.size()], train.options, between, &log));
    } catch (const Interrupt&) {
      write_train_group();
      save(Request::stop);
      return false;
    }
    log.clear();
    write_train_group();
    save(Request::none);
  }
  write_train_group();
  if (talk_) {
    const Trained& one = trained_[best()];
    fmt::print(
        "trained: loss {:.6f} +- {:.1g} on fresh samples, {:.6f} on its own, gradient norm "
        "{:.2g}, {} evaluations",
        one.fresh.mean.loss, one.fresh.loss_stderr, one.minimum.loss, one.minimum.gradient_norm,
        one.minimum.evaluations);
    if (starts.size() > 1) fmt::print("; best of {} starts", starts.size());
    const auto missed = std::count_if(trained_.begin(), trained_.end(),
                                      [](const Trained& t) { return !t.minimum.converged; });
    if (missed > 0)
      fmt::print("; {} ended above the gradient tolerance {:g}", missed,
                 train.options.gradient_tolerance);
    fmt::print("\n");
  }
  return true;
}

std::size_t TrainedRun::best() const {
  return static_cast<std::size_t>(std::min_element(trained_.begin(), trained_.end(),
                                                   [](const Trained& a, const Trained& b) {
                                                     return a.fresh.mean.loss < b.fresh.mean.loss;
                                                   }) -
                                  trained_.begin());
}

void TrainedRun::write_train_group() {
  std::vector<State> states;
  for (const Trained& one : trained_)
    states.push_back({one.minimum.parameters,
                      order_parameters(one.minimum.parameters.K, configuration_.start.spike_factor),
                      one.fresh});
  fill_states(*group_, configuration_.shape, "start", states);
  const auto add = [&](const char* name, const char* long_name, auto&& value) {
    Values values;
    for (const Trained& one : trained_) values.push_back(static_cast<double>(value(one)));
    group_->variables.push_back({name, {"start"}, values, "1", long_name});
  };
  add("sampled_loss", "population loss on the samples that were trained on",
      [](const Trained& t) { return t.minimum.loss; });
  add("sampled_gradient_norm", "gradient norm on the samples that were trained on",
      [](const Trained& t) { return t.minimum.gradient_norm; });
  add("evaluations", "evaluations of loss and gradient",
      [](const Trained& t) { return t.minimum.evaluations; });
  add("converged", "whether the gradient norm has fallen under its tolerance",
      [](const Trained& t) { return t.minimum.converged ? 1 : 0; });
  if (!trained_.empty())
    group_->variables.push_back({"best",
                                 {},
                                 {static_cast<double>(best() + 1)},
                                 "1",
                                 "number of the start with the smallest loss on fresh samples"});
  update_();
}

bool TrainedRun::bayes(const std::function<Request()>& poll) {
  const auto& [standard_error, samples] = *configuration_.bayes;
  BayesRisk found;
  try {
    found = bayes_risk(comm_, configuration_.shape.tokens, configuration_.signal(),
                       configuration_.test_sampling, standard_error, samples, [&] {
                         if (poll() == Request::stop) throw Interrupt{};
                       });
  } catch (const Interrupt&) {
    return false;
  }
  DataGroup& group = content_.add_group("bayes");
  group.variables = {{"risk", {}, {found.risk}, "1", "Bayes risk"},
                     {"risk_stderr",
                      {},
                      {found.stderr_},
                      "1",
                      "standard error of the risk, from replicates of the samples"},
                     {"samples", {}, {static_cast<double>(found.samples)}, "1", "samples"}};
  if (talk_)
    fmt::print("Bayes risk: {:.7f} +- {:.1g}, {} samples{}\n", found.risk, found.stderr_,
               found.samples,
               found.stderr_ > standard_error ? " (more would be over bayes.samples)" : "");
  return true;
}

std::vector<Parameters> TrainedRun::heads(const Parameters* end_of_flow) const {
  std::vector<Parameters> heads;
  for (const Trained& one : trained_) heads.push_back(one.minimum.parameters);
  if (heads.empty()) heads.push_back(*end_of_flow);
  return heads;
}

void TrainedRun::prune(const Parameters* end_of_flow) {
  const Shape& shape = configuration_.shape;
  DataGroup& group = content_.add_group("prune");
  Values order, loss, error;
  const auto all = heads(end_of_flow);
  for (const Parameters& parameters : all) {
    const Pruning found = headflow::prune(comm_, shape, configuration_.activation, parameters,
                                          configuration_.signal(), configuration_.test_sampling);
    for (const int head : found.order) order.push_back(head + 1);
    loss.insert(loss.end(), found.loss.begin(), found.loss.end());
    error.insert(error.end(), found.loss_stderr.begin(), found.loss_stderr.end());
  }
  group.dimensions = {counted("start", static_cast<std::int64_t>(all.size()), "trained heads"),
                      counted("left", shape.heads, "all heads, one fewer, .."),
                      counted("removal", shape.heads - 1, "removal of a head")};
  group.variables = {{"loss", {"start", "left"}, loss, "1", "loss with 0, 1, .. heads removed"},
                     {"loss_stderr", {"start", "left"}, error, "1", "its standard error"}};
  if (shape.heads > 1)
    group.variables.push_back({"order", {"start", "removal"}, order, "1", "head that was removed"});
  if (talk_) {
    fmt::print("pruned: loss with 0, 1, .. heads removed");
    for (int i = 0; i < shape.heads; ++i) fmt::print(" {:.4f}", loss[static_cast<std::size_t>(i)]);
    fmt::print("{}\n", all.size() > 1 ? " (first start)" : "");
  }
}

void TrainedRun::maps(const Parameters* end_of_flow) {
  const auto& [sequences, seed] = *configuration_.maps;
  const Shape& shape = configuration_.shape;
  const auto all = heads(end_of_flow);
  const AttentionMaps found =
      attention_maps(shape, configuration_.activation, all[trained_.empty() ? 0 : best()],
                     configuration_.signal(), sequences, seed);
  DataGroup& group = content_.add_group("maps");
  group.dimensions = {counted("sequence", sequences, "sequence of the prior"),
                      counted("head", shape.heads, "head h"),
                      counted("token", shape.tokens, "token l"),
                      counted("feature", shape.features, "feature f")};
  group.variables = {
      {"sigma", {"sequence", "head", "token"}, found.sigma, "1", "attention sigma_hl of the head"},
      {"A", {"sequence", "token"}, found.A, "1", "attention A_l, the mean over heads"},
      {"theta", {"sequence", "feature"}, found.theta, "1", "feature weights"},
      {"relevant", {"sequence"}, found.place, "1", "place eps of the relevant token"}};
}

}  // namespace headflow
