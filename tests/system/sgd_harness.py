"""What the tests of SGD share: a base input, and finished runs with their groups and weights files."""
import itertools
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from harness import SMALL, SystemTest, changed, read_group, side_by_side

# 100 steps of 5 sequences beside a flow to t = 4; kappa = 0.48.
BASE = changed(SMALL, {"start.noise": None, "population.samples": 256, "sgd.dimension": 60, "sgd.batch": 5,
                       "sgd.learning_rate": 0.04, "sgd.replicas": 3, "sgd.outputs": 10})
ALONE = {"flow": None, "sgd.end_time": 4.0}  # the same without the flow
EXPLICIT = {"start.m": [[1.0, 0.5], [0.25, -1.0]], "start.r": [[0.5, 0.25], [0.25, 1.0]]}
SPEED = "sequences_per_second"


class Output(NamedTuple):
    """A finished run: its file, what it printed, its groups ({} if absent)."""
    path: Path
    text: str
    flow: dict
    sgd: dict

    def weights(self):
        """{step: datasets} of the weights files."""
        paths = self.path.parent.glob(f"{self.path.stem}.weights-*.h5")
        return {int(path.stem.rpartition("-")[2]): read_group(path, "sgd") for path in paths}

    def numbers(self):
        """All that has the same bits whenever the same is computed: everything but the speed."""
        groups = {"flow": self.flow, "sgd": self.sgd} | {f"weights-{step}": w for step, w in self.weights().items()}
        return {f"{group}/{name}": data for group, arrays in groups.items() for name, data in arrays.items()
                if name != SPEED}


def output(path, text=""):
    with h5py.File(path, "r") as file:
        groups = set(file)
    return Output(path, text, *(read_group(path, name) if name in groups else {} for name in ("flow", "sgd")))


class SgdTest(SystemTest):
    def setUp(self):
        super().setUp()
        self.numbered = itertools.count()

    def compute(self, *cases):
        """Outputs of the cases, changes of BASE or (changes, ranks), computed side by side."""
        def one(case):
            changes, ranks = case if isinstance(case, tuple) else (case, 0)
            name = f"case{next(self.numbered)}"
            self.write_input(changes, name, BASE)
            text = self.succeed("run", f"{name}.toml", ranks=ranks)
            return output(self.folder / f"{name}.h5", text)

        return side_by_side(one, cases)

    def assert_near(self, one, other, tolerance, name=""):
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance, err_msg=name)
