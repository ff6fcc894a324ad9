# Release by default; Developer turns warnings into errors; Sanitize adds address and undefined. GCC 12 takes its own
# AVX-512 intrinsics for uninitialised, hence the two warnings left out.
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Release, Developer, Sanitize or Debug" FORCE)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O3 -DNDEBUG" CACHE STRING "" FORCE)
set(CMAKE_CXX_FLAGS_DEVELOPER
    "-O2 -g -Wall -Wextra -Wpedantic -Werror -Wno-psabi -Wno-maybe-uninitialized -Wno-uninitialized -D_GLIBCXX_ASSERTIONS" CACHE STRING "" FORCE)
set(CMAKE_CXX_FLAGS_SANITIZE
    "-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer"
    CACHE STRING "" FORCE)
set(CMAKE_CXX_EXTENSIONS OFF)
add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-Wno-psabi>)
