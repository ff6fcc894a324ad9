#pragma once
#include "headflow/core/matrix.hpp"

namespace headflow {

// Eigen's decompositions, compiled once: each costs a compiler ten seconds.

/// Eigenvalues of a symmetric matrix, ascending, and its eigenvectors in columns. Only the lower
/// triangle is read.
struct SymmetricEigen {
  explicit SymmetricEigen(const Eigen::MatrixXd& matrix);
  Vector values;
  Eigen::MatrixXd vectors;
};

/// The same, computed by rows.
struct SymmetricEigenByRows {
  explicit SymmetricEigenByRows(const Matrix& matrix);
  Vector values;
  Matrix vectors;
};

/// The largest singular value of a matrix and its singular vectors.
struct LargestSingular {
  explicit LargestSingular(const Eigen::MatrixXd& matrix);
  double value;
  Vector left, right;
};

/// The lower triangle L of a positive definite matrix L L'; empty for another matrix.
Matrix cholesky_factor(const Matrix& matrix);

}  // namespace headflow
