#include <Eigen/Eigenvalues>

#include "core/eigen.hpp"

namespace headflow {

SymmetricEigenByRows::SymmetricEigenByRows(const Matrix& matrix) {
  const Eigen::SelfAdjointEigenSolver<Matrix> solver(matrix);
  values = solver.eigenvalues();
  vectors = solver.eigenvectors();
}

}  // namespace headflow
