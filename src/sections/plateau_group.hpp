#pragma once
#include <functional>
#include <utility>
#include <vector>

#include "sections/configuration.hpp"
#include "sections/series.hpp"

namespace headflow {

/// Fills the empty group `plateaus`: the state and the Hessian wherever a flow lingered, which
/// feature is next and when. `poll` is called in between and may throw. Collective.
void write_plateaus(DataGroup& group, const Configuration& configuration, PopulationLoss& loss,
                    const std::vector<std::pair<double, Parameters>>& plateaus,
                    const std::function<void()>& poll);

/// A line for each plateau of that group.
void print_plateaus(DataGroup& group);

}  // namespace headflow
