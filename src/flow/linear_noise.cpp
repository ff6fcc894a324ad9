#include <cmath>
#include <numbers>
#include <unsupported/Eigen/MatrixFunctions>
#include <utility>

#include "headflow/flow/fluctuations.hpp"
#include "headflow/flow/order_tangents.hpp"

namespace headflow {
namespace {

Matrix doubled(const Matrix& half) { return half + half.transpose(); }

/// J from the derivatives of the gradient and of N along the tangents:
///   f_m = -dE/dm,  f_r = -(G u' + u G') + kappa N,  G = dE/du,  f_b = -rate_b dE/db,
///   f_v = -rate_v dE/dv.
Matrix jacobian(const Linearization& found, const OrderTangents& tangents, const Parameters& at,
                const Training& training, double kappa) {
  const Eigen::Index H = at.K.rows(), F = at.K.cols() - H;
  const auto n = static_cast<Eigen::Index>(tangents.size());
  Matrix J(n, n);
  for (Eigen::Index i = 0; i < n; ++i) {
    const LossGradient& along = found.along[static_cast<std::size_t>(i)];
    const Parameters& direction = tangents.directions()[static_cast<std::size_t>(i)];
    const Matrix half = along.gradient.K.rightCols(H) * at.K.rightCols(H).transpose() +
                        found.at.gradient.K.rightCols(H) * direction.K.rightCols(H).transpose();
    Matrix of_r = doubled(half);
    if (kappa > 0) of_r -= kappa * along.noise;
    J.col(i) = -tangents.packed(along.gradient.K.leftCols(F), of_r, training.b * along.gradient.b,
                                training.v * along.gradient.v);
  }
  return J;
}

/// What lies at `place` of a step on the line through what is at Gauss's points.
LinearNoise between(const LinearNoise& first, const LinearNoise& second, double place) {
  const double weight = 0.5 + std::numbers::sqrt3 * (place - 0.5);
  return {(1 - weight) * first.jacobian + weight * second.jacobian,
          (1 - weight) * first.noise + weight * second.noise};
}

/// The equation of C as a linear one of twice the size: with X' = A X, X = 1 at the begin,
/// C = X_11 C(0) X_11' + X_12 X_11'.
Matrix generator(const LinearNoise& at, double strength) {
  const Eigen::Index n = at.jacobian.rows();
  Matrix A = Matrix::Zero(2 * n, 2 * n);
  A.topLeftCorner(n, n) = at.jacobian;
  A.topRightCorner(n, n) = strength * at.noise;
  A.bottomRightCorner(n, n) = -at.jacobian.transpose();
  return A;
}

}  // namespace

std::vector<LinearNoise> linear_noises(PopulationLoss& loss, std::span<const Parameters> points,
                                       double kappa, Control& control) {
  std::vector<OrderTangents> tangents;
  std::vector<std::vector<Parameters>> directions;
  for (const Parameters& point : points)
    directions.push_back(tangents.emplace_back(loss.model(), point).directions());
  const auto linearizations = loss.linearize(points, directions, control);
  const auto moments = loss.step_moments(points, kappa, control);
  std::vector<LinearNoise> replicates;
  for (std::size_t r = 0; r < moments.size(); ++r) {
    const std::size_t own = points.size() == 1 ? 0 : r;
    replicates.push_back(
        {jacobian(linearizations[r], tangents[own], points[own], loss.model().training, kappa),
         moments[r].covariance});
  }
  return replicates;
}

LinearNoise linear_noise(PopulationLoss& loss, const Parameters& at, double kappa,
                         Control& control) {
  const auto replicates = linear_noises(loss, {&at, 1}, kappa, control);
  const auto n = replicates[0].jacobian.rows();
  LinearNoise mean{Matrix::Zero(n, n), Matrix::Zero(n, n)};
  for (const LinearNoise& one : replicates) {
    mean.jacobian += one.jacobian / static_cast<double>(replicates.size());
    mean.noise += one.noise / static_cast<double>(replicates.size());
  }
  return mean;
}

Matrix Propagator::operator()(const Matrix& covariance) const {
  const Matrix C = growth * covariance * growth.transpose() + noise;
  return 0.5 * (C + C.transpose());
}

Propagator propagator(const LinearNoise& first, const LinearNoise& second, double strength,
                      double h, double part) {
  constexpr double off = 0.5 / std::numbers::sqrt3;
  const Matrix early = generator(between(first, second, part * (0.5 - off)), strength);
  const Matrix late = generator(between(first, second, part * (0.5 + off)), strength);
  const double t = part * h;
  const Matrix exponent =
      0.5 * t * (early + late) + std::numbers::sqrt3 / 12 * t * t * (late * early - early * late);
  const Matrix X = exponent.exp();
  const Eigen::Index n = first.jacobian.rows();
  const auto growth = X.topLeftCorner(n, n);
  return {growth, X.topRightCorner(n, n) * growth.transpose()};
}

namespace {

Sensitivities sensitivities_at(const Model& model, const Spread& spread) {
  const Parameters& at = spread.at;
  const auto& [L, H, F] = model.shape;
  const OrderTangents tangents(model, at);
  const auto n = static_cast<Eigen::Index>(tangents.size());
  const Matrix q = order_parameters(at.K, model.spike_factor).q;
  const Matrix m = at.K.leftCols(F), cosine = cosine_similarity(q);
  const Vector scale =
      q.diagonal().unaryExpr([](double norm) { return norm > 0 ? 1 / std::sqrt(norm) : 0.0; });
  Sensitivities rows{Matrix(H * F, n), Matrix(H * H, n), Matrix(H * H, n), Matrix(H, n),
                     Matrix(1, n),     Matrix(1, n),     Matrix(H * H, n), Matrix(n, n)};
  Parameters of_loss = spread.gradient;
  if (model.training.k) of_loss.K -= model.weight_decay * at.K;
  for (Eigen::Index i = 0; i < n; ++i) {
    const Parameters& direction = tangents.directions()[static_cast<std::size_t>(i)];
    const Matrix dm = direction.K.leftCols(F), dr = tangents.of_r()[static_cast<std::size_t>(i)];
    const Matrix dq = doubled(dm * m.transpose()) + dr;
    const Vector of_norm = 0.5 * dq.diagonal().cwiseProduct(scale.cwiseAbs2());
    const Matrix turned = scale.asDiagonal() * dq * scale.asDiagonal();
    const Matrix dcosine = turned - of_norm.asDiagonal() * cosine - cosine * of_norm.asDiagonal();
    const Matrix overlaps = dm * model.spike_factor.transpose();
    rows.m.col(i) = overlaps.reshaped<Eigen::RowMajor>();
    rows.r.col(i) = dr.reshaped<Eigen::RowMajor>();
    rows.q.col(i) = dq.reshaped<Eigen::RowMajor>();
    rows.b.col(i) = direction.b;
    rows.v(0, i) = direction.v;
    rows.loss(0, i) = of_loss.K.cwiseProduct(direction.K).sum() + of_loss.b.dot(direction.b) +
                      of_loss.v * direction.v;
    rows.cosine.col(i) = dcosine.reshaped<Eigen::RowMajor>();
    rows.order.col(i) = tangents.packed(overlaps, dr, direction.b, direction.v);
  }
  return rows;
}

}  // namespace

std::vector<Sensitivities> sensitivities(const Model& model, const std::vector<Spread>& spreads) {
  std::vector<Sensitivities> result;
  for (const Spread& one : spreads) result.push_back(sensitivities_at(model, one));
  return result;
}

std::vector<Measured> deviations(const std::vector<Sensitivities>& at, Matrix Sensitivities::*rows,
                                 const std::vector<Spread>& spreads) {
  std::vector<Measured> result;
  for (Eigen::Index i = 0; i < (at[0].*rows).rows(); ++i) {
    std::vector<double> each;
    for (std::size_t s = 0; s < spreads.size(); ++s) {
      const auto row = (at[s].*rows).row(i);
      const double variance = row.dot(row * spreads[s].covariance);
      each.push_back(variance > 0 ? std::sqrt(variance) : 0);
    }
    const double all = each.front();
    if (each.size() > 1) each.erase(each.begin());
    result.push_back({all, standard_error(each)});
  }
  return result;
}

}  // namespace headflow
