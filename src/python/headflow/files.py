"""What pictures read: a run's series in time, or its trained heads, one member of a sweep or all of them."""
import re
import struct
import tomllib
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from headflow.errors import FileError

FORMAT_VERSION = 1  # the newest known, as in src/core/data_file.hpp
TITLE = {"activation": "{}", "prior": "{} prior", "tokens": "$L={}$", "heads": "$H={}$", "features": "$F={}$",
         "signal": r"$\nu=({})$", "mean": r"mean $({})$", "weight_decay": "weight decay {:g}"}
CHECKSUM_MAGIC = 0x6c61657368776f66  # with which the checksum begins that ends a file, as in src/core/checksum.cpp
CHECKED = 1 << 26                    # bytes of the largest file whose checksum is computed: one second
SYMBOLS = {"model.signal": r"\nu", "model.tokens": "L", "model.features": "F", "attention.heads": "H",
           "start.eta": r"\eta", "start.dimension": "D"}


def outputs_among(paths: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Outputs, and what of the program stands beside them; all are asked for by name where there are no outputs."""
    beside = [path for path in paths if re.search(r"\.(checkpoint|weights)-\d+(\.h5)?$", str(path))]
    return ([path for path in paths if path not in beside], beside) if len(beside) < len(paths) else (list(paths), [])


@contextmanager
def faults_of(path: Path) -> Iterator[None]:
    """Every fault of reading as a FileError that names the file."""
    try:
        yield
    except FileError:
        raise
    except (OSError, LookupError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        raise FileError(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def text_of(value: Any) -> str:
    """An attribute or a scalar dataset of text, as h5py gives it."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def name_of(data: h5py.Dataset) -> str:
    """Without its group."""
    return data.name.rpartition("/")[2]


def require_intact(path: Path) -> None:
    """Throws ValueError when the bytes do not fit the checksum at the file's end: HDF5 may crash on a damaged file."""
    if not 24 <= path.stat().st_size <= CHECKED:
        return
    data = path.read_bytes()
    magic, length, expected = struct.unpack("=3Q", data[-24:])
    if magic != CHECKSUM_MAGIC:
        return
    value, words = 0x9e3779b97f4a7c15 ^ length, data[:-24] + bytes(-len(data) % 8)
    for word in array("Q", words):  # as in src/core/hash.hpp
        value = (value ^ word) * 0xff51afd7ed558ccd & 0xffffffffffffffff
        value ^= value >> 32
    if length != len(data) - 24 or value != expected:
        raise ValueError("it is damaged, its checksum differs")


def opened(path: Path) -> h5py.File:
    """Without locks where the file system has none, or where this process has the file open without."""
    try:
        return h5py.File(path, "r")
    except OSError as error:
        try:
            return h5py.File(path, "r", locking=False)
        except (OSError, TypeError, ValueError):
            raise error from None


class Data:
    """An open file, whose variables "group/name" are read when asked for; dimension scales in it name their axes. A run
    that writes it replaces it at once by its next version: this one stays complete, and no lock is needed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with faults_of(path):
            if path.exists() and not path.is_file():
                raise ValueError("is no regular file")
            path.open("rb").close()
            require_intact(path)
            if not h5py.is_hdf5(path):
                raise ValueError("not an HDF5 file")
            self._file = opened(path)
            self.attributes = {name: text_of(value) for name, value in self.file.attrs.items()}
            if int(self.attributes.get("format_version", 0)) > FORMAT_VERSION:
                raise ValueError(f"has the format {self.attributes['format_version']}, which needs "
                                 f"{self.attributes.get('readable_by')}; this headflow reads formats up to "
                                 f"{FORMAT_VERSION}")

    @property
    def file(self) -> h5py.File:
        if not self._file:
            raise FileError(f"{self.path}: is closed")
        return self._file

    def close(self) -> None:
        self._file.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """In another process the file is opened there."""
        return Data, (self.path,)

    def __deepcopy__(self, _: Any) -> "Data":
        """Nothing in it changes."""
        return self

    def groups(self) -> list[str]:
        """Those with numbers in them."""
        with faults_of(self.path):
            return [name for name, group in self.file.items() if name != "provenance" and isinstance(group, h5py.Group)]

    def provenance(self) -> dict[str, str]:
        with faults_of(self.path):
            return {name: text_of(text[()]) for name, text in self.file.get("provenance", {}).items()}

    def __contains__(self, name: str) -> bool:
        with faults_of(self.path):
            return name in self.file

    def toml(self, name: str) -> dict[str, Any]:
        with faults_of(self.path):
            return tomllib.loads(text_of(self.file[name][()])) if name in self else {}

    def axes(self, name: str) -> tuple[str, ...]:
        with faults_of(self.path):
            data = self.file[name]
            if h5py.h5ds.is_scale(data.id):
                return (name_of(data),)
            # Not by Dataset.dims: HDF5's H5DSiterate_scales ends the process where a scale is gone.
            scales = [self.scale(references[0]) for references in data.attrs.get("DIMENSION_LIST", ())]
            if not all(scales):
                raise ValueError(f"an axis of {name} is gone")
            return tuple(map(name_of, scales))

    def scale(self, reference: h5py.Reference) -> h5py.Dataset | None:
        """What an axis refers to, None if it is no longer in the file."""
        try:
            scale = self.file[reference]
            return scale if scale.name else None
        except (OSError, RuntimeError, ValueError):
            return None

    def read(self, name: str, *axes: str) -> np.ndarray:
        """Values over these axes in this order; infinities and netCDF's fill values become NaN, which is not drawn."""
        if name not in self:
            raise ValueError(f"{self.path}: has no {name}, which this picture shows: did its input have "
                             f"[{name.partition('/')[0]}]?")
        found = self.axes(name)
        if sorted(found) != sorted(axes):
            raise ValueError(f"{self.path}: {name} has the axes ({', '.join(found)}), not ({', '.join(axes)})")
        with faults_of(self.path):
            values = np.array(self.file[name], dtype=float).transpose([found.index(axis) for axis in axes])
        return np.where(np.abs(values) < 1e36, values, np.nan)


class Series:
    """The flow, SGD or [fluctuations] of a file: each variable over `runs`, (time) or (time, replica), and axes of its
    own. With a suffix the variables whose names end so: their standard deviations."""

    def __init__(self, kind: str, data: Data, suffix: str = "") -> None:
        self.kind, self.data, self.suffix = kind, data, suffix
        self.runs = tuple(axis for axis in ("time", "replica") if f"{kind}/{axis}" in data)
        self.time = data.read(f"{kind}/time", "time")
        self.m = self.get("m", "head", "feature")
        if 0 in self.m.shape:
            raise ValueError(f"{data.path}: {kind}/m of shape {self.m.shape} cannot be drawn")

    def path(self, name: str) -> str:
        return f"{self.kind}/{name}{self.suffix}"

    def __contains__(self, name: str) -> bool:
        return self.path(name) in self.data and set(self.runs) <= set(self.data.axes(self.path(name)))

    def own(self, name: str) -> tuple[str, ...]:
        return tuple(axis for axis in self.data.axes(self.path(name)) if axis not in self.runs)

    def get(self, name: str, *own: str) -> np.ndarray:
        return self.data.read(self.path(name), *self.runs, *own)

    def of_features(self, name: str) -> np.ndarray:
        """One number for each feature, (feature) or (replica, feature): NaN for never, or where the file has none."""
        if (name := f"{self.kind}/{name}") in self.data:
            return self.data.read(name, *self.runs[1:], "feature")
        return np.full(self.m.shape[1:-2] + self.m.shape[-1:], np.nan)

    def moves(self, name: str) -> bool:
        return name in self and bool((np.ptp(self.get(name, *self.own(name)), axis=0) > 1e-12).any())

    def average(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation over replicas; the deviation of a single run is 0."""
        if len(self.runs) == 1:
            return values, np.zeros_like(values)
        return values.mean(axis=1), values.std(axis=1, ddof=min(1, values.shape[1] - 1))


class Run(NamedTuple):
    """One file: its series (flow first, or [fluctuations] where it has none), heads H, features F, its input."""
    data: Data
    series: list[Series]
    heads: int
    features: int
    config: dict[str, Any]

    def spread(self) -> tuple[Series, Series] | None:
        """The mean and the standard deviation of SGD by [fluctuations], if the file has them."""
        if "fluctuations" not in self.data:
            return None
        return Series("fluctuations", self.data), Series("fluctuations", self.data, "_std")

    def bayes_risk(self) -> float | None:
        """That of [bayes], if the file has it."""
        name = "bayes/risk"
        risk = float(self.data.read(name)) if name in self.data and not self.data.axes(name) else np.nan
        return risk if np.isfinite(risk) else None

    def marks(self) -> list[tuple[float, str]]:
        """Times of the flow's two phases: alignment of all heads (so far, while none has split), and splits."""
        times = [("align", "flow/alignment_time"), ("split {}", "flow/split_time", "feature")]
        marks = [(float(t), text.format(f)) for text, name, *axes in times if name in self.data
                 for f, t in enumerate(np.ravel(self.data.read(name, *axes)), start=1)]
        known = sorted(mark for mark in marks if np.isfinite(mark[0]))
        return [(t, name + " so far" * (len(known) == 1 and name == "align")) for t, name in known]


class Axis(NamedTuple):
    """A swept key, its values (numbers, words or lists) and its symbol in mathtext, empty if it has none."""
    key: str
    values: list[Any]
    symbol: str

    def columns(self) -> dict[str, np.ndarray]:
        """{symbol: coordinates} of numbers, or of what differs within lists and between them; {} of words."""
        symbol = self.symbol or r"\mathrm{%s}" % self.key.rpartition(".")[2].replace("_", r"\ ")
        numbers = all(type(x) in (int, float) for value in self.values for x in np.ravel(value).tolist())
        if not numbers or len({np.shape(value) for value in self.values}) != 1:
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
    """Trained heads in one file: swept keys, the file's names of their axes and of the repeats', features F, input."""
    data: Data
    axes: list[Axis]
    members: tuple[str, ...]
    repeats: int
    features: int
    config: dict[str, Any]

    def swept(self) -> str:
        return f"swept: {', '.join(axis.key for axis in self.axes)}"

    def sizes(self) -> tuple[int, ...]:
        return tuple(len(axis.values) for axis in self.axes)

    def activation(self, otherwise: str) -> str:
        return self.config.get("attention", {}).get("activation", otherwise)

    def read(self, name: str, *own: str) -> np.ndarray:
        """A variable as (axes of the sweep.., repeat, own axes..), NaN where not computed."""
        values = self.data.read(name, *self.members, *own)
        return values.reshape(*self.sizes(), self.repeats, *values.shape[len(self.members):])

    def get(self, name: str, *own: str) -> np.ndarray:
        """The same, of which some must be there; an error need not, as one replicate has none."""
        values = self.read(name, *own)
        if not np.isfinite(values).any() and not name.endswith("_stderr"):
            raise ValueError(f"{self.data.path}: {name} has no values yet")
        return values

    def best(self, name: str, *own: str) -> np.ndarray:
        """A variable of train or flow (axes of the sweep.., own axes..) at the repeat and start with the least loss,
        which trained heads have on samples of its own."""
        kind, starts = name.partition("/")[0], ("start",) if name.startswith("train/") else ()
        chosen = "choice_loss" if f"{kind}/choice_loss" in self.data else "loss"
        loss, values = self.get(f"{kind}/{chosen}", *starts).reshape(*self.sizes(), -1), self.get(name, *starts, *own)
        values = values.reshape(*loss.shape, *values.shape[values.ndim - len(own):])
        pick = np.where(np.isnan(loss), np.inf, loss).argmin(axis=-1).reshape(*self.sizes(), 1, *[1] * len(own))
        return np.take_along_axis(values, pick, len(self.axes)).squeeze(len(self.axes))

    def axis_of(self, key: str) -> int:
        """The place of a swept key among the axes."""
        keys = [axis.key for axis in self.axes]
        if key not in keys:
            raise ValueError(f"{self.data.path}: '{key}' is no axis of the sweep; {self.swept()}")
        return keys.index(key)

    def others(self, used: tuple[int, ...]) -> Iterator[tuple[tuple[Any, ...], dict[str, str]]]:
        """Each combination of the axes that a picture does not use: (index of the arrays, {key: name of its value})."""
        places = [[slice(None)] if i in used else range(len(axis.values)) for i, axis in enumerate(self.axes)]
        for index in product(*places):
            yield index, {axis.key: axis.name(i) for axis, i in zip(self.axes, index) if i != slice(None)}


def describe(config: dict[str, Any], *keys: str) -> str:
    """These settings of the input, as far as the file has them."""
    values = config.get("model", {}) | config.get("attention", {})
    values = {key: value for key, value in values.items() if key not in ("mean", "weight_decay") or np.any(value)}
    for key in {"signal", "mean"} & set(values):
        values[key] = ",".join(str(x).removesuffix(".0") for x in np.ravel(values[key]))
    return ", ".join(TITLE[key].format(values[key]) for key in keys if key in values)


def data_of(source: Any) -> Data:
    """Of a path, of what headflow.open returns, or the data themselves."""
    data = getattr(source, "data", source)
    if not isinstance(data, (Data, str, PathLike)):
        raise TypeError(f"a picture needs a file, or what headflow.open returns; found {type(data).__name__}")
    return data if isinstance(data, Data) else Data(Path(data))


def series_of(source: Any) -> Run:
    """Flow and SGD of a single run."""
    data = data_of(source)
    trained = "--panels trained, prune, maps, cosine-map and heads-map draw trained heads and sweeps, --panels with a "\
              "variable's name its values against a swept key"
    path = data.path
    if "sweep" in data:
        raise ValueError(f"{path}: is a sweep, whose members have no time axis; {trained}")
    line = "flow" if "flow" in data else "fluctuations"
    series = [Series(kind, data) for kind in (line, "sgd") if kind in data]
    if not series:
        raise ValueError(f"{path}: no group 'flow' or 'sgd'; {trained}")
    config, (heads, features) = data.toml("provenance/input"), series[0].m.shape[-2:]
    if series[-1].m.shape[-2:] != (heads, features):
        raise ValueError(f"{path}: flow and sgd differ in heads or features")
    config.setdefault("model", {})["features"] = features
    config.setdefault("attention", {})["heads"] = heads
    return Run(data, series, heads, features, config)


def symbol_of(keys: list[str], values: dict[str, list[Any]], config: dict[str, Any]) -> str:
    """Of the first of the keys that vary together, with the number of its element unless there is but one of it."""
    name, _, element = keys[0].partition("[")
    section, _, key = name.partition(".")
    symbol, size = SYMBOLS.get(name, ""), np.size(config.get(section, {}).get(key, ()))
    alike = len(keys) == size and all(other.partition("[")[0] == name and values[other] == values[keys[0]]
                                      for other in keys)
    return f"{symbol}_{element.rstrip(']')}" if symbol and element and size > 1 and not alike else symbol


def read_axes(sweep: dict[str, Any], config: dict[str, Any]) -> tuple[list[Axis], int]:
    """Axes and number of repeats of a sweep; keys that are zipped share the axis of the first."""
    groups = {group[0]: group for group in sweep.get("zip", [])}
    later = {key for group in groups.values() for key in group[1:]}
    return [Axis(key, values, symbol_of(groups.get(key, [key]), sweep, config)) for key, values in sweep.items()
            if key not in later | {"repeats", "zip"}], int(sweep.get("repeats", 1))


def without_swept(config: dict[str, Any], sweep: dict[str, Any]) -> dict[str, Any]:
    """The input without the keys that were swept; elements of a list that were swept become dots."""
    for name in sweep:
        (section, _, key), element = name.partition("[")[0].partition("."), name.partition("[")[2]
        values = config.get(section, {}).pop(key, None)
        if element and isinstance(values, list):
            values[int(element.rstrip("]")) - 1] = r"\cdot"
            if set(values) != {r"\cdot"}:
                config[section][key] = values
    return config


def results_of(source: Any) -> Results:
    """Trained heads of a single run or a sweep; the keys that were swept are left out of the input."""
    data = data_of(source)
    config, sweep = data.toml("provenance/input"), data.toml("provenance/sweep")
    axes, repeats = read_axes(sweep, config)
    members = data.axes("sweep/done") if "sweep" in data else ()
    features = next((data.read(f"{group}/feature", "feature").size for group in data.groups()
                     if f"{group}/feature" in data), 0)
    results = Results(data, axes, members, repeats, features, without_swept(config, sweep))
    if members:
        done = data.read("sweep/done", *members)
        if done.shape != results.sizes() + (repeats,) * (repeats > 1):
            raise ValueError(f"{data.path}: sweep/done of shape {done.shape} does not fit the swept keys of the input")
        if left := int((done != 1).sum()):
            print(f"{data.path}: left out {left} of {done.size} members, which are not finished or failed")
    return results
