"""Pictures of many runs: when heads split, how many sequences that takes, how much replicas differ."""
import math
from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from headflow.files import Run, Series
from headflow.plot.laws import moments_of
from headflow.plot.look import WHITE_EDGE, bars, colours_of, labelled


def spread_over_heads(m: np.ndarray) -> np.ndarray:
    return m.std(axis=-2)


def median_and_error(times: list[float]) -> tuple[float, float]:
    """Median, where runs that never split are infinite, and its standard error from the quartiles that are finite;
    of a single run there is none."""
    ordered = np.where(np.isnan(times), np.inf, times)
    low, high = np.quantile(ordered, (0.25, 0.75), method="nearest")
    median = np.median(ordered)
    if len(times) < 2:
        return median, math.nan
    width = high - low if np.isfinite(high) else 2 * (median - low)
    return median, 1.2533 * width / 1.349 / math.sqrt(len(times))


class Splits(NamedTuple):
    """Split times of one kind of run, "flow" or "SGD" at some kappa, and growth rates seen in flows: {D: list}."""
    times: dict[float, list[float]]
    rates: dict[float, list[float]]

    def medians(self, name: str) -> dict[float, tuple[float, float]]:
        """{D: median of the times and its error}, where most runs have split."""
        found = {D: median_and_error(times) for D, times in sorted(self.times.items())}
        for D, (median, _) in found.items():
            if not np.isfinite(median):
                print(f"{name}, D = {D:g}: left out, most runs have not come to it by their end")
        return {D: pair for D, pair in found.items() if np.isfinite(pair[0])}


def dimension_of(run: Run) -> float:
    """D of the run's start or, where that has none, of its SGD."""
    for section in ("start", "sgd"):
        if "dimension" in (keys := run.config.get(section, {})):
            return float(keys["dimension"])
    raise ValueError(f"{run.data.path}: neither start.dimension nor sgd.dimension, so it has no place on the axis of D")


def kappa_of(run: Run, kind: str) -> float:
    """Learning rate * D / batch: of SGD, or of the noise in the flow."""
    sgd = run.config.get("sgd", {})
    own = sgd["learning_rate"] * sgd["dimension"] / sgd["batch"] if sgd else 0.0
    noise = run.config.get("flow", {}).get("learning_rate_noise", 0.0)
    return own if kind == "sgd" or noise == "from-sgd" else float(noise)


def collect(runs: list[Run], feature: int) -> dict[str, Splits]:
    found: dict[str, Splits] = defaultdict(lambda: Splits(defaultdict(list), defaultdict(list)))
    seen = set()
    for run in runs:
        for series in run.series:
            D, kappa, flow = dimension_of(run), kappa_of(run, series.kind), series.kind == "flow"
            start = (D, kappa, run.config.get("start", {}).get("seed"))
            if flow and start in seen:
                continue  # the same flow beside another SGD
            seen |= {start} if flow else set()
            name = "flow" if flow else "SGD"
            splits = found[f"{name}, $\\kappa={kappa:.3g}$" if kappa else name]
            splits.times[D] += list(np.atleast_2d(series.of_features("split_time"))[:, feature])
            if flow:
                splits.rates[D].append(series.of_features("growth_rate")[feature])
    return dict(sorted(found.items()))


def draw_growth_line(ax: Axes, name: str, splits: Splits, known: dict[float, tuple[float, float]], colour: Any) -> None:
    """log(D) / (2 lambda) through the upper half of the dimensions, where flows tell the growth rate lambda there."""
    dimensions, medians = np.array(list(known)), np.array([median for median, _ in known.values()])
    logs = np.log(dimensions)
    slope, upper = np.polyfit(logs, medians, 1)[0], logs >= logs.mean()
    text = f"{name}: slope of the time against log D {slope:.3f}, 1 / (2 slope) = {1 / (2 * slope):.5f}"
    if rates := [rate for D in dimensions[upper] for rate in splits.rates[D] if np.isfinite(rate)]:
        rate = np.median(rates)
        constant = (medians - logs / (2 * rate))[upper].mean()
        ax.plot(dimensions, logs / (2 * rate) + constant, color=colour, lw=0.9, zorder=2,
                label=f"$\\log D\\,/\\,2\\lambda$, $\\lambda={rate:.4f}$")
        text += f", growth rate {rate:.5f}"
    print(text)


def draw_split_times(ax: Axes, runs: list[Run], feature: int | None = None) -> None:
    """Specialization time against D: median over starts or replicas, its standard error, and the line of growth."""
    if feature is None:
        feature = runs[0].features - 1  # the common component, 0, needs no splitting of heads
    found = collect(runs, feature)
    for (name, splits), colour in zip(found.items(), colours_of(len(found))):
        if not (known := splits.medians(name)):
            continue
        medians, errors = zip(*known.values())
        marker = "o" if name.startswith("SGD") else "s"
        ax.errorbar(list(known), medians, bars(errors), fmt=marker, ms=3.6, color=colour,
                    **WHITE_EDGE, elinewidth=0.8, zorder=3, label=name)
        if len(known) > 1:
            draw_growth_line(ax, name, splits, known, colour)
    ax.set(xscale="log", xlabel="$D$", ylabel=f"time at which heads split along feature {feature + 1}")
    labelled(ax, "upper left")


def crossing(time: np.ndarray, values: np.ndarray, level: float) -> float:
    """When a curve first reaches a level; NaN for never."""
    i = int(np.argmax(values >= level))
    if not values[i] >= level:
        return math.nan
    return float(np.interp(level, values[i - 1:i + 1], time[i - 1:i + 1])) if i else float(time[0])


def alignment_times(run: Run, series: Series) -> list[float]:
    """When the mean over heads of the overlap with the mean of theta first reaches half of that mean's length: the time
    of each replica. Throws ValueError for a signal without a mean."""
    mean = moments_of(run.config["model"])[0]
    if not (size := float(np.linalg.norm(mean))):
        raise ValueError(f"{run.data.path}: the signal has no mean, so there is no first phase")
    common = (series.m.mean(axis=-2) @ mean / size).reshape(series.time.size, -1)
    return [crossing(series.time, curve, size / 2) for curve in common.T]


def draw_samples(ax: Axes, runs: list[Run], feature: int | None = None) -> None:
    """Sequences per dimension, n / D = t / kappa, until heads align with the mean of theta (Prop. III.3) and until they
    split along a feature (default: the last, Prop. III.4), against D: medians of SGD (dots) and of flows (lines)."""
    feature = runs[0].features - 1 if feature is None else feature
    found: dict[tuple[str, str], Splits] = defaultdict(lambda: Splits(defaultdict(list), defaultdict(list)))
    for run in runs:
        for series in run.series:
            D, kappa = dimension_of(run), kappa_of(run, series.kind)
            if series.kind == "flow" and len(run.series) > 1:
                continue  # SGD stands beside it
            if "schedule" in run.config:
                raise ValueError(f"{run.data.path}: kappa changes along its [schedule], so t does not tell how many "
                                 "sequences it took")
            if not kappa:
                raise ValueError(f"{run.data.path}: {series.kind} has no kappa, so its number of sequences is unknown")
            splits = np.atleast_2d(series.of_features("split_time"))[:, feature]
            for phase, times in (("align", alignment_times(run, series)), ("split", list(splits))):
                found[series.kind, phase].times[D] += [t / kappa for t in times]
    for (phase, words), colour in zip((("align", "aligned with the mean"), ("split", "split")), colours_of(2)):
        for kind in "flow", "sgd":
            known = found[kind, phase].medians(f"{kind}, {words}") if (kind, phase) in found else {}
            if not known:
                continue
            medians, errors = zip(*known.values())
            if kind == "flow":
                ax.plot(list(known), medians, color=colour, label=f"{words}, flow")
            else:
                ax.errorbar(list(known), medians, bars(errors), fmt="o", ms=3.6, color=colour, **WHITE_EDGE,
                            elinewidth=0.8, zorder=3, label=f"{words}, SGD")
    ax.set(xscale="log", ylim=(0, None), xlabel="$D$", ylabel="sequences per dimension, $n\\,/\\,D$")
    labelled(ax, "upper left")


def draw_deviations(ax: Axes, runs: list[Run], feature: int) -> None:
    """Standard deviation of m over replicas, root mean square over heads, against t: one line for each run."""
    for run, colour in zip(runs, colours_of(len(runs))):
        sgd = run.series[-1]
        if sgd.kind != "sgd" or sgd.m.shape[1] < 2:
            raise ValueError(f"{run.data.path}: no replicas of SGD, so they have no spread")
        deviation = np.sqrt((sgd.m[..., feature].std(axis=1, ddof=1) ** 2).mean(axis=1))
        ax.plot(sgd.time[1:], deviation[1:], color=colour, label=f"$D={run.config['sgd']['dimension']:,}$")
    ax.set(yscale="log", xlim=(0, None), xlabel="$t$", title=f"feature {feature + 1}")


def draw_specialization(figure: Figure, runs: list[Run], features: tuple[int, ...]) -> None:
    """A picture of draw_split_times."""
    figure.set_size_inches(4.4, 3.3)
    draw_split_times(figure.add_subplot(), runs, *features[:1])


def draw_spread(figure: Figure, runs: list[Run], features: tuple[int, ...]) -> None:
    """Panels of draw_deviations, side by side."""
    figure.set_size_inches(5.6, 2.6)
    shown = features or tuple(range(min(2, runs[0].features)))
    axes: list[Axes] = list(figure.subplots(1, len(shown), sharey=True, squeeze=False)[0])
    for ax, f in zip(axes, shown):
        draw_deviations(ax, runs, f)
    axes[0].set_ylabel("standard deviation of $m_{hf}$ over replicas")
    labelled(axes[0])


def draw_samples_picture(figure: Figure, runs: list[Run], features: tuple[int, ...]) -> None:
    """A picture of draw_samples."""
    figure.set_size_inches(4.4, 3.3)
    draw_samples(figure.add_subplot(), runs, *features[:1])
