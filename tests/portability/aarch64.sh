#!/usr/bin/env bash
# Compiles everything for aarch64 with Debian's cross compiler and runs the unit tests under QEMU's emulation of a
# processor. The libraries for aarch64 are unpacked in a folder; nothing is installed on this machine.
# usage: tests/portability/aarch64.sh FOLDER [FILTER]     FOLDER: keeps libraries (1.2 GB) and build for the next time
#                                                         FILTER: of GoogleTest, which unit tests to run
# Needs 15 minutes for the build and some for the tests. Exit code: 0 all passed, 77 a tool is missing, 1 failed.
set -euo pipefail

(($# >= 1)) || { sed -n '4,5s/^# //p' "$0" >&2 && exit 2; }
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
mkdir -p "$1" && folder=$(cd "$1" && pwd)
filter=${2:--Long*}
root=$folder/root
lib=$root/usr/lib/aarch64-linux-gnu

for tool in aarch64-linux-gnu-g++ qemu-aarch64-static apt-get dpkg-deb; do
  command -v "$tool" >/dev/null && continue
  echo "aarch64: SKIPPED, NOTHING WAS TESTED: $tool is missing" \
    "(Debian: apt-get install g++-aarch64-linux-gnu qemu-user-static)" >&2
  exit 77
done

# apt with folders of its own knows of no installed package and takes the whole closure.
fetch_libraries() {
  local apt=$folder/apt package link language
  mkdir -p "$apt"/{state/lists/partial,cache/archives/partial,etc/preferences.d,etc/apt.conf.d}
  : >"$apt/status"
  # From where this machine's own packages come.
  # shellcheck disable=SC2016  # these are words of apt
  apt-get indextargets --format 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(REPO_URI) $(RELEASE) main' \
    'Created-By: Packages' 'Component: main' | grep -v -e '-updates' -e '-security' | sort -u >"$apt/etc/sources.list"
  cat >"$apt/apt.conf" <<END
APT { Architecture "arm64"; Architectures { "arm64"; }; Install-Recommends "false"; };
Dir "$apt";
Dir::State "state";
Dir::State::status "$apt/status";
Dir::Cache "cache";
Dir::Etc "etc";
END
  if ((EUID == 0)); then echo 'APT::Sandbox::User "root";' >>"$apt/apt.conf"; fi
  APT_CONFIG=$apt/apt.conf apt-get -q update
  APT_CONFIG=$apt/apt.conf apt-get -q install -y --download-only libc6-dev libstdc++-12-dev libopenmpi-dev petsc-dev \
    libhdf5-openmpi-dev libeigen3-dev libboost-dev librandom123-dev libtomlplusplus-dev libcli11-dev libfmt-dev libgtest-dev \
    libbenchmark-dev
  rm -rf "$root.new" && mkdir "$root.new"
  for package in "$apt"/cache/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar -x -C "$root.new" --exclude='./usr/share/doc' --exclude='./usr/share/man'
  done
  # Links from the root of the file system point into the folder instead.
  find "$root.new" -type l -lname '/*' -print0 | while IFS= read -r -d '' link; do
    ln -sfn "$(realpath -m --relative-to="$(dirname "$link")" "$root.new$(readlink "$link")")" "$link"
  done
  (# What Debian's alternatives would link.
    cd "$root.new/usr/lib/aarch64-linux-gnu"
    ln -s openmpi/lib/libmpi*.so blas/libblas.so.3 lapack/liblapack.so.3 .
    for language in c cxx; do ln -s "ompi-$language.pc" "pkgconfig/mpi-$language.pc"; done)
  mv "$root.new" "$root"
}
[[ -d $root ]] || fetch_libraries

cat >"$folder/toolchain.cmake" <<END
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_SYSROOT $root)
set(CMAKE_FIND_ROOT_PATH $root)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64-static;-L;$root)
# The wrappers of MPI and HDF5 are programs for the other machine: pkg-config tells of MPI.
set(MPI_SKIP_COMPILER_WRAPPER ON)
set(HDF5_C_COMPILER_EXECUTABLE "" CACHE FILEPATH "" FORCE)
set(HDF5_C_INCLUDE_DIR $root/usr/include/hdf5/openmpi)
set(HDF5_hdf5_LIBRARY_RELEASE $lib/hdf5/openmpi/libhdf5.so)
set(HDF5_hdf5_hl_LIBRARY_RELEASE $lib/hdf5/openmpi/libhdf5_hl.so)
END
export PKG_CONFIG_SYSROOT_DIR=$root
export PKG_CONFIG_LIBDIR=$lib/pkgconfig:$root/usr/lib/petscdir/petsc3.18/aarch64-linux-gnu-real/lib/pkgconfig:$root/usr/share/pkgconfig

launcher=()
if command -v ccache >/dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
cmake -G Ninja -S "$source" -B "$folder/build" -DCMAKE_TOOLCHAIN_FILE="$folder/toolchain.cmake" \
  -DCMAKE_BUILD_TYPE=Release -DCMAKE_UNITY_BUILD=ON "${launcher[@]}"
cmake --build "$folder/build" --parallel "${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}"

run() { qemu-aarch64-static -L "$root" "$@"; }
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_btl=self
run "$folder/build/headflow" --version
run "$folder/build/tests/unit/unit_tests" --gtest_brief=1 --gtest_filter="$filter"
echo "aarch64: passed"
