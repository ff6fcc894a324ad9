"""Draw headflow's HDF5 files: loss, overlaps and heads of the order-parameter flow, with SGD's dots over its lines.

Symbols are those of the paper (arXiv:2603.03993): heads h = 1..H, features (hidden spikes) f = 1..F, overlaps
m_hf = k_h . k*_f, overlaps outside the span of the spikes r = u u', biases b_h, scale v, population loss E, time t.
"""
import argparse
import difflib
import io
import math
import os
import textwrap
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

os.environ["MPLBACKEND"] = "Agg"
import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from headflow.plot.ensembles import (GREY, THIN, WHITE_EDGE, bars, colours_of, columns_of, draw_specialization, draw_spread,
                                legend_below, legend_key)
from headflow.files import TITLE, Run, Series, describe, results_of, series_of
from headflow.plot.planes import draw_cosine_map, draw_heads_map
from headflow.plot.stages import draw_angle, draw_growth, draw_hierarchy, draw_stages
from headflow.plot.trained import draw_maps, draw_prune, draw_trained

PICTURES = {"specialization": draw_specialization, "spread": draw_spread}
SWEEPS = {"trained": draw_trained, "prune": draw_prune, "maps": draw_maps, "cosine-map": draw_cosine_map,
          "heads-map": draw_heads_map, "stages": draw_stages}
ALONE = PICTURES | SWEEPS
SUFFIXES = (".png", ".pdf", ".svg")
MAX_FEATURES = 4  # panels of m drawn when the user names no features
MAX_KEYS = 16     # heads named in the legend
DOTS = 20         # SGD's dots on a curve
DOT = {"fmt": "o", "ms": 2.6, **WHITE_EDGE, "elinewidth": 0.6, "zorder": 3}
STYLE = {
    "font.family": "STIXGeneral", "mathtext.fontset": "stix", "font.size": 8, "axes.titlesize": 9, "axes.labelsize": 9,
    "axes.linewidth": 0.6, "lines.linewidth": 1.1, "xtick.direction": "in", "ytick.direction": "in",
    "xtick.major.width": 0.6, "ytick.major.width": 0.6, "axes.xmargin": 0.02, "legend.frameon": False,
    "legend.handlelength": 1.8, "legend.columnspacing": 1.4, "legend.borderaxespad": 0.3, "pdf.fonttype": 42,
    "svg.hashsalt": "headflow", "figure.constrained_layout.use": True, "figure.constrained_layout.wspace": 0.0,
}


class Curve(NamedTuple):
    """Values (time) or (time, replica), and for the flow the standard error of the sampled mean, if known."""
    values: np.ndarray
    colour: Any
    style: Any = "-"
    error: np.ndarray | None = None


def overlap_curves(series: Series, colours: list[Any], feature: int) -> list[Curve]:
    """Overlaps m_hf = k_h . k*_f of all heads with one feature."""
    return [Curve(series.m[..., h, feature], colour) for h, colour in enumerate(colours)]


def residual_curves(series: Series, colours: list[Any]) -> list[Curve]:
    """Overlaps r = u u' outside the spikes: r_hh of each head (solid), the largest |r_hh'|, h != h' (dashed)."""
    r, pairs = series.get("r", "head", "head_b"), ~np.eye(len(colours), dtype=bool)
    largest = [Curve(np.abs(r[..., pairs]).max(axis=-1), GREY, "--")] if pairs.any() else []
    return [Curve(r[..., h, h], colour) for h, colour in enumerate(colours)] + largest


def bias_curves(series: Series, colours: list[Any]) -> list[Curve]:
    """Biases b_h (solid), and the scale v (dash-dotted) if it moves."""
    scale = [Curve(series.get("v"), GREY, "-.")] if series.moves("v") else []
    return [Curve(series.get("b", "head")[..., h], colour) for h, colour in enumerate(colours)] + scale


def cosine_curves(series: Series, colours: list[Any]) -> list[Curve]:
    """Cosine similarities q_hh' / sqrt(q_hh q_h'h') of the pairs of heads, dashed in the colours of both."""
    cosine, pairs = series.get("cosine", "head", "head_b"), zip(*np.triu_indices(len(colours), 1))
    return [Curve(cosine[..., h, other], colours[head], style)
            for h, other in pairs for head, style in ((h, "-"), (other, (0, (4, 4))))]


def plain_curves(series: Series, colours: list[Any], name: str) -> list[Curve]:
    """Any variable, such as the loss or the norm of its gradient: one curve with its error or, where it has axes of its
    own, one for each place in them, in the colours of heads if they are among them."""
    own, error = series.own(name), f"{name}_stderr"
    values = series.get(name, *own)
    if not own:
        return [Curve(values, "black", error=series.get(error) if error in series else None)]
    places = list(np.ndindex(values.shape[len(series.runs):]))
    each = [colours[place[own.index("head")]] for place in places] if "head" in own else colours_of(len(places))
    return [Curve(values[(..., *place)], colour) for place, colour in zip(places, each)]


def draw_paths(ax: Any, series: Series, colours: list[Any], features: tuple[int, ...], ends: bool) -> None:
    """Paths (m_hi, m_hj[, m_hk])(t) of the heads, if asked from open to filled dot. SGD has one dot in each cell of a
    grid that its path visits: dots even in time would heap up at the saddles."""
    path, spread = series.average(series.m[..., features])
    step = (np.ptp(np.nan_to_num(path)) or 1.0) / DOTS
    for h, colour in enumerate(colours):
        if series.kind == "flow":
            ax.plot(*path[:, h].T, color=colour)
        else:
            _, pick = np.unique(np.round(path[:, h] / step), axis=0, return_index=True)
            errors = dict(zip(("xerr", "yerr", "zerr"), bars(spread[pick, h]).T))
            ax.errorbar(*path[pick, h].T, color=colour, **DOT, **errors)
        if ends:
            ax.plot(*path[:1, h].T, "o", color=colour, ms=3.2, mfc="white", mew=0.8, zorder=4)
            ax.plot(*path[-1:, h].T, "o", color=colour, ms=4.6, mec="white", mew=0.4, zorder=5)


def draw_heads(ax: Any, run: Run, features: tuple[int, ...], colours: list[Any], **_: Any) -> None:
    """Heads in the plane or space of two or three features."""
    for series in run.series:
        draw_paths(ax, series, colours, features, series is run.series[0])
    for axis, f in zip("xyz", features):
        getattr(ax, f"set_{axis}label")(f"direction {f + 1}", labelpad=-5 if len(features) == 3 else None)
    if len(features) == 3:
        ax.set_box_aspect((1, 1, 0.8), zoom=0.95)
        ax.set_aspect("equal")
        ax.locator_params(nbins=4)
        ax.tick_params(pad=-2)
    else:
        ax.set_aspect("equal", adjustable="datalim")
        ax.axhline(0, **THIN)
        ax.axvline(0, **THIN)


class Panel(NamedTuple):
    """A variable, its curves against t (None: plain ones) or how it is drawn, and what the drawing needs."""
    variable: str
    curves: Callable[..., list[Curve]] | None = None
    label: str = ""
    keys: dict[Any, str] = {}
    heads: int = 1
    features: int = 1
    draw: Callable[..., None] | None = None


PANELS = {
    "loss": Panel("loss", label=r"loss $\mathcal{E}$"),
    "m": Panel("m", overlap_curves, "$m_{h%d}$"),
    "plane": Panel("m", features=2, draw=draw_heads),
    "space": Panel("m", features=3, draw=draw_heads),
    "r": Panel("r", residual_curves, "", {"-": "$r_{hh}$", "--": "$\\max\\,|r_{hh′}|$"}),
    "b": Panel("b", bias_curves, "", {"-": "$b_h$", "-.": "$v$"}),
    "cosine": Panel("cosine", cosine_curves, "$\\cos(k_h, k_{h′})$", heads=2),
    "gradient": Panel("gradient_norm", label=r"$|\nabla\mathcal{E}|$"),
    "hierarchy": Panel("side", heads=2, draw=draw_hierarchy),
    "growth": Panel("side", heads=2, draw=draw_growth),
    "angle": Panel("side", heads=3, features=2, draw=draw_angle),
}


def draw_curve(ax: Axes, series: Series, curve: Curve, log_time: bool) -> None:
    """The flow: a line and its band of two standard errors. SGD: mean and standard deviation over replicas."""
    keep = series.time > (0 if log_time else -math.inf)
    time = series.time[keep]
    mean, spread = series.average(curve.values[keep])
    if series.kind == "flow":
        ax.plot(time, mean, color=curve.colour, ls=curve.style, marker="." if time.size == 1 else None)
        if curve.error is not None:
            ax.fill_between(time, mean - 2 * curve.error[keep], mean + 2 * curve.error[keep], color="0.8", lw=0)
    elif time.size:
        place = np.log(time) if log_time else time
        pick = np.unique(np.searchsorted(place, np.linspace(place[0], place[-1], DOTS)).clip(max=time.size - 1))
        ax.errorbar(time[pick], mean[pick], bars(spread[pick]), color=curve.colour, **DOT)


def draw_marks(ax: Axes, marks: list[tuple[float, str]]) -> None:
    """Dotted lines at the alignment and split times; the name of a line that nearly touches another goes lower."""
    (low, high), level = ax.get_xlim(), ax.get_ylim()[1]
    y, last = 0.97, -math.inf
    for t, name in (mark for mark in marks if low < mark[0] < high):
        place = (ax.transScale + ax.transLimits).transform((t, level))[0]
        y, last = 0.97 if place - last > 0.09 else y - 0.27, place
        ax.axvline(t, color="0.45", lw=0.7, ls=":", zorder=1)
        ax.text(place + 0.01, y, name, transform=ax.transAxes, rotation=90, va="top",
                ha="left" if place < 0.9 else "right", fontsize=7, color="0.4")


def draw_time(ax: Axes, run: Run, features: tuple[int, ...], colours: list[Any], log_time: bool, panel: Panel) -> None:
    """One panel's curves of all series against t."""
    styles = set()
    for series in run.series:
        if panel.variable in series:
            curves = panel.curves or partial(plain_curves, name=panel.variable)
            for curve in curves(series, colours, *features):
                draw_curve(ax, series, curve, log_time)
                styles.add(curve.style)
    keys = {label: legend_key(color=GREY, ls=style) for style, label in panel.keys.items() if style in styles}
    if len(keys) > 1:
        ax.legend(keys.values(), keys.keys(), loc="best")
    ax.set(xlabel="$t$", ylabel=panel.label % tuple(f + 1 for f in features) or ", ".join(keys))
    ax.set_xscale("log" if log_time else "linear")
    if panel.variable == "loss":
        draw_marks(ax, run.marks())
    elif panel.variable == "gradient_norm":
        ax.set_yscale("log", nonpositive="clip")
    elif panel.variable in ("m", "cosine"):
        ax.axhline(0, **THIN)


def panel_of(run: Run, name: str, drawable: list[str]) -> Panel:
    """A panel by its name, else that of a variable of the file."""
    if name in drawable:
        return PANELS[name]
    if name in PANELS:
        raise ValueError(f"{run.data.path}: panel '{name}' cannot be drawn for H = {run.heads}, F = {run.features} "
                         f"and the variables of the file; these can: {', '.join(drawable)}")
    if any(name in series for series in run.series):
        return Panel(name, label=name.replace("_", " ").replace("%", "%%"))
    known = ["overview", *PANELS, *ALONE]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
    raise ValueError(f"unknown panel '{name}', did you mean '{near}'? All: {', '.join(known)}, and the variables over "
                     f"time in {run.data.path}")


def cells(run: Run, names: list[str], asked: tuple[int, ...]) -> list[tuple[Panel, tuple[int, ...]]]:
    """The panels of one file with their features: m for those most learnt at the end, b in the overview if it moves."""
    last = np.abs(np.nan_to_num(run.series[0].m[-1])).reshape(-1, run.features).max(axis=0)
    learnt = sorted(int(f) for f in np.argsort(-last, kind="stable")[:MAX_FEATURES])
    shown = {"m": [(f,) for f in asked or learnt], "plane": [asked or (0, 1)], "space": [(0, 1, 2)]}
    moving = any(series.moves(name) for series in run.series for name in ("b", "v"))
    drawable = [name for name, need in PANELS.items() if run.heads >= need.heads and run.features >= need.features
                and any(need.variable in series for series in run.series)]
    overview = [name for name in ["loss", "m", "plane", "r"] + ["b"] * moving if name in drawable]
    names = [part for name in names for part in (overview if name == "overview" else [name])]
    return [(panel_of(run, name, drawable), features) for name in names for features in shown.get(name, [()])]


def legend_keys(panels: list[tuple[Run, Panel, tuple[int, ...]]], colours: list[Any]) -> dict[str, Any]:
    """The heads, if a panel shows them (of many every second, third, ...); flow and SGD where both are drawn."""
    named = any(panel.draw is draw_heads or not panel.draw and "head" in series.own(panel.variable)
                for run, panel, _ in panels for series in run.series if panel.variable in series)
    shown = range(0, len(colours), -(-len(colours) // MAX_KEYS)) if named else ()
    keys = {f"head {h + 1}": legend_key(color=colours[h]) for h in shown}
    if any(len(run.series) > 1 for run, _, _ in panels):
        keys |= {"flow": legend_key(color=GREY), "SGD": legend_key(color=GREY, ls="", marker="o", ms=2.6)}
    return keys


def draw_runs(figure: Figure, runs: list[Run], names: list[str], asked: tuple[int, ...], log_time: bool) -> None:
    """One file, or one panel of several files, wraps into a grid; otherwise each file has a row of panels."""
    rows = [[(run, *cell) for cell in cells(run, names, asked)] for run in runs]
    panels = sum(rows, [])
    if len(rows) == 1 or max(map(len, rows)) == 1:
        columns = columns_of(len(panels))
        rows = [panels[start:start + columns] for start in range(0, len(panels), columns)]
    columns = max(map(len, rows))
    width, height = (3.3, 2.5) if columns * len(rows) == 1 else (2.3 * columns, 2.0 * len(rows))
    figure.set_size_inches(width, height)
    colours = colours_of(max(run.heads for run in runs))
    keys = legend_keys(panels, colours)
    depth = math.ceil(len(keys) / int(width / 0.75))
    legend_below(figure, keys, math.ceil(len(keys) / (depth or 1)), 0.18 * depth + 0.04)
    for i, row in enumerate(rows):
        for j, (run, panel, features) in enumerate(row):
            space = {"projection": "3d"} if len(features) == 3 else {}
            ax = figure.add_subplot(len(rows), columns, i * columns + j + 1, **space)
            draw = panel.draw or partial(draw_time, panel=panel)
            draw(ax, run, features=features, colours=colours[:run.heads], log_time=log_time)
            ax.set_title(describe(run.config, "activation", "heads", "features") if len(runs) > 1 else "")


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="headflow-plot", usage=argparse.SUPPRESS, allow_abbrev=False, description=
                                     "headflow-plot FILE.h5 [FILE.h5 ...] [options]: draw headflow's HDF5 files.")
    add = parser.add_argument
    add("files", nargs="+", type=Path, metavar="FILE.h5")
    add("-o", "--output", type=Path, metavar="PICTURE", help=".png, .pdf or .svg (default: X.png for "
        "the first file X.h5, FILE.h5.png for another name)")
    add("--panels", type=lambda text: text.split(","), default=[], metavar="NAME,...",
        help=f"overview or some of {', '.join(PANELS)}, or any variable of flow and sgd over time (default: overview; "
        f"for several files plane, or m where a file has one feature); of many files together {' or '.join(PICTURES)}; "
        f"of trained heads and sweeps {', '.join(SWEEPS)}")
    add("--features", nargs=2, type=int, metavar=("I", "J"), default=(), help="two, from 1, for plane, m, heads-map")
    add("--log-time", action="store_true", help="logarithmic time axis, without t = 0")
    add("--title", help="title of the picture (default: the model of a single file)")
    add("--dpi", type=int, default=150, help="dots per inch of a png, 10 to 1200 (default: 150)")
    return parser


def write_picture(figure: Figure, path: Path, dpi: int) -> None:
    """Drawn in memory first: a fault leaves an older picture whole. A palette of 256 colours keeps a png small."""
    picture, kind = io.BytesIO(), path.suffix.lower()[1:]
    undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
    figure.savefig(picture, format=kind, dpi=dpi, metadata=undated.get(kind))
    if kind == "png":
        image, picture = Image.open(picture).convert("RGB"), io.BytesIO()
        image.quantize(256).save(picture, "png", optimize=True, dpi=(dpi, dpi))
    if path.exists() and not path.is_file():
        raise ValueError(f"{path}: is no regular file")
    place = path.resolve()  # a link stays, and what it leads to is replaced at once
    part = place.with_name(f".{os.getpid()}.headflow-plot")
    try:
        part.write_bytes(picture.getvalue())
        part.replace(place)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


def picture_of(path: Path) -> Path:
    """X.png for X.h5, NAME.h5.png for any other: no two files have the same."""
    stem = path.name.removesuffix(".h5")
    if stem == path.name:
        return path.with_name(f"{stem}.h5.png")
    return path.with_name(f"{path.name}.png" if stem.endswith(".h5") or not stem else f"{stem}.png")


def check_options(options: argparse.Namespace) -> None:
    """Those that can be judged without the files; the picture's name if it has none."""
    if folders := [str(path) for path in options.files if path.is_dir()]:
        raise ValueError(f"{folders[0]}: is a directory")
    output = options.output = options.output or picture_of(options.files[0])
    if output.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{output}: unknown picture suffix '{output.suffix}', known are {', '.join(SUFFIXES)}")
    if output.resolve() in [path.resolve() for path in options.files]:
        raise ValueError(f"{output}: the picture would overwrite its input")
    if not 10 <= options.dpi <= 1200:
        raise ValueError(f"--dpi {options.dpi}: allowed are 10 to 1200")
    if len(options.panels) > 1 and (alone := [name for name in options.panels if name in ALONE]):
        raise ValueError(f"--panels: '{alone[0]}' is a picture of its own, found '{','.join(options.panels)}'")


def plot(options: argparse.Namespace) -> None:
    """Check the options, read the files, draw and write the picture."""
    check_options(options)
    read = results_of if set(options.panels) & set(SWEEPS) else series_of
    runs = [read(path) for path in options.files]
    for run in runs:
        if len(set(options.features)) == 1 or not all(1 <= f <= run.features for f in options.features):
            raise ValueError(f"--features: choose two different ones from 1 to {run.features}, of {run.data.path}")
    plane = "plane" if min(run.features for run in runs) > 1 else "m"
    names = options.panels or ["overview" if len(runs) == 1 else plane]
    features = tuple(f - 1 for f in options.features)
    matplotlib.rcdefaults()
    matplotlib.rcParams.update(STYLE)
    figure = Figure()
    if names[0] in ALONE:
        ALONE[names[0]](figure, runs, features)
    else:
        draw_runs(figure, runs, names, features, options.log_time)
    title = options.title if options.title is not None else describe(runs[0].config, *TITLE) if len(runs) == 1 else ""
    if title:
        figure.suptitle(textwrap.fill(title, int(figure.get_figwidth() / 0.06), break_long_words=False))
    write_picture(figure, options.output, options.dpi)


def main() -> None:
    """headflow-plot: what the command line asks for; exit code 2 and one line where it cannot be drawn."""
    warnings.simplefilter("ignore")  # of numpy and matplotlib, on data that are not finite
    parser = argument_parser()
    options = parser.parse_args()
    try:
        plot(options)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        parser.error(" ".join(str(error).split()))
    print(options.output)
