#!/usr/bin/python3
"""Seconds to an accuracy of the whole flow of input/quickstart.toml, against a strong PyTorch (torch_flow.py).

usage: flow_accuracy.py [--seeds N] [--noise X] [--python COMMAND] [BUILD_FOLDER]

COMMAND: a python3 with PyTorch and scipy; X: start.noise. Errors are the spread of m and of the loss over independent
points, root mean square over outputs (and entries of m). Processor seconds of one core: headflow's whole process,
PyTorch's without imports and without compiling. The last column: how many times fewer seconds headflow takes for errors
that are not larger.
"""
import argparse
import json
import os
import resource
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

HERE = Path(__file__).resolve().parent
QUICKSTART = HERE.parent.parent / "input/quickstart.toml"
TOLERANCE, END_TIME, OUTPUTS = 1e-6, 300, 300
# Points of each: as many as one image has, where sets are symmetric.
POINTS = {"headflow, symmetric points": (4096, 16384, 65536, 262144),
          "headflow, plain points": (65536, 262144, 1048576), "PyTorch": (65536, 262144, 1048576)}


def headflow(program: Path, points: int, seed: int, symmetric: bool, noise: float, folder: str) -> tuple:
    """Processor seconds; m, u and the loss at the outputs."""
    output = Path(folder, "flow.h5")
    settings = {"population.samples": points, "population.replicates": 2 if symmetric else 1,
                "population.seed": seed + 1,
                "population.symmetric": str(symmetric).lower(), "start.spikes": "orthonormal",
                "start.noise": noise}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([program, "run", QUICKSTART, "--force", "--output", output,
                    *(word for key, value in settings.items() for word in ("--set", f"{key}={value}"))],
                   check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    with h5py.File(output) as file:
        return seconds, file["flow/m"][...], file["flow/u"][...], file["flow/loss"][...]


def spread(values) -> float:
    """Standard deviation over the first axis, root mean square over the others."""
    return float(np.sqrt(np.var(np.array(values), axis=0, ddof=1).mean()))


def measured(program: Path, python: list, seeds: int, noise: float) -> dict:
    """For each of POINTS: points, seconds, error of m, error of the loss."""
    rows = {name: [] for name in POINTS}
    with tempfile.TemporaryDirectory() as folder:
        for name, counts in POINTS.items():
            for points in counts:
                if name == "PyTorch":
                    start = headflow(program, 1024, 0, False, noise, folder)
                    result = json.loads(subprocess.run(
                        [*python, HERE / "torch_flow.py", str(points), str(TOLERANCE), str(seeds),
                         json.dumps(np.hstack([start[1][0], start[2][0]]).tolist()), str(END_TIME), str(OUTPUTS)],
                        check=True, capture_output=True, text=True).stdout)
                    seconds, m, loss = (result[name] for name in ("seconds", "m", "loss"))
                    print(f"# PyTorch {result['torch']}: {result['variant']}, {result['method']}, "
                          f"{result['nanoseconds']:.1f} ns a sample, {result['right_hand_sides']} right-hand sides")
                else:
                    runs = [headflow(program, points, seed, "symmetric" in name, noise, folder)
                            for seed in range(seeds)]
                    seconds = min(run[0] for run in runs)
                    m, loss = [run[1] for run in runs], [run[3] for run in runs]
                rows[name].append((points, seconds, spread(m), spread(loss)))
    return rows


def times_fewer(rows: dict, seconds: float, errors: list) -> str:
    """Of PyTorch's seconds, those of the fastest run of headflow with errors that are not larger."""
    as_good = [row[1] for name, own in rows.items() for row in own
               if name != "PyTorch" and row[2] <= errors[0] and row[3] <= errors[1]]
    return f"{seconds / min(as_good):.1f}" if as_good else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--noise", type=float, default=0.01)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("build", nargs="?", type=Path, default=HERE.parent.parent / "build/release")
    options = parser.parse_args()
    os.environ.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    rows = measured(options.build / "headflow", shlex.split(options.python), options.seeds, options.noise)
    print("| | points | s | error of m | error of the loss | times fewer s |\n|---|---|---|---|---|---|")
    for name, own in rows.items():
        for points, seconds, *errors in own:
            fewer = times_fewer(rows, seconds, errors) if name == "PyTorch" else ""
            print(f"| {name} | {points} | {seconds:.2f} | {errors[0]:.1e} | {errors[1]:.1e} | {fewer} |")


if __name__ == "__main__":
    main()
