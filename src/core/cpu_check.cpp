#include "core/cpu_check.hpp"

#include <unistd.h>

#include <cstdio>

namespace headflow {

extern const int instruction_set_level;

const char* built_for() {
  constexpr const char* names[] = {"sse2", "avx2", "avx512"};
  return names[instruction_set_level];
}

/// Ends the program with a message and exit code 2 when this processor lacks what the program was
/// built for. Runs before all initialisers of C++ (their priority is 65535), because these use the
/// build's instruction set; hence this file is compiled for any x86-64 processor.
__attribute__((constructor(101))) static void require_processor() {
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  if ((instruction_set_level >= 1 && !avx2) || (instruction_set_level >= 2 && !avx512)) {
    std::fprintf(
        stderr,
        "headflow: error: built for %s, which this processor lacks; build on the kind of node that "
        "runs it, or with -DHEADFLOW_ARCH=x86-64-v3 or generic\n",
        built_for());
    _exit(2);
  }
}

}  // namespace headflow
