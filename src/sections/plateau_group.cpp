#include "sections/plateau_group.hpp"

#include <fmt/format.h>

#include <Eigen/SVD>
#include <algorithm>
#include <cmath>
#include <limits>

#include "headflow/saddle/saddle.hpp"
#include "core/progress.hpp"

namespace headflow {
namespace {

using Values = std::vector<double>;
constexpr double never = std::numeric_limits<double>::quiet_NaN();

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
                             const std::vector<std::pair<double, Parameters>>& plateaus,
                             const std::function<void()>& poll) {
  const Shape& shape = configuration.shape;
  const int F = shape.features;
  const Matrix& S = configuration.start.spike_factor;
  PlateauValues all;
  for (const auto& [t, parameters] : plateaus) {
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

}  // namespace

void write_plateaus(DataGroup& group, const Configuration& configuration, PopulationLoss& loss,
                    const std::vector<std::pair<double, Parameters>>& plateaus,
                    const std::function<void()>& poll) {
  const PlateauValues all = plateau_values(configuration, loss, plateaus, poll);
  const Trained trained = trained_by(configuration.activation);
  fill_states(group, configuration.shape, "plateau", all.states);
  const auto n = static_cast<std::int64_t>(
      configuration.start.parameters.trained_size(configuration.activation));
  group.dimensions.push_back(counted("mode", n, "eigenvector of the Hessian in (m, u, b, v)"));
  add_variable(group, "time", {"plateau"}, "time at which the flow is slowest", all.time);
  add_variable(group, "eigenvalue", {"plateau", "mode"}, "eigenvalue of the Hessian",
               all.eigenvalues);
  add_variable(group, "eigenvector_m", {"plateau", "mode", "head", "feature"},
               "its eigenvector: m, in an orthonormal basis of the spikes", all.m);
  add_variable(group, "eigenvector_u", {"plateau", "mode", "head", "head_b"}, "its eigenvector: u",
               all.u);
  if (trained.b)
    add_variable(group, "eigenvector_b", {"plateau", "mode", "head"}, "its eigenvector: b", all.b);
  if (trained.v)
    add_variable(group, "eigenvector_v", {"plateau", "mode"}, "its eigenvector: v", all.v);
  add_variable(group, "mode_pattern", {"plateau", "mode", "head"},
               "the eigenvector's part in m as pattern over heads times direction: pattern",
               all.mode_pattern);
  add_variable(group, "mode_feature", {"plateau", "mode", "feature"}, "direction of that",
               all.mode_feature);
  add_variable(group, "mode_weight", {"plateau", "mode"},
               "share of the eigenvector that this product is", all.mode_weight);
  add_variable(group, "rate", {"plateau", "feature"},
               "fastest growth of m along this feature alone", all.rates);
  add_variable(group, "growth_rate", {"plateau", "feature"},
               "growth rate of the spread of m over heads that the flow has there, by its gradient",
               all.growth);
  add_variable(group, "pattern", {"plateau", "feature", "head"},
               "pattern over heads of the fastest growth", all.pattern);
  add_variable(group, "next_feature", {"plateau"},
               "feature that splits next if heads go on from here as the Hessian says", all.next);
  add_variable(group, "next_split_time", {"plateau"}, "and when", all.next_time);
}

void print_plateaus(DataGroup& group) {
  const auto& time = variable(group, "time").data;
  const auto& loss = variable(group, "loss").data;
  const auto& rates = variable(group, "rate").data;
  const auto& growth = variable(group, "growth_rate").data;
  const auto& next = variable(group, "next_feature").data;
  const auto& next_time = variable(group, "next_split_time").data;
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

}  // namespace headflow
