# Release by default. A parent project chooses for itself.
if(PROJECT_IS_TOP_LEVEL AND NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Release, Developer, Sanitize or Debug" FORCE)
endif()
set(CMAKE_CXX_EXTENSIONS OFF)

# Warnings are the project's own: its targets link this privately, so no consumer has them. Developer makes them errors.
# It has no precompiled headers: they hide when a file lacks an include.
if(CMAKE_BUILD_TYPE STREQUAL "Developer")
  set(CMAKE_DISABLE_PRECOMPILE_HEADERS ON)
endif()
add_library(headflow_warnings INTERFACE)
target_compile_options(headflow_warnings INTERFACE -Wno-psabi "$<$<CONFIG:Developer>:-Wall;-Wextra;-Wpedantic;-Werror>")
