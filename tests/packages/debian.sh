#!/usr/bin/env bash
# By hand, as root: installs a package in a Debian 12, runs the quickstart there on 2 ranks and draws it.
# usage: tests/packages/debian.sh PACKAGE.deb FOLDER     FOLDER: that of tests/portability/debian.sh (an absolute path)
set -euo pipefail
(($# == 2)) || { echo "usage: $0 PACKAGE.deb FOLDER" >&2 && exit 2; }
debian() { bash "$(dirname "${BASH_SOURCE[0]}")/../portability/debian.sh" "$folder" bookworm -- "$@"; }
folder=$2
debian true # which makes the system
cp "$1" "$folder/bookworm/var/tmp/headflow.deb"
# shellcheck disable=SC2016
debian env DEBIAN_FRONTEND=noninteractive OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 bash -euxc '
  apt-get update
  apt-get install -y --reinstall --no-install-recommends /var/tmp/headflow.deb
  cd /tmp
  headflow --version
  mpirun --oversubscribe -n 2 headflow run /headflow/input/quickstart.toml --set flow.end_time=20
  headflow-plot quickstart.h5
  headflow info quickstart.h5
  [[ $(head -c 4 quickstart.png) == $(printf "\\x89PNG") ]]
  ls /usr/share/man/man1/headflow.1*
'
echo "passed: $(basename "$1") runs in Debian 12"
