#!/usr/bin/env bash
# From a bare checkout to a first run and its picture.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

bash cmake/setup.sh
build release headflow_program
mpirun -n 2 build/release/headflow run input/quickstart.toml --force --output quickstart.h5
build/release/headflow-plot quickstart.h5 -o quickstart.png

echo
echo "run:     $PWD/quickstart.h5"
echo "picture: $PWD/quickstart.png"
