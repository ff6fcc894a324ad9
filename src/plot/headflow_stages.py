"""Pictures that headflow-plot makes of how heads specialize: the sides they take, and growth predicted and seen."""
from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from headflow_ensembles import COLOURS, median_and_error, spread_over_heads
from headflow_files import Results, Run

SIDES = ListedColormap(["#D55E00", "0.93", "#0072B2"])
DIMENSION = "start.dimension"
PLATEAUS = "plateaus/rate", "plateaus/growth_rate", "plateaus/next_feature"


def draw_hierarchy(ax: Axes, run: Run, log_time: bool) -> None:
    """A barcode: a row for each head and feature, blue and orange for its two sides, grey while it is undecided. Heads
    are ordered by their combination at the end, so that the hierarchy stands as a tree: one block, halves, quarters."""
    flow = run.series[0]
    keep = flow.time > 0 if log_time else np.full(flow.time.size, True)
    time, side = flow.time[keep], flow.data["side"][keep]
    order = np.lexsort(side[-1].T[::-1])[::-1]
    rows = side[:, order].transpose(2, 1, 0).reshape(-1, time.size)
    ends = np.append(time, 2 * time[-1] - time[-2] if time.size > 1 else time[-1] + 1)
    ax.pcolormesh(ends, np.arange(len(rows) + 1), rows, cmap=SIDES, vmin=-1, vmax=1, rasterized=True)
    for f in range(1, run.features):
        ax.axhline(f * run.heads, color="white", lw=2)
    ax.set(ylim=(len(rows), 0), xlim=(ends[0], ends[-1]), xscale="log" if log_time else "linear",
           xlabel=f"$t$ (in the end {int(flow.data['combinations'][-1])} combinations)",
           yticks=(np.arange(run.features) + 0.5) * run.heads, yticklabels=range(1, run.features + 1),
           ylabel="feature, heads in rows")
    ax.tick_params(axis="y", length=0)


def draw_growth(ax: Axes, run: Run, log_time: bool) -> None:
    """Spread of m over heads for each feature: of the flow (solid), as predicted (dashed, grey), and short lines with
    the Hessian's rate at the plateaus for the feature that is next."""
    flow = run.series[0]
    spread = spread_over_heads(flow.data["m"])
    colours = [COLOURS[f % len(COLOURS)] for f in range(run.features)]
    for f, colour in enumerate(colours):
        ax.plot(flow.time, spread[:, f], color=colour)
        if "predicted_spread" in run.saddle:
            ax.plot(flow.time, run.saddle["predicted_spread"][:flow.time.size, f], color=colour, ls=(0, (4, 2)), lw=0.9)
    for t, following, rates in zip(*(run.plateaus.get(name, ()) for name in ("time", "next_feature", "rate"))):
        if not np.isfinite(following):
            continue
        f = int(following) - 1
        here = np.exp(np.interp(t, flow.time, np.log(spread[:, f])))
        around = np.array([-1, 1]) / rates[f]
        ax.plot(t + around, here * np.exp(rates[f] * around), color="black", lw=2, alpha=0.5, solid_capstyle="butt")
        ax.plot(t, here, "o", color="black", ms=2.5)
    ax.set(yscale="log", xlabel="$t$", ylabel="spread of $m_{hf}$ over heads", xscale="log" if log_time else "linear",
           ylim=(max(1e-12, np.nanmin(np.where(spread > 0, spread, np.nan)) / 2), 2 * np.nanmax(spread)))
    keys = {f"feature {f + 1}": Line2D([], [], color=colour) for f, colour in enumerate(colours)}
    if run.saddle:
        keys |= {"predicted": Line2D([], [], color="0.35", ls=(0, (4, 2)), lw=0.9)}
    if run.plateaus:
        keys |= {"rate at a plateau": Line2D([], [], color="black", lw=2, alpha=0.5)}
    ax.legend(keys.values(), keys.keys(), loc="best", fontsize=6, frameon=True, framealpha=0.8, edgecolor="none")


def draw_angle(ax: Axes, run: Run, log_time: bool) -> None:
    """Growth rate of the next feature, by the Hessian at each plateau where others are learnt, against the angle
    between its pattern over heads and theirs (Lemma III.2): from the fastest pattern in the span of what is learnt to
    the fastest one orthogonal to it, both orthogonal to (1, .., 1)."""
    degrees, threshold = np.linspace(0, 90, 91), run.config.get("flow", {}).get("split_threshold", 0.3)
    for p, following in enumerate(run.plateaus.get("next_feature", ())):
        if not np.isfinite(following):
            continue
        f = int(following) - 1
        apart = run.plateaus["m"][p] - run.plateaus["m"][p].mean(axis=0)
        learnt = apart[:, spread_over_heads(run.plateaus["m"][p]) >= threshold]
        patterns = run.plateaus["eigenvector_m"][p][..., f]
        block = patterns.T * run.plateaus["eigenvalue"][p] @ patterns
        common = np.ones((run.heads, 1)) / np.sqrt(run.heads)
        inside = np.linalg.svd(learnt, full_matrices=False)[0] if learnt.size else np.zeros((run.heads, 0))
        if inside.shape[1] == 0 or inside.shape[1] > run.heads - 2:
            continue
        outside = np.linalg.svd(np.hstack([common, inside]))[0][:, 1 + inside.shape[1]:]
        ends = [basis @ np.linalg.eigh(basis.T @ block @ basis)[1][:, 0] for basis in (inside, outside)]
        pattern = np.cos(np.radians(degrees))[:, None] * ends[0] + np.sin(np.radians(degrees))[:, None] * ends[1]
        rates = -np.einsum("ih,hg,ig->i", pattern, block, pattern)
        ax.plot(degrees, rates, color=COLOURS[f % len(COLOURS)],
                label=f"feature {f + 1} at t = {run.plateaus['time'][p]:.3g}")
    if not ax.lines:
        raise ValueError(f"{run.path}: has no plateau where one feature is learnt and another next; was there [saddle]?")
    ax.axhline(0, color="0.85", lw=0.6, zorder=0)
    ax.set(xlabel="angle between patterns (degrees)", ylabel="growth rate", xticks=(0, 30, 60, 90))
    ax.legend(fontsize=6)


class Case(NamedTuple):
    """One model of a sweep over D: arrays (D, repeat, ..), the values of D, its name and colour."""
    results: Results
    name: str
    colour: str
    D: np.ndarray
    arrays: dict[str, np.ndarray]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    def first(self) -> int:
        """The feature that splits first, by its prediction."""
        times = self["saddle/predicted_split_time"]
        return int(np.median(np.where(np.isnan(times), np.inf, times), axis=(0, 1)).argmin())


def cases_of(files: list[Results]) -> Iterator[Case]:
    """Every combination of the swept keys but D, colours by activation."""
    colours: dict[str, str] = dict(zip(("softmax", "softmax-1", "bayes-softmax"), COLOURS))
    for results in files:
        keys = [axis.key for axis in results.axes]
        if DIMENSION not in keys:
            raise ValueError(f"{results.path}: the picture shows sweeps over {DIMENSION}; swept: {', '.join(keys)}")
        axis = keys.index(DIMENSION)
        needed = ("saddle/predicted_growth_rate", "saddle/predicted_split_time", "flow/growth_rate", "flow/split_time",
                  "saddle/split_rate", "saddle/split_rate_stderr")
        for index, names in results.others((axis,)):
            activation = names.get("attention.activation", results.config.get("attention", {}).get("activation", ""))
            rest = [name for key, name in names.items() if key != "attention.activation"]
            prior = results.config.get("model", {}).get("prior", "")
            yield Case(results, ", ".join([prior, *rest, activation]), colours.get(activation, "0.3"),
                       np.array(results.axes[axis].values, dtype=float),
                       {name: results.get(name)[index] for name in needed}
                       | {name: results.arrays[name][index] for name in PLATEAUS if name in results.arrays})


def row_of_table(case: Case) -> str:
    """Predicted and observed growth of the feature that splits first at the largest D, means over repeats, their
    difference in standard errors of the rate at the saddle, and split times there and at a middle D."""
    f = case.first()
    saddle, error = (float(np.median(case[f"saddle/split_rate{part}"][..., 0])) for part in ("", "_stderr"))
    predicted, seen = (case[name][-1, :, f].mean() for name in ("saddle/predicted_growth_rate", "flow/growth_rate"))
    times = [case[name][..., f] for name in ("saddle/predicted_split_time", "flow/split_time")]
    places = [f"{case.D[i]:.0e}: ".replace("e+", "e") + " / ".join(f"{np.median(time[i]):.4g}" for time in times)
              for i in (case.D.size // 2, -1)]
    return (f"| {case.name} | {f + 1} | {saddle:.4f} ± {error:.0e} | {predicted:.5f} | {seen:.5f} | "
            f"{100 * (seen / predicted - 1):+.2f} % | {(seen - predicted) / error:+.1f} | {' | '.join(places)} |")


def draw_stages(figure: Figure, files: list[Results], features: tuple[int, ...]) -> None:
    """Left, growth rates: of the first feature along the whole way (dots), of the next ones at later plateaus
    (circles). Right, split time of the first feature against D. The table goes to the standard output."""
    figure.set_size_inches(7.2, 3.4)
    rates, times = figure.subplots(1, 2)
    cases = list(cases_of(files))
    shown = {}
    print("| model | feature | rate at the saddle | along the way, largest D: predicted | observed | difference | in "
          "standard errors | split at a middle D: predicted / observed | at the largest D |")
    print("|" + "---|" * 9)
    for case, marker in zip(cases, cycle("osD^v<>p*")):
        f = features[0] if features else case.first()
        print(row_of_table(case))
        look = {"color": case.colour, "mec": "white", "mew": 0.3, "ms": 4, "ls": ""}
        rates.plot(case["saddle/predicted_growth_rate"][..., f].ravel(), case["flow/growth_rate"][..., f].ravel(), "o",
                   **look)
        later = case.arrays.get("plateaus/next_feature", np.array([]))
        for i in np.argwhere(np.isfinite(later) & (later != f + 1)):
            place = (*i, int(later[tuple(i)]) - 1)
            rates.plot(case["plateaus/rate"][place], case["plateaus/growth_rate"][place], "o", mfc="none", ms=3,
                       mec=case.colour, mew=0.7)
        median = np.array([median_and_error(list(row)) for row in case["flow/split_time"][..., f]])
        predicted = np.median(case["saddle/predicted_split_time"][..., f], axis=1)
        known = np.isfinite(median[:, 0])
        times.plot(case.D, predicted, color=case.colour, lw=0.8, zorder=1)
        times.errorbar(case.D[known], median[known, 0], median[known, 1], fmt=marker, ms=3.4, color=case.colour,
                       mec="white", mew=0.3, elinewidth=0.7)
        shown.setdefault(case.name.rpartition(", ")[2], Line2D([], [], color=case.colour, marker="o", ls=""))
    low, high = rates.get_xlim()
    low = max(low, 1e-3)
    rates.plot([low, high], [low, high], color="0.6", lw=0.7, zorder=0)
    rates.set(xscale="log", yscale="log", xlabel="growth rate predicted", ylabel="observed")
    shown |= {"later features at plateaus": Line2D([], [], color="0.35", marker="o", mfc="none", ls="")}
    rates.legend(shown.values(), shown.keys(), loc="upper left", fontsize=7)
    times.set(xscale="log", ylim=(0, None), xlabel="$D$", ylabel="time of the first split")
    times.legend([Line2D([], [], color="0.35", lw=0.8), Line2D([], [], color="0.35", marker="o", ls="")],
                 ["predicted", "observed"], loc="best", fontsize=7)
