#pragma once
#include <cstdint>
#include <vector>

#include "core/exact_sum.hpp"
#include "headflow/core/mpi.hpp"
#include "headflow/sgd/run_sgd.hpp"
#include "headflow/sgd/sgd_problem.hpp"
#include "sgd/sequence_gradient.hpp"
#include "sgd/step_questions.hpp"
#include "sgd/token_kernel.hpp"

namespace headflow {

/// One run of SGD: its number, which is part of the address of its sequences, and its state.
struct SgdReplica {
  std::uint32_t number = 0;
  std::int64_t steps = 0;
  Matrix k;  ///< weights, H x D
  Vector b;
  double v = 1;
  AlignedVector<float> k_single;  ///< k rounded, as TokenKernel wants it
  double batch_loss = 0;          ///< of the last step
};

/// SGD with vectors in R^D. The spikes and the first weights are drawn so that they have exactly
/// the overlaps of `start`: with an orthonormal frame Q of F + H uniformly random directions, k* =
/// S Q[:F] and k = K Q. (Gaussian vectors are of this form, with K and S of random_start.)
///
/// The sequences of a batch are partitioned over the ranks of `comm`; every rank holds all weights.
/// Tokens are single precision, weights and all that is summed over sequences are double or whole
/// multiples of 2^-40 (coarser for batches over 4096). Sequences are addressed by (seed, replica,
/// step, sequence, token, coordinate), so no generator has a state.
class DirectSgd {
 public:
  /// Draws the frame from `start_seed`. Throws InputError when D < F + H + L.
  DirectSgd(const Communicator& comm, const SgdProblem& problem, const Parameters& start,
            std::uint64_t start_seed);

  /// Run `number` at t = 0, from the start or from other reduced coordinates.
  SgdReplica replica(std::uint32_t number) const { return replica(number, first_); }
  SgdReplica replica(std::uint32_t number, const Parameters& first) const;
  /// Puts a replica to weights k (H x D) after `steps` steps.
  void set_weights(SgdReplica& replica, Matrix k, std::int64_t steps) const;
  /// One step: what weight decay leaves of k, b and v, each minus lr times the mean gradient of B
  /// fresh sequences. Collective.
  /// Throws NumericalError when the gradient is not finite or out of range (the replica is then as
  /// before), or the new weights explode: |k_h| > weight_limit(); an Interrupt of `questions`
  /// leaves the replica as before.
  void step(SgdReplica& replica, StepQuestions& questions);
  void step(SgdReplica& replica) {
    StepQuestions none;
    step(replica, none);
  }
  /// The replica in reduced coordinates: K = [m S'^-1 | u], b, v; m_{hf} = k_h . k*_f, u the root
  /// of the Gram matrix of what the heads have outside the span of the spikes.
  Parameters parameters(const SgdReplica& replica) const;

  const SgdProblem& problem() const { return problem_; }
  const Matrix& spikes() const { return spikes_; }  ///< F x D
  /// The tokens (L x D) of one sequence and its step, as step() draws them.
  Matrix tokens(std::uint32_t replica, std::int64_t step, std::int64_t sequence);

  /// As sgd_messages.
  static SgdMessages messages(const SgdProblem& problem, std::int64_t replicas);
  /// GiB on each rank: weights of `replicas` runs, gradient, frame and the tokens of one sequence.
  static double memory_gib(const SgdProblem& problem, std::int64_t replicas);

 private:
  template <class Sum>
  void step_with(SgdReplica& replica, AlignedVector<Sum>& gradient, double per_unit,
                 StepQuestions& questions);
  void project(std::uint32_t replica, std::int64_t step, std::int64_t sequence,
               const AlignedVector<float>& heads);
  void copy_to_single(const Matrix& rows, const TileLayout& layout,
                      AlignedVector<float>& out) const;

  const Communicator& comm_;
  SgdProblem problem_;
  Parameters first_;
  Matrix frame_;   // orthonormal, the first F rows span the spikes, (F + H) x D
  Matrix spikes_;  // F x D
  AlignedVector<float> spikes_single_;
  double weight_limit_ = 0;
  TokenKernel kernel_;
  SequenceGradient sequence_;
  ExactSums sums_;  // e, de/db, de/dv
  AlignedVector<std::int64_t> exact_;
  AlignedVector<float> fast_;
  std::vector<double> uniforms_, normals_, theta_;
};

/// `count` orthonormal rows in R^dimension, uniformly distributed.
Matrix random_frame(int count, std::int64_t dimension, std::uint64_t seed);

}  // namespace headflow
