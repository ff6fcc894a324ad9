#pragma once
#include <vector>

#include "headflow/saddle/linear_growth.hpp"

namespace headflow {

/// What linear growth predicts for one start, for each feature: the growth rate of the spread over
/// heads from 1/100 to 1/10 of the threshold, and when it splits; NaN once another feature has
/// split, which changes what is to come.
struct Prediction {
  std::vector<double> rate, split_time;

  /// Both, one after the other.
  std::vector<double> packed() const;
};

/// From the coordinates of the heads at the start (H x C, UnspecializedManifold::head_coordinates).
Prediction predict(const LinearGrowth& growth, const Matrix& heads, int features, double threshold);

/// For each D and feature, when a spread of the size that random heads of norm eta have reaches the
/// threshold, were there no other feature: m_hf ~ N(0, eta^2 / D), so its mean square is
/// eta^2 (H - 1) / (H D). `head_coordinates` is C.
std::vector<double> times_against_dimension(const LinearGrowth& growth, const Shape& shape,
                                            int head_coordinates,
                                            const std::vector<double>& dimensions, double eta,
                                            double threshold);

}  // namespace headflow
