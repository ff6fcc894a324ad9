#!/usr/bin/env bash
# From a bare checkout to a first run and its picture.
# usage: [HEADFLOW_BUILD_DIR=FOLDER] bash cmake/quickstart.sh     builds there, and leaves run and picture there
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

bash cmake/setup.sh
build release headflow_program
results=${HEADFLOW_BUILD_DIR:+$build_dir}
results=${results:-$PWD}
mpirun -n 2 "$build_dir/headflow" run input/quickstart.toml --force --output "$results/quickstart.h5"
"$build_dir/headflow-plot" "$results/quickstart.h5" -o "$results/quickstart.png"

echo
echo "run:     $results/quickstart.h5"
echo "picture: $results/quickstart.png"
