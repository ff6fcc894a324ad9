"""Every picture of headflow-plot and every panel of headflow.plot, by the data of their artists: not by pixels.

The reference, plot_artists.json, is written anew by: test_plot_panels.py --write
"""
import contextlib
import io
import json
import os
import re
import shutil
import struct
import sys
import unittest.mock
import warnings
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
from matplotlib.container import ErrorbarContainer  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.patches import Rectangle, StepPatch  # noqa: E402

import plot_artists  # noqa: E402
from harness import SystemTest, main  # noqa: E402
from python_harness import headflow  # noqa: E402
from headflow.plot import command  # noqa: E402
from headflow.plot.figures import style  # noqa: E402
from headflow.plot.look import colours_of, legend_below, legend_key, resize  # noqa: E402
from headflow.plot.series import draw_marks  # noqa: E402

REFERENCE = Path(__file__).with_name("plot_artists.json")


def pictures():
    """{name: its artists' data} of all CALLS."""
    found, figures = {}, []
    with unittest.mock.patch.object(command, "write_picture", lambda figure, path, dpi: figures.append(figure)):
        for name, words in plot_artists.CALLS.items():
            with contextlib.redirect_stdout(io.StringIO()):
                command.plot(command.argument_parser().parse_args(words))
            found[name] = json.loads(json.dumps(plot_artists.picture(figures.pop())))
    return found


def text_of(found):
    """As JSON, an artist in each line."""
    text = json.dumps(found, separators=(",", ":"), ensure_ascii=False)
    for before, after in (('},"', '},\n"'), ('"artists":[', '"artists":[\n'), ('],["', '],\n["')):
        text = text.replace(before, after)
    return text + "\n"


def panel_calls():
    """{panel: (function of an Axes, the picture that has the same artists, the number of its axes)}."""
    plot = headflow.plot
    run = {name: (lambda ax, name=name: getattr(plot, name)("run.h5", ax), name, 0)
           for name in ("loss", "m", "plane", "r", "b", "cosine", "gradient", "hierarchy", "growth",
                        "attention")}
    return run | {
        "m-3": (lambda ax: plot.m("run.h5", ax, feature=3), "m", 2),
        "many": (lambda ax: plot.plane("many.h5", ax), "overview-many-heads", 3),
        "v": (lambda ax: plot.variable("run.h5", "v", ax), "v", 0),
        "angle": (lambda ax: plot.angle("plateaus.h5", ax), "plateaus", 1),
        "growth-at-plateaus": (lambda ax: plot.growth("plateaus.h5", ax), "plateaus", 0),
        "specialization": (lambda ax: plot.specialization(plot_artists.SPLITS, ax), "specialization", 0),
        "specialization-1": (lambda ax: plot.specialization(plot_artists.SPLITS, ax, feature=1), "specialization-1", 0),
        "spread": (lambda ax: plot.spread(plot_artists.SPLITS[:2], ax, feature=2), "spread", 1),
        "trained": (lambda ax: plot.trained("heads.h5", ax), "trained", 0),
        "prune": (lambda ax: plot.prune(plot_artists.TRAINED, ax), "prune", 0),
        "cosine_map": (lambda ax: plot.cosine_map("plane.h5", ax), "cosine-map", 1),
        "maps": (lambda ax: plot.maps("trained0.h5", ax), "maps", 0),
        "stage_rates": (lambda ax: plot.stage_rates("stages.h5", ax), "stages", 0),
        "stage_times": (lambda ax: plot.stage_times("stages.h5", ax), "stages", 1),
        "splits": (lambda ax: plot.splits("splits.h5", ax), "splits", 0),
        "quantiles": (lambda ax: plot.quantiles("splits.h5", ax), "splits", 1),
        "pca": (lambda ax: plot.pca("tilted.h5", ax), "pca", 0),
        "samples": (lambda ax: plot.samples([*plot_artists.SPLITS, "tilted.h5"], ax), "samples", 0),
        "prune_spread": (lambda ax: plot.prune_spread("pruned.h5", ax), "prune-spread", 1),
        "values": (lambda ax: plot.values("stages.h5", "split_time", ax, by="start.dimension"), "values", 0),
        "scalings": (lambda ax: plot.scalings("signals.h5", ax), "scalings", 0),
        "learnt_biases": (lambda ax: plot.learnt_biases("estimators.h5", ax), "estimator", 1),
    }


class Panels(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        plot_artists.write_files(cls.shared)
        cls.enterClassContext(contextlib.chdir(cls.shared))
        cls.enterClassContext(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        cls.reference = json.loads(REFERENCE.read_text())

    def setUp(self):
        super().setUp()
        self.addCleanup(plt.close, "all")
        self.enterContext(contextlib.redirect_stdout(io.StringIO()))

    def test_pictures(self):
        """No picture has changed; a change that is wanted is seen in the difference of the reference."""
        for name, found in pictures().items():
            with self.subTest(name):
                self.maxDiff = 2000
                self.assertEqual(text_of(found), text_of(self.reference[name]))

    def test_panels(self):
        """A function gives the artists of the picture, all that it has added to the axes, and leaves settings alone."""
        with headflow.plot.style():
            before = dict(matplotlib.rcParams)
            for name, (draw, picture, place) in panel_calls().items():
                with self.subTest(name):
                    ax = plt.figure().add_subplot()
                    old = ax.text(0.5, 0.5, "of before")
                    artists = draw(ax)
                    self.assertNotIn(old, artists)
                    found = {json.dumps(shown) for one in artists if (shown := plot_artists.artist(one))}
                    wanted = {json.dumps(shown) for shown in self.reference[picture]["axes"][place]["artists"]
                              if shown[0] not in ("text", "Rectangle") and shown[1:2] != ["#d9d9d9ff"]}
                    self.assertEqual(wanted - found, set())
            self.assertEqual(dict(matplotlib.rcParams), before)

    def test_splits(self):
        """Bars count the runs that have split, the line those that the law has in each, later by the delay; legends are
        the panels' own and hide nothing."""
        figure = headflow.plot.figure("splits.h5", ["splits", "quantiles"])
        figure.canvas.draw()
        self.assertEqual(figure.legends, [])
        left, right = figure.axes
        self.assertEqual(sum(bar.get_height() for bar in left.patches if isinstance(bar, Rectangle)), 40)
        law = next(one for one in left.patches if isinstance(one, StepPatch))
        heights, edges, _ = law.get_data()
        self.assertAlmostEqual(edges[0], 10.5)  # 1 % at 10 by linear growth, which is .5 early
        self.assertAlmostEqual(heights.sum(), 0.98 * 40)  # the law ends with 99 %
        places = np.searchsorted(edges, [14.999, 15.001])  # half of the runs at 14.5 and .5
        self.assertAlmostEqual(heights[:places[0]].sum() + 0.4, 20, delta=heights[places[0] - 1:places[1]].max() + 0.1)
        self.assertEqual([text.get_text() for text in left.get_legend().get_texts()],
                         ["40 runs of SGD, shared starts", "law, later by 0.5, own starts"])
        dot = next(one for one in right.containers if isinstance(one, ErrorbarContainer))[0]
        self.assertEqual(dot.get_xdata().tolist(), [1000])
        below = right.get_legend().get_window_extent().y0
        for band in right.collections[:2]:
            vertices = right.transData.transform(band.get_paths()[0].vertices)
            across = vertices[:, 0] < right.get_legend().get_window_extent().x1
            self.assertLess(vertices[across, 1].max(), below)

    def test_names_of_times_of_several_runs(self):
        """Wherever they lie, no name covers another, and each stands at its line."""
        for times in ([10, 40], [11, 39]), ([40, 41, 42], [40.5]), ([10, 90], [10, 50, 90], [12, 88]):
            with self.subTest(times=times), style():
                figure = Figure(figsize=(3, 2.2), dpi=200)
                ax = figure.add_subplot()
                ax.plot(np.linspace(0, 100, 500), np.linspace(1, 0, 500))
                for run in times:
                    draw_marks(ax, [(t, "align" if i == 0 else f"split {i}") for i, t in enumerate(run)])
                figure.draw_without_rendering()
                boxes = [text.get_window_extent() for text in ax.texts]
                for i, box in enumerate(boxes):
                    self.assertFalse([j for j in range(i) if box.overlaps(boxes[j])], i)
                for box, t in zip(boxes, (t for run in times for t in run)):
                    line = ax.transData.transform((t, 0))[0]
                    self.assertLess(min(abs(line - box.x0), abs(line - box.x1)), 0.03 * ax.bbox.width)

    def test_lines_of_sweeps(self):
        """No two lines look alike; the legend has colours before markers and covers no error bar: it lies below."""
        from headflow.files import Axis, Results
        from headflow.plot.sweeps import ACTIVATION, add_legend, lines_of
        axes = [Axis("start.eta", [0.5, 1.0], ""), Axis(ACTIVATION, ["softmax", "of-my-own"], ""),
                Axis("attention.heads", list(range(1, 9)), "H")]
        lines = lines_of(Results(None, axes, (), 1, 2, {}), (0,), {"softmax": "red", "of-my-own": "blue"})
        self.assertEqual(len({(line.look["color"], line.look["marker"]) for line in lines}), 16)
        with style():
            figure = Figure(layout="constrained")
            ax = figure.add_subplot()
            add_legend(figure, {name: key for line in lines for name, key in line.keys.items()})
            figure.draw_without_rendering()
        legend, = figure.legends
        self.assertFalse(legend.get_window_extent().overlaps(ax.get_tightbbox()))
        words = [text.get_text() for text in legend.get_texts()]
        self.assertEqual(words, ["softmax", "of-my-own", *(f"$H={h}$" for h in range(1, 9))])

    def test_size(self):
        """As asked for, in every format that has one; the strip of the legend keeps its height."""
        for name, words in {"run": [], "heads": ["--panels", "trained"]}.items():
            for suffix in "png", "pdf", "svg":
                picture = f"sized-{name}.{suffix}"
                with self.subTest(picture), contextlib.redirect_stdout(io.StringIO()):
                    command.plot(command.argument_parser().parse_args(
                        [f"{name}.h5", *words, "--size", "5", "3.5", "--dpi", "100", "-o", picture]))
                    data = Path(picture).read_bytes()
                    size = {"png": lambda data=data: struct.unpack(">2i", data[16:24]),
                            "pdf": lambda data=data: re.search(rb"/MediaBox \[ 0 0 (\S+) (\S+) \]", data).groups(),
                            "svg": lambda data=data: re.search(rb'width="(\S+)pt" height="(\S+)pt"', data).groups()}
                    unit = 100 if suffix == "png" else 72
                    self.assertEqual([float(length) / unit for length in size[suffix]()], [5, 3.5])
        figure = Figure(layout="constrained", figsize=(4, 2))
        legend_below(figure, {"line": legend_key()}, 1, 0.5)
        resize(figure, 6, 5)
        self.assertEqual(figure.get_layout_engine().get()["rect"], (0, 0.1, 1, 0.9))

    def test_every_name(self):
        for name in headflow.plot.__all__:
            self.assertTrue(getattr(headflow.plot, name).__doc__, name)
            self.assertTrue(name.isupper() or callable(getattr(headflow.plot, name)), name)

    def test_space_and_heads_map(self):
        artists = headflow.plot.space("run.h5")
        self.assertEqual(plt.gca().name, "3d")
        self.assertGreater(len(artists), 3)
        ax = plt.figure().add_subplot()
        self.assertEqual(len(headflow.plot.heads_map("plane.h5", ax)), 6)  # axes within the axes
        self.assertEqual([text.get_text() for text in ax.get_xticklabels()], ["1", "2", "4"])

    def test_settings_of_the_user(self):
        """Fonts, line widths and colours are those of matplotlib's settings."""
        cycle = matplotlib.cycler(color=["#111111", "#222222", "#333333"])
        with matplotlib.rc_context({"axes.prop_cycle": cycle, "lines.linewidth": 3.0, "font.size": 16,
                                    "text.color": "#00ff00"}):
            headflow.plot.m("run.h5")
            lines = [line for line in plt.gca().lines if line.get_label().startswith("head")]
            self.assertEqual([(line.get_color(), line.get_linewidth()) for line in lines], [(f"#{i}" * 1, 3.0) for i in
                             ("111111", "222222", "333333")])
            ax = plt.figure().add_subplot()
            headflow.plot.loss("run.h5", ax)
            self.assertEqual((ax.lines[0].get_color(), ax.texts[0].get_fontsize()), ("#00ff00", 14.0))
            figure = headflow.plot.figure("run.h5", ["m"])
            self.assertEqual(figure.axes[0].lines[0].get_color(), "#003A6B")
            figure = headflow.plot.figure("run.h5", ["m"], own_style=True)
            self.assertEqual(figure.axes[0].lines[0].get_color(), "#111111")

    def test_files_are_told_apart(self):
        """Several have a row each: their names where all models are alike, else the models, with the names of those
        that are; and one title for all where their whole models are alike."""
        shutil.copy("two.h5", "copy.h5")
        for files, titles, one in (
                (["two.h5"], [""], True), (["two.h5", "copy.h5"], ["two", "copy"], True),
                (["two.h5", "run.h5"], ["softmax-1, $H=2$, $F=2$", "softmax-1, $H=3$, $F=3$"], False),
                (["two.h5", "run.h5", "copy.h5"],
                 ["softmax-1, $H=2$, $F=2$\ntwo", "softmax-1, $H=3$, $F=3$", "softmax-1, $H=2$, $F=2$\ncopy"], False)):
            figure = headflow.plot.figure(files, ["loss"])
            self.assertEqual([ax.get_title() for ax in figure.axes if ax.axison], titles)
            self.assertEqual(figure.get_suptitle() != "" if hasattr(figure, "get_suptitle")
                             else figure._suptitle is not None, one)

    def test_two_heads_differ_in_grey(self):
        """By a fifth of the way from black to white, as a printer sees it (ITU-R BT.601)."""
        grey = [np.dot(matplotlib.colors.to_rgb(colour), (0.299, 0.587, 0.114)) for colour in colours_of(2)]
        self.assertGreater(abs(grey[0] - grey[1]), 0.2)

    def test_legends_stand_outside(self):
        """Of 32 heads every second is named; colours go by order."""
        for data, names, draw in (("run.h5", 3, headflow.plot.m), ("many.h5", 16, headflow.plot.m),
                                  ("heads.h5", 5, headflow.plot.trained), ("many.h5", 16, headflow.plot.r)):
            figure = plt.figure()
            ax = figure.add_subplot()
            draw(data, ax)
            figure.canvas.draw()
            legend = ax.get_legend()
            self.assertGreaterEqual(legend.get_window_extent().x0, ax.get_window_extent().x1)
            self.assertLessEqual(len(legend.get_texts()), 18)
            self.assertGreaterEqual(len(legend.get_texts()), names)
        colours = [line.get_color() for line in plt.gcf().axes[0].lines if line.get_label().startswith("head")]
        self.assertEqual(len({tuple(colour) for colour in colours}), 32)
        headflow.plot.m("run.h5", plt.figure().add_subplot(), legend=False)
        self.assertIsNone(plt.gca().get_legend())

    def test_axes_of_sweeps(self):
        """Any swept key, numbers or words."""
        ax = plt.figure().add_subplot()
        headflow.plot.trained("heads.h5", ax, by="attention.activation")
        self.assertEqual([text.get_text() for text in ax.get_xticklabels()],
                         ["softmax", "softmax-1", "bayes-softmax", "a-fourth"])
        ax = plt.figure().add_subplot()
        headflow.plot.cosine_map("laws.h5", ax, by=("attention.heads", "start.eta"), **{"model.prior": "other"})
        self.assertEqual((ax.get_xlabel(), ax.get_ylabel()), ("$H$", r"$\eta$"))
        figure = headflow.plot.figure("laws.h5", ["cosine-map"], by=["attention.heads", "start.eta"])
        self.assertEqual(figure.axes[0].get_xlabel(), "$H$")

    def test_what_cannot_be_drawn(self):
        plot, run = headflow.plot, headflow.open("run.h5")
        for wrong, words in ((lambda: plot.cosine_map("laws.h5"), "model.prior: one, other"),
                             (lambda: plot.trained("heads.h5", by="x.y"), "swept: attention.activation"),
                             (lambda: plot.cosine_map("heads.h5", by=("attention.activation", "attention.heads")),
                              "two swept keys"),
                             (lambda: plot.m(run, feature=9), "from 1 to 3"),
                             (lambda: plot.plane("single.h5"), "from 1 to 1"),
                             (lambda: plot.trained(run), "single run"), (lambda: plot.loss("heads.h5"), "sweep"),
                             (lambda: plot.maps("trained0.h5", sequence=4), "from 1 to 3"),
                             (lambda: plot.loss(["run.h5", "two.h5"]), "found 2"),
                             (lambda: plot.variable(run, "lss"), "did you mean 'loss'"),
                             (lambda: plot.prune(["trained0.h5", "heads.h5"]), "one panel shows one|prune/loss"),
                             (lambda: plot.figure(run, ["loss"], by=["x.y"]), "--by"),
                             (lambda: plot.loss("none.h5"), "none.h5: No such file")):
            with self.assertRaisesRegex((ValueError, headflow.FileError), words):
                wrong()
        for wrong in None, 3, run.flow:
            with self.assertRaisesRegex(TypeError, f"found {type(wrong).__name__}"):
                plot.loss(wrong)

    def test_features_that_are_none(self):
        """They count from 1, are as many as the panel shows, and differ."""
        plot, splits = headflow.plot, plot_artists.SPLITS
        for feature in 0, -1, 9, 1.5, "1":
            for panel, files in ((plot.m, "run.h5"), (plot.spread, splits), (plot.specialization, splits)):
                with self.subTest(panel.__name__, feature=feature):
                    with self.assertRaisesRegex(ValueError, "choose one from 1"):
                        panel(files, feature=feature)
        for features in (1,), (1, 1), (0, 1), (1, 9):
            for panel, files in ((plot.plane, ["run.h5"]), (plot.heads_map, ["heads.h5"]),
                                 (plot.animate, ["run.h5", "x.gif"])):
                with self.subTest(panel.__name__, features=features):
                    with self.assertRaisesRegex(ValueError, "2 different"):
                        panel(*files, features=features)
        for frames in 0, 1, 5001:
            with self.assertRaisesRegex(ValueError, "2 to 5000"):
                plot.animate("run.h5", "x.gif", frames=frames)
        self.assertEqual(plt.get_fignums(), [])

    def test_data(self):
        """A path, a result, or several of them that were opened together."""
        for data in ("run.h5", self.shared / "run.h5", headflow.open("run.h5")):
            self.assertEqual(len(headflow.plot.loss(data, plt.figure().add_subplot())), 12)
        joined = headflow.open(plot_artists.SPLITS)
        self.assertEqual(len(headflow.plot.spread(joined, plt.figure().add_subplot())), 6)


def write_reference():
    os.chdir(sys.argv[2]) if len(sys.argv) > 2 else os.chdir(os.environ.get("TMPDIR", "/tmp"))
    plot_artists.write_files(Path())
    REFERENCE.write_text(text_of(pictures()))


if __name__ == "__main__":
    write_reference() if "--write" in sys.argv else main()
