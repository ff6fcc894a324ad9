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
  /// C: the number of coordinates in which one head differs from the others: its F components of m,
  /// its bias where that is trained, r_hh, and with more than two heads what it has in common with
  /// the others, sum_{h' != h} r_hh' / (H - 2). A pattern e over heads changes the last by e where
  /// r_hh' changes by e_h + e_h'.
  int head_coordinate_count() const;
  /// These of every head (H x C); m is K[:, :F], in an orthonormal basis of the span of the spikes.
  Matrix head_coordinates(const Parameters& parameters) const;
  /// The same of given m (H x F), r (H x H) and b (H).
  Matrix head_coordinates(const Matrix& m, const Matrix& r, const Vector& b) const;
  /// True if entry (c, other) of a head's C x C block of the drift's Jacobian on the manifold may
  /// differ from zero: it vanishes if some sign symmetry of the prior flips exactly one of the two.
  /// No symmetry flips those from number F on.
  bool coupled(int c, int other) const;

  const Model& model() const { return model_; }

 private:
  Model model_;
  std::vector<Vector> signs_;  // symmetries of the prior: signs of the features
};

}  // namespace headflow
