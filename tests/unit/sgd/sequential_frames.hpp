#pragma once
// SGD by overlaps written a second time, in the plainest way.
#include <boost/math/distributions/chi_squared.hpp>
#include <random>

#include "core/normal.hpp"
#include "sgd/sequence_gradient.hpp"
#include "support.hpp"

namespace headflow::testing_support {

/// m, the lower triangle of r = u u', b and v of a replica.
inline std::vector<double> overlaps_of(const Parameters& parameters, const Matrix& spike_factor) {
  const OrderParameters order = order_parameters(parameters.K, spike_factor);
  std::vector<double> all(order.m.data(), order.m.data() + order.m.size());
  for (Eigen::Index h = 0; h < order.r.rows(); ++h)
    for (Eigen::Index g = 0; g <= h; ++g) all.push_back(order.r(h, g));
  all.insert(all.end(), parameters.b.begin(), parameters.b.end());
  all.push_back(parameters.v);
  return all;
}

/// theory.md, section 9, word by word: one Cholesky factor R of the Gram matrix of spikes and
/// heads, and the sequences of a batch one after the other in one frame, W = C C'. Its numbers come
/// from another generator. Two ways to be wrong show that the comparisons below would see them.
class SequentialFrames {
 public:
  enum class Broken { no, without_wishart, without_cross_terms };

  SequentialFrames(const SgdProblem& problem, const Start& start, Broken broken = Broken::no)
      : problem_(problem),
        sequence_(problem.model.shape, problem.model.activation),
        broken_(broken) {
    const int F = problem.model.shape.features;
    first_ = Matrix::Zero(F + problem.model.shape.heads, F + problem.model.shape.heads);
    first_.topLeftCorner(F, F) = start.spike_factor;
    first_.bottomRows(problem.model.shape.heads) = start.parameters.K;
    // Rows in an orthonormal frame; to a lower triangle.
    first_ = lower_factor(first_ * first_.transpose());
  }

  std::vector<double> run(const Parameters& parameters, std::int64_t steps) {
    const auto& [L, H, F] = problem_.model.shape;
    Matrix R = first_;
    Vector b = parameters.b;
    double v = parameters.v;
    double t = 0;
    for (std::int64_t step = 0; step < steps; ++step) {
      // By Euler's rule in the middle of the step, which needs no step before it to be known.
      const double half = t + 0.5 * problem_.learning_rate * problem_.schedule.factor(t);
      const double rate = problem_.learning_rate * problem_.schedule.factor(half);
      advance(R, b, v, rate);
      t += rate;
    }
    Parameters last{R.bottomRows(H), b, v};
    return overlaps_of(last, R.topLeftCorner(F, F));
  }

 private:
  /// The Cholesky factor, also of a singular matrix.
  static Matrix lower_factor(const Matrix& gram) {
    Matrix R = Matrix::Zero(gram.rows(), gram.rows());
    for (Eigen::Index i = 0; i < gram.rows(); ++i) {
      for (Eigen::Index j = 0; j < i; ++j)
        if (R(j, j) > 1e-7)
          R(i, j) = (gram(i, j) - R.row(i).head(j).dot(R.row(j).head(j))) / R(j, j);
      R(i, i) = std::sqrt(std::max(0.0, gram(i, i) - R.row(i).head(i).squaredNorm()));
    }
    return R;
  }

  double normal() { return std::normal_distribution<double>()(engine_); }
  Matrix normals(Eigen::Index rows, Eigen::Index columns) {
    return Matrix::NullaryExpr(rows, columns, [&] { return normal(); });
  }

  void advance(Matrix& R, Vector& b, double& v, double rate) {
    const auto& [L, H, F] = problem_.model.shape;
    const int n = H + F;
    const auto D = static_cast<double>(problem_.dimension);
    Matrix parallel = Matrix::Zero(H, n), W = Matrix::Zero(H, H);
    Vector b_sum = Vector::Zero(H);
    double v_sum = 0;
    for (std::int64_t s = 0; s < problem_.batch; ++s) {
      const Matrix C = symmetric_root(W);
      Matrix p = normals(n, L);
      p.col(0).head(F) += R.topLeftCorner(F, F).transpose() * theta();
      const Matrix N = normals(H, L);
      Matrix T = Matrix::Zero(L, L);
      for (int l = 0; l < L; ++l) {
        for (int j = 0; j < l; ++j) T(l, j) = normal();
        T(l, l) = std::sqrt(std::chi_squared_distribution<double>(D - n - H - l)(engine_));
      }
      if (broken_ == Broken::without_wishart) T.setZero();
      sequence_.fields = R.bottomRows(H) * p;
      sequence_.gram = (p.transpose() * p + N.transpose() * N + T * T.transpose()) / D;
      sequence_(b, v);
      const Matrix& g = sequence_.g();
      parallel += g * p.transpose();
      const Matrix Y = C + g * N.transpose(), Z = g * T;
      const Matrix before = W;
      W = Y * Y.transpose() + Z * Z.transpose();
      if (broken_ == Broken::without_cross_terms)
        W = before + (Y - C) * (Y - C).transpose() + Z * Z.transpose();
      b_sum += sequence_.b;
      v_sum += sequence_.v;
    }
    const double scale = rate / static_cast<double>(problem_.batch);
    Matrix rows = R;
    rows.bottomRows(H) =
        (1 - rate * problem_.model.weight_decay) * rows.bottomRows(H) - scale * parallel;
    Matrix gram = rows * rows.transpose();
    gram.bottomRightCorner(H, H) += scale * scale * W;
    const Training& training = problem_.model.training;
    if (training.k) R = lower_factor(gram);
    b -= training.b * scale * b_sum;
    v -= training.v * scale * v_sum;
  }

  Vector theta() {
    std::vector<double> u(static_cast<std::size_t>(problem_.model.prior.draw_dimension()));
    for (double& x : u) x = std::uniform_real_distribution<double>(1e-15, 1)(engine_);
    std::vector<double> z = u;
    normal_quantile(z);
    Vector theta(problem_.model.shape.features);
    problem_.model.prior.draw(u, z, {theta.data(), static_cast<std::size_t>(theta.size())});
    return theta;
  }

  SgdProblem problem_;
  SequenceGradient sequence_;
  Broken broken_;
  Matrix first_;
  std::mt19937_64 engine_{5};
};

}  // namespace headflow::testing_support
