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

std::size_t Parameters::trained_size(const Training& training) const {
  return static_cast<std::size_t>((training.k ? K.size() : 0) + (training.b > 0 ? b.size() : 0) +
                                  (training.v > 0 ? 1 : 0));
}

namespace {

/// K, b and v times these factors, as far as they are trained.
void pack_scaled(const Parameters& parameters, const Training& training, double b_factor,
                 double v_factor, std::span<double> out) {
  auto next = out.begin();
  if (training.k) next = std::copy_n(parameters.K.data(), parameters.K.size(), next);
  if (training.b > 0)
    for (const double b : parameters.b) *next++ = b_factor * b;
  if (training.v > 0) *next = v_factor * parameters.v;
}

}  // namespace

void Parameters::pack(const Training& training, std::span<double> out) const {
  pack_scaled(*this, training, 1 / std::sqrt(training.b), 1 / std::sqrt(training.v), out);
}

void Parameters::pack_gradient(const Training& training, std::span<double> out) const {
  pack_scaled(*this, training, std::sqrt(training.b), std::sqrt(training.v), out);
}

void Parameters::unpack(const Training& training, std::span<const double> in) {
  auto next = in.begin();
  if (training.k) {
    std::copy_n(next, K.size(), K.data());
    next += K.size();
  }
  if (training.b > 0)
    for (double& one : b) one = std::sqrt(training.b) * *next++;
  if (training.v > 0) v = std::sqrt(training.v) * *next;
}

Vector Parameters::packed(const Training& training) const {
  std::vector<double> all(trained_size(training));
  pack(training, all);
  return to_vector(all);
}

Vector Parameters::packed_gradient(const Training& training) const {
  std::vector<double> all(trained_size(training));
  pack_gradient(training, all);
  return to_vector(all);
}

Parameters Parameters::moved(const Training& training, const Vector& by) const {
  const Vector all = packed(training) + by;
  Parameters result = *this;
  result.unpack(training, {all.data(), static_cast<std::size_t>(all.size())});
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
