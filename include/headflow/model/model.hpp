#pragma once
#include "headflow/model/attention.hpp"
#include "headflow/model/prior.hpp"
#include "headflow/model/shape.hpp"
#include "headflow/model/training.hpp"

namespace headflow {

/// What learns, and from what: attention heads of one activation, on sequences whose relevant token
/// carries theta_1 k*_1 + .. + theta_F k*_F (theory.md, sections 1 and 2).
struct Model {
  Shape shape;
  Activation activation;
  Prior prior;  ///< law of theta
  /// S (F x F), the Cholesky factor of the spikes' Gram matrix, k* k*' = S S'; the identity as D ->
  /// infinity.
  Matrix spike_factor;
  Prior signal;       ///< law of S' theta, as the heads see it
  Training training;  ///< all that the activation has, at one rate, unless it is changed
  /// What is trained is the loss plus (weight_decay / 2) sum_h |k_h|^2 (theory.md, section 13).
  double weight_decay = 0;

  /// Nothing, to be replaced.
  Model() : Model({}, {}, Prior(ProductLaw{})) {}
  /// Orthonormal spikes: S is the identity.
  Model(const Shape& shape, Activation activation, Prior prior);
  Model(const Shape& shape, Activation activation, Prior prior, Matrix spike_factor);

  /// k* k*' = S S' (F x F).
  Matrix spike_gram() const { return spike_factor * spike_factor.transpose(); }
  /// m (H x F), m_{hf} = k_h . k*_f, of K = [K_F | u] whose first F columns are in an orthonormal
  /// basis of the span of the spikes.
  Matrix overlaps(const Matrix& K) const {
    return K.leftCols(spike_factor.rows()) * spike_factor.transpose();
  }
  /// (weight_decay / 2) sum_h |k_h|^2 of K = [K_F | u].
  double penalty(const Matrix& K) const { return 0.5 * weight_decay * K.squaredNorm(); }
};

}  // namespace headflow
