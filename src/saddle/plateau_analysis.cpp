#include "headflow/saddle/plateau_analysis.hpp"

#include <algorithm>
#include <cmath>

#include "core/eigen.hpp"

namespace headflow {
namespace {

std::vector<double> growth_rates(const Matrix& m, const Matrix& gradient) {
  const Matrix apart = m.rowwise() - m.colwise().mean();
  std::vector<double> growth;
  for (Eigen::Index f = 0; f < m.cols(); ++f)
    growth.push_back(-apart.col(f).dot(gradient.col(f)) / apart.col(f).squaredNorm());
  return growth;
}

PatternTimesDirection product_of(const Matrix& m) {
  const LargestSingular largest(m);
  return {largest.left, largest.right, std::pow(largest.value, 2)};
}

}  // namespace

PlateauAnalysis analyse_plateau(PopulationLoss& loss, double time, const Parameters& at,
                                double split_threshold, Control& control) {
  const Model& model = loss.model();
  const int F = model.shape.features;
  PlateauAnalysis plateau{.time = time,
                          .state = {},
                          .spectrum = local_spectrum(loss, at, control),
                          .eigenvectors = {},
                          .modes = {},
                          .growth_rate = {}};
  plateau.state = loss.state(at, control);
  plateau.growth_rate =
      growth_rates(plateau.state.order.m,
                   plateau.state.loss.mean.gradient.K.leftCols(F) * model.spike_factor.transpose());
  const auto times = times_to_split(plateau.spectrum.hessian, at.K, model, split_threshold);
  const auto soonest = std::min_element(times.begin(), times.end(), [](double a, double b) {
    return !std::isnan(a) && (std::isnan(b) || a < b);
  });
  plateau.next_feature =
      std::isnan(*soonest) ? never : static_cast<double>(soonest - times.begin() + 1);
  plateau.next_split_time = time + *soonest;
  Parameters vector = Parameters::zero(model.shape);
  for (Eigen::Index i = 0; i < plateau.spectrum.eigenvectors.rows(); ++i) {
    const Vector packed = plateau.spectrum.eigenvectors.row(i);
    vector.unpack(model.training, {packed.data(), static_cast<std::size_t>(packed.size())});
    plateau.eigenvectors.push_back(vector);
    plateau.modes.push_back(product_of(vector.K.leftCols(F)));
  }
  return plateau;
}

}  // namespace headflow
