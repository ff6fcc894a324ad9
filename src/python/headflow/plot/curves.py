"""Curves against time: a line for the flow, dots for SGD."""
import math
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from headflow.files import Series
from headflow.plot.look import WHITE_EDGE, bars

DOTS = 20         # SGD's dots on a curve
REPLICAS = 50     # of which each has dots
DOT = {"fmt": "o", "ms": 2.6, **WHITE_EDGE, "elinewidth": 0.6, "zorder": 3}


class Curve(NamedTuple):
    """Values (time) or (time, replica), and for the flow the standard error of the sampled mean, if known."""
    values: np.ndarray
    colour: Any
    style: Any = "-"
    error: np.ndarray | None = None
    label: str = ""


def draw_curve(ax: Axes, series: Series, curve: Curve, log_time: bool, each: bool = False) -> None:
    """The flow: a line and its band of two standard errors. SGD: mean and standard deviation over replicas, or the
    dots of `each`."""
    keep = series.time > (0 if log_time else -math.inf)
    time = series.time[keep]
    mean, spread = series.average(curve.values[keep])
    if series.kind != "sgd":
        ax.plot(time, mean, color=curve.colour, ls=curve.style, marker="." if time.size == 1 else None,
                label=curve.label or None)
        if curve.error is not None:
            ax.fill_between(time, mean - 2 * curve.error[keep], mean + 2 * curve.error[keep], color="0.8", lw=0)
    elif time.size:
        place = np.log(time) if log_time else time
        pick = np.unique(np.searchsorted(place, np.linspace(place[0], place[-1], DOTS)).clip(max=time.size - 1))
        if each:
            ax.plot(time[pick], curve.values[keep][pick, :REPLICAS], ".", color=curve.colour, ms=1.8, mew=0, zorder=3)
        else:
            ax.errorbar(time[pick], mean[pick], bars(spread[pick]), color=curve.colour, **DOT)
