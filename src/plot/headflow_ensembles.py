"""Pictures that headflow-plot makes of many runs together: when heads split, how much replicas differ, against D."""
from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from itertools import cycle
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]


def median_and_error(times: list[float]) -> tuple[float, float]:
    """Median, where runs that never split count as infinite, and its standard error from the quartiles, or from the
    lower one where the upper is infinite."""
    ordered = np.where(np.isnan(times), np.inf, times)
    low, high = np.quantile(ordered, (0.25, 0.75), method="nearest")
    median = np.median(ordered)
    width = high - low if np.isfinite(high) else 2 * (median - low)
    return median, 1.2533 * width / 1.349 / math.sqrt(len(times))


class Splits(NamedTuple):
    """Split times of one kind of run, "flow" or "SGD" at some kappa, and growth rates seen in flows: {D: list}."""
    times: dict[float, list[float]]
    rates: dict[float, list[float]]


def dimension_of(run: Any) -> float:
    """D of the run's start or, where that has none, of its SGD."""
    start, sgd = run.config.get("start", {}), run.config.get("sgd", {})
    dimension = start.get("dimension", sgd.get("dimension"))
    if dimension is None:
        raise ValueError(f"{run.path}: neither start.dimension nor sgd.dimension, so it has no place on the axis of D")
    return float(dimension)


def kappa_of(run: Any, kind: str) -> float:
    """Learning rate * D / batch: of SGD, or of the noise in the flow."""
    sgd = run.config.get("sgd", {})
    own = sgd["learning_rate"] * sgd["dimension"] / sgd["batch"] if sgd else 0.0
    noise = run.config.get("flow", {}).get("learning_rate_noise", 0.0)
    return own if kind == "sgd" or noise == "from-sgd" else float(noise)


def spread_over_heads(m: np.ndarray) -> np.ndarray:
    return m.std(axis=-2)


def last_feature(runs: list[Any], features: tuple[int, ...]) -> int:
    """The feature asked for, else the last one: the common component needs no splitting of heads."""
    return features[0] if features else runs[0].features - 1


def collect(runs: list[Any], feature: int) -> dict[str, Splits]:
    found: dict[str, Splits] = defaultdict(lambda: Splits(defaultdict(list), defaultdict(list)))
    seen = set()
    for run in runs:
        for series in run.series:
            name = "flow" if series.kind == "flow" else "SGD"
            kappa = kappa_of(run, series.kind)
            flow = (dimension_of(run), kappa, run.config.get("start", {}).get("seed"))
            if series.kind == "flow" and flow in seen:
                continue  # the same flow beside another SGD
            seen |= {flow} if series.kind == "flow" else set()
            splits = found[f"{name}, $\\kappa={kappa:.3g}$" if kappa else name]
            splits.times[dimension_of(run)] += list(np.atleast_2d(series.split)[:, feature])
            if series.kind == "flow":
                splits.rates[dimension_of(run)].append(series.growth[feature])
    return dict(sorted(found.items()))


def draw_specialization(figure: Figure, runs: list[Any], features: tuple[int, ...]) -> None:
    """Specialization time against D: median over starts or replicas and its standard error, and, where flows tell the
    growth rate lambda at large D, the line log(D) / (2 lambda) through the upper half of the dimensions."""
    feature = last_feature(runs, features)
    ax = figure.add_subplot()
    for (name, splits), colour in zip(collect(runs, feature).items(), cycle(COLOURS)):
        known = {D: median_and_error(times) for D, times in sorted(splits.times.items())}
        for D in [D for D, (median, _) in known.items() if not np.isfinite(median)]:
            print(f"{name}, D = {D:g}: left out, most runs have not split by their end")
            del known[D]
        if not known:
            continue
        logs = np.log(list(known))
        medians, errors = np.array(list(known.values())).T
        ax.errorbar(list(known), medians, errors, fmt="o" if name.startswith("SGD") else "s", ms=3.6, color=colour,
                    mec="white", mew=0.3, elinewidth=0.8, zorder=3, label=name)
        if len(known) < 2:
            continue
        slope = np.polyfit(logs, medians, 1)[0]
        text = f"{name}: slope of the time against log D {slope:.3f}, 1 / (2 slope) = {1 / (2 * slope):.5f}"
        upper = logs >= logs.mean()
        rates = [rate for D in np.array(list(known))[upper] for rate in splits.rates[D] if np.isfinite(rate)]
        if rates:
            rate = np.median(rates)
            constant = (medians - logs / (2 * rate))[upper].mean()
            ax.plot(list(known), logs / (2 * rate) + constant, color=colour, lw=0.9, zorder=2,
                    label=f"$\\log D\\,/\\,2\\lambda$, $\\lambda={rate:.4f}$")
            text += f", growth rate {rate:.5f}"
        print(text)
    ax.set(xscale="log", xlabel="$D$", ylabel=f"time at which heads split along direction {feature + 1}")
    if ax.get_legend_handles_labels()[1]:
        ax.legend(loc="upper left", fontsize=7)


def draw_spread(figure: Figure, runs: list[Any], features: tuple[int, ...]) -> None:
    """Standard deviation of m over replicas, root mean square over heads, against t: one line for each run."""
    shown = features or tuple(range(min(2, runs[0].features)))
    axes: list[Axes] = list(figure.subplots(1, len(shown), sharey=True, squeeze=False)[0])
    for run, colour in zip(runs, cycle(COLOURS)):
        sgd = next((series for series in run.series if series.kind == "sgd"), None)
        if sgd is None or sgd.data["m"].shape[1] < 2:
            raise ValueError(f"{run.path}: no replicas of SGD, so they have no spread")
        deviation = np.sqrt((sgd.data["m"].std(axis=1, ddof=1) ** 2).mean(axis=1))
        for ax, f in zip(axes, shown):
            ax.plot(sgd.time[1:], deviation[1:, f], color=colour, label=f"$D={run.config['sgd']['dimension']:,}$")
    for ax, f in zip(axes, shown):
        ax.set(yscale="log", xlim=(0, None), xlabel="$t$", title=f"direction {f + 1}")
    axes[0].set_ylabel("standard deviation of $m_{hf}$ over replicas")
    axes[0].legend(loc="best", fontsize=7)


class EnsemblePicture(NamedTuple):
    draw: Callable[[Figure, list[Any], tuple[int, ...]], None]
    width: float
    height: float


PICTURES = {"specialization": EnsemblePicture(draw_specialization, 4.4, 3.3),
            "spread": EnsemblePicture(draw_spread, 5.6, 2.6)}
