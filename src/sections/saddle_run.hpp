#pragma once
#include <functional>
#include <utility>
#include <vector>

#include "core/data_file.hpp"
#include "headflow/core/snapshot.hpp"
#include "sections/configuration.hpp"

namespace headflow {

/// What a flow has shown, to be set against predictions; lists are empty where there was no flow.
struct ObservedFlow {
  std::vector<double> growth_rate, split_time;  ///< for each feature
  std::vector<std::pair<double, Parameters>> plateaus;
};

/// [saddle]: adds the groups `saddle` (the unspecialized saddle, growth modes there, predictions
/// for this start and against D) and, after a flow, `plateaus` (the Hessian wherever it lingered)
/// to `content`; prints a summary where `talk` is true. `observer` is asked in between; goes on
/// where `from`, the last that its `step` got, was taken. Collective.
void compute_saddle(const Communicator& comm, const Configuration& configuration,
                    PopulationLoss& loss, const ObservedFlow& observed, DataFile& content,
                    bool talk, const LinearGrowthObserver& observer, const Snapshot& from = {});

}  // namespace headflow
