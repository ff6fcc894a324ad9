#pragma once
#include <functional>
#include <vector>

#include "headflow/core/snapshot.hpp"
#include "headflow/flow/time_stepper.hpp"
#include "headflow/population/population_loss.hpp"
#include "headflow/saddle/unspecialized.hpp"

namespace headflow {

class KeyVisitor;

struct LinearGrowthOptions {
  double end_time = 1000;
  double gradient_tolerance =
      1e-5;                 ///< the flow on the manifold ends where its gradient is smaller
  double tolerance = 1e-6;  ///< of the time stepper (5dp, PETSc options "saddle_")

  /// gradient_tolerance.
  void declare_keys(KeyVisitor& visitor);
  TimeStepper::Options stepper() const { return {.tolerance = tolerance, .prefix = "saddle_"}; }
};

/// How small differences between heads grow along the flow on the unspecialized manifold: the
/// linear (tangent) dynamics for a pattern over heads orthogonal to (1, .., 1), which is the same
/// for all of them. With c(t) the pattern's amplitude in the coordinates of a head (F components of
/// m, and the bias where it is trained: C numbers),
///   dc/dt = -B(t) c,  B = e' (Hessian of E) e,  e the normalised pattern,
/// started with each of them alone. The answer of u to it is left out: it vanishes at r = 0, and
/// for features whose sign the prior leaves free.
class LinearGrowth {
 public:
  /// The growth until the end of one step.
  struct Node {
    double time;
    Vector exponent, rate;  ///< C: log of the growth from each alone, and its derivative
    Matrix direction;       ///< C x F: unit amplitude that has grown from each, of which m
  };

  /// Of a flow with these nodes (at least one), which has ended at `end` with that norm of the
  /// gradient; it is at rest where that is not above `tolerance`. S is the spikes' factor.
  LinearGrowth(std::vector<Node> nodes, const Parameters& end, double gradient_norm,
               double tolerance, const Matrix& spike_factor)
      : nodes_(std::move(nodes)),
        end_(end),
        gradient_norm_(gradient_norm),
        tolerance_(tolerance),
        spike_factor_(spike_factor) {}

  double end_time() const { return nodes_.back().time; }
  /// Where the flow on the manifold has ended.
  const Parameters& end() const { return end_; }
  /// The gradient on the manifold there, and whether that is below the tolerance.
  double gradient_norm() const { return gradient_norm_; }
  bool at_rest() const { return gradient_norm_ <= tolerance_; }

  /// log of the spread over heads of each feature at t, sqrt((1/H) sum_h (m_hf - mbar_f)^2), that
  /// grows from the coordinates of the `heads` (H x C) at t = 0. After end_time() by the last
  /// rates, if it is at rest, else NaN.
  Vector log_spread(const Matrix& heads, double t) const;
  /// First time at which that reaches `level`; NaN if it never does or it is not known.
  double time_of(const Matrix& heads, int feature, double level) const;

 private:
  Node at(double t) const;

  std::vector<Node> nodes_;
  Parameters end_;
  double gradient_norm_;
  double tolerance_;
  Matrix spike_factor_;
};

/// The flow on the unspecialized manifold from the projection of `start`, or on from where `from`
/// was taken, to rest or to options.end_time, and the growth along it. Collective.
///
/// `step` is called after each step with a function that makes the snapshot to go on from there;
/// the function may be kept, and called when this has ended or thrown. control.within_step() is
/// asked inside right-hand sides. What both throw comes out.
LinearGrowth follow_manifold(PopulationLoss& loss, const UnspecializedManifold& manifold,
                             const Parameters& start, const LinearGrowthOptions& options,
                             Control& control = Control::none(),
                             const std::function<void(const std::function<Snapshot()>&)>& step = {},
                             const Snapshot& from = {});

}  // namespace headflow
