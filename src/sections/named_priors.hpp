#pragma once
#include <string>
#include <vector>

#include "headflow/model/prior.hpp"
#include "input/input_keys.hpp"

namespace headflow {

/// The names that model.prior may have.
std::vector<std::string> prior_names();

/// F as given by model.features, or as the prior itself tells it. Throws InputError when they
/// disagree or none does.
int features_of(const ModelKeys& model);

/// The law that the keys of [model] describe. Throws InputError: keys that are missing, of the
/// wrong size, or of another prior.
Prior prior_of(const ModelKeys& model, int features);

}  // namespace headflow
