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
  Parameters slope = value.gradient;
  if (kappa_ > 0) {
    const auto heads = parameters.K.rows();
    auto of_r = slope.K.rightCols(heads);
    const Matrix half = of_r * parameters.K.rightCols(heads).transpose();
    of_r = half + half.transpose() - kappa_ * schedule_.factor(t) * value.noise;
  }
  slope.pack_gradient(loss_.model().training, f);
  for (double& entry : f) entry = -entry;
  return value;
}

}  // namespace headflow
