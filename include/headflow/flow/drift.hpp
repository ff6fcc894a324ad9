#pragma once
#include <span>
#include <utility>
#include <vector>

#include "headflow/core/control.hpp"
#include "headflow/model/schedule.hpp"
#include "headflow/population/population_loss.hpp"

namespace headflow {

/// The right-hand side of the flow (theory.md, section 5). The state y is K = [m | u], b, v, or
/// with kappa > 0 [m | r], b, v, as packed, whose slope is minus the packed gradient.
class Drift {
 public:
  /// The noise at t is kappa times the schedule's factor.
  Drift(PopulationLoss& loss, const Parameters& start, double kappa, Schedule schedule = {})
      : loss_(loss), start_(start), kappa_(kappa), schedule_(std::move(schedule)) {}

  /// That at t.
  double kappa(double t) const { return kappa_ * schedule_.factor(t); }
  std::vector<double> packed(Parameters parameters) const;
  /// With u the symmetric root of r where that is the state.
  Parameters unpacked(std::span<const double> y) const;
  /// f = dy/dt at t; the loss and its gradient are returned. Collective.
  LossGradient operator()(double t, std::span<const double> y, std::span<double> f,
                          Control& control) const;
  /// The same of each replicate of the samples alone: y and f hold theirs one after the other.
  void each(double t, std::span<const double> y, std::span<double> f, Control& control) const;

 private:
  void slope(double t, const Parameters& parameters, const LossGradient& value,
             std::span<double> f) const;

  PopulationLoss& loss_;
  Parameters start_;  // has what is not trained
  double kappa_;
  Schedule schedule_;
};

}  // namespace headflow
