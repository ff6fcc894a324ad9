#pragma once
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "headflow/core/mpi.hpp"
#include "population/samples.hpp"
#include "population/symmetry.hpp"

namespace headflow {

/// A loss and its gradient with respect to (K, b, v).
struct LossGradient {
  double loss = 0;
  Parameters gradient;
  Matrix noise;  ///< N (H x H) of theory.md section 5, or empty when it is not asked for
};

/// The same with standard errors from the spread of the replicates (zero for a single one).
struct LossStatistics {
  LossGradient mean;
  double loss_stderr = 0;
  double gradient_norm = 0;         ///< Euclidean norm over all trained parameters
  double gradient_norm_stderr = 0;  ///< of the replicates' gradients projected on the mean one
};

/// A loss, its gradient, and products of its Hessian with some directions.
struct LossTangents {
  LossGradient at;
  std::vector<Parameters> products;
};

/// A loss, its gradient and its Hessian in what is trained, in the order of Parameters::pack.
struct Curvature {
  double loss = 0;
  Vector gradient{};
  Matrix hessian{};
};

/// A point of the space of order parameters and the population loss there.
struct State {
  Parameters parameters;
  OrderParameters order;
  LossStatistics loss;
};

/// What a population loss needs on one rank.
struct PopulationCost {
  std::int64_t samples_per_rank = 0;  ///< largest over ranks, images of the closed set not counted
  std::size_t images = 1;             ///< evaluations of each sample: size of the closed set
  double sample_gib = 0;              ///< to keep a rank's samples in memory
  bool kept = true;                   ///< whether that fits in the budget
};

/// The reparameterized population loss E(m, r, b, v) of theory.md section 4 as a mean over samples,
/// and its gradient dE/dK = E[ sum_l (de/dchi_l) x_l' ], dE/db, dE/dv.
///
/// The samples are addressed by global index, partitioned over the ranks in blocks, and block sums
/// are added exactly: every result has the same bits on any number of ranks, and whether samples
/// are kept in memory or regenerated.
class PopulationLoss {
 public:
  /// Draws this rank's samples if they are kept. Collective. Throws InputError (Sobol dimension,
  /// closed set).
  /// With `noise` every evaluation also gives N_{hh'} = E[ sum_l (de/dchi_{h,l}) (de/dchi_{h',l})
  /// ].
  PopulationLoss(const Communicator& comm, const Shape& shape, Activation activation,
                 const Prior& prior, const Sampling& sampling, bool noise = false);
  ~PopulationLoss();
  PopulationLoss(PopulationLoss&&) noexcept;

  const Shape& shape() const;
  const Activation& activation() const;
  /// Loss and gradient at `parameters`, the same on all ranks. Collective. A gradient with respect
  /// to what the activation does not train is zero. Throws NumericalError when a sample's loss is
  /// not finite.
  /// `between` is called on all ranks, in step, about every 2^18 samples of a rank; what it throws
  /// comes out.
  LossGradient evaluate(const Parameters& parameters,
                        const std::function<void()>& between = nullptr);
  /// The same with standard errors. Collective.
  LossStatistics statistics(const Parameters& parameters);
  /// Loss and gradient at `parameters` and, for each of `directions`, the Hessian times it: exact,
  /// by differentiating the gradient's closed forms. About 1 + 3 * directions evaluations.
  /// Collective.
  LossTangents differentiate(const Parameters& parameters,
                             const std::vector<Parameters>& directions,
                             const std::function<void()>& between = nullptr);
  /// Loss, gradient and Hessian of each replicate, all at the same point or each at its own.
  /// Collective. Needs about 50 n^2 replicates bytes for n trained parameters.
  std::vector<Curvature> curvatures(std::span<const Parameters> points,
                                    const std::function<void()>& between = nullptr);
  /// The state with these parameters and its loss; S is the Cholesky factor of the spikes' Gram
  /// matrix. Collective.
  State state(const Parameters& parameters, const Matrix& spike_factor);
  /// Fresh, independent samples: another set for each epoch (0 at construction).
  void resample(std::uint64_t epoch);

  static PopulationCost cost(const Shape& shape, const Prior& prior, const Sampling& sampling,
                             int ranks);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace headflow
