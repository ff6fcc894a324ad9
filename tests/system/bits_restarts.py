"""Cases of same_bits.py: runs that stop and go on."""
from bits_runs import EULER, FLIPPING, FULL, SWEEPS, SWEPT
from bits_steps import Case, run, sets
from harness import changed, toml_text
from restart_harness import QUICK, STOPPED
from sgd_harness import ALONE, BASE

SGD_PARTS = changed(BASE, ALONE | {"sgd.outputs": None, "sgd.end_time": None, "sgd.steps": 100,
                                   "sgd.output_times": [0.0, 1.0, 4.0]})
SGD_LATER = "sgd.steps=150 sgd.output_times=[0.0,1.0,4.0,5.0]"
FLOW_LATER = "flow.output_times=[0.0,1.0,4.0,6.0,9.0] flow.end_time=9.0"
SHORT_FLIPPING = changed(FLIPPING, {"flow.end_time": 20.0, "flow.outputs": 40})
FLUCTUATIONS = changed(QUICK, {"flow": None, "fluctuations": {"dimension": 1e3, "learning_rate_noise": 0.5,
                                                               "end_time": 4.0, "outputs": 4}})
SCHEDULED = changed(SGD_PARTS, {"sgd.engine": "direct", "sgd.steps": None, "sgd.end_time": 2.0, "schedule": {
    "law": "cosine", "length": 3.0, "floor": 0.2, "warm_up": 1.0}, "sgd.output_times": [0.0, 1.0, 2.0]})
SCHEDULED_LATER = "sgd.end_time=5.0 sgd.output_times=[0.0,1.0,2.0,5.0]"
EXTENDED = {  # input and the keys of its later end
    "5dp": (QUICK, FLOW_LATER),
    "Euler": (changed(QUICK, EULER | {"population.resample": 2, "flow.step": 0.3}), FLOW_LATER),
    "noise": (changed(QUICK, {"flow.method": "4", "flow.learning_rate_noise": 0.3}), FLOW_LATER),
    "vectors": (changed(SGD_PARTS, {"sgd.save_weights": True}), SGD_LATER),
    "overlaps": (SGD_PARTS, SGD_LATER),
    "flow and SGD": (SGD_PARTS | {"flow": QUICK["flow"]}, f"{FLOW_LATER} {SGD_LATER}"),
    "vectors, cosine": (SCHEDULED, SCHEDULED_LATER),
    "overlaps and flow, cosine": (changed(SCHEDULED, {"flow": QUICK["flow"], "sgd.engine": "overlaps",
                                                      "flow.learning_rate_noise": "from-sgd"}),
                                  f"{FLOW_LATER} {SCHEDULED_LATER}"),
    "saddle": (SHORT_FLIPPING, "flow.end_time=50.0 flow.outputs=100"),
    "fluctuations": (FLUCTUATIONS, "fluctuations.end_time=6.0 fluctuations.outputs=6"),
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
    "SGD, cosine": SCHEDULED,
    "saddle": SHORT_FLIPPING,
    "fluctuations": FLUCTUATIONS,
    "fluctuations, power law": changed(FLUCTUATIONS, {"schedule": {"law": "power", "scale": 1.0}}),
    "fluctuations on a closed set": changed(FLUCTUATIONS, {"population.symmetric": True}),
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
