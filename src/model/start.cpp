#include "headflow/model/start.hpp"

#include <cmath>
#include <string>

#include "core/eigen.hpp"
#include "core/random.hpp"
#include "headflow/core/error.hpp"

namespace headflow {
namespace {

/// K = [m | u] with b = 0, v = 1.
Parameters parameters_of(const Matrix& m, const Matrix& u) {
  Parameters parameters = Parameters::zero(
      {.heads = static_cast<int>(m.rows()), .features = static_cast<int>(m.cols())});
  parameters.K << m, u;
  parameters.v = 1;
  return parameters;
}

/// A lower triangle drawn row by row, each row from its own address: `diagonal(sequence, row)` and
/// N(0,1) below.
Matrix random_triangle(Eigen::Index size, const RandomStream& stream, auto&& diagonal) {
  Matrix T = Matrix::Zero(size, size);
  for (Eigen::Index row = 0; row < size; ++row) {
    RandomSequence sequence(stream, static_cast<std::uint64_t>(row));
    for (Eigen::Index column = 0; column < row; ++column) T(row, column) = sequence.normal();
    T(row, row) = diagonal(sequence, row);
  }
  return T;
}

}  // namespace

Start random_start(const Shape& shape, double dimension, double eta, bool orthonormal_spikes,
                   std::uint64_t seed) {
  const int F = shape.features;
  const int H = shape.heads;
  if (!(dimension >= F + H))
    throw InputError("start.dimension must be at least features + heads = " +
                     std::to_string(F + H) + ", found " + std::to_string(dimension));
  const RandomStream stream(seed, Purpose::start);
  const Matrix T =
      random_triangle(F + H, stream,
                      [&](RandomSequence& sequence, Eigen::Index row) {
                        return std::sqrt(sequence.chi_square(dimension - static_cast<double>(row)));
                      }) /
      std::sqrt(dimension);
  const Matrix heads = eta * T.bottomRows(H);
  const Matrix rest = heads.rightCols(H);
  return {parameters_of(heads.leftCols(F), symmetric_root(rest * rest.transpose())),
          orthonormal_spikes ? Matrix::Identity(F, F) : Matrix(T.topLeftCorner(F, F))};
}

Start noisy_start(const Shape& shape, double noise, double eta, std::uint64_t seed) {
  const int F = shape.features;
  const int H = shape.heads;
  const RandomStream stream(seed, Purpose::start);
  Matrix m(H, F);
  Matrix u(H, H);
  for (int h = 0; h < H; ++h) {
    RandomSequence sequence(stream, static_cast<std::uint64_t>(h));
    for (int f = 0; f < F; ++f) m(h, f) = noise * sequence.normal();
    for (int g = 0; g < H; ++g) u(h, g) = noise * sequence.normal();
  }
  const Matrix symmetric = 0.5 * (u + u.transpose()) + eta * Matrix::Identity(H, H);
  return {parameters_of(m, symmetric_root(symmetric * symmetric.transpose())),
          Matrix::Identity(F, F)};
}

StartSpread random_start_spread(const Shape& shape, double dimension, double eta) {
  const double of_m = eta * eta / dimension, of_r = eta * eta * of_m;
  return {noisy_start(shape, 0, eta, 0).parameters, of_m, 2 * of_r, of_r};
}

StartSpread noisy_start_spread(const Shape& shape, double noise, double eta) {
  const double of_m = noise * noise, of_r = 2 * eta * eta * of_m;
  return {noisy_start(shape, 0, eta, 0).parameters, of_m, 2 * of_r, of_r};
}

Start explicit_start(const Matrix& m, const Matrix& r, const Vector& b, double v) {
  const Vector eigenvalues = SymmetricEigen(r).values;
  const double smallest = eigenvalues.minCoeff();
  if (smallest < -1e-9 * eigenvalues.cwiseAbs().maxCoeff())
    throw InputError("start.r must be positive semi-definite, but has the eigenvalue " +
                     std::to_string(smallest));
  Start start{parameters_of(m, symmetric_root(r)), Matrix::Identity(m.cols(), m.cols())};
  start.parameters.b = b;
  start.parameters.v = v;
  return start;
}

Start start_from_state(const Matrix& m, const Matrix& u, const Matrix& spike_gram, const Vector& b,
                       double v) {
  const Matrix S = cholesky_factor(spike_gram);
  if (S.size() == 0) throw InputError("the Gram matrix of the spikes must be positive definite");
  const Matrix projected =
      S.triangularView<Eigen::Lower>().solve(m.transpose()).transpose();  // m = K[:, :F] S'
  Start start{parameters_of(projected, u), S};
  start.parameters.b = b;
  start.parameters.v = v;
  return start;
}

}  // namespace headflow
