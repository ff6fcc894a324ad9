#pragma once

namespace headflow {

/// The instruction set this program was built for, as the compiler sees it: "avx512", "avx2" or
/// "sse2"; on aarch64 "sve2", "sve", "lse" or "neon". A program that uses it ends at once, with a
/// message and exit code 2, on a processor that lacks this instruction set.
const char* built_for();

}  // namespace headflow
