#pragma once
#include <span>
#include <vector>

#include "headflow/saddle/linear_growth.hpp"

namespace headflow {

/// What is asked about the split of heads.
struct SplitQuestion {
  Matrix heads;          ///< H x C: this start (UnspecializedManifold::head_coordinates)
  double threshold = 0;  ///< of the spread over heads
  std::vector<double> dimensions{};  ///< D
  /// Whether runs of SGD start from the heads of this start; else each from random ones of norm
  /// eta in R^D, around the common part of this start.
  bool shared = false;
  double eta = 1;
  bool biased = false;  ///< whether b is among the C coordinates
};

/// What linear growth says. First of the flow from this start, for each feature: the growth rate of
/// the spread over heads from 1/100 to 1/10 of the threshold, and when it splits; NaN once another
/// feature has split, which changes what is to come. Then of runs of SGD at each D, for each
/// feature as if there were no other.
struct Prediction {
  std::vector<double> rate, split_time;   ///< (F)
  std::vector<double> time_at_dimension;  ///< (D, F): the root mean square spread splits
  std::vector<double> quantiles;   ///< (D, quantile, F) of the split time, of split_quantiles()
  std::vector<double> upper_side;  ///< (D, H, F): P(m_hf > mbar_f) at the median of the split time

  /// All of them, one after the other, and back from as many numbers.
  std::vector<double> packed() const;
  void unpack(std::span<const double> numbers);
};

/// .01, .1, .25, .5, .75, .9, .99.
const std::vector<double>& split_quantiles();

Prediction predict(const LinearGrowth& growth, const SplitQuestion& question);

/// The law of the heads of runs of SGD at the start, for one D. The variances of random ones are
/// those of random_start_spread.
HeadLaw law_at_dimension(const SplitQuestion& question, double dimension);

}  // namespace headflow
