#include "sections/saddle_section.hpp"

#include <fmt/format.h>

#include <cmath>

#include "core/progress.hpp"
#include "headflow/core/error.hpp"
#include "headflow/flow/output_times.hpp"
#include "sections/cost.hpp"
#include "sections/flow_section.hpp"
#include "sections/population_section.hpp"
#include "sections/run.hpp"
#include "sections/saddle_columns.hpp"
#include "sections/start_section.hpp"

namespace headflow {

void SaddleSection::declare_keys(KeyVisitor& visitor) {
  visitor.key({.name = "end_time",
               .help = "t at which the flow on the unspecialized manifold ends at the latest; "
                       "default that of [flow]",
               .change = Change::allowed},
              end_time_, positive);
  options_.declare_keys(visitor);
  visitor.key(
      {.name = "dimensions",
       .help = "values of D for which the time of the split is predicted, from random heads "
               "of norm start.eta; default 1e2, 1e4, .., 1e12",
       .change = Change::allowed},
      dimensions_, positive);
}

void SaddleSection::prepare(Configuration& input) {
  constexpr std::size_t most = 5000;  // numbers, whose Hessian of every replicate is kept
  const auto& flow = input.prepared<FlowSection>();
  if (!dimensions_) dimensions_ = {1e2, 1e4, 1e6, 1e8, 1e10, 1e12};
  if (!end_time_) end_time_ = flow.options.end_time;
  options_.end_time = *end_time_;
  split_threshold_ = flow.options.split_threshold;
  if (!given) return;
  const Model& model = input.model();
  if (model.shape.heads < 2)
    throw InputError("[saddle] is about heads that split: it needs attention.heads >= 2, found 1");
  const std::size_t trained =
      input.section<StartSection>().parameters().trained_size(model.activation);
  if (trained > most)
    throw InputError(fmt::format(
        "[saddle] has a Hessian in m, u, b and v, at most {} numbers; heads = {} and features = {} "
        "make {}",
        most, model.shape.heads, model.shape.features, trained));
  if (flow.given && flow.options.kappa > 0)
    throw InputError(
        fmt::format("[saddle] is of the gradient flow, where there is a Hessian: it needs "
                    "flow.learning_rate_noise = 0, found {}",
                    flow.options.kappa));
  if (flow.given && flow.options.resample > 0)
    throw InputError(
        fmt::format("[saddle] is of the loss on the flow's own samples: it needs "
                    "population.resample = 0, found {}",
                    flow.options.resample));
}

void SaddleSection::print_cost(CostReport& report) const {
  constexpr double tangent = 3;  // a product with the Hessian, in evaluations
  const Configuration& input = report.input();
  const double each = report.seconds_per_evaluation(input.section<PopulationSection>().sampling);
  const auto trained = static_cast<double>(
      input.section<StartSection>().parameters().trained_size(input.model().activation));
  fmt::print(
      "# saddle                     {:.3g} s a right-hand side, about 7 a step; twice, for the "
      "errors\n",
      each * (1 + tangent * (input.model().shape.features + 1)));
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

void SaddleSection::run(Run& run) {
  const UnspecializedManifold manifold(run.model());
  const Matrix heads = manifold.head_coordinates(run.section<StartSection>().parameters());
  const int F = run.model().shape.features;
  Snapshot state;
  LinearGrowth growth = follow_manifold_saving(run, manifold, state);
  const Prediction errors = prediction_errors(run, manifold, state);
  SaddleResult result{
      .saddle = find_saddle(run.loss(), manifold, growth.end(), run.without_state()),
      .growth = growth,
      .prediction = predict(growth, heads, F, split_threshold_),
      .errors = errors,
      .times = {},
      .spread = {},
      .split_time_at_D =
          times_against_dimension(growth, run.model().shape, static_cast<int>(heads.cols()),
                                  *dimensions_, run.section<StartSection>().eta, split_threshold_)};
  const auto& flow = run.section<FlowSection>();
  result.times = flow.given ? flow.options.output_times
                            : OutputTimes().until("output_times", growth.end_time());
  for (const double t : result.times)
    for (const double log : growth.log_spread(heads, t))
      result.spread.push_back(log < 0 ? std::exp(log) : never);
  add_group(run, result);
  if (run.talks()) print(run, result);
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
                                            Snapshot state) const {
  const auto& start = run.section<StartSection>().parameters();
  const Sampling& sampling = run.section<PopulationSection>().sampling;
  const Matrix heads = manifold.head_coordinates(start);
  const int F = run.model().shape.features;
  const auto size = static_cast<std::size_t>(2 * F);
  const auto replicates = static_cast<std::size_t>(sampling.replicates);
  Values known;
  const Snapshot from = run.saved_state(name());
  if (from.has("predictions") && from.number("predictions_end") == options_.end_time)
    known = from.list("predictions");
  for (std::size_t r = known.size() / size; r < replicates && replicates > 1; ++r) {
    PopulationLoss one(run.comm(), run.model(), sampling.replicate(static_cast<int>(r)), false,
                       run.without_state());
    const LinearGrowth growth =
        follow_manifold(one, manifold, start, options_, run.without_state());
    append(known, predict(growth, heads, F, split_threshold_).packed());
    state.put("predictions", known);
    state.put("predictions_end", options_.end_time);
    run.save(state_group("saddle_state", state));
  }
  Prediction errors{Values(static_cast<std::size_t>(F), never),
                    Values(static_cast<std::size_t>(F), never)};
  for (std::size_t i = 0; i < size && replicates > 1; ++i) {
    Values each;
    for (std::size_t r = 0; r < replicates; ++r) each.push_back(known[r * size + i]);
    (i < size / 2 ? errors.rate[i] : errors.split_time[i - size / 2]) = standard_error(each);
  }
  return errors;
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
      {.name = "dimension", .values = *dimensions_, .long_name = "token dimension D"}};
  add_variables(group, saddle_columns(run.model()), result);
}

void SaddleSection::print(Run& run, const SaddleResult& result) const {
  const auto& [saddle, growth, prediction, errors, times, spread, at_D] = result;
  if (!growth.at_rest())
    fmt::print(
        "saddle: the flow on the unspecialized manifold has not come to rest by t = {:g} "
        "(gradient norm {:.2g}); predictions end there (saddle.end_time)\n",
        growth.end_time(), growth.gradient_norm());
  fmt::print("saddle: loss {}, gradient norm {:.1g}",
             with_error(saddle.loss.value, saddle.loss.error, "{:.6f}"), saddle.gradient_norm);
  if (run.model().trained().v)
    fmt::print(", b = {:.4g}, v = {:.4g}", saddle.parameters.b[0], saddle.parameters.v);
  fmt::print(", heads split at the rates");
  for (const GrowthMode& mode : saddle.split)
    fmt::print(" {:.5f} +- {}", mode.rate.value, number_or_dash(mode.rate.error, "{:.1g}"));
  fmt::print("\nfeature   growth rate: predicted, observed   split at t: predicted, observed\n");
  const auto& flow = run.section<FlowSection>().result();
  const Stages observed = flow ? flow->stages : Stages();
  const auto or_dash = [](double x, double error, const char* format) {
    return std::isnan(x) ? "-"
                         : fmt::format(fmt::runtime(format), x, number_or_dash(error, "{:.1g}"));
  };
  for (std::size_t f = 0; f < prediction.rate.size(); ++f) {
    const auto seen = [f](const Values& list) { return f < list.size() ? list[f] : never; };
    fmt::print("{:<9} {:>22} {:>10} {:>21} {:>10}\n", f + 1,
               or_dash(prediction.rate[f], errors.rate[f], "{:.5f} +- {}"),
               number_or_dash(seen(observed.growth_rate), "{:.5f}"),
               or_dash(prediction.split_time[f], errors.split_time[f], "{:.4g} +- {}"),
               number_or_dash(seen(observed.split_time), "{:.4g}"));
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
  const auto modes = Parameters::zero(model.shape).trained_size(model.activation);
  group.dimensions.push_back(counted("mode", static_cast<std::int64_t>(modes),
                                     "eigenvector of the Hessian in (m, u, b, v)"));
  add_variables(group, plateau_columns(model), plateaus);
  if (!run.talks()) return;
  for (const PlateauAnalysis& plateau : plateaus) {
    fmt::print(
        "plateau at t = {:.4g}: loss {:.6f}, next feature {} at t = {}; rates by the Hessian "
        "(seen)",
        plateau.time, plateau.state.loss.mean.loss, number_or_dash(plateau.next_feature, "{:g}"),
        number_or_dash(plateau.next_split_time, "{:.4g}"));
    for (std::size_t f = 0; f < plateau.growth_rate.size(); ++f)
      fmt::print(" {:.4f} ({})", plateau.spectrum.rate[f].value,
                 number_or_dash(plateau.growth_rate[f], "{:.4f}"));
    fmt::print("\n");
  }
}

}  // namespace headflow
