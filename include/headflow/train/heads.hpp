#pragma once
#include <vector>

#include "headflow/model/parameters.hpp"
#include "population/sample_means.hpp"

namespace headflow {

/// Loss after heads were removed one by one.
struct Pruning {
  std::vector<int> order;           ///< heads, from 0, in the order of their removal (H - 1)
  std::vector<double> loss;         ///< with 0, 1, .., H - 1 heads removed (H)
  std::vector<double> loss_stderr;  ///< of `loss`, from the replicates
};

/// Greedy pruning of trained heads (theory.md, section 10): at each step the head whose removal
/// leaves the smallest loss. The attention of the heads S that are left is their average, rescaled
/// so that the mean of sum_l A_l is what it was with all heads:
///   A_l = (c / |S|) sum_{h in S} sigma_{h,l},  c = (mean of w_h over all) / (mean of w_h over S),
/// w_h = E[ sum_l sigma_{h,l} ]. The loss follows from moments of sigma alone, so one pass over the
/// samples gives it for every subset of heads. `signal` is the law of S' theta. Collective.
Pruning prune(const Communicator& comm, const Shape& shape, const Activation& activation,
              const Parameters& parameters, const Prior& signal, const Sampling& sampling);

/// The attention of every head on some sequences whose relevant token is at a random place.
struct AttentionMaps {
  std::vector<double> sigma;  ///< (sequence, head, token)
  std::vector<double> A;      ///< (sequence, token): the mean over heads
  std::vector<double> theta;  ///< (sequence, feature), as the heads see it: S' theta
  std::vector<double> place;  ///< (sequence): the relevant token, from 1
};

/// sigma_{h,l} of `count` sequences, drawn with `seed`; the same on every rank.
AttentionMaps attention_maps(const Shape& shape, const Activation& activation,
                             const Parameters& parameters, const Prior& signal, std::int64_t count,
                             std::uint64_t seed);

}  // namespace headflow
