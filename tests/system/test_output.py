"""What a run leaves behind: a file that common readers open, consistent numbers, the means to repeat or continue it."""
import os
import re
import resource
import signal
import socket
import tomllib
from datetime import datetime, timezone

import h5netcdf  # noqa: F401  (missing readers must fail, not skip)
import h5py
import netCDF4  # noqa: F401
import numpy as np
import xarray

from harness import SystemTest, command, environment, execute, main, read_group, toml_text

# Every variable of /flow and its axes.
AXES = {
    "m": ("time", "head", "feature"), "r": ("time", "head", "head_b"), "u": ("time", "head", "head_b"),
    "q": ("time", "head", "head_b"),
    "b": ("time", "head"), "v": ("time",), "loss": ("time",), "loss_stderr": ("time",), "gradient_norm": ("time",),
    "gradient_norm_stderr": ("time",), "step_size": ("time",), "loss_rises": ("time",), "largest_loss_rise": ("time",),
    "cosine": ("time", "head", "head_b"),
    "spike_gram": ("feature", "feature_b"), "alignment_time": (), "split_time": ("feature",),
    "growth_rate": ("feature",), "side": ("time", "head", "feature"), "excursions": ("time", "head", "feature"),
    "evenness": ("time", "feature"), "combinations": ("time",), "undecided": ("time",),
}
DIMENSIONS = {"time": 21, "head": 3, "head_b": 3, "feature": 2, "feature_b": 2}
WORDS = ("--set", "population.samples=2048", "-flow_ts_adapt_safety", "0.85")

# H = 3 heads with biases, finite spikes of D = 40; long enough for heads to align and to split.
RICH = {
    "model": {"tokens": 3, "prior": "flipping-spike", "signal": [4.0, 3.0]},
    "attention": {"heads": 3, "activation": "bayes-softmax"},
    "start": {"dimension": 40, "seed": 4},
    "population": {"samples": 1024, "replicates": 4, "seed": 7},
    "flow": {"end_time": 40.0, "outputs": 20, "tolerance": 1e-5},
}


def as_text(value):
    """An attribute: h5py gives texts of fixed length as bytes."""
    return value.decode() if isinstance(value, bytes) else value


class Readers(SystemTest):
    """One run on two ranks, read by everything."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        (cls.shared / "rich.toml").write_text(toml_text(RICH))
        cls.before = datetime.now(timezone.utc).replace(microsecond=0)
        cls.done = execute(cls.shared, command("run", "rich.toml", *WORDS, ranks=2))
        cls.path = cls.shared / "rich.h5"

    def setUp(self):
        super().setUp()
        self.assertEqual((self.done.returncode, self.done.stderr), (0, ""))

    def test_h5py(self):
        with h5py.File(self.path, "r") as file:
            flow = file["flow"]
            self.assertEqual(set(flow), set(AXES) | set(DIMENSIONS))
            self.assertEqual(flow["time"].maxshape, (None,))
            for name, size in DIMENSIONS.items():
                self.assertTrue(h5py.h5ds.is_scale(flow[name].id), name)
                self.assertEqual(flow[name].shape, (size,))
            for name, axes in AXES.items():
                self.assertEqual(flow[name].shape, tuple(DIMENSIONS[axis] for axis in axes), name)
                self.assertEqual([[scale.name for scale in dim.values()] for dim in flow[name].dims],
                                 [[f"/flow/{axis}"] for axis in axes], name)
                self.assertEqual([i for i, size in enumerate(flow[name].maxshape) if size is None],
                                 [0] if "time" in axes else [], name)
            for name, data in flow.items():
                self.assertIn(data.dtype, (np.dtype("f8"), np.dtype("i4")), name)
                for attribute in "units", "long_name":
                    self.assertTrue(as_text(data.attrs[attribute]).strip(), f"{name}: {attribute}")

    def test_xarray(self):
        with h5py.File(self.path, "r") as file:
            numbers = {name: np.array(data) for name, data in file["flow"].items()}
        for engine in "netcdf4", "h5netcdf":
            with self.subTest(engine), xarray.open_dataset(self.path, group="flow", engine=engine) as flow:
                self.assertEqual(dict(flow.sizes), DIMENSIONS)
                self.assertEqual(set(flow.coords), set(DIMENSIONS))
                self.assertEqual({name: data.dims for name, data in flow.data_vars.items()}, AXES)
                self.assertEqual(flow.encoding["unlimited_dims"], {"time"})
                for name, data in numbers.items():
                    np.testing.assert_array_equal(flow[name].values, data, name)
                    self.assertTrue(flow[name].attrs["long_name"] and flow[name].attrs["units"], name)
                self.assertEqual(flow["m"].sel(head=2, feature=1, time=40.0), numbers["m"][-1, 1, 0])
            with xarray.open_dataset(self.path, group="provenance", engine=engine) as provenance:
                self.assertIn("tokens", str(provenance["input"].values))

    def test_ncdump(self):
        done = execute(self.shared, ["ncdump", "-h", self.path])
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("time = UNLIMITED ; // (21 currently)", done.stdout)
        for name, axes in AXES.items():
            self.assertIn(f"double {name}({', '.join(axes)}) ;" if axes else f"double {name} ;", done.stdout)

    def test_provenance(self):
        with h5py.File(self.path, "r") as file:
            text = {name: data.asstr()[()] for name, data in file["provenance"].items()}
            attributes = dict(file.attrs)
        resolved = tomllib.loads(text["input"])
        self.assertEqual(resolved["model"], RICH["model"] | {"features": 2})
        self.assertEqual(resolved["population"]["samples"], 2048)
        self.assertEqual(resolved["output"]["file"], "rich.h5")
        self.assertRegex(text["command_line"], f"headflow run rich.toml {' '.join(WORDS)}$")
        self.assertEqual(text["version"], self.succeed("--version").strip())
        self.assertEqual(as_text(attributes["version"]), text["version"])
        for library in "MPI", "PETSc 3.", "HDF5 1.", "Eigen 3.":
            self.assertIn(library, text["libraries"])
        self.assertIn("-flow_ts_adapt_safety 0.85", text["petsc_options"])
        self.assertEqual(text["ranks"], "2")
        self.assertRegex(text["instruction_set"], r"\w+")
        self.assertRegex(text["run_id"], r"^[0-9a-f]{16}$")
        started, finished = (datetime.fromisoformat(text[name]) for name in ("started", "finished"))
        self.assertTrue(self.before <= started <= finished <= datetime.now(timezone.utc))
        self.assertTrue(text["host"])

    def test_resolved_input_repeats_the_run(self):
        """Bit for bit; its output name is the same, so the copy is made in another folder."""
        resolved = read_group(self.path, "provenance")["input"]
        (self.folder / "again.toml").write_text(resolved)
        self.succeed("run", "again.toml", "-flow_ts_adapt_safety", "0.85")
        self.assert_same_bits(read_group(self.path), read_group(self.folder / "rich.h5"))
        again = read_group(self.folder / "rich.h5", "provenance")
        self.assertEqual(again["input"], resolved)
        self.assertNotEqual(again["run_id"], read_group(self.path, "provenance")["run_id"])

    def test_check_resolves_like_run(self):
        (self.folder / "rich.toml").write_text(toml_text(RICH))
        for ranks in 0, 2:
            with self.subTest(ranks=ranks):
                text = self.succeed("check", "rich.toml", *WORDS, ranks=ranks)
                toml, _, report = text.partition("\n#")
                self.assertEqual(tomllib.loads(toml), tomllib.loads(read_group(self.path, "provenance")["input"]))
                self.assertTrue(all(line.startswith("# ") for line in f"#{report}".splitlines()), report)
                self.assertRegex(report, rf"ranks +{max(ranks, 1)}\n")
                self.assertEqual([path.name for path in self.folder.iterdir()], ["rich.toml"])

    def test_info(self):
        text = self.succeed("info", self.path)
        for name in *AXES, *DIMENSIONS:
            self.assertRegex(text, rf"flow/{name}\b")
        for word in "21 x 3 x 2", "[provenance]", "run_id: ", "tokens = 3", "headflow", "arXiv":
            self.assertIn(word, text)
        for wrong, words in {"none.h5": "no such file", "rich.toml": "HDF5"}.items():
            done = self.headflow("info", self.shared / wrong)
            self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (2, "", 1))
            self.assertIn(words, done.stderr)

    def test_stages_agree_with_the_series(self):
        """The spread over heads is below the threshold before split_time and not just after it."""
        flow = read_group(self.path)
        spread = flow["m"].std(axis=1)
        self.assertFalse(np.isnan(flow["split_time"]).all(), "no split: the input of this test is too short")
        for f, split in enumerate(flow["split_time"]):
            later = flow["time"] >= split  # nowhere if NaN
            self.assertTrue((spread[~later, f] < 0.3).all(), f"feature {f + 1}, split at {split}")
            self.assertTrue(not later.any() or spread[later.argmax(), f] > 0.3, f"feature {f + 1}")
        self.assertIn(f"loss {flow['loss'][-1]:.6f}", self.done.stdout)
        self.assertIn("finished: rich.h5", self.done.stdout)

    def test_standard_errors(self):
        flow = read_group(self.path)
        self.assertTrue((flow["loss_stderr"] > 0).all() and (flow["gradient_norm_stderr"] > 0).all())
        self.assertTrue((flow["loss_stderr"] < 0.1 * flow["loss"]).all())
        alone = self.run_flow("alone", {"population.replicates": 1})
        self.assertTrue(np.isnan(alone["loss_stderr"]).all() and (alone["loss"] > 0).all())


class Numbers(SystemTest):
    """Relations between the datasets."""

    def assert_overlaps(self, flow, orthonormal):
        m, q, gram = flow["m"], flow["q"], flow["spike_gram"]
        scale = np.abs(q).max()
        norms = np.sqrt(np.diagonal(q, axis1=1, axis2=2))
        np.testing.assert_allclose(flow["cosine"], q / (norms[:, :, None] * norms[:, None, :]), rtol=0, atol=1e-13)
        np.testing.assert_array_equal(gram, gram.T)
        self.assertEqual((gram == np.eye(len(gram))).all(), orthonormal)
        # What the heads have outside the span of the spikes is a Gram matrix too.
        outside = q - m @ np.linalg.inv(gram) @ m.swapaxes(1, 2)
        np.testing.assert_allclose(flow["r"], outside, rtol=0, atol=1e-12 * scale)
        self.assertGreater(np.linalg.eigvalsh(flow["r"]).min(), -1e-15 * scale)

    def test_overlaps(self):
        for name, changes in {
                "noise": {}, "finite": {"start.noise": None, "start.dimension": 30},
                "orthonormal": {"start.noise": None, "start.dimension": 30, "start.spikes": "orthonormal"},
                "single": {"start.noise": None, "start.dimension": 30, "population.precision": "single"},
                "gaussian": {"model.prior": "anisotropic-gaussian", "model.features": 3, "attention.heads": 4}}.items():
            with self.subTest(name):
                flow = self.run_flow(name, changes)
                self.assert_overlaps(flow, name not in ("finite", "single"))
                # What a file says of r can be given back.
                again = self.run_flow(f"again-{name}", changes | {
                    "start.noise": None, "start.dimension": None, "start.spikes": None, "start.seed": None,
                    "start.m": flow["m"][-1].tolist(), "start.r": flow["r"][-1].tolist()})
                np.testing.assert_allclose(again["r"][0], flow["r"][-1], rtol=0, atol=1e-13)

    def test_explicit_start(self):
        flow = self.run_flow("explicit", {
            "start.noise": None, "start.m": [[1.0, 0.5], [0.25, -1.0]], "start.r": [[0.5, 0.25], [0.25, 1.0]],
            "start.b": [0.5, -0.5], "start.v": 2.0, "attention.activation": "softmax-1"})
        np.testing.assert_allclose(flow["m"][0], [[1.0, 0.5], [0.25, -1.0]], atol=1e-14)
        np.testing.assert_allclose(flow["r"][0], [[0.5, 0.25], [0.25, 1.0]], atol=1e-14)
        np.testing.assert_array_equal(flow["b"][0], [0.5, -0.5])
        self.assertEqual(flow["v"][0], 2.0)
        self.assertTrue((np.diff(flow["loss"]) < 0).all(), "a gradient flow on fixed samples falls")

    def test_times(self):
        for changes, expected in (
                ({}, np.linspace(0, 4, 9)),
                ({"flow.spacing": "log"}, np.append(0, np.geomspace(4e-4, 4, 8))),
                ({"flow.outputs": 1, "flow.spacing": "log"}, [0, 4]),
                ({"flow.output_times": [0.5, 1.25, 3.0]}, [0.5, 1.25, 3.0])):
            with self.subTest(changes):
                np.testing.assert_allclose(self.run_flow("times", changes, ["--force"])["time"], expected, rtol=1e-14)

    def test_stop_gradient_norm(self):
        full = self.run_flow("full", {"flow.end_time": 60.0, "flow.outputs": 60})
        threshold = 0.02
        self.assertLess(full["gradient_norm"][-1], threshold)
        self.write_input({"flow.end_time": 60.0, "flow.outputs": 60, "flow.stop_gradient_norm": threshold}, "short")
        self.assertIn("gradient norm under its tolerance", self.succeed("run", "short.toml"))
        short = read_group(self.folder / "short.h5")
        self.assertLess(short["gradient_norm"][-1], threshold * (1 + 1e-9))
        self.assertLess(short["time"][-1], 60)
        whole = len(short["time"]) - 1  # the last is where it stopped
        self.assertGreater(whole, 2)
        for name in "m", "loss":
            np.testing.assert_array_equal(short[name][:whole], full[name][:whole])


class Continuing(SystemTest):
    """start.file takes up another run's last state."""

    def test_start_file(self):
        for name, changes in {
                "softmax": {}, "finite": {"start.noise": None, "start.dimension": 30},
                "softmax-1": {"attention.activation": "softmax-1", "attention.heads": 3},
                "bayes-softmax": {"attention.activation": "bayes-softmax", "start.noise": None, "start.dimension": 30},
        }.items():
            with self.subTest(name):
                first = self.run_flow(name, changes)
                rest = changes | {"start.noise": None, "start.dimension": None, "start.file": f"{name}.h5"}
                second = self.run_flow(f"{name}-2", rest, ranks=2)
                for data in "m", "q", "b", "v":
                    np.testing.assert_allclose(second[data][0], first[data][-1], rtol=0, atol=1e-11, err_msg=data)
                np.testing.assert_allclose(second["spike_gram"], first["spike_gram"], rtol=0, atol=1e-14)
                self.assertAlmostEqual(second["loss"][0], first["loss"][-1], delta=1e-12)
                self.assertAlmostEqual(second["gradient_norm"][0], first["gradient_norm"][-1], delta=1e-10)
                self.assertLess(second["loss"][-1], second["loss"][0])

    def test_two_halves_are_the_whole(self):
        """To the tolerance of the steps, 1e-6 here."""
        whole = self.run_flow("whole", {"flow.end_time": 8.0, "flow.outputs": 8, "start.noise": 0.5})
        self.run_flow("one", {"start.noise": 0.5})
        two = self.run_flow("two", {"start.noise": None, "start.file": "one.h5", "flow.outputs": 4})
        np.testing.assert_allclose(two["m"], whole["m"][4:], rtol=0, atol=1e-5)

    def test_restarted_from(self):
        self.run_flow("first")
        self.run_flow("second", {"start.noise": None, "start.file": "first.h5"})
        first, second = (read_group(self.folder / f"{name}.h5", "provenance") for name in ("first", "second"))
        self.assertEqual(first["restarted_from"], "")
        self.assertEqual(second["restarted_from"], first["run_id"])

    def test_on_top_of_itself(self):
        """--force may replace the file that the state comes from: it is read first."""
        first = self.run_flow("case")
        second = self.run_flow("case", {"start.noise": None, "start.file": "case.h5"}, ["--force"])
        np.testing.assert_allclose(second["m"][0], first["m"][-1], rtol=0, atol=1e-11)


class CommandLine(SystemTest):
    def test_overrides(self):
        """--set wins over the file, the last --set over the others, --output over all."""
        self.write_input()
        self.succeed("run", "case.toml", "--set", "attention.heads=5", "--set", "attention.heads=4", "--set",
                     "attention.activation=bayes-softmax", "--set", "model.signal=[3, 1.5]", "--set",
                     "output.file=a.h5", "--output", "b.h5")
        resolved = tomllib.loads(read_group(self.folder / "b.h5", "provenance")["input"])
        self.assertEqual(resolved["attention"], {"heads": 4, "activation": "bayes-softmax"})
        self.assertEqual(resolved["model"]["signal"], [3.0, 1.5])
        self.assertEqual(resolved["output"]["file"], "b.h5")
        self.assertEqual(read_group(self.folder / "b.h5")["m"].shape, (9, 4, 2))
        self.assertFalse((self.folder / "a.h5").exists())

    def test_force_replaces(self):
        self.write_input()
        (self.folder / "case.h5").write_bytes(b"an older result")
        (self.folder / "case.h5.part").write_bytes(b"what a killed run left")
        self.succeed("run", "case.toml", "--force")
        self.assertEqual(read_group(self.folder / "case.h5")["time"].size, 9)
        self.assertFalse((self.folder / "case.h5.part").exists())

    def test_version_and_help(self):
        for words in (["--version"], ["--help"], ["run", "--help"], ["check", "--help"], ["info", "--help"]):
            with self.subTest(words):
                text = self.succeed(*words)
                self.assertEqual(self.succeed(*words, ranks=2), text)
                self.assertTrue(text.strip())
        self.assertRegex(self.succeed("--version"), r"^headflow \d+\.\d+\.\d+ \(.+\)\n$")

    def test_help_names_every_key(self):
        """Of the resolved input of runs that have all keys, each in its section."""
        text = self.succeed("--help")
        sections = {}
        for match in re.finditer(r"^(\[(\w+)\]|  (\w+) ).*$", text[text.index("Keys of the input"):], re.MULTILINE):
            if match[2]:
                sections[match[2]] = {}
            else:
                sections[list(sections)[-1]][match[3]] = match[0]
        resolved = {}
        for changes in ({"model.prior": "discrete", "model.signal": None, "model.atoms": [[1.0]],
                         "model.weights": [1.0], "start.noise": None, "start.m": [[1.0], [0.5]], "start.v": 1.0,
                         "start.r": [[1.0, 0.0], [0.0, 1.0]], "start.b": 0.0, "flow.output_times": [1.0]},
                        {"model.prior": "gaussian", "model.signal": None, "model.mean": 0.0,
                         "model.covariance": [[1.0]], "start.noise": None, "start.dimension": 9},
                        {"train": {}, "bayes": {}, "prune": {}, "maps": {}, "saddle": {},
                         "attention.activation": "bayes-softmax",
                         "start.bayes": True, "start.noise": None, "train.starts": 1},
                        {"sgd.dimension": 9, "sgd.batch": 2, "sgd.learning_rate": 0.5, "sgd.steps": 4,
                         "sgd.output_times": [1.0], "sgd.weights_times": [1.0],
                         "fluctuations": {"output_times": [1.0]}}):
            changes = {key: [0.0, 0.0] if key == "start.b" else value for key, value in changes.items()}
            self.write_input(changes)
            for section, keys in tomllib.loads(self.succeed("check", "case.toml").partition("\n#")[0]).items():
                resolved.setdefault(section, {}).update(keys)
        self.assertEqual(set(sections.pop("sweep")), {"repeats", "zip", "ranks_per_member"})
        self.assertEqual(set(sections), set(resolved))
        for section, keys in sections.items():
            either = {"file", "member", "end_time"} if section == "sgd" else {"file", "member"}  # steps: no end_time
            self.assertEqual(set(keys) - either, set(resolved[section]) - either, section)
        self.assertIn("text", sections["start"]["file"])
        self.assertIn("default 65536", sections["population"]["samples"])
        self.assertIn("required", sections["model"]["tokens"])
        self.assertIn("required", sections["sgd"]["batch"])
        self.assertIn('"from-sgd"', sections["flow"]["learning_rate_noise"])

    def test_petsc_options(self):
        self.write_input()
        self.assertIn("TS dt", self.succeed("run", "case.toml", "-flow_ts_monitor"), "--help offers this option")
        plain = read_group(self.folder / "case.h5")
        self.succeed("run", "case.toml", "--force", "-flow_ts_rk_type", "3bs")
        other = read_group(self.folder / "case.h5")
        self.assertFalse(np.array_equal(plain["loss"], other["loss"]))
        np.testing.assert_allclose(plain["loss"], other["loss"], atol=1e-4)

    def test_other_petsc_methods(self):
        """Types that headflow does not name either work or are refused."""
        plain = self.run_flow("plain")
        for name in "beuler", "glee", "rosw":
            with self.subTest(name):
                done = self.headflow("run", "plain.toml", "--output", f"{name}.h5", "-flow_ts_type", name)
                self.assertIn(done.returncode, (0, 2), done.stderr)
                if done.returncode == 0:
                    np.testing.assert_allclose(read_group(self.folder / f"{name}.h5")["loss"], plain["loss"], atol=0.05)

    def test_many_at_once(self):
        """A run without mpirun does not use Open MPI's folder of the user, which others make and remove at the same
        time, and leaves nothing in the temporary folder."""
        self.write_input()
        temporary = self.folder / "tmp"
        temporary.mkdir()
        names = [f"ompi.{name}.{os.getuid()}" for name in {socket.gethostname(), socket.gethostname().split(".")[0]}]
        for name in names:
            (temporary / name).write_text("in the way")
        self.succeed("run", "case.toml", env=environment(TMPDIR=str(temporary)))
        self.assertEqual(sorted(path.name for path in temporary.iterdir()), sorted(names))

    def test_full_disk(self):
        """A file that cannot be written whole: exit code 4, one line that names it, and the older file stays."""
        self.write_input()
        (self.folder / "case.h5").write_bytes(b"an older result")

        def small_files():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))

        done = self.headflow("run", "case.toml", "--force", preexec_fn=small_files, restore_signals=False)
        self.assertEqual(done.returncode, 4, done.stderr)
        self.assertRegex(done.stderr, r"headflow: error: .*case\.h5")
        self.assertEqual((self.folder / "case.h5").read_bytes(), b"an older result")

    def test_steps_that_are_too_large(self):
        """The loss of fixed samples only falls. Adaptive methods see to it at any tolerance, others say what they
        did."""
        base = {"flow.end_time": 200.0, "start.noise": 0.05, "population.samples": 256, "population.replicates": 2}
        for method in "5dp", "2a", "3bs", "8vr":
            for activation in "softmax", "softmax-1", "bayes-softmax":
                with self.subTest(method=method, activation=activation):
                    changes = base | {"flow.method": method, "attention.activation": activation}
                    exact = self.run_flow(f"exact-{method}-{activation}", changes)
                    self.write_input(changes | {"flow.tolerance": 0.1}, "rough")
                    done = self.headflow("run", "rough.toml", "--force")
                    self.assertEqual(done.returncode, 0, done.stderr)
                    rough = read_group(self.folder / "rough.h5")
                    self.assertEqual((np.diff(exact["loss"]) > 1e-12).sum(), 0)
                    self.assertEqual(exact["loss_rises"][-1], 0)
                    # No step rises; what is interpolated between their ends may, and is told.
                    rises = np.diff(rough["loss"])
                    told = rises > 1e-9 * rough["loss"][:-1]
                    self.assertEqual(rough["loss_rises"][-1], told.sum())
                    self.assertEqual("the loss has risen" in done.stderr, told.any(), done.stderr)
                    self.assertAlmostEqual(rough["largest_loss_rise"][-1], max(rises.max(), 0), delta=1e-9)
                    self.assertAlmostEqual(rough["loss"][-1], exact["loss"][-1], delta=5e-3)
        base |= {"flow.method": "euler", "attention.activation": "bayes-softmax"}
        self.write_input(base | {"flow.step": 10.0}, "risen")
        done = self.headflow("run", "risen.toml")
        self.assertEqual(done.returncode, 0, done.stderr)
        risen = read_group(self.folder / "risen.h5")
        count, largest = risen["loss_rises"][-1], risen["largest_loss_rise"][-1]
        self.assertGreater(count, 0)
        self.assertIn(f"the loss has risen in a step or between outputs {count:g} times, by at most {largest:.2g},",
                      done.stderr)
        self.write_input(base | {"flow.step": 15.0}, "unstable")
        done = self.headflow("run", "unstable.toml")
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertRegex(done.stderr, "has raised the loss from .* the step is too large; use a smaller flow.step")
        # With noise the loss may rise; nothing is told of it.
        noisy = self.run_flow("noisy", {"flow.learning_rate_noise": 0.5})
        self.assertTrue(np.isnan(noisy["loss_rises"]).all() and np.isnan(noisy["largest_loss_rise"]).all())

    def test_numerical_failure(self):
        """Exit code 3, said once."""
        self.write_input({"start.noise": None, "start.m": [[1e308, 1e308], [0.0, 1.0]]})
        for ranks in 0, 2:
            with self.subTest(ranks=ranks):
                done = self.headflow("run", "case.toml", "--force", ranks=ranks)
                self.assertEqual(done.returncode, 3, done.stderr)
                self.assertEqual(done.stderr.count("not finite"), 1, done.stderr)


if __name__ == "__main__":
    main()
