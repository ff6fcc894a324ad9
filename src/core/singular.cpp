#include <Eigen/SVD>

#include "core/eigen.hpp"

namespace headflow {

LargestSingular::LargestSingular(const Eigen::MatrixXd& matrix) {
  const Eigen::JacobiSVD<Eigen::MatrixXd> svd(matrix, Eigen::ComputeThinU | Eigen::ComputeThinV);
  value = svd.singularValues()[0];
  left = svd.matrixU().col(0);
  right = svd.matrixV().col(0);
}

}  // namespace headflow
