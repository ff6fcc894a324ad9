#!/bin/sh
# The steps of the container recipes, as root in a bare Debian 12 with the sources in $1: installs what is needed to build,
# builds the package, installs it and removes what only the build needed. HEADFLOW_ARCH: x86-64-v3 (default), generic, ..
set -eu
sources=$1
export DEBIAN_FRONTEND=noninteractive
build="g++ cmake ninja-build pkg-config git ca-certificates dpkg-dev file petsc-dev libopenmpi-dev libhdf5-openmpi-dev
  libeigen3-dev libboost-dev librandom123-dev libtomlplusplus-dev libcli11-dev libfmt-dev"
plot="python3 python3-numpy python3-h5py python3-matplotlib python3-pil"
apt-get update
# shellcheck disable=SC2086  # lists of packages
apt-get install -y --no-install-recommends $build $plot
cd "$sources"
cmake --preset package -B /tmp/headflow-build -DHEADFLOW_ARCH="${HEADFLOW_ARCH:-x86-64-v3}"
cmake --build /tmp/headflow-build
(cd /tmp/headflow-build && cpack -G DEB)
apt-get install -y --no-install-recommends /tmp/headflow-build/headflow_*.deb
mkdir -p /opt/headflow && cp /tmp/headflow-build/headflow_*.deb /opt/headflow
rm -rf /tmp/headflow-build
# What is left of them, others need: Debian's matplotlib that of Boost.
# shellcheck disable=SC2086
apt-mark auto $build
apt-get autoremove -y --purge -o APT::AutoRemove::SuggestsImportant=false
rm -rf /var/lib/apt/lists/*
headflow --version
