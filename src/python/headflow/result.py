"""Results of the program as xarray Datasets."""
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from headflow.errors import FileError, HeadflowWarning, InputError
from headflow.files import Axis, Data, faults_of, outputs_among, read_axes, text_of
from headflow.inputs import path_text


class _OnDisk(BackendArray):
    """A dataset of the file, of which is read what is asked for."""

    def __init__(self, data: Data, name: str) -> None:
        self.data, self.name = data, name
        self.shape, self.dtype = data.file[name].shape, data.file[name].dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER_1VECTOR, self.read)

    def read(self, key: tuple[Any, ...]) -> np.ndarray:
        # h5py takes no steps backward, and lists only in order.
        steps = [part if isinstance(part, slice) and (part.step or 1) > 0 or np.isscalar(part) else None
                 for part in key]
        chosen = tuple(slice(None) if step is None else step for step in steps)
        later = tuple(part if step is None else slice(None) for part, step in zip(key, steps) if not np.isscalar(part))
        with faults_of(self.data.path):
            values = self.data.file[self.name][chosen]
        return values[later] if any(step is None for step in steps) else values


def axis_name(key: str) -> str:
    """Of a swept key, as in the file: model.signal[2] is model_signal_2."""
    return re.sub(r"[.\[]", "_", key).rstrip("]")


def _coordinates(axis: Axis, name: str) -> dict[str, tuple[str, Any]]:
    """The values of a swept key; of lists their elements, where they are as many in each."""
    values = axis.values
    if all(np.ndim(value) == 0 for value in values):
        return {name: (name, np.array(values))}
    if len({np.shape(value) for value in values}) == 1 and np.ndim(values[0]) == 1:
        return {f"{name}_{i + 1}": (name, np.array(column)) for i, column in enumerate(zip(*values))}
    return {f"{name}_values": (name, [str(value) for value in values])}


def _swept(data: Data) -> dict[str, tuple[str, Any]]:
    """Coordinates of a sweep, {name: (axis, values)}: zipped keys share the axis of the first of them."""
    sweep = data.toml("provenance/sweep")
    groups = {group[0]: group for group in sweep.get("zip", [])}
    found = {}
    for axis in read_axes(sweep, data.toml("provenance/input"))[0]:
        for key in groups.get(axis.key, [axis.key]):
            for name, (_, values) in _coordinates(Axis(key, sweep[key], ""), axis_name(key)).items():
                found[name] = (axis_name(axis.key), values)
    return found


def _dataset(data: Data, group: str) -> xr.Dataset:
    variables, coordinates = {}, {}
    with faults_of(data.path):
        for name, item in data.file[group].items():
            if not hasattr(item, "shape"):
                continue
            attributes = {key: text_of(item.attrs[key]) for key in ("units", "long_name") if key in item.attrs}
            dims = data.axes(f"{group}/{name}")
            if dims == (name,):
                coordinates[name] = (dims, np.array(item), attributes)
            elif item.dtype.kind in "fiu":
                variables[name] = (dims, indexing.LazilyIndexedArray(_OnDisk(data, f"{group}/{name}")), attributes)
            else:
                variables[name] = (dims, text_of(item[()]), attributes)
    for name, (axis, values) in _swept(data).items() if "sweep" in data else ():
        if axis in coordinates:
            long_name = coordinates[axis][2].get("long_name", axis) if name == axis else name
            coordinates[name] = (axis, values, {"units": "1", "long_name": long_name})
    return xr.Dataset(variables, coordinates, {"file": str(data.path), "group": group})


class Result(Mapping):
    """What a file of the program holds: a mapping from its groups to xarray Datasets, which are also attributes.

    Datasets are read when they are asked for, and their numbers when they are used.

    Attributes
    ----------
    path : Path
        The file.
    input : dict
        The input that was run, {section: {key: value}}, with every default.
    provenance : dict of str
        What made the file: command line, versions, options, ranks, run id, start and end.
    sweep : dict
        The swept keys and their values; empty for a single run.
    missing : list of dict
        Members of a sweep that are not finished or failed, whose numbers are NaN: {key: value}.
    """

    def __init__(self, path: str | PathLike) -> None:
        self.path = Path(path)
        self.reload()

    def reload(self) -> "Result":
        """Read the file as it is now: a run that goes on replaces it every few seconds. Returns the result itself."""
        self.data = Data(self.path)
        self._groups: dict[str, xr.Dataset | None] = dict.fromkeys(self.data.groups())
        self.provenance = self.data.provenance()
        self.input = self.data.toml("provenance/input")
        self.input.pop("sweep", None)
        self.sweep = self.data.toml("provenance/sweep")
        self.missing = self._missing() if "sweep" in self._groups else []
        if self.missing:
            warnings.warn(f"{self.path}: {len(self.missing)} of {self['sweep'].done.size} members are not finished or "
                          f"have failed, and are NaN (.missing lists them)", HeadflowWarning, stacklevel=3)
        return self

    def _missing(self) -> list[dict[str, Any]]:
        done, (axes, _) = self["sweep"].done, read_axes(self.sweep, self.input)
        names = [axis_name(axis.key) for axis in axes]
        found = []
        for place in np.argwhere(done.values != 1):
            index = dict(zip(done.dims, place.tolist()))
            member = {axis.key: axis.values[index[name]] for axis, name in zip(axes, names)}
            found.append(member | ({"repeat": index["repeat"] + 1} if "repeat" in index else {}))
        return found

    def __getitem__(self, group: str) -> xr.Dataset:
        if group not in self._groups:
            raise KeyError(f"{self.path} has no group '{group}'; it has {', '.join(self._groups)}")
        if self._groups[group] is None:
            self._groups[group] = _dataset(self.data, group)
        return self._groups[group]

    def __iter__(self) -> Iterator[str]:
        return iter(self._groups)

    def __len__(self) -> int:
        return len(self._groups)

    def __getattr__(self, name: str) -> xr.Dataset:
        if name.startswith("_") or name not in self.__dict__.get("_groups", ()):
            groups = ", ".join(self.__dict__.get("_groups", ()))
            raise AttributeError(f"no attribute or group '{name}'; groups: {groups}")
        return self[name]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._groups]

    @property
    def status(self) -> str:
        """"finished", "stopped" (early, or by an error) or "running" (or killed)."""
        return next((name for name in ("finished", "stopped") if name in self.provenance), "running")

    @property
    def stages(self) -> xr.Dataset:
        """When all heads align, and when and how fast they split along each feature: of the flow, or of SGD."""
        group = next((name for name in ("flow", "sgd") if name in self), None)
        if group is None:
            return xr.Dataset()
        names = ("alignment_time", "split_time", "growth_rate")
        return self[group][[name for name in names if name in self[group]]]

    def tree(self) -> Any:
        """All groups as one xarray.DataTree, where xarray has it (2024.10)."""
        if not hasattr(xr, "DataTree"):
            raise NotImplementedError(f"xarray {xr.__version__} has no DataTree (2024.10 has); the groups are a "
                                      f"mapping: {self!r}")
        return xr.DataTree.from_dict({name: self[name] for name in self})

    def __repr__(self) -> str:
        groups = "\n".join(f"  {name if name not in self.__dict__ else [name]}: "  # ['sweep'], as .sweep is its axes
                           f"{', '.join(f'{axis} {size}' for axis, size in self[name].sizes.items())}"
                           for name in self)
        return f"<headflow.Result {self.path} ({self.status})>\n{groups}"

    def close(self) -> None:
        """Give the file back; numbers that were not read by then are lost."""
        self.data.close()

    def __enter__(self) -> "Result":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Joined(Result):
    """Several files along what differs in their inputs; `parts` are the single results.

    Keys whose values form a grid are axes, each named as in a sweep (model_signal, start_seed, ..). Otherwise the axis
    is `run`, with the keys as its coordinates. Numbers are NaN where a file has no such place.
    """

    def __init__(self, paths: Sequence[str | PathLike]) -> None:
        self.parts = [Result(path) for path in paths]
        sweeps = [part for part in self.parts if part.sweep]
        if sweeps and len(sweeps) < len(paths):
            raise FileError(f"{sweeps[0].path}: is a sweep, which cannot be joined with a single run")
        self._join()

    def _join(self) -> None:
        self.path = self.parts[0].path
        self.data = None
        self.provenance, self.missing = self.parts[0].provenance, []
        self._keys = _differences([part.input for part in self.parts])
        self.input = {section: {key: value for key, value in keys.items() if f"{section}.{key}" not in self._keys}
                      for section, keys in self.parts[0].input.items()}
        self.sweep = {key: list(dict.fromkeys(map(_hashable, values))) for key, values in self._keys.items()}
        self._groups = dict.fromkeys(name for part in self.parts for name in part)

    def reload(self) -> "Joined":
        for part in self.parts:
            part.reload()
        self._join()
        return self

    @property
    def status(self) -> str:
        found = {part.status for part in self.parts}
        return next(status for status in ("running", "stopped", "finished") if status in found)

    def __getitem__(self, group: str) -> xr.Dataset:
        if group not in self._groups:
            raise KeyError(f"no file has a group '{group}'; there are {', '.join(self._groups)}")
        if self._groups[group] is None:
            self._groups[group] = self._joined(group)
        return self._groups[group]

    def _joined(self, group: str) -> xr.Dataset:
        # .load: concatenated numbers are read in any case, and may come from more files than can be open.
        parts = [part[group] if group in part else xr.Dataset() for part in self.parts]
        every = dict.fromkeys(name for part in parts for name in part.data_vars)
        parts = [part.assign({name: np.nan for name in every if name not in part}) for part in parts]
        values = {axis_name(key): [_hashable(value) for value in own] for key, own in self._keys.items()}
        values = {f"{name}_of_run" if any(name in part.variables for part in parts) else name: own
                  for name, own in values.items()}
        sizes = [len(dict.fromkeys(own)) for own in values.values()]
        if values and np.prod(sizes) == len(parts) == len(set(zip(*values.values()))):
            return self._grid(parts, values)
        joined = xr.concat(parts, "run", join="outer", data_vars="all", coords="minimal", compat="override")
        return joined.assign_coords({name: ("run", _array(own)) for name, own in values.items()})

    @staticmethod
    def _grid(parts: list[xr.Dataset], values: dict[str, list[Any]]) -> xr.Dataset:
        axes = {name: sorted(dict.fromkeys(own), key=lambda value: (str(type(value)), value))
                for name, own in values.items()}
        places = {point: part for point, part in zip(zip(*values.values()), parts)}
        names = list(axes)

        def along(depth: int, fixed: tuple[Any, ...]) -> xr.Dataset:
            if depth == len(names):
                return places[fixed]
            inner = [along(depth + 1, (*fixed, value)) for value in axes[names[depth]]]
            joined = xr.concat(inner, names[depth], join="outer", data_vars="all", coords="minimal", compat="override")
            return joined.assign_coords({names[depth]: _array(axes[names[depth]])})

        return along(0, ())

    def close(self) -> None:
        for part in self.parts:
            part.close()


def _array(values: list[Any]) -> np.ndarray:
    """As coordinates: lists as their texts."""
    return np.array([str(list(value)) if isinstance(value, tuple) else value for value in values])


def _hashable(value: Any) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


def _differences(inputs: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """{"section.key": its value in each input} where they differ, but for where and how often is written."""
    keys = dict.fromkeys((section, key) for one in inputs for section in one for key in one[section]
                         if section != "output")
    found = {f"{section}.{key}": [one.get(section, {}).get(key, "none") for one in inputs] for section, key in keys}
    return {key: values for key, values in found.items() if any(value != values[0] for value in values)}


def paths_of(files: Any) -> list[Any]:
    """Throws InputError for what is no list."""
    if isinstance(files, Iterable) and not isinstance(files, (bytes, Mapping)):
        return list(files)
    raise InputError(f"files = {files!r}: a path or a list of paths is needed")


def open(files: str | PathLike | Sequence[str | PathLike]) -> Result:
    """Open an output of headflow, or several.

    Parameters
    ----------
    files : path, or list of paths
        A finished file, or one that is being written: `Result.reload` reads it again. Several files are concatenated
        along what differs in their inputs; checkpoints and weights that stand beside them are left out.

    Returns
    -------
    Result
        A mapping from the groups of the file ("flow", "sgd", ..) to xarray Datasets, lazily read.

    Raises
    ------
    FileError
        What the file is, if it is no output of headflow that this version can read.

    Examples
    --------
    >>> result = headflow.open("quickstart.h5")
    >>> result.flow.loss.plot()
    >>> headflow.open(Path(".").glob("*.h5")).flow.m.sel(start_seed=2)
    """
    if isinstance(files, (str, PathLike)):
        return Result(files)
    files = [path_text("a file to open", file) for file in paths_of(files)]
    if not files:
        raise FileError("no file to open")
    files, beside = outputs_among(files)
    if beside:
        warnings.warn(f"left out {len(beside)} files of checkpoints and weights, such as {beside[0]}", HeadflowWarning,
                      stacklevel=2)
    return Joined(files) if len(files) > 1 else Result(files[0])
