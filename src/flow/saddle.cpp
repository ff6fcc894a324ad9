#include "headflow/flow/saddle.hpp"

#include <Eigen/Eigenvalues>
#include <cmath>

namespace headflow {
namespace {

using Solver = Eigen::SelfAdjointEigenSolver<Matrix>;

Vector packed(const Parameters& parameters, const Activation& activation) {
  Vector all(static_cast<Eigen::Index>(parameters.trained_size(activation)));
  parameters.pack(activation, {all.data(), static_cast<std::size_t>(all.size())});
  return all;
}

Parameters moved(Parameters point, const Activation& activation, const Vector& by) {
  const Vector all = packed(point, activation) + by;
  point.unpack(activation, {all.data(), static_cast<std::size_t>(all.size())});
  return point;
}

/// Standard error of a mean from the values of its replicates.
double standard_error(const std::vector<double>& values) {
  const auto n = static_cast<double>(values.size());
  if (n < 2) return 0;
  double mean = 0, sum = 0;
  for (const double x : values) mean += x / n;
  for (const double x : values) sum += (x - mean) * (x - mean);
  return std::sqrt(sum / (n * (n - 1)));
}

template <class F>
Measured measured(double value, const std::vector<Curvature>& replicates, F&& f) {
  std::vector<double> values;
  for (const Curvature& one : replicates) values.push_back(f(one));
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

/// -H^+ g, with the modulus of negative eigenvalues and nothing along flat directions.
Vector newton_step(const Matrix& hessian, const Vector& gradient) {
  if (gradient.size() == 0) return gradient;
  const Solver solver(hessian);
  const double flat = 1e-7 * solver.eigenvalues().cwiseAbs().maxCoeff();
  Vector along = solver.eigenvectors().transpose() * gradient;
  for (Eigen::Index i = 0; i < along.size(); ++i) {
    const double curvature = std::abs(solver.eigenvalues()[i]);
    along[i] = curvature > flat ? -along[i] / curvature : 0;
  }
  return solver.eigenvectors() * along;
}

/// Newton's method on the span of Z for the mean over the samples: the point, and |Z' gradient|.
double minimise_on(PopulationLoss& loss, const Matrix& Z, Parameters& point,
                   const std::function<void()>& between) {
  const Activation& activation = loss.activation();
  std::vector<Parameters> directions;
  for (Eigen::Index i = 0; i < Z.cols(); ++i)
    directions.push_back(moved(Parameters::zero(loss.shape()), activation, Z.col(i)));
  double norm = 0;
  for (int iteration = 0; iteration < 50; ++iteration) {
    const LossTangents found = loss.differentiate(point, directions, between);
    const Vector gradient = Z.transpose() * packed(found.at.gradient, activation);
    norm = gradient.norm();
    if (norm < 1e-12) break;
    Matrix hessian(Z.cols(), Z.cols());
    for (Eigen::Index i = 0; i < Z.cols(); ++i)
      hessian.col(i) =
          Z.transpose() * packed(found.products[static_cast<std::size_t>(i)], activation);
    Vector step = Z * newton_step(0.5 * (hessian + hessian.transpose()), gradient);
    double next = norm;
    for (int halving = 0; halving < 20; ++halving, step *= 0.5) {
      const Parameters trial = moved(point, activation, step);
      next = (Z.transpose() * packed(loss.evaluate(trial, between).gradient, activation)).norm();
      if (next >= norm) continue;
      point = trial;
      break;
    }
    if (next >= norm) break;  // rounding is reached
    norm = next;
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
  const auto& [L, H, F] = manifold.shape();
  const int P = F + H, C = manifold.own_numbers();
  const auto place = [&](int h, int c) { return c < F ? h * P + c : H * P + h; };
  const bool scaled = trained_by(manifold.activation()).v;
  const double pairs = std::max(1, H * (H - 1));
  SymmetricHessian result{Matrix::Zero(C, C), Matrix::Zero(C, C), Vector::Zero(C), 0, 0, 0};
  if (scaled) result.v = hessian(hessian.rows() - 1, hessian.rows() - 1);
  for (int h = 0; h < H; ++h) {
    for (int g = 0; g < H; ++g) {
      for (int c = 0; c < C; ++c)
        for (int d = 0; d < C; ++d) {
          if (!manifold.coupled(c, d)) continue;
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
std::vector<GrowthMode> modes_of(const Curvature& mean, const std::vector<Curvature>& replicates,
                                 int features, bool biased, Block&& block) {
  const Solver solver(block(mean));
  std::vector<GrowthMode> modes;
  for (Eigen::Index i = 0; i < solver.eigenvalues().size(); ++i) {
    const Vector vector = solver.eigenvectors().col(i);
    GrowthMode mode{
        .rate = measured(-solver.eigenvalues()[i], replicates,
                         [&](const Curvature& one) { return -vector.dot(block(one) * vector); }),
        .feature = vector.head(features)};
    if (biased) mode.bias = vector[features];
    if (vector.size() > features + biased) mode.scale = vector[vector.size() - 1];
    modes.push_back(std::move(mode));
  }
  return modes;
}

}  // namespace

Saddle find_saddle(PopulationLoss& loss, const UnspecializedManifold& manifold, Parameters from,
                   const std::function<void()>& between) {
  const auto& [L, H, F] = manifold.shape();
  const Activation& activation = manifold.activation();
  const Trained trained = trained_by(activation);
  Saddle saddle{.parameters = manifold.projection(from)};
  saddle.parameters.K.rightCols(H).setZero();
  const Matrix Z = manifold.directions_without_u();
  saddle.gradient_norm = minimise_on(loss, Z, saddle.parameters, between);

  auto replicates = loss.curvatures({&saddle.parameters, 1}, between);
  const Curvature mean = mean_of(replicates);
  std::vector<Parameters> own(replicates.size(), saddle.parameters);
  for (int iteration = 0; iteration < 3 && replicates.size() > 1; ++iteration) {
    for (std::size_t r = 0; r < own.size(); ++r) {
      const Matrix hessian = Z.transpose() * replicates[r].hessian * Z;
      own[r] = moved(own[r], activation,
                     Z * newton_step(hessian, Z.transpose() * replicates[r].gradient));
    }
    replicates = loss.curvatures(own, between);
  }

  const auto symmetric = [&](const Curvature& one) { return symmetrised(one.hessian, manifold); };
  saddle.loss = measured(mean.loss, replicates, [](const Curvature& one) { return one.loss; });
  saddle.split = modes_of(mean, replicates, F, trained.b,
                          [&](const Curvature& one) { return split_block(symmetric(one)); });
  saddle.common = modes_of(mean, replicates, F, trained.b, [&](const Curvature& one) {
    return common_block(symmetric(one), H, trained.v);
  });
  const auto u_rate = [&](double others) {
    const auto rate = [&, others](const Curvature& one) {
      const SymmetricHessian hessian = symmetric(one);
      return -(hessian.u_same + others * hessian.u_other);
    };
    return measured(rate(mean), replicates, rate);
  };
  saddle.u_split = u_rate(-1);
  saddle.u_common = u_rate(H - 1);
  return saddle;
}

LocalSpectrum local_spectrum(PopulationLoss& loss, const Parameters& at,
                             const std::function<void()>& between) {
  const auto replicates = loss.curvatures({&at, 1}, between);
  const Matrix hessian = mean_of(replicates).hessian;
  const auto rayleigh = [&](const Vector& vector, double sign) {
    return
        [&vector, sign](const Curvature& one) { return sign * vector.dot(one.hessian * vector); };
  };
  const Solver solver(hessian);
  LocalSpectrum spectrum{.eigenvectors = solver.eigenvectors().transpose()};
  for (Eigen::Index i = 0; i < solver.eigenvalues().size(); ++i) {
    const Vector vector = solver.eigenvectors().col(i);
    spectrum.eigenvalues.push_back(
        measured(solver.eigenvalues()[i], replicates, rayleigh(vector, 1)));
  }
  const auto& [L, H, F] = loss.shape();
  const int P = F + H;
  spectrum.pattern.resize(F, H);
  for (int f = 0; f < F; ++f) {
    const auto rows = Eigen::seqN(f, H, P);
    const Solver block(Matrix(hessian(rows, rows)));
    spectrum.pattern.row(f) = block.eigenvectors().col(0);
    Vector vector = Vector::Zero(hessian.rows());
    vector(rows) = block.eigenvectors().col(0);
    spectrum.rate.push_back(measured(-block.eigenvalues()[0], replicates, rayleigh(vector, -1)));
  }
  return spectrum;
}

}  // namespace headflow
