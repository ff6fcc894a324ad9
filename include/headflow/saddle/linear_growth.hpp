#pragma once
#include <functional>
#include <vector>

#include "headflow/core/snapshot.hpp"
#include "headflow/flow/time_stepper.hpp"
#include "headflow/population/population_loss.hpp"
#include "headflow/saddle/split_law.hpp"
#include "headflow/saddle/unspecialized.hpp"

namespace headflow {

class KeyVisitor;

struct LinearGrowthOptions {
  double end_time = 1000;
  double gradient_tolerance = 1e-5;  ///< the flow on the manifold ends where its slope is smaller
  double kappa = 0;                  ///< lr D / B, the learning-rate noise
  double tolerance = 1e-6;           ///< of the time stepper (5dp, PETSc options "saddle_")

  /// gradient_tolerance.
  void declare_keys(KeyVisitor& visitor);
  TimeStepper::Options stepper() const { return {.tolerance = tolerance, .prefix = "saddle_"}; }
};

/// The law of the heads at the start, in their C coordinates (UnspecializedManifold).
struct HeadLaw {
  Matrix mean;          ///< H x C
  Vector variance;      ///< C: of the amplitude of each normalised pattern over heads
  double strength = 0;  ///< 1 / D, by which the noise of SGD adds to it; 0: none
};

/// How small differences between heads grow along the flow with learning-rate noise on the
/// unspecialized manifold, and what SGD's noise adds to them: the linear dynamics of a pattern over
/// heads orthogonal to (1, .., 1), which are the same for all of them. With c(t) the pattern's
/// amplitude in the C coordinates of a head,
///   dc = J(t) c dt + noise of covariance (kappa / D) Cov[zeta] dt  (theory.md section 11).
class LinearGrowth {
 public:
  /// The growth until some time.
  struct Node {
    double time;
    Vector exponent;   ///< C: log of the growth from each coordinate alone
    Matrix direction;  ///< C x F: unit amplitude that has grown from each, of which m = k . k*
    Vector log_noise;  ///< F: log of D times the variance of m that SGD's noise has made
  };

  /// Of a flow with these nodes (at least one), which has ended at `end` with that norm of its
  /// slope; it is at rest where that is not above `tolerance`.
  LinearGrowth(std::vector<Node> nodes, const Parameters& end, double gradient_norm,
               double tolerance)
      : nodes_(std::move(nodes)), end_(end), gradient_norm_(gradient_norm), tolerance_(tolerance) {}

  int features() const { return static_cast<int>(nodes_[0].log_noise.size()); }
  double end_time() const { return nodes_.back().time; }
  /// Where the flow on the manifold has ended.
  const Parameters& end() const { return end_; }
  /// The slope on the manifold there, and whether that is below the tolerance.
  double gradient_norm() const { return gradient_norm_; }
  bool at_rest() const { return gradient_norm_ <= tolerance_; }

  /// The law of feature f at t. After end_time() by the last rates, if it is at rest, else NaN.
  SplitLaw law(const HeadLaw& start, int feature, double t) const;
  /// log of the spread over heads of each feature at t that grows from the coordinates of the
  /// `heads` (H x C) at t = 0.
  Vector log_spread(const Matrix& heads, double t) const;
  /// First time at which that reaches `level`; NaN if it never does or it is not known.
  double time_of(const Matrix& heads, int feature, double level) const;
  /// First time at which `above` turns true, asked at nodes, and after them if it is at rest.
  double first_time(const std::function<bool(double)>& above) const;

 private:
  Node at(double t) const;

  std::vector<Node> nodes_;
  Parameters end_;
  double gradient_norm_;
  double tolerance_;
};

/// The flow on the unspecialized manifold from the projection of `start`, or on from where `from`
/// was taken, to rest or to options.end_time, and the growth along it. `loss` must be one with
/// noise where kappa > 0. Collective.
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
