"""Has a change of the program changed a bit? Runs many small inputs and keeps a hash of every dataset of every file.

    same_bits.py record HASHES.json [--program PATH] [--only PATTERN] [--jobs N]     keeps what the program does now
    same_bits.py compare HASHES.json [..]     exit code 0 if it still does the same, 1 with a list of what differs

What is kept of a call: its exit code, what it prints (but for times), the names of the files it leaves, and of every
output, checkpoint and weights file that it wrote the hashes of all datasets, attributes and axes. Wall times and most
texts of `provenance` are left out. Both commands also check what headflow promises: the same bits on 1 and 3 ranks, of
runs that went on, and of sweeps in parts.

The bits depend on the processor, the compiler and the libraries, so HASHES.json is of one machine and is not part of
the repository: record with the program before the change, compare with the one after it, both with the same inputs and
tests. It takes two to three minutes on two idle cores. The program is $HEADFLOW, else build/release/headflow; needed is
an interpreter with h5py, such as Debian's /usr/bin/python3.
"""
import argparse
import difflib
import fnmatch
import hashlib
import json
import re
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

import harness
import test_input_errors as refusals
from harness import BAD_INPUT, SMALL, changed, command, environment, execute, toml_text
from restart_harness import QUICK, STOPPED
from sgd_harness import ALONE, BASE, EXPLICIT, SPEED

INPUTS = Path(__file__).resolve().parents[2] / "input"
FAILED, DAMAGED = 3, 4  # exit codes
ANY = (0, 3)  # numbers of ranks: 1 without mpiexec, and more than there are replicas or blocks in some cases
SLOWEST = 300  # seconds after which a call counts as hanging

# Wall times; everything else has the same bits whenever it is computed (found by running all cases twice).
TIMINGS = {f"sgd/{SPEED}", "sweep/seconds"}
# The texts of /provenance that say what was computed, not when, where and by which build.
LASTING = "input", "sweep", "failures", "solver_options", "start_hash"


class Step(NamedTuple):
    """A call of headflow with its ranks (None: those of the case) and the exit code it must have (None: any)."""
    words: tuple
    ranks: int | None = None
    code: int | None = 0


class Case(NamedTuple):
    """Files of a folder, and calls in it, one after the other; once for each of the numbers of ranks."""
    name: str
    files: dict
    steps: list
    ranks: tuple = (0,)
    promised: bool = True  # the same bits on any of them
    like: str = ""  # the case whose case.h5 has the same bits at the end


# ---------------------------------------------------------------------------------------------------------------- cases


def sets(words):
    """["--set", "KEY=VALUE", ..] of "KEY=VALUE .."."""
    return [part for word in words.split() for part in ("--set", word)]


def run(*words, ranks=None, code=0):
    return Step(("run", "case.toml", *words), ranks, code)


# Small; a sweep writes nothing before its end, so that the number of its checkpoints does not depend on its speed.
GALLERY_SIZE = "population.samples=2048 population.test_samples=4096 output.every=1e9 "
SHORT_SGD = "sgd.dimension=1000 sgd.learning_rate=0.0064 sgd.replicas=2 sgd.outputs=8 "
TRAIN = "train.starts=2 train.evaluations=100 "
BAYES = "bayes.standard_error=1e-2 bayes.samples=65536 "
FOUR = 'sweep."model.signal[1]"=[0.5,10.0] sweep."model.signal[2]"=[2.0,5.0] '
GAUSSIAN_PRIOR = "model.prior=anisotropic-gaussian "
STARTS_SWEPT = 'sweep."start.dimension"='

# Every file below input/: its variants by name, with the keys that make them small; most as in jobs/paper.sh.
GALLERY = {
    "quickstart": {"": "flow.end_time=150"},
    "learning_rate_noise": {"": "sgd.end_time=8 sgd.replicas=5 sgd.outputs=10 flow.outputs=20"},
    "fluctuations": {"": "sgd.end_time=10 sgd.replicas=9 sgd.outputs=10"},
    "specialization_time": {
        "flow": "start.dimension=1e8",
        "sgd": "start.dimension=1e2 sgd.dimension=1e2 sgd.batch=1 sgd.learning_rate=1e-2 sgd.replicas=8 sgd.starts=own "
               "sgd.end_time=60 sgd.outputs=20 flow.learning_rate_noise=from-sgd"},
    "paper/fig01": {"": SHORT_SGD + "flow.end_time=20"},
    "paper/fig02": {"H1": "attention.heads=1", "H6": "attention.heads=6"},
    "paper/fig03": {"H2": "attention.heads=2", "H8": "attention.heads=8 start.seed=3",
                    "equal": "model.signal=[10]"},
    "paper/fig04": {"softmax": "", "bayes-softmax": "attention.activation=bayes-softmax flow.end_time=4000"},
    "paper/fig05-left": {"atoms": TRAIN + BAYES + 'sweep."attention.heads"=[1,4]',
                         "gaussian": TRAIN + BAYES + GAUSSIAN_PRIOR + 'sweep."attention.heads"=[1,4]'},
    "paper/fig05-right": {
        "atoms": TRAIN + BAYES + 'sweep."model.signal[1]"={from=0.5,to=20.0,count=3,spacing="log"}',
        "flipping": TRAIN + BAYES + "model.prior=flipping-spike model.signal=[1.0,1.0] "
                    'sweep."model.signal[1]"=[0.5,20.0] sweep."model.signal[2]"={from=0.5,to=20.0,count=2} '
                    'sweep.zip=[["model.signal[1]","model.signal[2]"]]'},
    "paper/fig06": {name: TRAIN + f"attention.activation={name}" for name in ("softmax", "softmax-1", "bayes-softmax")},
    "paper/fig07": {"atoms": TRAIN + BAYES, "gaussian": TRAIN + BAYES + GAUSSIAN_PRIOR},
    "paper/fig08": {"monte-carlo": "flow.end_time=50 population.resample=1",
                    "sobol": "flow.end_time=50 population.sampling=sobol"},
    "paper/fig09": {"softmax-1": SHORT_SGD + "flow.end_time=20",
                    "bayes-softmax": SHORT_SGD + "flow.end_time=20 attention.activation=bayes-softmax"},
    "paper/fig10": {name: SHORT_SGD + f"flow.end_time=12 attention.activation={name}"
                    for name in ("softmax", "softmax-1", "bayes-softmax")},
    "paper/fig11": {"": TRAIN + FOUR},
    "paper/fig12": {"": TRAIN + FOUR},
    "paper/fig13": {"": TRAIN + FOUR},
    "paper/fig14": {"": TRAIN + FOUR},
    "paper/fig15": {"": "attention.heads=4"},
    "paper/fig16": {"": ""},
    "paper/fig17": {"": "start.seed=3 flow.end_time=3000"},
    "paper/fig18": {"": "start.seed=5"},
    "paper/fig19": {"": "flow.end_time=1000"},
    "paper/fig20": {"": "", "H4": "start.seed=1 model.features=2 attention.heads=4"},
    "stages/flipping": {"": f"{STARTS_SWEPT}[1e2,1e12] sweep.repeats=2 population.samples=256"},
    "stages/gaussian": {"F2": f'{STARTS_SWEPT}[1e6] sweep."model.features"=[2] sweep.repeats=1 population.samples=256',
                        "F3": f'{STARTS_SWEPT}[1e4] sweep."model.features"=[2,3] sweep.repeats=1 population.samples=64 '
                              'sweep."attention.activation"=["softmax-1"] flow.end_time=60'},
    "stages/growth": {"": ""},
    "stages/hierarchy": {"": "population.samples=1024",
                         "excursions": "population.samples=1024 start.noise=0.3 start.seed=4"},
    "stages/plateaus": {"": "population.samples=256",
                        "bayes-softmax": "population.samples=256 flow.outputs=100 attention.activation=bayes-softmax"},
    "stages/restoring": {"": 'sweep."model.mean[1]"=[0.75,3.0]'},
}
GALLERY_ON_MANY = {"learning_rate_noise", "fluctuations", "paper/fig01", "paper/fig05-left", "paper/fig06",
                   "paper/fig08", "stages/plateaus"}


def gallery():
    """All inputs that come with headflow: resolved, computed, and the last file listed."""
    paths = {str(path.relative_to(INPUTS).with_suffix("")): path for path in INPUTS.rglob("*.toml")}
    if set(paths) != set(GALLERY):
        sys.exit(f"same_bits.py: GALLERY and the files in {INPUTS} differ: {sorted(set(paths) ^ set(GALLERY))}")
    for name, path in paths.items():
        steps = [Step(("check", path.name), ranks=0)]
        for variant, keys in GALLERY[name].items():
            output = f"{path.stem}{'-' if variant else ''}{variant}.h5"
            steps.append(Step(("run", path.name, "--output", output, *sets(GALLERY_SIZE + keys))))
        steps.append(Step(("info", output), ranks=0))
        yield Case(f"input/{name}", {path.name: path.read_text()}, steps, ANY if name in GALLERY_ON_MANY else (0,))


PRIORS = {
    "canonical-spikes": {"model": {"tokens": 3, "prior": "canonical-spikes", "signal": 3.0, "features": 3}},
    "anisotropic-gaussian": {"model": {"tokens": 3, "prior": "anisotropic-gaussian", "signal": [3.0, 1.0],
                                       "features": 2}},
    "discrete": {"model": {"tokens": 4, "prior": "discrete", "atoms": [[1.5, 0.0], [0.0, 1.0], [-1.0, -1.0]],
                           "weights": [0.25, 0.5, 0.25]}},
    "gaussian": {"model": {"tokens": 3, "prior": "gaussian", "mean": [1.0, 0.5],
                           "covariance": [[1.0, 0.3], [0.3, 2.0]]}},
}
GIVEN = {"start.noise": None} | EXPLICIT
EULER = {"flow.method": "euler", "flow.step": 0.25}
MANY_SAMPLES = {"population.samples": 12000}

# Changes of SMALL. Between them all activations, priors, starts, samplings, precisions and methods.
FLOWS = {
    "softmax": {"population.samples": 6000},
    "softmax-1, closed set": {"attention.activation": "softmax-1", "attention.heads": 3, "population.symmetric": True,
                              "population.sampling": "monte-carlo", "population.samples": 3000,
                              "population.replicates": 2},
    "bayes-softmax, dimension, single": {"attention.activation": "bayes-softmax", "start": {"dimension": 30, "seed": 4},
                                         "population.precision": "single", "population.samples": 5000,
                                         "population.replicates": 5},
    "canonical spikes, single": PRIORS["canonical-spikes"] | {
        "attention.activation": "softmax-1", "population.sampling": "monte-carlo", "population.precision": "single",
        "population.samples": 6000},
    "Gaussian, closed set, single": PRIORS["anisotropic-gaussian"] | {
        "attention.activation": "bayes-softmax", "population.symmetric": True, "population.precision": "single"},
    "discrete, given start": PRIORS["discrete"] | GIVEN | {
        "attention.activation": "softmax-1", "start.b": [0.5, -0.25], "start.v": 1.5},
    "Gaussian with a mean": PRIORS["gaussian"] | GIVEN | {"attention.activation": "bayes-softmax",
                                                          "start.b": [0.5, -0.25]},
    "orthonormal spikes": {"start": {"dimension": 1e6, "spikes": "orthonormal", "eta": 0.5}, "flow.spacing": "log"},
    "one replicate": {"population.samples": 333, "population.replicates": 1, "attention.heads": 1},
    "kept": MANY_SAMPLES | {"attention.activation": "softmax-1"},
    "Euler, fresh samples": EULER | {"population.resample": 3, "population.samples": 6000},
    "3bs": {"flow.method": "3bs", "flow.tolerance": 1e-8, "flow.outputs": None, "flow.output_times": [0.0, 0.123, 3.0]},
    "4": {"flow.method": "4", "flow.step": 0.15, "flow.spacing": "log", "flow.outputs": 9},
    "ssp": {"flow.method": "ssp", "flow.step": 0.15},
    "learning rate noise": {"flow.learning_rate_noise": 0.3, "attention.activation": "softmax-1"},
    "stops by itself": {"flow.step": 0.5, "flow.end_time": 64.0, "flow.stop_gradient_norm": 0.02},
    "Euler, stops by itself": EULER | {"flow.end_time": 64.0, "flow.stop_gradient_norm": 0.02},
    "three heads, late": {"attention.heads": 3, "flow.end_time": 400.0, "flow.split_threshold": 0.2},
}
FLOWS_ON_MANY = {"softmax", "softmax-1, closed set", "bayes-softmax, dimension, single", "canonical spikes, single",
                 "Gaussian, closed set, single", "kept", "Euler, fresh samples", "learning rate noise"}

# Changes of BASE, SGD beside a flow.
VECTORS = {"sgd.dimension": 600, "sgd.weights_times": [0.0, 0.4], "sgd.save_weights": True}
SGDS = {
    "vectors": VECTORS | {"flow.end_time": 1.2},
    "vectors, softmax-1": ALONE | {"attention.activation": "softmax-1", "sgd.replicas": 1, "sgd.save_weights": True},
    "vectors, bayes-softmax": {"attention.activation": "bayes-softmax", "sgd.replicas": 2, "sgd.weights_times": [1.2],
                               "flow.learning_rate_noise": "from-sgd"},
    "vectors, batch 1": {"sgd.batch": 1, "attention.heads": 3, "sgd.engine": "direct", "sgd.spacing": "log"},
    "vectors, Gaussian": PRIORS["gaussian"] | {"sgd.engine": "direct", "sgd.reduction": "exact"},
    "overlaps": {"sgd.batch": 70, "sgd.replicas": 1},
    "overlaps, many replicas": {"sgd.batch": 3, "sgd.replicas": 11, "sgd.dimension": 1000,
                                "attention.activation": "softmax-1"},
    "overlaps, own starts": {"sgd.replicas": 5, "sgd.starts": "own", "sgd.batch": 1,
                             "start": {"dimension": 60, "spikes": "orthonormal", "seed": 3}},
    "overlaps, huge D": ALONE | PRIORS["canonical-spikes"] | GIVEN | {
        "start.m": [[1.0, 0.5, 0.0], [0.25, -1.0, 0.5]], "attention.activation": "bayes-softmax", "sgd.dimension": 1e14,
        "sgd.learning_rate": 4e-14, "sgd.end_time": None, "sgd.steps": 50, "sgd.output_times": [0.0, 1e-12]},
    "overlaps, after fresh samples": EULER | {"population.resample": 3, "sgd.engine": "overlaps"},
}
SGDS_ON_MANY = {"vectors", "vectors, softmax-1", "vectors, batch 1", "overlaps", "overlaps, many replicas",
                "overlaps, own starts"}
DIVERGES = ALONE | {"sgd.learning_rate": 1e9, "sgd.end_time": None, "sgd.steps": 10, "sgd.outputs": 2}

# Two heads that split from small differences, and four that learn one feature after the other.
FLIPPING = {
    "model": {"tokens": 4, "prior": "flipping-spike", "signal": [2.0, 4.0]},
    "attention": {"heads": 2, "activation": "bayes-softmax"},
    "start": {"noise": 1e-5, "eta": 0.5, "seed": 3},
    "population": {"samples": 1024, "replicates": 4, "symmetric": True},
    "flow": {"end_time": 50.0, "outputs": 100},
    "saddle": {"dimensions": [100.0, 1e4, 1e6]},
}
LATER = {"model": {"tokens": 5, "prior": "anisotropic-gaussian", "features": 2, "signal": [10.0, 4.0]},
         "attention.heads": 4, "start": {"noise": 1e-4, "eta": 0.3, "seed": 2}, "flow.end_time": 100.0,
         "population.samples": 512}
SADDLES = {  # changes of FLIPPING
    "flipping": {},
    "softmax-1": {"attention.activation": "softmax-1", "population.symmetric": False, "population.samples": 9000},
    "plateaus": LATER | {"attention.activation": "softmax-1"},
    "plateaus, softmax": LATER | {"attention.activation": "softmax"},
    "alone": {"flow": None, "saddle.end_time": 40.0, "saddle.gradient_tolerance": 1e-4},
    "finite spikes": {"start": {"dimension": 1e6, "seed": 3}, "population.symmetric": False},
    "unequal biases": PRIORS["gaussian"] | {"start": {"m": [[1.0, 1e-5], [1.0, -1e-5]], "b": [0.02, -0.02]},
                                            "flow.end_time": 4.0},
}
SADDLES_ON_MANY = {"softmax-1", "plateaus"}

# Everything but the flow: three starts of Bayes-softmax.
FULL = changed(SMALL, {"flow": None, "attention.activation": "bayes-softmax", "train.starts": 3, "prune": {},
                       "bayes.standard_error": 2e-3, "bayes.samples": 2**16, "maps.sequences": 5})
FLOW = {f"flow.{key}": value for key, value in SMALL["flow"].items()}
TRAINED = {  # changes of FULL
    "bayes-softmax": {},
    "softmax-1, closed set": {"attention.activation": "softmax-1", "attention.heads": 3, "population.symmetric": True,
                              "train.evaluations": 60, "maps.seed": 3},
    "softmax, Gaussian, single": PRIORS["anisotropic-gaussian"] | {
        "attention.activation": "softmax", "population.precision": "single", "train.evaluations": 60,
        "population.samples": 5200},
    "finite spikes": {"start": {"dimension": 40}, "train.starts": 1, "population.memory": 0.01},
    "from the flow": FLOW | {"train.from": "flow", "train.starts": 1},
    "from fresh samples": FLOW | EULER | {"population.resample": 2, "train.starts": 2},
    "from the Bayes estimator": {"start": {"bayes": True}, "train.starts": 1},
    "Bayes risk of a Gaussian": PRIORS["gaussian"] | {"train": None, "prune": None, "maps": None},
    "heads of the flow": FLOW | {"train": None, "bayes": None, "attention.heads": 3},
}
TRAINED_ON_MANY = {"bayes-softmax", "softmax-1, closed set", "from the flow"}

SWEPT = changed(SMALL, {"output.every": 1e9, "flow.outputs": 4})
SWEEPS = {  # changes of SWEPT
    "product": {"sweep": {"attention.heads": [1, 2, 3], "attention.activation": ["softmax", "bayes-softmax"],
                          "repeats": 2}},
    "everything": {"flow.outputs": 2, "sgd.dimension": 60, "sgd.batch": 5, "sgd.learning_rate": 0.1, "sgd.outputs": 3,
                   "train.starts": 2, "bayes.standard_error": 0.1, "maps.sequences": 2, "prune": {},
                   "population.test_samples": 1024,
                   "sweep": {"model.signal": [[1.0, 2.0], [3.0, 4.0]], "repeats": 2, "ranks_per_member": 2}},
    "axes": {"sweep": {"model.signal[2]": {"from": 1.0, "to": 4.0, "count": 3, "spacing": "log"},
                       "attention.heads": [1, 2, 3], "model.signal[1]": [5.0, 6.0, 7.0],
                       "flow.tolerance": {"from": 1e-6, "to": 1e-4, "count": 2},
                       "zip": [["model.signal[1]", "attention.heads"]]}},
    "a member that fails": DIVERGES | {"sgd.dimension": 60, "sgd.batch": 5, "sgd.learning_rate": 0.04,
                                       "sweep": {"sgd.learning_rate": [0.04, 1e9]}},
    "saddles": {"flow": None, "saddle": {}, "start.noise": 1e-3,
                "sweep": {"attention.activation": ["softmax", "bayes-softmax"], "attention.heads": [2, 3]}},
}


def computed(prefix, base, cases, on_many):
    """A case for each of the changes of a base; `on_many` are those that run on several ranks, too."""
    for name, changes in cases.items():
        text = toml_text(changed(base, changes))
        yield Case(f"{prefix}/{name}", {"case.toml": text}, [run()], ANY if name in on_many else (0,))


def special_runs():
    """Those that are more than one call of `run` with an input alone."""
    def case(name, base, changes, *steps, **options):
        return Case(name, {"case.toml": toml_text(changed(base, changes))}, list(steps), **options)

    small = {"population.memory": 2e-4}
    every_step = {"output.every": 0.0, "output.checkpoint_every": 0.0, "output.checkpoints_kept": 100}
    yield case("flow/regenerated", SMALL, FLOWS["kept"] | small, run(), ranks=ANY, like="flow/kept")
    yield case("flow/options of PETSc", SMALL, {}, run("-flow_ts_rk_type", "3bs", "-flow_ts_adapt_clip", "0.2,3"))
    second = toml_text(changed(SMALL, {"start": {"file": "first.h5"}, "flow.end_time": 2.0}))
    yield Case("flow/start from a file", {"first.toml": toml_text(SMALL), "case.toml": second}, [
        Step(("run", "first.toml")), run(), run("--force", "--set", "attention.heads=3", ranks=0, code=BAD_INPUT)], ANY)
    yield case("flow/every step saved", SMALL, every_step, run(), run("--force", "--restart", "case.checkpoint-3.h5"))
    yield case("sgd/vectors, rounded sums", BASE, VECTORS | {"sgd.reduction": "fast"}, run(), ranks=ANY, promised=False)
    yield case("sgd/diverges", BASE, DIVERGES, run(code=FAILED))
    yield case("saddle/options of PETSc", FLIPPING, {}, run("-saddle_ts_rk_type", "3bs"))
    yield case("train/every evaluation saved", FULL, every_step | {"train.starts": 1}, run())
    yield case("train/options of PETSc", FULL, {}, run("-train_tao_type", "bncg", "-train_tao_max_it", "30"))
    yield case("sweep/keys set", SWEPT, SWEEPS["axes"], run(*sets('sweep."model.signal[2]"=[1.0] sweep.zip=[]')))
    yield case("sweep/all members fail", SWEPT, SWEEPS["a member that fails"] | {"sweep": {"sgd.seed": [1, 2]}},
               run("--set", "sgd.learning_rate=1e9", code=FAILED))
    for name in "product", "saddles":
        parts = [run("--part", f"{i}/2", "--output", f"part{i}.h5") for i in (1, 2)]
        yield case(f"sweep/{name}, in parts", SWEPT, SWEEPS[name], *parts,
                   Step(("merge", "half.h5", "part2.h5"), ranks=0),
                   Step(("merge", "case.h5", "part1.h5", "part2.h5"), ranks=0),
                   Step(("merge", "case.h5", "part1.h5"), ranks=0, code=BAD_INPUT),
                   Step(("merge", "-f", "case.h5", "part1.h5", "half.h5"), ranks=0), ranks=ANY, like=f"sweep/{name}")


SGD_PARTS = changed(BASE, ALONE | {"sgd.outputs": None, "sgd.end_time": None, "sgd.steps": 100,
                                   "sgd.output_times": [0.0, 1.0, 4.0]})
SGD_LATER = "sgd.steps=150 sgd.output_times=[0.0,1.0,4.0,5.0]"
FLOW_LATER = "flow.output_times=[0.0,1.0,4.0,6.0,9.0] flow.end_time=9.0"
SHORT_FLIPPING = changed(FLIPPING, {"flow.end_time": 20.0, "flow.outputs": 40})
EXTENDED = {  # input and the keys of its later end
    "5dp": (QUICK, FLOW_LATER),
    "Euler": (changed(QUICK, EULER | {"population.resample": 2, "flow.step": 0.3}), FLOW_LATER),
    "noise": (changed(QUICK, {"flow.method": "4", "flow.learning_rate_noise": 0.3}), FLOW_LATER),
    "vectors": (changed(SGD_PARTS, {"sgd.save_weights": True}), SGD_LATER),
    "overlaps": (SGD_PARTS, SGD_LATER),
    "flow and SGD": (SGD_PARTS | {"flow": QUICK["flow"]}, f"{FLOW_LATER} {SGD_LATER}"),
    "saddle": (SHORT_FLIPPING, "flow.end_time=50.0 flow.outputs=100"),
    "train": (changed(FULL, {"flow": QUICK["flow"]}), FLOW_LATER),
    "train from the flow": (changed(FULL, {"flow": QUICK["flow"], "train.from": "flow", "train.starts": 1}),
                            FLOW_LATER),
}
INTERRUPTED = {  # inputs that are stopped at once, several times, and then finished
    "5dp": QUICK,
    "Euler": EXTENDED["Euler"][0],
    "vectors": changed(SGD_PARTS, {"sgd.save_weights": True, "sgd.weights_times": [0.0]}),
    "overlaps": changed(SGD_PARTS, {"attention.activation": "softmax-1"}),
    "flow and SGD": SGD_PARTS | {"flow": QUICK["flow"]},
    "saddle": SHORT_FLIPPING,
    "train": FULL,
    "search": changed(FULL, {"train.from": "search", "attention.heads": 3}),
    "sweep": changed(SWEPT, SWEEPS["product"]),
}


def restarts():
    """Runs in two pieces, each beside the same in one piece."""
    for name, (base, later) in EXTENDED.items():
        files = {"case.toml": toml_text(base)}
        last = run(*sets(later))
        yield Case(f"extended/{name}, whole", files, [last])
        for before, after in (0, 3), (3, 0):
            yield Case(f"extended/{name}, {before or 1} and {after or 1} ranks", files,
                       [run(ranks=before), last._replace(ranks=after)], like=f"extended/{name}, whole")
    for name, base in INTERRUPTED.items():
        files = {"case.toml": toml_text(base)}
        yield Case(f"stopped/{name}, whole", files, [run()])
        for before, after in (0, 3), (3, 0):
            stop = run("--max-walltime", "0.001", ranks=before, code=STOPPED)
            yield Case(f"stopped/{name}, {before or 1} and {after or 1} ranks", files,
                       [stop, stop, run(ranks=after), run(ranks=0)], like=f"stopped/{name}, whole")


# Whole inputs that are wrong by a change of SMALL, beside the tables of test_input_errors.py.
SWEEP_ERRORS = {
    "unknown key": {"attention.hedas": [1]}, "bad value": {"attention.heads": [1, 0]},
    "no list": {"attention.heads": 2},
    "empty list": {"attention.heads": []}, "no axis": {}, "no section": {"heads": [1, 2]}, "repeats": {"repeats": 0},
    "range": {"flow.end_time": {"from": 1.0, "to": 2.0}},
    "range word": {"flow.end_time": {"from": 1.0, "to": 2.0, "cout": 2}},
    "log range": {"flow.end_time": {"from": 0.0, "to": 2.0, "count": 2, "spacing": "log"}},
    "spacing": {"flow.end_time": {"from": 1.0, "to": 2.0, "count": 2, "spacing": "lin"}},
    "zip of unequal": {"attention.heads": [1, 2], "flow.end_time": [1.0],
                       "zip": [["attention.heads", "flow.end_time"]]},
    "zip of nothing": {"attention.heads": [1, 2], "zip": [["attention.heads", "flow.step"]]},
    "ranks": {"attention.heads": [1], "ranks_per_member": -1}, "output": {"output.every": [1.0]},
    "element": {"model.signal[3]": [1.0]},
}
OTHER_ERRORS = {
    "prune without heads": {"flow": None, "bayes": {}, "prune": {}},
    "maps without heads": {"flow": None, "bayes": {}, "maps": {}},
    "train from no flow": {"flow": None, "train.from": "flow"},
    "Bayes start of a Gaussian": PRIORS["gaussian"] | {"start": {"bayes": True}},
    "Bayes start with too few heads": PRIORS["discrete"] | {"start": {"bayes": True}},
    "Bayes risk without an error": {"bayes": {}, "population.replicates": 1},
    "test samples": {"train": {}, "population.test_samples": 63},
    "saddle of one head": {"saddle": {}, "attention.heads": 1},
    "saddle too large": {"saddle": {}, "attention.heads": 40},
    "saddle with noise": {"saddle": {}, "flow.learning_rate_noise": 0.5},
    "saddle of fresh samples": EULER | {"saddle": {}, "population.resample": 3},
    "saddle of no D": {"saddle.dimensions": [0.0]},
    "weights of a sweep": {"sgd": BASE["sgd"] | {"save_weights": True}, "start": {}, "sweep": {"sgd.seed": [1, 2]}},
}


def messages():
    """What is said of bad input, and where nothing is computed."""
    tables = (refusals.SYNTAX, refusals.TYPES, refusals.RANGES, refusals.PRIORS, refusals.STARTS, refusals.SAMPLES,
              refusals.SGDS, refusals.FILES, refusals.COMMANDS)
    there = {"old.h5": "an older result", "new.weights-4.h5": "an older result", "folder/file": ""}
    for bad in (bad for table in tables for bad in table):
        if re.search(r"pipe|empty\.h5|five\.h5", str(bad.changes)):
            continue  # these need more than texts
        text = toml_text(changed(refusals.BASE, bad.changes))
        yield Case(f"refused/{bad.name}", there | {"case.toml": text},
                   [run(*bad.arguments, ranks=bad.ranks, code=None)])
    for name, changes in OTHER_ERRORS.items():
        yield Case(f"refused/{name}", {"case.toml": toml_text(changed(SMALL, changes))}, [run(code=BAD_INPUT)])
    for name, sweep in SWEEP_ERRORS.items():
        yield Case(f"refused/sweep: {name}", {"case.toml": toml_text(SMALL | {"sweep": sweep})}, [run(code=BAD_INPUT)])
    quick = {"case.toml": toml_text(QUICK)}
    sweep = {"case.toml": toml_text(changed(SWEPT, SWEEPS["product"]))}
    yield Case("refused/other checkpoints", quick, [
        run("--max-walltime", "0.001", code=STOPPED), run("--restart", "none", code=BAD_INPUT),
        *(run(*words, code=BAD_INPUT) for words in (
            sets("population.seed=2 flow.method=3bs model.signal=[2.0,1.0]"), sets("flow.tolerance=1e-5"),
            sets("sgd.dimension=50 sgd.batch=5 sgd.learning_rate=0.04"),
            sets("flow.end_time=0.01 flow.output_times=[0.0]"),
            ["-flow_ts_rk_type", "3bs"], ["--restart", "none.h5"], ["--restart", "case.toml"], ["--restart", "case.h5"],
            ["--restart", ""]))])
    yield Case("refused/finished already", quick, [run(), run(), run(ranks=3), run("--set", "output.every=1.0")])
    yield Case("refused/damaged checkpoint", quick | {"case.checkpoint-1.h5": "no checkpoint\n" * 100}, [
        run(code=DAMAGED), run("--restart", "none")])
    yield Case("refused/parts", sweep, [
        run("--part", part, code=BAD_INPUT) for part in ("0/2", "3/2", "x", "1", "1/2/3")])
    yield Case("refused/part of no sweep", quick, [run("--part", "1/2", code=BAD_INPUT)])
    yield Case("refused/wall times", quick, [
        run(f"--max-walltime={limit}", code=BAD_INPUT) for limit in ("", "x", "1:2:3:4", "-1", "1:", "nan", "1 h")])
    yield Case("refused/commands", quick | {"empty.toml": ""}, [Step(words, code=BAD_INPUT) for words in (
        (), ("runn", "case.toml"), ("run",), ("check",), ("info",), ("merge",), ("info", "none.h5"),
        ("info", "case.toml"),
        ("merge", "out.h5", "case.toml"), ("run", "none.toml"), ("run", "empty.toml"), ("check", "empty.toml"))])
    yield Case("help", {}, [Step(words) for words in (("--help",), ("run", "--help"), ("check", "--help"),
                                                      ("info", "--help"), ("merge", "--help"))])


def all_cases():
    cases = [*gallery(), *computed("flow", SMALL, FLOWS, FLOWS_ON_MANY), *computed("sgd", BASE, SGDS, SGDS_ON_MANY),
             *computed("saddle", FLIPPING, SADDLES, SADDLES_ON_MANY),
             *computed("train", FULL, TRAINED, TRAINED_ON_MANY),
             *computed("sweep", SWEPT, SWEEPS, SWEEPS), *special_runs(), *restarts(), *messages()]
    names = [case.name for case in cases]
    if twice := {name for name in names if names.count(name) > 1}:
        sys.exit(f"same_bits.py: two cases have the same name: {sorted(twice)}")
    return cases


# --------------------------------------------------------------------------------------------------------------- hashes


def digest(*parts):
    """The first 16 hex digits of the sha256 of bytes and of anything that is written the same everywhere."""
    found = hashlib.sha256()
    for part in parts:
        part = part if isinstance(part, bytes) else repr(part).encode()
        found.update(f"{len(part)}:".encode() + part)
    return found.hexdigest()[:16]


def attributes_of(thing, without=()):
    """[(name, text)] of a file, group or dataset."""
    return [(name, str(np.asarray(value).astype(str))) for name, value in sorted(thing.attrs.items())
            if name not in without]


def dataset_hash(data, timing):
    """Of kind, shape and bits (of a timing without these); after a space, of attributes, axes and place in the file."""
    bits = b"" if timing else np.ascontiguousarray(data[()]).tobytes()
    links = "DIMENSION_LIST", "REFERENCE_LIST"  # addresses in the file, which `axes` says by name
    axes = [[scale.name for scale in axis.values()] for axis in data.dims]
    about = digest(attributes_of(data, links), axes, data.maxshape, data.chunks)
    return f"{digest(data.dtype.str, data.shape, bits)} {about}"


def file_hashes(path):
    """{group/name: hash} of an HDF5 file, and what its groups hold, in the order in which they do.

    Of a sweep that order is left out: it is that in which members ended, whose variables may not be the same.
    """
    found = {}
    with h5py.File(path, "r") as file:
        found["attributes"] = digest(attributes_of(file, ["version"]))
        found["groups"] = " ".join(file)
        for name, group in file.items():
            if name == "provenance":
                found["provenance"] = " ".join(sorted(group))
                found |= {f"provenance/{text}": digest(group[text].asstr()[()]) for text in LASTING if text in group}
                continue
            found[f"{name}/order"] = digest(sorted(group) if "sweep" in file else list(group), attributes_of(group))
            found |= {f"{name}/{key}": dataset_hash(data, f"{name}/{key}" in TIMINGS) for key, data in group.items()}
    return found


def without_times(text):
    """What a run prints, without its times, its progress every half minute and what Open MPI says by itself."""
    text = re.sub(r"^-{60,}\n(?s:.*?)^-{60,}\n|^\[\S+:\d+\] .*\n", "", text, flags=re.M)
    text = re.sub(r"^headflow: t = .* left\n", "", text, flags=re.M)
    return re.sub(r", \S+ s$|(?<= sequences of )\S+ us, \S+ s(?= with outputs)", "..", text, flags=re.M)


def printed(words, text):
    """Lines: of `check` the resolved input without its estimates, of `info` the datasets that are no timings."""
    lines = without_times(text).splitlines()
    if words[:1] == ("check",):
        return [line for line in lines if not line.startswith("#")]
    if words[:1] == ("info",):
        return [line for line in lines if re.match(r"\[|  \w+/", line) and not any(name in line for name in TIMINGS)]
    return lines


class Outcome(NamedTuple):
    """What a case left on some ranks: {what: value}, values texts or lists of lines; and what went wrong."""
    case: Case
    ranks: int
    entries: dict
    problems: list
    seconds: float

    @property
    def name(self):
        return f"{self.case.name} @{self.ranks or 1}"


def surroundings(traces):
    """The environment of runs whose traces stay in a folder, out of the way of any other run on this host.

    Without mpiexec Open MPI would start a daemon, which takes longer than most of the runs.
    """
    return environment(TMPDIR=str(traces), OMPI_MCA_btl_vader_backing_directory=str(traces),
                       OMPI_MCA_ess_singleton_isolated="1")


def versions(folder):
    """{path: what changes when it is written anew} of the files in a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in sorted(files)}


def take(folder, env, step, ranks):
    """Runs a step; its entries, and what is wrong with them."""
    ranks = ranks if step.ranks is None else step.ranks
    before = versions(folder)
    done = execute(folder, command(*step.words, ranks=ranks), timeout=SLOWEST, env=env)
    after = versions(folder)
    entries = {"exit code": str(done.returncode), "output": printed(step.words, done.stdout),
               "errors": without_times(done.stderr).splitlines(),
               "files": " ".join(str(path.relative_to(folder)) for path in after)}
    for path in after:
        if after[path] != before.get(path) and path.suffix == ".h5":
            entries |= {f"{path.name}/{key}": value for key, value in file_hashes(path).items()}
    if step.code in (None, done.returncode):
        return entries, []
    return entries, [f"{' '.join(step.words)}: exit code {done.returncode}, not {step.code}: {done.stderr.strip()}"]


def perform(case, ranks):
    """All steps of a case in a folder of its own."""
    begin = time.monotonic()
    entries, problems = {}, []
    with tempfile.TemporaryDirectory(prefix="same-bits-") as name:
        folder, traces = Path(name) / "case", Path(name) / "traces"
        traces.mkdir()
        for file, text in case.files.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text, errors="surrogateescape")
        folder.mkdir(exist_ok=True)
        for number, step in enumerate(case.steps, 1):
            new, wrong = take(folder, surroundings(traces), step, ranks)
            entries |= {f"step {number}: {key}": value for key, value in new.items()}
            problems += wrong
    return Outcome(case, ranks, entries, problems, time.monotonic() - begin)


# ----------------------------------------------------------------------------------------------------------- comparison


def data_of(outcome):
    """The entries that are datasets."""
    return {key: value for key, value in outcome.entries.items() if ".h5/" in key and "/provenance" not in key}


def last_output(outcome):
    """{group/name: hash} of case.h5 as the last step that wrote it left it."""
    found = {}
    for key, value in data_of(outcome).items():
        step, _, name = key.partition(": case.h5/")
        if name:
            found.setdefault(step, {})[name] = value
    return found[max(found, key=lambda step: int(step.split()[1]))] if found else {}


def differing(old, new):
    """Names of the entries of two dictionaries that are not the same, and of those of one alone."""
    return sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))


def broken_promises(outcomes):
    """Lines about runs that do not have the bits of others that are to have the same."""
    by_name = {outcome.name: outcome for outcome in outcomes}
    lines = []
    for outcome in outcomes:
        case = outcome.case
        alone = by_name.get(f"{case.name} @1")
        if case.promised and outcome.ranks and alone:
            lines += [f"{outcome.name}: not the bits of one rank: {key}"
                      for key in differing(data_of(alone), data_of(outcome))]
        model = by_name.get(f"{case.like} @1")
        if model:
            lines += [f"{outcome.name}: not the bits of {model.name}: {key}"
                      for key in differing(last_output(model), last_output(outcome))]
    return lines


def described(where, old, new):
    """Lines about an entry that is not what it was."""
    if old is None or new is None:
        return [f"{where}: {'new' if old is None else 'missing'}"]
    if isinstance(old, str) and isinstance(new, str):
        return [f"{where}: {old} -> {new}"]
    lines = [line for line in difflib.ndiff(old, new) if line[0] in "-+"]
    return [f"{where}: other text, before (-) and now (+)", *(f"    {line}" for line in lines)]


def differences(old, new):
    """Lines about two {run: entries}."""
    lines = []
    for run_name in differing(old, new):
        if run_name not in old or run_name not in new:
            lines.append(f"{run_name}: {'new' if run_name not in old else 'missing'}")
            continue
        for key in differing(old[run_name], new[run_name]):
            lines += described(f"{run_name}: {key}", old[run_name].get(key), new[run_name].get(key))
    return lines


def chosen(name, pattern):
    return fnmatch.fnmatchcase(name, f"*{pattern}*")


def perform_all(cases, jobs, verbose):
    """Outcomes of all cases on all their ranks, `jobs` at a time."""
    def one(work):
        outcome = perform(*work)
        if verbose:
            print(f"{outcome.seconds:6.2f} s  {outcome.name}", flush=True)
        return outcome

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(one, [(case, ranks) for case in cases for ranks in case.ranks]))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("command", choices=["record", "compare"])
    parser.add_argument("hashes", type=Path, metavar="HASHES.json")
    parser.add_argument("--program", type=Path, help="the program instead of $HEADFLOW")
    parser.add_argument("--only", default="", metavar="PATTERN",
                        help="cases with this in their names; * and ? as in a shell")
    parser.add_argument("--jobs", type=int, default=2, help="how many programs run side by side (2 if not told)")
    parser.add_argument("--verbose", action="store_true", help="tell the seconds of every case")
    return parser.parse_args()


def main():
    options = arguments()
    if options.program:
        harness.PROGRAM = options.program.absolute()
    if not shutil.which(harness.PROGRAM):
        sys.exit(f"same_bits.py: no program {harness.PROGRAM}")
    before = json.loads(options.hashes.read_text()) if options.command == "compare" else {}
    begin = time.monotonic()
    outcomes = perform_all([case for case in all_cases() if chosen(case.name, options.only)], options.jobs,
                           options.verbose)
    now = {outcome.name: outcome.entries for outcome in outcomes}
    lines = [f"{outcome.name}: {problem}" for outcome in outcomes for problem in outcome.problems]
    lines += broken_promises(outcomes)
    if options.command == "record":
        options.hashes.write_text(json.dumps(now, indent=1))
    else:
        lines += differences({name: entries for name, entries in before.items()
                              if chosen(name.rpartition(" @")[0], options.only)}, now)
    print(*lines, sep="\n", end="\n" if lines else "")
    datasets = sum(len(data_of(outcome)) for outcome in outcomes)
    print(f"{options.command}: {len({outcome.case.name for outcome in outcomes})} cases, {len(outcomes)} runs of them, "
          f"{datasets} hashes of datasets, {time.monotonic() - begin:.0f} s: "
          f"{f'{len(lines)} lines above' if lines else 'all is well'}")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
