#!/usr/bin/env bash
# By hand: an ordinary user builds, installs and runs from sources that he cannot write and that have no git, a shared
# library, all in folders with a space in their names; then a project in C++ alone uses it. Takes a whole build.
# usage: tests/packages/user.sh FOLDER [CMAKE OPTION..]     makes FOLDER, and removes nothing
# Faster: -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-O0
set -euo pipefail
(($# > 0)) || { echo "usage: $0 FOLDER [CMAKE OPTION..]" >&2 && exit 2; }
top=$(realpath -m "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
sources="$top/the sources" home="$top/a home"
mkdir -p "$sources" "$home"
git archive HEAD | tar -x -C "$sources"
chmod -R a-w,a+rX "$sources"
as_user=()
if ((EUID == 0)); then
  chmod a+rx "$top"
  chown 65534:65534 "$home"
  as_user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
fi
user() { (cd "$home" && "${as_user[@]}" env HOME="$home" "$@"); }

refused=0
user bash "$sources/cmake/quickstart.sh" >"$home.log" 2>&1 || refused=$?
if ((refused != 2)) || ! grep -q HEADFLOW_BUILD_DIR "$home.log"; then
  echo "quickstart.sh in a tree that cannot be written: $refused" >&2
  exit 1
fi
user cmake --preset release -S "$sources" -B "$home/build" -DBUILD_SHARED_LIBS=ON -DHEADFLOW_TESTS=OFF \
  -DHEADFLOW_BENCHMARKS=OFF -DCMAKE_CXX_VISIBILITY_PRESET=hidden "-DCMAKE_INSTALL_PREFIX=$home/the prefix" \
  "${@:2}" | tee "$home.configured"
grep -q "no git" "$home.configured"
user cmake --build "$home/build" --parallel 2
user cmake --install "$home/build"
readelf -d "$home/the prefix/lib/libheadflow.so" | grep -q 'SONAME.*libheadflow\.so\.[0-9]*\.[0-9]*\]'
user env "LD_LIBRARY_PATH=" "$home/the prefix/bin/headflow" --version | tee /dev/stderr | grep -q "(no git)"
user "$home/the prefix/bin/headflow" run "$sources/input/quickstart.toml" --set flow.end_time=5 --force --output "$home/run.h5"
user "$home/the prefix/bin/headflow-plot" "$home/run.h5" -o "$home/run.png"
python=$(sed -n 's/^Python3_EXECUTABLE:FILEPATH=//p' "$home/build/CMakeCache.txt")
HEADFLOW_BUILD="$home/build" "$python" -B tests/system/test_install.py Install.test_find_and_use
echo "passed: read-only sources, spaces, no git, shared library"
