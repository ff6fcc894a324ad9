#pragma once
#include <functional>
#include <vector>

#include "headflow/core/snapshot.hpp"

namespace headflow {

/// Where a flow lingers: near a saddle, or where it ends.
struct Plateau {
  double time = 0;
  double speed = 0;             ///< |dE/d(K, b, v)|
  double fastest_before = 0;    ///< since the plateau before
  double fastest_after = 0;     ///< until the next one
  std::vector<double> state{};  ///< of the time stepper
};

/// Finds the plateaus of a flow from its steps: local minima of the speed |dy/dt| between maxima
/// that are at least `prominence` times faster. The end of the run counts where the flow is slowing
/// down; its start, unless the flow grows ten times faster from there at once.
class PlateauFinder {
 public:
  /// The end of an accepted step: the speed there and, when asked, the state.
  void step(double t, double speed, const std::function<std::vector<double>()>& state);
  std::vector<Plateau> plateaus() const;

  /// Everything that has been seen, into and out of a saved state.
  void save(Snapshot& snapshot) const;
  void restore(const Snapshot& snapshot);

  static constexpr double prominence = 1.5;

 private:
  std::vector<Plateau> found_;
  Plateau slowest_;      // since the last maximum
  bool slowing_ = true;  // whether slowest_ is the next plateau
};

}  // namespace headflow
