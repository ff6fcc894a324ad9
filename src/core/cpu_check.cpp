#include "core/cpu_check.hpp"

#include <unistd.h>

#include <cstdio>
#include <string_view>
#if defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace headflow {

const char* built_for() { return HEADFLOW_INSTRUCTION_SET; }

/// Whether the program was built for this instruction set; known when it is compiled, so that the
/// check calls no function that another file may have compiled for a larger one.
static consteval bool built_with(std::string_view name) { return name == HEADFLOW_INSTRUCTION_SET; }

#if defined(__x86_64__)
static constexpr const char* other_choices = "x86-64-v3 or generic";
static bool has_instruction_set() {
  __builtin_cpu_init();
  if constexpr (built_with("avx512"))
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
  if constexpr (built_with("avx2"))
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return true;
}
#else
static constexpr const char* other_choices = "generic";
static bool has_instruction_set() {
#if defined(__aarch64__) && defined(__linux__)
  if constexpr (built_with("sve2")) return getauxval(AT_HWCAP2) & HWCAP2_SVE2;
  if constexpr (built_with("sve")) return getauxval(AT_HWCAP) & HWCAP_SVE;
  if constexpr (built_with("lse")) return getauxval(AT_HWCAP) & HWCAP_ATOMICS;
#endif
  return true;
}
#endif

/// Ends the program with a message and exit code 2 when this processor lacks what the program was
/// built for. Runs before all initialisers of C++ (their priority is 65535), because these use the
/// build's instruction set; hence this file is compiled for any processor of its kind.
__attribute__((constructor(101))) static void require_processor() {
  if (has_instruction_set()) return;
  std::fprintf(
      stderr,
      "headflow: error: built for %s, which this processor lacks; build on the kind of node that "
      "runs it, or with -DHEADFLOW_ARCH=%s\n",
      built_for(), other_choices);
  _exit(2);
}

}  // namespace headflow
