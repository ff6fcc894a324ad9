#!/usr/bin/python3
"""What the standard deviations of SGD cost by their equation, and by runs of SGD: usage: tests/bench/fluctuations.py
[BUILD_FOLDER]

For the model of Figure 1 (input/paper/fig01.toml), on a symmetric set of samples. The equation gives each standard
deviation of m with its standard error. R runs of SGD give it with the relative error 1 / sqrt(2 (R - 1)). The table has
how many of them would have the same error, and the seconds of one core (user time) of both.
"""
import os
import resource
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import h5py
import numpy as np

HERE = Path(__file__).resolve().parent
TOP = HERE.parent.parent
BUILD = Path(sys.argv[1] if len(sys.argv) > 1 else TOP / "build/release").resolve()
sys.path.insert(0, str(HERE.parent / "system"))
from harness import toml_text  # noqa: E402

os.environ.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
REPLICAS, PART = 8, 0.05  # of SGD, and the part of the time for which they are run


def seconds_of(folder: Path, case: dict) -> float:
    """User time of a run of this input, whose output is case.h5."""
    (folder / "case.toml").write_text(toml_text(case))
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    subprocess.run([BUILD / "headflow", "run", folder / "case.toml", "--output", folder / "case.h5", "--force"],
                   check=True, capture_output=True)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def main() -> None:
    case = tomllib.loads((TOP / "input/paper/fig01.toml").read_text())
    sgd, flow = case.pop("sgd"), case.pop("flow")
    end, D = flow["end_time"], sgd["dimension"]
    case["start"]["dimension"] = D
    case["population"]["symmetric"] = True
    kappa = sgd["learning_rate"] * D / sgd["batch"]
    case["fluctuations"] = {"dimension": D, "learning_rate_noise": kappa, "end_time": end, "outputs": 40}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        equation = seconds_of(folder, case)
        with h5py.File(folder / "case.h5") as file:
            own = file["fluctuations"]
            times, std, error = own["time"][1:], own["m_std"][1:], own["m_std_stderr"][1:]
        del case["fluctuations"]
        alone = seconds_of(folder, case | {"flow": flow})
        case["population"]["samples"] = 1024  # which only the outputs of the loss use
        few = sgd | {"replicas": REPLICAS, "outputs": 1}
        short, long = (seconds_of(folder, case | {"sgd": few | {"end_time": part * end}}) for part in (PART, 2 * PART))
    one = (long - short) / PART / REPLICAS
    print("| t | standard deviation of m_12 | its error | runs of SGD | seconds of SGD | seconds of [fluctuations] | "
          "ratio |\n|---|---|---|---|---|---|---|")
    for t in end / 4, end / 2, 3 * end / 4, end:
        i = int(np.argmin(abs(times - t)))
        relative = error[i, 0, 1] / std[i, 0, 1]
        runs = 1 + 0.5 / relative**2
        seconds = runs * one * times[i] / end
        print(f"| {times[i]:g} | {std[i, 0, 1]:.5f} | {100 * relative:.2g} % | {runs:.0f} | {seconds:.0f} | "
              f"{equation:.2g} | {seconds / equation:.0f} |")
    print(f"\nTo t = {end:g}, one run of SGD takes {one:.2g} s, the flow {alone:.2g} s.")


if __name__ == "__main__":
    main()
