"""What headflow-plot reads: a run's series in time, or its trained heads, one member of a sweep or all of them."""
from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

# A run may be writing, but replaces its file atomically: no lock is needed.
os.environ["HDF5_USE_FILE_LOCKING"] = "FALSE"
import h5py
import numpy as np

# Axes of each variable after (time) in the flow and (time, replica) in SGD: heads H, features F.
VARIABLES = {"m": "HF", "r": "HH", "b": "H", "v": "", "loss": "", "loss_stderr": "", "gradient_norm": "",
             "gradient_norm_stderr": "", "cosine": "HH", "side": "HF", "combinations": ""}
# Number of each variable's own axes, after those of the sweep and its repeats.
TRAINED = {"train/loss": 1, "train/loss_stderr": 1, "train/m": 3, "train/cosine": 3, "bayes/risk": 0, "prune/loss": 2,
           "maps/sigma": 3, "maps/A": 2, "maps/theta": 2, "maps/relevant": 1}
FLOW_END = {"flow/loss": 0, "flow/m": 2, "flow/cosine": 2}  # in sweeps only: elsewhere the flow has its time
GROWTH = {"flow/growth_rate": 1, "flow/split_time": 1, "saddle/predicted_growth_rate": 1,
          "saddle/predicted_growth_rate_stderr": 1, "saddle/predicted_split_time": 1, "saddle/split_rate": 1,
          "saddle/split_rate_stderr": 1, "plateaus/rate": 2, "plateaus/growth_rate": 2, "plateaus/next_feature": 1,
          "plateaus/next_split_time": 1}  # of interest in sweeps
PLATEAUS = "time", "rate", "next_feature", "m", "eigenvalue", "eigenvector_m"
TITLE = {"activation": "{}", "prior": "{} prior", "tokens": "$L={}$", "heads": "$H={}$", "features": "$F={}$",
         "signal": r"$\nu=({})$"}
SYMBOLS = {"model.signal": r"\nu", "model.tokens": "L", "model.features": "F", "attention.heads": "H",
           "start.eta": r"\eta", "start.dimension": "D"}


class Series(NamedTuple):
    """Order parameters of the flow or of SGD: data["m"][..., h, f] is (time) for the flow, (time, replica) for SGD;
    split times (feature) or (replica, feature), NaN for never; growth rates of the flow (feature)."""
    kind: str
    time: np.ndarray
    data: dict[str, np.ndarray]
    split: np.ndarray
    growth: np.ndarray

    def moves(self, name: str) -> bool:
        return name in self.data and bool((np.abs(self.data[name] - self.data[name][:1]) > 1e-12).any())

    def average(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation over replicas; the deviation of a single run is 0."""
        if self.data["m"].ndim == 3:
            return values, np.zeros_like(values)
        return values.mean(axis=1), values.std(axis=1, ddof=min(1, values.shape[1] - 1))


class Run(NamedTuple):
    """One file: its series (flow first), heads H, features F, its input, times of the phases [(t, name)], and what
    [saddle] has found."""
    path: Path
    series: list[Series]
    heads: int
    features: int
    config: dict[str, Any]
    marks: list[tuple[float, str]]
    saddle: dict[str, np.ndarray]
    plateaus: dict[str, np.ndarray]


class Axis(NamedTuple):
    """A swept key, its values (numbers, words or lists) and its symbol in mathtext, empty if it has none."""
    key: str
    values: list[Any]
    symbol: str

    def columns(self) -> dict[str, np.ndarray]:
        """{symbol: coordinates} of numbers, or of what differs within lists and between them; {} of words."""
        symbol = self.symbol or r"\mathrm{%s}" % self.key.rpartition(".")[2].replace("_", r"\ ")
        if not all(type(x) in (int, float) for value in self.values for x in np.ravel(value).tolist()):
            return {}
        if len({np.shape(value) for value in self.values}) != 1:
            return {}
        table = np.array(self.values, dtype=float).reshape(len(self.values), -1)
        if table.shape[1] == 1 or (table == table[:, :1]).all():
            return {symbol: table[:, 0]}
        return {f"{symbol}_{i + 1}": column for i, column in enumerate(table.T) if np.ptp(column) > 0}

    def name(self, place: int) -> str:
        """Of one value: the word itself, $H=4$, $\\nu=(1,4)$."""
        value = self.values[place]
        if isinstance(value, str):
            return value
        text = ",".join(f"{x:.4g}" if type(x) in (int, float) else str(x) for x in np.ravel(value).tolist())
        text = f"({text})" if isinstance(value, list) and len(value) > 1 else text
        return f"${self.symbol}={text}$" if self.symbol else f"{self.key.rpartition('.')[2].replace('_', ' ')} {text}"


class Results(NamedTuple):
    """Trained heads in one file: arrays[name] is (axes of the sweep.., repeat, own axes..), NaN where not computed."""
    path: Path
    axes: list[Axis]
    arrays: dict[str, np.ndarray]
    features: int
    config: dict[str, Any]

    def get(self, name: str) -> np.ndarray:
        if name not in self.arrays:
            raise ValueError(f"{self.path}: has no {name}, which this picture shows: did its input have "
                             f"[{name.partition('/')[0]}]?")
        if not np.isfinite(self.arrays[name]).any():
            raise ValueError(f"{self.path}: {name} has no values yet")
        return self.arrays[name]

    def best(self, name: str) -> np.ndarray:
        """A variable of train or flow (axes of the sweep.., own axes..) at the repeat and start with the least loss."""
        sweep, kind = tuple(len(axis.values) for axis in self.axes), name.partition("/")[0]
        loss = self.get(f"{kind}/loss").reshape(*sweep, -1)
        values = self.get(name)
        own = values.shape[len(sweep) + 1 + (kind == "train"):]
        pick = np.where(np.isnan(loss), np.inf, loss).argmin(axis=-1)
        values = values.reshape(*sweep, -1, *own)
        return np.take_along_axis(values, pick.reshape(*sweep, 1, *[1] * len(own)), len(sweep)).squeeze(len(sweep))

    def others(self, used: tuple[int, ...]) -> Iterator[tuple[tuple[Any, ...], dict[str, str]]]:
        """Each combination of the axes that a picture does not use: (index of the arrays, {key: name of its value})."""
        places = [[slice(None)] if i in used else range(len(axis.values)) for i, axis in enumerate(self.axes)]
        for index in product(*places):
            yield index, {axis.key: axis.name(i) for axis, i in zip(self.axes, index) if i != slice(None)}


class Grid(NamedTuple):
    """A plane of two swept numbers: the axes it uses, symbols, coordinates, and order[i, j], the member at x_i, y_j."""
    used: tuple[int, ...]
    symbols: list[str]
    x: np.ndarray
    y: np.ndarray
    order: np.ndarray

    def values(self, values: np.ndarray, index: tuple[Any, ...]) -> np.ndarray:
        """(axes of the sweep.., own axes..) to (x, y, own axes..)."""
        picked = values[index]
        return picked.reshape(-1, *picked.shape[len(self.used):])[self.order]


def plane_axes(results: Results) -> tuple[int, ...]:
    """The first swept key with two different numbers in each value, else the first two keys with one."""
    counts = [len(axis.columns()) for axis in results.axes]
    singles = tuple(i for i, count in enumerate(counts) if count == 1)[:2]
    if 2 in counts:
        return (counts.index(2),)
    if len(singles) < 2:
        keys = ", ".join(axis.key for axis in results.axes)
        raise ValueError(f"{results.path}: a map needs two swept keys with numbers, or one with pairs of numbers; "
                         f"swept: {keys}")
    return singles


def grid_of(results: Results) -> Grid:
    used = plane_axes(results)
    axes = [results.axes[i] for i in used]
    points = np.array([np.concatenate(parts) for parts in product(*(
        np.transpose(list(axis.columns().values())) for axis in axes))])
    x, y = np.unique(points[:, 0]), np.unique(points[:, 1])
    places = np.searchsorted(x, points[:, 0]) * y.size + np.searchsorted(y, points[:, 1])
    if len(points) != x.size * y.size or np.unique(places).size != len(points):
        raise ValueError(f"{results.path}: the {len(points)} values of {axes[0].key} do not form a grid of "
                         f"{x.size} x {y.size}")
    symbols = [symbol for axis in axes for symbol in axis.columns()]
    return Grid(used, symbols, x, y, np.argsort(places).reshape(x.size, y.size))


def describe(config: dict[str, Any], *keys: str) -> str:
    """These settings of the input, as far as the file has them."""
    values = config.get("model", {}) | config.get("attention", {})
    if "signal" in values:
        values["signal"] = ",".join(str(nu).removesuffix(".0") for nu in np.ravel(values["signal"]))
    return ", ".join(TITLE[key].format(values[key]) for key in keys if key in values)


def read_array(group: h5py.Group, name: str) -> np.ndarray:
    """The variable as floats; infinities and netCDF fill values become NaN, which is not drawn."""
    values = np.array(group[name], dtype=float)
    return np.where(np.abs(values) < 1e36, values, np.nan)


def read_series(group: h5py.Group, kind: str) -> Series:
    """The known variables of a group, their shapes checked against those of time and m."""
    time = read_array(group, "time")
    data = {name: read_array(group, name) for name in VARIABLES if name in group}
    *runs, heads, features = data["m"].shape
    if 0 in data["m"].shape or runs[:1] != list(time.shape) or len(runs) > (1 if kind == "flow" else 2):
        raise ValueError(f"{kind}/time of shape {time.shape} and {kind}/m of shape {data['m'].shape} cannot be drawn")
    for name, values in data.items():
        if values.shape != (*runs, *({"H": heads, "F": features}[axis] for axis in VARIABLES[name])):
            raise ValueError(f"{kind}/{name} of shape {values.shape} does not fit {kind}/m of {data['m'].shape}")
    never = np.full(data["m"].shape[1:-2] + (features,), np.nan)
    split, growth = (read_array(group, name) if name in group else never for name in ("split_time", "growth_rate"))
    return Series(kind, time, data, split, growth)


def read_marks(group: h5py.Group | dict[str, Any]) -> list[tuple[float, str]]:
    """Times of the two phases: alignment of all heads, and their split along each feature."""
    marks = [(t, "align") for t in np.ravel(group.get("alignment_time", ()))]
    marks += [(t, f"split {f}") for f, t in enumerate(np.ravel(group.get("split_time", ())), start=1)]
    return sorted((float(t), name) for t, name in marks if np.isfinite(t))


def read_config(file: h5py.File) -> dict[str, Any]:
    return tomllib.loads(file["provenance/input"].asstr()[()]) if "provenance/input" in file else {}


def series_of(path: Path, file: h5py.File) -> Run:
    """Flow and SGD of a single run."""
    trained = "--panels trained, prune, maps, cosine-map and heads-map draw trained heads and sweeps"
    if "sweep" in file:
        raise ValueError(f"is a sweep, whose members have no time axis; {trained}")
    series = [read_series(file[kind], kind) for kind in ("flow", "sgd") if isinstance(file.get(kind), h5py.Group)]
    shapes = {one.data["m"].shape[-2:] for one in series}
    if len(shapes) != 1:
        raise ValueError("flow and sgd differ in heads or features" if shapes
                         else f"no group 'flow' or 'sgd'; {trained}")
    config, (heads, features) = read_config(file), shapes.pop()
    config.setdefault("model", {})["features"] = features
    config.setdefault("attention", {})["heads"] = heads
    found = [{name: read_array(file[group], name) for name in names if group in file}
             for group, names in (("saddle", ("time", "predicted_spread")), ("plateaus", PLATEAUS))]
    return Run(path, series, heads, features, config, read_marks(file.get("flow", {})), *found)


def symbol_of(keys: list[str], values: dict[str, list[Any]], config: dict[str, Any]) -> str:
    """Of the first of the keys that vary together, with the number of its element unless there is but one of it."""
    name, _, element = keys[0].partition("[")
    section, _, key = name.partition(".")
    symbol, size = SYMBOLS.get(name, ""), np.size(config.get(section, {}).get(key, ()))
    alike = len(keys) == size and all(other.partition("[")[0] == name and values[other] == values[keys[0]]
                                      for other in keys)
    return f"{symbol}_{element.rstrip(']')}" if symbol and element and size > 1 and not alike else symbol


def read_axes(text: str, config: dict[str, Any]) -> tuple[list[Axis], int]:
    """Axes and number of repeats of a sweep; keys that are zipped share the axis of the first."""
    values = tomllib.loads(text)
    repeats, zips = int(values.pop("repeats", 1)), values.pop("zip", [])
    later = {key for group in zips for key in group[1:]}
    groups = {group[0]: group for group in zips}
    return [Axis(key, value, symbol_of(groups.get(key, [key]), values, config))
            for key, value in values.items() if key not in later], repeats


def without_swept(config: dict[str, Any], text: str) -> dict[str, Any]:
    """The input without the keys that were swept; elements of a list that were swept become dots."""
    for name in tomllib.loads(text):
        (section, _, key), element = name.partition("[")[0].partition("."), name.partition("[")[2]
        values = config.get(section, {}).pop(key, None)
        if element and isinstance(values, list):
            values[int(element.rstrip("]")) - 1] = r"\cdot"
            if set(values) != {r"\cdot"}:
                config[section][key] = values
    return config


def results_of(path: Path, file: h5py.File) -> Results:
    """Trained heads of a single run or a sweep, shapes checked; the keys that were swept are left out of the input."""
    sweep, config = "sweep" in file, read_config(file)
    text = file["provenance/sweep"].asstr()[()] if sweep else ""
    axes, repeats = read_axes(text, config)
    leading, arrays = [len(axis.values) for axis in axes] + [repeats] * (repeats > 1), {}
    for name, own in (TRAINED | FLOW_END | GROWTH if sweep else TRAINED).items():
        if name in file:
            values = read_array(file, name)
            if 0 in values.shape or list(values.shape[:values.ndim - own]) != leading:
                raise ValueError(f"{name} of shape {values.shape} does not fit the sweep's {leading} members")
            arrays[name] = values.reshape(*(len(axis.values) for axis in axes), repeats, *values.shape[len(leading):])
    features = [arrays[name].shape[-1] for name in ("train/m", "flow/m", "maps/theta") if name in arrays]
    if sweep and (left := int((np.array(file["sweep/done"]) != 1).sum())):
        print(f"{path}: left out {left} of {file['sweep/done'].size} members, which are not finished or failed")
    return Results(path, axes, arrays, features[0] if features else 0, without_swept(config, text))


def read_file(path: Path, read: Callable[[Path, h5py.File], Any]) -> Any:
    """What `read` finds in an open file; every fault as a ValueError that names the file."""
    try:
        path.open("rb").close()
        if not h5py.is_hdf5(path):
            raise ValueError("not an HDF5 file")
        with h5py.File(path, "r") as file:
            return read(path, file)
    except (OSError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
