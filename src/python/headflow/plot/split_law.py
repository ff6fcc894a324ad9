"""When runs of SGD split: their times and the law that [saddle] predicts, and its quantiles against the dimension."""
from statistics import NormalDist
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from headflow.files import Run, Series
from headflow.plot.look import GREY, WHITE_EDGE, colours_of, labelled

LAW = "saddle/split_time_quantile"


def law_of(run: Run, feature: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """D, shares of the runs, and the time (D, share) by which so many have split."""
    if LAW not in run.data:
        raise ValueError(f"{run.data.path}: no law of split times; was there [saddle] with two heads or more?")
    return (run.data.read("saddle/dimension", "dimension"), run.data.read("saddle/quantile", "quantile"),
            run.data.read(LAW, "dimension", "quantile", "feature")[..., feature])


def first_feature(run: Run) -> int:
    """That which splits first by its median, at D of SGD or else at the largest D at which a median is known."""
    D, shares, _ = law_of(run, 0)
    medians = np.array([law_of(run, f)[2][:, shares.size // 2] for f in range(run.features)])
    known = np.isfinite(medians).any(axis=0)
    own = known & np.isclose(D, float(run.config.get("sgd", {}).get("dimension", np.nan)))
    places = np.flatnonzero(own if own.any() else known)
    return int(np.nan_to_num(medians[:, places[-1]], nan=np.inf).argmin()) if places.size else 0


def split_times(run: Run, feature: int) -> np.ndarray:
    """Of the replicas of SGD; NaN for those that have not split."""
    series: list[Series] = [one for one in run.series if one.kind == "sgd"]
    if not series:
        raise ValueError(f"{run.data.path}: no runs of SGD, whose times the picture shows")
    return np.atleast_2d(series[0].of_features("split_time"))[:, feature]


def delay_of(run: Run, feature: int) -> float:
    """By how much the flow splits later than linear growth from the same start says; 0 where that is not known."""
    if "flow" not in run.data:
        return 0.0
    late = (run.data.read("flow/split_time", "feature")[feature]
            - run.data.read("saddle/predicted_split_time", "feature")[feature])
    return float(late) if np.isfinite(late) else 0.0


def share_at(times: np.ndarray, known: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """The share that has split by `times`: between the known ones, and beyond, on lines in normal deviates."""
    normal = NormalDist()
    deviates = np.array([normal.inv_cdf(share) for share in shares])
    slope = np.gradient(deviates, known)
    at = np.interp(times, known, deviates)
    at += np.minimum(times - known[0], 0) * slope[0] + np.maximum(times - known[-1], 0) * slope[-1]
    return np.array([normal.cdf(one) for one in at])


def draw_splits(ax: Axes, run: Run, features: tuple[int, ...], **_: Any) -> None:
    """How many replicas of SGD have split when (bars), and how many the law of [saddle] has in each bar (line)."""
    feature = features[0] if features else first_feature(run)
    D, shares, known = law_of(run, feature)
    own = float(run.config["sgd"]["dimension"]) if "sgd" in run.config else np.nan
    place = np.flatnonzero(np.isclose(D, own))
    times, delay = split_times(run, feature), delay_of(run, feature)
    if not place.size or not np.isfinite(known[place[0]]).all():
        raise ValueError(f"{run.data.path}: saddle.dimensions has not sgd.dimension = {own:g}, or ends before its law")
    found = times[np.isfinite(times)]
    edges = np.histogram_bin_edges(np.append(found, known[place[0], [0, -1]] + delay), bins=20)
    expected = times.size * np.diff(share_at(edges - delay, known[place[0]], shares))
    blue, orange = colours_of(2)
    starts = [run.config.get(section, {}).get("starts", default)
              for section, default in (("sgd", "shared"), ("saddle", "own"))]
    of_runs, of_law = [f", {start} starts" if len(set(starts)) > 1 else "" for start in starts]
    count, _, _ = ax.hist(found, edges, color=blue, alpha=0.5, label=f"{times.size} runs of SGD{of_runs}")
    ax.stairs(expected, edges, color=orange, lw=1.2,
              label=f"law{f', later by {delay:.3g}' if delay else ''}{of_law}")
    ax.set(xlabel=f"$t$ at which heads split along feature {feature + 1}", ylabel="runs",
           ylim=(0, 1.4 * max(count.max(), expected.max())))  # room for the legend
    labelled(ax)


def draw_quantiles(ax: Axes, run: Run, features: tuple[int, ...], **_: Any) -> None:
    """Quantiles of the split time against D: median, and bands of 10 to 90 % and 1 to 99 % of the runs; the same of
    replicas of SGD as a dot with bars."""
    feature = features[0] if features else first_feature(run)
    D, shares, known = law_of(run, feature)
    colour = colours_of(1)[0]
    for low, high, alpha in ((0, -1, 0.15), (1, -2, 0.3)):
        ax.fill_between(D, known[:, low], known[:, high], color=colour, alpha=alpha, lw=0,
                        label=f"{100 * shares[low]:.0f} to {100 * shares[high]:.0f} %")
    ax.plot(D, known[:, shares.size // 2], color=colour, label="median")
    if "sgd" in run.data:
        times = np.where(np.isnan(split_times(run, feature)), np.inf, split_times(run, feature))
        low, median, high = np.quantile(times, (0.1, 0.5, 0.9), method="nearest")
        if np.isfinite(high):
            ax.errorbar([float(run.config["sgd"]["dimension"])], [median], [[median - low], [high - median]], fmt="o",
                        ms=3.6, color=GREY, **WHITE_EDGE, elinewidth=0.8, zorder=3, label="SGD, 10 to 90 %")
    room = 1.8 * np.nanmax(known)  # for the legend above the curves
    ax.set(xscale="log", xlabel="$D$", ylabel=f"split time, feature {feature + 1}", ylim=(0, room))
    labelled(ax, "upper left")
