"""headflow-plot: the command line over headflow.plot."""
import argparse
import contextlib
import io
import os
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from headflow.files import Data, outputs_among
from headflow.plot.figures import PICTURES, SWEEPS, draw, read_files, style
from headflow.plot.look import resize
from headflow.plot.series import PANELS

SUFFIXES = (".png", ".pdf", ".svg", ".html")
FILMS = (".gif", ".mp4")
FOLLOW = 0.3  # seconds between two looks at the files


class Parser(argparse.ArgumentParser):
    """Whose messages are one line that a terminal can show."""

    def error(self, message: str) -> NoReturn:
        line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(message.split()))
        self.exit(2, f"{self.prog}: error: {line}\n")


def argument_parser() -> Parser:
    parser = Parser(prog="headflow-plot", usage=argparse.SUPPRESS, allow_abbrev=False,
                    description="headflow-plot FILE.h5 [FILE.h5 ...] [options]: draw headflow's HDF5 files.")
    add = parser.add_argument
    add("files", nargs="+", type=Path, metavar="FILE.h5")
    add("-o", "--output", type=Path, metavar="PICTURE", help=".png, .pdf, .svg, or .html for a report with all panels "
        "(default: X.png for the first file X.h5, FILE.h5.png for another name)")
    add("--panels", type=lambda text: text.split(","), default=[], metavar="NAME,...",
        help=f"overview or some of {', '.join(PANELS)}, or any variable of flow and sgd over time (default: overview, "
        "of sweeps trained, of several files plane, or m where one has one feature); of many files together "
        f"{' or '.join(PICTURES)}; of trained heads and sweeps {', '.join(SWEEPS)}, or any variables of a sweep "
        "against a swept key")
    add("--overlay", action="store_true", help="draw several files in the same panels, each in one colour")
    add("--features", nargs=2, type=int, metavar=("I", "J"), default=(), help="two, from 1, for plane, m, heads-map")
    add("--by", type=lambda text: text.split(","), default=[], metavar="KEY,...",
        help="of a sweep: the swept key on the "
        "axis of trained and of variables, the two of cosine-map and heads-map (default: the first with numbers)")
    add("--log-time", action="store_true", help="logarithmic time axis, without t = 0")
    add("--animate", type=Path, metavar="FILM", help=".gif or .mp4 (by ffmpeg): the heads of one run in the plane "
        "(--panels space: in the space) as they move, with the loss")
    add("--frames", type=int, default=200, metavar="N", help="of the film, 2 to 5000 (default: 200, which are 10 s)")
    add("--follow", action="store_true", help="draw again whenever a file is written, until all runs have ended")
    add("--title", help="title of the picture (default: the model of a single file)")
    add("--size", nargs=2, type=float, metavar=("WIDTH", "HEIGHT"),
        help="of the picture in inches, 1 to 50 (default: by its panels)")
    add("--dpi", type=int, default=150, help="dots per inch of a png, 10 to 1200 (default: 150)")
    return parser


def picture_bytes(figure: Figure, suffix: str, dpi: int) -> bytes:
    """A file of that kind. A palette of 256 colours keeps a png small."""
    picture = io.BytesIO()
    if suffix == ".png":
        figure.set_dpi(dpi)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").quantize(256)
        image.save(picture, "png", dpi=(dpi, dpi))
    else:
        undated = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
        figure.savefig(picture, format=suffix[1:], dpi=dpi, metadata=undated.get(suffix))
    return picture.getvalue()


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A new file that takes the place of `path` at once when it is complete: a fault leaves an older one whole."""
    if path.exists() and not path.is_file():
        raise ValueError(f"{path}: is no regular file")
    place = path.resolve()  # a link stays
    part = place.with_name(f".{os.getpid()}.headflow-plot")
    try:
        yield part
        part.replace(place)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


def write_picture(figure: Figure, path: Path, dpi: int) -> None:
    """Drawn in memory first."""
    picture = picture_bytes(figure, path.suffix.lower(), dpi)
    with replaced(path) as part:
        part.write_bytes(picture)


def picture_of(path: Path) -> Path:
    """X.png for X.h5, NAME.h5.png for any other: no two files have the same."""
    stem = path.name.removesuffix(".h5")
    if stem == path.name:
        return path.with_name(f"{stem}.h5.png")
    return path.with_name(f"{path.name}.png" if stem.endswith(".h5") or not stem else f"{stem}.png")


def check_options(options: argparse.Namespace) -> None:
    """Those that can be judged without the files; the picture's name if it has none."""
    if folders := [str(path) for path in options.files if path.is_dir()]:
        raise ValueError(f"{folders[0]}: is a directory")
    if options.animate and options.output:
        raise ValueError(f"--animate {options.animate} names what is written: leave out --output {options.output}")
    output = options.output = options.animate or options.output or picture_of(options.files[0])
    options.replaced = output.exists()
    known = FILMS if options.animate else SUFFIXES
    if output.suffix.lower() not in known:
        raise ValueError(f"{output}: unknown picture suffix '{output.suffix}', known are {', '.join(known)}")
    moving = options.panels in ([], ["plane"], ["space"])
    if options.animate and (len(options.files) > 1 or options.follow or not moving):
        raise ValueError("--animate takes one file, and --panels plane or space")
    if output.resolve() in [path.resolve() for path in options.files]:
        raise ValueError(f"{output}: the picture would overwrite its input")
    if options.size and (options.animate or output.suffix.lower() == ".html"):
        raise ValueError(f"--size: is of a picture, found {output}")
    if options.size and not all(1 <= length <= 50 for length in options.size):
        raise ValueError(f"--size {options.size[0]:g} {options.size[1]:g}: allowed are 1 to 50 inches")
    if not 10 <= options.dpi <= 1200:
        raise ValueError(f"--dpi {options.dpi}: allowed are 10 to 1200")


def plot(options: argparse.Namespace) -> None:
    """Check the options, read the files, draw and write the picture or the film."""
    check_options(options)
    with style():
        if options.animate:
            film(options)
            return
        if options.output.suffix.lower() == ".html":
            report(options)
            return
        figure = Figure()
        draw(figure, options.files, options.panels, options.features, options.by, options.log_time, options.title,
             options.overlay)
        if options.size:
            resize(figure, *options.size)
        write_picture(figure, options.output, options.dpi)


def report(options: argparse.Namespace) -> None:
    from headflow.plot import pictures
    if len(options.files) > 1:
        raise ValueError(f"{options.output}: a report shows one file, found {len(options.files)}")
    if options.features:
        read_files(options.files, options.panels, options.features)
    pictures.report(options.files[0], options.output, options.panels, features=options.features, by=options.by,
                    log_time=options.log_time, title=options.title)


def film(options: argparse.Namespace) -> None:
    from headflow.plot import pictures
    [run] = read_files(options.files, [], options.features)
    features = options.features or ((1, 2, 3) if options.panels == ["space"] else (1, 2))
    pictures.animate(run.data, options.output, features=features, log_time=options.log_time, frames=options.frames)


def follow(options: argparse.Namespace) -> None:
    """Draw whenever a file is there anew, until all of them are of runs that have ended. Ctrl-C ends it as well."""
    seen: list[tuple[int, ...]] = []
    while True:
        stats = [path.stat() if path.exists() else None for path in options.files]
        now = [(stat.st_ino, stat.st_mtime_ns) for stat in stats if stat]
        if len(now) == len(stats) and now != seen:
            seen = now
            states = [state_of(path) for path in options.files]  # before, so that the last picture is of the end
            plot(options)
            print(f"{options.output}: {', '.join(states)}", flush=True)
            if "running" not in states:
                return
        time.sleep(FOLLOW)


def state_of(path: Path) -> str:
    """What the file says of its run."""
    data = Data(path)
    with contextlib.closing(data):
        provenance = data.provenance()
    return next((word for word in ("finished", "stopped") if word in provenance), "running")


def main() -> None:
    """headflow-plot: what the command line asks for; exit code 2 and one line where it cannot be drawn."""
    warnings.simplefilter("ignore")  # of numpy and matplotlib, on data that are not finite
    parser = argument_parser()
    options = parser.parse_args()
    options.files, beside = outputs_among(options.files)
    if beside:
        print(f"headflow-plot: left out {len(beside)} files of checkpoints and weights, such as {beside[0]}",
              file=sys.stderr)
    try:
        if options.follow:
            with contextlib.suppress(KeyboardInterrupt):
                follow(options)
            return
        plot(options)
    except (MemoryError, OSError, RuntimeError, TypeError, ValueError) as error:
        parser.error(str(error))
    print(f"{options.output} (replaced)" if options.replaced else options.output)
