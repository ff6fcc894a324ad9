"""Panels of one run: loss, overlaps and heads of the order-parameter flow, with SGD's dots over its lines.

Symbols are those of the paper (arXiv:2603.03993): heads h = 1..H, features (hidden spikes) f = 1..F, overlaps
m_hf = k_h . k*_f, overlaps outside the span of the spikes r = u u', biases b_h, scale v, population loss E, time t.
"""
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes

from headflow.files import Run, Series
from headflow.plot.curves import DOT, DOTS, Curve, draw_curve
from headflow.plot.look import BAYES, GREY, THIN, bars, colours_of, legend_key, points
from headflow.plot.split_law import draw_quantiles, draw_splits
from headflow.plot.stages import draw_angle, draw_growth, draw_hierarchy, growth_keys, hierarchy_keys
from headflow.plot.theory import draw_attention, draw_pca


def head_label(h: int) -> str:
    return f"head {h + 1}"


def overlap_curves(series: Series, colours: list[Any], feature: int) -> list[Curve]:
    """Overlaps m_hf = k_h . k*_f of all heads with one feature."""
    return [Curve(series.m[..., h, feature], colour, label=head_label(h)) for h, colour in enumerate(colours)]


def residual_curves(series: Series, colours: list[Any]) -> list[Curve]:
    """Overlaps r = u u' outside the spikes: r_hh of each head (solid), the largest |r_hh'|, h != h' (dashed)."""
    r, pairs = series.get("r", "head", "head_b"), ~np.eye(len(colours), dtype=bool)
    largest = [Curve(np.abs(r[..., pairs]).max(axis=-1), GREY, "--")] if pairs.any() else []
    return [Curve(r[..., h, h], colour, label=head_label(h)) for h, colour in enumerate(colours)] + largest


def bias_curves(series: Series, colours: list[Any]) -> list[Curve]:
    """Biases b_h (solid), and the scale v (dash-dotted) if it moves."""
    scale = [Curve(series.get("v"), GREY, "-.")] if series.moves("v") else []
    biases = series.get("b", "head")
    return [Curve(biases[..., h], colour, label=head_label(h)) for h, colour in enumerate(colours)] + scale


def cosine_curves(series: Series, colours: list[Any]) -> list[Curve]:
    """Cosine similarities q_hh' / sqrt(q_hh q_h'h') of the pairs of heads, dashed in the colours of both."""
    cosine, pairs = series.get("cosine", "head", "head_b"), zip(*np.triu_indices(len(colours), 1))
    return [Curve(cosine[..., h, other], colours[head], style, label=head_label(head))
            for h, other in pairs for head, style in ((h, "-"), (other, (0, (4, 4))))]


def plain_curves(series: Series, colours: list[Any], name: str) -> list[Curve]:
    """Any variable, such as the loss or the norm of its gradient: one curve with its error or, where it has axes of its
    own, one for each place in them, in the colours of heads if they are among them."""
    own, error = series.own(name), f"{name}_stderr"
    values = series.get(name, *own)
    if not own:
        return [Curve(values, matplotlib.rcParams["text.color"], error=series.get(error) if error in series else None)]
    places = list(np.ndindex(values.shape[len(series.runs):]))
    if "head" in own:
        heads = [place[own.index("head")] for place in places]
        return [Curve(values[(..., *place)], colours[h], label=head_label(h)) for place, h in zip(places, heads)]
    return [Curve(values[(..., *place)], colour, label=", ".join(f"{axis} {i + 1}" for axis, i in zip(own, place)))
            for place, colour in zip(places, colours_of(len(places)))]


def draw_paths(ax: Any, series: Series, colours: list[Any], features: tuple[int, ...], ends: bool) -> None:
    """Paths (m_hi, m_hj[, m_hk])(t) of the heads, if asked from open to filled dot. SGD has one dot in each cell of a
    grid that its path visits: dots even in time would heap up at the saddles."""
    path, spread = series.average(series.m[..., features])
    step = (np.ptp(np.nan_to_num(path)) or 1.0) / DOTS
    for h, colour in enumerate(colours):
        if series.kind != "sgd":
            ax.plot(*path[:, h].T, color=colour, label=head_label(h))
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
        getattr(ax, f"set_{axis}label")(f"feature {f + 1}", labelpad=-5 if len(features) == 3 else None)
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
    compares: bool = True  # whether lines are the flow and dots SGD
    legend: Callable[[Run], dict[str, Any]] | None = None  # what the figure's legend says of it


PANELS = {
    "loss": Panel("loss", label=r"loss $\mathcal{E}$"),
    "m": Panel("m", overlap_curves, "$m_{h%d}$"),
    "plane": Panel("m", features=2, draw=draw_heads),
    "space": Panel("m", features=3, draw=draw_heads),
    "r": Panel("r", residual_curves, "", {"-": "$r_{hh}$", "--": "$\\max\\,|r_{hh′}|$"}),
    "b": Panel("b", bias_curves, "", {"-": "$b_h$", "-.": "$v$"}),
    "cosine": Panel("cosine", cosine_curves, "$\\cos(k_h, k_{h′})$", heads=2),
    "gradient": Panel("gradient_norm", label=r"$|\nabla\mathcal{E}|$"),
    "hierarchy": Panel("side", heads=2, draw=draw_hierarchy, compares=False, legend=hierarchy_keys),
    "growth": Panel("side", heads=2, draw=draw_growth, compares=False, legend=growth_keys),
    "angle": Panel("side", heads=3, features=2, draw=draw_angle),
    "splits": Panel("m", heads=2, draw=draw_splits, compares=False),
    "quantiles": Panel("m", heads=2, draw=draw_quantiles, compares=False),
    "pca": Panel("m", features=2, draw=draw_pca),
    "attention": Panel("v", draw=draw_attention),
}


def draw_bands(ax: Axes, time: np.ndarray, means: list[Curve], deviations: list[Curve], log_time: bool) -> None:
    """One and two standard deviations of SGD around curves of the flow. Where they outgrow these, as after a split, the
    picture does not follow them."""
    keep = time > (0 if log_time else -math.inf)
    low, high = ax.get_ylim()
    for mean, deviation in zip(means, deviations):
        if mean.style == "--":  # the largest of several, which has no deviation of its own
            continue
        centre, width = mean.values[keep], deviation.values[keep]
        for times, alpha in (2, 0.12), (1, 0.22):
            ax.fill_between(time[keep], centre - times * width, centre + times * width, color=mean.colour, alpha=alpha,
                            lw=0, zorder=0.5)
    bottom, top = ax.get_ylim()
    ax.set_ylim(max(bottom, low - (high - low) / 2), min(top, high + (high - low) / 2))


def draw_marks(ax: Axes, marks: list[tuple[float, str]]) -> None:
    """Dotted lines at the alignment and split times after t = 0. Names stand at the bottom where the first curve is
    above the middle, else at the top; the name of a line that nearly touches others, also of other runs, stands on the
    same side, further inside."""
    (low, high), to_axes = ax.get_xlim(), ax.transScale + ax.transLimits
    curve = next((line.get_data() for line in ax.lines if len(line.get_xdata())), None)
    for t, name in (mark for mark in marks if max(low, 0) < mark[0] < high):
        place, height = to_axes.transform((t, np.interp(t, *curve) if curve else math.nan))
        near = [text for text in ax.texts
                if text.get_rotation() == 90 and abs(text.get_position()[0] - 0.01 - place) <= 0.09]
        side = near[-1].get_va() if near else "bottom" if height > 0.5 else "top"
        heights = [text.get_position()[1] for text in near if text.get_va() == side]
        inside = max(y if side == "bottom" else 1 - y for y in heights) + 0.25 if near else 0.03
        ax.axvline(t, color="0.45", lw=0.7, ls=":", zorder=1)
        ax.text(place + 0.01, inside if side == "bottom" else 1 - inside, name, transform=ax.transAxes, rotation=90,
                va=side, ha="left" if place < 0.9 else "right", fontsize=points(7),
                color="0.4")


def draw_time(ax: Axes, run: Run, features: tuple[int, ...], colours: list[Any], log_time: bool, panel: Panel,
              marks: bool = True) -> None:
    """One panel's curves of all series against t; with [fluctuations] their bands, and each replica of SGD; that of
    the loss with the marks of the run."""
    styles, spread = set(), run.spread()
    banded = spread is not None and panel.variable in spread[1]
    curves = panel.curves or partial(plain_curves, name=panel.variable)
    for series in run.series:
        if panel.variable in series:
            for curve in curves(series, colours, *features):
                draw_curve(ax, series, curve, log_time, each=banded)
                styles.add(curve.style)
    if banded:
        draw_bands(ax, spread[0].time, *(curves(series, colours, *features) for series in spread), log_time)
    keys = {label: legend_key(color=GREY, ls=style) for style, label in panel.keys.items() if style in styles}
    label = panel.label % tuple(f + 1 for f in features) or ", ".join(keys)
    risk = run.bayes_risk() if panel.variable == "loss" else None
    if risk is not None:
        keys["Bayes risk"] = ax.axhline(risk, **BAYES)
    if len(keys) > 1 or risk is not None:
        ax.legend(keys.values(), keys.keys(), loc="best")
    ax.set(xlabel="$t$", ylabel=label)
    ax.set_xscale("log" if log_time else "linear")
    if marks and panel.variable == "loss":
        draw_marks(ax, run.marks())
    elif panel.variable == "gradient_norm":
        ax.set_yscale("log", nonpositive="clip")
    elif panel.variable in ("m", "cosine"):
        ax.axhline(0, **THIN)
