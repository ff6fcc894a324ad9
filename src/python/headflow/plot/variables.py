"""Pictures of any variable of a sweep against a swept key: of trained heads, or of the end of the flow."""
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from headflow.files import Results
from headflow.plot.look import GREY, legend_key
from headflow.plot.sweeps import (LOSS, MARKERS, activation_colours, add_legend, check_kind, lines_of, row_of_panels,
                                  set_scale, set_ticks, titles, x_axis_of)

LABELS = {"loss": LOSS, "m": "$m_{hf}$", "r": "$r_{hh′}$", "q": "$q_{hh′}$", "b": "$b_h$", "v": "$v$"}
GROUPS = "train", "flow", "sgd", "saddle", "bayes"


def path_of(results: Results, name: str) -> str:
    """Of a variable "split_time" or "flow/split_time". Throws ValueError where the file has none."""
    found = [path for path in ([name] if "/" in name else [f"{group}/{name}" for group in GROUPS])
             if path in results.data]
    if not found:
        raise ValueError(f"{results.data.path}: no variable '{name}' in {', '.join(results.data.groups())}")
    return found[0]


def draw_values(ax: Axes, results: Results, name: str, colours: dict[str, Any],
                by: tuple[str, ...] = ()) -> dict[str, Line2D]:
    """Median over repeats and starts, each of them a faint dot; heads and their pairs have dots alone, as their order
    means nothing. Returns legend keys."""
    x_axis, label, x, names = x_axis_of(results, by)
    path, order, keys = path_of(results, name), np.argsort(x), {}
    own = [axis for axis in results.data.axes(path) if axis not in results.members]
    runs = [axis for axis in own if axis in ("start", "replica")]
    own = [axis for axis in own if axis not in runs]
    values = results.get(path, *runs, *own)
    places = list(np.ndindex(values.shape[values.ndim - len(own):]))
    alike = any(axis.startswith("head") for axis in own)
    for line in lines_of(results, (x_axis,), colours):
        for place, marker in zip(places, MARKERS * len(places)):
            each = values[line.index][(..., *place)].reshape(x.size, -1)[order]
            look = line.look | ({"marker": marker} if len(places) > 1 and not alike else {})
            if each.shape[1] > 1 or alike:
                ax.plot(np.broadcast_to(x[order, None], each.shape).ravel(), each.ravel(), ".", ms=4, mew=0, alpha=0.5,
                        color=look["color"], zorder=2)
            if not alike and np.isfinite(each).any():
                ax.plot(x[order], np.nanmedian(each, axis=1), **look)
                if len(places) > 1:
                    text = ", ".join(f"{axis} {i + 1}" for axis, i in zip(own, place))
                    keys[text] = legend_key(**look | {"color": GREY, "ls": ""})
        keys |= line.keys
    texts = [", ".join(f"{axis} {i + 1}" for axis, i in zip(own, place)) for place in places]
    keys |= {text: keys.pop(text) for text in texts if text in keys}  # in their order
    if names:
        ax.set_xticks(x, names)
    else:
        set_ticks(ax, "x", x, cells=False)
    set_scale(ax, "y", values)
    group, _, name = path.rpartition("/")
    several = sum(f"{other}/{name}" in results.data for other in GROUPS) > 1
    of = f" ({group.replace('sgd', 'SGD')})" if several else ""
    ax.set(xlabel=label, ylabel=LABELS.get(name, name.replace("_", " ")) + of)
    ax.margins(x=0.05)
    return keys


def draw_variables(figure: Figure, files: list[Results], names: list[str], by: tuple[str, ...] = ()) -> None:
    """Panels of draw_values: each variable of each file."""
    check_kind(files, ", ".join(names))
    panels, keys = row_of_panels(figure, len(files) * len(names), 2.5, 2.2, ""), {}
    colours, heads = activation_colours(files), titles(files)
    for ax, (results, title, name) in zip(panels, [(*file, name) for file in zip(files, heads) for name in names]):
        keys |= draw_values(ax, results, name, colours, by)
        ax.set_title(title)
    add_legend(figure, keys)
