"""The look of all pictures: colours, legends, sizes."""
from functools import partial
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import viridis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

# From dark to light, so that they differ in grey: L* = 24, 46, 60, 72.
PALETTE = ["#003A6B", "#BC4A00", "#14A37A", "#E3A61F"]
GREY = "0.35"
legend_key = partial(Line2D, [], [])
THIN = {"color": "0.85", "lw": 0.6, "zorder": 0}
BAYES = {"color": "black", "ls": (0, (4, 2)), "lw": 1.0, "zorder": 2.5}  # the line of the Bayes risk
WHITE_EDGE = {"mec": "white", "mew": 0.3}
MAX_KEYS = 16  # heads named in a legend
# Of headflow-plot. The functions of headflow.plot take the settings of the user.
STYLE = {
    "font.family": "STIXGeneral", "mathtext.fontset": "stix", "font.size": 8, "axes.titlesize": 9, "axes.labelsize": 9,
    "axes.linewidth": 0.6, "lines.linewidth": 1.1, "xtick.direction": "in", "ytick.direction": "in",
    "xtick.major.width": 0.6, "ytick.major.width": 0.6, "axes.xmargin": 0.02, "legend.frameon": False,
    "legend.handlelength": 1.8, "legend.columnspacing": 1.4, "legend.borderaxespad": 0.3, "pdf.fonttype": 42,
    "svg.hashsalt": "headflow", "figure.constrained_layout.use": True, "figure.constrained_layout.wspace": 0.0,
}


def colours_of(count: int) -> list[Any]:
    """So many colours, which the colour-blind can tell apart, and all can on grey paper; more than eight from dark to
    light. Those of the user, where axes.prop_cycle is not that of matplotlib and has as many."""
    cycle = matplotlib.rcParams["axes.prop_cycle"]
    own = cycle.by_key().get("color", []) if cycle != matplotlib.rcParamsDefault["axes.prop_cycle"] else []
    known = own if count <= len(own) else PALETTE
    if count <= len(known):
        return known[:count]
    shades = [tuple(shade) for shade in viridis(np.linspace(0, 0.87, count))]
    # The 1st, 5th, 3rd, 7th, ..: neighbours in this order differ most.
    return shades if count > 8 else [shades[i] for i in sorted(range(count), key=lambda i: f"{i:03b}"[::-1])]


def points(size: float) -> float:
    """The size of a font which is this where the user's is that of headflow-plot."""
    return size / STYLE["font.size"] * matplotlib.rcParams["font.size"]


def columns_of(count: int) -> int:
    """Of a grid of so many panels: more than three wrap."""
    return count if count < 4 else 2 if count == 4 else 3


def legend_below(figure: Figure, keys: dict[str, Line2D], columns: int, strip: float) -> None:
    """The figure grows by a strip of this height, for a legend below its panels."""
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + strip)
    figure.get_layout_engine().set(rect=(0, strip / (height + strip), 1, height / (height + strip)))
    if keys:
        figure.legend(keys.values(), keys.keys(), loc="lower center", ncol=columns)


def resize(figure: Figure, width: float, height: float) -> None:
    """To this size in inches; the strip of a legend below the panels stays as high as it was."""
    engine = figure.get_layout_engine()
    strip = engine.get()["rect"][1] * figure.get_figheight()
    figure.set_size_inches(width, height)
    engine.set(rect=(0, strip / height, 1, 1 - strip / height))


def labelled(ax: Axes, loc: str = "best", size: float = 7) -> None:
    """A legend of what has a label in a panel, none where nothing has."""
    if ax.get_legend_handles_labels()[1]:
        ax.legend(loc=loc, fontsize=points(size))


def bars(errors: Any) -> np.ndarray:
    """Lengths of error bars: none where the error is not known, which matplotlib cannot draw."""
    return np.nan_to_num(errors)


def legend_outside(ax: Axes, keys: dict[str, Any]) -> None:
    """At the right of the axes; of many heads every second, third, .."""
    heads = [name for name in keys if name.startswith("head ")]
    left_out = set(heads) - set(heads[::-(-len(heads) // MAX_KEYS) or 1])
    names = [name for name in keys if name not in left_out]
    ax.legend([keys[name] for name in names], names, loc="upper left", bbox_to_anchor=(1.02, 1), borderaxespad=0)
