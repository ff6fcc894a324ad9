#pragma once
#include <vector>

#include "headflow/model/prior.hpp"

namespace headflow {

/// On which side of each feature the heads are: the sign of m_hf - c_f, or 0 while |m_hf - c_f| is
/// below a threshold. c_f = 0 where the prior is symmetric under theta_f -> -theta_f; where it is
/// not, all heads may rightly share one sign, and c_f is their mean.
class SideRule {
 public:
  SideRule(const Prior& prior, double threshold);
  /// H x F of -1, 0, 1.
  Matrix sides(const Matrix& m) const;

 private:
  std::vector<bool> symmetric_;
  double threshold_;
};

/// For each feature 2 min(n_+, n_-) / (n_+ + n_-), n the number of heads on a side: 1 where the
/// split is even, 0 where all are on one side or none has chosen.
Vector evenness(const Matrix& sides);

/// Combinations of sides of the features that have split (spread over heads at the threshold).
struct Combinations {
  int different = 0;  ///< 1 before any split, 2^F when the hierarchy of F features is complete
  int undecided = 0;  ///< heads on neither side of one of them, whose combination does not count
};
Combinations combinations(const Matrix& sides, const Vector& spread, double threshold);

}  // namespace headflow
