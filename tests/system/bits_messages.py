"""Cases of same_bits.py: what headflow says of bad input, and where it computes nothing."""
import re

import input_mistakes as refusals
from bits_runs import EULER, PRIORS, SWEEPS, SWEPT
from bits_steps import Case, Step, run, sets
from harness import BAD_INPUT, SMALL, changed, toml_text
from restart_harness import QUICK, STOPPED
from sgd_harness import BASE

DAMAGED = 4  # exit code

# Whole inputs that are wrong by a change of SMALL, beside the tables of input_mistakes.py.
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
    "saddle too large": {"saddle": {}, "attention.heads": 80},
    "saddle with the noise of no SGD": {"saddle": {"learning_rate_noise": "from-sgd"}},
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
                                                      ("info", "--help"), ("merge", "--help"), ("help", "keys"))])
