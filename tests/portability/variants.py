"""Do other instruction sets and Clang compute the same numbers? Builds the program again with each, and compares runs.

    variants.py [--build FOLDER]    FOLDER keeps the builds for the next time; without it they go to a temporary one

ctest tells $HEADFLOW, the program to compare with, and the compiler that made it. ccache is used where there is one.
Exit code: 0 all agree, 1 they do not, 77 all that could be built agree, but a compiler or processor is missing.

Builds differ where numbers are added in another order (lanes) and where a product and a sum are fused (instruction sets
and compilers choose for themselves): in the last bits of each step. Samples are the same and are summed exactly, so
BOUND, on the largest difference of a variable relative to its largest entry, is that of a few roundings (7.7e-16 seen).
"""
import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "system"))
from harness import environment

SOURCE = Path(__file__).resolve().parents[2]
CMAKE = os.environ.get("CMAKE_COMMAND", "cmake")
COMPILER = os.environ.get("CMAKE_CXX_COMPILER", "c++")
VARIABLES = "m", "r", "b", "v", "loss"  # of the flow
BOUND = 1e-15
PASSED, FAILED, SKIPPED = 0, 1, 77
NO_PROCESSOR = 2  # the program's exit code, before it reads anything


def variants():
    """Name, compiler, instruction set of each; no compiler where it is missing."""
    sets = ["native", "generic"] + ["x86-64-v3"] * (platform.machine() == "x86_64")
    yield from ((name, COMPILER, name) for name in sets)
    yield "clang", shutil.which("clang++"), "native"


def built(folder, compiler, arch):
    """The program that this compiler makes for this instruction set."""
    launcher = ["-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
    variables = environment(CCACHE_SLOPPINESS="pch_defines,time_macros,include_file_mtime,include_file_ctime")
    for words in ([CMAKE, "-S", SOURCE, "-B", folder, f"-DCMAKE_CXX_COMPILER={compiler}", f"-DHEADFLOW_ARCH={arch}",
                   "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_UNITY_BUILD=ON", "-DHEADFLOW_TESTS=OFF",
                   "-DHEADFLOW_BENCHMARKS=OFF", *launcher],
                  [CMAKE, "--build", folder, "--parallel", "2", "--target", "headflow_program"]):
        done = subprocess.run(words, env=variables, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"variants: {' '.join(map(str, words))} failed\n{done.stdout}{done.stderr}")
    return folder / "headflow"


def flow_of(program, output):
    """The flow of input/quickstart.toml, or None where this processor cannot run the program."""
    done = subprocess.run([program, "run", SOURCE / "input/quickstart.toml", "--output", output], env=environment(),
                          capture_output=True, text=True)
    if done.returncode == NO_PROCESSOR and "this processor lacks" in done.stderr:
        return None
    if done.returncode:
        sys.exit(f"variants: {program} failed\n{done.stderr}")
    with h5py.File(output) as file:
        return {name: file["flow"][name][()] for name in VARIABLES}


def difference(flow, reference):
    """The largest of all variables, each relative to the largest entry."""
    assert all(np.isfinite(flow[name]).all() for name in VARIABLES)
    return max(np.abs(flow[name] - reference[name]).max() / (np.abs(reference[name]).max() or 1) for name in VARIABLES)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=Path)
    options = parser.parse_args()
    result = PASSED
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.build or Path(temporary)).absolute()
        reference = flow_of(Path(os.environ.get("HEADFLOW", "build/release/headflow")).absolute(),
                            f"{temporary}/reference.h5")
        for name, compiler, arch in variants():
            flow = flow_of(built(folder / name, compiler, arch), f"{temporary}/{name}.h5") if compiler else None
            if flow is None:
                print(f"variants: {name} IS LEFT OUT, NOTHING WAS COMPARED: there is no such",
                      "processor here" if compiler else "compiler here (Debian: apt-get install clang)")
                result = max(result, SKIPPED) if result != FAILED else FAILED
                continue
            found = difference(flow, reference)
            print(f"variants: {name} differs by {found:.2g} (at most {BOUND:g})", flush=True)
            if not found <= BOUND:
                result = FAILED
    sys.exit(result)


if __name__ == "__main__":
    main()
