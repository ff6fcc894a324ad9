"""Panels of many runs, of sweeps and of trained heads as functions of data and Axes, as those of a run in panels.py."""
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from headflow.files import Results, results_of, series_of
from headflow.plot.ensembles import draw_deviations, draw_samples, draw_split_times
from headflow.plot.grids import Grid
from headflow.plot.panels import Data, added_to, axes_or_new, many_of, name_all, one_of, place_of, places_of
from headflow.plot.planes import cells_of, common_limits, draw_plane, draw_similarity, maps_of
from headflow.plot.pruning import draw_pruned, draw_pruned_spread, pruned_panels
from headflow.plot.stages import cases_of, draw_rates, draw_times
from headflow.plot.look import legend_outside
from headflow.plot.sweeps import LOSS, MAPS, activation_colours, draw_losses, draw_sequence, norm_of
from headflow.plot.theory import draw_learnt_biases, draw_scalings
from headflow.plot.variables import draw_values


def specialization(data: Sequence[Data], ax: Axes | None = None, *, feature: int | None = None,
                   legend: bool = True) -> list[Artist]:
    """Time at which heads split along a feature (default: the last one) against the dimension D: medians of many
    runs."""
    runs = [series_of(one) for one in many_of(data)]
    place, ax = place_of(runs, feature), axes_or_new(ax)
    artists = added_to(ax, lambda: draw_split_times(ax, runs, place))
    name_all(ax, legend)
    return artists


def spread(data: Sequence[Data], ax: Axes | None = None, *, feature: int = 1, legend: bool = True) -> list[Artist]:
    """Standard deviation of m over replicas of SGD against time: a line for each run."""
    runs = [series_of(one) for one in many_of(data)]
    place, ax = place_of(runs, feature), axes_or_new(ax)
    artists = added_to(ax, lambda: draw_deviations(ax, runs, place))
    name_all(ax, legend)
    return artists


def samples(data: Sequence[Data], ax: Axes | None = None, *, feature: int | None = None,
            legend: bool = True) -> list[Artist]:
    """Sequences per dimension n / D that the two phases take, against D: of runs of SGD, and flows with its noise."""
    runs = [series_of(one) for one in many_of(data)]
    place, ax = place_of(runs, feature), axes_or_new(ax)
    artists = added_to(ax, lambda: draw_samples(ax, runs, place))
    name_all(ax, legend)
    return artists


def trained(data: Data, ax: Axes | None = None, *, by: str | None = None, legend: bool = True) -> list[Artist]:
    """Loss of trained heads, or at the end of the flow, against a swept key, with the Bayes risk.

    Parameters
    ----------
    data : Result or path
        A sweep.
    by : str, optional
        The swept key on the axis, "section.key"; the default is the first with numbers.
    """
    results, ax = _sweep(data, "trained"), axes_or_new(ax)
    keys = {}
    artists = added_to(ax, lambda: keys.update(draw_losses(ax, results, activation_colours([results]), (by,)
                                                         if by else ())))
    _explained(ax, keys, legend)
    return artists


def _pruned(data: Data, ax: Axes | None, drawing: Callable[..., dict[str, Any]], label: str,
            legend: bool) -> list[Artist]:
    files = [results_of(one) for one in many_of(data)]
    groups = pruned_panels(files)
    if len(groups) > 1:
        raise ValueError(f"the {len(files)} files hold {len(groups)} models or sweeps: one panel shows one")
    ax, keys = axes_or_new(ax), {}
    artists = added_to(ax, lambda: keys.update(drawing(ax, groups[0])))
    _explained(ax, keys, legend, label)
    return artists


def prune(data: Data, ax: Axes | None = None, *, legend: bool = True) -> list[Artist]:
    """Loss against the heads that are removed: of a sweep, or of several single runs of one model."""
    return _pruned(data, ax, draw_pruned, LOSS, legend)


def prune_spread(data: Data, ax: Axes | None = None, *, legend: bool = True) -> list[Artist]:
    """Standard deviation of the loss over starts and repeats, against the heads that are removed. See `prune`."""
    return _pruned(data, ax, draw_pruned_spread, "its standard deviation over runs", legend)


def maps(data: Data, ax: Axes | None = None, *, sequence: int = 1, below: Axes | None = None) -> list[Artist]:
    """Attention of one sequence, counted from 1: a cell for each head and token, the relevant token framed.

    Parameters
    ----------
    below : Axes, optional
        Where to draw the mean over heads; without, a strip below `ax`.
    """
    results, ax = results_of(one_of(data)), axes_or_new(ax)
    sigma, mean, _, relevant = (results.get(f"maps/{name}", "sequence", *own)[0] for name, *own in MAPS)
    if not 1 <= sequence <= len(sigma):
        raise ValueError(f"sequence {sequence}: choose from 1 to {len(sigma)}, of {results.data.path}")
    strip = below if below is not None else ax.inset_axes((0, -0.3, 1, 0.22))
    place = sequence - 1
    artists = added_to(ax, lambda: draw_sequence(ax, strip, sigma[place], mean[place], int(relevant[place]),
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
        The swept keys on the axes; the default is the first two with numbers.
    **where
        Values of the other swept keys, such as ``**{"attention.activation": "softmax"}``.

    Returns
    -------
    list of Artist
        With the mesh first, for a colour bar.
    """
    grid, values = _map(_sweep(data, "cosine-map"), by, where, "cosine-map", "cosine", "head", "head_b")
    ax = axes_or_new(ax)
    return added_to(ax, lambda: draw_similarity(ax, grid, values[..., 0, 1]))


def heads_map(data: Data, ax: Axes | None = None, *, features: tuple[int, int] = (1, 2),
              by: tuple[str, str] | None = None,
              **where: Any) -> list[Artist]:
    """The heads in the plane of two features, in small axes over the plane of two swept keys. See `cosine_map`."""
    results = _sweep(data, "heads-map")
    shown = places_of(results, features, 2)
    grid, values = _map(results, by, where, "heads-map", "m", "head", "feature")
    ax = axes_or_new(ax)
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

    return added_to(ax, drawing)


def stage_rates(data: Sequence[Data], ax: Axes | None = None, *, feature: int | None = None,
                legend: bool = True) -> list[Artist]:
    """Growth rates of the heads' differences, predicted and seen: of sweeps over start.dimension."""
    cases = list(cases_of([results_of(one) for one in many_of(data)]))
    place, ax = place_of([case.results for case in cases], feature), axes_or_new(ax)
    artists = added_to(ax, lambda: draw_rates(ax, cases, place))
    name_all(ax, legend)
    return artists


def stage_times(data: Sequence[Data], ax: Axes | None = None, *, feature: int | None = None) -> list[Artist]:
    """Time of the first split against D, predicted (lines) and seen (dots): of sweeps over start.dimension."""
    cases = list(cases_of([results_of(one) for one in many_of(data)]))
    if len(priors := {case.prior for case in cases}) > 1:
        raise ValueError(f"the files have {len(priors)} priors, {', '.join(sorted(priors))}: one panel shows one")
    place, ax = place_of([case.results for case in cases], feature), axes_or_new(ax)
    return added_to(ax, lambda: draw_times(ax, cases, place))


def values(data: Data, name: str, ax: Axes | None = None, *, by: str | None = None,
           legend: bool = True) -> list[Artist]:
    """Any variable of a sweep, such as "split_time", against a swept key: medians, and a faint dot for each run.

    Parameters
    ----------
    name : str
        A variable of trained heads, else of the end of the flow or of SGD; or with its group, "saddle/loss".
    by : str, optional
        The swept key on the axis, "section.key"; the default is the first with numbers.
    """
    results, ax, keys = _sweep(data, "values"), axes_or_new(ax), {}
    artists = added_to(ax, lambda: keys.update(draw_values(ax, results, name, activation_colours([results]),
                                                           (by,) if by else ())))
    _explained(ax, keys, legend, ax.get_ylabel())
    return artists


def scalings(data: Data, ax: Axes | None = None, *, by: str | None = None, legend: bool = True) -> list[Artist]:
    """|m_h|, |b_h| and v of trained softmax-1 against a swept signal, beside its powers 1/2, 1 and 0. See `values`."""
    results, ax = _sweep(data, "scalings"), axes_or_new(ax)
    artists = added_to(ax, lambda: draw_scalings(ax, results, (by,) if by else ()))
    name_all(ax, legend)
    return artists


def learnt_biases(data: Data, ax: Axes | None = None, *, legend: bool = True) -> list[Artist]:
    """Trained biases of Bayes-softmax against -|theta|^2 / 2 + log P(theta) of the atom next to each head."""
    results, ax = results_of(one_of(data)), axes_or_new(ax)
    artists = added_to(ax, lambda: draw_learnt_biases(ax, results))
    name_all(ax, legend)
    return artists


def _sweep(data: Data, picture: str) -> Results:
    results = results_of(one_of(data))
    if not results.axes:
        raise ValueError(f"{results.data.path}: is a single run, and {picture} draws sweeps")
    return results


def _explained(ax: Axes, keys: dict[str, Any], legend: bool, label: str = LOSS) -> None:
    """The Bayes risk last."""
    ax.set_ylabel(label)
    if legend and keys:
        legend_outside(ax, keys | {name: keys.pop(name)
                                   for name in [name for name in keys if name.startswith("Bayes")]})
