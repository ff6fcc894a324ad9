"""Pictures of heads over a plane of two swept keys: their similarity, and the heads."""
from itertools import product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from headflow.files import Results
from headflow.plot.grids import Grid, grid_of
from headflow.plot.look import THIN, WHITE_EDGE, colours_of, points
from headflow.plot.sweeps import check_kind, row_of_panels, set_ticks, spans_decades, titles, wrapped

MAX_CELLS = 5  # panels of heads-map along each direction


def maps_of(files: list[Results], picture: str, by: tuple[str, ...], name: str,
            *own: str) -> list[tuple[str, Grid, np.ndarray]]:
    """(title, grid, values on it) of each file and other swept value: of trained heads, else of the end of the flow."""
    check_kind(files, picture)
    found = []
    for results, model in zip(files, titles(files)):
        kind = "flow" if "train/loss" not in results.data and "flow/loss" in results.data else "train"
        grid, values = grid_of(results, by), results.best(f"{kind}/{name}", *own)
        if values.shape[-1] < 2:
            raise ValueError(f"{results.data.path}: {picture} needs two {own[-1].removesuffix('_b')}s")
        for index, names in results.others(grid.used):
            title = ", ".join(filter(None, [*names.values(), model])).replace("\n", " ")
            found.append((wrapped(title, 48), grid, grid.values(values, index)))
    return found


def cells_of(grid: Grid) -> list[np.ndarray]:
    """Places along x and y that are shown, few of many."""
    return [np.unique(np.linspace(0, size - 1, min(size, MAX_CELLS)).round().astype(int)) for size in grid.order.shape]


def edges(centres: np.ndarray) -> np.ndarray:
    """Of the cells around the centres: halfway between them, on a logarithmic axis in the logarithm."""
    place = np.log(centres) if spans_decades(centres) else centres
    half = np.diff(place) / 2 if place.size > 1 else np.array([0.5])
    ends = np.concatenate([[place[0] - half[0]], place[:-1] + half[:place.size - 1], [place[-1] + half[-1]]])
    return np.exp(ends) if spans_decades(centres) else ends


def draw_similarity(ax: Axes, grid: Grid, cosine: np.ndarray) -> QuadMesh:
    """Cosine similarity (x, y) as colours; grey where there is none."""
    ax.set_facecolor("0.6")
    ax.set_box_aspect(1)
    mesh = ax.pcolormesh(edges(grid.x), edges(grid.y), np.ma.masked_invalid(cosine.T), cmap="RdBu_r",
                         vmin=-1, vmax=1, edgecolors="face", linewidth=0.1)
    set_ticks(ax, "x", grid.x, cells=True)
    set_ticks(ax, "y", grid.y, cells=True)
    ax.set(xlabel=f"${grid.symbols[0]}$", ylabel=f"${grid.symbols[1]}$")
    ax.tick_params(direction="out", length=2.5)
    return mesh


def draw_cosine_map(figure: Figure, files: list[Results], features: tuple[int, ...], by: tuple[str, ...] = ()) -> None:
    """Cosine similarity of heads 1 and 2, trained or at the end of the flow, over the plane of two swept numbers."""
    found = maps_of(files, "cosine-map", by, "cosine", "head", "head_b")
    panels = row_of_panels(figure, len(found), 2.7, 2.75, "")
    for ax, (title, grid, values) in zip(panels, found):
        mesh = draw_similarity(ax, grid, values[..., 0, 1])
        ax.set_title(title)
    figure.colorbar(mesh, ax=panels, label=r"$\cos(k_1, k_2)$", aspect=25, pad=0.02)


def draw_heads_map(figure: Figure, files: list[Results], features: tuple[int, ...], by: tuple[str, ...] = ()) -> None:
    """Heads (m_h1, m_h2), trained or at the end of the flow, in small panels over the plane of two swept numbers."""
    found, shown = maps_of(files, "heads-map", by, "m", "head", "feature"), features or (0, 1)
    sizes = [cells_of(grid) for _, grid, _ in found]
    cell = 0.95 if len(found) == 1 else 0.7
    widths, heights = ([cell * places.size + 0.6 for places in side] for side in zip(*sizes))
    figure.set_size_inches(sum(widths), max(heights))
    parts = np.atleast_1d(figure.subfigures(1, len(found), width_ratios=widths))
    limits = common_limits(np.concatenate([values[..., shown].reshape(-1, 2) for _, _, values in found]))
    for part, (title, grid, values), (columns, rows) in zip(parts, found, sizes):
        panels = part.subplots(rows.size, columns.size, sharex=True, sharey=True, squeeze=False)
        for (i, row), (j, column) in product(enumerate(rows[::-1]), enumerate(columns)):
            draw_plane(panels[i, j], values[column, row][:, shown], limits)
        for ax, column in zip(panels[0], columns):
            ax.set_title(f"${grid.symbols[0]}={grid.x[column]:.3g}$", fontsize=points(8))
        for ax, row in zip(panels[:, -1], rows[::-1]):
            ax.yaxis.set_label_position("right")
            ax.set_ylabel(f"${grid.symbols[1]}={grid.y[row]:.3g}$", fontsize=points(8))
        part.supxlabel(f"$m_{{h{shown[0] + 1}}}$", fontsize=points(9))
        part.supylabel(f"$m_{{h{shown[1] + 1}}}$", fontsize=points(9))
        if title:
            part.suptitle(title, fontsize=points(9))


def common_limits(m: np.ndarray) -> np.ndarray:
    """[(low, high) of x, of y], a square around the origin and all heads (head, 2) but a few that are very long."""
    known = m[np.isfinite(m).all(axis=1)]
    length = np.abs(known).max(axis=1)
    inside = length <= 2 * np.quantile(length, 0.9)
    if not inside.all():
        print(f"{(~inside).sum()} heads lie outside the panels, the farthest at {length.max():.3g}")
    ends = np.vstack([known[inside], [[0, 0]]])
    side = 1.2 * (np.ptp(ends, axis=0).max() or 1.0)
    return (ends.min(axis=0) + ends.max(axis=0))[:, None] / 2 + [-side / 2, side / 2]


def draw_plane(ax: Axes, m: np.ndarray, limits: np.ndarray) -> None:
    """The heads as lines from the origin to a dot, one colour for each."""
    ax.axhline(0, **THIN)
    ax.axvline(0, **THIN)
    for end, colour in zip(m, colours_of(len(m))):
        ax.plot([0, end[0]], [0, end[1]], color=colour, lw=0.9)
        ax.plot(*end, "o", color=colour, ms=3.4, **WHITE_EDGE, zorder=3)
    ax.set(xlim=limits[0], ylim=limits[1])
    ax.set_box_aspect(1)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
    ax.tick_params(labelsize=7)
