# The kernels are written in GCC's vector extensions (with __builtin_shuffle), for the registers of x86-64.
if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU" OR NOT CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|amd64|AMD64)$")
  message(FATAL_ERROR "headflow needs GCC on x86-64 (Debian: apt-get install g++, then cmake -DCMAKE_CXX_COMPILER=g++ "
                      "in an empty build folder); here are ${CMAKE_CXX_COMPILER_ID} (${CMAKE_CXX_COMPILER}) and "
                      "'${CMAKE_SYSTEM_PROCESSOR}'")
endif()
