"""Inputs made at random: of values from the program's own table of keys, and small ones that run in a moment."""
import json
import math
import random
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "system"))
from harness import PROGRAM, Raw  # noqa: E402

WHOLE, NUMBER, NUMBERS, ROWS, TRUTH, TEXT, CHOICE = "whole", "number", "numbers", "rows", "truth", "text", "choice"
HUGE = ("1e308", "-1e308", "5e-324", "inf", "-inf", "nan", "-0.0", "9223372036854775807", "-9223372036854775808",
        "9223372036854775808", "1e19", "9007199254740993", "4294967296", "2147483648", "0x7fff", "0o17", "0b1",
        "1_000", "+3", "1979-05-27T07:32:00Z", "07:32:00")
TEXTS = ("", " ", "a", "\x7f", "\u20ac", "\u202e", "../x.h5", "x" * 300, "a/b/c.h5", "%s%n", "{}", "$(id)", "case.toml",
         "\n", "\t", "\\", "'", '"', "-", "--help", ".", "..", "case.h5", "con.h5.stop", "\ufeff", "\U0001f600")


@dataclass
class Key:
    """A key of the input: what it may be, in the words that users read."""
    section: str
    name: str
    kind: str
    least: float = -math.inf
    most: float = math.inf
    choices: tuple = ()
    required: bool = False

    @property
    def path(self):
        return f"{self.section}.{self.name}"


def parse_key(section, name, text):
    depth, begin = 0, len(text) - 1
    for begin in range(len(text) - 1, -1, -1):  # the last brackets, which may hold others
        depth += {")": 1, "(": -1}.get(text[begin], 0)
        if depth == 0:
            break
    allowed = text[begin + 1:-1]
    words = allowed.split("; default")[0]
    numbers = {sign: float(number) for sign, number in re.findall(r"(>=|<=|>) (-?[\d.e+-]+)", words)}
    kind = (WHOLE if words.startswith("whole") else NUMBERS if words.startswith("number or list") else
            ROWS if words.startswith("list of rows") else TRUTH if words.startswith("true or") else
            TEXT if words.startswith("text") else CHOICE if words.startswith('"') else NUMBER)
    return Key(section, name, kind, numbers.get(">=", numbers.get(">", -math.inf)), numbers.get("<=", math.inf),
               tuple(re.findall(r'"([^"]*)"', words)), "required" in words)


def key_table():
    """[Key] of all sections, from the program's own table."""
    text = subprocess.run([PROGRAM, "documentation", "keys"], capture_output=True, text=True, check=True).stdout
    keys = [parse_key(row["section"], row["key"], row["help"]) for row in json.loads(text)
            if row["key"] and row["section"] != "sweep"]
    if len(keys) < 50 or {key.kind for key in keys} != {WHOLE, NUMBER, NUMBERS, ROWS, TRUTH, TEXT, CHOICE}:
        raise RuntimeError(f"headflow documentation keys is not understood: {len(keys)} keys")
    return keys


class Values:
    """Values of keys: allowed, nearly so, or of another kind."""
    def __init__(self, randomness):
        self.random = randomness

    def number(self, key):
        least, most = max(key.least, -1e6), min(key.most, 1e6)
        how = self.random.randrange(6)
        if how == 0:
            return self.random.choice([value for value in (key.least, key.most) if math.isfinite(value)] or [0.0])
        if how == 1 and least >= 0:
            return min(most, least + 10 ** self.random.uniform(-12, 6))
        return self.random.uniform(least, min(most, least + self.random.choice((1, 10, 1e6))))

    def allowed(self, key):
        if key.kind == WHOLE:
            return int(min(key.most, max(key.least, 0) + self.random.choice((0, 1, 2, 3, 7, 100, 10**6))))
        if key.kind == NUMBERS:
            return [self.number(key) for _ in range(self.random.choice((1, 2, 2, 2, 3, 5)))]
        if key.kind == ROWS:
            rows, columns = self.random.choice((1, 2, 2, 3)), self.random.choice((1, 2, 2, 3))
            return [[self.random.choice((0.0, 0.5, 1.0, -1.0, 2.0)) for _ in range(columns)] for _ in range(rows)]
        if key.kind == TRUTH:
            return self.random.random() < 0.5
        if key.kind == TEXT:
            return self.random.choice(TEXTS)
        if key.kind == CHOICE or key.choices and self.random.random() < 0.3:
            return self.random.choice(key.choices)
        return self.number(key)

    def hostile(self, depth=0):
        """Of any type and size."""
        how = self.random.randrange(9)
        if how == 0:
            return Raw(self.random.choice(HUGE))
        if how == 1:
            return self.random.choice(TEXTS)
        if how == 2 and depth < 4:
            return [self.hostile(depth + 1) for _ in range(self.random.choice((0, 1, 2, 3)))]
        if how == 3 and depth < 3:
            return {self.random.choice(("a", "from", "to", "step", "count", "m")): self.hostile(depth + 1)}
        if how == 4:
            return Raw("[" * self.random.choice((2, 50, 3000)) + "]" * self.random.choice((2, 50, 3000)))
        if how == 5:
            return [self.random.choice((0, 1, 0.5))] * self.random.choice((0, 7, 5000))
        if how == 6:
            return [[1.0] * self.random.choice((0, 1, 2)) for _ in range(self.random.choice((0, 1, 2, 400)))]
        return self.random.choice((0, 1, -1, 2, 10**6, 10**15, 0.5, -0.5, 1e-300, 1e300, True, False))

    def any(self, key):
        return self.allowed(key) if self.random.random() < 0.6 else self.hostile()

    def sweep(self, keys):
        """[sweep], of some keys."""
        section = {}
        for key in self.random.sample(keys, self.random.choice((1, 1, 2, 3))):
            values = [self.any(key) for _ in range(self.random.choice((0, 1, 2, 3)))]
            if self.random.random() < 0.2:
                values = {"from": self.hostile(2), "to": self.hostile(2), self.random.choice(("step", "count",
                                                                                              "factor")):
                          self.hostile(2)}
            section[key.path] = values
        for name in "repeats", "ranks_per_member", "repeat":
            if self.random.random() < 0.2:
                section[name] = self.random.choice((0, 1, 2, 3, -1, 10**9, "2", 1.5))
        return section


def matrix(randomness, rows, columns, scale=1.0):
    return [[round(randomness.uniform(-scale, scale), 3) for _ in range(columns)] for _ in range(rows)]


def psd(randomness, size):
    """A positive semi-definite matrix."""
    factor = matrix(randomness, size, size + 1)
    return [[sum(a * b for a, b in zip(row, other)) for other in factor] for row in factor]


def small_model(randomness, features):
    """[model] with that many features."""
    tokens = randomness.choice((2, 3, 4, 5, 7))
    prior = randomness.choice(["canonical-spikes", "anisotropic-gaussian", "discrete", "gaussian", "mixture",
                               "product"] + ["flipping-spike"] * (2 if features == 2 else 0))
    model = {"tokens": tokens, "prior": prior}
    if prior == "flipping-spike":
        return model | {"signal": [round(randomness.uniform(0.5, 3), 2) for _ in range(2)]}
    if prior == "canonical-spikes":
        return model | {"signal": round(randomness.uniform(0.5, 4), 2), "features": features}
    if prior == "anisotropic-gaussian":
        return model | {"signal": [round(randomness.uniform(1, 3), 2), round(randomness.uniform(0.1, 1), 2)],
                        "features": features}
    if prior == "discrete":
        atoms = randomness.randrange(1, 4)
        weights = [randomness.randrange(1, 5) for _ in range(atoms)]
        return model | {"atoms": matrix(randomness, atoms, features, 2.0),
                        "weights": [weight / sum(weights) for weight in weights]}
    if prior == "mixture":
        count = randomness.randrange(1, 4)
        zeros = [[0.0] * features for _ in range(features)]
        return model | {"means": matrix(randomness, count, features, 2.0),
                        "covariances": [randomness.choice((zeros, psd(randomness, features))) for _ in range(count)]}
    if prior == "product":
        laws = [randomness.choice(("signs", "gaussian", "uniform", "sparse")) for _ in range(features)]
        return model | {"features": features, "laws": laws, "signal": round(randomness.uniform(0.5, 3), 2)} | (
            {"density": round(randomness.uniform(0.1, 1), 2)} if "sparse" in laws else {})
    return model | {"mean": matrix(randomness, 1, features)[0], "covariance": psd(randomness, features)}


def small_start(randomness, heads, features):
    how = randomness.randrange(3)
    if how == 0:
        return {"noise": round(randomness.uniform(0.01, 0.5), 3), "seed": randomness.randrange(100)}
    if how == 1:
        return {"dimension": randomness.randrange(heads + features + 3, 300), "seed": randomness.randrange(100),
                "spikes": randomness.choice(("finite", "orthonormal"))}
    start = {"m": matrix(randomness, heads, features), "r": psd(randomness, heads)}
    if randomness.random() < 0.5:
        start |= {"b": matrix(randomness, 1, heads, 0.3)[0], "v": round(randomness.uniform(0.5, 1.5), 2)}
    return start


def small_training(randomness, activation):
    """What is trained, and how, in keys of [attention]."""
    parts = {"softmax": "k", "softmax-1": "kbv", "bayes-softmax": "kb"}[activation]
    trained = [part for part in parts if randomness.random() < 0.6] or ["k"]
    keys = {"train": trained}
    for part in [part for part in trained if part != "k"]:
        keys[f"{part}_rate"] = round(randomness.uniform(0.2, 3), 2)
    if "k" in trained:
        keys["weight_decay"] = round(randomness.uniform(0, 0.5), 2)
    return keys


def small_input(randomness, sections=("flow", "sgd", "train", "bayes", "maps")):
    """{section: keys} of an input that is valid and runs in a moment; some of `sections`, at least one."""
    heads, features = randomness.choice((1, 2, 2, 3, 4)), randomness.choice((1, 2, 2, 3))
    activation = randomness.choice(("softmax", "softmax-1", "bayes-softmax"))
    asked = [name for name in sections if randomness.random() < 0.4] or [randomness.choice(sections[:2])]
    replicates = randomness.choice((2, 4) if "bayes" in asked else (1, 2, 4))
    sampling = randomness.choice(("sobol", "monte-carlo"))
    samples = replicates * (2 ** randomness.randrange(3, 7) if sampling == "sobol" else randomness.randrange(5, 70))
    found = {"model": small_model(randomness, features), "attention": {"heads": heads, "activation": activation},
             "start": small_start(randomness, heads, features),
             "population": {"samples": samples, "replicates": replicates, "sampling": sampling,
                            "seed": randomness.randrange(50),
                            "precision": randomness.choice(("double", "mixed", "single"))}}
    if "flow" in asked:
        method = randomness.choice(("5dp", "5dp", "3bs", "euler", "4"))
        found["flow"] = {"end_time": round(randomness.uniform(0.3, 2), 2), "outputs": randomness.randrange(1, 6),
                         "method": method, "spacing": randomness.choice(("linear", "log"))}
        if method in ("euler", "4"):
            found["flow"]["step"] = 0.1
        if randomness.random() < 0.3:
            found["flow"]["learning_rate_noise"] = round(randomness.uniform(0.05, 0.5), 3)
    if "sgd" in asked:
        engine = randomness.choice(("direct", "overlaps"))
        dimension = randomness.randrange(heads * 2 + features + found["model"]["tokens"] + 1, 120)
        found["sgd"] = {"engine": engine, "dimension": dimension, "batch": randomness.randrange(1, 6),
                        "learning_rate": 0.05, "steps": randomness.randrange(3, 20),
                        "outputs": randomness.randrange(1, 4), "replicas": randomness.randrange(1, 4),
                        "seed": randomness.randrange(50)}
        if "dimension" in found["start"]:
            found["start"]["dimension"] = dimension
        if randomness.random() < 0.3:
            found["schedule"] = randomness.choice((
                {"warm_up": 0.1}, {"law": "power", "scale": 0.2}, {"law": "cosine", "length": 0.3, "warm_up": 0.2},
                {"law": "steps", "times": [0.1, 0.2], "factors": [0.5, 2.0]}))
    if "train" in asked:
        found["train"] = {"starts": randomness.randrange(1, 3), "gradient_tolerance": 1e-3, "evaluations": 40}
    if "bayes" in asked:
        found["bayes"] = {"standard_error": 0.2, "samples": 4096}
        found["population"]["test_samples"] = 512
    if "maps" in asked and ("flow" in asked or "train" in asked):
        found["maps"] = {"sequences": randomness.randrange(1, 4)}
    if randomness.random() < 0.5:
        found["attention"] |= small_training(randomness, activation)
    return found


def random_of(seed, *words):
    """A stream of its own for each of `words`, the same in every process."""
    return random.Random(" ".join(map(str, (seed, *words))))
