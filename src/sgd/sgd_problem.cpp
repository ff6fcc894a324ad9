#include "headflow/sgd/sgd_problem.hpp"

#include <cmath>

#include "headflow/core/keys.hpp"

namespace headflow {

void SgdProblem::declare_keys(KeyVisitor& visitor) {
  visitor.choice<Engine>(
      {.name = "engine",
       .help =
           "direct: vectors in R^D; overlaps: their overlaps alone, the same law at a cost that "
           "does not depend on D; auto: direct where weights are asked for or D is too small for "
           "overlaps"
           ", else overlaps",
       .hint = "\"auto\" follows save_weights and weights_times: set it"},
      engine,
      {{"auto", Engine::automatic}, {"direct", Engine::direct}, {"overlaps", Engine::overlaps}});
  visitor.key({"dimension", "D, at least F + 2H + L (engine direct: F + H + L, at most 1e9)", true},
              dimension, {.least = 1, .most = 1e15});
  visitor.key({"batch", "B, sequences in a step", true}, batch, {.least = 1, .most = 4e9});
  visitor.key({"learning_rate",
               "learning rate of k, b and v; the factor of [schedule] multiplies it; time is t = "
               "learning rate * steps; "
               "0.1 * batch / dimension is near the flow, less is nearer and slower",
               true},
              learning_rate, positive);
  visitor.choice<Reduction>(
      {"reduction",
       "engine direct, sum of the gradients over ranks: exact (same bits on any number) or "
       "fast (half the traffic, rounded)"},
      reduction, {{"exact", Reduction::exact}, {"fast", Reduction::fast}});
  visitor.whole({.name = "seed", .help = "seed of the sequences", .seed = Seed::one}, seed, seeds);
}

double SgdProblem::weight_limit(const Parameters& first) const {
  return 1000 *
         (1 + first.K.rowwise().norm().maxCoeff() + std::sqrt(model.prior.second_moment().trace()));
}

}  // namespace headflow
