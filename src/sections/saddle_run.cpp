#include "sections/saddle_run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "headflow/core/statistics.hpp"
#include "headflow/saddle/prediction.hpp"
#include "headflow/saddle/saddle.hpp"
#include "sections/plateau_group.hpp"
#include "core/progress.hpp"
#include "sections/series.hpp"

namespace headflow {
namespace {

using Values = std::vector<double>;
constexpr double never = std::numeric_limits<double>::quiet_NaN();

/// The predicted spread at the output times of the flow, as long as it is below 1.
Values spread_in_time(const LinearGrowth& growth, const Matrix& own, const Values& times) {
  Values spread;
  for (const double t : times)
    for (const double log : growth.log_spread(own, t))
      spread.push_back(log < 0 ? std::exp(log) : never);
  return spread;
}

void add_modes(DataGroup& group, const std::string& name, const std::vector<GrowthMode>& modes,
               const Trained& trained, const std::string& what) {
  const std::string axis = name + "_mode";
  std::vector<Measured> rates;
  Values feature, bias, scale;
  for (const GrowthMode& mode : modes) {
    rates.push_back(mode.rate);
    feature.insert(feature.end(), mode.feature.begin(), mode.feature.end());
    bias.push_back(mode.bias);
    scale.push_back(mode.scale);
  }
  add_variable(group, name + "_rate", {axis}, "growth rate of " + what, rates);
  add_variable(group, name + "_feature", {axis, "feature"},
               "its direction: m, in an orthonormal basis of the spikes", feature);
  if (trained.b) add_variable(group, name + "_bias", {axis}, "its direction: component of b", bias);
  if (trained.v && name == "common")
    add_variable(group, name + "_scale", {axis}, "its direction: component of v", scale);
}

void write_saddle(DataGroup& group, const Configuration& configuration, const Saddle& saddle,
                  const LinearGrowth& growth, const Matrix& own, const Prediction& prediction,
                  const Values& errors) {
  const Shape& shape = configuration.shape;
  const Trained trained = trained_by(configuration.activation);
  const std::size_t F = prediction.rate.size();
  const auto count = [](const auto& list) { return static_cast<std::int64_t>(list.size()); };
  Dimension dimensions{.name = "dimension",
                       .values = configuration.saddle->dimensions,
                       .long_name = "token dimension D"};
  const Values times =
      configuration.flow ? configuration.flow->output_times : linear_times(growth.end_time(), 200);
  group.dimensions = {
      {.name = "time", .values = times, .unlimited = true, .long_name = "time t"},
      counted("feature", shape.features, "feature f"),
      counted("split_mode", count(saddle.split),
              "growth mode of patterns orthogonal to (1, .., 1)"),
      counted("common_mode", count(saddle.common), "growth mode of the pattern (1, .., 1)"),
      dimensions};
  const Vector m = (saddle.parameters.K.row(0).head(shape.features) *
                    configuration.start.spike_factor.transpose())
                       .transpose();
  add_variable(group, "m", {"feature"}, "overlap of every head and spike, m = k . k*", flat(m));
  add_variable(group, "b", {}, "bias of every head", Values{saddle.parameters.b[0]});
  add_variable(group, "v", {}, "scale of the attention", Values{saddle.parameters.v});
  add_variable(group, "loss", {}, "population loss at the saddle", {saddle.loss});
  add_variable(group, "gradient_norm", {}, "on the unspecialized manifold",
               Values{saddle.gradient_norm});
  add_modes(group, "split", saddle.split, trained, "heads apart, heads - 1 times");
  add_modes(group, "common", saddle.common, trained, "all heads together");
  add_variable(group, "u_split_rate", {}, "growth rate of u apart, H (H - 1) times",
               {saddle.u_split});
  add_variable(group, "u_common_rate", {}, "growth rate of u together, H times", {saddle.u_common});
  add_variable(group, "manifold_time", {}, "end of the flow on the unspecialized manifold",
               Values{growth.end_time()});
  const auto errors_of = [&](std::size_t part) {
    return Values(errors.begin() + static_cast<std::ptrdiff_t>(part * F),
                  errors.begin() + static_cast<std::ptrdiff_t>((part + 1) * F));
  };
  add_variable(group, "predicted_growth_rate", {"feature"},
               "predicted growth_rate of the flow from this start", prediction.rate);
  add_variable(group, "predicted_growth_rate_stderr", {"feature"},
               "its standard error, from replicates of the samples", errors_of(0));
  add_variable(group, "predicted_split_time", {"feature"},
               "predicted split_time of the flow from this start", prediction.split_time);
  add_variable(group, "predicted_split_time_stderr", {"feature"},
               "its standard error, from replicates of the samples", errors_of(1));
  add_variable(
      group, "split_time_at_dimension", {"dimension", "feature"},
      "predicted time at which heads that start with the root mean square spread of random "
      "ones split along this feature, were there no other",
      times_against_dimension(growth, shape, static_cast<int>(own.cols()),
                              configuration.saddle->dimensions, configuration.saddle->eta,
                              configuration.split_threshold));
  add_variable(group, "predicted_spread", {"time", "feature"},
               "predicted spread of m over heads, below 1", spread_in_time(growth, own, times));
}

void print_saddle(const Configuration& configuration, const Saddle& saddle,
                  const LinearGrowth& growth, const Prediction& prediction, const Values& errors,
                  const ObservedFlow& observed) {
  if (!growth.at_rest())
    fmt::print(
        "saddle: the flow on the unspecialized manifold has not come to rest by t = {:g} "
        "(gradient norm {:.2g}); predictions end there (saddle.end_time)\n",
        growth.end_time(), growth.gradient_norm());
  const Trained trained = trained_by(configuration.activation);
  fmt::print("saddle: loss {:.6f} +- {:.1g}, gradient norm {:.1g}", saddle.loss.value,
             saddle.loss.stderr_, saddle.gradient_norm);
  if (trained.v)
    fmt::print(", b = {:.4g}, v = {:.4g}", saddle.parameters.b[0], saddle.parameters.v);
  fmt::print(", heads split at the rates");
  for (const GrowthMode& mode : saddle.split)
    fmt::print(" {:.5f} +- {:.1g}", mode.rate.value, mode.rate.stderr_);
  fmt::print("\nfeature   growth rate: predicted, observed   split at t: predicted, observed\n");
  const std::size_t F = prediction.rate.size();
  for (std::size_t f = 0; f < F; ++f) {
    const auto seen = [f](const Values& list) { return f < list.size() ? list[f] : never; };
    const auto with_error = [&](double x, double error, const char* format) {
      return std::isnan(x) ? "-"
                           : fmt::format(fmt::runtime(format), x, number_or_dash(error, "{:.1g}"));
    };
    fmt::print("{:<9} {:>22} {:>10} {:>21} {:>10}\n", f + 1,
               with_error(prediction.rate[f], errors[f], "{:.5f} +- {}"),
               number_or_dash(seen(observed.growth_rate), "{:.5f}"),
               with_error(prediction.split_time[f], errors[F + f], "{:.4g} +- {}"),
               number_or_dash(seen(observed.split_time), "{:.4g}"));
  }
}

/// Standard errors of a prediction from those of the replicates of the samples, one after the
/// other; `known` holds what an earlier run has found of them, and grows.
Values prediction_errors(const Communicator& comm, const Configuration& configuration,
                         const UnspecializedManifold& manifold, Values& known,
                         const LinearGrowthObserver& observer, const Snapshot& growth) {
  const auto size = static_cast<std::size_t>(2 * configuration.shape.features);
  const auto replicates = static_cast<std::size_t>(configuration.sampling.replicates);
  const Matrix own = manifold.own_numbers(configuration.start.parameters);
  for (std::size_t r = known.size() / size; r < replicates && replicates > 1; ++r) {
    PopulationLoss one(comm, configuration.shape, configuration.activation, configuration.signal(),
                       configuration.sampling.replicate(static_cast<int>(r)));
    const LinearGrowth growth_of_one(one, manifold, configuration.start,
                                     configuration.saddle->options,
                                     {.interrupt = observer.interrupt});
    const Values found =
        predict(growth_of_one, own, configuration.shape.features, configuration.split_threshold)
            .packed();
    known.insert(known.end(), found.begin(), found.end());
    Snapshot snapshot = growth;
    snapshot.put("predictions", known);
    snapshot.put("predictions_end", configuration.saddle->options.end_time);
    observer.step(snapshot);
  }
  Values errors(size, 0.0);
  for (std::size_t i = 0; i < size && replicates > 1; ++i) {
    Values each;
    for (std::size_t r = 0; r < replicates; ++r) each.push_back(known[r * size + i]);
    errors[i] = standard_error(each);
  }
  return errors;
}

}  // namespace

void compute_saddle(const Communicator& comm, const Configuration& configuration,
                    PopulationLoss& loss, const ObservedFlow& observed, DataFile& content,
                    bool talk, const LinearGrowthObserver& observer, const Snapshot& from) {
  const UnspecializedManifold manifold(configuration.shape, configuration.activation,
                                       configuration.signal());
  const Matrix own = manifold.own_numbers(configuration.start.parameters);
  Snapshot state = from;
  const LinearGrowth growth(loss, manifold, configuration.start, configuration.saddle->options,
                            {.step =
                                 [&](const Snapshot& snapshot) {
                                   state = snapshot;
                                   observer.step(snapshot);
                                 },
                             .interrupt = observer.interrupt},
                            from);
  const Prediction prediction =
      predict(growth, own, configuration.shape.features, configuration.split_threshold);
  Values known;
  if (from.has("predictions") &&
      from.number("predictions_end") == configuration.saddle->options.end_time)
    known = from.list("predictions");
  const Values errors = prediction_errors(comm, configuration, manifold, known, observer, state);
  const Saddle saddle = find_saddle(loss, manifold, growth.end(), observer.interrupt);
  write_saddle(content.add_group("saddle"), configuration, saddle, growth, own, prediction, errors);
  if (talk) print_saddle(configuration, saddle, growth, prediction, errors, observed);
  if (!configuration.flow) return;
  DataGroup& group = content.add_group("plateaus");
  write_plateaus(group, configuration, loss, observed.plateaus, observer.interrupt);
  if (talk) print_plateaus(group);
}

}  // namespace headflow
