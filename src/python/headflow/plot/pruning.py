"""Pictures of pruning: the loss of trained heads as they are removed one by one, and how much it varies over runs."""
from collections import defaultdict

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from headflow.files import Results
from headflow.plot.look import BAYES, bars, colours_of, legend_key
from headflow.plot.sweeps import (LOSS, Line, activation_colours, add_legend, lines_of, model_of, row_of_panels,
                                  set_scale, wrapped)


def pruned_panels(files: list[Results]) -> list[list[tuple[Results, Line]]]:
    """A panel for each sweep and for each model of the single runs: these differ in activation, or in their names."""
    panels, colours = defaultdict(list), activation_colours(files)
    for results in files:
        place = results.data.path if results.axes else model_of(results)
        panels[place] += [(results, line) for line in lines_of(results, (), colours)]
    for members in panels.values():
        if len({line.label for _, line in members}) < len(members):
            for i, ((results, line), colour) in enumerate(zip(members.copy(), colours_of(len(members)))):
                name, look = results.data.path.stem, line.look | {"color": colour}
                keys = {name: legend_key(color=colour, marker=look["marker"])}
                members[i] = results, line._replace(label=name, look=look, keys=keys)
    return list(panels.values())


def losses_of(results: Results, line: Line) -> np.ndarray:
    """(run, heads removed), of all starts and repeats."""
    loss = results.get("prune/loss", "start", "left")[line.index]
    return loss.reshape(-1, loss.shape[-1])


def draw_pruned(ax: Axes, members: list[tuple[Results, Line]]) -> dict[str, Line2D]:
    """The lines of one panel; returns their legend keys."""
    shown, risks, keys = [], {}, {}
    for results, line in members:
        loss = losses_of(results, line)
        removed = np.arange(loss.shape[1])
        if len(loss) > 1:
            ax.plot(removed, loss.T, color=line.look["color"], lw=0.5, alpha=0.35, zorder=2)
        ax.plot(removed, np.nanmedian(loss, axis=0), **line.look)
        shown.append(loss.ravel())
        keys |= line.keys
        if "bayes/risk" in results.data:
            risks.setdefault(f"{np.nanmean(results.get('bayes/risk')[line.index]):.3g}", line.label)
    for risk, label in risks.items():
        ax.axhline(float(risk), **BAYES)
        keys[f"Bayes, {label}" if len(risks) > 1 else "Bayes"] = legend_key(**BAYES)
    label_removed(ax)
    set_scale(ax, "y", np.concatenate([*shown, [float(risk) for risk in risks]]))
    return keys


def label_removed(ax: Axes) -> None:
    ax.set_xlabel("heads removed")
    ax.margins(x=0.05)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def draw_pruned_spread(ax: Axes, members: list[tuple[Results, Line]]) -> dict[str, Line2D]:
    """Standard deviation of the loss over starts and repeats, with its standard error as of Gaussian numbers."""
    shown, keys = [], {}
    for results, line in members:
        loss = losses_of(results, line)
        if len(loss) < 2:
            raise ValueError(f"{results.data.path}: a single start, which has no spread")
        deviation = np.nanstd(loss, axis=0, ddof=1)
        ax.errorbar(np.arange(deviation.size), deviation, bars(deviation / np.sqrt(2 * (len(loss) - 1))),
                    elinewidth=0.8, **line.look)
        shown.append(deviation)
        keys |= line.keys
    label_removed(ax)
    set_scale(ax, "y", np.concatenate(shown))
    return keys


def draw_prune(figure: Figure, files: list[Results], features: tuple[int, ...], by: tuple[str, ...] = ()) -> None:
    """Loss against the heads removed: median of starts and repeats, each of them a faint line, Bayes risk dashed."""
    groups = pruned_panels(files)
    panels, keys = row_of_panels(figure, len(groups), 3.0, 2.8, LOSS), {}
    for ax, members in zip(panels, groups):
        keys |= draw_pruned(ax, members)
        ax.set_title(wrapped(model_of(members[0][0])) if len(files) > 1 else "")
    add_legend(figure, keys)


def draw_prune_spread(figure: Figure, files: list[Results], features: tuple[int, ...],
                      by: tuple[str, ...] = ()) -> None:
    """Above the loss against the heads removed, below its standard deviation over starts and repeats."""
    groups = pruned_panels(files)
    figure.set_size_inches(3.0 * len(groups) if len(groups) > 1 else 3.4, 4.6)
    panels, keys = figure.subplots(2, len(groups), squeeze=False, sharex="col"), {}
    for (above, below), members in zip(panels.T, groups):
        keys |= draw_pruned(above, members) | draw_pruned_spread(below, members)
        above.set(title=wrapped(model_of(members[0][0])) if len(files) > 1 else "", xlabel="")
    panels[0, 0].set_ylabel(LOSS)
    panels[1, 0].set_ylabel("its standard deviation over runs")
    add_legend(figure, keys)
