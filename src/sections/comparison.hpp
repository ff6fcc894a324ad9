#pragma once
#include <string>

#include "core/data_file.hpp"

namespace headflow {

/// How far the mean over SGD's replicas gets from the flow, from the groups of the output: the
/// largest deviation of the loss and of the entries of m and of q over all common times after the
/// start, also in units of the replicas' spread (the root mean square of the standard deviation
/// over these entries and times). A line for each, or nothing without common times.
std::string compare_with_flow(const DataGroup& flow, const DataGroup& sgd);

}  // namespace headflow
