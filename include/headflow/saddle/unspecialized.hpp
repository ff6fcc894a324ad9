#pragma once
#include <vector>

#include "headflow/model/parameters.hpp"
#include "headflow/model/prior.hpp"

namespace headflow {

/// The unspecialized manifold (Lemma A.1): all m_h equal, all b_h equal, u (hence r) invariant
/// under head permutations, and m_f = 0 where a symmetry of the prior changes the sign of theta_f.
/// It is invariant under the flow in expectation; the gradient projected on it is that of a sample
/// set closed under all these symmetries, so the flow of the projected gradient stays on it
/// exactly.
class UnspecializedManifold {
 public:
  /// `signal` is the law of S' theta.
  UnspecializedManifold(const Shape& shape, const Activation& activation, const Prior& signal);

  /// The nearest point of the manifold; the same for a gradient.
  Parameters projection(const Parameters& parameters) const;
  /// Orthonormal directions, as packed, that span the manifold at u = 0 (one in each column).
  Matrix directions_without_u() const;
  /// What a head has of its own besides u: its F components of m, and its bias where that is
  /// trained.
  int own_numbers() const { return shape_.features + (trained_by(activation_).b ? 1 : 0); }
  /// These of every head (H x own_numbers()): K[:, :F], in an orthonormal basis of the spikes, and
  /// b.
  Matrix own_numbers(const Parameters& parameters) const;
  /// Whether no sign symmetry of the prior forbids that the Hessian on the manifold couples two of
  /// them; the bias is number F, and none changes its sign.
  bool coupled(int c, int other) const;

  const Shape& shape() const { return shape_; }
  const Activation& activation() const { return activation_; }

 private:
  Shape shape_;
  Activation activation_;
  std::vector<Vector> signs_;  // symmetries of the prior: signs of the features
};

}  // namespace headflow
