#pragma once
// What the tests of trained attention share.
#include "support.hpp"

namespace headflow::testing_support {

inline Sampling sobol(std::int64_t samples, int replicates = 8, std::uint64_t seed = 1) {
  return {.samples = samples, .replicates = replicates, .seed = seed};
}

/// L tokens of a prior; the heads do not matter.
inline Model sequences(int tokens, const Prior& prior) {
  return {{tokens, 1, prior.features()}, Softmax{}, prior};
}

/// theta = sqrt(nu) or -sqrt(nu), F = 1.
inline Prior opposite_directions(double nu) {
  return discrete_prior(Matrix{{std::sqrt(nu)}, {-std::sqrt(nu)}}, Vector{{0.5, 0.5}});
}

/// Three atoms of unequal weights and lengths, and one of weight zero; F = 2.
inline Prior unequal_atoms() {
  return discrete_prior(Matrix{{1.5, 0.5}, {9, 9}, {-1, 1}, {0.25, -2}},
                        Vector{{0.6, 0, 0.3, 0.1}});
}

}  // namespace headflow::testing_support
