"""Pictures of trained heads: loss against a swept key, pruning, attention."""
import textwrap
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from headflow.files import TITLE, Results, describe
from headflow.plot.look import (BAYES, GREY, PALETTE, WHITE_EDGE, bars, colours_of, columns_of, legend_below,
                                 legend_key, points)

ACTIVATION = "attention.activation"
MARKERS = "osD^vPX<>p*h"
MAPS = [("sigma", "head", "token"), ("A", "token"), ("theta", "feature"), ("relevant",)]
LOSS = r"loss $\mathcal{E}$"
RELEVANT = PALETTE[1]
DECADES = 1.5       # on an axis, beyond which it is logarithmic
MAX_SEQUENCES = 8   # drawn of the attention maps


class Line(NamedTuple):
    """One combination of the swept keys that are not on the axes: its place in the arrays, its look and legend keys."""
    index: tuple[Any, ...]
    label: str
    look: dict[str, Any]
    keys: dict[str, Line2D]


def spans_decades(values: np.ndarray) -> bool:
    known = values[np.isfinite(values)]
    return known.size > 0 and known.min() > 0 and known.max() > 10**DECADES * known.min()


def set_scale(ax: Axes, direction: str, values: np.ndarray) -> None:
    """Logarithmic if the values span many decades."""
    if spans_decades(values):
        getattr(ax, f"set_{direction}scale")("log", nonpositive="clip")


def set_ticks(ax: Axes, direction: str, values: np.ndarray, cells: bool) -> None:
    """At the values, or every second, third, .. where names would touch; of a logarithmic axis at round numbers."""
    set_scale(ax, direction, values)
    known, axis, log = np.unique(values), getattr(ax, f"{direction}axis"), spans_decades(values)
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    axis.set_minor_locator(NullLocator())
    if log and not cells and (known % 1).any():
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if known[-1] < 300 * known[0] else (1,)))
        return
    place = np.log(known) if log else known
    width = np.array([0.05 if direction == "y" else 0.02 + 0.03 * len(f"{value:.3g}") for value in known])
    for stride in range(1, known.size + 1):
        room = (width[::stride][1:] + width[::stride][:-1]) / 2
        if (np.diff(place[::stride]) > room * np.ptp(place)).all():
            break
    axis.set_major_locator(FixedLocator(known[::stride]))


def row_of_panels(figure: Figure, count: int, width: float, height: float, label: str) -> list[Axes]:
    """Panels of this size side by side, more than three in rows; the label stands at the left."""
    columns = columns_of(count)
    rows = -(-count // columns)
    figure.set_size_inches(width * columns if count > 1 else 1.15 * width, height * rows)
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for ax in panels[count:]:
        ax.remove()
    for ax in panels[:count:columns]:
        ax.set_ylabel(label)
    return panels[:count]


def add_legend(figure: Figure, keys: dict[str, Line2D]) -> None:
    """Below all panels: lines, then markers, the Bayes risk last. (Inside, it could cover error bars.)"""
    keys |= {name: keys.pop(name) for name in [name for name, key in keys.items() if key.get_linestyle() == "None"]}
    keys |= {name: keys.pop(name) for name in [name for name in keys if name.startswith("Bayes")]}
    columns = max(1, min(len(keys), int(figure.get_figwidth() / (0.5 + 0.06 * max(map(len, keys))))))
    legend_below(figure, keys, columns, 0.17 * -(-len(keys) // columns) + 0.06)


def activation_colours(files: list[Results]) -> dict[str, Any]:
    """A colour for each activation, in the order in which the files and their sweeps name them."""
    names = {}
    for results in files:
        swept = [axis.values for axis in results.axes if axis.key == ACTIVATION]
        names |= dict.fromkeys(*swept or [[results.activation("trained")]])
    return dict(zip(names, colours_of(len(names))))


def lines_of(results: Results, used: tuple[int, ...], colours: dict[str, Any]) -> list[Line]:
    """A colour for each activation, or for each line where it is not swept; a marker for the other keys' values."""
    members = list(results.others(used))
    rests = [", ".join(name for key, name in names.items() if key != ACTIVATION) for _, names in members]
    markers = dict(zip(dict.fromkeys(rests), MARKERS * len(rests)))
    only = results.activation("trained") if len(members) == 1 else ""
    lines = []
    for (index, names), rest, own in zip(members, rests, colours_of(len(members))):
        activation = names.get(ACTIVATION, only)
        label = ", ".join(names.values()) or activation
        look = {"color": colours.get(activation, own), "marker": markers[rest], "ms": 3.8, **WHITE_EDGE, "zorder": 3}
        keys = {label: legend_key(**look)}
        if len(markers) > 1 and activation:
            keys = {activation: legend_key(color=look["color"]), rest: legend_key(**look | {"color": GREY, "ls": ""})}
        lines.append(Line(index, label, look, keys))
    return lines


def titles(files: list[Results]) -> list[str]:
    """The model of each file where there are several; that of one file is the title of the picture."""
    return [wrapped(describe(results.config, *TITLE)) if len(files) > 1 else "" for results in files]


def wrapped(title: str, width: int = 55) -> str:
    return textwrap.fill(title, width, break_long_words=False, break_on_hyphens=False)


def check_kind(files: list[Results], picture: str, sweeps: bool = True) -> None:
    kinds = ["single run", "sweep"]
    for results in files:
        if bool(results.axes) != sweeps:
            raise ValueError(f"{results.data.path}: is a {kinds[not sweeps]}, and {picture} draws {kinds[sweeps]}s")


def x_axis_of(results: Results, by: tuple[str, ...] = ()) -> tuple[int, str, np.ndarray, list[str]]:
    """The swept key that is asked for, else the first with numbers: place of its axis, label, values; of what is no
    number the places 0, 1, .. and their names."""
    if by:
        i = results.axis_of(by[0])
        axis = results.axes[i]
        if len(columns := axis.columns()) != 1:
            names = [axis.name(place) for place in range(len(axis.values))]
            return i, by[0].rpartition(".")[2].replace("_", " "), np.arange(len(names), dtype=float), names
        return i, "${}$".format(next(iter(columns))), next(iter(columns.values())), []
    for i, axis in enumerate(results.axes):
        if len(columns := axis.columns()) == 1:
            return i, "${}$".format(next(iter(columns))), next(iter(columns.values())), []
    raise ValueError(f"{results.data.path}: no swept key has one number in each value, as the axis; {results.swept()}")


def draw_bayes(ax: Axes, results: Results, x_axis: int, x: np.ndarray, markers: dict[str, str]) -> dict[str, Line2D]:
    """Bayes risk against the swept key: a line for each value of the keys on which it depends. Returns legend keys."""
    if "bayes/risk" not in results.data:
        return {}
    risk, keys = np.nanmean(results.get("bayes/risk"), axis=-1), {}
    extent = [np.nanmax(np.nanmax(risk, axis=i) - np.nanmin(risk, axis=i)) for i in range(risk.ndim)]
    idle = [i for i in range(risk.ndim) if i == x_axis or not extent[i] > 1e-3 * np.nanmax(risk)]
    for index, names in results.others(tuple(idle)):
        curve = np.moveaxis(risk[index], idle.index(x_axis), 0).reshape(x.size, -1)
        order, label = np.argsort(x), ", ".join(names.values())
        marker = markers.get(label) if names else None
        ax.plot(x[order], np.nanmean(curve, axis=1)[order], **BAYES, marker=marker, ms=3, mfc="white", mew=0.7)
        keys[f"Bayes, {label}" if names and not marker else "Bayes"] = legend_key(**BAYES)
    return keys


def draw_losses(ax: Axes, results: Results, colours: dict[str, Any], by: tuple[str, ...] = ()) -> dict[str, Line2D]:
    """One panel of draw_trained, of trained heads or, where there are none, of the flow's end; returns its keys."""
    x_axis, label, x, names = x_axis_of(results, by)
    kind, starts = ("train", ["start"]) if "train/loss" in results.data else ("flow", [])
    least, error = (results.best(f"{kind}/{name}") for name in ("loss", "loss_stderr"))
    loss, order, markers, keys = results.get(f"{kind}/loss", *starts), np.argsort(x), {}, {}
    for line in lines_of(results, (x_axis,), colours):
        starts = loss[line.index].reshape(x.size, -1)[order]
        places = np.broadcast_to(x[order, None], starts.shape)
        ax.plot(places.ravel(), starts.ravel(), ".", ms=4, mew=0, alpha=0.35, color=line.look["color"], zorder=2)
        ax.errorbar(x[order], least[line.index][order], bars(error[line.index][order]), elinewidth=0.8, **line.look)
        markers[line.label.partition(", ")[2]] = markers[line.label] = line.look["marker"]
        keys |= line.keys
    keys |= draw_bayes(ax, results, x_axis, x, markers)
    if names:
        ax.set_xticks(x, names, **({"rotation": 20, "ha": "right"} if sum(map(len, names)) > 24 else {}))
    else:
        set_ticks(ax, "x", x, cells=False)
    shown = np.concatenate([loss.ravel(), results.get("bayes/risk").ravel() if "bayes/risk" in results.data else []])
    set_scale(ax, "y", shown[shown > 0])
    ax.set_xlabel(label)
    ax.margins(x=0.05)
    return keys


def draw_trained(figure: Figure, files: list[Results], features: tuple[int, ...], by: tuple[str, ...] = ()) -> None:
    """Loss against a swept number: best of starts and repeats with its error, each a faint dot, Bayes risk dashed."""
    check_kind(files, "trained")
    panels, keys, colours = row_of_panels(figure, len(files), 3.0, 2.8, LOSS), {}, activation_colours(files)
    for ax, results, title in zip(panels, files, titles(files)):
        keys |= draw_losses(ax, results, colours, by)
        ax.set_title(title)
    add_legend(figure, keys)


def model_of(results: Results) -> str:
    """All of the model but its activation."""
    return describe(results.config, *(name for name in TITLE if name != "activation"))


def theta_text(theta: np.ndarray) -> str:
    shown = [f"{x:.2f}".rstrip("0").rstrip(".").replace("-", "−") for x in theta[:6] + 0.0]
    return f"$\\theta=(${', '.join(shown)}{', …' if theta.size > 6 else ''}$)$"


def draw_sequence(image: Axes, strip: Axes, sigma: np.ndarray, A: np.ndarray, relevant: int, norm: Normalize) -> Any:
    """One sequence: sigma_hl as an image of heads and tokens, A_l as bars below, the relevant token framed."""
    heads, tokens = sigma.shape
    mesh = image.pcolormesh(np.arange(tokens + 1) + 0.5, np.arange(heads + 1) + 0.5, sigma, cmap="Blues", norm=norm,
                            edgecolor="white", linewidth=0.4)
    frame = {"fill": False, "ec": RELEVANT, "lw": 1.3, "clip_on": False, "zorder": 4}
    image.add_patch(Rectangle((relevant - 0.5, 0.5), 1, heads, **frame))
    image.set(xlim=(0.5, tokens + 0.5), ylim=(heads + 0.5, 0.5))
    places = np.arange(tokens) + 1
    strip.bar(places, A, width=0.8, color=np.where(places == relevant, RELEVANT, "0.6"))
    strip.set(xlim=(0.5, tokens + 0.5))
    for axis in (image.xaxis, image.yaxis, strip.xaxis):
        axis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        axis.set_tick_params(length=0)
    image.tick_params(labelbottom=False)
    return mesh


def label_maps(cells: np.ndarray, thetas: list[np.ndarray], heads: list[str]) -> None:
    """Titles of the images, (2 * sequence, file), and names of the axes at the left and the bottom."""
    rows, columns = len(cells) // 2, len(heads)
    same = len({theta[:rows].tobytes() for theta in thetas}) == 1
    for i, j in np.ndindex(rows, columns):
        image, strip = cells[2 * i:2 * i + 2, j]
        head = f"{heads[j]}\n" if i == 0 and columns > 1 else ""
        image.set_title(head + (theta_text(thetas[j][i]) if not same or j == 0 else ""), fontsize=points(8),
                        loc="left" if same else "center")
        image.tick_params(labelleft=j == 0)
        strip.tick_params(labelleft=j == 0, labelbottom=i == rows - 1)
    for image, strip in cells[:, 0].reshape(-1, 2):
        image.set_ylabel("head $h$")
        strip.set_ylabel("$A_l$", rotation=0, ha="right", va="center")
    for strip in cells[-1]:
        strip.set_xlabel("token $l$")


def norm_of(sigmas: list[np.ndarray]) -> Normalize:
    """Colours of attention: even, or by the square root where files differ much."""
    peaks = [max(1.0, np.nanmax(sigma)) for sigma in sigmas]
    return PowerNorm(0.5, 0, max(peaks)) if max(peaks) > 1.5 * min(peaks) else Normalize(0, max(peaks))


def draw_maps(figure: Figure, files: list[Results], features: tuple[int, ...], by: tuple[str, ...] = ()) -> None:
    """Attention maps sigma_hl and their mean A_l over heads: each sequence has a row, each file a column."""
    check_kind(files, "maps", sweeps=False)
    sigmas, means, thetas, places = ([results.get(f"maps/{name}", "sequence", *own)[0] for results in files]
                                     for name, *own in MAPS)
    rows, most = min(MAX_SEQUENCES, *map(len, sigmas)), max(map(len, sigmas))
    if rows < most:
        print(f"drawn: the first {rows} sequences of {most}")
    tall = 0.25 + 0.11 * min(12, max(sigma.shape[1] for sigma in sigmas))
    figure.set_size_inches(0.9 + 2.0 * len(files) + 0.5, (tall + 0.65) * rows + 0.5)
    if len({model_of(results) for results in files}) == 1 < len(files):
        figure.suptitle(model_of(files[0]))
    norm = norm_of([sigma[:rows] for sigma in sigmas])
    top = max(1.0, *(1.1 * np.nanmax(A[:rows]) for A in means))
    cells = figure.subplots(2 * rows, len(files), squeeze=False, gridspec_kw={"height_ratios": [tall, 0.28] * rows})
    for i, j in np.ndindex(rows, len(files)):
        image, strip = cells[2 * i:2 * i + 2, j]
        mesh = draw_sequence(image, strip, sigmas[j][i], means[j][i], int(places[j][i]), norm)
        strip.set(ylim=(0, top), yticks=(0, 1))
    label_maps(cells, thetas, [results.activation(results.data.path.stem) for results in files])
    bar = figure.colorbar(mesh, ax=cells, aspect=20 * min(rows, 2), shrink=min(1.0, 2 / rows), pad=0.02)
    bar.ax.set_title(r"$\sigma_{hl}$")
