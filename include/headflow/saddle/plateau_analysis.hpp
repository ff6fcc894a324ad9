#pragma once
#include <vector>

#include "headflow/core/control.hpp"
#include "headflow/population/population_loss.hpp"
#include "headflow/saddle/saddle.hpp"

namespace headflow {

/// The part in m of an eigenvector of the Hessian, as its best product of a pattern over heads and
/// a direction of features: m_{hf} ~ pattern_h direction_f.
struct PatternTimesDirection {
  Vector pattern;    ///< H, of norm 1
  Vector direction;  ///< F, of norm 1
  double weight;     ///< share of the eigenvector's squared norm that the product has
};

/// Where a flow lingers, and what the Hessian there says of what comes next.
struct PlateauAnalysis {
  double time = 0;  ///< at which the flow is slowest
  State state;
  LocalSpectrum spectrum;
  std::vector<Parameters> eigenvectors;      ///< those of the spectrum, unpacked
  std::vector<PatternTimesDirection> modes;  ///< of each eigenvector
  /// d log(spread_f) / dt along the flow, right there (F).
  std::vector<double> growth_rate;
  double next_feature = 0;     ///< that splits next, from 1; NaN for none
  double next_split_time = 0;  ///< NaN for none
};

/// Analyses the place `at` where a flow lingers at `time`: the Hessian's spectrum, the growth of
/// the spread of each feature, and which feature splits next if heads go on as the Hessian says
/// (spread over heads at `split_threshold`). Collective.
PlateauAnalysis analyse_plateau(PopulationLoss& loss, double time, const Parameters& at,
                                double split_threshold, Control& control = Control::none());

}  // namespace headflow
