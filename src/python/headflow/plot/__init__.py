"""Pictures: every panel of headflow-plot as a function of data and Axes, which returns the artists that it has added.

    import matplotlib.pyplot as plt
    fig, (left, right) = plt.subplots(1, 2, layout="constrained")   # legends stand outside the axes
    headflow.plot.loss(result, left)
    headflow.plot.plane(result, right)

Panels of a run: loss, m, plane, space, r, b, cosine, gradient, hierarchy, growth, angle, splits, quantiles, pca,
attention, and variable for any other. Of many runs: specialization, spread, samples. Of sweeps and trained heads:
trained, prune, prune_spread, maps, cosine_map, heads_map, stage_rates, stage_times, scalings, learnt_biases, and values
for any variable. `figure` makes a whole picture and `save` writes it; `report` writes a page, `animate` a film. All but
`figure` take the settings of matplotlib as they are; `with headflow.plot.style():` gives those of headflow-plot.
"""
import importlib

_HOMES = {
    "panels": ("loss", "m", "plane", "space", "r", "b", "cosine", "gradient", "variable", "hierarchy", "growth",
               "angle", "splits", "quantiles", "pca", "attention"),
    "panels_of_many": ("specialization", "spread", "samples", "trained", "prune", "prune_spread", "maps", "cosine_map",
                       "heads_map", "stage_rates", "stage_times", "values", "scalings", "learnt_biases"),
    "pictures": ("figure", "save", "report", "animate"), "figures": ("style",), "look": ("STYLE",)}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
__all__ = list(_HOME)  # noqa: PLE0604


def __getattr__(name: str):
    """Loads matplotlib when it is needed."""
    if name not in _HOME:
        raise AttributeError(f"module 'headflow.plot' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"headflow.plot.{_HOME[name]}"), name)
    return value


def __dir__():
    return sorted([*globals(), *_HOME])
