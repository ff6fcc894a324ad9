# The instruction set is part of what makes results equal to the bit: chosen here, recorded in every output.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|amd64|AMD64)$")
  set(choices native x86-64-v4 x86-64-v3 generic)
  set(native -march=native)
  set(baseline -march=x86-64)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
  set(choices native generic)
  set(native -mcpu=native)
  set(baseline -mcpu=generic)
else()
  message(WARNING "headflow has been tried on x86-64 and aarch64 alone; here is '${CMAKE_SYSTEM_PROCESSOR}'")
  set(choices generic)
endif()
list(GET choices 0 default)
if(CMAKE_CROSSCOMPILING)
  list(REMOVE_ITEM choices native)  # is the machine that compiles
  set(default generic)
endif()
list(JOIN choices ", " words)
set(HEADFLOW_ARCH ${default} CACHE STRING "Instruction set: ${words}")
set_property(CACHE HEADFLOW_ARCH PROPERTY STRINGS ${choices})
if(NOT HEADFLOW_ARCH IN_LIST choices)
  message(FATAL_ERROR "HEADFLOW_ARCH is '${HEADFLOW_ARCH}'; allowed for ${CMAKE_SYSTEM_PROCESSOR}: ${words}")
elseif(HEADFLOW_ARCH STREQUAL "generic")
  set(flags "")
elseif(HEADFLOW_ARCH STREQUAL "native")
  set(flags ${native})
else()
  set(flags -march=${HEADFLOW_ARCH})
endif()

# headflow_find_set(NAME BYTES CONDITION): unless a set was found before, this one if the condition on the compiler's
# macros holds with these flags; its vector registers have so many bytes.
include(CheckCXXSourceCompiles)
function(headflow_find_set name bytes condition)
  if(HEADFLOW_VECTOR_BYTES)
    return()
  endif()
  set(CMAKE_REQUIRED_FLAGS "${flags}")
  set(CMAKE_REQUIRED_QUIET ON)
  set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
  unset(HEADFLOW_HAS_SET CACHE)  # the flags may be others now
  check_cxx_source_compiles("#if !(${condition})\n#error\n#endif" HEADFLOW_HAS_SET)
  if(HEADFLOW_HAS_SET)
    set(HEADFLOW_INSTRUCTION_SET ${name} PARENT_SCOPE)
    set(HEADFLOW_VECTOR_BYTES ${bytes} PARENT_SCOPE)
  endif()
  unset(HEADFLOW_HAS_SET CACHE)
endfunction()
# Those that core/cpu_check.cpp looks for, the largest first.
set(HEADFLOW_VECTOR_BYTES 0)
headflow_find_set(avx512 64 "defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512VL__)")
headflow_find_set(avx2 32 "defined(__AVX2__) && defined(__FMA__)")
headflow_find_set(sse2 16 "defined(__x86_64__)")
headflow_find_set(sve2 16 "defined(__ARM_FEATURE_SVE2)")
headflow_find_set(sve 16 "defined(__ARM_FEATURE_SVE)")
headflow_find_set(lse 16 "defined(__ARM_FEATURE_ATOMICS)")
headflow_find_set(neon 16 "defined(__ARM_NEON)")
headflow_find_set(generic 16 1)
message(STATUS "Instruction set: ${HEADFLOW_ARCH}, which has ${HEADFLOW_INSTRUCTION_SET} "
               "and vectors of ${HEADFLOW_VECTOR_BYTES} bytes")

# What the project's own sources are compiled with, and no consumer is: no public header depends on it.
add_library(headflow_instruction_set INTERFACE)
target_compile_options(headflow_instruction_set INTERFACE ${flags} -ffp-contract=fast)
target_compile_definitions(headflow_instruction_set INTERFACE HEADFLOW_VECTOR_BYTES=${HEADFLOW_VECTOR_BYTES})

# headflow_compile(FILE OPTION..): options of one source, which then cannot share the precompiled header.
function(headflow_compile file)
  set_source_files_properties(${CMAKE_CURRENT_SOURCE_DIR}/src/${file} PROPERTIES COMPILE_OPTIONS "${ARGN}"
                              SKIP_PRECOMPILE_HEADERS ON)
endfunction()
# The check of the processor must itself run on any processor.
headflow_compile(core/cpu_check.cpp ${baseline} -DHEADFLOW_INSTRUCTION_SET="${HEADFLOW_INSTRUCTION_SET}")
# The kernels are vectorised by hand over samples; the compiler's own attempts inside cost 5 %.
headflow_compile(population/kernel.cpp -fno-tree-vectorize)
# errno after sqrt would keep the compiler from vectorising it.
headflow_compile(core/float_normals.cpp -fno-math-errno)
