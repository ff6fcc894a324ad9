#pragma once
#include <functional>
#include <vector>

#include "headflow/flow/unspecialized.hpp"
#include "headflow/population/population_loss.hpp"

namespace headflow {

/// A number and its standard error from the replicates of the samples (0 for a single one).
struct Measured {
  double value = 0;
  double stderr_ = 0;
};

/// An eigenvector of the Hessian on a pattern over heads, and how fast it grows: minus the
/// eigenvalue.
struct GrowthMode {
  Measured rate;
  Vector feature{};  ///< components of m (F)
  double bias = 0;   ///< of b
  double scale = 0;  ///< of v; only patterns common to all heads have one
};

/// The unspecialized saddle at r = 0 (Lemma A.3: r = 0 is invariant) and its Hessian, averaged over
/// all its symmetries. By these each eigenvector is a pattern over heads times a direction:
/// patterns orthogonal to (1, .., 1) split the heads, (1, .., 1) moves them together (Lemmas III.1,
/// A.5).
struct Saddle {
  Parameters parameters;
  Measured loss{};
  double gradient_norm = 0;          ///< on the manifold
  std::vector<GrowthMode> split{};   ///< fastest first; each H - 1 times
  std::vector<GrowthMode> common{};  ///< each once
  Measured u_split{};                ///< growth rate of u on split patterns; H (H - 1) times
  Measured u_common{};               ///< on the common pattern; H times
};

/// The saddle next to `from`, by Newton's method on the manifold at u = 0 (where the Hessian there
/// is singular, by its pseudo-inverse). Standard errors are from the replicates, each at its own
/// saddle. Collective.
Saddle find_saddle(PopulationLoss& loss, const UnspecializedManifold& manifold, Parameters from,
                   const std::function<void()>& between = nullptr);

/// The Hessian at any point, in what is trained (n numbers, packed).
struct LocalSpectrum {
  std::vector<Measured> eigenvalues{};  ///< ascending
  Matrix eigenvectors{};                ///< n x n, one in each row
  std::vector<Measured> rate{};  ///< for each feature: the fastest growth of m_{.f} alone, minus
                                 ///< the least eigenvalue of its block of the Hessian
  Matrix pattern{};              ///< F x H: the pattern over heads that grows so
};

LocalSpectrum local_spectrum(PopulationLoss& loss, const Parameters& at,
                             const std::function<void()>& between = nullptr);

}  // namespace headflow
