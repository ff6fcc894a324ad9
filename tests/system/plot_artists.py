"""Files for every panel of headflow-plot, made of sines alone, and what a picture of them consists of: its artists'
data."""
import json

import h5py
import matplotlib.colors
import numpy as np
from matplotlib.collections import Collection, QuadMesh
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text

INPUT = """[model]
tokens = 4
features = {features}
prior = "{prior}"
signal = [2.0, 3.0]
[attention]
heads = {heads}
activation = "{activation}"
[start]
{start}
seed = {seed}
[flow]
split_threshold = 0.3
{more}"""
SGD = "[sgd]\ndimension = {D}\nbatch = 4\nlearning_rate = 0.01\n"


def waves(shape, phase=0.0, low=-1.0, high=1.0):
    """Numbers that are the same on every machine."""
    size = int(np.prod(shape, dtype=int))
    return (low + (high - low) * (0.5 + 0.5 * np.sin(0.37 * np.arange(size) + phase))).reshape(shape)


def put(file, name, axes, values):
    """A variable over axes = {name: size}, with dimension scales as headflow attaches them."""
    data, group = file.create_dataset(name, data=np.broadcast_to(values, tuple(axes.values()))), name.partition("/")[0]
    for i, (axis, size) in enumerate(axes.items()):
        if f"{group}/{axis}" not in file:
            file[f"{group}/{axis}"] = np.arange(1, size + 1)
            file[f"{group}/{axis}"].make_scale(axis)
        data.dims[i].attach_scale(file[f"{group}/{axis}"])


def put_series(file, group, time, heads, features, replicas=0):
    """The variables of a flow, or of SGD with its replicas."""
    runs = {"time": time.size} | ({"replica": replicas} if replicas else {})
    file[f"{group}/time"] = time
    file[f"{group}/time"].make_scale("time")
    pairs, plane = {"head": heads, "head_b": heads}, {"head": heads, "feature": features}
    rise = 1 / (1 + np.exp(-(time - time[-1] / 3) / 3)).reshape(-1, *[1] * (len(runs) - 1))
    m = rise[..., None, None] * waves((*runs.values(), heads, features)[len(runs):], 1.0) * 1.5
    m = m + 0.02 * waves((*runs.values(), heads, features), 0.3)
    r = waves((*runs.values(), heads, heads), 2.0, -0.3, 0.4) + np.eye(heads)
    put(file, f"{group}/m", runs | plane, m)
    put(file, f"{group}/r", runs | pairs, (r + r.swapaxes(-1, -2)) / 2)
    put(file, f"{group}/cosine", runs | pairs, waves((*runs.values(), heads, heads), 0.5))
    put(file, f"{group}/b", runs | {"head": heads}, waves((*runs.values(), heads), 0.7))
    for name, low, high in (("v", 0.9, 1.1), ("loss", 0.4, 0.8), ("loss_stderr", 0.001, 0.01),
                            ("gradient_norm", 1e-3, 1.0),
                            ("gradient_norm_stderr", 1e-5, 1e-4)):
        put(file, f"{group}/{name}", runs, waves((*runs.values(),), 1.3, low, high))
    put(file, f"{group}/side", runs | plane, np.sign(np.round(m, 1)))
    put(file, f"{group}/combinations", runs, np.full((*runs.values(),), 3.0))
    own = {"replica": replicas} if replicas else {}
    put(file, f"{group}/alignment_time", own, np.full((*own.values(),), 0.2 * time[-1]))
    split = waves((*own.values(), features), 0.9, 0.3, 0.8) * time[-1]
    put(file, f"{group}/split_time", own | {"feature": features}, split)
    put(file, f"{group}/growth_rate", own | {"feature": features}, waves((*own.values(), features), 0.4, 0.05, 0.2))


def input_text(heads=3, features=3, prior="canonical-spikes", activation="softmax-1", start="noise = 0.1", seed=1,
               more=""):
    return INPUT.format(heads=heads, features=features, prior=prior, activation=activation, start=start, seed=seed,
                        more=more)


def write_theory(folder):
    """For pictures beside the paper's formulas."""
    law = 'prior = "gaussian"\ncovariance = [[3.0, 1.0], [1.0, 2.0]]\nmean = [0.5, 0.0]'
    with h5py.File(folder / "tilted.h5", "w") as file:
        text = input_text(3, 2, start="dimension = 1e8", more="learning_rate_noise = 4.0")
        file["provenance/input"] = text.replace('prior = "canonical-spikes"\nsignal = [2.0, 3.0]', law)
        put_series(file, "flow", np.linspace(0, 40, 21), 3, 2)
    start, plane = {"start": 2}, {"head": 2, "feature": 2}
    heads = {"train/loss": start, "train/m": start | plane, "train/b": start | {"head": 2}, "train/v": start}
    write_sweep(folder / "signals.h5", {"attention.activation": ["softmax", "softmax-1"],
                                        "model.signal[2]": [2.0, 8.0, 32.0]}, heads)
    write_sweep(folder / "estimators.h5", {}, heads, repeats=3)


def write_runs(folder):
    for name, heads, features, replicas in (("run", 3, 3, 2), ("single", 1, 1, 0), ("many", 32, 2, 0),
                                            ("two", 2, 2, 0)):
        with h5py.File(folder / f"{name}.h5", "w") as file:
            file["provenance/input"] = input_text(heads, features, more=SGD.format(D=100) if replicas else "")
            put_series(file, "flow", np.linspace(0, 40, 21), heads, features)
            if replicas:
                put_series(file, "sgd", np.linspace(0, 40, 13), heads, features, replicas)
    for i, D in enumerate((1e2, 1e4, 1e6)):
        for seed in (1, 2):
            with h5py.File(folder / f"split{i}-{seed}.h5", "w") as file:
                file["provenance/input"] = input_text(2, 2, start=f"dimension = {D}", seed=seed,
                                                      more=SGD.format(D=int(D)))
                put_series(file, "flow", np.linspace(0, 40 + 10 * i + seed, 11), 2, 2)
                put_series(file, "sgd", np.linspace(0, 40 + 11 * i + seed, 7), 2, 2, 3)
    with h5py.File(folder / "plateaus.h5", "w") as file:
        file["provenance/input"] = input_text(4, 2)
        put_series(file, "flow", np.linspace(0, 40, 41), 4, 2)
        axes = {"plateau": 2}
        put(file, "saddle/predicted_spread", {"time": 5, "feature": 2}, waves((5, 2), 0.1, 0.01, 0.5))
        put(file, "plateaus/time", axes, np.array([8.0, 20.0]))
        put(file, "plateaus/next_feature", axes, np.array([1.0, 2.0]))
        put(file, "plateaus/rate", axes | {"feature": 2}, waves((2, 2), 0.2, 0.1, 0.3))
        put(file, "plateaus/eigenvalue", axes | {"mode": 4}, waves((2, 4), 0.3))
        put(file, "plateaus/eigenvector_m", axes | {"mode": 4, "head": 4, "feature": 2}, waves((2, 4, 4, 2), 0.4))
        m = np.zeros((2, 4, 2)) + [0.0, 0.01]
        m[1, :, 0] = [1.0, -1.0, 1.0, -1.0]
        put(file, "plateaus/m", axes | {"head": 4, "feature": 2}, m)
    write_splits(folder / "splits.h5")
    for i, activation in enumerate(("softmax", "softmax-1", "bayes-softmax", "a-fourth")):
        with h5py.File(folder / f"trained{i}.h5", "w") as file:
            file["provenance/input"] = input_text(3, 2, activation=activation)
            put(file, "prune/loss", {"start": 2, "left": 3}, waves((2, 3), i, 0.01, 0.9))
            put(file, "train/loss", {"start": 2}, waves((2,), i, 0.01, 0.9))
            put(file, "train/m", {"start": 2, "head": 3, "feature": 2}, waves((2, 3, 2), i))
            put(file, "bayes/risk", {}, 0.005 * (i + 1))
            sequence = {"sequence": 3}
            put(file, "maps/sigma", sequence | {"head": 3, "token": 4}, waves((3, 3, 4), i, 0, 1))
            put(file, "maps/A", sequence | {"token": 4}, waves((3, 4), i, 0, 1))
            put(file, "maps/theta", sequence | {"feature": 2}, waves((3, 2), 0.5, -2, 2))
            put(file, "maps/relevant", sequence, [1, 2, 4])


def write_splits(path):
    """Runs of SGD that split when the law of [saddle] says."""
    with h5py.File(path, "w") as file:
        file["provenance/input"] = input_text(2, 2, more=SGD.format(D=1000))
        put_series(file, "flow", np.linspace(0, 40, 21), 2, 2)
        put_series(file, "sgd", np.linspace(0, 40, 13), 2, 2, 40)
        for axis, values in (("dimension", [1e2, 1e3, 1e4]), ("quantile", [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99])):
            file[f"saddle/{axis}"] = values
            file[f"saddle/{axis}"].make_scale(axis)
        times = 8 + 2 * np.arange(3)[:, None, None] + np.array([0, 2, 3, 4.5, 6, 8, 14])[:, None] + [5, 0]
        put(file, "saddle/split_time_quantile", {"dimension": 3, "quantile": 7, "feature": 2}, times)
        put(file, "saddle/predicted_split_time", {"feature": 2}, file["flow/split_time"][:] - 0.5)
        file["sgd/split_time"][...] = np.stack([np.full(40, np.nan), np.interp(np.linspace(0.01, 0.99, 40), file[
            "saddle/quantile"], times[1, :, 1]) + 0.5], axis=1)


def write_sweep(path, axes, own, repeats=1):
    """own = {"group/name": {axis after the sweep's: size}}."""
    leading = {key.replace(".", "_"): len(values) for key, values in axes.items()} | ({"repeat": repeats}
                                                                                      if repeats > 1 else {})
    with h5py.File(path, "w") as file:
        file["provenance/sweep"] = "".join(f'"{key}" = {json.dumps(values)}\n' for key, values in axes.items()) + \
            f"repeats = {repeats}\n"
        file["provenance/input"] = input_text(3, 2, prior="flipping-spike")
        put(file, "sweep/done", leading, np.ones([*leading.values()]))
        for i, (name, more) in enumerate(own.items()):
            put(file, name, leading | more, waves((*leading.values(), *more.values()), i, 0.02, 0.9))
        if "plateaus/next_feature" in file:
            file["plateaus/next_feature"][...] = np.array([2.0, 1.0])


def write_sweeps(folder):
    start, plane, pair = {"start": 2}, {"head": 3, "feature": 2}, {"head": 3, "head_b": 3}
    trained = {"train/loss": start, "train/loss_stderr": start, "train/m": start | plane, "train/cosine": start | pair}
    names = {"attention.activation": ["softmax", "softmax-1", "bayes-softmax", "a-fourth"]}
    write_sweep(folder / "heads.h5", names | {"attention.heads": [1, 2, 4]}, trained | {"bayes/risk": {}}, repeats=2)
    write_sweep(folder / "laws.h5", {"model.prior": ["one", "other"], "start.eta": [1.0, 10.0, 100.0],
                                     "attention.heads": [1, 2]},
                trained | {"bayes/risk": {}})
    write_sweep(folder / "pairs.h5", {"model.signal": [[a, b] for b in (4.0, 1.0) for a in (1.0, 25.0, 5.0)]}, trained)
    write_sweep(folder / "plane.h5", {"attention.heads": [1, 2, 4], "start.eta": [0.5, 1.0]},
                {"flow/loss": {}, "flow/m": plane, "flow/cosine": pair}, repeats=2)
    write_sweep(folder / "pruned.h5", names, {"prune/loss": {"start": 2, "left": 3}, "bayes/risk": {}})
    feature, plateau = {"feature": 2}, {"plateau": 2}
    write_sweep(folder / "stages.h5", {"attention.activation": ["softmax", "bayes-softmax"],
                                       "start.dimension": [1e3, 1e6, 1e8]},
                {f"saddle/{name}": feature for name in ("predicted_growth_rate", "predicted_growth_rate_stderr",
                                                        "predicted_split_time")} |
                {"saddle/split_rate": {"split_mode": 1}, "saddle/split_rate_stderr": {"split_mode": 1},
                 "flow/growth_rate": feature, "flow/split_time": feature, "plateaus/next_feature": plateau,
                 "plateaus/rate": plateau | feature, "plateaus/growth_rate": plateau | feature,
                 "plateaus/next_split_time": plateau})


def write_files(folder):
    write_runs(folder)
    write_sweeps(folder)
    write_theory(folder)


PANELS = ("loss", "m", "plane", "space", "r", "b", "cosine", "gradient", "hierarchy", "growth", "v", "evenness",
          "attention")
SPLITS = [f"split{i}-{seed}.h5" for i in range(3) for seed in (1, 2)]
TRAINED = [f"trained{i}.h5" for i in range(4)]
# The words of headflow-plot for each picture.
CALLS = {panel: ["run.h5", "--panels", panel] for panel in PANELS if panel != "evenness"} | {
    "overview": ["run.h5"],
    "overview-one-head": ["single.h5"],
    "overview-many-heads": ["many.h5"],
    "several": ["run.h5", "two.h5"],
    "several-panels": ["run.h5", "two.h5", "--panels", "loss,r"],
    "overlay": ["run.h5", "two.h5", "--overlay", "--panels", "loss,m,plane"],
    "options": ["run.h5", "--panels", "plane,m,loss", "--features", "1", "3", "--log-time", "--title", "T"],
    "plateaus": ["plateaus.h5", "--panels", "growth,angle,hierarchy"],
    "splits": ["splits.h5", "--panels", "splits,quantiles"],
    "specialization": [*SPLITS, "--panels", "specialization"],
    "specialization-1": [*SPLITS, "--panels", "specialization", "--features", "1", "2"],
    "spread": [*SPLITS[:2], "--panels", "spread"],
    "trained": ["heads.h5", "--panels", "trained"],
    "trained-two": ["heads.h5", "laws.h5", "--panels", "trained"],
    "prune": [*TRAINED, "--panels", "prune"],
    "prune-sweep": ["pruned.h5", TRAINED[0], TRAINED[0], "--panels", "prune"],
    "maps": [TRAINED[0], "--panels", "maps"],
    "maps-four": [*TRAINED, "--panels", "maps"],
    "cosine-map": ["pairs.h5", "plane.h5", "--panels", "cosine-map"],
    "heads-map": ["pairs.h5", "--panels", "heads-map"],
    "heads-map-flow": ["plane.h5", "--panels", "heads-map", "--features", "2", "1"],
    "stages": ["stages.h5", "--panels", "stages"],
    "pca": ["tilted.h5", "--panels", "pca"],
    "samples": [*SPLITS, "tilted.h5", "--panels", "samples"],
    "prune-spread": ["pruned.h5", "--panels", "prune-spread"],
    "values": ["stages.h5", "--panels", "split_time,saddle/split_rate", "--by", "start.dimension"],
    "values-heads": ["heads.h5", "--panels", "m,loss"],
    "scalings": ["signals.h5", "--panels", "scalings"],
    "estimator": ["estimators.h5", "--panels", "estimator"],
}


def number(x):
    return None if not np.isfinite(x) else float(f"{x:.5g}") + 0.0


def numbers(values):
    """Few numbers that tell an array from another one: size, first, last and mean of what is finite."""
    values = np.ma.filled(np.ma.asarray(values, dtype=float), np.nan).ravel()
    known = values[np.isfinite(values)]
    return [values.size, *map(number, (known[0], known[-1], known.mean()) if known.size else ())]


def colour(value):
    return matplotlib.colors.to_hex(value, keep_alpha=True) if len(np.shape(value)) < 2 else \
        [colour(one) for one in np.unique(value, axis=0)[:3]]


def artist(one):
    """What an artist shows, as far as it is one that shows data."""
    if isinstance(one, Line2D):
        data = one.get_data_3d() if hasattr(one, "get_data_3d") else one.get_data()
        look = [one.get_linestyle(), number(one.get_linewidth()), str(one.get_marker()), number(one.get_markersize())]
        return ["line", colour(one.get_color()), *look, *map(numbers, data)]
    if isinstance(one, QuadMesh):
        return ["mesh", numbers(one.get_array()), numbers(one.get_coordinates()), one.cmap.name,
                *map(number, one.get_clim())]
    if isinstance(one, Collection):
        segments = getattr(one, "_segments3d", None)
        paths = [path.vertices for path in one.get_paths()] if segments is None else list(map(np.asarray, segments))
        name = type(one).__name__.replace("FillBetween", "")  # a kind of its own since matplotlib 3.10
        return [name, colour(one.get_edgecolor()) if len(one.get_edgecolor()) else "",
                numbers(np.concatenate(paths) if paths else [])]
    if isinstance(one, Text):
        return ["text", one.get_text(), number(one.get_fontsize())] if one.get_text() else None
    if isinstance(one, Patch) and len(one.get_path().vertices):  # an older colour bar's has none
        return [type(one).__name__, colour(one.get_facecolor()), numbers(one.get_path().vertices),
                numbers(one.get_transform().transform(one.get_path().vertices)
                        - one.axes.transData.transform((0, 0)))[:1] if one.axes else []]
    return None


def picture(figure):
    """Size, texts and legends of the figure; of each of its axes labels, scales, limits and the artists in their
    order."""
    def legend(one):
        return [[text.get_text() for text in one.get_texts()],
                [colour(line.get_color()) for line in one.get_lines()]] if one else None

    found = {"size": [number(x) for x in figure.get_size_inches()], "texts": [text.get_text() for text in figure.texts],
             "legends": [legend(one) for one in figure.legends], "axes": []}
    for ax in figure.axes:
        skipped = {ax.patch, ax.title, *ax.spines.values()}
        found["axes"].append({
            "labels": [ax.get_title(), ax.get_xlabel(), ax.get_ylabel()], "scales": [ax.get_xscale(), ax.get_yscale()],
            # matplotlib's versions leave different margins in space.
            "limits": [] if hasattr(ax, "get_zlim") else [number(x) for x in (*ax.get_xlim(), *ax.get_ylim())],
            "legend": legend(ax.get_legend()),
            "artists": [shown for one in ax.get_children() if one not in skipped and (shown := artist(one))]})
    return found
