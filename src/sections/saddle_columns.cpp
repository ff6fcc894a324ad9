#include "sections/saddle_columns.hpp"

#include <utility>

namespace headflow {
namespace {

/// Values over growth modes, by what one of them has.
std::function<Values(const SaddleResult&)> over_modes(
    std::vector<GrowthMode> Saddle::*modes, std::function<Values(const GrowthMode&)> one) {
  return [modes, one = std::move(one)](const SaddleResult& result) {
    Values all;
    for (const GrowthMode& mode : result.saddle.*modes) append(all, one(mode));
    return all;
  };
}

void add_modes(std::vector<Column<SaddleResult>>& columns, const std::string& name,
               std::vector<GrowthMode> Saddle::*modes, const Training& training,
               const std::string& what) {
  const std::string axis = name + "_mode";
  add_measured<SaddleResult>(columns, name + "_rate", {axis}, "growth rate of " + what,
                             [modes](const SaddleResult& result) {
                               std::vector<Measured> rates;
                               for (const GrowthMode& mode : result.saddle.*modes)
                                 rates.push_back(mode.rate);
                               return rates;
                             });
  columns.push_back({name + "_feature",
                     {axis, "feature"},
                     "its direction: m, in an orthonormal basis of the spikes",
                     over_modes(modes, [](const GrowthMode& mode) { return flat(mode.feature); })});
  if (training.b > 0)
    columns.push_back(
        {name + "_bias",
         {axis},
         "its direction: component of b",
         over_modes(modes, [](const GrowthMode& mode) { return Values{mode.bias}; })});
  if (training.v > 0 && name == "common")
    columns.push_back(
        {name + "_scale",
         {axis},
         "its direction: component of v",
         over_modes(modes, [](const GrowthMode& mode) { return Values{mode.scale}; })});
}

/// Values over plateaus, one after the other, by what one of them has.
std::function<Values(const Plateaus&)> over_plateaus(
    std::function<Values(const PlateauAnalysis&)> one) {
  return [one = std::move(one)](const Plateaus& plateaus) {
    Values all;
    for (const PlateauAnalysis& plateau : plateaus) append(all, one(plateau));
    return all;
  };
}

/// The same over the eigenvectors of each.
std::function<Values(const Plateaus&)> over_eigenvectors(
    std::function<Values(const Parameters&)> one) {
  return over_plateaus([one = std::move(one)](const PlateauAnalysis& plateau) {
    Values all;
    for (const Parameters& vector : plateau.eigenvectors) append(all, one(vector));
    return all;
  });
}

/// The same over their products of pattern and direction.
std::function<Values(const Plateaus&)> over_products(
    std::function<Values(const PatternTimesDirection&)> one) {
  return over_plateaus([one = std::move(one)](const PlateauAnalysis& plateau) {
    Values all;
    for (const PatternTimesDirection& mode : plateau.modes) append(all, one(mode));
    return all;
  });
}

std::function<std::vector<Measured>(const Plateaus&)> measured_over_plateaus(
    std::vector<Measured> LocalSpectrum::*numbers) {
  return [numbers](const Plateaus& plateaus) {
    std::vector<Measured> all;
    for (const PlateauAnalysis& plateau : plateaus) {
      const auto& one = plateau.spectrum.*numbers;
      all.insert(all.end(), one.begin(), one.end());
    }
    return all;
  };
}

}  // namespace

std::vector<Column<SaddleResult>> saddle_columns(const Model& model) {
  using Result = const SaddleResult&;
  std::vector<Column<SaddleResult>> columns = {
      {"m",
       {"feature"},
       "overlap of every head and spike, m = k . k*",
       [model](Result r) {
         return flat(Vector((r.saddle.parameters.K.row(0).head(model.shape.features) *
                             model.spike_factor.transpose())
                                .transpose()));
       }},
      {"b", {}, "bias of every head", [](Result r) { return Values{r.saddle.parameters.b[0]}; }},
      {"v", {}, "scale of the attention", [](Result r) { return Values{r.saddle.parameters.v}; }}};
  const auto add_number = [&](const char* name, const char* text, Measured Saddle::*number) {
    add_measured<SaddleResult>(columns, name, {}, text,
                               [number](Result r) { return std::vector{r.saddle.*number}; });
  };
  add_number("loss", "population loss at the saddle", &Saddle::loss);
  columns.push_back({"gradient_norm", {}, "on the unspecialized manifold", [](Result r) {
                       return Values{r.saddle.gradient_norm};
                     }});
  add_modes(columns, "split", &Saddle::split, model.training, "heads apart, heads - 1 times");
  add_modes(columns, "common", &Saddle::common, model.training, "all heads together");
  add_number("u_split_rate", "growth rate of u apart, H (H - 1) times", &Saddle::u_split);
  add_number("u_common_rate", "growth rate of u together, H times", &Saddle::u_common);
  columns.push_back(
      {"manifold_time", {}, "end of the flow on the unspecialized manifold", [](Result r) {
         return Values{r.growth.end_time()};
       }});
  const auto add_prediction = [&](const char* name, const std::vector<std::string>& axes,
                                  const char* text, Values Prediction::*numbers) {
    add_measured<SaddleResult>(columns, name, axes, text, [numbers](Result r) {
      std::vector<Measured> all;
      for (std::size_t i = 0; i < (r.prediction.*numbers).size(); ++i)
        all.push_back({(r.prediction.*numbers)[i], (r.errors.*numbers)[i]});
      return all;
    });
  };
  add_prediction("predicted_growth_rate", {"feature"},
                 "predicted growth_rate of the flow from this start", &Prediction::rate);
  add_prediction("predicted_split_time", {"feature"},
                 "predicted split_time of the flow from this start", &Prediction::split_time);
  add_prediction("split_time_at_dimension", {"dimension", "feature"},
                 "predicted time at which the root mean square spread over heads of runs of SGD "
                 "reaches the threshold, were there no other feature",
                 &Prediction::time_at_dimension);
  add_prediction("split_time_quantile", {"dimension", "quantile", "feature"},
                 "predicted quantile of the split_time of runs of SGD, were there no other feature",
                 &Prediction::quantiles);
  add_prediction("upper_side_probability", {"dimension", "head", "feature"},
                 "predicted probability that m of the head is above the mean of all heads, at the "
                 "median of the split time",
                 &Prediction::upper_side);
  columns.push_back({"predicted_spread",
                     {"time", "feature"},
                     "predicted spread of m over heads, below 1",
                     [](Result r) { return r.spread; }});
  return columns;
}

std::vector<Column<Plateaus>> plateau_columns(const Model& model) {
  const int F = model.shape.features, H = model.shape.heads;
  std::vector<Column<Plateaus>> columns = {
      {"time",
       {"plateau"},
       "time at which the flow is slowest",
       over_plateaus([](const PlateauAnalysis& p) { return Values{p.time}; })}};
  add_measured<Plateaus>(columns, "eigenvalue", {"plateau", "mode"}, "eigenvalue of the Hessian",
                         measured_over_plateaus(&LocalSpectrum::eigenvalues));
  columns.push_back({"eigenvector_m",
                     {"plateau", "mode", "head", "feature"},
                     "its eigenvector: m, in an orthonormal basis of the spikes",
                     over_eigenvectors([F](const Parameters& vector) {
                       return flat(Matrix(vector.K.leftCols(F)));
                     })});
  columns.push_back({"eigenvector_u",
                     {"plateau", "mode", "head", "head_b"},
                     "its eigenvector: u",
                     over_eigenvectors([H](const Parameters& vector) {
                       return flat(Matrix(vector.K.rightCols(H)));
                     })});
  if (model.training.b > 0)
    columns.push_back({"eigenvector_b",
                       {"plateau", "mode", "head"},
                       "its eigenvector: b",
                       over_eigenvectors([](const Parameters& vector) { return flat(vector.b); })});
  if (model.training.v > 0)
    columns.push_back(
        {"eigenvector_v",
         {"plateau", "mode"},
         "its eigenvector: v",
         over_eigenvectors([](const Parameters& vector) { return Values{vector.v}; })});
  columns.push_back({"mode_pattern",
                     {"plateau", "mode", "head"},
                     "the eigenvector's part in m as pattern over heads times direction: pattern",
                     over_products([](const auto& mode) { return flat(mode.pattern); })});
  columns.push_back({"mode_feature",
                     {"plateau", "mode", "feature"},
                     "direction of that",
                     over_products([](const auto& mode) { return flat(mode.direction); })});
  columns.push_back({"mode_weight",
                     {"plateau", "mode"},
                     "share of the eigenvector that this product is",
                     over_products([](const auto& mode) { return Values{mode.weight}; })});
  add_measured<Plateaus>(columns, "rate", {"plateau", "feature"},
                         "fastest growth of m along this feature alone",
                         measured_over_plateaus(&LocalSpectrum::rate));
  columns.push_back(
      {"growth_rate",
       {"plateau", "feature"},
       "growth rate of the spread of m over heads that the flow has there, by its gradient",
       over_plateaus([](const PlateauAnalysis& p) { return p.growth_rate; })});
  columns.push_back(
      {"pattern",
       {"plateau", "feature", "head"},
       "pattern over heads of the fastest growth",
       over_plateaus([](const PlateauAnalysis& p) { return flat(p.spectrum.pattern); })});
  columns.push_back(
      {"next_feature",
       {"plateau"},
       "feature that splits next if heads go on from here as the Hessian says",
       over_plateaus([](const PlateauAnalysis& p) { return Values{p.next_feature}; })});
  columns.push_back(
      {"next_split_time", {"plateau"}, "and when", over_plateaus([](const PlateauAnalysis& p) {
         return Values{p.next_split_time};
       })});
  return columns;
}

}  // namespace headflow
