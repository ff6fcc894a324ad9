#include "saddle/pattern_dynamics.hpp"

#include <utility>
#include <vector>

#include "headflow/flow/order_tangents.hpp"

namespace headflow {
namespace {

/// Alternating signs over heads, orthogonal to (1, .., 1), normalised.
Vector alternating(int heads) {
  Vector e(heads);
  for (int h = 0; h < heads; ++h) e[h] = h % 2 == 0 ? 1 : -1;
  return (e.array() - e.mean()).matrix().normalized();
}

/// The tangents of y along a pattern in each coordinate of a head.
std::vector<Parameters> pattern_tangents(const UnspecializedManifold& manifold,
                                         const Parameters& at, const Vector& pattern) {
  const int H = manifold.model().shape.heads, F = manifold.model().shape.features;
  std::vector<Parameters> tangents;
  for (int f = 0; f < F; ++f) {
    tangents.push_back(Parameters::zero(manifold.model().shape));
    tangents.back().K.col(f) = pattern;
  }
  if (manifold.model().training.b > 0) {
    tangents.push_back(Parameters::zero(manifold.model().shape));
    tangents.back().b = pattern;
  }
  const RootTangents root(at.K.rightCols(H));
  const auto add = [&](const Matrix& dr) {
    tangents.push_back(Parameters::zero(manifold.model().shape));
    tangents.back().K.rightCols(H) = root.along(dr);
  };
  const Matrix same = pattern.asDiagonal();
  add(same);
  if (H > 2) add(pattern.replicate(1, H) + pattern.transpose().replicate(H, 1) - 2 * same);
  return tangents;
}

/// The mean over the replicates.
Linearization mean_of(const std::vector<Linearization>& replicates) {
  Linearization mean = replicates[0];
  const auto part = 1 / static_cast<double>(replicates.size());
  const auto set = [&](LossGradient& to, auto&& of) {
    to.gradient.K.setZero();
    to.gradient.b.setZero();
    to.noise.setZero();
    for (const Linearization& one : replicates) {
      to.gradient.K += part * of(one).gradient.K;
      to.gradient.b += part * of(one).gradient.b;
      to.noise += part * of(one).noise;
    }
  };
  set(mean.at, [](const Linearization& one) -> const LossGradient& { return one.at; });
  for (std::size_t i = 0; i < mean.along.size(); ++i)
    set(mean.along[i],
        [i](const Linearization& one) -> const LossGradient& { return one.along[i]; });
  return mean;
}

Matrix jacobian(PopulationLoss& loss, const UnspecializedManifold& manifold, const Parameters& at,
                double kappa, Control& control) {
  const auto& [L, H, F] = manifold.model().shape;
  const Vector pattern = alternating(H);
  const auto tangents = pattern_tangents(manifold, at, pattern);
  const Linearization found = mean_of(loss.linearize({&at, 1}, {&tangents, 1}, control));
  const auto C = static_cast<int>(tangents.size());
  Matrix J(C, C);
  for (int c = 0; c < C; ++c) {
    const auto i = static_cast<std::size_t>(c);
    const LossGradient& along = found.along[i];
    const Matrix half = along.gradient.K.rightCols(H) * at.K.rightCols(H).transpose() +
                        found.at.gradient.K.rightCols(H) * tangents[i].K.rightCols(H).transpose();
    Matrix of_r = half + half.transpose();
    if (kappa > 0) of_r -= kappa * along.noise;
    const Vector of_b = manifold.model().training.b * along.gradient.b;
    J.col(c) =
        -manifold.head_coordinates(along.gradient.K.leftCols(F), of_r, of_b).transpose() * pattern;
    for (int other = 0; other < C; ++other)
      if (!manifold.coupled(c, other)) J(other, c) = 0;
  }
  return J;
}

/// The coordinates of all heads, less their means over heads, as linear maps of y: H x n for each.
std::vector<Matrix> coordinate_maps(const UnspecializedManifold& manifold, const Parameters& at) {
  const auto& [L, H, F] = manifold.model().shape;
  const OrderTangents tangents(manifold.model(), at);
  std::vector<Matrix> maps(static_cast<std::size_t>(manifold.head_coordinate_count()),
                           Matrix(H, static_cast<Eigen::Index>(tangents.size())));
  for (std::size_t i = 0; i < tangents.size(); ++i) {
    const Parameters& one = tangents.directions()[i];
    const Matrix change = manifold.head_coordinates(one.K.leftCols(F), tangents.of_r()[i], one.b);
    for (std::size_t c = 0; c < maps.size(); ++c) {
      const Vector column = change.col(static_cast<Eigen::Index>(c));
      maps[c].col(static_cast<Eigen::Index>(i)) = column.array() - column.mean();
    }
  }
  return maps;
}

/// Cov[zeta] of a pattern, its mean over all H - 1 of them.
Matrix noise(PopulationLoss& loss, const UnspecializedManifold& manifold, const Parameters& at,
             double kappa, Control& control) {
  const auto moments = loss.step_moments({&at, 1}, kappa, control);
  Matrix covariance = Matrix::Zero(moments[0].covariance.rows(), moments[0].covariance.cols());
  for (const StepMoments& one : moments)
    covariance += one.covariance / static_cast<double>(moments.size());
  const auto maps = coordinate_maps(manifold, at);
  const auto C = static_cast<int>(maps.size());
  Matrix result = Matrix::Zero(C, C);
  for (int c = 0; c < C; ++c) {
    const Matrix carried = maps[static_cast<std::size_t>(c)] * covariance;
    for (int other = 0; other < C; ++other)
      if (manifold.coupled(c, other))
        result(c, other) = carried.cwiseProduct(maps[static_cast<std::size_t>(other)]).sum() /
                           (manifold.model().shape.heads - 1);
  }
  return result;
}

}  // namespace

LinearNoise pattern_dynamics(PopulationLoss& loss, const UnspecializedManifold& manifold,
                             const Parameters& at, double kappa, Control& control) {
  LinearNoise found{jacobian(loss, manifold, at, kappa, control), {}};
  found.noise = kappa > 0 ? noise(loss, manifold, at, kappa, control)
                          : Matrix(Matrix::Zero(found.jacobian.rows(), found.jacobian.cols()));
  return found;
}

}  // namespace headflow
