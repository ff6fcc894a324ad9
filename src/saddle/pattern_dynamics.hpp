#pragma once
#include "headflow/flow/fluctuations.hpp"
#include "headflow/saddle/unspecialized.hpp"

namespace headflow {

/// The linear dynamics of SGD (theory.md section 11) at a point of the unspecialized manifold, for
/// patterns over heads orthogonal to (1, .., 1). By the symmetry of heads they are the same for
/// all H - 1 of them, and independent: with c the C coordinates of a head that a pattern changes
/// (UnspecializedManifold::head_coordinates), dc = J c dt + noise of covariance (kappa / D)
/// Cov[zeta] dt. Both matrices are C x C; Cov[zeta] is zero for kappa = 0, where it is not needed.
/// `loss` must be one with noise where kappa > 0. About 1 + 3 C evaluations. Collective.
LinearNoise pattern_dynamics(PopulationLoss& loss, const UnspecializedManifold& manifold,
                             const Parameters& at, double kappa, Control& control);

}  // namespace headflow
