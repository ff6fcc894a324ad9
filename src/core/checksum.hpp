#pragma once
#include <string>

namespace headflow {

/// Appends a checksum to a file: its length and a 64-bit hash of its bytes. HDF5 ignores what
/// follows its own end. Throws FileError.
void append_checksum(const std::string& path);

enum class ChecksumState {
  intact,  ///< the file ends with the checksum of the bytes before it
  broken,  ///< it ends with a checksum, which is that of other bytes
  none     ///< it ends with none, or cannot be read
};
ChecksumState checksum_of(const std::string& path);

}  // namespace headflow
