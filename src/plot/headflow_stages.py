"""Pictures that headflow-plot makes of how heads specialize: the sides they take, and growth predicted and seen."""
from __future__ import annotations

from collections.abc import Iterator
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
LINES = "-", "--", ":", "-."
PLATEAUS = "plateaus/rate", "plateaus/growth_rate", "plateaus/next_feature", "plateaus/next_split_time"


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
            ax.plot(run.saddle["time"], run.saddle["predicted_spread"][:, f], color=colour, ls=(0, (4, 2)), lw=0.9)
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
        raise ValueError(f"{run.path}: has no plateau where a feature is learnt and another next; was there [saddle]?")
    ax.axhline(0, color="0.85", lw=0.6, zorder=0)
    ax.set(xlabel="angle between patterns (degrees)", ylabel="growth rate", xticks=(0, 30, 60, 90))
    ax.legend(fontsize=6)


class Case(NamedTuple):
    """One model of a sweep over D: arrays (D, repeat, ..) in the order of D, its names and colour."""
    prior: str
    rest: str
    activation: str
    colour: str
    D: np.ndarray
    arrays: dict[str, np.ndarray]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    def first(self) -> int:
        """The feature that splits first, by its prediction."""
        times = self["saddle/predicted_split_time"]
        return int(np.median(np.where(np.isnan(times), np.inf, times), axis=(0, 1)).argmin())

    def later(self) -> Iterator[tuple[tuple[int, int, int], int]]:
        """Plateaus (D, repeat, plateau) after the first split, with the feature that is next there."""
        following = self.arrays.get("plateaus/next_feature", np.zeros((0, 0, 0)))
        for place in np.argwhere(np.isfinite(following)):
            place = tuple(int(i) for i in place)
            if following[place] != self.first() + 1:
                yield place, int(following[place]) - 1


def cases_of(files: list[Results]) -> Iterator[Case]:
    """Every combination of the swept keys but D, colours by activation."""
    colours: dict[str, str] = dict(zip(("softmax", "softmax-1", "bayes-softmax"), COLOURS))
    needed = [f"saddle/{name}" for name in ("predicted_growth_rate", "predicted_growth_rate_stderr", "split_rate",
                                            "predicted_split_time", "split_rate_stderr")]
    for results in files:
        keys = [axis.key for axis in results.axes]
        if DIMENSION not in keys:
            raise ValueError(f"{results.path}: the picture shows sweeps over {DIMENSION}; swept: {', '.join(keys)}")
        axis = keys.index(DIMENSION)
        D = np.array(results.axes[axis].values, dtype=float)
        known = [*needed, "flow/growth_rate", "flow/split_time"]
        for index, names in results.others((axis,)):
            activation = names.get("attention.activation", results.config.get("attention", {}).get("activation", ""))
            rest = ", ".join(name for key, name in names.items() if key != "attention.activation")
            arrays = {name: results.get(name) for name in known}
            arrays |= {name: results.arrays[name] for name in PLATEAUS if name in results.arrays}
            yield Case(results.config.get("model", {}).get("prior", ""), rest, activation,
                       colours.get(activation, "0.3"), np.sort(D),
                       {name: values[index][np.argsort(D)] for name, values in arrays.items()})


def power(D: float) -> str:
    return f"{D:.0e}".replace("e+", "e")


def print_tables(cases: list[Case], feature: int | None) -> None:
    """Growth and split of the feature that is first, at the largest D and a middle one; and the splits after that, as
    predicted from the plateau before, at the largest D."""
    print("| model | feature | rate at the saddle | along the way, largest D: predicted | observed | difference | "
          "split at a middle D: predicted / observed | at the largest D |")
    print("|" + "---|" * 8)
    for case in cases:
        f = case.first() if feature is None else feature
        name = ", ".join(filter(None, (case.prior, case.rest, case.activation)))
        saddle, error = (float(np.median(case[f"saddle/split_rate{part}"][..., 0])) for part in ("", "_stderr"))
        predicted, own, seen = (case[name][-1, :, f].mean() for name in (
            "saddle/predicted_growth_rate", "saddle/predicted_growth_rate_stderr", "flow/growth_rate"))
        times = [case[name][..., f] for name in ("saddle/predicted_split_time", "flow/split_time")]
        places = [f"{power(case.D[i])}: " + " / ".join(f"{np.median(time[i]):.4g}" for time in times)
                  for i in (case.D.size // 2, -1)]
        print(f"| {name} | {f + 1} | {saddle:.4f} ± {error:.0e} | {predicted:.5f} ± {own:.0e} | {seen:.5f} | "
              f"{100 * (seen / predicted - 1):+.2f} % | {' | '.join(places)} |")
    print("\n| model, D | next feature | rate by the Hessian | as seen | split: predicted at the plateau / observed |")
    print("|" + "---|" * 5)
    for case in cases:
        for place, f in case.later():
            predicted, seen = case["plateaus/next_split_time"][place], case["flow/split_time"][place[:2]][f]
            if place[0] == case.D.size - 1 and place[1] == 0 and np.isfinite(seen):
                name = ", ".join(filter(None, (case.prior, case.rest, case.activation, power(case.D[-1]))))
                print(f"| {name} | {f + 1} | {case['plateaus/rate'][place][f]:.4f} | "
                      f"{case['plateaus/growth_rate'][place][f]:.4f} | {predicted:.4g} / {seen:.4g} |")


def draw_rates(ax: Axes, cases: list[Case], feature: int | None) -> None:
    """Growth rates of the first feature along the whole way (dots), of the next ones at later plateaus (circles)."""
    for case in cases:
        f = case.first() if feature is None else feature
        ax.plot(case["saddle/predicted_growth_rate"][..., f].ravel(), case["flow/growth_rate"][..., f].ravel(), "o",
                color=case.colour, mec="white", mew=0.3, ms=4)
        for place, following in case.later():
            ax.plot(case["plateaus/rate"][place][following], case["plateaus/growth_rate"][place][following], "o",
                    mfc="none", ms=3, mec=case.colour, mew=0.7)
    low, high = ax.get_xlim()
    ax.plot([max(low, 1e-3), high], [max(low, 1e-3), high], color="0.6", lw=0.7, zorder=0)
    ax.set(xscale="log", yscale="log", xlabel="growth rate predicted", ylabel="observed")
    keys = {case.activation: Line2D([], [], color=case.colour, marker="o", ls="", ms=4) for case in cases}
    keys |= {"later features at plateaus": Line2D([], [], color="0.35", marker="o", mfc="none", ls="", ms=3)}
    ax.legend(keys.values(), keys.keys(), loc="upper left", fontsize=7)


def draw_times(ax: Axes, cases: list[Case], feature: int | None) -> None:
    """Time of the first split against D for one prior: predicted (lines) and observed (dots), medians over repeats."""
    markers = dict(zip(dict.fromkeys(case.rest for case in cases), "osD^v<>p*"))
    for case in cases:
        f = case.first() if feature is None else feature
        observed = np.array([median_and_error(list(row)) for row in case["flow/split_time"][..., f]])
        known = np.isfinite(observed[:, 0])
        ax.plot(case.D, np.median(case["saddle/predicted_split_time"][..., f], axis=1), color=case.colour, lw=0.8,
                ls=LINES[list(markers).index(case.rest) % len(LINES)], zorder=1)
        ax.errorbar(case.D[known], observed[known, 0], observed[known, 1], fmt=markers[case.rest], ms=3.2,
                    color=case.colour, mec="white", mew=0.3, elinewidth=0.7)
    ax.set(xscale="log", ylim=(0, None), xlabel="$D$", title=cases[0].prior)
    if len(markers) > 1:
        ax.legend([Line2D([], [], color="0.35", marker=marker, ms=3.2, lw=0.8, ls=LINES[i % len(LINES)])
                   for i, marker in enumerate(markers.values())], markers, loc="upper left", fontsize=7)


def draw_stages(figure: Figure, files: list[Results], features: tuple[int, ...]) -> None:
    """Growth rates and, for each prior, split times: predicted and observed. The tables go to the standard output."""
    cases, feature = list(cases_of(files)), features[0] if features else None
    print_tables(cases, feature)
    priors = list(dict.fromkeys(case.prior for case in cases))
    figure.set_size_inches(3.4 + 2.5 * len(priors), 3.2)
    panels = list(figure.subplots(1, 1 + len(priors), width_ratios=[1.25] + [1] * len(priors)))
    draw_rates(panels[0], cases, feature)
    for ax, prior in zip(panels[1:], priors):
        draw_times(ax, [case for case in cases if case.prior == prior], feature)
    panels[1].set_ylabel("time of the first split (line: predicted)")
