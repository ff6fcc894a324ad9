#pragma once
#include <petscts.h>

#include <string>

#include "headflow/flow/time_stepper.hpp"

namespace headflow {

/// Gives the stepper, whose prefix is options.prefix, method and tolerance, and then what the PETSc
/// options of that prefix say. Throws InputError for one that has no effect on steps that are
/// driven one at a time, or that leaves behind what a snapshot lacks, or that PETSc refuses.
void set_stepper_options(TS ts, const TimeStepper::Options& options);

/// Which options of the prefix have an effect, for messages.
std::string stepper_option_words(const std::string& prefix);

}  // namespace headflow
