#pragma once
#include <string>

namespace headflow {

/// Appends a checksum to a file: its length and a 64-bit hash of its bytes. HDF5 ignores what
/// follows its own end. Throws FileError.
void append_checksum(const std::string& path);

/// Whether the file ends with the checksum of the bytes before it. False when any byte is missing,
/// added or changed, and for files that cannot be read.
bool checksum_is_intact(const std::string& path);

}  // namespace headflow
