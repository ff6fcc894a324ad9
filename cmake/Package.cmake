# What is installed beside programs and library (manual pages, completion, a module file), and cpack -G DEB.
install(FILES ${PROJECT_BINARY_DIR}/documentation/headflow.1 ${PROJECT_BINARY_DIR}/documentation/headflow-plot.1
        DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 OPTIONAL)
install(FILES ${PROJECT_BINARY_DIR}/documentation/headflow ${PROJECT_BINARY_DIR}/documentation/headflow-plot
        DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions OPTIONAL)
configure_file(cmake/packages/modulefile.in documentation/modulefile @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/documentation/modulefile
        DESTINATION ${CMAKE_INSTALL_DATADIR}/modulefiles/headflow RENAME ${PROJECT_VERSION})

if(NOT PROJECT_IS_TOP_LEVEL)
  return()
endif()
set(CPACK_PACKAGE_CONTACT "headflow maintainers")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION} (for ${HEADFLOW_ARCH})")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_GENERATOR DEB)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "openmpi-bin, python3 (>= 3.11), python3-numpy, python3-h5py, python3-matplotlib, python3-pil")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "python3-xarray, python3-tqdm")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "petsc-dev, libhdf5-openmpi-dev, libeigen3-dev, libfmt-dev, pkg-config, cmake")
# A package is for other machines than this one.
set(CPACK_PROJECT_CONFIG_FILE ${PROJECT_BINARY_DIR}/check_package.cmake)
file(CONFIGURE OUTPUT check_package.cmake CONTENT [[
if("@HEADFLOW_ARCH@" STREQUAL "native")
  message(FATAL_ERROR "this build is for the processor of this machine; configure with --preset package, or "
                      "-DHEADFLOW_ARCH=x86-64-v3 or generic")
endif()
]] @ONLY)
include(CPack)
