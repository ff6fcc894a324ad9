"""Whole pictures, reports and films of data, as headflow-plot makes them."""
import contextlib
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from matplotlib.figure import Figure

from headflow.files import series_of
from headflow.plot.figures import draw, style
from headflow.plot.panels import Data, many_of, one_of, places_of


def figure(data: Data | Sequence[Data], panels: Sequence[str] = (), *, features: Sequence[int] = (),
           by: Sequence[str] = (), log_time: bool = False, title: str | None = None, overlay: bool = False,
           own_style: bool = False) -> Figure:
    """A whole picture, as headflow-plot draws it.

    Parameters
    ----------
    data : Result, path, or list of them
        One run, several, or sweeps.
    panels : list of str
        As for headflow-plot: ("overview",), ("loss", "plane"), ("trained",), ..
    overlay : bool
        Several runs in the same panels, each in one colour.
    own_style : bool
        Draw with the settings of the user instead of those of headflow-plot.
    """
    with contextlib.nullcontext() if own_style else style():
        made = Figure(layout="constrained")
        draw(made, many_of(data), [panels] if isinstance(panels, str) else list(panels), tuple(features), tuple(by),
             log_time, title, overlay)
    return made


def report(data: Data, path: str | PathLike, panels: Sequence[str] = (), *, features: Sequence[int] = (),
           by: Sequence[str] = (), log_time: bool = False, title: str | None = None) -> None:
    """Write a page about one file: pictures, tables, and the heads under a slider over time. See `figure`."""
    from headflow.plot.command import replaced
    from headflow.plot.pages import page
    if Path(path).suffix.lower() != ".html":
        raise ValueError(f"{path}: unknown suffix '{Path(path).suffix}', a report is .html")
    with style():
        text = page(one_of(data), list(panels), tuple(features), tuple(by), log_time, title)
    with replaced(Path(path)) as part:
        part.write_text(text, encoding="utf-8")


def animate(data: Data, path: str | PathLike, *, features: Sequence[int] = (1, 2), log_time: bool = False,
            frames: int = 200) -> None:
    """Write a film, .gif or .mp4, of the heads in the plane or space of two or three features, counted from 1."""
    from headflow.plot.animation import WRITERS
    from headflow.plot.animation import animate as write
    from headflow.plot.command import replaced
    path, run = Path(path), series_of(one_of(data))
    if path.suffix.lower() not in WRITERS:
        raise ValueError(f"{path}: unknown picture suffix '{path.suffix}', known are {', '.join(WRITERS)}")
    if not 2 <= frames <= 5000:
        raise ValueError(f"frames = {frames}: allowed are 2 to 5000")
    places = places_of(run, features, 3 if len(features) == 3 else 2)
    with style(), replaced(path) as part:
        write(run, str(part), path.suffix.lower(), places, log_time, frames)


def save(made: Figure, path: str | PathLike, dpi: int = 150) -> None:
    """Write a picture as headflow-plot does: .png, .pdf or .svg, small and without a date."""
    from headflow.plot.command import write_picture
    with style():
        write_picture(made, Path(path), dpi)
