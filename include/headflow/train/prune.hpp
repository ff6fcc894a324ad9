#pragma once
#include <vector>

#include "headflow/core/control.hpp"
#include "headflow/core/mpi.hpp"
#include "headflow/model/model.hpp"
#include "headflow/model/parameters.hpp"
#include "headflow/population/sampling.hpp"

namespace headflow {

/// Loss after heads were removed one by one.
struct Pruning {
  std::vector<int> order;           ///< heads, from 0, in the order of their removal (H - 1)
  std::vector<double> loss;         ///< with 0, 1, .., H - 1 heads removed (H)
  std::vector<double> loss_stderr;  ///< of `loss`, from the replicates
};

/// Greedy pruning of trained heads (theory.md, sections 10 and 13): at each step the head whose
/// removal leaves the smallest loss. The attention is that of the heads S that are left, rescaled
/// so that the mean of sum_l A_l is what it was with all heads:
///   A_l = (c / |S|) sum_{h in S} sigma_{h,l},  c = (mean of w_h over all) / (mean of w_h over S),
/// w_h = E[ sum_l sigma_{h,l} ]. Where heads are normalised together (Bayes-softmax) the normaliser
/// runs over S alone, and c = 1. Heads that are normalised each by itself have moments from which
/// one pass over the samples tells the loss of any S, and a step costs O(H^2) numbers; where they
/// are normalised together a step is a pass over the samples and costs O(H^2 L) exponentials a
/// sample. Collective; asks control.within_step() as often as PacedControl.
Pruning prune(const Communicator& comm, const Model& model, const Parameters& parameters,
              const Sampling& sampling, Control& control = Control::none());

}  // namespace headflow
