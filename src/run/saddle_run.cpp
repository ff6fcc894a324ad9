#include "headflow/run/saddle_run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "headflow/flow/saddle.hpp"
#include "headflow/run/series.hpp"

namespace headflow {
namespace {

using Values = std::vector<double>;
constexpr double never = std::numeric_limits<double>::quiet_NaN();

Values flat(const auto& x) { return Values(x.data(), x.data() + x.size()); }

/// Adds variables to a group one by one.
class Writer {
 public:
  explicit Writer(DataGroup& group) : group_(group) {}
  void add(const std::string& name, std::vector<std::string> axes, Values data,
           const std::string& long_name) {
    group_.variables.push_back({name, std::move(axes), std::move(data), "1", long_name});
  }
  void add(const std::string& name, const std::vector<std::string>& axes,
           const std::vector<Measured>& numbers, const std::string& long_name) {
    Values values, errors;
    for (const Measured& one : numbers) {
      values.push_back(one.value);
      errors.push_back(one.stderr_);
    }
    add(name, axes, values, long_name);
    add(name + "_stderr", axes, errors,
        long_name + ": standard error, from replicates of the samples");
  }

 private:
  DataGroup& group_;
};

/// What linear growth predicts for one start.
struct Prediction {
  Values rate, split_time;
};

Prediction predicted(const LinearGrowth& growth, const Matrix& m, double threshold) {
  Prediction prediction;
  for (int f = 0; f < m.cols(); ++f) {
    const auto time = [&](double level) { return growth.time_of(m, f, level); };
    const double low = time(0.01 * threshold);
    prediction.rate.push_back(low > 0 ? std::log(10.0) / (time(0.1 * threshold) - low) : never);
    prediction.split_time.push_back(time(threshold));
  }
  return prediction;
}

/// For each D, when a spread of the size that random heads have reaches the threshold: m_hf ~
/// N(0, eta^2 / D), so its mean square is eta^2 (H - 1) / (H D).
Values times_against_dimension(const LinearGrowth& growth, const Configuration& configuration) {
  const auto& [L, H, F] = configuration.shape;
  const double heads = H;
  Values times;
  for (const double D : configuration.saddle->dimensions) {
    const double spread = configuration.saddle->eta * std::sqrt((heads - 1) / (heads * D));
    for (int f = 0; f < F; ++f) {
      Matrix m = Matrix::Zero(H, F);
      m(0, f) = spread * heads / std::sqrt(heads - 1);
      times.push_back(growth.time_of(m, f, configuration.split_threshold));
    }
  }
  return times;
}

/// The predicted spread at the output times of the flow, as long as it is below 1.
Values spread_in_time(const LinearGrowth& growth, const Matrix& m, const Values& times) {
  Values spread;
  for (const double t : times)
    for (const double log : growth.log_spread(m, t))
      spread.push_back(log < 0 ? std::exp(log) : never);
  return spread;
}

void add_modes(Writer& write, const std::string& name, const std::vector<GrowthMode>& modes,
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
  write.add(name + "_rate", {axis}, rates, "growth rate of " + what);
  write.add(name + "_feature", {axis, "feature"}, feature, "its direction: components of m");
  if (trained.b) write.add(name + "_bias", {axis}, bias, "its direction: component of b");
  if (trained.v && name == "common")
    write.add(name + "_scale", {axis}, scale, "its direction: component of v");
}

void write_saddle(DataGroup& group, const Configuration& configuration, const Saddle& saddle,
                  const LinearGrowth& growth, const Prediction& prediction) {
  const Shape& shape = configuration.shape;
  const Trained trained = trained_by(configuration.activation);
  const Matrix& m0 = configuration.start.parameters.K;
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
  Writer write(group);
  const Vector m = (saddle.parameters.K.row(0).head(shape.features) *
                    configuration.start.spike_factor.transpose())
                       .transpose();
  write.add("m", {"feature"}, flat(m), "overlap of every head and spike, m = k . k*");
  write.add("b", {}, Values{saddle.parameters.b[0]}, "bias of every head");
  write.add("v", {}, Values{saddle.parameters.v}, "scale of the attention");
  write.add("loss", {}, {saddle.loss}, "population loss at the saddle");
  write.add("gradient_norm", {}, Values{saddle.gradient_norm}, "on the unspecialized manifold");
  add_modes(write, "split", saddle.split, trained, "heads apart, heads - 1 times");
  add_modes(write, "common", saddle.common, trained, "all heads together");
  write.add("u_split_rate", {}, {saddle.u_split}, "growth rate of u apart, H (H - 1) times");
  write.add("u_common_rate", {}, {saddle.u_common}, "growth rate of u together, H times");
  write.add("manifold_time", {}, Values{growth.end_time()},
            "end of the flow on the unspecialized manifold");
  write.add("predicted_growth_rate", {"feature"}, prediction.rate,
            "predicted growth_rate of the flow from this start");
  write.add("predicted_split_time", {"feature"}, prediction.split_time,
            "predicted split_time of the flow from this start");
  write.add("split_time", {"dimension", "feature"}, times_against_dimension(growth, configuration),
            "predicted time at which heads that start with the root mean square spread of random "
            "ones split");
  write.add("predicted_spread", {"time", "feature"},
            spread_in_time(growth, m0.leftCols(shape.features), times),
            "predicted spread of m over heads, below 1");
}

/// The feature that is not split yet and will be first by its own rate; NaN when none grows.
double next_feature(const Matrix& m, const LocalSpectrum& spectrum, double threshold) {
  const Vector spread = spread_over_heads(m);
  double best = never, soonest = std::numeric_limits<double>::infinity();
  for (Eigen::Index f = 0; f < m.cols(); ++f) {
    const double rate = spectrum.rate[static_cast<std::size_t>(f)].value;
    if (spread[f] >= threshold || rate <= 0) continue;
    const double amplitude =
        std::abs(spectrum.pattern.row(f).dot(m.col(f))) / std::sqrt(static_cast<double>(m.rows()));
    const double time = std::log(threshold / amplitude) / rate;
    if (time >= soonest) continue;
    soonest = time;
    best = static_cast<double>(f + 1);
  }
  return best;
}

/// How fast the spread of each feature grows right there: d log(spread_f) / dt along the flow.
Values growth_at(const Matrix& m, const Matrix& gradient) {
  const Matrix apart = m.rowwise() - m.colwise().mean();
  Values growth;
  for (Eigen::Index f = 0; f < m.cols(); ++f)
    growth.push_back(-apart.col(f).dot(gradient.col(f)) / apart.col(f).squaredNorm());
  return growth;
}

void write_plateaus(DataGroup& group, const Configuration& configuration, PopulationLoss& loss,
                    const ObservedFlow& observed, const std::function<void()>& poll) {
  const Shape& shape = configuration.shape;
  const int F = shape.features;
  const Trained trained = trained_by(configuration.activation);
  std::vector<State> states;
  std::vector<Measured> eigenvalues, rates;
  Values time, growth, pattern, next, m, u, b, v;
  for (const auto& [t, parameters] : observed.plateaus) {
    const LocalSpectrum spectrum = local_spectrum(loss, parameters, poll);
    states.push_back(loss.state(parameters, configuration.start.spike_factor));
    time.push_back(t);
    const Values growing =
        growth_at(parameters.K.leftCols(F), states.back().loss.mean.gradient.K.leftCols(F));
    growth.insert(growth.end(), growing.begin(), growing.end());
    eigenvalues.insert(eigenvalues.end(), spectrum.eigenvalues.begin(), spectrum.eigenvalues.end());
    rates.insert(rates.end(), spectrum.rate.begin(), spectrum.rate.end());
    pattern.insert(pattern.end(), spectrum.pattern.data(),
                   spectrum.pattern.data() + spectrum.pattern.size());
    next.push_back(next_feature(parameters.K.leftCols(F), spectrum, configuration.split_threshold));
    Parameters vector = parameters;
    for (Eigen::Index i = 0; i < spectrum.eigenvectors.rows(); ++i) {
      const Vector packed = spectrum.eigenvectors.row(i);
      vector.unpack(configuration.activation, flat(packed));
      for (Eigen::Index h = 0; h < shape.heads; ++h) {
        m.insert(m.end(), vector.K.row(h).begin(), vector.K.row(h).begin() + F);
        u.insert(u.end(), vector.K.row(h).begin() + F, vector.K.row(h).end());
      }
      b.insert(b.end(), vector.b.begin(), vector.b.end());
      v.push_back(vector.v);
    }
  }
  fill_states(group, shape, "plateau", states);
  const auto n = static_cast<std::int64_t>(
      configuration.start.parameters.trained_size(configuration.activation));
  group.dimensions.push_back(counted("mode", n, "eigenvector of the Hessian in (m, u, b, v)"));
  Writer write(group);
  write.add("time", {"plateau"}, time, "time at which the flow is slowest");
  write.add("eigenvalue", {"plateau", "mode"}, eigenvalues, "eigenvalue of the Hessian");
  write.add("eigenvector_m", {"plateau", "mode", "head", "feature"}, m, "its eigenvector: m");
  write.add("eigenvector_u", {"plateau", "mode", "head", "head_b"}, u, "its eigenvector: u");
  if (trained.b) write.add("eigenvector_b", {"plateau", "mode", "head"}, b, "its eigenvector: b");
  if (trained.v) write.add("eigenvector_v", {"plateau", "mode"}, v, "its eigenvector: v");
  write.add("rate", {"plateau", "feature"}, rates, "fastest growth of m along this feature alone");
  write.add("growth_rate", {"plateau", "feature"}, growth,
            "growth rate of the spread of m over heads as the flow has it there");
  write.add("pattern", {"plateau", "feature", "head"}, pattern, "the pattern over heads of that");
  write.add("next_feature", {"plateau"}, next, "feature that splits next by its rate and spread");
}

std::string number_or_dash(double x, const char* format) {
  return std::isnan(x) ? "-" : fmt::format(fmt::runtime(format), x);
}

void print_saddle(const Configuration& configuration, const Saddle& saddle,
                  const LinearGrowth& growth, const Prediction& prediction,
                  const ObservedFlow& observed) {
  if (growth.gradient_norm() > configuration.saddle->options.gradient_tolerance)
    fmt::print(
        "saddle: the flow on the unspecialized manifold has not come to rest by t = {:g} "
        "(gradient norm {:.2g})\n",
        growth.end_time(), growth.gradient_norm());
  fmt::print("saddle: loss {:.6f} +- {:.1g}, gradient norm {:.1g}, heads split at the rates",
             saddle.loss.value, saddle.loss.stderr_, saddle.gradient_norm);
  for (const GrowthMode& mode : saddle.split)
    fmt::print(" {:.5f} +- {:.1g}", mode.rate.value, mode.rate.stderr_);
  fmt::print("\nfeature   growth rate: predicted, observed   split at t: predicted, observed\n");
  for (std::size_t f = 0; f < prediction.rate.size(); ++f) {
    const auto seen = [f](const Values& list) { return f < list.size() ? list[f] : never; };
    fmt::print("{:<9} {:>22} {:>10} {:>21} {:>10}\n", f + 1,
               number_or_dash(prediction.rate[f], "{:.5f}"),
               number_or_dash(seen(observed.growth_rate), "{:.5f}"),
               number_or_dash(prediction.split_time[f], "{:.4g}"),
               number_or_dash(seen(observed.split_time), "{:.4g}"));
  }
}

void print_plateaus(const DataGroup& group) {
  const auto& time = group_values(group, "time");
  const auto& loss = group_values(group, "loss");
  const auto& rates = group_values(group, "rate");
  const auto& growth = group_values(group, "growth_rate");
  const auto& next = group_values(group, "next_feature");
  const std::size_t F = time.empty() ? 0 : rates.size() / time.size();
  for (std::size_t i = 0; i < time.size(); ++i) {
    fmt::print("plateau at t = {:.4g}: loss {:.6f}, next feature {}, rates by the Hessian (seen)",
               time[i], loss[i], number_or_dash(next[i], "{:g}"));
    for (std::size_t f = i * F; f < (i + 1) * F; ++f)
      fmt::print(" {:.4f} ({:.4f})", rates[f], growth[f]);
    fmt::print("\n");
  }
}

}  // namespace

void compute_saddle(const Configuration& configuration, PopulationLoss& loss,
                    const ObservedFlow& observed, DataFile& content, bool talk,
                    const std::function<void()>& poll) {
  const UnspecializedManifold manifold(configuration.shape, configuration.activation,
                                       configuration.signal());
  const Parameters& start = configuration.start.parameters;
  const LinearGrowth growth(loss, manifold, configuration.start, configuration.saddle->options,
                            poll);
  const Saddle saddle = find_saddle(loss, manifold, growth.end(), poll);
  const Prediction prediction = predicted(growth, start.K.leftCols(configuration.shape.features),
                                          configuration.split_threshold);
  write_saddle(content.add_group("saddle"), configuration, saddle, growth, prediction);
  if (talk) print_saddle(configuration, saddle, growth, prediction, observed);
  if (!configuration.flow) return;
  DataGroup& group = content.add_group("plateaus");
  write_plateaus(group, configuration, loss, observed, poll);
  if (talk) print_plateaus(group);
}

}  // namespace headflow
