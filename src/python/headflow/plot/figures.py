"""Whole pictures: panels of one run or several, ensembles, sweeps, as headflow-plot draws them."""
import contextlib
import difflib
import math
import textwrap
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.collections import Collection, LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from headflow.files import TITLE, Data, Run, data_of, describe, results_of, series_of
from headflow.plot.ensembles import draw_samples_picture, draw_specialization, draw_spread
from headflow.plot.look import GREY, MAX_KEYS, STYLE, colours_of, columns_of, legend_below, legend_key
from headflow.plot.planes import draw_cosine_map, draw_heads_map
from headflow.plot.pruning import draw_prune, draw_prune_spread
from headflow.plot.series import PANELS, Panel, draw_heads, draw_marks, draw_time
from headflow.plot.stages import draw_stages
from headflow.plot.sweeps import draw_maps, draw_trained
from headflow.plot.theory import draw_estimator, draw_scalings_picture
from headflow.plot.variables import draw_variables

PICTURES = {"specialization": draw_specialization, "spread": draw_spread, "samples": draw_samples_picture}
SWEEPS = {"trained": draw_trained, "prune": draw_prune, "prune-spread": draw_prune_spread, "maps": draw_maps,
          "cosine-map": draw_cosine_map, "heads-map": draw_heads_map, "stages": draw_stages, "scalings":
          draw_scalings_picture, "estimator": draw_estimator}
ALONE = PICTURES | SWEEPS
NO_STYLE = ("backend", "backend_fallback", "interactive", "toolbar", "timezone", "datapath", "date.epoch",
            "docstring.hardcopy")
MAX_FEATURES = 4  # panels of m drawn when the user names no features


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
    if any(len(run.series) > 1 and panel.compares for run, panel, _ in panels):
        keys |= {"flow": legend_key(color=GREY), "SGD": legend_key(color=GREY, ls="", marker="o", ms=2.6)}
    spreads = [(run.spread(), panel) for run, panel, _ in panels]
    if any(spread is not None and not panel.draw and panel.variable in spread[1] for spread, panel in spreads):
        keys |= {"1, 2 std. dev.": legend_key(color=GREY, lw=6, alpha=0.35)}
    for run, panel, _ in panels:
        keys |= panel.legend(run) if panel.legend else {}
    return keys


def grid(figure: Figure, rows: int, columns: int, keys: dict[str, Any], empty: bool) -> None:
    """The figure's size for so many panels, and the legend: in the grid's last field if that is empty, else below."""
    width, height = (3.3, 2.5) if columns * rows == 1 else (2.3 * columns, 2.0 * rows)
    figure.set_size_inches(width, height)
    field = max([0.75, *(0.07 * len(key) for key in keys if len(key) > 16)])  # inches
    depth = math.ceil(len(keys) / max(1, int(width / field)))
    if empty and keys:
        ax = figure.add_subplot(rows, columns, rows * columns)
        ax.set_axis_off()
        ax.legend(keys.values(), keys.keys(), loc="center", ncol=math.ceil(len(keys) / 10))
        keys, depth = {}, 0
    legend_below(figure, keys, math.ceil(len(keys) / (depth or 1)), 0.18 * depth + 0.04)


def space_of(features: tuple[int, ...]) -> dict[str, str]:
    return {"projection": "3d"} if len(features) == 3 else {}


def draw_in(ax: Any, run: Run, panel: Panel, features: tuple[int, ...], colours: list[Any], log_time: bool,
            marks: bool = True) -> None:
    """One panel of one run."""
    draw_panel = panel.draw or partial(draw_time, panel=panel, marks=marks)
    draw_panel(ax, run, features=features, colours=colours[:run.heads], log_time=log_time)


def names_of(runs: list[Run]) -> list[str]:
    """Those of the files, with their folders where names are alike."""
    files = [str(run.data.path) for run in runs]
    names = [Path(file).name.removesuffix(".h5") for file in files]
    return [name if names.count(name) == 1 else file for name, file in zip(names, files)]


def common_settings(runs: list[Run]) -> list[str]:
    """Those of the title that are alike in all files."""
    return [key for key in TITLE if len({describe(run.config, key) for run in runs}) == 1]


def labels_of(runs: list[Run]) -> list[str]:
    """The names of the files, and the settings in which they differ."""
    common = common_settings(runs)
    own = [describe(run.config, *(key for key in TITLE if key not in common)) for run in runs]
    return [": ".join(filter(None, parts)) for parts in zip(names_of(runs), own)]


def titles_of(runs: list[Run]) -> list[str]:
    """What tells several files from each other: their models, and their names where these are alike."""
    if len(runs) == 1:
        return [""]
    models, names = [describe(run.config, "activation", "heads", "features") for run in runs], names_of(runs)
    if len(set(models)) == 1:
        return names
    return [model if models.count(model) == 1 else f"{model}\n{name}" for model, name in zip(models, names)]


def draw_runs(figure: Figure, runs: list[Run], names: list[str], asked: tuple[int, ...], log_time: bool) -> None:
    """One file, or one panel of several files, wraps into a grid; otherwise each file has a row of panels."""
    rows = [[(run, *cell) for cell in cells(run, names, asked)] for run in runs]
    panels = sum(rows, [])
    if len(rows) == 1 or max(map(len, rows)) == 1:
        columns = columns_of(len(panels))
        rows = [panels[start:start + columns] for start in range(0, len(panels), columns)]
    columns = max(map(len, rows))
    colours, titles = colours_of(max(run.heads for run in runs)), dict(zip(map(id, runs), titles_of(runs)))
    grid(figure, len(rows), columns, legend_keys(panels, colours), len(rows[-1]) < columns)
    for i, row in enumerate(rows):
        for j, (run, panel, features) in enumerate(row):
            ax = figure.add_subplot(len(rows), columns, i * columns + j + 1, **space_of(features))
            draw_in(ax, run, panel, features, colours, log_time)
            ax.set_title(titles[id(run)])


def paint(artists: set[Artist], colour: Any) -> None:
    """The curves, dots, bands and marks among these in one colour; lines at zero, behind all, stay."""
    for artist in artists:
        if isinstance(artist, (Line2D, Text)) and artist.get_zorder() > 0:
            artist.set_color(colour)
        elif isinstance(artist, LineCollection):
            artist.set_color(colour)
        elif isinstance(artist, Collection):
            artist.set_facecolor(colour)


def draw_overlay(figure: Figure, runs: list[Run], names: list[str], asked: tuple[int, ...], log_time: bool) -> None:
    """All files in the same panels, each in one colour and with the name of its file and its own settings."""
    panels = cells(min(runs, key=lambda run: run.features), names, asked)
    able = [name for name, panel in PANELS.items() if panel.draw in (None, draw_heads)]
    for panel, _ in panels:
        if panel.draw not in (None, draw_heads):
            name = next(name for name, one in PANELS.items() if one is panel)
            raise ValueError(f"--overlay: the panel '{name}' shows one file; these show several: {', '.join(able)} "
                             "and the variables over time")
    columns = columns_of(len(panels))
    rows = math.ceil(len(panels) / columns)
    colours = colours_of(len(runs))
    keys = {name: legend_key(color=colour) for name, colour in zip(labels_of(runs), colours)}
    if any(len(run.series) > 1 for run in runs):
        keys |= legend_keys([(run, *panels[0]) for run in runs if len(run.series) > 1], [])
    grid(figure, rows, columns, keys, len(panels) < rows * columns)
    for i, (panel, features) in enumerate(panels):
        ax = figure.add_subplot(rows, columns, i + 1, **space_of(features))
        steps = [partial(draw_in, ax, run, panel, features, [colour] * run.heads, log_time, marks=False)
                 for run, colour in zip(runs, colours)]
        if panel.variable == "loss":  # whose axis of time is that of all runs only now
            steps += [partial(draw_marks, ax, run.marks()) for run in runs]
        for draw_step, colour in zip(steps, 2 * colours):
            before = set(ax.get_children())
            draw_step()
            paint(set(ax.get_children()) - before, colour)


@contextlib.contextmanager
def style() -> Iterator[None]:
    """The look of headflow-plot, whatever the user's settings are."""
    # What matplotlib.rcdefaults does, which reads all of the styles that come with it.
    own, plain = matplotlib.rcParams, matplotlib.rcParamsDefault
    with matplotlib.rc_context():
        own.update({name: plain[name] for name in own if name not in NO_STYLE and own[name] != plain[name]} | STYLE)
        yield


def of_sweep(data: Data, panels: Sequence[str]) -> bool:
    """Whether the panels are variables of a sweep, against a swept key."""
    return "sweep" in data and len(panels) > 0 and not set(panels) & set(ALONE)


def read_files(files: Sequence[Any], panels: Sequence[str], features: Sequence[int]) -> list[Any]:
    """The files as those panels need them: runs, or results of sweeps. Throws ValueError for features they lack."""
    files = [data_of(file) for file in files]
    trained = set(panels) & set(SWEEPS) or any(of_sweep(file, panels) for file in files)
    runs = [results_of(file) if trained else series_of(file) for file in files]
    for run in runs:
        if len(set(features)) == 1 or not all(1 <= f <= run.features for f in features):
            raise ValueError(f"--features: choose two different ones from 1 to {run.features}, of {run.data.path}")
    return runs


def draw(figure: Figure, files: Sequence[Any], panels: Sequence[str] = (), features: Sequence[int] = (),
         by: Sequence[str] = (), log_time: bool = False, title: str | None = None, overlay: bool = False) -> None:
    """All panels into an empty figure, which takes the size that they need; of sweeps `trained` where none are
    asked for. Features count from 1."""
    if len(panels) > 1 and (alone := [name for name in panels if name in ALONE]):
        raise ValueError(f"--panels: '{alone[0]}' is a picture of its own, found '{','.join(panels)}'")
    files = [data_of(file) for file in files]
    if not panels and all("sweep" in file for file in files):
        panels = ["trained"]
    variables = any(of_sweep(file, panels) for file in files)
    if by and not variables and not set(panels) & set(SWEEPS):
        raise ValueError(f"--by belongs to pictures of sweeps: {', '.join(SWEEPS)}, and their variables")
    runs = read_files(files, panels, features)
    plane = "plane" if min(run.features for run in runs) > 1 else "m"
    names = list(panels) or ["overview" if len(runs) == 1 or overlay else plane]
    if overlay and (variables or names[0] in ALONE):
        raise ValueError("--overlay takes panels over time, plane and space")
    places = tuple(f - 1 for f in features)
    if variables:
        draw_variables(figure, runs, names, tuple(by))
    elif names[0] in SWEEPS:
        SWEEPS[names[0]](figure, runs, places, tuple(by))
    elif names[0] in PICTURES:
        PICTURES[names[0]](figure, runs, places)
    else:
        (draw_overlay if overlay else draw_runs)(figure, runs, names, places, log_time)
    if title is None:
        models = {describe(run.config, *TITLE) for run in runs}
        alone = len(runs) > 1 and (variables or names[0] in ALONE)  # each of their panels has the model
        title = models.pop() if len(models) == 1 and not alone else ""
        if overlay:
            title = describe(runs[0].config, *common_settings(runs))
    if title:
        figure.suptitle(textwrap.fill(title, int(figure.get_figwidth() / 0.06), break_long_words=False))
