#pragma once
#include <vector>

#include "headflow/model/model.hpp"
#include "headflow/model/parameters.hpp"

namespace headflow {

/// The unspecialized manifold (Lemma A.1): all m_h equal, all b_h equal, u (hence r) invariant
/// under head permutations, and m_f = 0 where a symmetry of the prior changes the sign of theta_f.
/// It is invariant under the flow in expectation; the gradient projected on it is that of a sample
/// set closed under all these symmetries, so the flow of the projected gradient stays on it
/// exactly.
class UnspecializedManifold {
 public:
  explicit UnspecializedManifold(const Model& model);

  /// The nearest point of the manifold; the same for a gradient.
  Parameters projection(const Parameters& parameters) const;
  /// Orthonormal directions, as packed, that span the manifold at u = 0 (one in each column).
  Matrix directions_without_u() const;
  /// C: the number of coordinates of one head besides u, its F components of m, and its bias where
  /// that is trained.
  int head_coordinate_count() const { return model_.shape.features + (model_.trained().b ? 1 : 0); }
  /// These of every head (H x C): K[:, :F], in an orthonormal basis of the span of the spikes, and
  /// b.
  Matrix head_coordinates(const Parameters& parameters) const;
  /// True if entry (c, other) of a head's C x C block of the Hessian on the manifold may differ
  /// from zero: it vanishes if some sign symmetry of the prior flips exactly one of the two. Number
  /// F is the bias, which no symmetry flips.
  bool coupled(int c, int other) const;

  const Model& model() const { return model_; }

 private:
  Model model_;
  std::vector<Vector> signs_;  // symmetries of the prior: signs of the features
};

}  // namespace headflow
