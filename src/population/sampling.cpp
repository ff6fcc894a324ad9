#include "headflow/population/sampling.hpp"

#include "headflow/core/keys.hpp"

namespace headflow {

void Sampling::declare_keys(KeyVisitor& visitor) {
  visitor.key({"samples",
               "base samples over all replicates; a multiple of replicates; Sobol points are best "
               "at replicates times a power of two"},
              samples, {.least = 1, .most = most_samples});
  visitor.choice<SamplingMethod>(
      {"sampling", "scrambled Sobol points or pseudo-random numbers"}, method,
      {{"sobol", SamplingMethod::sobol}, {"monte-carlo", SamplingMethod::monte_carlo}});
  visitor.whole({"replicates", "independent sample sets whose spread gives the standard errors"},
                replicates, {.least = 1, .most = 4096});
  visitor.whole({.name = "seed", .help = "seed of the samples", .seed = Seed::one}, seed, seeds);
  visitor.key({"symmetric",
               "close the set under cyclic head shifts and, with orthogonal spikes, the prior's "
               "sign flips"},
              symmetric);
  visitor.choice<Precision>(
      {.name = "precision",
       .help = "precision of samples and arithmetic; mixed: samples in single (half the memory), "
               "arithmetic in double, as accurate; sums are exact",
       .hint = "files from before \"mixed\" was the default go on with \"double\": set it"},
      precision,
      {{"double", Precision::double_}, {"mixed", Precision::mixed}, {"single", Precision::single}});
  visitor.key({.name = "memory",
               .help = "GiB that a rank may use to keep its samples, at least one block of them; "
                       "samples that need more are drawn again each time, with the same bits",
               .change = Change::allowed},
              memory_gib, positive);
}

}  // namespace headflow
