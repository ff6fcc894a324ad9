"""Pictures that set what is computed beside the paper's formulas."""
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from headflow.files import Results, Run, Series
from headflow.plot.curves import Curve, draw_curve
from headflow.plot.laws import atoms_of, moments_of
from headflow.plot.look import GREY, THIN, WHITE_EDGE, colours_of, labelled, legend_key, points
from headflow.plot.sweeps import MARKERS, check_kind, set_ticks, titles, x_axis_of

FORMULA = {"color": "black", "ls": (0, (4, 2)), "lw": 0.9, "zorder": 2.5}
LEARNT = r"$b_h$ + const"
EXPECTED = r"$-|\theta_h|^2/2+\log P(\theta_h)$"


def draw_pca(ax: Axes, run: Run, log_time: bool, **_: Any) -> None:
    """Overlap of the heads with each eigenvector of Gamma = E[theta theta'], root mean square over heads (Lemma III.1).
    From the largest eigenvalue to the smallest."""
    values, vectors = np.linalg.eigh(moments_of(run.config["model"])[1])
    colours, keys = colours_of(values.size), {}
    for i, colour in enumerate(colours):
        vector, label = vectors[:, -1 - i], f"$\\gamma_{{{i + 1}}}={values[-1 - i]:.4g}$"
        for series in run.series:
            size = np.sqrt(((series.m @ vector) ** 2).mean(axis=-1))
            draw_curve(ax, series, Curve(size, colour, label=label), log_time)
        keys[label] = legend_key(color=colour)
    ax.set(xlabel="$t$", xscale="log" if log_time else "linear", ylabel="overlap with eigenvector")
    ax.legend(keys.values(), keys.keys(), loc="best", fontsize=points(7))


def attention_of(b: np.ndarray, v: np.ndarray, tokens: int) -> np.ndarray:
    """L A of softmax-1 where fields vanish, A = v e^b / (1 + L e^b): mean over heads, the last axis of b."""
    return tokens * (v[..., None] / (np.exp(-b) + tokens)).mean(axis=-1)


def first_phase(time: np.ndarray, b: float, v: float, tokens: int, heads: int) -> np.ndarray:
    """L A at these times by Lemma A.4, gradient flow of b and v alone at m = 0, r = 0 (Runge-Kutta of fourth order)."""
    def slope(y: np.ndarray) -> np.ndarray:
        weight = 1 / (np.exp(-y[0]) + tokens)
        force = -2 * (tokens * y[1] * weight - 1) * weight
        return np.array([force * y[1] / (1 + tokens * np.exp(y[0])) / heads, force])

    y, found = np.array([b, v]), []
    for t0, t1 in zip(np.append(time[0], time[:-1]), time):
        steps = max(1, int(np.ceil((t1 - t0) / 0.1)))
        h = (t1 - t0) / steps
        for _ in range(steps):
            k1 = slope(y)
            k2 = slope(y + h / 2 * k1)
            k3 = slope(y + h / 2 * k2)
            y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + slope(y + h * k3))
        found.append(attention_of(y[:1], y[1:], tokens)[0])
    return np.array(found)


def draw_attention(ax: Axes, run: Run, log_time: bool, **_: Any) -> None:
    """The whole attention L A of softmax-1 by its biases and scale, where fields vanish, and Lemma A.4 (dashed)."""
    model, attention = run.config["model"], run.config["attention"]
    if attention.get("activation") != "softmax-1":
        raise ValueError(f"{run.data.path}: the panel 'attention' is of softmax-1, whose biases and scale are learnt")
    colour = colours_of(1)[0]
    for series in run.series:
        whole = attention_of(series.get("b", "head"), series.get("v"), model["tokens"])
        draw_curve(ax, series, Curve(whole, colour, label="$L A$"), log_time)
    flow: Series = run.series[0]
    start = (float(np.mean(flow.get("b", "head")[0])), float(np.mean(flow.get("v")[0])))
    lemma = first_phase(flow.time, *start, model["tokens"], run.heads)
    shown = flow.time > 0 if log_time else np.full(flow.time.size, True)
    ax.plot(flow.time[shown], lemma[shown], **FORMULA, label="Lemma A.4")
    ax.axhline(1, **THIN)
    ax.set(xlabel="$t$", xscale="log" if log_time else "linear", ylabel="attention $L A$ at zero fields")
    labelled(ax)


class Estimator(NamedTuple):
    """The best heads of each repeat: m (run, head, feature), b (run, head), the place of the nearest atom (run, head).

    `expected` is what Prop. IV.2 says of the bias at each atom; b has the constant that brings it nearest to that."""
    m: np.ndarray
    b: np.ndarray
    nearest: np.ndarray
    atoms: np.ndarray
    weights: np.ndarray
    expected: np.ndarray


def estimator_of(results: Results) -> Estimator:
    """Throws ValueError for what is a sweep, or has a law without atoms."""
    if results.axes:
        raise ValueError(f"{results.data.path}: is a sweep over {results.axes[0].key}; this picture shows one model")
    try:
        atoms, weights = atoms_of(results.config["model"] | {"features": results.features})
    except ValueError as error:
        raise ValueError(f"{results.data.path}: {error}") from error
    loss = results.get("train/choice_loss" if "train/choice_loss" in results.data else "train/loss", "start")
    best = np.where(np.isnan(loss), np.inf, loss).argmin(axis=1)
    runs = np.arange(best.size)
    m = results.get("train/m", "start", "head", "feature")[runs, best]
    b = results.get("train/b", "start", "head")[runs, best]
    nearest = ((m[:, :, None] - atoms) ** 2).sum(axis=-1).argmin(axis=-1)
    expected = np.log(weights) - (atoms ** 2).sum(axis=1) / 2
    return Estimator(m, b + (expected[nearest] - b).mean(axis=1, keepdims=True), nearest, atoms, weights, expected)


def draw_learnt_biases(ax: Axes, results: Results) -> None:
    """Biases of Bayes-softmax against -|theta|^2 / 2 + log P(theta) of the atom next to each head (Prop. IV.2)."""
    found = estimator_of(results)
    for i, colour in enumerate(colours_of(len(found.atoms))):
        b = found.b[found.nearest == i]
        ax.plot(np.full(b.size, found.expected[i]), b, "o", color=colour, ms=4, **WHITE_EDGE,
                label=f"$P={found.weights[i]:.3g}$")
    ends = [found.expected.min(), found.expected.max()]
    ax.plot(ends, ends, **FORMULA)
    ax.set(xlabel=EXPECTED, ylabel=LEARNT)
    ax.margins(0.08)


def draw_estimator(figure: Figure, files: list[Results], features: tuple[int, ...], by: tuple[str, ...] = ()) -> None:
    """Trained heads of Bayes-softmax beside the Bayes estimator: heads over the atoms of theta, and biases."""
    figure.set_size_inches(5.8, 2.7 * len(files))
    for row, results, title in zip(figure.subplots(len(files), 2, squeeze=False), files, titles(files)):
        found = estimator_of(results)
        i, j = features or (0, min(1, results.features - 1))
        row[0].scatter(found.atoms[:, i], found.atoms[:, j], s=20 + 400 * found.weights, facecolors="none",
                       edgecolors=GREY, linewidths=0.8)
        for atom, colour in enumerate(colours_of(len(found.atoms))):
            m = found.m[found.nearest == atom]
            row[0].plot(m[:, i], m[:, j], "o", color=colour, ms=3.2, **WHITE_EDGE)
        row[0].set(xlabel=f"feature {i + 1}", ylabel=f"feature {j + 1}", title=title)
        row[0].margins(0.15)
        row[0].set_aspect("equal", adjustable="datalim")
        draw_learnt_biases(row[1], results)
        labelled(row[1])


def draw_scalings(ax: Axes, results: Results, by: tuple[str, ...] = ()) -> None:
    """|m_h|, |b_h| and v of the best heads of softmax-1 against the signal nu, with lines nu^(1/2), nu, H / (heads that
    answer) (Prop. IV.3)."""
    x_axis, label, x, _ = x_axis_of(results, by)
    index = next((index for index, names in results.others((x_axis,))
                  if names.get("attention.activation", results.activation("")) == "softmax-1"), None)
    if index is None:
        raise ValueError(f"{results.data.path}: no softmax-1, whose biases and scale this picture shows")
    m = np.linalg.norm(results.best("train/m", "head", "feature")[index], axis=-1)
    b, v = np.abs(results.best("train/b", "head")[index]), results.best("train/v")[index]
    order = np.argsort(x)
    shown = ("$|m_h|$", m, 0.5), ("$|b_h|$", b, 1.0), ("$v$", v[:, None], 0.0)
    for (name, values, power), marker, colour in zip(shown, MARKERS, colours_of(3)):
        places = np.broadcast_to(x[:, None], values.shape)
        ax.plot(places.ravel(), values.ravel(), marker, color=colour, ms=4, **WHITE_EDGE, label=name)
        last = values[order[-1]].mean()
        ax.plot(x[order], last * (x[order] / x.max()) ** power, color=colour, lw=0.7, ls="--", zorder=1,
                label={0.5: f"$\\propto$ ({label})$^{{1/2}}$", 1.0: f"$\\propto$ {label}"}.get(power))
    ax.set(xscale="log", yscale="log", xlabel=label)
    set_ticks(ax, "x", x, cells=False)
    labelled(ax)


def draw_scalings_picture(figure: Figure, files: list[Results], features: tuple[int, ...],
                          by: tuple[str, ...] = ()) -> None:
    """Panels of draw_scalings, one for each file."""
    check_kind(files, "scalings")
    figure.set_size_inches(3.2 * len(files), 2.8)
    for ax, results, title in zip(np.ravel(figure.subplots(1, len(files))), files, titles(files)):
        draw_scalings(ax, results, by)
        ax.set_title(title)
