#pragma once
#include <vector>

#include "headflow/model/model.hpp"
#include "headflow/model/parameters.hpp"

namespace headflow {

/// How a root u of r = u u' changes with r: du = Lambda u, where Lambda r + r Lambda = dr, Lambda
/// symmetric and zero where r has nothing.
class RootTangents {
 public:
  explicit RootTangents(const Matrix& u);
  Matrix along(const Matrix& dr) const;

 private:
  Matrix u_;
  Vector eigenvalues_;  // of r
  Eigen::MatrixXd eigenvectors_;
  double least_;
};

/// The tangent space of y = (m, r, b, v) at K = [m | u], in the order of StepMoments: a change of
/// each of its n entries alone, as one of (K, b, v).
class OrderTangents {
 public:
  OrderTangents(const Model& model, const Parameters& at);

  std::size_t size() const { return directions_.size(); }
  const std::vector<Parameters>& directions() const { return directions_; }
  /// The derivatives of r (H x H) along them.
  const std::vector<Matrix>& of_r() const { return of_r_; }
  /// m, the lower triangle of r, b and v as one vector, as far as they are trained.
  Vector packed(const Matrix& m, const Matrix& r, const Vector& b, double v) const;

 private:
  void add_r(const Parameters& at);
  void add(Parameters direction, Matrix r);

  Training training_;
  std::vector<Parameters> directions_;
  std::vector<Matrix> of_r_;
};

}  // namespace headflow
