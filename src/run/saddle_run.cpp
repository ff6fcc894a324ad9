#include "headflow/run/saddle_run.hpp"

#include <fmt/format.h>

#include <Eigen/SVD>
#include <algorithm>
#include <cmath>
#include <limits>

#include "headflow/core/statistics.hpp"
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

/// What linear growth predicts for one start, for each feature: the growth rate of the spread over
/// heads and when it splits; NaN once another feature has split, which changes what is to come.
struct Prediction {
  Values rate, split_time;

  Values packed() const {
    Values all = rate;
    all.insert(all.end(), split_time.begin(), split_time.end());
    return all;
  }
};

Prediction predicted(const LinearGrowth& growth, const Matrix& own, int features,
                     double threshold) {
  Prediction prediction;
  Values high;
  for (int f = 0; f < features; ++f) {
    const auto time = [&](double level) { return growth.time_of(own, f, level); };
    const double low = time(0.01 * threshold);
    high.push_back(time(0.1 * threshold));
    prediction.rate.push_back(low > 0 ? std::log(10.0) / (high.back() - low) : never);
    prediction.split_time.push_back(time(threshold));
  }
  double first = std::numeric_limits<double>::infinity();
  for (const double t : prediction.split_time) first = t < first ? t : first;
  for (std::size_t f = 0; f < high.size(); ++f) {
    if (high[f] > first) prediction.rate[f] = never;
    if (prediction.split_time[f] > first) prediction.split_time[f] = never;
  }
  return prediction;
}

/// For each D, when a spread of the size that random heads have reaches the threshold: m_hf ~
/// N(0, eta^2 / D), so its mean square is eta^2 (H - 1) / (H D).
Values times_against_dimension(const LinearGrowth& growth, const Configuration& configuration,
                               int own_numbers) {
  const auto& [L, H, F] = configuration.shape;
  const double heads = H;
  Values times;
  for (const double D : configuration.saddle->dimensions) {
    const double spread = configuration.saddle->eta * std::sqrt((heads - 1) / (heads * D));
    for (int f = 0; f < F; ++f) {
      Matrix own = Matrix::Zero(H, own_numbers);
      own(0, f) = spread * heads / std::sqrt(heads - 1);
      times.push_back(growth.time_of(own, f, configuration.split_threshold));
    }
  }
  return times;
}

/// The predicted spread at the output times of the flow, as long as it is below 1.
Values spread_in_time(const LinearGrowth& growth, const Matrix& own, const Values& times) {
  Values spread;
  for (const double t : times)
    for (const double log : growth.log_spread(own, t))
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
  const auto errors_of = [&](std::size_t part) {
    return Values(errors.begin() + static_cast<std::ptrdiff_t>(part * F),
                  errors.begin() + static_cast<std::ptrdiff_t>((part + 1) * F));
  };
  write.add("predicted_growth_rate", {"feature"}, prediction.rate,
            "predicted growth_rate of the flow from this start");
  write.add("predicted_growth_rate_stderr", {"feature"}, errors_of(0),
            "its standard error, from replicates of the samples");
  write.add("predicted_split_time", {"feature"}, prediction.split_time,
            "predicted split_time of the flow from this start");
  write.add("predicted_split_time_stderr", {"feature"}, errors_of(1),
            "its standard error, from replicates of the samples");
  write.add("split_time_at_dimension", {"dimension", "feature"},
            times_against_dimension(growth, configuration, static_cast<int>(own.cols())),
            "predicted time at which heads that start with the root mean square spread of random "
            "ones split along this feature, were there no other");
  write.add("predicted_spread", {"time", "feature"}, spread_in_time(growth, own, times),
            "predicted spread of m over heads, below 1");
}

/// How fast the spread of each feature grows right there: d log(spread_f) / dt along the flow.
Values growth_at(const Matrix& m, const Matrix& gradient) {
  const Matrix apart = m.rowwise() - m.colwise().mean();
  Values growth;
  for (Eigen::Index f = 0; f < m.cols(); ++f)
    growth.push_back(-apart.col(f).dot(gradient.col(f)) / apart.col(f).squaredNorm());
  return growth;
}

/// What a plateau has, in the order of the variables of group `plateaus`.
struct PlateauValues {
  std::vector<State> states;
  std::vector<Measured> eigenvalues, rates;
  Values time, growth, pattern, next, next_time;
  Values m, u, b, v;                               // eigenvectors
  Values mode_pattern, mode_feature, mode_weight;  // their part in m as pattern x direction

  void add_eigenvectors(const LocalSpectrum& spectrum, Parameters vector,
                        const Activation& activation, int features) {
    const Eigen::Index H = vector.K.rows();
    for (Eigen::Index i = 0; i < spectrum.eigenvectors.rows(); ++i) {
      const Vector packed = spectrum.eigenvectors.row(i);
      vector.unpack(activation, flat(packed));
      const Matrix M = vector.K.leftCols(features);
      append(m, flat(M));
      append(u, flat(Matrix(vector.K.rightCols(H))));
      append(b, flat(vector.b));
      v.push_back(vector.v);
      const Eigen::JacobiSVD<Eigen::MatrixXd> svd(M, Eigen::ComputeThinU | Eigen::ComputeThinV);
      append(mode_pattern, flat(Vector(svd.matrixU().col(0))));
      append(mode_feature, flat(Vector(svd.matrixV().col(0))));
      mode_weight.push_back(std::pow(svd.singularValues()[0], 2));
    }
  }

  static void append(Values& to, const Values& values) {
    to.insert(to.end(), values.begin(), values.end());
  }
};

PlateauValues plateau_values(const Configuration& configuration, PopulationLoss& loss,
                             const ObservedFlow& observed, const std::function<void()>& poll) {
  const Shape& shape = configuration.shape;
  const int F = shape.features;
  const Matrix& S = configuration.start.spike_factor;
  PlateauValues all;
  for (const auto& [t, parameters] : observed.plateaus) {
    const LocalSpectrum spectrum = local_spectrum(loss, parameters, poll);
    all.states.push_back(loss.state(parameters, S));
    all.time.push_back(t);
    const Matrix slope = all.states.back().loss.mean.gradient.K.leftCols(F) * S.transpose();
    PlateauValues::append(all.growth, growth_at(all.states.back().order.m, slope));
    all.eigenvalues.insert(all.eigenvalues.end(), spectrum.eigenvalues.begin(),
                           spectrum.eigenvalues.end());
    all.rates.insert(all.rates.end(), spectrum.rate.begin(), spectrum.rate.end());
    PlateauValues::append(all.pattern, flat(spectrum.pattern));
    const Values times =
        times_to_split(spectrum.hessian, parameters.K, shape, S, configuration.split_threshold);
    const auto soonest = std::min_element(times.begin(), times.end(), [](double a, double b) {
      return !std::isnan(a) && (std::isnan(b) || a < b);
    });
    all.next.push_back(std::isnan(*soonest) ? never
                                            : static_cast<double>(soonest - times.begin() + 1));
    all.next_time.push_back(t + *soonest);
    all.add_eigenvectors(spectrum, parameters, configuration.activation, F);
  }
  return all;
}

void write_plateaus(DataGroup& group, const Configuration& configuration,
                    const PlateauValues& all) {
  const Trained trained = trained_by(configuration.activation);
  fill_states(group, configuration.shape, "plateau", all.states);
  const auto n = static_cast<std::int64_t>(
      configuration.start.parameters.trained_size(configuration.activation));
  group.dimensions.push_back(counted("mode", n, "eigenvector of the Hessian in (m, u, b, v)"));
  Writer write(group);
  write.add("time", {"plateau"}, all.time, "time at which the flow is slowest");
  write.add("eigenvalue", {"plateau", "mode"}, all.eigenvalues, "eigenvalue of the Hessian");
  write.add("eigenvector_m", {"plateau", "mode", "head", "feature"}, all.m,
            "its eigenvector: m, in an orthonormal basis of the spikes");
  write.add("eigenvector_u", {"plateau", "mode", "head", "head_b"}, all.u, "its eigenvector: u");
  if (trained.b)
    write.add("eigenvector_b", {"plateau", "mode", "head"}, all.b, "its eigenvector: b");
  if (trained.v) write.add("eigenvector_v", {"plateau", "mode"}, all.v, "its eigenvector: v");
  write.add("mode_pattern", {"plateau", "mode", "head"}, all.mode_pattern,
            "the eigenvector's part in m as pattern over heads times direction: pattern");
  write.add("mode_feature", {"plateau", "mode", "feature"}, all.mode_feature, "direction of that");
  write.add("mode_weight", {"plateau", "mode"}, all.mode_weight,
            "share of the eigenvector that this product is");
  write.add("rate", {"plateau", "feature"}, all.rates,
            "fastest growth of m along this feature alone");
  write.add("growth_rate", {"plateau", "feature"}, all.growth,
            "growth rate of the spread of m over heads that the flow has there, by its gradient");
  write.add("pattern", {"plateau", "feature", "head"}, all.pattern,
            "pattern over heads of the fastest growth");
  write.add("next_feature", {"plateau"}, all.next,
            "feature that splits next if heads go on from here as the Hessian says");
  write.add("next_split_time", {"plateau"}, all.next_time, "and when");
}

std::string number_or_dash(double x, const char* format) {
  return std::isnan(x) ? "-" : fmt::format(fmt::runtime(format), x);
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
      return std::isnan(x) ? "-" : fmt::format(fmt::runtime(format), x, error);
    };
    fmt::print("{:<9} {:>22} {:>10} {:>21} {:>10}\n", f + 1,
               with_error(prediction.rate[f], errors[f], "{:.5f} +- {:.1g}"),
               number_or_dash(seen(observed.growth_rate), "{:.5f}"),
               with_error(prediction.split_time[f], errors[F + f], "{:.4g} +- {:.1g}"),
               number_or_dash(seen(observed.split_time), "{:.4g}"));
  }
}

void print_plateaus(const DataGroup& group) {
  const auto& time = group_values(group, "time");
  const auto& loss = group_values(group, "loss");
  const auto& rates = group_values(group, "rate");
  const auto& growth = group_values(group, "growth_rate");
  const auto& next = group_values(group, "next_feature");
  const auto& next_time = group_values(group, "next_split_time");
  const std::size_t F = time.empty() ? 0 : rates.size() / time.size();
  for (std::size_t i = 0; i < time.size(); ++i) {
    fmt::print(
        "plateau at t = {:.4g}: loss {:.6f}, next feature {} at t = {}; rates by the Hessian "
        "(seen)",
        time[i], loss[i], number_or_dash(next[i], "{:g}"), number_or_dash(next_time[i], "{:.4g}"));
    for (std::size_t f = i * F; f < (i + 1) * F; ++f)
      fmt::print(" {:.4f} ({})", rates[f], number_or_dash(growth[f], "{:.4f}"));
    fmt::print("\n");
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
        predicted(growth_of_one, own, configuration.shape.features, configuration.split_threshold)
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
      predicted(growth, own, configuration.shape.features, configuration.split_threshold);
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
  write_plateaus(group, configuration,
                 plateau_values(configuration, loss, observed, observer.interrupt));
  if (talk) print_plateaus(group);
}

}  // namespace headflow
