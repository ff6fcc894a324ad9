#!/usr/bin/python3
"""Seconds to an accuracy of the whole flow of input/quickstart.toml, against a strong PyTorch (torch_flow.py).

usage: flow_accuracy.py [--seeds N] [--python COMMAND] [BUILD_FOLDER]     COMMAND: a python3 with PyTorch and scipy

Errors are the spread of m and of the loss over independent points, root mean square over outputs (and entries of m).
Processor seconds of one core: headflow's whole process, PyTorch's without imports and without compiling. Seconds to an
accuracy follow the line in logarithms through all numbers of points.
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
ACCURACIES = 1e-3, 1e-4


def headflow(program: Path, points: int, seed: int, symmetric: bool, folder: str) -> tuple:
    """Processor seconds; m, u and the loss at the outputs."""
    output = Path(folder, "flow.h5")
    settings = {"population.samples": points, "population.replicates": 2 if symmetric else 1,
                "population.seed": seed + 1,
                "population.symmetric": str(symmetric).lower(), "start.spikes": "orthonormal"}
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


def measured(program: Path, python: list, seeds: int) -> dict:
    """For each of POINTS: points, seconds, error of m, error of the loss."""
    rows = {name: [] for name in POINTS}
    with tempfile.TemporaryDirectory() as folder:
        for name, counts in POINTS.items():
            for points in counts:
                if name == "PyTorch":
                    start = headflow(program, 1024, 0, False, folder)
                    result = json.loads(subprocess.run(
                        [*python, HERE / "torch_flow.py", str(points), str(TOLERANCE), str(seeds),
                         json.dumps(np.hstack([start[1][0], start[2][0]]).tolist()), str(END_TIME), str(OUTPUTS)],
                        check=True, capture_output=True, text=True).stdout)
                    seconds, m, loss = (result[name] for name in ("seconds", "m", "loss"))
                    print(f"# PyTorch {result['torch']}: {result['variant']}, {result['method']}, "
                          f"{result['nanoseconds']:.1f} ns a sample, {result['right_hand_sides']} right-hand sides")
                else:
                    runs = [headflow(program, points, seed, "symmetric" in name, folder) for seed in range(seeds)]
                    seconds = min(run[0] for run in runs)
                    m, loss = [run[1] for run in runs], [run[3] for run in runs]
                rows[name].append((points, seconds, spread(m), spread(loss)))
                print("# {}: {} points, {:.2f} s, errors {:.1e} of m, {:.1e} of the loss".format(
                    name, *rows[name][-1]), flush=True)
    return rows


def seconds_to(accuracy: float, rows: list, column: int) -> float:
    seconds, errors = (np.log([row[i] for row in rows]) for i in (1, column))
    slope, offset = np.polyfit(errors, seconds, 1)
    return float(np.exp(offset + slope * np.log(accuracy)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("build", nargs="?", type=Path, default=HERE.parent.parent / "build/release")
    options = parser.parse_args()
    os.environ.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    rows = measured(options.build / "headflow", shlex.split(options.python), options.seeds)
    print("| error of | " + " | ".join(rows) + " | PyTorch / headflow |\n|" + "---|" * (len(rows) + 2))
    for column, quantity in (2, "m"), (3, "the loss"):
        for accuracy in ACCURACIES:
            seconds = [seconds_to(accuracy, each, column) for each in rows.values()]
            print(f"| {quantity}, {accuracy:.0e} | " + " | ".join(f"{each:.2g} s" for each in seconds) +
                  f" | {seconds[-1] / min(seconds[:-1]):.1f} |")


if __name__ == "__main__":
    main()
