#pragma once
#include <functional>
#include <vector>

#include "headflow/core/snapshot.hpp"
#include "headflow/model/start.hpp"
#include "headflow/population/population_loss.hpp"
#include "headflow/saddle/unspecialized.hpp"

namespace headflow {

struct LinearGrowthOptions {
  double end_time = 1000;
  double gradient_tolerance =
      1e-5;                 ///< the flow on the manifold ends where its gradient is smaller
  double tolerance = 1e-6;  ///< of the time stepper (5dp, PETSc options "saddle_")
};

/// What to do while it runs: `step` comes after each step with what a later one needs to go on from
/// there, `interrupt` inside long right-hand sides; both may throw.
struct LinearGrowthObserver {
  std::function<void(const Snapshot&)> step = [](const Snapshot&) {};
  std::function<void()> interrupt = nullptr;
};

/// How small differences between heads grow along the flow on the unspecialized manifold: the
/// linear (tangent) dynamics for a pattern over heads orthogonal to (1, .., 1), which is the same
/// for all of them. With c(t) the pattern's amplitude in what a head has of its own (F components
/// of m, and the bias where it is trained: C numbers),
///   dc/dt = -B(t) c,  B = e' (Hessian of E) e,  e the normalised pattern,
/// started with each of them alone. The answer of u to it is left out: it vanishes at r = 0, and
/// for features whose sign the prior leaves free.
class LinearGrowth {
 public:
  /// Runs the flow from the projection of `start`, or goes on where `from` was taken. Collective.
  LinearGrowth(PopulationLoss& loss, const UnspecializedManifold& manifold, const Start& start,
               const LinearGrowthOptions& options, const LinearGrowthObserver& observer = {},
               const Snapshot& from = {});

  double end_time() const { return nodes_.back().time; }
  /// Where the flow on the manifold has ended.
  const Parameters& end() const { return end_; }
  /// The gradient on the manifold there, and whether that is below the tolerance.
  double gradient_norm() const { return gradient_norm_; }
  bool at_rest() const { return gradient_norm_ <= tolerance_; }

  /// log of the spread over heads of each feature at t, sqrt((1/H) sum_h (m_hf - mbar_f)^2), that
  /// grows from what the heads have of their `own` (H x C) at t = 0. After end_time() by the last
  /// rates, if it is at rest, else NaN.
  Vector log_spread(const Matrix& own, double t) const;
  /// First time at which that reaches `level`; NaN if it never does or it is not known.
  double time_of(const Matrix& own, int feature, double level) const;

 private:
  struct Node {
    double time;
    Vector exponent, rate;  // C: log of the growth from each alone, and its derivative
    Matrix direction;       // C x F: unit amplitude that has grown from each, of which m
  };
  Node at(double t) const;
  Snapshot with_nodes(Snapshot snapshot) const;
  void restore_nodes(const std::vector<double>& numbers, int C, int F);

  Matrix spike_factor_;
  double tolerance_;
  std::vector<Node> nodes_;
  Parameters end_;
  double gradient_norm_ = 0;
};

}  // namespace headflow
