#include "headflow/model/parameters.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/eigen.hpp"

namespace headflow {

Parameters Parameters::zero(const Shape& shape) {
  return {Matrix::Zero(shape.heads, shape.coordinates()), Vector::Zero(shape.heads), 0};
}

std::vector<double> Parameters::numbers() const {
  std::vector<double> numbers(K.data(), K.data() + K.size());
  numbers.insert(numbers.end(), b.begin(), b.end());
  numbers.push_back(v);
  return numbers;
}

Parameters Parameters::from_numbers(std::span<const double> numbers, const Shape& shape) {
  Parameters parameters = zero(shape);
  const double* next = numbers.data();
  for (double& x : parameters.K.reshaped<Eigen::RowMajor>()) x = *next++;
  for (double& x : parameters.b) x = *next++;
  parameters.v = *next;
  return parameters;
}

std::size_t Parameters::trained_size(Activation activation) const {
  const TrainedParts trained = trained_by(activation);
  return static_cast<std::size_t>(K.size() + (trained.b ? b.size() : 0) + (trained.v ? 1 : 0));
}

void Parameters::pack(Activation activation, std::span<double> out) const {
  const TrainedParts trained = trained_by(activation);
  auto next = std::copy_n(K.data(), K.size(), out.begin());
  if (trained.b) next = std::copy_n(b.data(), b.size(), next);
  if (trained.v) *next = v;
}

void Parameters::unpack(Activation activation, std::span<const double> in) {
  const TrainedParts trained = trained_by(activation);
  auto next = in.begin();
  std::copy_n(next, K.size(), K.data());
  next += K.size();
  if (trained.b) {
    std::copy_n(next, b.size(), b.data());
    next += b.size();
  }
  if (trained.v) v = *next;
}

Vector Parameters::packed(Activation activation) const {
  std::vector<double> all(trained_size(activation));
  pack(activation, all);
  return Eigen::Map<const Vector>(all.data(), static_cast<Eigen::Index>(all.size()));
}

Parameters Parameters::moved(Activation activation, const Vector& by) const {
  const Vector all = packed(activation) + by;
  Parameters result = *this;
  result.unpack(activation, {all.data(), static_cast<std::size_t>(all.size())});
  return result;
}

OrderParameters order_parameters(const Matrix& K, const Matrix& spike_factor) {
  const auto features = spike_factor.rows();
  OrderParameters order;
  order.m = K.leftCols(features) * spike_factor.transpose();
  order.q = K * K.transpose();
  const auto u = K.rightCols(K.rows());
  order.r = u * u.transpose();
  return order;
}

Matrix cosine_similarity(const Matrix& q) {
  const Vector scale =
      q.diagonal().unaryExpr([](double x) { return x > 0 ? 1 / std::sqrt(x) : 0.0; });
  return scale.asDiagonal() * q * scale.asDiagonal();
}

Matrix symmetric_root(const Matrix& r) {
  const SymmetricEigen eigen(0.5 * (r + r.transpose()));
  const Vector root = eigen.values.cwiseMax(0).cwiseSqrt();
  return eigen.vectors * root.asDiagonal() * eigen.vectors.transpose();
}

}  // namespace headflow
