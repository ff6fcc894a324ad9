#!/usr/bin/env bash
# Both commands of README.md on a bare Debian: cmake/quickstart.sh and cmake/test.sh.
# usage: debian.sh FOLDER [SUITE] [-- COMMAND ..]     SUITE: trixie (Debian 13, the default), bookworm (12), ..
#
# FOLDER/SUITE is the root of a Debian system. It is made if it is not there, and kept: delete it for a bare one. The
# working tree is copied to its /headflow; a COMMAND runs there instead of the two. Nothing is mounted outside of the
# processes that run in it, and all of them end with this script. FOLDER/ccache is its cache, which it uses once ccache
# is installed there. Exit code 77, skipped: without root, debootstrap or the right to mount.
set -euo pipefail

skip() {
  echo "debian.sh: SKIPPED, NOTHING WAS TESTED: $1" >&2
  exit 77
}

[[ $# -ge 1 && $1 == /* ]] || { echo "usage: debian.sh FOLDER [SUITE] [-- COMMAND ..] (an absolute path)" >&2 && exit 2; }
folder=$1
shift
suite=trixie
if (($#)) && [[ $1 != -- ]]; then suite=$1 && shift; fi
if (($#)); then shift; fi
root=$folder/$suite
top=$(readlink -f "$(dirname "${BASH_SOURCE[0]}")/../..")

((EUID == 0)) || skip "it needs root"
command -v debootstrap >/dev/null || skip "no debootstrap: apt-get install debootstrap"
unshare --mount --pid --fork mount -t tmpfs none /mnt 2>/dev/null || skip "no right to mount (a container?)"

if [[ ! -d $root ]]; then
  mkdir -p "$folder"
  rm -rf "$root.new"
  debootstrap --variant=minbase --include=ca-certificates "$suite" "$root.new"
  mv "$root.new" "$root" # whole or not at all
fi

# All but what was compiled there before; .git because the program records its revision.
mkdir -p "$root/headflow" "$root/var/cache/ccache" "$folder/ccache"
find "$root/headflow" -mindepth 1 -maxdepth 1 ! -name build -exec rm -rf {} +
tar -C "$top" --exclude=./build -cf - . | tar -C "$root/headflow" --no-same-owner -xf -

# $1: the root, $2: the cache. Process 1 of its own process ids and mounts: what is left of both goes with it. Not chroot:
# the tests make more namespaces, whose root is that of the mounts.
# shellcheck disable=SC2016
inside='
set -e
cd "$1"
mount --rbind . .
cd "$1"
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs -o mode=1777 shm dev/shm
mount -t tmpfs -o mode=1777 tmp tmp
mount --bind "$2" var/cache/ccache
pivot_root . .
umount -l .
cd /headflow
shift 2
env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
  CCACHE_DIR=/var/cache/ccache "$@"
'
if (($# == 0)); then
  set -- bash -ec 'bash cmake/quickstart.sh && bash cmake/test.sh'
fi
unshare --mount --pid --fork --kill-child bash -c "$inside" bash "$root" "$folder/ccache" "$@" &
# unshare hears no other signal.
trap 'kill -KILL $!' TERM INT HUP
wait $!
