#include "headflow/flow/drift.hpp"

namespace headflow {

std::vector<double> Drift::packed(Parameters parameters) const {
  std::vector<double> y(parameters.trained_size(loss_.model().training));
  auto u = parameters.K.rightCols(parameters.K.rows());
  if (kappa_ > 0) u = (u * u.transpose()).eval();
  parameters.pack(loss_.model().training, y);
  return y;
}

Parameters Drift::unpacked(std::span<const double> y) const {
  Parameters parameters = start_;
  parameters.unpack(loss_.model().training, y);
  auto u = parameters.K.rightCols(parameters.K.rows());
  if (kappa_ > 0 && loss_.model().training.k) u = symmetric_root(u);
  return parameters;
}

LossGradient Drift::operator()(double t, std::span<const double> y, std::span<double> f,
                               Control& control) const {
  const Parameters parameters = unpacked(y);
  LossGradient value = loss_.evaluate(parameters, control);
  slope(t, parameters, value, f);
  return value;
}

void Drift::each(double t, std::span<const double> y, std::span<double> f, Control& control) const {
  const auto replicates = static_cast<std::size_t>(loss_.replicates());
  const std::size_t size = y.size() / replicates;
  std::vector<Parameters> points;
  for (std::size_t r = 0; r < replicates; ++r)
    points.push_back(unpacked(y.subspan(r * size, size)));
  const auto values = loss_.evaluate_each(points, control);
  for (std::size_t r = 0; r < replicates; ++r)
    slope(t, points[r], values[r], f.subspan(r * size, size));
}

void Drift::slope(double t, const Parameters& parameters, const LossGradient& value,
                  std::span<double> f) const {
  Parameters down = value.gradient;
  if (kappa_ > 0) {
    const auto heads = parameters.K.rows();
    auto of_r = down.K.rightCols(heads);
    const Matrix half = of_r * parameters.K.rightCols(heads).transpose();
    of_r = half + half.transpose() - kappa(t) * value.noise;
  }
  down.pack_gradient(loss_.model().training, f);
  for (double& entry : f) entry = -entry;
}

}  // namespace headflow
