#pragma once
#include <functional>
#include <string>

#include "headflow/core/error.hpp"

namespace headflow {

/// A text as one line that can be printed: control characters, what turns the direction of writing
/// and bytes that are no UTF-8 are written as in C; of a long text the middle is left out.
std::string one_line(const std::string& text);

/// Prints "headflow: warning: .." in one line.
void warn(const std::string& text);

/// Prints "headflow: error: .." for one process, without MPI. Returns the error's exit code.
int report(const Error& error);

/// Runs `program` on every rank of the world and returns its exit code. An exception that leaves
/// `program` ends all ranks with its exit code (that of an Error; numerical_failure for others).
///
/// If every rank fails within a few seconds, rank 0 prints "headflow: error: ..", and all return
/// rank 0's exit code; the first rank with another message prints it, too. If not, the ranks that
/// fail print "headflow: error on rank R: .." and abort the others, wherever these wait. After a
/// FileError the ranks always abort, because HDF5 may hold files that it cannot close.
///
/// A job script may name a file in the environment, HEADFLOW_EXIT: rank 0 writes "started" there
/// and at the end the exit code, and all ranks return 0 instead.
/// Collective. Call it once, directly from main, inside an MpiSession.
int run_and_report(const std::function<int()>& program);

}  // namespace headflow
