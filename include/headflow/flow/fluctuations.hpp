#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "headflow/core/statistics.hpp"
#include "headflow/flow/flow.hpp"
#include "headflow/flow/time_stepper.hpp"
#include "headflow/model/start.hpp"
#include "headflow/population/population_loss.hpp"

namespace headflow {

/// What the covariance of y = (m, r, b, v) is driven by at a point (theory.md section 11). y is in
/// the order of StepMoments, n numbers; its m is K[:, :F].
struct LinearNoise {
  Matrix jacobian;  ///< J = df/dy (n x n), f the drift with learning-rate noise
  Matrix noise;     ///< Cov[zeta] (n x n)
};

/// J and Cov[zeta] of each replicate of the samples, all at the same point or each at its own.
/// `loss` must be one with noise where kappa > 0. About 1 + 3 n evaluations. Collective.
///
/// The derivative along dr is taken by du = Lambda u, Lambda the symmetric solution of Lambda r + r
/// Lambda = dr: no inverse of u, and at r -> 0 its part that matters stays finite, because there
/// fluctuations of r are of the size of u. Where r vanishes to rounding, they stay as they are.
std::vector<LinearNoise> linear_noises(PopulationLoss& loss, std::span<const Parameters> points,
                                       double kappa, Control& control = Control::none());
/// Their mean at `at`, that of all samples.
LinearNoise linear_noise(PopulationLoss& loss, const Parameters& at, double kappa,
                         Control& control = Control::none());

/// What a step does: y -> growth y to first order, C -> growth C growth' + noise.
struct Propagator {
  Matrix growth, noise;

  /// The covariance at the end of the step from that at its begin.
  Matrix operator()(const Matrix& covariance) const;
};

/// That of a step of length h with
///   dC/dt = J C + C J' + strength Cov[zeta],
/// where `first` and `second` are at Gauss's two points of the step, (1 -+ 1/sqrt(3)) h / 2, by
/// the Magnus series of fourth order: exact where J and Cov[zeta] do not change, however stiff.
/// With `part` < 1 it is that until the time part * h, from what lies on the line through these
/// two.
Propagator propagator(const LinearNoise& first, const LinearNoise& second, double strength,
                      double h, double part = 1);

/// How numbers of a state change with y, to first order: a row for each number, n columns.
struct Sensitivities {
  Matrix m, r, q, b, v, loss, cosine;
  Matrix order;  ///< of y itself, m = k . k*
};

/// A point of the flow, the gradient of the objective there, and the covariance of SGD around it.
struct Spread {
  Parameters at, gradient;
  Matrix covariance;
};

/// Those at each of the points.
std::vector<Sensitivities> sensitivities(const Model& model, const std::vector<Spread>& spreads);

/// sqrt(diag(A C A')) of the covariances C of `spreads` and the rows A at their points: of the
/// first, with standard errors from the others.
std::vector<Measured> deviations(const std::vector<Sensitivities>& at, Matrix Sensitivities::*rows,
                                 const std::vector<Spread>& spreads);

struct FluctuationsOptions {
  double end_time = 200;
  std::vector<double> output_times{};   ///< increasing, within [0, end_time]
  double kappa = 0;                     ///< lr D / B
  Schedule schedule{};                  ///< whose factor multiplies kappa
  double dimension = 0;                 ///< D
  std::optional<StartSpread> starts{};  ///< random ones, of this spread; else the one of the flow
  double tolerance = 1e-6;              ///< of the time stepper (5dp, PETSc "fluctuations_")

  TimeStepper::Options stepper() const {
    return {.tolerance = tolerance, .prefix = "fluctuations_"};
  }
};

/// The flow with learning-rate noise and the covariance of SGD around it at an output time.
struct FluctuationsRecord : State {
  double time = 0;
  double kappa = 0;  ///< at this time
  /// Of all samples, then of each replicate along its own flow where there are several.
  std::vector<Spread> spreads{};
};

struct FluctuationsResult {
  double time = 0;
  std::int64_t steps = 0;
  bool finished = true;  ///< not asked to stop before its end
};

/// What is handed out; all are called on every rank.
struct FluctuationsObserver {
  std::function<void(const FluctuationsRecord&)> record;
  std::function<void(const FlowProgress&)> progress = [](const FlowProgress&) {};
  std::function<void(const Snapshot&)> save = [](const Snapshot&) {};
};

/// The covariance of SGD along the flow (theory.md section 11),
///   dy/dt = f(y) = -E[zeta],  dC/dt = J C + C J' + (kappa / D) Cov[zeta],
/// to leading order in 1/D: Gaussian, and as long as fluctuations are small. Where there are
/// several replicates of the samples, the flow of each and its covariance are followed beside those
/// of all samples, in the same steps, for the errors. `loss` must be one with noise where kappa >
/// 0. Collective; the same bits on any number of ranks and for any output times. Throws
/// NumericalError. Stops, saves and goes on as run_flow does.
FluctuationsResult run_fluctuations(PopulationLoss& loss, const Parameters& start,
                                    const FluctuationsOptions& options,
                                    const FluctuationsObserver& observer,
                                    Control& control = Control::none(), const Snapshot& from = {});

}  // namespace headflow
