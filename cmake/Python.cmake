# The Python of headflow-plot, where the user's own lacks modules, and of the tests: the first that has them.
function(headflow_can_draw result python)
  execute_process(COMMAND ${python} -c "import sys; from importlib.util import find_spec; \
sys.exit(sys.version_info < (3, 11) or not all(map(find_spec, ('numpy', 'h5py', 'matplotlib', 'PIL'))))"
    RESULT_VARIABLE failed OUTPUT_QUIET ERROR_QUIET)
  if(failed)
    set(${result} FALSE PARENT_SCOPE)
  endif()
endfunction()
find_program(Python3_EXECUTABLE NAMES python3 PATHS /usr/bin VALIDATOR headflow_can_draw
             DOC "Python 3.11 with numpy, h5py, matplotlib, pillow")
if(Python3_EXECUTABLE)
  set(HEADFLOW_PYTHON ${Python3_EXECUTABLE})
else()
  message(STATUS "headflow-plot: no Python 3.11 here has numpy, h5py, matplotlib and pillow; it will ask for them")
endif()
