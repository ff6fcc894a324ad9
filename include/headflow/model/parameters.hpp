#pragma once
#include <span>
#include <vector>

#include "headflow/model/shape.hpp"
#include "headflow/model/training.hpp"

namespace headflow {

/// The attention's parameters in reduced coordinates: K = [m | u] (H x P), biases b (H) and scale
/// v; also used for the gradient of a loss with respect to them. The reparameterized loss
/// (theory.md, section 4) depends on K through m and r = u u'.
struct Parameters {
  Matrix K;
  Vector b;
  double v = 1;

  static Parameters zero(const Shape& shape);
  /// All H P + H + 1 numbers: K row by row, b, v.
  std::vector<double> numbers() const;
  /// The inverse of numbers(); what `numbers` has behind them is left alone.
  static Parameters from_numbers(std::span<const double> numbers, const Shape& shape);

  /// How many numbers are trained: of K, b and v.
  std::size_t trained_size(const Training& training) const;
  /// The trained numbers in the order K (row by row), b / sqrt(its rate), v / sqrt(its rate). `out`
  /// has trained_size elements.
  void pack(const Training& training, std::span<double> out) const;
  Vector packed(const Training& training) const;
  /// Of a gradient: its derivatives with respect to these numbers.
  void pack_gradient(const Training& training, std::span<double> out) const;
  Vector packed_gradient(const Training& training) const;
  /// With packed numbers added to the trained ones.
  Parameters moved(const Training& training, const Vector& by) const;
  /// The inverse of pack; numbers that are not trained stay as they are.
  void unpack(const Training& training, std::span<const double> in);
};

/// The order parameters of K = [K_F | u] whose first F columns are coordinates in an orthonormal
/// basis of the span of the spikes. With the Gram matrix of the spikes k* k*' = S S' (Cholesky
/// factor S, identity as D -> infinity): m = K_F S' (H x F, m_{hf} = k_h . k*_f), q = K K' (H x H),
/// and r = u u' = q - m (k* k*')^{-1} m', what is left of q outside the span of the spikes:
/// positive semi-definite at any D, and q - m m' where the spikes are orthonormal (theory.md
/// section 5).
struct OrderParameters {
  Matrix m, q, r;
};
OrderParameters order_parameters(const Matrix& K, const Matrix& spike_factor);

/// cos(k_h, k_g) = q_hg / sqrt(q_hh q_gg); zero where a head vanishes.
Matrix cosine_similarity(const Matrix& q);

/// The symmetric square root u of a positive semi-definite r, u u' = r. It commutes with every head
/// permutation that leaves r as it is, which keeps the unspecialized manifold invariant.
/// Negative eigenvalues, which rounding or a stage of a time step makes, are taken as zero.
Matrix symmetric_root(const Matrix& r);

}  // namespace headflow
