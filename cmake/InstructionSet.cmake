# The instruction set is part of what makes results equal to the bit: chosen here, recorded in every output.
set(HEADFLOW_ARCH native CACHE STRING "Instruction set: native, x86-64-v4, x86-64-v3 or generic")
set_property(CACHE HEADFLOW_ARCH PROPERTY STRINGS native x86-64-v4 x86-64-v3 generic)
if(HEADFLOW_ARCH STREQUAL "generic")
  set(HEADFLOW_ARCH_FLAGS "")
elseif(HEADFLOW_ARCH MATCHES "^(native|x86-64-v4|x86-64-v3)$")
  set(HEADFLOW_ARCH_FLAGS -march=${HEADFLOW_ARCH})
else()
  message(FATAL_ERROR "HEADFLOW_ARCH is '${HEADFLOW_ARCH}'; allowed: native, x86-64-v4, x86-64-v3, generic")
endif()

# headflow_compile(FILE OPTION..): options of one source, which then cannot share the precompiled header.
function(headflow_compile file)
  set_source_files_properties(${CMAKE_CURRENT_SOURCE_DIR}/src/${file} PROPERTIES COMPILE_OPTIONS "${ARGN}"
                              SKIP_PRECOMPILE_HEADERS ON)
endfunction()
# The check of the processor must itself run on any processor.
headflow_compile(core/cpu_check.cpp "$<$<BOOL:${HEADFLOW_ARCH_FLAGS}>:-march=x86-64>")
# The kernels are vectorised by hand over samples; the compiler's own attempts inside cost 5 %.
headflow_compile(population/kernel.cpp -fno-tree-vectorize)
# errno after sqrt would keep the compiler from vectorising it.
headflow_compile(core/float_normals.cpp -fno-math-errno)
