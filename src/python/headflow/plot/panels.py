"""Every panel of headflow-plot as a function of data and Axes, which returns the artists that it has added."""
import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from headflow.files import Grid, Results, Run, results_of, series_of
from headflow.plot.ensembles import draw_deviations, draw_split_times
from headflow.plot.figures import draw, panel_of
from headflow.plot.figures import style as _style
from headflow.plot.look import colours_of, legend_outside
from headflow.plot.planes import cells_of, common_limits, draw_plane, draw_similarity, maps_of
from headflow.plot.series import PANELS, draw_time
from headflow.plot.stages import cases_of, draw_rates, draw_times
from headflow.plot.sweeps import (LOSS, MAPS, activation_colours, draw_losses, draw_pruned, draw_sequence, norm_of,
                                   pruned_panels)

Data = Any
"""What headflow.open returns, or the path of a file."""


def _axes(ax: Axes | None, **options: Any) -> Axes:
    """Those that are given, else the current ones of pyplot."""
    if ax is not None:
        return ax
    from matplotlib import pyplot
    return pyplot.figure().add_subplot(**options) if options else pyplot.gca()


def _added(ax: Axes, drawing: Callable[[], Any]) -> list[Artist]:
    """What a drawing adds to the axes."""
    before = set(ax.get_children())
    drawing()
    return [child for child in ax.get_children() if child not in before]


def _named(ax: Axes, legend: bool) -> None:
    """A legend outside the axes, of what has a name, and of what a panel explains by itself."""
    own = ax.get_legend()
    handles, names = ax.get_legend_handles_labels()
    keys = dict(zip(names, handles))
    if own is not None:
        # As matplotlib 3.7 and later, or 3.6, names them.
        lines = own.legend_handles if hasattr(own, "legend_handles") else own.legendHandles
        keys |= dict(zip([text.get_text() for text in own.get_texts()], lines))
        own.remove()
    if legend and keys:
        legend_outside(ax, keys)


def _many(data: Any) -> list[Any]:
    """One result or several, also those that were opened together."""
    if isinstance(data, (str, PathLike)) or not isinstance(data, (list, tuple)):
        data = [data]
    # A path has parts, too, but those are its folders.
    return [part for one in data for part in ([one] if isinstance(one, PathLike) else getattr(one, "parts", [one]))]


def _one(data: Any) -> Any:
    files = _many(data)
    if len(files) != 1:
        raise ValueError(f"this panel shows one file, found {len(files)}: give one of .parts")
    return files[0]


def _places(of: Run | Results, features: Sequence[int], count: int) -> tuple[int, ...]:
    """Features from 1 as places from 0. Throws ValueError unless they are so many different ones of the file."""
    if len(features) != count or len(set(features)) < count or not set(features) <= set(range(1, of.features + 1)):
        ones = f"{count} different ones" if count > 1 else "one"
        raise ValueError(f"{of.data.path}: features {', '.join(map(str, features))}: choose {ones} from 1 to "
                         f"{of.features}")
    return tuple(int(f) - 1 for f in features)


def _place(of: Sequence[Run | Results], feature: int | None) -> int | None:
    """Of one feature of all of them."""
    return None if feature is None else [_places(one, (feature,), 1) for one in of][0][0]


def _run_panel(name: str, data: Data, ax: Axes | None, features: Sequence[int], log_time: bool,
               legend: bool) -> list[Artist]:
    run: Run = series_of(_one(data))
    places = _places(run, features, {"m": 1, "plane": 2, "space": 3}.get(name, 0))
    drawable = [one for one, need in PANELS.items() if run.heads >= need.heads and run.features >= need.features
                and any(need.variable in series for series in run.series)]
    panel = panel_of(run, name, drawable)
    ax = _axes(ax, **({"projection": "3d"} if len(features) == 3 else {}))
    draw_panel = panel.draw or partial(draw_time, panel=panel)
    artists = _added(ax, lambda: draw_panel(ax, run, features=places, colours=colours_of(run.heads), log_time=log_time))
    _named(ax, legend)
    return artists


def loss(data: Data, ax: Axes | None = None, *, log_time: bool = False) -> list[Artist]:
    """The population loss with its standard error, and the times of alignment and splits.

    Parameters
    ----------
    data : Result or path
        A single run. The flow is a line, SGD dots with their standard deviation over replicas.
    ax : Axes, optional
        Where to draw; without, the current axes of pyplot.
    log_time : bool
        Logarithmic time axis, without t = 0.

    Returns
    -------
    list of Artist
        What was added to the axes.
    """
    return _run_panel("loss", data, ax, (), log_time, False)


def m(data: Data, ax: Axes | None = None, *, feature: int = 1, log_time: bool = False,
      legend: bool = True) -> list[Artist]:
    """Overlaps of all heads with one feature, counted from 1, against time. See `loss` for the parameters."""
    return _run_panel("m", data, ax, (feature,), log_time, legend)


def plane(data: Data, ax: Axes | None = None, *, features: tuple[int, int] = (1, 2),
          legend: bool = True) -> list[Artist]:
    """Paths of the heads in the plane of two features, from open to filled dot. See `loss` for the parameters."""
    return _run_panel("plane", data, ax, features, False, legend)


def space(data: Data, ax: Axes | None = None, *, features: tuple[int, int, int] = (1, 2, 3),
          legend: bool = True) -> list[Artist]:
    """Paths of the heads in the space of three features; `ax` is one with projection "3d". See `loss`."""
    return _run_panel("space", data, ax, features, False, legend)


def r(data: Data, ax: Axes | None = None, *, log_time: bool = False, legend: bool = True) -> list[Artist]:
    """Overlaps of the heads outside the span of the spikes: of each with itself, and the largest of two. See `loss`."""
    return _run_panel("r", data, ax, (), log_time, legend)


def b(data: Data, ax: Axes | None = None, *, log_time: bool = False, legend: bool = True) -> list[Artist]:
    """Biases of the heads, and the scale v if it moves. See `loss` for the parameters."""
    return _run_panel("b", data, ax, (), log_time, legend)


def cosine(data: Data, ax: Axes | None = None, *, log_time: bool = False, legend: bool = True) -> list[Artist]:
    """Cosine similarity of every two heads, dashed in the colours of both. See `loss` for the parameters."""
    return _run_panel("cosine", data, ax, (), log_time, legend)


def gradient(data: Data, ax: Axes | None = None, *, log_time: bool = False) -> list[Artist]:
    """Norm of the gradient of the loss, with its standard error. See `loss` for the parameters."""
    return _run_panel("gradient", data, ax, (), log_time, False)


def variable(data: Data, name: str, ax: Axes | None = None, *, log_time: bool = False,
             legend: bool = True) -> list[Artist]:
    """Any variable of flow and SGD against time, a line for each place in its own axes. See `loss`."""
    if name in PANELS:
        raise ValueError(f"'{name}' is a panel: headflow.plot.{name}")
    return _run_panel(name, data, ax, (), log_time, legend)


def hierarchy(data: Data, ax: Axes | None = None, *, log_time: bool = False) -> list[Artist]:
    """A barcode of the sides that the heads take along each feature. See `loss` for the parameters."""
    return _run_panel("hierarchy", data, ax, (), log_time, False)


def growth(data: Data, ax: Axes | None = None, *, log_time: bool = False, legend: bool = True) -> list[Artist]:
    """Spread of m over heads: seen, predicted, and rates by the Hessian at plateaus. See `loss` for the parameters."""
    return _run_panel("growth", data, ax, (), log_time, legend)


def angle(data: Data, ax: Axes | None = None, *, legend: bool = True) -> list[Artist]:
    """Growth rate of the next feature at a plateau, against the angle of its pattern to those learnt. See `loss`."""
    return _run_panel("angle", data, ax, (), False, legend)


def specialization(data: Sequence[Data], ax: Axes | None = None, *, feature: int | None = None,
                   legend: bool = True) -> list[Artist]:
    """Time at which heads split along a feature (the last, if not told) against the dimension D: medians of many
    runs."""
    runs = [series_of(one) for one in _many(data)]
    place, ax = _place(runs, feature), _axes(ax)
    artists = _added(ax, lambda: draw_split_times(ax, runs, place))
    _named(ax, legend)
    return artists


def spread(data: Sequence[Data], ax: Axes | None = None, *, feature: int = 1, legend: bool = True) -> list[Artist]:
    """Standard deviation of m over replicas of SGD against time: a line for each run."""
    runs = [series_of(one) for one in _many(data)]
    place, ax = _place(runs, feature), _axes(ax)
    artists = _added(ax, lambda: draw_deviations(ax, runs, place))
    _named(ax, legend)
    return artists


def trained(data: Data, ax: Axes | None = None, *, by: str | None = None, legend: bool = True) -> list[Artist]:
    """Loss of trained heads, or at the end of the flow, against a swept key, with the Bayes risk.

    Parameters
    ----------
    data : Result or path
        A sweep.
    by : str, optional
        The swept key on the axis, "section.key"; the first with numbers, if not told.
    """
    results, ax = _sweep(data, "trained"), _axes(ax)
    keys = {}
    artists = _added(ax, lambda: keys.update(draw_losses(ax, results, activation_colours([results]), (by,)
                                                         if by else ())))
    _explained(ax, keys, legend)
    return artists


def prune(data: Data, ax: Axes | None = None, *, legend: bool = True) -> list[Artist]:
    """Loss against the heads that are removed: of a sweep, or of several single runs of one model."""
    files = [results_of(one) for one in _many(data)]
    groups = pruned_panels(files)
    if len(groups) > 1:
        raise ValueError(f"the {len(files)} files are of {len(groups)} models or sweeps: one panel shows one")
    ax, keys = _axes(ax), {}
    artists = _added(ax, lambda: keys.update(draw_pruned(ax, groups[0])))
    _explained(ax, keys, legend)
    return artists


def maps(data: Data, ax: Axes | None = None, *, sequence: int = 1, below: Axes | None = None) -> list[Artist]:
    """Attention of one sequence, counted from 1: a cell for each head and token, the relevant token framed.

    Parameters
    ----------
    below : Axes, optional
        Where to draw the mean over heads; without, a strip below `ax`.
    """
    results, ax = results_of(_one(data)), _axes(ax)
    sigma, mean, _, relevant = (results.get(f"maps/{name}", "sequence", *own)[0] for name, *own in MAPS)
    if not 1 <= sequence <= len(sigma):
        raise ValueError(f"sequence {sequence}: choose from 1 to {len(sigma)}, of {results.data.path}")
    strip = below if below is not None else ax.inset_axes((0, -0.3, 1, 0.22))
    place = sequence - 1
    artists = _added(ax, lambda: draw_sequence(ax, strip, sigma[place], mean[place], int(relevant[place]),
                                               norm_of([sigma])))
    ax.set_ylabel("head $h$")
    strip.set(xlabel="token $l$", ylabel="$A_l$", ylim=(0, max(1.0, 1.1 * mean[place].max())))
    return artists


def _where(found: list[tuple[dict[str, str], Any]], where: dict[str, Any]) -> Any:
    """The one of several combinations of swept values that is asked for."""
    left = [one for names, one in found
            if all(key in names and str(value) in (names[key], names[key].strip("$").rpartition("=")[2])
                   for key, value in where.items())]
    if len(left) == 1:
        return left[0]
    keys = ", ".join(f"{key}: {', '.join(dict.fromkeys(names[key] for names, _ in found))}" for key in found[0][0])
    raise ValueError(f"where = {where} leaves {len(left)} maps of {len(found)}; there are {keys}")


def _map(results: Results, by: tuple[str, str] | None, where: dict[str, Any], picture: str,
         *variable: str) -> tuple[Grid, Any]:
    maps_found = maps_of([results], picture, by or (), *variable)
    names = [names for _, names in results.others(maps_found[0][1].used)]
    return _where(list(zip(names, [(grid, values) for _, grid, values in maps_found])), where)


def cosine_map(data: Data, ax: Axes | None = None, *, by: tuple[str, str] | None = None, **where: Any) -> list[Artist]:
    """Cosine similarity of heads 1 and 2 over the plane of two swept keys.

    Parameters
    ----------
    by : tuple of two str, optional
        The swept keys on the axes; the first two with numbers, if not told.
    **where
        Values of the other swept keys, such as ``**{"attention.activation": "softmax"}``.

    Returns
    -------
    list of Artist
        With the mesh first, for a colour bar.
    """
    grid, values = _map(_sweep(data, "cosine-map"), by, where, "cosine-map", "cosine", "head", "head_b")
    ax = _axes(ax)
    return _added(ax, lambda: draw_similarity(ax, grid, values[..., 0, 1]))


def heads_map(data: Data, ax: Axes | None = None, *, features: tuple[int, int] = (1, 2),
              by: tuple[str, str] | None = None,
              **where: Any) -> list[Artist]:
    """The heads in the plane of two features, in small axes over the plane of two swept keys. See `cosine_map`."""
    results = _sweep(data, "heads-map")
    shown = _places(results, features, 2)
    grid, values = _map(results, by, where, "heads-map", "m", "head", "feature")
    ax = _axes(ax)
    columns, rows = cells_of(grid)
    limits = common_limits(values[..., shown].reshape(-1, 2))

    def drawing() -> None:
        ax.set(xticks=[], yticks=[])
        for i, column in enumerate(columns):
            for j, row in enumerate(rows):
                place = (i / columns.size, j / rows.size, 0.94 / columns.size, 0.94 / rows.size)
                cell = ax.inset_axes(place)
                draw_plane(cell, values[column, row][:, shown], limits)
                cell.set(xticks=[], yticks=[])
        ax.set_xticks((0.47 + np.arange(columns.size)) / columns.size, [f"{grid.x[i]:.3g}" for i in columns])
        ax.set_yticks((0.47 + np.arange(rows.size)) / rows.size, [f"{grid.y[i]:.3g}" for i in rows])
        ax.set(xlim=(0, 1), ylim=(0, 1), xlabel=f"${grid.symbols[0]}$", ylabel=f"${grid.symbols[1]}$")

    return _added(ax, drawing)


def stage_rates(data: Sequence[Data], ax: Axes | None = None, *, feature: int | None = None,
                legend: bool = True) -> list[Artist]:
    """Growth rates of the heads' differences, predicted and seen: of sweeps over start.dimension."""
    cases = list(cases_of([results_of(one) for one in _many(data)]))
    place, ax = _place([case.results for case in cases], feature), _axes(ax)
    artists = _added(ax, lambda: draw_rates(ax, cases, place))
    _named(ax, legend)
    return artists


def stage_times(data: Sequence[Data], ax: Axes | None = None, *, feature: int | None = None) -> list[Artist]:
    """Time of the first split against D, predicted (lines) and seen (dots): of sweeps over start.dimension."""
    cases = list(cases_of([results_of(one) for one in _many(data)]))
    if len(priors := {case.prior for case in cases}) > 1:
        raise ValueError(f"the files have {len(priors)} priors, {', '.join(sorted(priors))}: one panel shows one")
    place, ax = _place([case.results for case in cases], feature), _axes(ax)
    return _added(ax, lambda: draw_times(ax, cases, place))


def _sweep(data: Data, picture: str) -> Results:
    results = results_of(_one(data))
    if not results.axes:
        raise ValueError(f"{results.data.path}: is a single run, and {picture} draws sweeps")
    return results


def _explained(ax: Axes, keys: dict[str, Any], legend: bool) -> None:
    """The Bayes risk last."""
    ax.set_ylabel(LOSS)
    if legend and keys:
        legend_outside(ax, keys | {name: keys.pop(name)
                                   for name in [name for name in keys if name.startswith("Bayes")]})


def figure(data: Data | Sequence[Data], panels: Sequence[str] = (), *, features: Sequence[int] = (),
           by: Sequence[str] = (),
           log_time: bool = False, title: str | None = None, own_style: bool = False) -> Figure:
    """A whole picture, as headflow-plot draws it.

    Parameters
    ----------
    data : Result, path, or list of them
        One run, several, or sweeps.
    panels : list of str
        As for headflow-plot: ("overview",), ("loss", "plane"), ("trained",), ..
    own_style : bool
        Draw with the settings of the user instead of those of headflow-plot.
    """
    with contextlib.nullcontext() if own_style else _style():
        made = Figure(layout="constrained")
        draw(made, _many(data), [panels] if isinstance(panels, str) else list(panels), tuple(features), tuple(by),
             log_time, title)
    return made


def report(data: Data, path: str | PathLike, panels: Sequence[str] = (), *, features: Sequence[int] = (),
           by: Sequence[str] = (), log_time: bool = False, title: str | None = None) -> None:
    """Write a page about one file: pictures, tables, and the heads under a slider over time. See `figure`."""
    from headflow.plot.command import replaced
    from headflow.plot.pages import page
    if Path(path).suffix.lower() != ".html":
        raise ValueError(f"{path}: unknown suffix '{Path(path).suffix}', a report is .html")
    with _style():
        text = page(_one(data), list(panels), tuple(features), tuple(by), log_time, title)
    with replaced(Path(path)) as part:
        part.write_text(text, encoding="utf-8")


def animate(data: Data, path: str | PathLike, *, features: Sequence[int] = (1, 2), log_time: bool = False,
            frames: int = 200) -> None:
    """Write a film, .gif or .mp4, of the heads in the plane or space of two or three features, counted from 1."""
    from headflow.plot.animation import WRITERS
    from headflow.plot.animation import animate as write
    from headflow.plot.command import replaced
    path, run = Path(path), series_of(_one(data))
    if path.suffix.lower() not in WRITERS:
        raise ValueError(f"{path}: unknown picture suffix '{path.suffix}', known are {', '.join(WRITERS)}")
    if not 2 <= frames <= 5000:
        raise ValueError(f"frames = {frames}: allowed are 2 to 5000")
    places = _places(run, features, 3 if len(features) == 3 else 2)
    with _style(), replaced(path) as part:
        write(run, str(part), path.suffix.lower(), places, log_time, frames)


def save(made: Figure, path: str | PathLike, dpi: int = 150) -> None:
    """Write a picture as headflow-plot does: .png, .pdf or .svg, small and without a date."""
    from headflow.plot.command import write_picture
    with _style():
        write_picture(made, Path(path), dpi)
