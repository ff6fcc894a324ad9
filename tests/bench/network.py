#!/usr/bin/python3
"""Fits the model of scaling.py to right-hand sides on this machine's ranks: latency a and seconds per byte b.

usage: network.py [--ranks 1,2,4,8] [--cores N] [--launcher "mpirun --oversubscribe -n"] [BUILD_FOLDER]

    t(p) = ceil(p / cores) t(1) + a ceil(log2 p) + 2 b bytes     for one block of samples on each of p ranks

--cores: how many ranks compute at the same time. Prints what is measured beside what the model says, then a and b.
"""
import argparse
import json
import math
import os
import shlex
import subprocess
from pathlib import Path

import numpy as np

from scaling import BLOCK, sent_bytes

HERE = Path(__file__).resolve().parent
SHAPES = (4, 2, 2), (5, 8, 3), (5, 16, 4), (5, 32, 8)
ROUNDS = 3  # in turn, the least of each counts


def measured(launcher: list, program: Path, ranks: list) -> dict:
    """Seconds of a right-hand side by ranks and shape."""
    seconds = {}
    for _ in range(ROUNDS):
        for shape in SHAPES:
            for p in ranks:
                text = subprocess.run([*launcher, str(p), program, str(BLOCK * p), *map(str, shape)], check=True,
                                      capture_output=True, text=True).stdout
                taken = json.loads(text)["seconds_per_right_hand_side"]
                seconds[p, shape] = min(seconds.get((p, shape), math.inf), taken)
    return seconds


def model(p: int, shape: tuple, cores: int, alone: float, a: float, b: float) -> float:
    return math.ceil(p / cores) * alone + a * math.ceil(math.log2(p)) + 2 * b * sent_bytes(*shape[1:])


def fit(seconds: dict, cores: int) -> tuple:
    """a and b with the least squares of relative errors, neither negative."""
    rows, rest = [], []
    for (p, shape), taken in seconds.items():
        if p > 1:
            rows.append(np.array([math.ceil(math.log2(p)), 2 * sent_bytes(*shape[1:])]) / taken)
            rest.append((taken - math.ceil(p / cores) * seconds[1, shape]) / taken)
    both = np.linalg.lstsq(np.array(rows), np.array(rest), rcond=None)[0]
    if min(both) >= 0:
        return tuple(both)
    alone = [max(0.0, float(np.dot(column, rest) / np.dot(column, column))) for column in np.array(rows).T]
    return (alone[0], 0.0) if both[1] < 0 else (0.0, alone[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", default="1,2,3,4,6,8")
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--launcher", default="mpirun --oversubscribe -n")
    parser.add_argument("build", nargs="?", type=Path, default=HERE.parent.parent / "build/release")
    options = parser.parse_args()
    os.environ.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    ranks = sorted({1, *map(int, options.ranks.split(","))})
    if ranks == [1]:
        parser.error("--ranks 1: one rank sends nothing, name more")
    seconds = measured(shlex.split(options.launcher), options.build / "tests/bench/bench_ranks", ranks)
    a, b = fit(seconds, options.cores)
    print("| ranks | " + " | ".join(f"{L}, {H}, {F}" for L, H, F in SHAPES) + " |\n" + "|---" * (len(SHAPES) + 1) + "|")
    for p in ranks:
        cells = (f"{1e6 * seconds[p, shape]:.0f} ({1e6 * model(p, shape, options.cores, seconds[1, shape], a, b):.0f})"
                 for shape in SHAPES)
        print(f"| {p} | {' | '.join(cells)} |")
    print(f"\nus of a right-hand side with one block of {BLOCK} samples on each rank, in brackets by the model: "
          f"a = {1e6 * a:.1f} us, b = {1e9 * b:.2f} ns a byte, {options.cores} ranks at a time")


if __name__ == "__main__":
    main()
