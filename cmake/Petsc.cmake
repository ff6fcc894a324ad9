# PETSc as pkg-config finds it: in PETSC_DIR (and PETSC_ARCH), by which PETSc's own makefiles go, then in PKG_CONFIG_PATH
# and where the system has it. Its numbers must be real ones of double precision; its integers may have 32 or 64 bits.
if(DEFINED ENV{PETSC_DIR})
  set(ENV{PKG_CONFIG_PATH}
      "$ENV{PETSC_DIR}/$ENV{PETSC_ARCH}/lib/pkgconfig:$ENV{PETSC_DIR}/lib/pkgconfig:$ENV{PKG_CONFIG_PATH}")
endif()
set(petsc_choice "set PETSC_DIR and PETSC_ARCH, or put the folder of its PETSc.pc first in PKG_CONFIG_PATH, and configure "
                 "in an empty build folder (Debian: apt-get install petsc-dev, or run cmake/setup.sh, which also says "
                 "what to load on a cluster with modules or Spack)")
pkg_check_modules(PETSC QUIET IMPORTED_TARGET PETSc)
if(NOT PETSC_FOUND)
  message(FATAL_ERROR "headflow needs PETSc 3.18 or newer, and pkg-config finds none: " ${petsc_choice})
endif()
if(PETSC_VERSION VERSION_LESS 3.18)
  message(FATAL_ERROR "headflow needs PETSc 3.18 or newer, found ${PETSC_VERSION} in ${PETSC_PREFIX}: " ${petsc_choice})
endif()

find_file(HEADFLOW_PETSCCONF petscconf.h HINTS ${PETSC_INCLUDE_DIRS} ${PETSC_INCLUDEDIR} REQUIRED)
file(STRINGS ${HEADFLOW_PETSCCONF} petsc_numbers REGEX "^#[ \t]*define[ \t]+PETSC_USE_(COMPLEX|REAL_[A-Z0-9_]+)")
if(NOT petsc_numbers MATCHES "PETSC_USE_REAL_DOUBLE")
  set(petsc_wrong "another precision than double")
elseif(petsc_numbers MATCHES "PETSC_USE_COMPLEX")
  set(petsc_wrong "complex numbers")
endif()
if(DEFINED petsc_wrong)
  message(FATAL_ERROR "headflow needs PETSc with real numbers of double precision; PETSc ${PETSC_VERSION} in "
                      "${PETSC_PREFIX} has ${petsc_wrong}. To choose another: " ${petsc_choice})
endif()
