# The kernels are written in the vector extensions that GCC and Clang share.
if(NOT CMAKE_CXX_COMPILER_ID MATCHES "^(GNU|Clang)$")
  message(WARNING "headflow has been tried with GCC and Clang alone; here is ${CMAKE_CXX_COMPILER_ID} "
                  "(${CMAKE_CXX_COMPILER})")
elseif((CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 12)
       OR (CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 14))
  message(WARNING "headflow has been tried with GCC 12 and Clang 14 or newer; here is ${CMAKE_CXX_COMPILER_ID} "
                  "${CMAKE_CXX_COMPILER_VERSION}")
endif()
