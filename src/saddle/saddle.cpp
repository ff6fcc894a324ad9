#include "headflow/saddle/saddle.hpp"

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>

#include "core/eigen.hpp"
#include "headflow/core/statistics.hpp"
#include "headflow/flow/stages.hpp"

namespace headflow {
namespace {

using Solver = SymmetricEigenByRows;

template <class Replicate, class F>
Measured measured(double value, const std::vector<Replicate>& replicates, F&& f) {
  std::vector<double> values;
  for (const Replicate& one : replicates) values.push_back(f(one));
  return {value, standard_error(values)};
}

Curvature mean_of(const std::vector<Curvature>& replicates) {
  Curvature mean = replicates[0];
  for (std::size_t r = 1; r < replicates.size(); ++r) {
    mean.loss += replicates[r].loss;
    mean.gradient += replicates[r].gradient;
    mean.hessian += replicates[r].hessian;
  }
  const auto n = static_cast<double>(replicates.size());
  return {mean.loss / n, mean.gradient / n, mean.hessian / n};
}

/// -H^+ g, with the modulus of negative eigenvalues and nothing along directions that are flat
/// against the stiffest.
Vector newton_step(const Matrix& hessian, const Vector& gradient, double flat) {
  if (gradient.size() == 0) return gradient;
  const Solver solver(hessian);
  const double least = flat * solver.values.cwiseAbs().maxCoeff();
  Vector along = solver.vectors.transpose() * gradient;
  for (Eigen::Index i = 0; i < along.size(); ++i) {
    const double curvature = std::abs(solver.values[i]);
    along[i] = curvature > least ? -along[i] / curvature : 0;
  }
  return solver.vectors * along;
}

/// Newton's method on the span of Z for the mean over the samples, by steps of length 1 at most
/// that lower the loss: the point, and |Z' gradient|.
double minimise_on(PopulationLoss& loss, const Matrix& Z, Parameters& point, Control& control) {
  const Training& training = loss.model().training;
  std::vector<Parameters> directions;
  for (Eigen::Index i = 0; i < Z.cols(); ++i)
    directions.push_back(Parameters::zero(loss.model().shape).moved(training, Z.col(i)));
  double norm = 0;
  for (int iteration = 0; iteration < 100; ++iteration) {
    const LossTangents found = loss.differentiate(point, directions, control);
    const Vector gradient = Z.transpose() * found.at.gradient.packed_gradient(training);
    norm = gradient.norm();
    if (norm < 1e-12) break;
    Matrix hessian(Z.cols(), Z.cols());
    for (Eigen::Index i = 0; i < Z.cols(); ++i)
      hessian.col(i) =
          Z.transpose() * found.products[static_cast<std::size_t>(i)].packed_gradient(training);
    Vector step = newton_step(0.5 * (hessian + hessian.transpose()), gradient, 1e-7);
    step /= std::max(1.0, step.norm());
    double fall = -gradient.dot(step);
    Parameters trial;
    double change = 1;
    for (int halving = 0; halving < 30 && change > -1e-4 * fall; ++halving) {
      trial = point.moved(training, Z * step);
      change = loss.evaluate(trial, control).objective() - found.at.objective();
      step *= 0.5;
      fall *= 0.5;
    }
    if (change >= 0) break;  // rounding is reached
    point = trial;
  }
  return norm;
}

/// The Hessian on the manifold, averaged over its symmetries, in terms of what one head has.
struct SymmetricHessian {
  Matrix same, other;      // C x C: within a head, and between two
  Vector scale;            // C: with v
  double v = 0;            // v with itself
  double u_same, u_other;  // of one column of u
};

SymmetricHessian symmetrised(const Matrix& hessian, const UnspecializedManifold& manifold) {
  const int H = manifold.model().shape.heads, F = manifold.model().shape.features;
  const int P = F + H, C = F + (manifold.model().training.b > 0 ? 1 : 0);
  const auto place = [&](int h, int c) { return c < F ? h * P + c : H * P + h; };
  const bool scaled = manifold.model().training.v > 0;
  const double pairs = std::max(1, H * (H - 1));
  std::vector<bool> coupled;  // of each two coordinates of a head
  for (int c = 0; c < C; ++c)
    for (int d = 0; d < C; ++d) coupled.push_back(manifold.coupled(c, d));
  SymmetricHessian result{Matrix::Zero(C, C), Matrix::Zero(C, C), Vector::Zero(C), 0, 0, 0};
  if (scaled) result.v = hessian(hessian.rows() - 1, hessian.rows() - 1);
  for (int h = 0; h < H; ++h) {
    for (int g = 0; g < H; ++g) {
      for (int c = 0; c < C; ++c)
        for (int d = 0; d < C; ++d) {
          if (!coupled[static_cast<std::size_t>(c * C + d)]) continue;
          const double entry = hessian(place(h, c), place(g, d));
          (h == g ? result.same : result.other)(c, d) += entry / (h == g ? H : pairs);
        }
      for (int p = F; p < P; ++p)
        (h == g ? result.u_same : result.u_other) +=
            hessian(h * P + p, g * P + p) / (h == g ? H * H : pairs * H);
    }
    for (int c = 0; c < C && scaled; ++c)
      if (manifold.coupled(c, F)) result.scale[c] += hessian(place(h, c), hessian.rows() - 1) / H;
  }
  return result;
}

/// The blocks of split and of common patterns, the latter with v where it is trained.
Matrix split_block(const SymmetricHessian& hessian) { return hessian.same - hessian.other; }
Matrix common_block(const SymmetricHessian& hessian, double H, bool scaled) {
  const Eigen::Index C = hessian.same.rows();
  Matrix block = Matrix::Zero(C + scaled, C + scaled);
  block.topLeftCorner(C, C) = hessian.same + (H - 1) * hessian.other;
  if (!scaled) return block;
  block.col(C).head(C) = std::sqrt(H) * hessian.scale;
  block.row(C).head(C) = std::sqrt(H) * hessian.scale;
  block(C, C) = hessian.v;
  return block;
}

/// Eigenvectors of a block of the mean, with errors from the same block of the replicates.
template <class Block>
std::vector<GrowthMode> modes_of(const SymmetricHessian& mean,
                                 const std::vector<SymmetricHessian>& replicates, int features,
                                 const Training& training, Block&& block) {
  const bool biased = training.b > 0;
  const Solver solver(block(mean));
  std::vector<GrowthMode> modes;
  for (Eigen::Index i = 0; i < solver.values.size(); ++i) {
    const Vector vector = solver.vectors.col(i);
    GrowthMode mode{.rate = measured(-solver.values[i], replicates,
                                     [&](const SymmetricHessian& one) {
                                       return -vector.dot(block(one) * vector);
                                     }),
                    .feature = vector.head(features)};
    if (biased) mode.bias = std::sqrt(training.b) * vector[features];
    if (vector.size() > features + biased)
      mode.scale = std::sqrt(training.v) * vector[vector.size() - 1];
    modes.push_back(std::move(mode));
  }
  return modes;
}

}  // namespace

Saddle find_saddle(PopulationLoss& loss, const UnspecializedManifold& manifold,
                   const Parameters& from, Control& control) {
  const int H = manifold.model().shape.heads, F = manifold.model().shape.features;
  const Training& training = manifold.model().training;
  Saddle saddle{.parameters = manifold.projection(from)};
  saddle.parameters.K.rightCols(H).setZero();
  const Matrix Z = manifold.directions_without_u();
  saddle.gradient_norm = minimise_on(loss, Z, saddle.parameters, control);

  // Each replicate at its own saddle to first order; flat directions (the line of fixed points of
  // Lemma A.4, and what is nearly one) have no place of their own.
  auto replicates = loss.curvatures({&saddle.parameters, 1}, control);
  const Curvature mean = mean_of(replicates);
  const Matrix hessian = Z.transpose() * mean.hessian * Z;
  std::vector<Parameters> own;
  for (const Curvature& one : replicates)
    own.push_back(saddle.parameters.moved(
        training, Z * newton_step(hessian, Z.transpose() * one.gradient, 1e-2)));
  if (own.size() > 1) replicates = loss.curvatures(own, control);

  saddle.loss = measured(mean.loss, replicates, [](const Curvature& one) { return one.loss; });
  const SymmetricHessian symmetric = symmetrised(mean.hessian, manifold);
  std::vector<SymmetricHessian> each;
  for (const Curvature& one : replicates) each.push_back(symmetrised(one.hessian, manifold));
  saddle.split = modes_of(symmetric, each, F, training, split_block);
  saddle.common = modes_of(symmetric, each, F, training, [&](const SymmetricHessian& one) {
    return common_block(one, H, training.v > 0);
  });
  const auto u_rate = [&](double others) {
    const auto rate = [others](const SymmetricHessian& one) {
      return -(one.u_same + others * one.u_other);
    };
    return measured(rate(symmetric), each, rate);
  };
  saddle.u_split = u_rate(-1);
  saddle.u_common = u_rate(H - 1);
  return saddle;
}

LocalSpectrum local_spectrum(PopulationLoss& loss, const Parameters& at, Control& control) {
  const auto replicates = loss.curvatures({&at, 1}, control);
  const Matrix hessian = mean_of(replicates).hessian;
  const auto rayleigh = [&](const Vector& vector, double sign) {
    return
        [&vector, sign](const Curvature& one) { return sign * vector.dot(one.hessian * vector); };
  };
  const Solver solver(hessian);
  LocalSpectrum spectrum{.eigenvectors = solver.vectors.transpose()};
  for (Eigen::Index i = 0; i < solver.values.size(); ++i) {
    const Vector vector = solver.vectors.col(i);
    spectrum.eigenvalues.push_back(measured(solver.values[i], replicates, rayleigh(vector, 1)));
  }
  const auto& [L, H, F] = loss.model().shape;
  const int P = F + H;
  spectrum.hessian = hessian;
  spectrum.pattern.resize(F, H);
  for (int f = 0; f < F; ++f) {
    const auto rows = Eigen::seqN(f, H, P);
    const Solver block(Matrix(hessian(rows, rows)));
    spectrum.pattern.row(f) = block.vectors.col(0);
    Vector vector = Vector::Zero(hessian.rows());
    vector(rows) = block.vectors.col(0);
    spectrum.rate.push_back(measured(-block.values[0], replicates, rayleigh(vector, -1)));
  }
  return spectrum;
}

std::vector<double> times_to_split(const Matrix& hessian, const Matrix& K, const Model& model,
                                   double threshold) {
  const Shape& shape = model.shape;
  const int H = shape.heads, F = shape.features;
  const Vector spread = spread_over_heads(model.overlaps(K));
  std::vector<int> open;  // features that have not split
  for (int f = 0; f < F; ++f)
    if (spread[f] < threshold) open.push_back(f);
  std::vector<int> places;
  for (int h = 0; h < H; ++h)
    for (const int f : open) places.push_back(h * shape.coordinates() + f);
  std::vector<double> times(static_cast<std::size_t>(F), never);
  if (open.empty()) return times;
  // Not SymmetricEigenByRows, with which the compiler orders the product below otherwise: other
  // bits.
  const Eigen::SelfAdjointEigenSolver<Matrix> solver(Matrix(hessian(places, places)));
  const Matrix apart = K.rowwise() - K.colwise().mean();
  Vector now(static_cast<Eigen::Index>(places.size()));
  for (std::size_t i = 0; i < places.size(); ++i)
    now[static_cast<Eigen::Index>(i)] =
        apart(places[i] / shape.coordinates(), places[i] % shape.coordinates());
  const Vector along = solver.eigenvectors().transpose() * now;
  const double fastest = -solver.eigenvalues()[0];
  if (fastest <= 0) return times;
  const auto spread_at = [&](double t) {
    const Vector grown = solver.eigenvectors() *
                         (along.array() * (-solver.eigenvalues().array() * t).exp()).matrix();
    Matrix m = Matrix::Zero(H, F);
    for (std::size_t i = 0; i < places.size(); ++i)
      m(places[i] / shape.coordinates(), places[i] % shape.coordinates()) =
          grown[static_cast<Eigen::Index>(i)];
    return spread_over_heads(model.overlaps(m));
  };
  // In steps of a tenth of the fastest growth time, until everything has split or long after it
  // should have.
  const double step = 0.1 / fastest;
  Vector before = spread_at(0);
  std::size_t left = open.size();
  for (double t = step; t < 600 / fastest && left > 0; t += step) {
    const Vector then = spread_at(t);
    for (const int f : open) {
      double& time = times[static_cast<std::size_t>(f)];
      if (!std::isnan(time) || !(then[f] >= threshold)) continue;
      time = t - step * std::log(then[f] / threshold) / std::log(then[f] / before[f]);
      if (!std::isnan(time)) --left;
    }
    before = then;
  }
  return times;
}

}  // namespace headflow
