#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "headflow/core/control.hpp"
#include "headflow/core/mpi.hpp"
#include "headflow/model/model.hpp"
#include "headflow/model/parameters.hpp"
#include "headflow/population/sampling.hpp"

namespace headflow {

/// A loss E, and the gradient with respect to (K, b, v) of what is trained: E plus the penalty of
/// weight decay.
struct LossGradient {
  double loss = 0;
  Parameters gradient;
  Matrix noise;        ///< N (H x H) of theory.md section 5, or empty when it is not asked for
  double penalty = 0;  ///< Model::penalty

  double objective() const { return loss + penalty; }
};

/// The same with standard errors from the spread of the replicates (NaN for a single one).
struct LossStatistics {
  LossGradient mean;
  double loss_stderr = 0;
  double gradient_norm = 0;         ///< Euclidean norm over all trained parameters, at one rate
  double gradient_norm_stderr = 0;  ///< of the replicates' gradients projected on the mean one
};

/// A loss, the gradient of what is trained, and products of its Hessian with some directions.
struct LossTangents {
  LossGradient at;
  std::vector<Parameters> products;
};

/// A loss, the gradient of what is trained and N at a point, and how they change along some
/// directions there.
struct Linearization {
  LossGradient at;
  /// For each direction: the derivatives of the loss, of the gradient (the Hessian times the
  /// direction), of N and of the penalty.
  std::vector<LossGradient> along;
};

/// n, how many numbers (m, r, b, v) are: of r the lower triangle, and all where they are trained.
std::size_t order_parameter_count(const Shape& shape, const Training& training);

/// What one sequence does to the order parameters (theory.md section 11):
///   zeta = (sum_l g_l x_{F,l}'; G + G' - kappa sum_l g_l g_l'; rate_b de/db; rate_v de/dv),
///   g_l = de/dchi_l,  G = sum_l g_l (u w_l)',
/// in the order m row by row, the lower triangle of r row by row, b and v; all where they are
/// trained.
struct StepMoments {
  Vector mean;        ///< E[zeta], minus the drift without weight decay
  Matrix covariance;  ///< Cov[zeta]
};

/// A loss, and gradient and Hessian of what is trained, in the coordinates of Parameters::pack.
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
  double message_bytes = 0;           ///< that each rank adds to the others' in an evaluation
};

/// The reparameterized population loss E(m, r, b, v) of theory.md section 4 as a mean over samples,
/// and its gradient dE/dK = E[ sum_l (de/dchi_l) x_l' ], dE/db, dE/dv. All gradients and Hessians
/// have what weight decay adds to them: model.weight_decay times K, and times the identity in K.
///
/// The samples are addressed by global index, partitioned over the ranks in blocks, and block sums
/// are added exactly: every result has the same bits on any number of ranks, and whether samples
/// are kept in memory or drawn again.
///
/// All members but model(), replicates(), rounding() and cost() are collective. They ask
/// control.within_step() on all ranks, in step, at least every 2^18 samples of a rank; an Interrupt
/// thrown there comes out. Those that evaluate throw NumericalError when a sample's loss or
/// gradient is not finite. A gradient with respect to what is not trained is zero.
class PopulationLoss {
 public:
  /// Samples of model.signal. Draws this rank's samples if they are kept. With `noise` every
  /// evaluation also gives N_{hh'} = E[ sum_l (de/dchi_{h,l}) (de/dchi_{h',l}) ]. `comm` must live
  /// as long as this. Throws InputError (Sobol dimension, closed set, memory).
  PopulationLoss(const Communicator& comm, const Model& model, const Sampling& sampling,
                 bool noise = false, Control& control = Control::none());
  ~PopulationLoss();
  PopulationLoss(PopulationLoss&&) noexcept;

  const Model& model() const;
  int replicates() const;
  /// A change of the loss by less than this part of it is rounding.
  double rounding() const;

  /// Loss and gradient at `parameters`, the same on all ranks.
  LossGradient evaluate(const Parameters& parameters, Control& control = Control::none());
  /// Those of each replicate, at its own of as many points.
  std::vector<LossGradient> evaluate_each(std::span<const Parameters> points,
                                          Control& control = Control::none());
  /// The same with standard errors.
  LossStatistics statistics(const Parameters& parameters, Control& control = Control::none());
  /// Loss and gradient at `parameters` and, for each of `directions`, the Hessian times it: exact,
  /// by differentiating the gradient's closed forms. About 1 + 3 * directions evaluations.
  LossTangents differentiate(const Parameters& parameters,
                             const std::vector<Parameters>& directions,
                             Control& control = Control::none());
  /// Loss, gradient and Hessian of each replicate, all at the same point or each at its own. Needs
  /// about 50 n^2 replicates bytes for n trained parameters.
  std::vector<Curvature> curvatures(std::span<const Parameters> points,
                                    Control& control = Control::none());
  /// For each replicate the loss, its gradient and N and how they change along as many directions,
  /// all at the same point or each at its own, whose directions have the same place. N is empty
  /// without `noise`. As costly as differentiate().
  std::vector<Linearization> linearize(std::span<const Parameters> points,
                                       std::span<const std::vector<Parameters>> directions,
                                       Control& control = Control::none());
  /// For each replicate the moments of zeta, all at the same point or each at its own, exact sums
  /// over its samples. For n entries of zeta about one evaluation and n^2 / 2 multiplications a
  /// sample.
  std::vector<StepMoments> step_moments(std::span<const Parameters> points, double kappa,
                                        Control& control = Control::none());
  /// The state with these parameters and its loss.
  State state(const Parameters& parameters, Control& control = Control::none());
  /// Fresh, independent samples: another set for each epoch (0 at construction). Does nothing when
  /// those of that epoch are there.
  void resample(std::uint64_t epoch, Control& control = Control::none());

  /// What a loss with these arguments needs on one of `ranks` ranks. Throws InputError where there
  /// can be none (Sobol dimension, closed set).
  static PopulationCost cost(const Model& model, const Sampling& sampling, int ranks,
                             bool noise = false);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace headflow
