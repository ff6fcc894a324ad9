"""Pictures: every panel of headflow-plot as a function of data and Axes, which returns the artists that it has added.

    import matplotlib.pyplot as plt
    fig, (left, right) = plt.subplots(1, 2, layout="constrained")   # legends stand outside the axes
    headflow.plot.loss(result, left)
    headflow.plot.plane(result, right)

Panels of a run: loss, m, plane, space, r, b, cosine, gradient, hierarchy, growth, angle, and variable for any other. Of
many runs: specialization, spread. Of sweeps and trained heads: trained, prune, maps, cosine_map, heads_map,
stage_rates, stage_times. `figure` makes a whole picture and `save` writes it; `report` writes
a page, `animate` a film. All but `figure` take the settings of
matplotlib as they are; `with headflow.plot.style():` gives those of headflow-plot.
"""
import importlib

_PANELS = ("loss", "m", "plane", "space", "r", "b", "cosine", "gradient", "variable", "hierarchy", "growth", "angle",
           "specialization", "spread", "trained", "prune", "maps", "cosine_map", "heads_map", "stage_rates",
           "stage_times", "figure", "save", "report", "animate")
_HOME = dict.fromkeys(_PANELS, "panels") | {"style": "figures", "STYLE": "look"}
__all__ = list(_HOME)  # noqa: PLE0604


def __getattr__(name: str):
    """Loads matplotlib when it is needed."""
    if name not in _HOME:
        raise AttributeError(f"module 'headflow.plot' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"headflow.plot.{_HOME[name]}"), name)
    return value


def __dir__():
    return sorted([*globals(), *_HOME])
