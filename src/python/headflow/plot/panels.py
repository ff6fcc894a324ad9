"""Every panel of a run as a function of data and Axes, which returns the artists that it has added."""
from collections.abc import Callable, Sequence
from functools import partial
from os import PathLike
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes

from headflow.files import Results, Run, series_of
from headflow.plot.figures import panel_of
from headflow.plot.look import colours_of, legend_outside
from headflow.plot.series import PANELS, draw_time

Data = Any
"""What headflow.open returns, or the path of a file."""


def axes_or_new(ax: Axes | None, **options: Any) -> Axes:
    """Those that are given, else the current ones of pyplot."""
    if ax is not None:
        return ax
    from matplotlib import pyplot
    return pyplot.figure().add_subplot(**options) if options else pyplot.gca()


def added_to(ax: Axes, drawing: Callable[[], Any]) -> list[Artist]:
    """What a drawing adds to the axes."""
    before = set(ax.get_children())
    drawing()
    return [child for child in ax.get_children() if child not in before]


def name_all(ax: Axes, legend: bool) -> None:
    """A legend outside the axes, of what has a name, and of what a panel explains by itself."""
    own = ax.get_legend()
    handles, names = ax.get_legend_handles_labels()
    keys = dict(zip(names, handles))
    if own is not None:
        # As matplotlib 3.7 and later, or 3.6, names them.
        lines = own.legend_handles if hasattr(own, "legend_handles") else own.legendHandles
        keys |= dict(zip([text.get_text() for text in own.get_texts()], lines))
        own.remove()
    if legend and keys:
        legend_outside(ax, keys)


def many_of(data: Any) -> list[Any]:
    """One result or several, also those that were opened together."""
    if isinstance(data, (str, PathLike)) or not isinstance(data, (list, tuple)):
        data = [data]
    # A path has parts, too, but those are its folders.
    return [part for one in data for part in ([one] if isinstance(one, PathLike) else getattr(one, "parts", [one]))]


def one_of(data: Any) -> Any:
    files = many_of(data)
    if len(files) != 1:
        raise ValueError(f"this panel shows one file, found {len(files)}: give one of .parts")
    return files[0]


def places_of(of: Run | Results, features: Sequence[int], count: int) -> tuple[int, ...]:
    """Features from 1 as places from 0. Throws ValueError unless they are so many different ones of the file."""
    if len(features) != count or len(set(features)) < count or not set(features) <= set(range(1, of.features + 1)):
        ones = f"{count} different ones" if count > 1 else "one"
        raise ValueError(f"{of.data.path}: features {', '.join(map(str, features))}: choose {ones} from 1 to "
                         f"{of.features}")
    return tuple(int(f) - 1 for f in features)


def place_of(of: Sequence[Run | Results], feature: int | None) -> int | None:
    """Of one feature of all of them."""
    return None if feature is None else [places_of(one, (feature,), 1) for one in of][0][0]


def _run_panel(name: str, data: Data, ax: Axes | None, features: Sequence[int], log_time: bool,
               legend: bool) -> list[Artist]:
    run: Run = series_of(one_of(data))
    places = places_of(run, features, {"m": 1, "plane": 2, "space": 3}.get(name, len(features)))
    drawable = [one for one, need in PANELS.items() if run.heads >= need.heads and run.features >= need.features
                and any(need.variable in series for series in run.series)]
    panel = panel_of(run, name, drawable)
    ax = axes_or_new(ax, **({"projection": "3d"} if len(features) == 3 else {}))
    draw_panel = panel.draw or partial(draw_time, panel=panel)
    artists = added_to(ax, lambda: draw_panel(ax, run, features=places, colours=colours_of(run.heads),
                                              log_time=log_time))
    name_all(ax, legend)
    return artists


def loss(data: Data, ax: Axes | None = None, *, log_time: bool = False) -> list[Artist]:
    """The population loss with its standard error, and the times of alignment and splits.

    Parameters
    ----------
    data : Result or path
        A single run. The flow is a line, SGD dots with their standard deviation over replicas.
    ax : Axes, optional
        Where to draw; without, the current axes of pyplot.
    log_time : bool
        Logarithmic time axis, without t = 0.

    Returns
    -------
    list of Artist
        What was added to the axes.
    """
    return _run_panel("loss", data, ax, (), log_time, False)


def m(data: Data, ax: Axes | None = None, *, feature: int = 1, log_time: bool = False,
      legend: bool = True) -> list[Artist]:
    """Overlaps of all heads with one feature, counted from 1, against time. See `loss` for the parameters."""
    return _run_panel("m", data, ax, (feature,), log_time, legend)


def plane(data: Data, ax: Axes | None = None, *, features: tuple[int, int] = (1, 2),
          legend: bool = True) -> list[Artist]:
    """Paths of the heads in the plane of two features, from open to filled dot. See `loss` for the parameters."""
    return _run_panel("plane", data, ax, features, False, legend)


def space(data: Data, ax: Axes | None = None, *, features: tuple[int, int, int] = (1, 2, 3),
          legend: bool = True) -> list[Artist]:
    """Paths of the heads in the space of three features; `ax` is one with projection "3d". See `loss`."""
    return _run_panel("space", data, ax, features, False, legend)


def r(data: Data, ax: Axes | None = None, *, log_time: bool = False, legend: bool = True) -> list[Artist]:
    """Overlaps of the heads outside the span of the spikes: of each with itself, and the largest of two. See `loss`."""
    return _run_panel("r", data, ax, (), log_time, legend)


def b(data: Data, ax: Axes | None = None, *, log_time: bool = False, legend: bool = True) -> list[Artist]:
    """Biases of the heads, and the scale v if it moves. See `loss` for the parameters."""
    return _run_panel("b", data, ax, (), log_time, legend)


def cosine(data: Data, ax: Axes | None = None, *, log_time: bool = False, legend: bool = True) -> list[Artist]:
    """Cosine similarity of every two heads, dashed in the colours of both. See `loss` for the parameters."""
    return _run_panel("cosine", data, ax, (), log_time, legend)


def gradient(data: Data, ax: Axes | None = None, *, log_time: bool = False) -> list[Artist]:
    """Norm of the gradient of the loss, with its standard error. See `loss` for the parameters."""
    return _run_panel("gradient", data, ax, (), log_time, False)


def variable(data: Data, name: str, ax: Axes | None = None, *, log_time: bool = False,
             legend: bool = True) -> list[Artist]:
    """Any variable of flow and SGD against time, a line for each place in its own axes. See `loss`."""
    if name in PANELS:
        raise ValueError(f"'{name}' is a panel: headflow.plot.{name}")
    return _run_panel(name, data, ax, (), log_time, legend)


def hierarchy(data: Data, ax: Axes | None = None, *, log_time: bool = False) -> list[Artist]:
    """A barcode of the sides that the heads take along each feature. See `loss` for the parameters."""
    return _run_panel("hierarchy", data, ax, (), log_time, False)


def growth(data: Data, ax: Axes | None = None, *, log_time: bool = False, legend: bool = True) -> list[Artist]:
    """Spread of m over heads: seen, predicted, and rates by the Hessian at plateaus. See `loss` for the parameters."""
    return _run_panel("growth", data, ax, (), log_time, legend)


def angle(data: Data, ax: Axes | None = None, *, legend: bool = True) -> list[Artist]:
    """Growth rate of the next feature at a plateau, against the angle of its pattern to those learnt. See `loss`."""
    return _run_panel("angle", data, ax, (), False, legend)


def splits(data: Data, ax: Axes | None = None, *, feature: int | None = None, legend: bool = True) -> list[Artist]:
    """Times at which replicas of SGD split, and the law of them that [saddle] predicts. See `loss` for the parameters.

    Parameters
    ----------
    feature : int, optional
        Counted from 1; the default is the one that splits first.
    """
    return _run_panel("splits", data, ax, () if feature is None else (feature,), False, legend)


def quantiles(data: Data, ax: Axes | None = None, *, feature: int | None = None, legend: bool = True) -> list[Artist]:
    """Quantiles of the time at which runs of SGD split, against the dimension D. See `splits` for the parameters."""
    return _run_panel("quantiles", data, ax, () if feature is None else (feature,), False, legend)


def pca(data: Data, ax: Axes | None = None, *, log_time: bool = False, legend: bool = True) -> list[Artist]:
    """Overlap of the heads with eigenvectors of Gamma = E[theta theta'], root mean square over heads. See `loss`."""
    return _run_panel("pca", data, ax, (), log_time, legend)


def attention(data: Data, ax: Axes | None = None, *, log_time: bool = False, legend: bool = True) -> list[Artist]:
    """The whole attention L A of softmax-1 where fields vanish, by its biases and scale, and Lemma A.4. See `loss`."""
    return _run_panel("attention", data, ax, (), log_time, legend)
