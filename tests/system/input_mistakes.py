"""Mistakes in an input or in a command line, by their kind, and what the message about each must say."""
import os
from typing import NamedTuple

import numpy as np

from harness import SMALL, Raw, changed

BASE = changed(SMALL, {"population.samples": 64, "population.replicates": 2, "flow.end_time": 0.5, "flow.outputs": 2})
DISCRETE = {"model.prior": "discrete", "model.signal": None, "model.atoms": [[1.0, 0.0], [0.0, 1.0]]}
GAUSSIAN = {"model.prior": "gaussian", "model.signal": None, "model.covariance": [[1.0, 0.0], [0.0, 1.0]]}
ZEROS = [[0.0, 0.0], [0.0, 0.0]]
MIXTURE = {"model.prior": "mixture", "model.signal": None, "model.means": [[1.0, 0.0], [0.0, 1.0]],
           "model.covariances": [ZEROS, [[1.0, 0.0], [0.0, 1.0]]]}
PRODUCT = {"model.prior": "product", "model.laws": ["signs", "sparse"], "model.density": 0.5}
CANONICAL = {"model.prior": "canonical-spikes", "model.signal": 2.0, "model.features": 3}
EXPLICIT = {"start.noise": None, "start.m": [[1.0, 0.5], [0.5, 1.0]]}
SGD = {"sgd.dimension": 20, "sgd.batch": 2, "sgd.learning_rate": 0.125}


class Case(NamedTuple):
    """A change of the valid input, and the words that the message must have. `at`: the line that it must name."""
    name: str
    changes: dict
    words: list
    at: str = ""
    arguments: tuple = ()
    ranks: int = 0


SYNTAX = [
    Case("unknown section", {"modle.tokens": 3}, ["[modle]", "[model]?"], at="modle"),
    Case("unknown key", {"model.tokenz": 3}, ["model.tokenz", "model.tokens?", '"covariance"'], at="model.tokenz"),
    Case("unknown key of several", {"attention.seed": 3},
         ["attention.seed", "population.seed or sgd.seed or start.seed"], at="attention.seed"),
    Case("unknown key of another section", {"flow.heads": 3}, ["flow.heads", "attention.heads?", '"end_time"'],
         at="flow.heads"),
    Case("missing key", {"model.tokens": None}, ["case.toml", "model.tokens", "missing"]),
    Case("missing key that is swept", {"attention.heads": None, "sweep": {"attention.heads": [1, 2]}},
         ["attention.heads is missing", "needs a value in its own section"]),
    Case("missing key that is swept, dotted", {"attention.heads": None, "sweep.attention": Raw("{heads = [1, 2]}")},
         ["attention.heads is missing", "needs a value in its own section"]),
    Case("value missing", {"model.tokens": Raw("")}, ["TOML"], at="model.tokens"),
    Case("list not closed", {"model.signal": Raw("[2.0, 2.0")}, ["TOML"]),
    Case("key twice", {"model.tokens": Raw("3\ntokens = 4")}, ["TOML", "tokens"]),
    Case("not UTF-8", {"model.prior": Raw('"\udcff"')}, ["TOML", "utf-8"], at="model.prior"),
]

TYPES = [
    Case("text for a whole number", {"model.tokens": "4"}, ["model.tokens", '"4"', "whole number", ">= 2"],
         at="model.tokens"),
    Case("fraction for a whole number", {"model.tokens": 3.5}, ["model.tokens", "3.5", "whole number"],
         at="model.tokens"),
    Case("text for a number", {"flow.end_time": "long"}, ["flow.end_time", '"long"', "number", "> 0"],
         at="flow.end_time"),
    Case("number for a text", {"model.prior": 3}, ["model.prior", "3", '"flipping-spike"', '"gaussian"'],
         at="model.prior"),
    Case("truth value for a text", {"model.prior": True}, ["model.prior", "true", "one of", '"gaussian"'],
         at="model.prior"),
    Case("number for a file", {"output.file": 3}, ["output.file", "3", "text"], at="output.file"),
    Case("number for a truth value", {"population.symmetric": 1}, ["population.symmetric", "1", "true or false"],
         at="population.symmetric"),
    Case("text for a list", {"model.signal": "large"}, ["model.signal", '"large"', "numbers"], at="model.signal"),
    Case("text in a list", {"model.signal": [2.0, "x"]}, ["model.signal", '"x"', "number"], at="model.signal"),
    Case("list for a matrix", EXPLICIT | {"start.m": [1.0, 2.0]}, ["start.m", "1.0, 2.0", "rows"], at="start.m"),
    Case("unknown choice", {"flow.method": "5pd"}, ["flow.method", '"5pd"', '"5dp"?', '"euler"'], at="flow.method"),
    Case("unknown prior", {"model.prior": "flipping"}, ['"flipping"', '"flipping-spike"?'], at="model.prior"),
]

RANGES = [
    Case("L < 2", {"model.tokens": 1}, ["model.tokens = 1 ", ">= 2", "4096"], at="model.tokens", ranks=2),
    Case("L too large", {"model.tokens": 5000}, ["model.tokens = 5000 ", "<= 4096"], at="model.tokens"),
    Case("H < 1", {"attention.heads": 0}, ["attention.heads = 0 ", ">= 1"], at="attention.heads"),
    Case("F < 1", CANONICAL | {"model.features": 0}, ["model.features = 0 ", ">= 1"], at="model.features"),
    Case("F missing", CANONICAL | {"model.features": None}, ["model.features", ">= 1", "canonical-spikes"]),
    Case("F negative", CANONICAL | {"model.features": -1}, ["model.features = -1 "], at="model.features"),
    Case("negative variance", {"model.signal": [2.0, -0.5]}, ["model.signal", "-0.5", ">= 0"], at="model.signal"),
    Case("not > 0", {"flow.end_time": 0.0}, ["flow.end_time", "0", "> 0"], at="flow.end_time"),
    Case("not >= 0", {"start.noise": -0.5}, ["start.noise", "-0.5", ">= 0"], at="start.noise"),
    Case("not <= 1", {"flow.tolerance": 2.0}, ["flow.tolerance", "2", "<= 1"], at="flow.tolerance"),
    Case("too small", {"flow.tolerance": 1e-15}, ["flow.tolerance", "1e-15", ">= 1e-14"], at="flow.tolerance"),
    Case("weight decay < 0", {"attention.weight_decay": -0.5}, ["attention.weight_decay", "-0.5", ">= 0"],
         at="attention.weight_decay"),
    Case("weight decay no number", {"attention.weight_decay": "small"}, ["attention.weight_decay", '"small"', "number"],
         at="attention.weight_decay"),
    *(Case(f"train = {value}", {"attention.activation": "softmax-1", "attention.train": value},
           ["attention.train", "list of some of", '"k", "b", "v"'], at="attention.train")
      for value in ("k", [], ["q"], ["k", "k"], [1], 3)),
    Case("train what there is not", {"attention.train": ["k", "b"]}, ["attention.train", '"b"', '"softmax"']),
    Case("rate of what is not trained", {"attention.b_rate": 2.0}, ["attention.b_rate", "not trained"]),
    Case("no rate", {"attention.activation": "softmax-1", "attention.v_rate": 0.0}, ["attention.v_rate", "> 0"],
         at="attention.v_rate"),
    Case("weight decay of what is not trained", {"attention.activation": "softmax-1", "attention.train": ["b"],
                                                 "attention.weight_decay": 0.5}, ["attention.weight_decay", '"k"']),
    Case("saddle of what is not trained", {"attention.activation": "softmax-1", "attention.train": ["b", "v"],
                                           "saddle": {}}, ["[saddle]", '"k"', "attention.train"]),
    Case("saddle of unequal biases", {"attention.activation": "softmax-1", "attention.train": ["k", "v"], "saddle": {},
                                      "start.b": [0.5, 0.25]}, ["[saddle]", "start.b", '"b"', "attention.train"]),
    Case("own starts of heads that stay", {
        "attention.activation": "softmax-1", "attention.train": ["b"], "fluctuations": {
            "starts": "own", "dimension": 100.0, "learning_rate_noise": 0.5}}, ["fluctuations.starts", '"k"']),
    Case("b of a random start too long", {"start.b": [1.0] * 3}, ["start.b", "1 or 2", "found 3"]),
    Case("weight decay of another section", {"train.weight_decay": 0.5}, ["train.weight_decay", "unknown"],
         at="train.weight_decay"),
    Case("infinite", {"flow.end_time": Raw("inf")}, ["flow.end_time", "inf"], at="flow.end_time"),
    Case("not a number", EXPLICIT | {"start.v": Raw("nan")}, ["start.v", "nan", "finite"], at="start.v"),
    Case("seed past what a double counts", {"start.seed": 9000000000000001}, ["start.seed", "9000000000000001"],
         at="start.seed"),
    Case("whole number past 64 bits", {"start.seed": 10**30}, [str(10**30)[:5]], at="start.seed"),
    Case("too many samples", {"population.samples": 1e10}, ["population.samples", "<= 4000000000"],
         at="population.samples"),
]

PRIORS = [
    Case("covariance not symmetric", GAUSSIAN | {"model.covariance": [[1.0, 0.5], [0.25, 1.0]]},
         ["model.covariance", "symmetric", "0.5", "0.25"]),
    Case("covariance not positive", GAUSSIAN | {"model.covariance": [[1.0, 2.0], [2.0, 1.0]]},
         ["model.covariance", "positive semi-definite", "-1"]),
    Case("covariance not square", GAUSSIAN | {"model.covariance": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]},
         ["model.covariance", "square", "2 x 3"]),
    Case("covariance missing", GAUSSIAN | {"model.covariance": None}, ["model.covariance", "missing", "gaussian"]),
    Case("mean of another length", GAUSSIAN | {"model.mean": [1.0, 2.0, 3.0]}, ["model.mean", "2", "found 3"]),
    Case("weights do not sum to one", DISCRETE | {"model.weights": [0.5, 0.4]},
         ["model.weights", "sum to one", "0.9"]),
    Case("negative weight", DISCRETE | {"model.weights": [1.5, -0.5]}, ["model.weights", "-0.5", ">= 0"],
         at="model.weights"),
    Case("number of weights", DISCRETE | {"model.weights": [1.0]}, ["model.weights", "2 atoms", "found 1"]),
    Case("atoms uneven", DISCRETE | {"model.atoms": [[1.0, 0.0], [1.0]]}, ["model.atoms", "equal length"],
         at="model.atoms"),
    Case("atoms empty", DISCRETE | {"model.atoms": []}, ["model.atoms", "[]", "rows"], at="model.atoms"),
    Case("atoms missing", DISCRETE | {"model.atoms": None}, ["model.atoms", "missing", "discrete"]),
    Case("atoms too long", DISCRETE | {"model.atoms": [[0.0] * 1025]}, ["model.atoms", "1025", "1024"]),
    Case("F against atoms", DISCRETE | {"model.features": 3}, ["model.features = 3", "discrete", "2"]),
    Case("F against flipping spike", {"model.features": 3}, ["model.features = 3", "flipping-spike", "2"]),
    Case("F against covariance", GAUSSIAN | {"model.features": 3}, ["model.features = 3", "gaussian", "2"]),
    Case("signal missing", {"model.signal": None}, ["model.signal", "one or two numbers"]),
    Case("three signals", {"model.signal": [1.0, 2.0, 3.0]}, ["model.signal", "one or two numbers", "found 3"]),
    Case("two signals of canonical spikes", CANONICAL | {"model.signal": [1.0, 2.0]}, ["model.signal", "found 2"]),
    Case("means missing", MIXTURE | {"model.means": None}, ["model.means", "missing", "mixture"]),
    Case("covariances missing", MIXTURE | {"model.covariances": None}, ["model.covariances", "missing", "mixture"]),
    Case("one covariance for two means", MIXTURE | {"model.covariances": [ZEROS]},
         ["model.covariances", "each of the 2 means", "found 1"]),
    Case("a covariance of another size", MIXTURE | {"model.covariances": [ZEROS, [[1.0]]]},
         ["model.covariances", "2 x 2", "found 1 x 1"]),
    Case("covariances one level too flat", MIXTURE | {"model.covariances": ZEROS},
         ["model.covariances", "list of rows"], at="model.covariances"),
    Case("covariances no list", MIXTURE | {"model.covariances": 0.0}, ["model.covariances", "list of matrices"],
         at="model.covariances"),
    Case("second covariance not positive", MIXTURE | {"model.covariances": [ZEROS, [[1.0, 2.0], [2.0, 1.0]]]},
         ["model.covariances", "number 2", "positive semi-definite", "-1"]),
    Case("second covariance not symmetric", MIXTURE | {"model.covariances": [ZEROS, [[1.0, 0.5], [0.25, 1.0]]]},
         ["model.covariances", "number 2", "symmetric"]),
    Case("weights of a mixture", MIXTURE | {"model.weights": [1.0]}, ["model.weights", "2 components", "found 1"]),
    Case("unknown law", PRODUCT | {"model.laws": ["signs", "spars"]}, ["model.laws", '"spars"', '"sparse"?'],
         at="model.laws"),
    Case("laws empty", PRODUCT | {"model.laws": []}, ["model.laws", "[]", '"signs"'], at="model.laws"),
    Case("laws missing", PRODUCT | {"model.laws": None}, ["model.laws", "product", "found none"]),
    Case("signal of a product missing", PRODUCT | {"model.signal": None}, ["model.signal", "product", "found none"]),
    Case("three laws, two signals", PRODUCT | {"model.laws": ["signs", "sparse", "signs"]},
         ["model.signal", "one entry or 3", "found 2"]),
    Case("density missing", PRODUCT | {"model.density": None}, ["model.density", "found none"]),
    Case("density without use", PRODUCT | {"model.laws": "uniform"},
         ["model.density", "no feature is sparse", "remove"]),
    Case("density zero", PRODUCT | {"model.density": 0.0}, ["model.density", "0", "> 0"], at="model.density"),
    Case("mean of a product", PRODUCT | {"model.mean": 1.0}, ["model.mean", "2 numbers", "found 1"]),
    Case("F of a product untold", PRODUCT | {"model.laws": "signs", "model.density": None, "model.signal": 1.0},
         ["model.features", "missing", "product"]),
    Case("F against laws", PRODUCT | {"model.features": 3}, ["model.features = 3", "product", "2"]),
    Case("Bayes start of a product", PRODUCT | {"attention.activation": "bayes-softmax", "start": {"bayes": True}},
         ["Bayes", "atoms", "discrete"]),
    Case("Bayes risk of a product at finite D", PRODUCT | {"start": {"dimension": 100.0}, "bayes": {}},
         ["Bayes risk", "product", "orthonormal"]),
    *(Case(f"{key} with another prior", {f"model.{key}": value}, [f"model.{key}", "flipping-spike", "remove"])
      for key, value in {"atoms": [[1.0, 2.0]], "weights": [1.0], "mean": [1.0], "covariance": [[1.0]],
                         "means": [[1.0]], "covariances": [[[1.0]]], "laws": "signs", "density": 0.5}.items()),
    Case("signal with another prior", DISCRETE | {"model.signal": 2.0}, ["model.signal", "discrete", "remove"]),
]

STARTS = [
    Case("two ways to start", {"start.dimension": 100.0}, ["[start]", "one of", "dimension and noise"]),
    Case("r without m", {"start.r": [[1.0, 0.0], [0.0, 1.0]]}, ["start.r", "start.m"]),
    Case("v of a file", {"start.noise": None, "start.file": "old.h5", "start.v": 2.0}, ["start.v", "start.file"]),
    Case("r not positive", EXPLICIT | {"start.r": [[1.0, 2.0], [2.0, 1.0]]},
         ["start.r", "positive semi-definite", "-1"]),
    Case("r not symmetric", EXPLICIT | {"start.r": [[1.0, 0.5], [0.25, 1.0]]}, ["start.r", "symmetric"]),
    Case("m of another shape", EXPLICIT | {"start.m": [[1.0, 0.5]]}, ["start.m", "2 x 2", "1 x 2"]),
    Case("r of another shape", EXPLICIT | {"start.r": [[1.0]]}, ["start.r", "2 x 2", "1 x 1"]),
    Case("b of another length", EXPLICIT | {"start.b": [1.0] * 3}, ["start.b", "1 or 2", "found 3"]),
    Case("D < F + H", {"start.noise": None, "start.dimension": 3.0}, ["start.dimension", "4", "found 3"]),
    Case("D no whole number", {"start.noise": None, "start.dimension": 10.5}, ["start.dimension", "10.5", "whole"]),
    Case("file missing", {"start.noise": None, "start.file": "none.h5"}, ["start.file", "none.h5", "no such file"]),
    Case("file missing, two ranks", {"start.noise": None, "start.file": "none.h5"}, ["start.file", "none.h5"], ranks=2),
    Case("file not HDF5", {"start.noise": None, "start.file": "case.toml"}, ["start.file", "case.toml", "HDF5"]),
    Case("file is a folder", {"start.noise": None, "start.file": "folder"}, ["start.file", "folder"]),
    Case("file without a flow", {"start.noise": None, "start.file": "empty.h5"}, ["start.file", "empty.h5", "flow"]),
    Case("file of another shape", {"start.noise": None, "start.file": "five.h5"},
         ["start.file", "five.h5", "5 x 2", "2 x 2"]),
]

SAMPLES = [
    Case("samples not divisible", {"population.samples": 63}, ["population.samples = 63", "replicates = 2"]),
    Case("fewer samples than replicates", {"population.samples": 1}, ["population.samples = 1", "replicates = 2"]),
    Case("resample with an adaptive method", {"population.resample": 2},
         ["population.resample = 2", "euler", '"5dp"']),
    Case("too many Sobol dimensions", {"model.tokens": 4000}, ["3667", "16001", "monte-carlo"]),
    Case("closed set too large", {"model.prior": "anisotropic-gaussian", "model.features": 3, "attention.heads": 1024,
                                  "population.symmetric": True}, ["population.symmetric", "4096"]),
    Case("too many signs", GAUSSIAN | {"model.covariance": np.eye(13).tolist(), "population.symmetric": True},
         ["population.symmetric", "12 features"]),
    Case("too many points", {"population.samples": 3e9, "population.replicates": 1},
         ["2147483648", "3000000000", "population.replicates"]),
    Case("Hessian too large", {"attention.heads": 128, "saddle.end_time": 0.5}, ["[saddle]", "5000", "heads = 128"]),
    Case("no memory", {"population.memory": 0.0}, ["population.memory = 0", "> 0"], at="population.memory"),
    Case("too little memory", {"population.memory": 1e-9}, ["population.memory", "1e-09", "needs", "GiB"]),
    Case("output times repeat", {"flow.output_times": [0.125, 0.125]}, ["flow.output_times", "increase", "0.125"]),
    Case("output times fall", {"flow.output_times": [0.25, 0.125]}, ["flow.output_times", "increase", "0.125"]),
    Case("output time past the end", {"flow.output_times": [0.125, 0.75]},
         ["flow.output_times", "end_time = 0.5", "0.75"]),
    Case("no output times", {"flow.output_times": []}, ["flow.output_times", "empty"]),
    Case("negative output time", {"flow.output_times": [-0.5]}, ["flow.output_times", "-0.5", ">= 0"],
         at="flow.output_times"),
]

SGDS = [
    *(Case(f"sgd without its {key}", SGD | {f"sgd.{key}": None}, [f"sgd.{key}", "missing"])
      for key in ("dimension", "batch", "learning_rate")),
    Case("unknown key of sgd", SGD | {"sgd.batches": 2}, ["sgd.batches", "sgd.batch?"], at="sgd.batches"),
    Case("D < F + 2H + L", SGD | {"sgd.dimension": 8, "sgd.engine": "overlaps"},
         ["sgd.dimension", "features + 2 heads + tokens = 9", "overlaps", "found 8"]),
    Case("D < F + H + L", SGD | {"sgd.dimension": 6}, ["sgd.dimension", "features + heads + tokens = 7", "found 6"]),
    Case("D < F + H of a random start", SGD | {"sgd.dimension": 3, "start.noise": None},
         ["sgd.dimension", "7", "found 3"]),
    Case("D of vectors that fit nowhere", SGD | {"sgd.dimension": 10**12, "sgd.engine": "direct"},
         ["sgd.dimension", "at most 1e9", "direct", "found 1000000000000"]),
    Case("unknown engine", SGD | {"sgd.engine": "overlap"}, ["sgd.engine", '"overlap"', 'did you mean "overlaps"?'],
         at="sgd.engine"),
    *(Case(f"overlaps with {key}", SGD | {"sgd.engine": "overlaps", f"sgd.{key}": value}, [key, "direct"])
      for key, value in (("save_weights", True), ("weights_times", [0.25]), ("reduction", "fast"))),
    Case("own starts that are given", SGD | {"start.noise": None, "sgd.starts": "own"} | EXPLICIT,
         ["sgd.starts", "start.dimension or start.noise"]),
    Case("own starts with other spikes", SGD | {"start.noise": None, "sgd.starts": "own"},
         ["sgd.starts", 'start.spikes = "orthonormal"']),
    Case("D of sgd no whole number", SGD | {"sgd.dimension": 20.5}, ["sgd.dimension", "20.5", "whole number"],
         at="sgd.dimension"),
    Case("another D at the start", SGD | {"start.noise": None, "start.dimension": 30},
         ["start.dimension = 30", "sgd.dimension = 20"]),
    Case("no batch", SGD | {"sgd.batch": 0}, ["sgd.batch = 0 ", ">= 1"], at="sgd.batch"),
    Case("weights that change sign in a step", SGD | {"attention.weight_decay": 8.0},
         ["sgd.learning_rate = 0.125", "attention.weight_decay = 8", "below 1"]),
    Case("no learning rate", SGD | {"sgd.learning_rate": 0}, ["sgd.learning_rate = 0 ", "> 0"], at="sgd.learning_rate"),
    Case("negative learning rate", SGD | {"sgd.learning_rate": -0.5}, ["sgd.learning_rate = -0.5 ", "> 0"],
         at="sgd.learning_rate", ranks=2),
    Case("no replicas", SGD | {"sgd.replicas": 0}, ["sgd.replicas = 0 ", ">= 1"], at="sgd.replicas"),
    Case("no steps", SGD | {"sgd.steps": 0}, ["sgd.steps = 0 ", ">= 1"], at="sgd.steps"),
    Case("unknown reduction", SGD | {"sgd.reduction": "fats"},
         ["sgd.reduction", '"fats"', '"exact"', 'did you mean "fast"?'], at="sgd.reduction"),
    Case("end time and steps", SGD | {"sgd.end_time": 0.25, "sgd.steps": 4}, ["[sgd]", "one of", "end_time", "steps"]),
    Case("neither end time nor steps", SGD | {"flow.end_time": None}, ["sgd.end_time", "missing", "sgd.steps"]),
    Case("sgd alone without an end", SGD | {"flow": None}, ["sgd.end_time", "missing", "sgd.steps"]),
    Case("end before the first step", SGD | {"sgd.end_time": 0.01},
         ["sgd.end_time = 0.01", "0.08 steps", "sgd.learning_rate = 0.125"]),
    *(Case(f"{key} {how}", SGD | {f"sgd.{key}": times}, [f"sgd.{key}", *words])
      for key in ("output_times", "weights_times")
      for how, times, words in (("repeat", [0.25, 0.25], ["increase", "0.25"]), ("fall", [0.25, 0.125], ["0.125"]),
                                ("past the end", [0.25, 0.75], ["end_time = 0.5", "0.75"]),
                                ("negative", [-0.5], ["-0.5", ">= 0"]))),
    Case("no output times of sgd", SGD | {"sgd.output_times": []}, ["sgd.output_times", "empty"]),
    Case("noise of no sgd", {"flow.learning_rate_noise": "from-sgd"},
         ["flow.learning_rate_noise", '"from-sgd"', "[sgd]"], ranks=2),
    *(Case(f"learning rate noise {value}", SGD | {"flow.learning_rate_noise": value},
           ["flow.learning_rate_noise", str(value), ">= 0", '"from-sgd"'], at="flow.learning_rate_noise")
      for value in (-0.5, "from-sdg", Raw("inf"), Raw("true"))),
    *(Case(f"weights exist, {ranks} ranks", SGD | {"output.file": "new.h5", "sgd.save_weights": True},
           ["new.weights-4.h5", "exists", "--force"], ranks=ranks) for ranks in (0, 2)),
    *(Case(f"PETSc option without a flow, {ranks} ranks", SGD | {"flow": None, "sgd.steps": 4},
           ["-flow_ts_monitor"], arguments=("-flow_ts_monitor",), ranks=ranks) for ranks in (0, 2)),
    *(Case(f"schedule: {name}", SGD | {"schedule": schedule}, words) for name, schedule, words in (
        ("steps without times", {"law": "steps", "factors": [0.5]}, ["schedule.times", "missing", "steps"]),
        ("steps without factors", {"law": "steps", "times": [0.5]}, ["schedule.factors", "missing", "steps"]),
        ("more factors than times", {"law": "steps", "times": [0.5], "factors": [0.5, 0.1]},
         ["schedule.factors", "schedule.times", "found 2 and 1"]),
        ("no steps", {"law": "steps", "times": [], "factors": []}, ["schedule.factors", "one at least", "0 and 0"]),
        ("times that fall", {"law": "steps", "times": [0.5, 0.25], "factors": [0.5, 0.1]},
         ["schedule.times", "increase", "0.25 after 0.5"]),
        ("power without a scale", {"law": "power"}, ["schedule.scale", "missing", "power"]),
        ("cosine without a length", {"law": "cosine"}, ["schedule.length", "missing", "cosine"]),
        ("floor of a power law", {"law": "power", "scale": 1.0, "floor": 0.5}, ["schedule.floor", "power", "cosine"]),
        ("unknown law", {"law": "linear"}, ["schedule.law", '"linear"', '"cosine"']),
        ("no factor", {"law": "steps", "times": [0.5], "factors": [0.0]}, ["schedule.factors", "> 0"]),
        ("start of the warm-up", {"warm_up": 0.1, "warm_up_from": 0.0}, ["schedule.warm_up_from", "> 0"]),
        ("start of no warm-up", {"warm_up_from": 0.5}, ["schedule.warm_up_from", "schedule.warm_up"]))),
    Case("schedule of what has no learning rate", {"flow": None, "train": {}, "schedule": {"warm_up": 1.0}},
         ["[schedule]", "no effect"]),
    Case("schedule of a flow without noise", {"schedule": {"warm_up": 1.0}},
         ["[schedule]", "no effect", "flow.learning_rate_noise = 0"]),
    Case("schedule with the noise of a saddle", SGD | {"schedule": {"warm_up": 1.0}, "saddle": {
        "learning_rate_noise": 0.5}}, ["[saddle]", "kappa = 0.5", "saddle.learning_rate_noise = 0"]),
    Case("schedule that keeps nothing of the weights",
         SGD | {"attention.weight_decay": 3.0, "schedule": {"law": "steps", "times": [0.2], "factors": [4.0]}},
         ["sgd.learning_rate = 0.125", "attention.weight_decay = 3", "below 1", "4"]),
    Case("--set makes a section", {}, ["sgd.dimension", "missing"], arguments=("--set", "sgd.steps=4")),
]

FILES = [
    Case("output exists", {"output.file": "old.h5"}, ["old.h5", "exists", "--force", "--output"]),
    Case("output exists, two ranks", {"output.file": "old.h5"}, ["old.h5", "exists", "--force"], ranks=2),
    Case("output folder missing", {"output.file": "none/x.h5"}, ["none/x.h5", "folder none does not exist"]),
    Case("output where no file can be made", {"output.file": "/proc/x.h5"},
         ["/proc/x.", "could not be made" if os.geteuid() == 0 else "not writable"]),
    Case("output is a folder", {"output.file": "folder"}, ["folder", "is a folder"], arguments=("--force",)),
    Case("output without a name", {"output.file": ""}, ["output"]),
    Case("output without a name, two ranks", {"output.file": ""}, ["output"], ranks=2),
    Case("--output without a name", {}, ["output"], arguments=("--output", "")),
    Case("output would replace its input", {}, ["case.toml", "input"], arguments=("--output", "case.toml", "--force")),
    Case("output is no regular file", {"output.file": "pipe"}, ["pipe", "named pipe"], arguments=("--force",)),
]

COMMANDS = [
    Case("unknown PETSc option", {}, ["-flow_nonsense", "-flow_ts_"], arguments=("-flow_nonsense",)),
    Case("unknown PETSc option, two ranks", {}, ["-flow_nonsense"], arguments=("-flow_nonsense",), ranks=2),
    Case("unknown value of a PETSc option", {}, ["bogus", "5dp"], arguments=("-flow_ts_rk_type", "bogus")),
    Case("unknown value of a PETSc option, two ranks", {}, ["bogus"], arguments=("-flow_ts_type", "bogus"), ranks=2),
    Case("--set without =", {}, ["--set", "model.tokens", "section.key=value"], arguments=("--set", "model.tokens")),
    Case("--set without a section", {}, ["--set", "tokens=3", "section.key=value"], arguments=("--set", "tokens=3")),
    Case("--set without a word", {}, ["--set"], arguments=("--set",)),
    Case("--set to a bad value", {}, ["model.tokens = 1 ", ">= 2"], arguments=("--set", "model.tokens=1")),
    Case("--set of an unknown key", {}, ["model.tokenz", "model.tokens?"], arguments=("--set", "model.tokenz=3")),
    Case("--set of an unknown section", {}, ["[modle]", "[model]?"], arguments=("--set", "modle.tokens=3")),
    Case("unknown option", {}, ["--bogus", "--help"], arguments=("--bogus",)),
    Case("a word too many", {}, ["other.toml", "--help"], arguments=("other.toml",)),
]
