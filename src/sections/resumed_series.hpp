#pragma once
#include <string>
#include <vector>

#include "core/progress.hpp"
#include "sections/run.hpp"

namespace headflow {

/// Where a computation in steps of time goes on from its state.
Reached reached_in(const Snapshot& from);

/// "at the last output, t = 12.5:\n"; empty where that is the time that was reached.
std::string at_last_output(double output, double reached);

/// "the step under way, with outputs until t = 12.5, is made again\n"; empty where the last output
/// is not after the time that was reached.
std::string outputs_made_again(double output, double reached);

/// Throws InputError when a section is to end before the time that its checkpoint has reached: what
/// is computed cannot be taken back.
void require_later(const char* section, double end, double reached);

/// Fills the group of a section, on rank 0, with the records that the checkpoint has of it until
/// `reached`, and writes the output. Warns of times that are past without a record: of `own_times`,
/// those of the section's keys, where one of these has been changed, of `all_times`, which has
/// those of [sgd], too, where one of its keys has. A change of the end alone moves all times a
/// little: of that it says nothing. Collective.
void resume_series(Run& run, DataGroup& group, const std::vector<double>& own_times,
                   const std::vector<double>& all_times, double reached);

}  // namespace headflow
