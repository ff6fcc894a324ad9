#pragma once

namespace headflow {

/// Bytes of memory that this process has in use (resident), libraries included; 0 where the system
/// does not tell.
double resident_bytes();

}  // namespace headflow
