#include "sections/saddle_section.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "core/progress.hpp"
#include "headflow/core/error.hpp"
#include "headflow/flow/output_times.hpp"
#include "sections/cost.hpp"
#include "sections/flow_section.hpp"
#include "sections/population_section.hpp"
#include "sections/run.hpp"
#include "sections/saddle_columns.hpp"
#include "sections/schedule_section.hpp"
#include "sections/sgd_section.hpp"
#include "sections/start_section.hpp"

namespace headflow {

void SaddleSection::declare_keys(KeyVisitor& visitor) {
  visitor.key(
      {.name = "end_time",
       .help = "t after which the flow on the unspecialized manifold makes no further step; "
               "default: flow.end_time",
       .change = Change::allowed},
      end_time_, positive);
  options_.declare_keys(visitor);
  visitor.key(
      {.name = "dimensions",
       .help =
           "values of D for which the law of the split time is predicted; default 1e2, 1e4, .., "
           "1e12, and sgd.dimension",
       .change = Change::allowed},
      dimensions_, positive);
  visitor.key({"learning_rate_noise",
               "kappa = learning rate * D / batch of SGD, whose noise adds to the noise of the "
               "start; \"from-flow\", \"from-sgd\": kappa of [flow], of [sgd]"},
              learning_rate_noise_, at_least_zero, {"from-flow", "from-sgd"});
  visitor.key({"starts",
               "starts of runs in that law; \"own\": random heads of norm start.eta in R^D for "
               "each run of SGD; \"shared\": [start] for all"},
              starts_, {"own", "shared"});
}

void SaddleSection::prepare(Configuration& input) {
  const auto& flow = input.prepared<FlowSection>();
  const auto& sgd = input.section<SgdSection>();
  if (!dimensions_) {
    dimensions_ = {1e2, 1e4, 1e6, 1e8, 1e10, 1e12};
    if (sgd.given) dimensions_->push_back(static_cast<double>(sgd.dimension()));
    std::sort(dimensions_->begin(), dimensions_->end());
    dimensions_->erase(std::unique(dimensions_->begin(), dimensions_->end()), dimensions_->end());
  }
  if (!end_time_) end_time_ = flow.end_time;
  options_.end_time = sgd.end_beside(*end_time_);
  split_threshold_ = flow.options.split_threshold;
  if (!given) return;
  const Model& model = input.model();
  if (model.shape.heads < 2)
    throw InputError("[saddle] is about heads that split: it needs attention.heads >= 2, found 1");
  require_training(input);
  options_.kappa = kappa(input);
  if (options_.kappa > 0 && input.section<ScheduleSection>().given)
    throw InputError(fmt::format(
        "[saddle] takes the learning rate as constant, and with it kappa = {:.3g}: with "
        "[schedule] it needs saddle.learning_rate_noise = 0",
        options_.kappa));
  require_size(input);
  if (options_.kappa > 0) input.section<PopulationSection>().step_moments = true;
  if (flow.given && flow.options.resample > 0)
    throw InputError(
        fmt::format("[saddle] takes the loss on fixed samples: it needs "
                    "population.resample = 0, found {}",
                    flow.options.resample));
}

double SaddleSection::kappa(Configuration& input) const {
  const auto& flow = input.section<FlowSection>();
  if (learning_rate_noise_ == NumberOrWord("from-flow")) return flow.given ? flow.options.kappa : 0;
  return input.section<SgdSection>().kappa_for(name(), learning_rate_noise_);
}

void SaddleSection::require_training(const Configuration& input) const {
  const Training& training = input.model().training;
  const Vector& b = input.section<StartSection>().parameters().b;
  if (!training.k)
    throw InputError("[saddle] is about heads that split: it needs \"k\" in attention.train");
  if (training.b == 0 && !b.isConstant(b[0], 0))
    throw InputError(
        "[saddle] is about equal heads: it needs equal biases in start.b, or \"b\" in "
        "attention.train");
}

void SaddleSection::require_size(const Configuration& input) const {
  constexpr std::size_t most = 5000;         // numbers, whose Hessian of every replicate is kept
  constexpr std::size_t most_moments = 300;  // whose covariance is summed over all samples
  const Model& model = input.model();
  const auto require = [&](std::size_t found, std::size_t allowed, const char* what) {
    if (found > allowed)
      throw InputError(
          fmt::format("[saddle] {}, at most {} numbers; heads = {} and features = {} make {}", what,
                      allowed, model.shape.heads, model.shape.features, found));
  };
  require(input.section<StartSection>().parameters().trained_size(model.training), most,
          "has a Hessian in m, u, b and v");
  if (options_.kappa > 0)
    require(order_parameter_count(model.shape, model.training), most_moments,
            "with saddle.learning_rate_noise > 0 has a covariance of m, r, b and v");
}

void SaddleSection::print_cost(CostReport& report) const {
  constexpr double tangent = 3;  // a product with the Hessian, in evaluations
  const Configuration& input = report.input();
  const double each = report.seconds_per_evaluation(input.section<PopulationSection>().sampling);
  const auto trained = static_cast<double>(
      input.section<StartSection>().parameters().trained_size(input.model().training));
  const double coordinates = UnspecializedManifold(input.model()).head_coordinate_count();
  fmt::print("# saddle                     {:.3g} s a step; twice, for the errors\n",
             each * (7 + 2 * (1 + tangent * coordinates)));
  const auto replicates =
      static_cast<double>(input.section<PopulationSection>().sampling.replicates);
  constexpr double entry = 80;  // bytes of a number of a Hessian: its exact sum, and copies
  report.add_samples();
  report.add_memory({.what = "Hessians of the replicates",
                     .each = entry * replicates * trained * trained,
                     .passing = true});
  fmt::print("# a Hessian                  {:.3g} s, 2 for the saddle and one for each plateau\n",
             each * (1 + tangent * trained));
}

SplitQuestion SaddleSection::question(const Run& run, const UnspecializedManifold& manifold) const {
  const auto& start = run.section<StartSection>();
  return {.heads = manifold.head_coordinates(start.parameters()),
          .threshold = split_threshold_,
          .dimensions = *dimensions_,
          .shared = starts_ == "shared",
          .eta = start.eta,
          .biased = manifold.model().training.b > 0};
}

void SaddleSection::run(Run& run) {
  const UnspecializedManifold manifold(run.model());
  const SplitQuestion question = this->question(run, manifold);
  Snapshot state;
  LinearGrowth growth = follow_manifold_saving(run, manifold, state);
  const Prediction prediction = predict(growth, question);
  const Prediction errors = prediction_errors(run, manifold, question, prediction, state);
  SaddleResult result{
      .saddle = find_saddle(run.loss(), manifold, growth.end(), run.without_state()),
      .growth = growth,
      .prediction = prediction,
      .errors = errors,
      .times = {},
      .spread = {}};
  const auto& flow = run.section<FlowSection>();
  result.times = flow.given ? flow.options.output_times
                            : OutputTimes().until("output_times", growth.end_time());
  for (const double t : result.times)
    for (const double log : growth.log_spread(question.heads, t))
      result.spread.push_back(log < 0 ? std::exp(log) : never);
  add_group(run, result);
  if (run.talks()) {
    print(run, result);
    print_law(result);
  }
  if (flow.given) run_plateaus(run);
  run.forget(name());
  run.host().updated();
}

/// The flow on the manifold, whose state at its end is left in `state`.
LinearGrowth SaddleSection::follow_manifold_saving(Run& run, const UnspecializedManifold& manifold,
                                                   Snapshot& state) const {
  state = run.saved_state(name());
  if (!state.empty() && state.number("t") > options_.end_time) state = {};
  const auto save = [&](const std::function<Snapshot()>& snapshot) {
    state = snapshot();
    run.save(state_group("saddle_state", state));
  };
  std::function<Snapshot()> last;
  const auto step = [&](const std::function<Snapshot()>& snapshot) {
    last = snapshot;
    const Request request = run.between_steps();
    if (request == Request::checkpoint) save(last);
    if (request == Request::stop) throw Interrupt{};
  };
  try {
    LinearGrowth growth = follow_manifold(
        run.loss(), manifold, run.section<StartSection>().parameters(), options_, run, step, state);
    if (last) save(last);
    return growth;
  } catch (const Interrupt&) {
    if (last) save(last);
    throw;
  }
}

/// Standard errors of the prediction from those of the replicates of the samples, one after the
/// other. What is known of them is part of the state.
Prediction SaddleSection::prediction_errors(Run& run, const UnspecializedManifold& manifold,
                                            const SplitQuestion& question, Prediction prediction,
                                            Snapshot state) const {
  const auto& start = run.section<StartSection>().parameters();
  const Sampling& sampling = run.section<PopulationSection>().sampling;
  Values errors = prediction.packed();
  const std::size_t size = errors.size();
  const auto replicates = static_cast<std::size_t>(sampling.replicates);
  Values known;
  const Snapshot from = run.saved_state(name());
  if (from.has("predictions") && from.number("predictions_end") == options_.end_time &&
      from.list("predictions_dimensions") == *dimensions_)
    known = from.list("predictions");
  for (std::size_t r = known.size() / size; r < replicates && replicates > 1; ++r) {
    PopulationLoss one(run.comm(), run.model(), sampling.replicate(static_cast<int>(r)),
                       options_.kappa > 0, run.without_state());
    const LinearGrowth growth =
        follow_manifold(one, manifold, start, options_, run.without_state());
    append(known, predict(growth, question).packed());
    state.put("predictions", known);
    state.put("predictions_end", options_.end_time);
    state.put("predictions_dimensions", *dimensions_);
    run.save(state_group("saddle_state", state));
  }
  for (std::size_t i = 0; i < size; ++i) {
    Values each;
    for (std::size_t r = 0; r < replicates && replicates > 1; ++r)
      each.push_back(known[r * size + i]);
    errors[i] = standard_error(each);
  }
  prediction.unpack(errors);
  return prediction;
}

void SaddleSection::add_group(Run& run, const SaddleResult& result) const {
  DataGroup& group = run.add_group(name());
  const auto count = [](const auto& list) { return static_cast<std::int64_t>(list.size()); };
  group.dimensions = {
      {.name = "time", .values = result.times, .unlimited = true, .long_name = "time t"},
      counted("feature", run.model().shape.features, "feature f"),
      counted("split_mode", count(result.saddle.split),
              "growth mode of patterns orthogonal to (1, .., 1)"),
      counted("common_mode", count(result.saddle.common), "growth mode of the pattern (1, .., 1)"),
      {.name = "dimension", .values = *dimensions_, .long_name = "token dimension D"},
      {.name = "quantile",
       .values = split_quantiles(),
       .long_name = "share of the runs of SGD that have split"},
      counted("head", run.model().shape.heads, "head h")};
  add_variables(group, saddle_columns(run.model()), result);
}

/// Whether the flow of equal heads has ended while it moves, and before the split of a feature
/// along which heads part.
bool SaddleSection::ends_early(const Run& run, const SaddleResult& result) const {
  const LinearGrowth& growth = result.growth;
  if (growth.at_rest()) return false;
  const Matrix heads = question(run, UnspecializedManifold(run.model())).heads;
  const Vector last = growth.log_spread(heads, growth.end_time()),
               before = growth.log_spread(heads, 0.9 * growth.end_time());
  const Values& quantiles = result.prediction.quantiles;
  for (std::size_t i = 0; i < quantiles.size(); ++i) {
    const Eigen::Index f = static_cast<Eigen::Index>(i) % last.size();
    if (std::isnan(quantiles[i]) && last[f] > before[f]) return true;
  }
  return false;
}

void SaddleSection::print(Run& run, const SaddleResult& result) const {
  const auto& [saddle, growth, prediction, errors, times, spread] = result;
  if (ends_early(run, result))
    fmt::print(
        "saddle: at t = {:g} the flow of equal heads still moves (gradient norm {:.2g}); splits "
        "after it are not predicted (a larger saddle.end_time reaches them)\n",
        growth.end_time(), growth.gradient_norm());
  fmt::print("saddle: loss {}, gradient norm {:.1g}",
             with_error(saddle.loss.value, saddle.loss.error, "{:.6f}"), saddle.gradient_norm);
  if (run.model().training.v > 0)
    fmt::print(", b = {:.4g}, v = {:.4g}", saddle.parameters.b[0], saddle.parameters.v);
  std::vector<std::string> rates;
  for (const GrowthMode& mode : saddle.split)
    rates.push_back(fmt::format("{:.5f} +- {}", mode.rate.value, error_text(mode.rate.error)));
  fmt::print(", heads split at the rates {}", fmt::join(rates, ", "));
  fmt::print("\nfeature   growth rate: predicted, observed   split at t: predicted, observed\n");
  const auto& flow = run.section<FlowSection>().result();
  const Stages observed = flow ? flow->stages : Stages();
  const auto or_dash = [](double x, double error, const char* format) {
    return std::isnan(x) ? "-" : fmt::format(fmt::runtime(format), x, error_text(error));
  };
  bool begins_above = false;
  for (std::size_t f = 0; f < prediction.rate.size(); ++f) {
    const auto seen = [f](const Values& list) { return f < list.size() ? list[f] : never; };
    begins_above |=
        std::isnan(seen(observed.growth_rate)) && !std::isnan(seen(observed.split_time));
    fmt::print("{:<9} {:>22} {:>10} {:>21} {:>10}\n", f + 1,
               or_dash(prediction.rate[f], errors.rate[f], "{:.5f} +- {}"),
               number_or_dash(seen(observed.growth_rate), "{:.5f}"),
               or_dash(prediction.split_time[f], errors.split_time[f], "{:.4g} +- {}"),
               number_or_dash(seen(observed.split_time), "{:.4g}"));
  }
  if (begins_above)
    fmt::print("a growth rate is observed where the heads' spread grows from {:g} to {:g}\n",
               0.01 * split_threshold_, 0.1 * split_threshold_);
}

/// At each D the feature that splits first, by its median (or by what is known of its law), and
/// quantiles of the time: those of later features hold as long as heads are equal along all.
void SaddleSection::print_law(const SaddleResult& result) const {
  const std::size_t F = result.prediction.rate.size(), Q = split_quantiles().size();
  fmt::print("runs of SGD, kappa = {:.3g}: first split, at t (1, 50, 99 %)\n", options_.kappa);
  for (std::size_t d = 0; d < dimensions_->size(); ++d) {
    const auto quantile = [&](std::size_t q, std::size_t f) {
      return result.prediction.quantiles[(d * Q + q) * F + f];
    };
    const auto order = [&](std::size_t f) {  // what is not known is late
      const auto late = [](double t) {
        return std::isnan(t) ? std::numeric_limits<double>::infinity() : t;
      };
      return std::pair{late(quantile(Q / 2, f)), late(quantile(0, f))};
    };
    std::size_t first = 0;
    for (std::size_t f = 1; f < F; ++f)
      if (order(f) < order(first)) first = f;
    const bool known = !std::isnan(quantile(0, first));
    fmt::print("D = {:<12g} {:<10} {:>10} {:>10} {:>10}\n", (*dimensions_)[d],
               known ? fmt::format("feature {}", first + 1) : "-",
               number_or_dash(quantile(0, first), "{:.4g}"),
               number_or_dash(quantile(Q / 2, first), "{:.4g}"),
               number_or_dash(quantile(Q - 1, first), "{:.4g}"));
  }
}

void SaddleSection::run_plateaus(Run& run) const {
  Plateaus plateaus;
  std::vector<State> states;
  for (const auto& [time, place] : run.section<FlowSection>().result()->plateaus) {
    plateaus.push_back(
        analyse_plateau(run.loss(), time, place, split_threshold_, run.without_state()));
    states.push_back(plateaus.back().state);
  }
  const Model& model = run.model();
  DataGroup& group = run.add_group("plateaus");
  fill_states(group, model.shape, "plateau", states);
  const auto modes = Parameters::zero(model.shape).trained_size(model.training);
  group.dimensions.push_back(counted("mode", static_cast<std::int64_t>(modes),
                                     "eigenvector of the Hessian in (m, u, b, v)"));
  add_variables(group, plateau_columns(model), plateaus);
  if (!run.talks()) return;
  const double end = run.section<FlowSection>().result()->time;
  for (const PlateauAnalysis& plateau : plateaus) {
    fmt::print(
        "plateau at t = {:.4g}{}: loss {:.6f}, next feature {} at t = {}; rates by the Hessian "
        "(seen)",
        plateau.time,
        plateau.time > 0.9 * end ? " (near the end of the run: a plateau only if it rests)" : "",
        plateau.state.loss.mean.loss, number_or_dash(plateau.next_feature, "{:g}"),
        number_or_dash(plateau.next_split_time, "{:.4g}"));
    for (std::size_t f = 0; f < plateau.growth_rate.size(); ++f)
      fmt::print(" {:.4f} ({})", plateau.spectrum.rate[f].value,
                 number_or_dash(plateau.growth_rate[f], "{:.4f}"));
    fmt::print("\n");
  }
}

}  // namespace headflow
