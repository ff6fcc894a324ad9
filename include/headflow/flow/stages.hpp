#pragma once
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "headflow/core/snapshot.hpp"
#include "headflow/flow/sides.hpp"

namespace headflow {

/// When the heads learn what, in units of t; NaN for what has not happened. Lists are over
/// features.
struct Stages {
  double alignment_time = 0;         ///< the common component reaches half its plateau
  std::vector<double> split_time{};  ///< the spread of m_{.f} over heads passes the threshold
  /// Mean rate of its logarithm from 1/100 to 1/10 of the threshold; NaN if it began above the
  /// first.
  std::vector<double> growth_rate{};
  /// How often each head has changed its side (SideRule) of a feature after that had split (H x F).
  Matrix excursions{};
};

/// Finds the stages of a run from its steps. With mbar = (1/H) sum_h m_h:
/// - common component c = |mbar|; its plateau is its value when the first feature splits (at the
/// last step when none
///   has); defined when E theta is not zero and c starts under half of the plateau;
/// - spread of feature f: sqrt( (1/H) sum_h (m_hf - mbar_f)^2 ).
/// Crossings are located inside the step by bisection on the stepper's dense output.
///
/// A copy costs O(F H) whatever the number of steps: the pieces that half_plateau_time() looks at
/// only ever grow, so copies share one list, and each knows how many of them are its own. Of such
/// copies only one may go on to further steps; it overwrites the pieces of those ahead of it.
class StageFinder {
 public:
  StageFinder(const Prior& prior, double split_threshold);

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
  std::span<const Piece> pieces() const { return std::span(*pieces_).first(piece_count_); }
  double half_plateau_time() const;
  std::vector<double> growth_rates() const;
  void count_excursions(const Matrix& m);

  bool has_mean_;
  double threshold_;
  SideRule rule_;
  double last_common_ = 0;
  std::shared_ptr<std::vector<Piece>> pieces_ = std::make_shared<std::vector<Piece>>();
  std::size_t piece_count_ = 0;  // how many of pieces_ this one has seen
  Vector spread_;                // of each feature, at the end of the last step
  std::vector<double> low_time_, high_time_, split_time_;
  Matrix sides_;  // last side of each head that was not 0
  Matrix excursions_;
};

/// sqrt( (1/H) sum_h (m_hf - mbar_f)^2 ) for every feature f.
Vector spread_over_heads(const Matrix& m);

}  // namespace headflow
