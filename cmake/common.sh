# shellcheck shell=bash
# Sourced by quickstart.sh and test.sh: what both need. Leaves the caller in the project's top folder.
set -euo pipefail

# Where to build, and where quickstart.sh leaves its files.
build_dir=$(realpath -m "${HEADFLOW_BUILD_DIR:-$(dirname "${BASH_SOURCE[0]}")/../build/release}")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [[ -z ${HEADFLOW_BUILD_DIR:-} && ! -w . ]]; then
  echo "$0: $PWD cannot be written; name a folder to build in: HEADFLOW_BUILD_DIR=~/headflow-build bash $0" >&2
  exit 2
fi

set -a # export what it sets
# shellcheck source-path=SCRIPTDIR source=mpi.env
source cmake/mpi.env
set +a

# As many compile jobs as there are processors, but 2 GB of memory for each: the templates are heavy.
compile_jobs() {
  local jobs memory group file bound
  jobs=$(nproc)
  memory=$(awk '/^MemAvailable:/ { printf "%d", $2 / 1024 }' /proc/meminfo)
  # A container or a batch job may have less than the machine: control groups, version 2 and 1.
  group=$(sed -n 's/^0:://p' /proc/self/cgroup)
  for file in "/sys/fs/cgroup$group/memory.max" /sys/fs/cgroup/memory/memory.limit_in_bytes; do
    bound=$(awk '/^[0-9]+$/ { printf "%d", $1 / 2^20 }' "$file" 2>/dev/null || true)
    if [[ -n $bound ]] && ((bound < memory)); then memory=$bound; fi
  done
  if ((memory / 2000 < jobs)); then jobs=$((memory / 2000)); fi
  echo $((jobs > 0 ? jobs : 1))
}

# build PRESET [TARGET..]: configure and compile, all or only some targets, in build_dir. What was compiled before is taken from
# ccache where there is one.
build() {
  local launcher=() targets=()
  if command -v ccache >/dev/null; then
    launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
    # Without these it would never find anything that uses a precompiled header.
    export CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
  fi
  if (($# > 1)); then targets=(--target "${@:2}"); fi
  cmake --preset "$1" -B "$build_dir" "${launcher[@]}"
  cmake --build "$build_dir" --parallel "$(compile_jobs)" "${targets[@]}"
}
