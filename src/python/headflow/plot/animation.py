"""Pictures that move: the heads in the plane or space of features, with the loss beside them, and SGD's dots."""
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from headflow.files import Run, Series
from headflow.plot.look import GREY, MAX_KEYS, WHITE_EDGE, colours_of, legend_below, legend_key
from headflow.plot.series import PANELS, draw_heads, draw_time

PER_SECOND = 20
INCHES, DPI = (5.5, 2.5), 160
COLOURS = 63  # of a .gif, and one for what has not changed
FAINT = 0.25


def at_times(series: Series, values: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Values (time, ..) interpolated at these times; from the end on the last ones."""
    flat = values.reshape(series.time.size, -1)
    columns = [np.interp(times, series.time, column) for column in flat.T]
    return np.stack(columns, axis=1).reshape(times.size, *values.shape[1:])


class Scene:
    """The heads at one time after the other. What does not move is drawn once."""

    def __init__(self, run: Run, features: tuple[int, ...], log_time: bool) -> None:
        self.run, self.features = run, features
        flow, colours = run.series[0], colours_of(run.heads)
        self.figure = Figure(figsize=INCHES, dpi=DPI, layout="constrained")
        self.canvas = FigureCanvasAgg(self.figure)
        three = {"projection": "3d"} if len(features) == 3 else {}
        heads = self.figure.add_subplot(1, 2, 1, **three)
        loss = self.figure.add_subplot(1, 2, 2)
        draw_heads(heads, run, features, colours)
        for axis in (heads.xaxis, heads.yaxis, heads.zaxis) if three else ():
            axis.set_pane_color((1.0, 1.0, 1.0))  # not a shade that a palette turns into another colour
        for artist in (*heads.lines, *heads.collections):
            artist.set_alpha(FAINT)
        draw_time(loss, run, (), colours, log_time, PANELS["loss"])
        first = flow.time[flow.time > 0][0] if log_time else flow.time[0]
        last = max(series.time[-1] for series in run.series)
        self.times = np.geomspace(first, last, 2) if log_time else np.array([first, last])
        self.log_time = log_time
        self.moving: list[Artist] = []
        nothing = [[]] * len(features)
        self.paths = [self._add(heads.plot(*nothing, color=colour, lw=1.4)) for colour in colours]
        self.dots = [[self._add(heads.plot(*nothing, "o", color=colour, ms=5 if series is flow else 3.5, zorder=6,
                                           **(WHITE_EDGE if series is flow else {"mfc": "white", "mew": 1.0})))
                      for colour in colours] for series in run.series]
        keys = {f"head {h + 1}": legend_key(color=colour) for h, colour in enumerate(colours[:MAX_KEYS])}
        if len(run.series) > 1:
            keys |= {"flow": legend_key(color=GREY, ls="", marker="o", ms=5, **WHITE_EDGE),
                     "SGD": legend_key(color=GREY, ls="", marker="o", ms=3.5, mfc="white", mew=1.0)}
        legend_below(self.figure, keys, min(len(keys), 6), 0.2 * -(-len(keys) // 6))
        self.line = self._add([loss.axvline(first, color="0.3", lw=0.9)])
        self.clock = self._add([loss.set_title("$t$, loss")])

    def _add(self, artists: list[Any]) -> Any:
        artists[0].set_animated(True)
        self.moving += artists
        return artists[0]

    def frames(self, count: int) -> Iterator[Image.Image]:
        """So many pictures, at times that are even on the axis of the time."""
        even = np.geomspace if self.log_time else np.linspace
        times = even(*self.times, count)
        known = [at_times(series, series.average(series.m)[0][..., self.features], times) for series in self.run.series]
        flow = self.run.series[0]
        path = flow.average(flow.m)[0][..., self.features]
        loss = at_times(flow, flow.average(flow.get("loss"))[0], times) if "loss" in flow else np.full(count, np.nan)
        self.canvas.draw()
        still = self.canvas.copy_from_bbox(self.figure.bbox)
        for i, t in enumerate(times):
            self.canvas.restore_region(still)
            past = flow.time <= t
            for h, line in enumerate(self.paths):
                self._place(line, np.vstack([path[past, h], known[0][i, h]]))
            for series, dots in zip(known, self.dots):
                for h, dot in enumerate(dots):
                    self._place(dot, series[i, h][None])
            self.line.set_xdata([t, t])
            self.clock.set_text(f"$t = {t:.4g}$, loss {loss[i]:.4f}")
            for artist in self.moving:
                artist.axes.draw_artist(artist)
            yield Image.fromarray(np.asarray(self.canvas.buffer_rgba())).convert("RGB")

    @staticmethod
    def _place(line: Any, points: np.ndarray) -> None:
        if points.shape[1] == 3:
            line.set_data_3d(*points.T)
        else:
            line.set_data(*points.T)


def write_gif(path: str, frames: Iterator[Image.Image]) -> None:
    """With one palette for all frames, of which each has only what has changed."""
    pictures = list(frames)
    some = np.vstack([np.asarray(picture) for picture in pictures[::max(1, len(pictures) // 4)]])
    # Of its kinds the one that keeps what few pixels have: the colours of the heads.
    palette = Image.fromarray(some).quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE)
    whole = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    changes = whole[:1]
    for before, now in zip(whole, whole[1:]):
        same = np.asarray(before) == np.asarray(now)
        change = Image.fromarray(np.where(same, COLOURS, np.asarray(now)).astype(np.uint8))
        change.putpalette(palette.getpalette())
        changes.append(change)
    changes[0].save(path, "gif", save_all=True, append_images=changes[1:], duration=1000 // PER_SECOND, loop=0,
                    transparency=COLOURS, disposal=1, optimize=False)


def write_mp4(path: str, frames: Iterator[Image.Image]) -> None:
    """By ffmpeg, for every player (H.264, 4:2:0)."""
    if not shutil.which("ffmpeg"):
        raise ValueError("an .mp4 needs the program ffmpeg, which is not in PATH (Debian: apt-get install ffmpeg); "
                         "a .gif does not")
    first = next(frames)
    size = "{}x{}".format(*first.size)
    words = ["ffmpeg", "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size,
             "-r", str(PER_SECOND), "-i", "-", "-an", "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p",
             "-movflags", "+faststart", "-f", "mp4", path]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            for picture in (first, *frames):
                process.stdin.write(picture.tobytes())
        except BrokenPipeError:
            pass
        _, errors = process.communicate()
    if process.returncode:
        raise ValueError(f"ffmpeg has failed: {' '.join(errors.decode(errors='replace').split())[-300:]}")


WRITERS = {".gif": write_gif, ".mp4": write_mp4}


def animate(run: Run, path: str, suffix: str, features: tuple[int, ...] = (0, 1), log_time: bool = False,
            count: int = 200) -> None:
    """Write the film of one run to `path`, as a file with that suffix."""
    if run.series[0].time.size < 2 or log_time and not (run.series[0].time > 0).any():
        raise ValueError(f"{run.data.path}: --animate needs two outputs or more")
    WRITERS[suffix](path, Scene(run, features, log_time).frames(count))
