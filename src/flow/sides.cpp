#include "headflow/flow/sides.hpp"

#include <algorithm>
#include <cmath>
#include <set>

namespace headflow {

SideRule::SideRule(const Prior& prior, double threshold) : threshold_(threshold) {
  for (int f = 0; f < prior.features(); ++f) {
    Vector signs = Vector::Ones(prior.features());
    signs[f] = -1;
    symmetric_.push_back(prior.invariant_under_signs(signs));
  }
}

Matrix SideRule::sides(const Matrix& m) const {
  Matrix sides(m.rows(), m.cols());
  for (Eigen::Index f = 0; f < m.cols(); ++f) {
    const double centre = symmetric_[static_cast<std::size_t>(f)] ? 0 : m.col(f).mean();
    for (Eigen::Index h = 0; h < m.rows(); ++h) {
      const double distance = m(h, f) - centre;
      sides(h, f) = std::abs(distance) < threshold_ ? 0 : distance > 0 ? 1 : -1;
    }
  }
  return sides;
}

Vector evenness(const Matrix& sides) {
  Vector result(sides.cols());
  for (Eigen::Index f = 0; f < sides.cols(); ++f) {
    const auto up = static_cast<double>((sides.col(f).array() > 0).count());
    const auto down = static_cast<double>((sides.col(f).array() < 0).count());
    result[f] = up + down == 0 ? 0 : 2 * std::min(up, down) / (up + down);
  }
  return result;
}

Combinations combinations(const Matrix& sides, const Vector& spread, double threshold) {
  Combinations result;
  std::set<std::vector<double>> different;
  for (Eigen::Index h = 0; h < sides.rows(); ++h) {
    std::vector<double> row;
    for (Eigen::Index f = 0; f < sides.cols(); ++f)
      if (spread[f] >= threshold) row.push_back(sides(h, f));
    if (std::find(row.begin(), row.end(), 0.0) == row.end())
      different.insert(row);
    else
      ++result.undecided;
  }
  result.different = static_cast<int>(different.size());
  return result;
}

}  // namespace headflow
