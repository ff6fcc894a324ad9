"""What a run leaves behind: a file that common readers open, consistent numbers, the means to repeat or continue it."""
import re
import tomllib
from datetime import datetime, timezone

import h5netcdf  # noqa: F401  (missing readers must fail, not skip)
import h5py
import netCDF4  # noqa: F401
import numpy as np
import xarray

from harness import SystemTest, command, execute, main, read_group, toml_text

# Every variable of /flow and its axes.
AXES = {
    "m": ("time", "head", "feature"), "r": ("time", "head", "head_b"), "u": ("time", "head", "head_b"),
    "q": ("time", "head", "head_b"),
    "b": ("time", "head"), "v": ("time",), "loss": ("time",), "loss_stderr": ("time",), "gradient_norm": ("time",),
    "gradient_norm_stderr": ("time",), "step_size": ("time",), "loss_rises": ("time",), "largest_loss_rise": ("time",),
    "cosine": ("time", "head", "head_b"), "learning_rate_noise": ("time",),
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
        self.assertEqual(text.splitlines()[-8], f"file: {self.path}")  # the summary, last
        self.assertRegex(text.splitlines()[0], rf"^{self.path}: the run has finished \(2.*\)$")
        self.assertRegex(text.splitlines()[-7], r"^state: the run has finished \(2.*\)$")
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

    def test_alignment_so_far(self):
        """A plateau is one when a feature has split; before, half of it is half of what there is."""
        for end_time, split in (4.0, False), (400.0, True):
            self.write_input({"flow.end_time": end_time})
            text = self.succeed("run", "case.toml", "--force")
            self.assertEqual(bool(re.search(r"heads split along feature \d: t = ", text)), split)
            self.assertRegex(text, r"heads align at half their plateau: t = [\d.]+" +
                             ("\n" if split else r" so far \(no feature has split\)\n"))

    def test_what_the_summary_says_of_the_model(self):
        """That heads cannot align where theta has no mean, and whose spikes the Bayes risk is of."""
        self.write_input({"model.prior": "anisotropic-gaussian", "model.features": 2, "flow.end_time": 1.0})
        self.assertIn("heads align at half their plateau: no, as theta has no mean\n",
                      self.succeed("run", "case.toml", "--force"))
        bayes = {"flow": None, "bayes": {"standard_error": 0.01}, "start.noise": None, "start.dimension": 1000.0}
        for spikes, said in ("finite", True), ("orthonormal", False):
            self.write_input(bayes | {"start.spikes": spikes})
            text = self.succeed("run", "case.toml", "--force")
            self.assertEqual(bool(re.search(r"(?m)^Bayes risk: \S+ \+- \S+ \(for the spikes of this start\), ", text)),
                             said, text)

    def test_standard_errors(self):
        flow = read_group(self.path)
        self.assertTrue((flow["loss_stderr"] > 0).all() and (flow["gradient_norm_stderr"] > 0).all())
        self.assertTrue((flow["loss_stderr"] < 0.1 * flow["loss"]).all())
        alone = self.run_flow("alone", {"population.replicates": 1})
        self.assertTrue(np.isnan(alone["loss_stderr"]).all() and (alone["loss"] > 0).all())


if __name__ == "__main__":
    main()
