#pragma once
#include <vector>

#include "sections/run.hpp"

namespace headflow {

/// Throws InputError when a section is to end before the time that its checkpoint has reached: what
/// is computed cannot be taken back.
void require_later(const char* section, double end, double reached);

/// Fills the group of a section, on rank 0, with the records that the checkpoint has of it until
/// `reached`, and
/// writes the output. Warns of output times that are past and were not asked for then. Collective.
void resume_series(Run& run, DataGroup& group, const std::vector<double>& output_times,
                   double reached);

}  // namespace headflow
