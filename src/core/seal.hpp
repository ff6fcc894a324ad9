#pragma once
#include <string>

namespace headflow {

/// Appends to a file its length and a 64-bit hash of its bytes. HDF5 does not mind what follows its
/// own end. Throws FileError.
void seal_file(const std::string& path);

/// Whether the file ends with the seal of what comes before: any byte that is missing, added or
/// changed breaks it. False also for files that cannot be read.
bool seal_is_intact(const std::string& path);

}  // namespace headflow
