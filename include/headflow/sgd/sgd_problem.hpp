#pragma once
#include <cstdint>

#include "headflow/model/model.hpp"
#include "headflow/model/parameters.hpp"
#include "headflow/model/schedule.hpp"

namespace headflow {

class KeyVisitor;

/// How the gradients of the ranks are added: exactly (the same bits on any number of ranks), or
/// rounded and with half the traffic.
enum class Reduction { exact, fast };

/// With vectors in R^D, or with their overlaps alone: the same law. What is `automatic` must be
/// chosen before a problem is run.
enum class Engine { automatic, direct, overlaps };

/// Stochastic gradient descent on fresh sequences in R^D (theory.md, section 3).
struct SgdProblem {
  Model model;
  Engine engine = Engine::automatic;
  std::int64_t dimension = 0;  ///< D
  std::int64_t batch = 0;      ///< B, sequences in a step
  double learning_rate = 0;    ///< times the schedule's factor
  Schedule schedule{};
  Reduction reduction = Reduction::exact;  ///< of the direct engine; the other is always exact
  std::uint64_t seed = 1;                  ///< of the sequences

  /// All but the model.
  void declare_keys(KeyVisitor& visitor);

  /// t after so many steps, the integral of the learning rate over them; lr * steps where it is
  /// constant.
  double time(std::int64_t steps) const {
    return schedule.time(learning_rate * static_cast<double>(steps));
  }
  /// The learning rate of the step after so many, taken in the middle of it.
  double rate(std::int64_t steps) const {
    const double middle = learning_rate * (static_cast<double>(steps) + 0.5);
    return learning_rate * schedule.factor(schedule.time(middle));
  }
  /// kappa = lr D / B, the noise that the limit D -> infinity at fixed t keeps, times the
  /// schedule's factor.
  double kappa() const {
    return learning_rate * static_cast<double>(dimension) / static_cast<double>(batch);
  }
  /// What weight decay leaves of k in the step after so many, k <- kept k - rate gradient.
  double kept(std::int64_t steps) const { return 1 - rate(steps) * model.weight_decay; }
  /// The fewest dimensions: room for the frame of spikes and heads, the gradient's part outside it
  /// (engine overlaps) and the tokens of a sequence.
  std::int64_t least_dimension() const {
    const auto& [L, H, F] = model.shape;
    return F + L + (engine == Engine::direct ? 1 : 2) * H;
  }
  /// 1000 (1 + max_h |k_h(0)| + sqrt(E|theta|^2)): weights beyond it have long ceased to mean
  /// anything.
  double weight_limit(const Parameters& first) const;
};

}  // namespace headflow
