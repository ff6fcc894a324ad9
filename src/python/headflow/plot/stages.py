"""Pictures of how heads specialize: the sides they take, and growth predicted and seen."""
from collections.abc import Iterator
from itertools import cycle
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from headflow.files import Data, Results, Run
from headflow.plot.ensembles import median_and_error, spread_over_heads
from headflow.plot.look import GREY, THIN, WHITE_EDGE, bars, colours_of, labelled, legend_key, points
from headflow.plot.sweeps import ACTIVATION, activation_colours

SIDES = {"side −": "#CC79A7", "undecided": "0.93", "side +": "0.2"}  # no colour of a head; dark and light in grey
DIMENSION = "start.dimension"
FIRST = ("| model | feature | rate at the saddle | along the way, largest D: predicted | observed | difference | "
         "split at a middle D: predicted / observed | at the largest D |")
LATER = "\n| model, D | next feature | rate by the Hessian | as seen | split: predicted at the plateau / observed |"
LINES = "-", "--", ":", "-."
MARKERS = "osD^v<>p*"
PREDICTED = {"ls": (0, (4, 2)), "lw": 0.9}
PLATEAU = {"color": "black", "lw": 2, "alpha": 0.5}


def next_features(data: Data) -> Iterator[tuple[int, int]]:
    """Plateaus of a run after which a feature is learnt, with that feature, both from 0."""
    if "plateaus/next_feature" in data:
        for p, following in enumerate(data.read("plateaus/next_feature", "plateau")):
            if np.isfinite(following):
                yield p, int(following) - 1


def hierarchy_keys(_: Run) -> dict[str, Any]:
    """The legend of draw_hierarchy."""
    return {name: legend_key(color=colour, lw=6) for name, colour in SIDES.items()}


def draw_hierarchy(ax: Axes, run: Run, log_time: bool, **_: Any) -> None:
    """A barcode: a row for each head and feature, in a colour for each side, grey while it is undecided. Heads are
    ordered by their combination at the end, so that the hierarchy stands as a tree: one block, halves, quarters."""
    flow = run.series[0]
    keep = flow.time > 0 if log_time else np.full(flow.time.size, True)
    time, side = flow.time[keep], flow.get("side", "head", "feature")[keep]
    order = np.lexsort(side[-1].T[::-1])[::-1]
    rows = side[:, order].transpose(2, 1, 0).reshape(-1, time.size)
    ends = np.append(time, 2 * time[-1] - time[-2] if time.size > 1 else time[-1] + 1)
    colours = ListedColormap(list(SIDES.values()))
    ax.pcolormesh(ends, np.arange(len(rows) + 1), rows, cmap=colours, vmin=-1, vmax=1, rasterized=True)
    for f in range(1, run.features):
        ax.axhline(f * run.heads, color="white", lw=2)
    different, undecided = (int(flow.get(name)[-1]) if name in flow else 0 for name in ("combinations", "undecided"))
    more = f",\n{undecided} undecided" if undecided else ""
    ax.set(ylim=(len(rows), 0), xlim=(ends[0], ends[-1]), xscale="log" if log_time else "linear",
           xlabel=f"$t$ (in the end {different} combinations{more})",
           yticks=(np.arange(run.features) + 0.5) * run.heads,
           yticklabels=[f"$f={f + 1}$" for f in range(run.features)],
           ylabel=f"heads, from above\n{', '.join(str(h + 1) for h in order)}" if run.heads <= 10 else "heads in rows")
    ax.tick_params(axis="y", length=0)


def growth_keys(run: Run) -> dict[str, Any]:
    """The legend of draw_growth."""
    keys = {f"feature {f + 1}": legend_key(color=colour) for f, colour in enumerate(colours_of(run.features))}
    if "saddle/predicted_spread" in run.data:
        keys["predicted"] = legend_key(color=GREY, **PREDICTED)
    if "plateaus/time" in run.data:
        keys["rate at a plateau"] = legend_key(**PLATEAU)
    return keys


def draw_growth(ax: Axes, run: Run, log_time: bool, **_: Any) -> None:
    """Spread of m over heads: of the flow, as predicted (dashed), and rates by the Hessian at plateaus."""
    time, spread, colours = run.series[0].time, spread_over_heads(run.series[0].m), colours_of(run.features)
    for f, colour in enumerate(colours):
        ax.plot(time, spread[:, f], color=colour)
        if "saddle/predicted_spread" in run.data:
            predicted = run.data.read("saddle/predicted_spread", "time", "feature")[:, f]
            ax.plot(run.data.read("saddle/time", "time"), predicted, color=colour, **PREDICTED)
    for p, f in next_features(run.data):
        t = run.data.read("plateaus/time", "plateau")[p]
        rate = run.data.read("plateaus/rate", "plateau", "feature")[p, f]
        here, around = np.exp(np.interp(t, time, np.log(spread[:, f]))), np.array([-1, 1]) / rate
        ax.plot(t + around, here * np.exp(rate * around), **PLATEAU, solid_capstyle="butt")
        ax.plot(t, here, "o", color="black", ms=2.5)
    ax.set(xlabel="$t$", xscale="log" if log_time else "linear", ylabel="spread of $m_{hf}$ over heads", yscale="log",
           ylim=(max(1e-12, np.nanmin(np.where(spread > 0, spread, np.nan)) / 2), 2 * np.nanmax(spread)))


def fastest_patterns(m: np.ndarray, block: np.ndarray, threshold: float) -> list[np.ndarray] | None:
    """Of the Hessian's block (head, head) at a plateau: the fastest pattern in the span of those learnt and the fastest
    orthogonal to it, both orthogonal to (1, .., 1). None where one of the two spaces is empty."""
    heads = len(m)
    learnt = (m - m.mean(axis=0))[:, spread_over_heads(m) >= threshold]
    inside = np.linalg.svd(learnt, full_matrices=False)[0] if learnt.size else np.zeros((heads, 0))
    if not 0 < inside.shape[1] <= heads - 2:
        return None
    common = np.ones((heads, 1)) / np.sqrt(heads)
    outside = np.linalg.svd(np.hstack([common, inside]))[0][:, 1 + inside.shape[1]:]
    return [basis @ np.linalg.eigh(basis.T @ block @ basis)[1][:, 0] for basis in (inside, outside)]


def draw_angle(ax: Axes, run: Run, log_time: bool, **_: Any) -> None:
    """Growth rate of the next feature by the Hessian at a plateau, against its angle to those learnt (Lemma III.2)."""
    degrees, threshold = np.linspace(0, 90, 91), run.config.get("flow", {}).get("split_threshold", 0.3)
    for p, f in next_features(run.data):
        patterns = run.data.read("plateaus/eigenvector_m", "plateau", "mode", "head", "feature")[p, ..., f]
        block = patterns.T * run.data.read("plateaus/eigenvalue", "plateau", "mode")[p] @ patterns
        ends = fastest_patterns(run.data.read("plateaus/m", "plateau", "head", "feature")[p], block, threshold)
        if ends is None:
            continue
        pattern = np.cos(np.radians(degrees))[:, None] * ends[0] + np.sin(np.radians(degrees))[:, None] * ends[1]
        rates = -np.einsum("ih,hg,ig->i", pattern, block, pattern)
        ax.plot(degrees, rates, color=colours_of(run.features)[f],
                label=f"feature {f + 1} at t = {run.data.read('plateaus/time', 'plateau')[p]:.3g}")
    if not ax.lines:
        raise ValueError(f"{run.data.path}: no plateau where a feature is learnt and another next; was there [saddle]?")
    ax.axhline(0, **THIN)
    ax.set(xlabel="angle between patterns (degrees)", ylabel="growth rate", xticks=(0, 30, 60, 90))
    labelled(ax, size=6)


class Case(NamedTuple):
    """One model of a sweep over D: its names and colour; its variables are (D, repeat, own axes..), in order of D."""
    results: Results
    index: tuple[Any, ...]
    order: np.ndarray
    D: np.ndarray
    prior: str
    rest: str
    activation: str
    colour: Any

    def get(self, name: str, *own: str) -> np.ndarray:
        return self.results.read(name, *own)[self.index][self.order]

    def power(self, place: int) -> str:
        return f"{self.D[place]:.0e}".replace("e+", "e")

    def name(self, *more: str) -> str:
        return ", ".join(filter(None, (self.prior, self.rest, self.activation, *more)))

    def feature(self, asked: int | None) -> int:
        """The one asked for, else the feature that splits first, by its prediction."""
        times = self.get("saddle/predicted_split_time", "feature")
        first = int(np.median(np.where(np.isnan(times), np.inf, times), axis=(0, 1)).argmin())
        return first if asked is None else asked

    def later(self) -> Iterator[tuple[tuple[int, ...], int, float, float]]:
        """Plateaus (D, repeat, plateau) after the first split, the next feature, its rate predicted and as seen."""
        if "plateaus/next_feature" not in self.results.data:
            return
        following = self.get("plateaus/next_feature", "plateau")
        predicted, seen = (self.get(f"plateaus/{name}", "plateau", "feature") for name in ("rate", "growth_rate"))
        for place in map(tuple, np.argwhere(np.isfinite(following) & (following != self.feature(None) + 1))):
            f = int(following[place]) - 1
            yield place, f, predicted[place][f], seen[place][f]


def cases_of(files: list[Results]) -> Iterator[Case]:
    """Every combination of the swept keys but D, colours by activation."""
    colours = activation_colours(files)
    for results in files:
        axis = next((i for i, axis in enumerate(results.axes) if axis.key == DIMENSION), None)
        if axis is None:
            raise ValueError(f"{results.data.path}: the picture shows sweeps over {DIMENSION}; {results.swept()}")
        D = np.array(results.axes[axis].values, dtype=float)
        for name in ("saddle/predicted_growth_rate", "saddle/predicted_split_time", "flow/growth_rate",
                     "flow/split_time"):
            results.get(name, "feature")
        for index, names in results.others((axis,)):
            activation = names.get(ACTIVATION, results.activation("trained"))
            rest = ", ".join(name for key, name in names.items() if key != ACTIVATION)
            prior = results.config.get("model", {}).get("prior", "")
            yield Case(results, index, np.argsort(D), np.sort(D), prior, rest, activation, colours[activation])


def plus_minus(error: float) -> str:
    """As it stands behind a number; of one replicate of the samples there is none."""
    return f" ± {error:.0e}" if np.isfinite(error) else ""


def growth_row(case: Case, f: int) -> str:
    """Growth and split of one feature, at the largest D and a middle one."""
    saddle, error = (np.median(case.get(f"saddle/split_rate{part}", "split_mode")[..., 0]) for part in ("", "_stderr"))
    predicted, own, seen = (case.get(name, "feature")[-1, :, f].mean() for name in (
        "saddle/predicted_growth_rate", "saddle/predicted_growth_rate_stderr", "flow/growth_rate"))
    times = [case.get(name, "feature")[..., f] for name in ("saddle/predicted_split_time", "flow/split_time")]
    places = [f"{case.power(i)}: " + " / ".join(f"{np.median(time[i]):.4g}" for time in times)
              for i in (case.D.size // 2, -1)]
    return (f"| {case.name()} | {f + 1} | {saddle:.4f}{plus_minus(error)} | {predicted:.5f}{plus_minus(own)} "
            f"| {seen:.5f} | {100 * (seen / predicted - 1):+.2f} % | {' | '.join(places)} |")


def later_rows(case: Case) -> Iterator[str]:
    """The splits after the first, as predicted from the plateau before, at the largest D."""
    for place, f, rate, growth in case.later():
        seen = case.get("flow/split_time", "feature")[place[:2]][f]
        if place[:2] == (case.D.size - 1, 0) and np.isfinite(seen):
            yield (f"| {case.name(case.power(-1))} | {f + 1} | {rate:.4f} | {growth:.4f} | "
                   f"{case.get('plateaus/next_split_time', 'plateau')[place]:.4g} / {seen:.4g} |")


def print_tables(cases: list[Case], feature: int | None) -> None:
    first = [growth_row(case, case.feature(feature)) for case in cases]
    later = [row for case in cases for row in later_rows(case)]
    for titles, rows in ((FIRST, first), (LATER, later)):
        print(titles, f"|{'---|' * (titles.count('|') - 1)}", *rows, sep="\n")


def draw_rates(ax: Axes, cases: list[Case], feature: int | None) -> None:
    """Growth rates of the first feature along the whole way (dots), of the next ones at later plateaus (circles)."""
    for case in cases:
        predicted, seen = (case.get(name, "feature")[..., case.feature(feature)].ravel()
                           for name in ("saddle/predicted_growth_rate", "flow/growth_rate"))
        ax.plot(predicted, seen, "o", color=case.colour, **WHITE_EDGE, ms=4)
        for _, _, rate, growth in case.later():
            ax.plot(rate, growth, "o", mfc="none", ms=3, mec=case.colour, mew=0.7)
    low, high = ax.get_xlim()
    ax.plot([max(low, 1e-3), high], [max(low, 1e-3), high], color="0.6", lw=0.7, zorder=0)
    ax.set(xscale="log", yscale="log", xlabel="growth rate predicted", ylabel="observed")
    keys = {case.activation: legend_key(color=case.colour, marker="o", ls="", ms=4) for case in cases}
    keys |= {"later features at plateaus": legend_key(color=GREY, marker="o", mfc="none", ls="", ms=3)}
    ax.legend(keys.values(), keys.keys(), loc="upper left", fontsize=points(7))


def draw_times(ax: Axes, cases: list[Case], feature: int | None) -> None:
    """Time of the first split against D for one prior: predicted (lines) and observed (dots), medians over repeats."""
    looks = dict(zip(dict.fromkeys(case.rest for case in cases), zip(cycle(MARKERS), cycle(LINES))))
    for case in cases:
        f, D, (marker, line) = case.feature(feature), case.D, looks[case.rest]
        observed = np.array([median_and_error(list(row)) for row in case.get("flow/split_time", "feature")[..., f]])
        known = np.isfinite(observed[:, 0])
        ax.plot(D, np.median(case.get("saddle/predicted_split_time", "feature")[..., f], axis=1), color=case.colour,
                lw=0.8, ls=line, zorder=1)
        ax.errorbar(D[known], observed[known, 0], bars(observed[known, 1]), fmt=marker, ms=3.2, color=case.colour,
                    **WHITE_EDGE, elinewidth=0.7)
    ax.set(xscale="log", ylim=(0, None), xlabel="$D$", title=cases[0].prior)
    if len(looks) > 1:
        keys = [legend_key(color=GREY, marker=marker, ms=3.2, lw=0.8, ls=line) for marker, line in looks.values()]
        ax.legend(keys, looks, loc="upper left", fontsize=points(7))


def draw_stages(figure: Figure, files: list[Results], features: tuple[int, ...], by: tuple[str, ...] = ()) -> None:
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
