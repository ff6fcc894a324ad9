#pragma once
#include <vector>

#include "headflow/core/statistics.hpp"
#include "headflow/population/population_loss.hpp"
#include "headflow/saddle/unspecialized.hpp"

namespace headflow {

/// An eigenvector of the Hessian on a pattern over heads, and how fast it grows: minus the
/// eigenvalue.
struct GrowthMode {
  Measured rate;
  Vector feature{};  ///< components of m (F)
  double bias = 0;   ///< of b
  double scale = 0;  ///< of v; only patterns common to all heads have one
};

/// The unspecialized saddle at r = 0 (Lemma A.3: r = 0 is invariant) and its Hessian, averaged over
/// permutations of heads and the prior's sign symmetries. By these each eigenvector is a pattern
/// over heads times a direction: patterns orthogonal to (1, .., 1) split the heads, (1, .., 1)
/// moves them together (Lemmas III.1, A.5).
struct Saddle {
  Parameters parameters;
  Measured loss{};
  double gradient_norm = 0;          ///< on the manifold
  std::vector<GrowthMode> split{};   ///< fastest first; each H - 1 times
  std::vector<GrowthMode> common{};  ///< each once
  Measured u_split{};                ///< growth rate of u on split patterns; H (H - 1) times
  Measured u_common{};               ///< on the common pattern; H times
};

/// The saddle next to `from`, the minimum of the loss on the manifold at u = 0, by Newton's method
/// (where the Hessian there is singular, by its pseudo-inverse). Where there is none at a finite
/// place, as for softmax-1 with a mean signal, it is the point that the method has reached.
/// Standard errors are from the replicates, each at its own saddle to first order. Collective;
/// an Interrupt of `control` comes out.
Saddle find_saddle(PopulationLoss& loss, const UnspecializedManifold& manifold,
                   const Parameters& from, Control& control = Control::none());

/// The Hessian at any point, in what is trained (n numbers, packed).
struct LocalSpectrum {
  std::vector<Measured> eigenvalues{};  ///< ascending
  Matrix eigenvectors{};                ///< n x n, one in each row
  Matrix hessian{};                     ///< n x n
  std::vector<Measured> rate{};  ///< for each feature: the fastest growth of m_{.f} alone, minus
                                 ///< the least eigenvalue of its block of the Hessian
  Matrix pattern{};              ///< F x H: the pattern over heads that grows so
};

/// The spectrum of the loss at a point, with errors from the replicates. Collective; an Interrupt
/// of `control` comes out.
LocalSpectrum local_spectrum(PopulationLoss& loss, const Parameters& at,
                             Control& control = Control::none());

/// For each feature whose spread over heads is below the threshold, the time from now at which it
/// gets there if the differences between heads along all such features follow the linear dynamics
/// of this Hessian (n x n, of LocalSpectrum) at K. NaN for the others, and for what does not grow.
std::vector<double> times_to_split(const Matrix& hessian, const Matrix& K, const Model& model,
                                   double threshold);

}  // namespace headflow
