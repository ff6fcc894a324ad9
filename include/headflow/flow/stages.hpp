#pragma once
#include <functional>
#include <vector>

#include "headflow/core/snapshot.hpp"
#include "headflow/model/shape.hpp"

namespace headflow {

/// When the heads learn what, in units of t; NaN for what has not happened.
struct Stages {
  double alignment_time = 0;  ///< the common component reaches half its plateau
  std::vector<double>
      split_time;  ///< for each feature: the spread of m_{.f} over heads passes the threshold
};

/// Finds the stages of a run from its steps. With mbar = (1/H) sum_h m_h:
/// - common component c = |mbar|; its plateau is its value when the first feature splits (at the
/// last step when none
///   has); defined when E theta is not zero and c starts under half of the plateau;
/// - spread of feature f: sqrt( (1/H) sum_h (m_hf - mbar_f)^2 ).
/// Crossings are located inside the step by bisection on the stepper's dense output.
class StageFinder {
 public:
  StageFinder(const Vector& mean_theta, double split_threshold);

  /// The m (H x F) at the start.
  void start(double t, const Matrix& m);
  /// An accepted step from t0 to t1 with `m_at(t)` for t in [t0, t1].
  void step(double t0, double t1, const std::function<Matrix(double)>& m_at);
  Stages stages() const;

  /// Everything that has been seen, into and out of a saved state.
  void save(Snapshot& snapshot) const;
  void restore(const Snapshot& snapshot);

 private:
  /// c at equally spaced times of one step: enough to locate a crossing of a level that is known
  /// only later.
  struct Piece {
    double t0, t1;
    double c[5];
  };
  double half_plateau_time() const;

  bool has_mean_;
  double threshold_;
  double last_common_ = 0;
  std::vector<Piece> pieces_;
  std::vector<double> split_time_;
};

/// sqrt( (1/H) sum_h (m_hf - mbar_f)^2 ) for every feature f.
Vector spread_over_heads(const Matrix& m);

}  // namespace headflow
