"""Cases of same_bits.py: runs of each kind, in one piece."""
from bits_steps import ANY, Case, Step, run, sets
from harness import BAD_INPUT, SMALL, changed, toml_text
from sgd_harness import ALONE, BASE, EXPLICIT

FAILED = 3  # exit code

PRIORS = {
    "canonical-spikes": {"model": {"tokens": 3, "prior": "canonical-spikes", "signal": 3.0, "features": 3}},
    "anisotropic-gaussian": {"model": {"tokens": 3, "prior": "anisotropic-gaussian", "signal": [3.0, 1.0],
                                       "features": 2}},
    "discrete": {"model": {"tokens": 4, "prior": "discrete", "atoms": [[1.5, 0.0], [0.0, 1.0], [-1.0, -1.0]],
                           "weights": [0.25, 0.5, 0.25]}},
    "gaussian": {"model": {"tokens": 3, "prior": "gaussian", "mean": [1.0, 0.5],
                           "covariance": [[1.0, 0.3], [0.3, 2.0]]}},
    "mixture": {"model": {"tokens": 3, "prior": "mixture", "means": [[1.0, 0.5], [-1.0, 0.0]],
                          "covariances": [[[1.0, 0.3], [0.3, 2.0]], [[0.0, 0.0], [0.0, 0.0]]],
                          "weights": [0.25, 0.75]}},
    "product": {"model": {"tokens": 3, "prior": "product", "laws": ["sparse", "uniform"], "density": 0.3,
                          "signal": [2.0, 1.0], "mean": [0.0, 0.5]}},
}
GIVEN = {"start.noise": None} | EXPLICIT
EULER = {"flow.method": "euler", "flow.step": 0.25}
MANY_SAMPLES = {"population.samples": 12000}

# Changes of SMALL. Between them all activations, priors, starts, samplings, precisions and methods.
FLOWS = {
    "softmax": {"population.samples": 6000},
    "softmax, double": {"population.samples": 6000, "population.precision": "double"},
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
    "mixture": PRIORS["mixture"] | {"start": {"dimension": 100, "seed": 2}},
    "product, closed set": PRIORS["product"] | {"population.symmetric": True, "attention.activation": "softmax-1"},
    "orthonormal spikes": {"start": {"dimension": 1e6, "spikes": "orthonormal", "eta": 0.5}, "flow.spacing": "log"},
    "one replicate": {"population.samples": 333, "population.replicates": 1, "attention.heads": 1},
    "kept": MANY_SAMPLES | {"attention.activation": "softmax-1"},
    "Euler, fresh samples": EULER | {"population.resample": 3, "population.samples": 6000},
    "3bs": {"flow.method": "3bs", "flow.tolerance": 1e-8, "flow.outputs": None, "flow.output_times": [0.0, 0.123, 3.0]},
    "4": {"flow.method": "4", "flow.step": 0.15, "flow.spacing": "log", "flow.outputs": 9},
    "ssp": {"flow.method": "ssp", "flow.step": 0.15},
    "power law of the noise": {"flow.learning_rate_noise": 0.3,
                               "schedule": {"law": "power", "scale": 0.5, "warm_up": 0.2, "warm_up_from": 0.5}},
    "learning rate noise": {"flow.learning_rate_noise": 0.3, "attention.activation": "softmax-1"},
    "weight decay": {"attention.weight_decay": 0.1, "attention.activation": "softmax-1"},
    "k alone": {"attention.activation": "softmax-1", "attention.train": ["k"], "start.b": [0.5, -0.25], "start.v": 1.5},
    "rates": {"attention.activation": "softmax-1", "attention.b_rate": 3.0, "attention.v_rate": 0.5},
    "b alone, noise": {"attention.activation": "bayes-softmax", "attention.train": ["b"],
                       "flow.learning_rate_noise": 0.3},
    "weight decay, noise": {"attention.weight_decay": 0.1, "flow.learning_rate_noise": 0.3},
    "stops by itself": {"flow.step": 0.5, "flow.end_time": 64.0, "flow.stop_gradient_norm": 0.02},
    "Euler, stops by itself": EULER | {"flow.end_time": 64.0, "flow.stop_gradient_norm": 0.02},
    "three heads, late": {"attention.heads": 3, "flow.end_time": 400.0, "flow.split_threshold": 0.2},
}
FLOWS_ON_MANY = {"softmax", "softmax-1, closed set", "bayes-softmax, dimension, single", "canonical spikes, single",
                 "Gaussian, closed set, single", "kept", "Euler, fresh samples", "learning rate noise",
                 "weight decay, noise", "power law of the noise", "mixture", "product, closed set"}

# Changes of BASE, SGD beside a flow.
VECTORS = {"sgd.dimension": 600, "sgd.weights_times": [0.0, 0.4], "sgd.save_weights": True}
COSINE = {"law": "cosine", "length": 0.6, "floor": 0.1, "warm_up": 0.3}
SGDS = {
    "vectors": VECTORS | {"flow.end_time": 1.2},
    "vectors, softmax-1": ALONE | {"attention.activation": "softmax-1", "sgd.replicas": 1, "sgd.save_weights": True},
    "vectors, bayes-softmax": {"attention.activation": "bayes-softmax", "sgd.replicas": 2, "sgd.weights_times": [1.2],
                               "flow.learning_rate_noise": "from-sgd"},
    "vectors, batch 1": {"sgd.batch": 1, "attention.heads": 3, "sgd.engine": "direct", "sgd.spacing": "log"},
    "vectors, Gaussian": PRIORS["gaussian"] | {"sgd.engine": "direct", "sgd.reduction": "exact"},
    "vectors, product": PRIORS["product"] | {"sgd.engine": "direct"},
    "overlaps, mixture": PRIORS["mixture"] | {"sgd.engine": "overlaps"},
    "vectors, weight decay": ALONE | {"sgd.engine": "direct", "attention.weight_decay": 0.5},
    "vectors, rates": ALONE | {"sgd.engine": "direct", "attention.activation": "softmax-1",
                               "attention.train": ["k", "v"], "attention.v_rate": 3.0},
    "overlaps, b alone": ALONE | {"attention.activation": "softmax-1", "attention.train": ["b"]},
    "overlaps, weight decay": ALONE | {"sgd.batch": 1, "attention.weight_decay": 0.5},
    "overlaps": {"sgd.batch": 70, "sgd.replicas": 1},
    "overlaps, many replicas": {"sgd.batch": 3, "sgd.replicas": 11, "sgd.dimension": 1000,
                                "attention.activation": "softmax-1"},
    "overlaps, own starts": {"sgd.replicas": 5, "sgd.starts": "own", "sgd.batch": 1,
                             "start": {"dimension": 60, "spikes": "orthonormal", "seed": 3}},
    "overlaps, huge D": ALONE | PRIORS["canonical-spikes"] | GIVEN | {
        "start.m": [[1.0, 0.5, 0.0], [0.25, -1.0, 0.5]], "attention.activation": "bayes-softmax", "sgd.dimension": 1e14,
        "sgd.learning_rate": 4e-14, "sgd.end_time": None, "sgd.steps": 50, "sgd.output_times": [0.0, 1e-12]},
    "vectors, cosine": ALONE | {"sgd.engine": "direct", "schedule": COSINE, "attention.weight_decay": 0.5},
    "overlaps, steps": {"schedule": {"law": "steps", "times": [0.5], "factors": [0.1]}, "sgd.batch": 3,
                        "flow.learning_rate_noise": "from-sgd"},
    "overlaps, after fresh samples": EULER | {"population.resample": 3, "sgd.engine": "overlaps"},
}
SGDS_ON_MANY = {"vectors", "vectors, softmax-1", "vectors, batch 1", "overlaps", "overlaps, many replicas",
                "overlaps, own starts", "vectors, weight decay", "overlaps, weight decay", "vectors, product",
                "overlaps, mixture", "vectors, cosine", "overlaps, steps"}
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
    "weight decay": {"attention.weight_decay": 0.02},
    "rates": {"attention.b_rate": 4.0},
    "softmax-1": {"attention.activation": "softmax-1", "population.symmetric": False, "population.samples": 9000},
    "plateaus": LATER | {"attention.activation": "softmax-1"},
    "plateaus, softmax": LATER | {"attention.activation": "softmax"},
    "alone": {"flow": None, "saddle.end_time": 40.0, "saddle.gradient_tolerance": 1e-4},
    "finite spikes": {"start": {"dimension": 1e6, "seed": 3}, "population.symmetric": False},
    "noise of SGD": {"flow": None, "saddle.end_time": 40.0, "saddle.learning_rate_noise": 0.5},
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
    "weight decay": {"attention.weight_decay": 0.02},
    "k alone": {"attention.train": ["k"]},
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
    "Bayes risk of a mixture": PRIORS["mixture"] | {"train": None, "prune": None, "maps": None},
    "product": PRIORS["product"] | {"train.starts": 1, "train.evaluations": 60},
    "heads of the flow": FLOW | {"train": None, "bayes": None, "attention.heads": 3},
}
TRAINED_ON_MANY = {"bayes-softmax", "softmax-1, closed set", "from the flow", "Bayes risk of a mixture", "product"}

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
    "densities and floors": PRIORS["product"] | {
        "flow.learning_rate_noise": 0.3, "schedule": {"law": "cosine", "length": 0.5},
        "sweep": {"model.density": [0.2, [0.5, 0.1]], "schedule.floor": [0.1, 0.5]}},
    "covariances": PRIORS["mixture"] | {"sweep": {"model.covariances": [
        [[[1.0, 0.3], [0.3, 2.0]], [[0.0, 0.0], [0.0, 0.0]]], [[[0.0, 0.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]]]}},
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


def runs():
    yield from computed("flow", SMALL, FLOWS, FLOWS_ON_MANY)
    yield from computed("sgd", BASE, SGDS, SGDS_ON_MANY)
    yield from computed("saddle", FLIPPING, SADDLES, SADDLES_ON_MANY)
    yield from computed("train", FULL, TRAINED, TRAINED_ON_MANY)
    yield from computed("sweep", SWEPT, SWEEPS, SWEEPS)
    yield from special_runs()
