#!/usr/bin/env bash
# Builds the release preset and runs its tests.
# usage: [HEADFLOW_BUILD_DIR=FOLDER] cmake/test.sh [--long]     --long: also the tests that take minutes
set -euo pipefail

skip='long|benchmark'
case ${1:-} in
  '') ;;
  --long) skip='benchmark' ;;
  *) echo "usage: cmake/test.sh [--long]" >&2 && exit 2 ;;
esac

# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

bash cmake/setup.sh --with-tests
build release
# Tests mostly wait for programs to start, for locks, for Slurm.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
code=0
ctest --test-dir "$build_dir" --no-tests=error -LE "$skip" --output-on-failure --parallel "$((3 * $(nproc)))" |
  tee "$log" || code=$?
# Parts of tests that passed, which ctest does not show; then its summary again.
if grep -aE "\.\.\. skipped |SKIPPED" "$build_dir/Testing/Temporary/LastTest.log" >"$log.skipped"; then
  printf '\nNOT TESTED here:\n'
  sort -u "$log.skipped"
fi
rm -f "$log.skipped"
sed -n '/% tests passed/,$p' "$log"
exit "$code"
