#!/usr/bin/env bash
# Builds the release preset and runs its tests.
# usage: cmake/test.sh [--long]     --long: also the tests that take minutes
set -euo pipefail

skip='long|benchmark'
case ${1:-} in
  '') ;;
  --long) skip='benchmark' ;;
  *) echo "usage: cmake/test.sh [--long]" >&2 && exit 2 ;;
esac

# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# Tests use up to 4 ranks, perhaps on 2 cores: a rank that waits must not keep a working one off the core.
export OMPI_MCA_mpi_yield_when_idle=1
# Every mpirun binds its ranks to the first cores: tests that run side by side would share core 0
# and leave the others idle (measured: two on two cores took twice as long).
export OMPI_MCA_hwloc_base_binding_policy=none
# Shared memory only: all ranks are on this host, and a search for networks is slow and can warn or hang.
export OMPI_MCA_btl=self,vader

bash cmake/setup.sh --with-slurm
build release
ctest --preset release -LE "$skip" --output-on-failure --parallel "$(nproc)"
