"""headflow-plot on real files: a picture for every panel and suffix; bad calls say why in one line and draw nothing."""
import importlib.util
import json
import re
import shutil
import sys
import tomllib

import h5py
import numpy as np
from matplotlib.figure import Figure

from drawing import Drawing
from harness import PLOT, SMALL, SystemTest, changed, command, content, execute, main, side_by_side, toml_text

SIGNATURES = {".png": b"\x89PNG\r\n\x1a\n", ".pdf": b"%PDF-", ".svg": b"<?xml"}
# H = F = 3 with biases and a scale: every panel can be drawn.
FULL = changed(SMALL, {"model.prior": "canonical-spikes", "model.signal": 5.0, "model.features": 3,
                       "attention.heads": 3, "attention.activation": "softmax-1", "flow.outputs": 40})
SINGLE = changed(SMALL, {"model.prior": "canonical-spikes", "model.signal": 5.0, "model.features": 1,
                         "attention.heads": 1, "flow.outputs": 40})
# Starts at three D, beside SGD at one of them; and SGD alone.
SPLITS = {f"split{i}": changed(SMALL, {"start.noise": None, "start.dimension": 10.0**i, "start.spikes": "orthonormal",
                                       "population.symmetric": True, "flow.end_time": 300.0, "flow.outputs": 200,
                                       "model.tokens": 4, "model.signal": [2.0, 3.0]})
          for i in (4, 6, 8)}
SPLITS["sgd"] = changed(SPLITS["split4"],
                        {"start.dimension": 100.0, "sgd.dimension": 100, "sgd.batch": 1, "flow.outputs": 9,
                                           "sgd.learning_rate": 0.02, "sgd.replicas": 8, "sgd.outputs": 60})
# Trained heads in each activation.
TRAINED = {f"trained-{name}": changed(SMALL, {"attention.activation": name, "attention.heads": 3, "flow": None})
           | {"train": {"starts": 2}, "bayes": {"standard_error": 1e-2}, "prune": {}, "maps": {}}
           for name in ("softmax", "softmax-1", "bayes-softmax")}
PANELS = ["loss", "m", "plane", "space", "r", "b", "cosine", "gradient", "hierarchy", "growth"]
# Growth, predicted and seen, against D.
STAGES = changed(SPLITS["split4"], {"model.signal": [2.0, 6.0], "population.samples": 1024}) | {
    "saddle": {}, "sweep": {"attention.activation": ["softmax", "bayes-softmax"], "start.dimension": [1e3, 1e6, 1e8]}}
# The second feature grows while the first is learnt; and heads that have learnt nothing yet.
ANGLE = changed(SMALL, {"model": {"tokens": 5, "prior": "anisotropic-gaussian", "features": 2, "signal": [10.0, 4.0]},
                        "attention": {"heads": 4, "activation": "bayes-softmax"}, "flow.end_time": 70.0, "saddle": {},
                        "start": {"noise": 1e-4, "eta": 0.3, "seed": 2}, "population.symmetric": True})
PAIRS = [[nu_1, nu_2] for nu_2 in (4.0, 1.0, 9.0) for nu_1 in (1.0, 25.0, 5.0, 50.0)]  # a grid, not in order
ACTIVATIONS = ["softmax", "softmax-1"]
FOUR = ["softmax", "softmax-1", "bayes-softmax", "made-up"]
COLOURS = ["#003A6B", "#BC4A00", "#14A37A"]  # of the three activations there are
sys.dont_write_bytecode, sys.path[:0] = True, [str(PLOT.parent / "python")]


def write_variable(file, name, axes, values):
    """Numbers over axes = {name: size}, with dimension scales as headflow attaches them."""
    data, group = file.create_dataset(name, data=values), name.partition("/")[0]
    for i, (axis, size) in enumerate(axes.items()):
        if f"{group}/{axis}" not in file:
            file[f"{group}/{axis}"] = np.arange(1, size + 1)
            file[f"{group}/{axis}"].make_scale(axis)
        data.dims[i].attach_scale(file[f"{group}/{axis}"])


def turn_axes(file, name):
    """The variable with its axes in the opposite order."""
    values, scales = np.array(file[name]), [dim[0].name.rpartition("/")[2] for dim in file[name].dims]
    del file[name]
    write_variable(file, name, dict(zip(scales[::-1], values.shape[::-1])), values.T)


def write_sweep(path, axes, own, repeats=1, zipped=""):
    """A file like that of a sweep over `axes`: own = {"group/name": {axis after the sweep's: size}}, random numbers."""
    random = np.random.default_rng(5)
    leading = {re.sub(r"[.\[]", "_", key).rstrip("]"): len(values) for key, values in axes.items()}
    leading |= {"repeat": repeats} if repeats > 1 else {}
    with h5py.File(path, "w") as file:
        lines = [f'"{key}" = {json.dumps(values)}\n' for key, values in axes.items()]
        file["provenance/sweep"] = "".join(lines) + zipped + f"repeats = {repeats}\n"
        file["provenance/input"] = toml_text(SMALL)
        write_variable(file, "sweep/done", leading, np.ones([*leading.values()]))
        for name, more in own.items():
            write_variable(file, name, leading | more, random.random([*leading.values(), *more.values()]))


def write_sweeps(folder):
    """One of every kind that a picture draws, and some that none can."""
    start, head, feature, pair = {"start": 5}, {"head": 3}, {"feature": 2}, {"head": 3, "head_b": 3}
    train = {"train/loss": start, "train/loss_stderr": start, "train/m": start | head | feature,
             "train/cosine": start | pair}
    prune = {"prune/loss": {"start": 4, "left": 3}, "bayes/risk": {}}
    heads, signals = {"attention.activation": ACTIVATIONS, "attention.heads": [1, 2, 4]}, {"model.signal": PAIRS}
    zipped = '"start.seed" = [' + "1, " * 11 + '1]\nzip = [["model.signal", "start.seed"]]\n'
    laws = {"model.prior": ["canonical-spikes", "anisotropic-gaussian"], "model.signal": [1.0, 10.0, 100.0], **heads}
    write_sweep(folder / "heads.h5", heads, train | {"bayes/risk": {}}, repeats=2)
    write_sweep(folder / "laws.h5", laws, train | {"bayes/risk": {}})
    write_sweep(folder / "one-replicate.h5", heads, train | {"bayes/risk": {}})
    with h5py.File(folder / "one-replicate.h5", "r+") as file:  # whose errors are not known
        file["train/loss_stderr"][...] = np.nan
    write_sweep(folder / "pairs.h5", signals, train, zipped=zipped)
    write_sweep(folder / "plane.h5", {**heads, "start.eta": [0.5, 1.0]}, {"flow/loss": {}, "flow/m": head | feature,
                                                                        "flow/cosine": pair}, repeats=3)
    write_sweep(folder / "pruned.h5", {"attention.activation": ACTIVATIONS}, prune)
    write_sweep(folder / "four.h5", {"attention.activation": FOUR, "attention.heads": [1, 2, 4]}, train)
    write_sweep(folder / "four-pruned.h5", {"attention.activation": FOUR}, prune)
    write_sweep(folder / "ragged.h5", {"model.signal": PAIRS[1:]}, train)
    write_sweep(folder / "wrong.h5", heads, {"train/loss": {"start": 5, "head": 1}})
    with h5py.File(folder / "heads.h5", "r+") as file:  # one member is missing
        file["sweep/done"][1, 2, 1] = 0
        for name in train:
            file[name][1, 2, 1] = np.nan


class Plot(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name, text in {"full": FULL, "single": SINGLE, "small": SMALL, **SPLITS, **TRAINED, "stages": STAGES,
                           "angle": ANGLE, "early": changed(ANGLE, {"flow.end_time": 4.0}),
                           "saddle": {name: keys for name, keys in STAGES.items() if name != "sweep"}}.items():
            (cls.shared / f"{name}.toml").write_text(toml_text(text))
            done = execute(cls.shared, command("run", f"{name}.toml"))
            assert done.returncode == 0, done.stderr
        write_sweeps(cls.shared)
        cls.drawing = Drawing()

    def draw(self, *words):
        return self.drawing.draw(self.shared, *words)

    def assert_picture(self, done, path, least=2_000, most=150_000):
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        picture = path.read_bytes()
        self.assertTrue(picture.startswith(SIGNATURES[path.suffix]), picture[:8])
        self.assertTrue(least < len(picture) < most, f"{path.name}: {len(picture)} bytes")

    def test_overview(self):
        """Without options: next to the file, under its name."""
        done = execute(self.shared, [PLOT, "full.h5"])
        self.assert_picture(done, self.shared / "full.png", least=20_000)
        self.assertEqual(done.stdout, "full.png\n")
        self.assertEqual(self.draw("full.h5", "-o", "again.png").stdout, "again.png\n")
        self.assertEqual((self.shared / "again.png").read_bytes(), (self.shared / "full.png").read_bytes())

    def test_pictures(self):
        """Every panel and suffix, one file and several, one head with one feature."""
        calls = {f"{panel}.png": ["full.h5", "--panels", panel] for panel in PANELS}
        calls |= {"overview.pdf": ["full.h5"], "overview.svg": ["full.h5"], "single.png": ["single.h5"],
                  "several.png": ["full.h5", "small.h5"],
                  "several-panels.png": ["full.h5", "small.h5", "--panels", "loss,r"],
                  "overlay.png": ["full.h5", "small.h5", "single.h5", "--overlay", "--panels", "loss,m,r,q"],
                  "overlay-space.png": ["full.h5", "full.h5", "--overlay", "--panels", "space"],
                  "options.png": ["full.h5", "--panels", "plane,m", "--features", "1", "3", "--log-time", "--title",
                                  "T", "--dpi", "80"]}
        splits = ["split4.h5", "split6.h5", "split8.h5", "sgd.h5"]
        calls |= {"specialization.png": [*splits, "--panels", "specialization"],
                  "specialization-1.png": [*splits, "--panels", "specialization", "--features", "1", "2"],
                  "spread.pdf": ["sgd.h5", "--panels", "spread"], "stages.png": ["stages.h5", "--panels", "stages"],
                  "growth-2.png": ["saddle.h5", "--panels", "growth,hierarchy", "--log-time"],
                  "angle.png": ["angle.h5", "--panels", "angle"]}
        trained = [f"{name}.h5" for name in TRAINED]
        calls |= {"trained.png": ["heads.h5", "--panels", "trained"], "sweep.png": ["heads.h5"],
                  "trained-1.png": ["one-replicate.h5", "--panels", "trained"],
                  "trained-2.png": ["heads.h5", "laws.h5", "--panels", "trained"],
                  "prune.png": [*trained, "--panels", "prune"],
                  "prune-1.svg": [trained[0], "--panels", "prune"],
                  "prune-2.png": ["pruned.h5", trained[0], trained[0], "--panels", "prune"],
                  "maps.png": [trained[0], "--panels", "maps"],
                  "maps-3.pdf": [*trained, "--panels", "maps", "--title", "T"],
                  "cosine-map.png": ["pairs.h5", "--panels", "cosine-map"],
                  "cosine-map-2.pdf": ["plane.h5", "pairs.h5", "--panels", "cosine-map"],
                  "heads-map.png": ["pairs.h5", "--panels", "heads-map"],
                  "heads-map-2.png": ["plane.h5", "--panels", "heads-map", "--features", "2", "1"]}
        outcomes = side_by_side(lambda name: self.draw(*calls[name], "-o", self.folder / name), calls)
        for name, done in zip(calls, outcomes):
            with self.subTest(name):
                self.assert_picture(done, self.folder / name)
        self.assertEqual(len({(self.folder / f"{panel}.png").read_bytes() for panel in PANELS}), len(PANELS))

    def test_errors(self):
        (self.shared / "text.h5").write_text("no HDF5")
        (self.shared / "old.png").write_bytes(b"an older picture")
        flipped = bytearray((self.shared / "full.h5").read_bytes())
        flipped[len(flipped) // 2] ^= 1
        (self.shared / "flipped.h5").write_bytes(flipped)
        for name in ("gone", "dangling", "huge"):
            shutil.copy(self.shared / "full.h5", self.shared / f"{name}.h5")
            with h5py.File(self.shared / f"{name}.h5", "r+") as file:
                if name == "huge":
                    del file["provenance/input"]
                    file.create_dataset("provenance/input", (2**40, 3), "f8", chunks=(1024, 3))
                else:
                    del file["flow/head"]
                if name == "dangling":
                    file["flow/head"] = h5py.SoftLink("/none")
        calls = {
            ("none.h5",): ["none.h5", "No such file"],
            ("text.h5",): ["text.h5", "not an HDF5 file"],
            (".",): ["directory"],
            ("full.h5", "--panels", "losss"): ["losss", "'loss'", "gradient"],
            ("single.h5", "--panels", "plane"): ["single.h5", "plane", "F = 1"],
            ("full.h5", "-o", "x.jpg"): ["x.jpg", ".jpg", ".png"],
            ("full.h5", "-o", "none/x.png"): ["none/x.png"],
            ("full.h5", "none.h5", "-o", "old.png"): ["none.h5"],
            ("full.h5", "--features", "1", "4"): ["--features", "3"],
            ("full.h5", "--dpi", "5"): ["--dpi", "10 to 1200"],
            ("full.h5", "--size", "4", "0.9"): ["--size 4 0.9", "1 to 50 inches"],
            ("full.h5", "--size", "4", "nan"): ["--size 4 nan", "1 to 50 inches"],
            ("full.h5", "--size", "4", "3", "-o", "x.html"): ["--size", "x.html"],
            ("full.h5", "--panels", "specialization"): ["full.h5", "dimension"],
            ("full.h5", "--panels", "spread"): ["full.h5", "no replicas"],
            ("full.h5", "--panels", "m,spread"): ["'m,spread'", "of its own"],
            ("full.h5", "small.h5", "--overlay", "--panels", "loss,hierarchy"): ["'hierarchy'", "one file", "plane"],
            ("full.h5", "sgd.h5", "--overlay", "--panels", "spread"): ["--overlay", "panels over time"],
            ("heads.h5", "--panels", "specialization"): ["heads.h5", "sweep", "no time axis"],
            ("trained-softmax.h5", "--panels", "trained"): ["trained-softmax.h5", "single run"],
            ("laws.h5", "--panels", "maps"): ["laws.h5", "sweep"],
            ("full.h5", "--panels", "prune"): ["full.h5", "prune/loss", "[prune]"],
            ("full.h5", "--panels", "cosine-map"): ["full.h5", "single run"],
            ("saddle.h5", "--panels", "angle"): ["saddle.h5", "angle", "H = 2"],
            ("early.h5", "--panels", "angle"): ["early.h5", "no plateau"],
            ("laws.h5", "--panels", "stages"): ["laws.h5", "start.dimension", "attention.heads"],
            ("pruned.h5", "--panels", "trained"): ["pruned.h5", "no swept key", "attention.activation"],
            ("pruned.h5", "--panels", "heads-map"): ["pruned.h5", "two swept keys", "attention.activation"],
            ("ragged.h5", "--panels", "cosine-map"): ["ragged.h5", "11 values", "grid of 4 x 3"],
            ("wrong.h5", "--panels", "trained"): ["wrong.h5", "train/loss", "start, head)"],
            ("pairs.h5", "--panels", "heads-map", "--features", "1", "3"): ["--features", "1 to 2"],
            ("pairs.h5", "full.h5", "--panels", "train/loss"): ["full.h5", "single run", "train/loss"],
            ("flipped.h5",): ["flipped.h5", "it is damaged, its checksum differs"],
            ("gone.h5",): ["gone.h5", "an axis of flow/m is gone"],
            ("dangling.h5",): ["dangling.h5", "flow/m"],
            ("huge.h5",): ["huge.h5", "allocate"],
            ("full.h5", "-o", "\x1b[1m\n\x7f"): ["\\x1b[1m \\x7f: unknown picture suffix"],
            ("full.h5", "--dpi", "80", "\x7f\n\u202e"): ["unrecognized arguments: \\x7f \\u202e"],
            ("full.h5", "--bogus"): ["--bogus"],
            (): ["FILE.h5"],
        }
        before = content(self.shared)
        for words, done in zip(calls, side_by_side(lambda words: self.draw(*words), calls)):
            with self.subTest(words):
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertEqual((done.stdout, done.stderr.count("\n")), ("", 1), done.stderr)
                self.assertTrue(done.stderr[:-1].isprintable(), done.stderr)
                for word in calls[words]:
                    self.assertIn(word, done.stderr)
        self.assertEqual(before, content(self.shared))

    def test_growth_rate(self):
        """The line log(D) / (2 lambda) has the slope of the times: both are printed."""
        done = self.draw("split4.h5", "split6.h5", "split8.h5", "--panels", "specialization", "-o",
                         self.folder / "x.png")
        slope, rate = map(float, re.search(r"1 / \(2 slope\) = ([\d.]+), growth rate ([\d.]+)", done.stdout).groups())
        self.assertGreater(rate, 0.01)
        self.assertLess(abs(slope / rate - 1), 0.15)

    def test_table_of_stages(self):
        """A row for each model; what was seen is what was predicted to 1 %."""
        done = self.draw("stages.h5", "--panels", "stages", "-o", self.folder / "x.png")
        rows = [line.split("|")[1:-1] for line in done.stdout.splitlines() if line.startswith("| flipping")
                and "%" in line]
        self.assertEqual(len(rows), 2, done.stdout)
        for row in rows:
            self.assertEqual(row[1].strip(), "2")
            self.assertLess(abs(float(row[5].strip(" %"))), 1)
            for place in 6, 7:
                predicted, seen = map(float, row[place].partition(":")[2].split("/"))
                self.assertTrue(predicted < seen < predicted + 1 / float(row[4]), row)

    def test_sweep_reading(self):
        """The best of starts and repeats where some are missing; pairs of numbers as a grid; zipped keys, one axis."""
        files, grids = (importlib.import_module(f"headflow.{name}") for name in ("files", "plot.grids"))
        heads, pairs, plane = (files.results_of(self.shared / f"{name}.h5") for name in ("heads", "pairs", "plane"))
        with h5py.File(self.shared / "heads.h5") as file:
            loss, m = np.array(file["train/loss"]), np.array(file["train/m"])
        for i, j in np.ndindex(2, 3):
            repeat, start = np.unravel_index(np.nanargmin(loss[i, j]), loss.shape[2:])
            self.assertTrue((heads.best("train/m", "head", "feature")[i, j] == m[i, j, repeat, start]).all())
        self.assertTrue(np.isnan(heads.get("train/loss", "start")[1, 2, 1]).all())
        grid = grids.grid_of(pairs)
        self.assertEqual((grid.symbols, grid.used), ([r"\nu_1", r"\nu_2"], (0,)))
        for (i, j), k in np.ndenumerate(grid.order):
            self.assertEqual(PAIRS[k], [grid.x[i], grid.y[j]])
        grid = grids.grid_of(plane)
        self.assertEqual((grid.symbols, grid.used), (["H", r"\eta"], (1, 2)))
        self.assertEqual(grid.order.tolist(), [[0, 1], [2, 3], [4, 5]])
        index, names = list(plane.others(grid.used))[1]
        self.assertEqual(names, {"attention.activation": "softmax-1"})
        values = plane.best("flow/m", "head", "feature")
        self.assertTrue((grid.values(values, index)[2, 1] == values[1, 2, 1]).all())

    def test_swept_elements(self):
        """Elements of the signal: with their number, or without where they are alike or the only one."""
        files = importlib.import_module("headflow.files")
        first, second = '"model.signal[1]" = [1.0, 4.0]\n', '"model.signal[2]" = [1.0, 4.0]\n'
        zipped = 'zip = [["model.signal[1]", "model.signal[2]"]]\n'
        for text, signal, symbols, left in ((first + second, [9.0, 9.0], [r"\nu_1", r"\nu_2"], None),
                                            (first + second + zipped, [9.0, 9.0], [r"\nu"], None),
                                            (second, [9.0, 9.0], [r"\nu_2"], [9.0, r"\cdot"]),
                                            (first + "repeats = 3\n", [9.0], [r"\nu"], None)):
            with self.subTest(text):
                config = {"model": {"signal": signal}}
                axes, repeats = files.read_axes(tomllib.loads(text), config)
                self.assertEqual([next(iter(axis.columns())) for axis in axes], symbols)
                self.assertEqual(repeats, 3 if "repeats" in text else 1)
                self.assertEqual(files.without_swept(config, tomllib.loads(text))["model"].get("signal"), left)

    def test_axes_of_the_file(self):
        """Axes in another order are followed: the same picture. An axis of another name is told."""
        for name, panels, variables in (("full", "overview", ["flow/m", "flow/r"]), ("full", "cosine", ["flow/cosine"]),
                                        ("heads", "trained", ["train/loss", "bayes/risk"]),
                                        ("pairs", "heads-map", ["train/m"])):
            with self.subTest(panels):
                shutil.copy(self.shared / f"{name}.h5", self.folder / "turned.h5")
                with h5py.File(self.folder / "turned.h5", "r+") as file:
                    for variable in variables:
                        turn_axes(file, variable)
                files = {"before": self.shared / f"{name}.h5", "after": self.folder / "turned.h5"}
                pictures = [self.folder / f"{when}.png" for when in files]
                done = side_by_side(lambda when: self.draw(files[when], "--panels", panels, "-o",
                                                           self.folder / f"{when}.png"),
                                    files)
                for one, picture in zip(done, pictures):
                    self.assert_picture(one, picture)
                self.assertEqual(*(picture.read_bytes() for picture in pictures))
        shutil.copy(self.shared / "small.h5", self.folder / "renamed.h5")
        with h5py.File(self.folder / "renamed.h5", "r+") as file:
            file.move("flow/feature", "flow/spike")
        done = self.draw(self.folder / "renamed.h5")
        self.assertEqual((done.returncode, done.stderr.count("\n")), (2, 1), done.stderr)
        self.assertIn("flow/m has the axes (time, head, spike), not (time, head, feature)", done.stderr)

    def test_unknown_variables(self):
        """Nothing knows them, and all are drawn: along heads in the heads' colours, else each line in its own."""
        path = self.folder / "more.h5"
        shutil.copy(self.shared / "full.h5", path)
        with h5py.File(path, "r+") as file:
            time, random = file["flow/time"].size, np.random.default_rng(1)
            for name, axes in (("heat", {}), ("kinds", {"kind": 5}), ("by_head", {"kind": 5, "head": 3})):
                write_variable(file, f"flow/{name}", {"time": time} | axes, random.random((time, *axes.values())))
        self.assert_picture(self.draw(path), self.folder / "more.png")
        self.assert_picture(self.draw(path, "--panels", "heat,kinds,by_head,loss,evenness"), self.folder / "more.png")
        plot = importlib.import_module("headflow.plot.series")
        series = importlib.import_module("headflow.files").series_of(path).series[0]
        for name, lines, colours in (("heat", 1, 1), ("kinds", 5, 5), ("by_head", 15, 3), ("m", 9, 3)):
            curves = plot.plain_curves(series, plot.colours_of(3), name)
            self.assertEqual((len(curves), len({curve.colour for curve in curves})), (lines, colours), name)

    def test_fourth_activation(self):
        """One that nothing knows has a colour of its own; those of the others stay."""
        figures, files = importlib.import_module("headflow.plot.figures"), importlib.import_module("headflow.files")
        for name, panels in (("four", "trained"), ("four-pruned", "prune")):
            with self.subTest(name):
                done = self.draw(f"{name}.h5", "--panels", panels, "-o", self.folder / f"{name}.png")
                self.assert_picture(done, self.folder / f"{name}.png")
                figure = Figure(layout="constrained")
                figures.SWEEPS[panels](figure, [files.results_of(self.shared / f"{name}.h5")], ())
                seen = list(dict.fromkeys(line.get_color() for line in figure.axes[0].lines))
                self.assertEqual(seen[:3], COLOURS)
                self.assertEqual(len(set(seen) - {*COLOURS, "black"}), 1)

    def test_overlay(self):
        """Each file has one colour, which the legend names with its own settings; the title has those of all. Its
        curves are those of the file alone."""
        figures, files = importlib.import_module("headflow.plot.figures"), importlib.import_module("headflow.files")
        runs = [files.series_of(self.shared / f"{name}.h5") for name in ("small", "saddle", "sgd")]
        figure = Figure(layout="constrained")
        figures.draw(figure, [run.data for run in runs], ["loss", "m"], overlay=True)
        legend = figure.legends[0]
        self.assertEqual([text.get_text() for text in legend.get_texts()], [
            r"small: $L=3$, $\nu=(2,2)$", r"saddle: $L=4$, $\nu=(2,6)$", r"sgd: $L=4$, $\nu=(2,3)$", "flow", "SGD"])
        self.assertEqual(figure._suptitle.get_text(), "softmax, flipping-spike prior, $H=2$, $F=2$")
        self.assertEqual([line.get_color() for line in legend.get_lines()][:3], COLOURS)
        for run, colour in zip(runs, COLOURS):
            time, loss = run.series[0].time, run.series[0].get("loss")
            curve = next(line for line in figure.axes[0].lines if np.array_equal(line.get_ydata(), loss))
            self.assertTrue(np.array_equal(curve.get_xdata(), time))
            for ax, count in zip(figure.axes, (1, run.heads, run.heads)):
                own = [line for line in ax.lines if line.get_color() == colour and len(line.get_xdata()) == len(time)]
                self.assertEqual(len(own), count)

    def test_names_of_times_leave_the_curve_free(self):
        """At the bottom while the curve is high, at the top when it has fallen, also on a logarithmic axis."""
        series = importlib.import_module("headflow.plot.series")
        for scale, fall in (("linear", 50.0), ("log", 10.0)):
            with self.subTest(scale):
                ax = Figure().add_subplot()
                time = np.linspace(1, 100, 500)
                ax.plot(time, time < fall)
                ax.set_xscale(scale)
                series.draw_marks(ax, [(0.8 * fall, "before"), (1.5 * fall, "after")])
                self.assertEqual({text.get_text(): text.get_verticalalignment() for text in ax.texts},
                                 {"before": "bottom", "after": "top"})

    def test_unfinished_run(self):
        """A file with its first record alone, as a run leaves it soon after its start."""
        words = ("--set", "flow.output_times=[0]", "--output", "first.h5")
        done = execute(self.shared, command("run", "small.toml", *words))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_picture(self.draw("first.h5"), self.shared / "first.png")


if __name__ == "__main__":
    main()
