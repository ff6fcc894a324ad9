#include "headflow/flow/order_tangents.hpp"

#include <utility>

#include "core/eigen.hpp"

namespace headflow {
namespace {

/// A sum of two eigenvalues of r below this part of its size is rounding.
constexpr double rounding = 1e-16;

}  // namespace

RootTangents::RootTangents(const Matrix& u) : u_(u), least_(rounding * (1 + u.squaredNorm())) {
  SymmetricEigen eigen(Matrix(u * u.transpose()));
  eigenvalues_ = std::move(eigen.values);
  eigenvectors_ = std::move(eigen.vectors);
}

Matrix RootTangents::along(const Matrix& dr) const {
  Matrix inside = eigenvectors_.transpose() * dr * eigenvectors_;
  for (Eigen::Index i = 0; i < inside.rows(); ++i)
    for (Eigen::Index j = 0; j < inside.cols(); ++j) {
      const double sum = eigenvalues_[i] + eigenvalues_[j];
      inside(i, j) = sum > least_ ? inside(i, j) / sum : 0;
    }
  return eigenvectors_ * inside * eigenvectors_.transpose() * u_;
}

OrderTangents::OrderTangents(const Model& model, const Parameters& at) : training_(model.training) {
  const auto& [L, H, F] = model.shape;
  const Matrix none = Matrix::Zero(H, H);
  for (int h = 0; h < H && training_.k; ++h)
    for (int f = 0; f < F; ++f) {
      Parameters direction = Parameters::zero(model.shape);
      direction.K(h, f) = 1;
      add(std::move(direction), none);
    }
  if (training_.k) add_r(at);
  for (int h = 0; h < H && training_.b > 0; ++h) {
    Parameters direction = Parameters::zero(model.shape);
    direction.b[h] = 1;
    add(std::move(direction), none);
  }
  if (training_.v == 0) return;
  Parameters direction = Parameters::zero(model.shape);
  direction.v = 1;
  add(std::move(direction), none);
}

void OrderTangents::add_r(const Parameters& at) {
  const Eigen::Index H = at.K.rows();
  const RootTangents root(at.K.rightCols(H));
  for (Eigen::Index h = 0; h < H; ++h)
    for (Eigen::Index other = 0; other <= h; ++other) {
      Matrix dr = Matrix::Zero(H, H);
      dr(h, other) = dr(other, h) = 1;
      Parameters direction{Matrix::Zero(H, at.K.cols()), Vector::Zero(H), 0};
      direction.K.rightCols(H) = root.along(dr);
      add(std::move(direction), std::move(dr));
    }
}

void OrderTangents::add(Parameters direction, Matrix r) {
  directions_.push_back(std::move(direction));
  of_r_.push_back(std::move(r));
}

Vector OrderTangents::packed(const Matrix& m, const Matrix& r, const Vector& b, double v) const {
  Vector y(static_cast<Eigen::Index>(size()));
  Eigen::Index next = 0;
  for (Eigen::Index i = 0; i < m.rows() && training_.k; ++i)
    for (Eigen::Index f = 0; f < m.cols(); ++f) y[next++] = m(i, f);
  for (Eigen::Index i = 0; i < r.rows() && training_.k; ++i)
    for (Eigen::Index j = 0; j <= i; ++j) y[next++] = r(i, j);
  if (training_.b > 0)
    for (const double one : b) y[next++] = one;
  if (training_.v > 0) y[next] = v;
  return y;
}

}  // namespace headflow
