#pragma once

namespace headflow {

/// The instruction set this program was built for, as the compiler sees it: "avx512", "avx2" or
/// "sse2".
const char* built_for();

/// Ends the program with a message and exit code 2 when this processor lacks what the program was
/// built for. Compiled for any x86-64 processor, called first.
void require_processor();

}  // namespace headflow
