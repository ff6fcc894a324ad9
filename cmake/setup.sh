#!/usr/bin/env bash
# Makes sure that everything headflow needs is on this machine. Every entry point calls it first.
set -euo pipefail

usage() {
  cat <<'EOF'
usage: cmake/setup.sh [--with-benchmarks] [--with-tests] [--developer]

Installs the Debian packages that headflow needs and that are missing. Does nothing, without touching the
network, if all are there. Needs root or passwordless sudo to install; without, prints the command to run.
Where there is no apt (a cluster), checks the loaded software and says what to load.

  --with-benchmarks  also PyTorch, which the benchmarks compare with
  --with-tests       also what tests use: Slurm for the job scripts, groff and Tcl for what is installed, chattr, pip,
                     Jupyter's kernel and client for the notebooks
  --developer        also what cmake/lint.sh uses: Clang, clang-format, clang-tidy, shellcheck, flake8
  -h, --help         this text

Exit code: 0 ready, 2 something is missing or the call is wrong.
EOF
}

packages=(
  g++ make cmake ninja-build pkg-config git ca-certificates
  libopenmpi-dev openmpi-bin petsc-dev libhdf5-openmpi-dev
  libeigen3-dev libboost-dev librandom123-dev libtomlplusplus-dev libcli11-dev libfmt-dev
  libgtest-dev libbenchmark-dev
  python3 python3-numpy python3-matplotlib python3-h5py python3-xarray python3-tqdm python3-h5netcdf python3-netcdf4
  netcdf-bin
)
# The same for machines without apt: solver and tests cannot be built without these headers,
# plots and file checks use these Python modules.
headers=(
  boost/version.hpp Random123/philox.h toml++/toml.h CLI/CLI.hpp fmt/format.h
  gtest/gtest.h benchmark/benchmark.h
)
modules=(numpy matplotlib h5py xarray tqdm h5netcdf netCDF4)
extra_programs=(ncdump)

while (($#)); do
  case $1 in
    --with-benchmarks)
      # All but the first two are for PyTorch's compiler, from Debian 13 on.
      packages+=(python3-torch python3-scipy python3-dev python3-setuptools libtorch-dev pybind11-dev libsleef-dev)
      modules+=(torch scipy)
      ;;
    --with-tests)
      packages+=(slurm-wlm munge iproute2 groff-base tcl e2fsprogs python3-venv python3-nbclient python3-ipykernel)
      extra_programs+=(slurmctld munged ip groff tclsh)
      modules+=(nbclient ipykernel)
      ;;
    --developer)
      packages+=(clang clang-format clang-tidy shellcheck flake8)
      extra_programs+=(clang++ clang-format clang-tidy shellcheck flake8)
      ;;
    -h | --help) usage && exit 0 ;;
    *) echo "setup: unknown option '$1'" >&2 && usage >&2 && exit 2 ;;
  esac
  shift
done

has() { command -v "$1" &>/dev/null; }

# On Debian and its relatives.
install_packages() {
  local known package missing=() as_root=()
  # One query for all: 30 single ones would be felt at every start. Unknown names make it fail: expected.
  known=$(dpkg-query -W -f='${Package}=${db:Status-Status}\n' "${packages[@]}" 2>/dev/null || true)
  for package in "${packages[@]}"; do
    [[ $'\n'$known$'\n' == *$'\n'"$package=installed"$'\n'* ]] || missing+=("$package")
  done
  ((${#missing[@]})) || return 0

  if ((EUID != 0)); then
    if ! { has sudo && sudo -n true 2>/dev/null; }; then
      echo "setup: ${#missing[@]} Debian packages are missing. As root, or with sudo, run:" >&2
      echo "  apt-get update && apt-get install -y --no-install-recommends ${missing[*]}" >&2
      return 2
    fi
    as_root=(sudo -n)
  fi
  echo "setup: installing ${missing[*]}"
  # A freshly started cloud machine upgrades itself and holds dpkg's lock for minutes: wait for it.
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300)
  "${apt[@]}" update </dev/null || return 2
  "${apt[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null || return 2
}

# The rest is for clusters, where software comes from modules or Spack and can only be looked for.
compiles() { "$cxx" -std=c++20 "$@" -fsyntax-only -x c++ -; }

has_cxx20() { compiles <<<$'#include <bit>\n#include <numbers>\n#include <span>'; }

# Spack and most modules announce themselves in CMAKE_PREFIX_PATH, which the compiler does not read.
has_header() {
  local prefix prefixes=() include=()
  IFS=: read -ra prefixes <<<"${CMAKE_PREFIX_PATH:-}"
  for prefix in "${prefixes[@]}"; do include+=("-I$prefix/include"); done
  compiles "${include[@]}" <<<$'#if !__has_include(<'"$1"$'>)\n#error\n#endif'
}

has_cmake() {
  has cmake && [[ $(cmake --version) =~ ([0-9]+)\.([0-9]+) ]] &&
    ((BASH_REMATCH[1] > 3 || (BASH_REMATCH[1] == 3 && BASH_REMATCH[2] >= 25)))
}

# As cmake/Petsc.cmake looks for it.
has_petsc() {
  local path=${PETSC_DIR:+$PETSC_DIR/${PETSC_ARCH:-}/lib/pkgconfig:$PETSC_DIR/lib/pkgconfig:}
  PKG_CONFIG_PATH=$path${PKG_CONFIG_PATH:-} pkg-config --atleast-version=3.18 PETSc
}
has_hdf5() { has h5pcc || has h5pcc.openmpi || pkg-config --exists hdf5-mpi; }
has_eigen() { pkg-config --exists eigen3 || has_header Eigen/Core || has_header eigen3/Eigen/Core; }
# Looked up, not imported: matplotlib or torch would take seconds.
has_module() { python3 -c "import importlib.util as u; exit(u.find_spec('$1') is None)"; }

check_tools() {
  local item absent=() wanted=() cxx=c++
  if has mpicxx; then cxx=mpicxx; fi
  need() { "${@:2}" &>/dev/null || absent+=("$1"); }
  want() { "${@:2}" &>/dev/null || wanted+=("$1"); }

  for item in git ninja pkg-config python3 mpicxx mpirun; do need "$item" has "$item"; done
  need "C++20 compiler ($cxx -std=c++20)" has_cxx20
  need "cmake >= 3.25" has_cmake
  need "PETSc >= 3.18 (PETSC_DIR or pkg-config PETSc)" has_petsc
  need "HDF5 with MPI (h5pcc)" has_hdf5
  need "Eigen 3 (pkg-config eigen3)" has_eigen
  for item in "${headers[@]}"; do need "header $item" has_header "$item"; done
  for item in "${modules[@]}"; do want "Python module $item" has_module "$item"; done
  for item in "${extra_programs[@]}"; do want "$item" has "$item"; done

  if ((${#wanted[@]})); then
    echo "setup: the solver runs without these; plots, some tests or tools do not:" >&2
    printf '  %s\n' "${wanted[@]}" >&2
  fi
  ((${#absent[@]})) || return 0
  echo "setup: no apt here, and these are not found:" >&2
  printf '  %s\n' "${absent[@]}" >&2
  cat >&2 <<'EOF'
Load them, with the names your cluster uses ("module avail"), for example
  module load gcc openmpi petsc hdf5-mpi eigen boost cmake ninja python
or build what it lacks with Spack (a package name per item; "spack load" takes the same list):
  spack install gcc cmake ninja pkgconf openmpi petsc hdf5+mpi eigen boost random123 tomlplusplus cli11 \
    fmt googletest benchmark python py-numpy py-matplotlib py-h5py py-xarray py-tqdm py-h5netcdf py-netcdf4
EOF
  return 2
}

if has dpkg-query && has apt-get; then install_packages; else check_tools; fi
echo "setup: nothing that is needed is missing"
