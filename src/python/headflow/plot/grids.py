"""Planes of two swept numbers."""
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from headflow.files import Results


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


def grid_of(results: Results, by: tuple[str, ...] = ()) -> Grid:
    """Of the keys that are asked for, else of the first swept key with two different numbers in each value, else of the
    first two keys with one."""
    counts = [len(axis.columns()) for axis in results.axes]
    used = tuple(map(results.axis_of, by)) if by else (counts.index(2),) if 2 in counts else tuple(
        i for i, count in enumerate(counts) if count == 1)[:2]
    if [counts[i] for i in used] not in ([2], [1, 1]) or len(set(used)) < len(used):
        raise ValueError(f"{results.data.path}: a map needs two swept keys with numbers, or one with pairs of numbers; "
                         f"{results.swept()}")
    axes = [results.axes[i] for i in used]
    points = np.array([np.concatenate(parts) for parts in product(*(
        np.transpose(list(axis.columns().values())) for axis in axes))])
    x, y = np.unique(points[:, 0]), np.unique(points[:, 1])
    places = np.searchsorted(x, points[:, 0]) * y.size + np.searchsorted(y, points[:, 1])
    if len(points) != x.size * y.size or np.unique(places).size != len(points):
        raise ValueError(f"{results.data.path}: the {len(points)} values of {axes[0].key} do not form a grid of "
                         f"{x.size} x {y.size}")
    symbols = [symbol for axis in axes for symbol in axis.columns()]
    return Grid(used, symbols, x, y, np.argsort(places).reshape(x.size, y.size))
