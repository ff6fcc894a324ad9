#!/usr/bin/env bash
# By hand, as root: installs a package in a fresh Debian 12, runs the quickstart there on 2 ranks and draws it.
# usage: tests/packages/debian.sh PACKAGE.deb ROOT     ROOT: where debootstrap makes it, or one that it has made
set -euo pipefail
(($# == 2)) || { echo "usage: $0 PACKAGE.deb ROOT" >&2 && exit 2; }
package=$(realpath "$1") root=$(realpath -m "$2")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if ((EUID != 0)) || ! command -v debootstrap >/dev/null; then
  echo "SKIPPED: this test needs root and debootstrap (apt-get install debootstrap)" >&2
  exit 77
fi
if [[ ! -x $root/usr/bin/apt-get ]]; then debootstrap --variant=minbase bookworm "$root"; fi
cp "$package" "$root/tmp/headflow.deb"
cp input/quickstart.toml "$root/tmp"
inside() { chroot "$root" env -i PATH=/usr/bin:/bin:/usr/sbin:/sbin HOME=/tmp LC_ALL=C.UTF-8 "$@"; }
inside DEBIAN_FRONTEND=noninteractive apt-get update
inside DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends /tmp/headflow.deb
# What no root of its own has, and Open MPI looks for.
for folder in proc dev; do
  mountpoint -q "$root/$folder" || { mount --rbind "/$folder" "$root/$folder" && mount --make-rslave "$root/$folder"; }
done
trap 'umount -R "$root/proc" "$root/dev"' EXIT
inside headflow --version
inside OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 \
  mpirun --oversubscribe -n 2 headflow run /tmp/quickstart.toml --set flow.end_time=20 --force --output /tmp/quickstart.h5
inside headflow-plot /tmp/quickstart.h5 -o /tmp/quickstart.png
inside headflow info /tmp/quickstart.h5 >/dev/null
for file in share/man/man1/headflow.1.gz share/man/man1/headflow.1; do
  [[ ! -e $root/usr/$file ]] || echo "manual page: /usr/$file"
done
[[ $(head -c 4 "$root/tmp/quickstart.png") == $'\x89PNG' ]]
echo "passed: $(basename "$package") runs in a fresh Debian 12"
