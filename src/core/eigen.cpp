#include "core/eigen.hpp"

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>

namespace headflow {

SymmetricEigen::SymmetricEigen(const Eigen::MatrixXd& matrix) {
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(matrix);
  values = solver.eigenvalues();
  vectors = solver.eigenvectors();
}

Matrix cholesky_factor(const Matrix& matrix) {
  const Eigen::LLT<Eigen::MatrixXd> cholesky(matrix);
  if (cholesky.info() != Eigen::Success) return {};
  return cholesky.matrixL();
}

}  // namespace headflow
