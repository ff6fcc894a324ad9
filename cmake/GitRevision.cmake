# Writes git_revision.hpp at every build, so that each output names the code that made it; here for what it has to say.
set(write_git_revision -DSOURCE=${PROJECT_SOURCE_DIR} -DOUTPUT=${PROJECT_BINARY_DIR}/generated/git_revision.hpp
    -DVERSION=${PROJECT_VERSION} -P ${PROJECT_SOURCE_DIR}/cmake/write_git_revision.cmake)
execute_process(COMMAND ${CMAKE_COMMAND} ${write_git_revision} OUTPUT_STRIP_TRAILING_WHITESPACE)
add_custom_target(headflow_git_revision COMMAND ${CMAKE_COMMAND} ${write_git_revision}
  BYPRODUCTS ${PROJECT_BINARY_DIR}/generated/git_revision.hpp VERBATIM)
add_library(headflow_git_header INTERFACE)
add_dependencies(headflow_git_header headflow_git_revision)
target_include_directories(headflow_git_header INTERFACE ${PROJECT_BINARY_DIR}/generated)
