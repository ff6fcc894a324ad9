#pragma once
#include "headflow/core/control.hpp"
#include "headflow/core/mpi.hpp"
#include "headflow/model/model.hpp"
#include "headflow/model/parameters.hpp"
#include "headflow/population/sampling.hpp"

namespace headflow {

/// How the losses e of single sequences make up the population loss.
struct LossMoments {
  double mean = 0;  ///< E[e]
  /// E[e]^2 / E[e^2], from 0 to 1: which part of the samples the mean comes from. Of n samples
  /// about n * share count; where these are few, events that matter may be missing, and neither the
  /// mean nor its standard error can be trusted. 0 where all losses vanish.
  double share = 0;
};

/// On the samples of `sampling`, which are drawn and not kept. Collective; asks
/// control.within_step() about every 2^18 samples of a rank.
LossMoments loss_moments(const Communicator& comm, const Model& model, const Parameters& parameters,
                         const Sampling& sampling, Control& control = Control::none());

}  // namespace headflow
