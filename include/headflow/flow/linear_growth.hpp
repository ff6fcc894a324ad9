#pragma once
#include <functional>
#include <vector>

#include "headflow/flow/unspecialized.hpp"
#include "headflow/model/start.hpp"
#include "headflow/population/population_loss.hpp"

namespace headflow {

struct LinearGrowthOptions {
  double end_time = 1000;
  double gradient_tolerance =
      1e-5;                 ///< the flow on the manifold ends where its gradient is smaller
  double tolerance = 1e-6;  ///< of the time stepper (5dp, PETSc options "saddle_")
};

/// How small differences between heads grow along the flow on the unspecialized manifold: the
/// linear (tangent) dynamics for a pattern over heads orthogonal to (1, .., 1), which is the same
/// for all of them. With c(t) (F, and the bias) the pattern's amplitude,
///   dc/dt = -B(t) c,  B = e' (Hessian of E) e,  e the normalised pattern,
/// started with each feature alone. The answer of u to it is left out: it vanishes at r = 0, and
/// for features whose sign the prior leaves free.
class LinearGrowth {
 public:
  /// Runs the flow from the projection of `start`. `poll` is called after each step and may throw.
  /// Collective.
  LinearGrowth(PopulationLoss& loss, const UnspecializedManifold& manifold, const Start& start,
               const LinearGrowthOptions& options, const std::function<void()>& poll = nullptr);

  double end_time() const { return nodes_.back().time; }
  /// Where the flow on the manifold has ended.
  const Parameters& end() const { return end_; }
  /// The gradient on the manifold there.
  double gradient_norm() const { return gradient_norm_; }

  /// log of the spread over heads of each feature at t, sqrt((1/H) sum_h (m_hf - mbar_f)^2), that
  /// grows from the differences between the heads of `k` (H x F, coordinates in the span of the
  /// spikes, K[:, :F]) at t = 0. After end_time() by the last rates.
  Vector log_spread(const Matrix& k, double t) const;
  /// First time at which that reaches `level`; NaN if it never does.
  double time_of(const Matrix& k, int feature, double level) const;

 private:
  struct Node {
    double time;
    Vector exponent, rate;  // F: log of the growth from feature f alone, and its derivative
    Matrix direction;       // F x F: unit amplitude that has grown from feature f, in each row
  };
  Node at(double t) const;

  Matrix spike_factor_;
  std::vector<Node> nodes_;
  Parameters end_;
  double gradient_norm_ = 0;
};

}  // namespace headflow
