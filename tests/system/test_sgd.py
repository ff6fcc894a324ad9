"""SGD in D dimensions: bits, and what group /sgd of the output and the files of all weights hold."""
import h5netcdf  # noqa: F401  (missing readers must fail, not skip)
import netCDF4  # noqa: F401
import numpy as np
import xarray

from harness import changed, command, execute, main, read_group, side_by_side, toml_text
from sgd_harness import ALONE, BASE, SPEED, SgdTest, output


class Bits(SgdTest):
    # With two tiles of coordinates; on four ranks two groups of two; more ranks than sequences. 30 steps.
    INPUTS = {
        "softmax": {"sgd.dimension": 600, "sgd.weights_times": [0.0, 0.4], "sgd.save_weights": True},
        "softmax-1": {"attention.activation": "softmax-1", "sgd.replicas": 1, "sgd.save_weights": True},
        "bayes-softmax": {"attention.activation": "bayes-softmax", "sgd.replicas": 2, "sgd.weights_times": [1.2],
                          "flow.learning_rate_noise": "from-sgd"},
        "batch 1": {"sgd.batch": 1, "attention.heads": 3, "sgd.save_weights": True},
        "overlaps": {"sgd.batch": 70, "sgd.replicas": 1},
        "overlaps, many replicas": {"sgd.batch": 3, "sgd.replicas": 11, "sgd.dimension": 1000,
                                    "attention.activation": "softmax-1"},
        "overlaps, own starts": {"sgd.replicas": 5, "sgd.starts": "own", "start.spikes": "orthonormal",
                                 "start.dimension": 60.0},
    }
    MOVING = {"softmax-1": ("m", "q", "b", "v"), "bayes-softmax": ("m", "q", "b")}

    def test_ranks(self):
        for name, changes in self.INPUTS.items():
            with self.subTest(name):
                counts = (1, 2, 3, 4) if name == "softmax" else (2, 3, 4)
                changes = changes | {"flow.end_time": 1.2}
                alone, *others = self.compute(changes, *((changes, ranks) for ranks in counts))
                self.assertEqual(len(alone.weights()), 3 if name == "softmax" else 0 if "overlaps" in name else 1)
                for moving in self.MOVING.get(name, ("m", "q")):
                    self.assertTrue((alone.sgd[moving][0] != alone.sgd[moving][-1]).all(), moving)
                for other in others:
                    self.assert_same_bits(alone.numbers(), other.numbers())

    def test_own_starts(self):
        """Replica i is the run whose start has the next seed but i."""
        base = {"sgd.starts": "own", "start.spikes": "orthonormal", "start.dimension": 60.0}
        together, first, second = self.compute(base, base | {"sgd.replicas": 1},
                                               base | {"sgd.replicas": 1, "start.seed": BASE["start"]["seed"] + 1})
        for name in "m", "q":
            self.assert_same_bits({name: together.sgd[name][:, :1]}, {name: first.sgd[name]})
            self.assert_same_bits({name: together.sgd[name][0, 1]}, {name: second.sgd[name][0, 0]})
        self.assertTrue((together.sgd["m"][0, 0] != together.sgd["m"][0, 1]).all())
        self.assertNotIn("deviation of SGD from the flow", together.text)
        self.assertIn("deviation of SGD from the flow", self.compute({})[0].text)

    def test_fast_reduction(self):
        changes = {"attention.activation": "softmax-1", "sgd.save_weights": True}
        fast = changes | {"sgd.reduction": "fast"}
        exact, *others = self.compute(changes, (fast, 1), (fast, 2))
        for other in others:
            self.assertTrue((other.sgd["m"][-1] != exact.sgd["m"][-1]).any(), "two sums without a difference")
            for name in "m", "q", "b", "v", "loss":
                self.assert_near(other.sgd[name], exact.sgd[name], 1e-4, name)
            self.assert_near(other.weights()[100]["k"], exact.weights()[100]["k"], 1e-4)

    def test_what_does_not_change_a_trajectory(self):
        """The flow, other replicas, other outputs, other samples of the population."""
        full, alone, first, fine, other = self.compute({}, ALONE, {"sgd.replicas": 1}, {"sgd.outputs": 100},
                                                       {"population.seed": 2})
        beside = {name: data for name, data in full.numbers().items() if name.startswith("sgd/")}
        self.assert_same_bits(beside, alone.numbers())
        self.assertEqual(fine.sgd["steps"].tolist(), list(range(101)))
        for name in "m", "r", "u", "q", "b", "v", "loss", "batch_loss":
            self.assert_same_bits({name: full.sgd[name][:, :1]}, {name: first.sgd[name]})
            if name != "batch_loss":
                self.assert_same_bits({name: full.sgd[name]}, {name: fine.sgd[name][::10]})
            if name != "loss":
                self.assert_same_bits({name: full.sgd[name]}, {name: other.sgd[name]})
        self.assertTrue((full.sgd["loss"] != other.sgd["loss"]).all())
        self.assert_near(full.sgd["batch_loss"][1:], fine.sgd["batch_loss"][1:].reshape(10, 10, 3).mean(axis=1), 1e-14)

    def test_what_does_change_a_trajectory(self):
        """Each choice has an effect, so that the equalities above say something."""
        changes = [{}, {"sgd.seed": 2}, {"start.seed": 4}, {"sgd.batch": 6}, {"sgd.learning_rate": 0.05},
                   {"sgd.dimension": 61}]
        outputs = self.compute(*changes)
        self.assertEqual(len({one.sgd["m"][-1].tobytes() for one in outputs}), len(changes))
        m = outputs[0].sgd["m"]
        self.assertEqual([len({m[i, replica].tobytes() for replica in range(3)}) for i in (0, 1, -1)], [1, 3, 3])

    def test_resolved_input_repeats_the_run(self):
        """Also where no whole number of steps reaches end_time."""
        odd = {"sgd.learning_rate": 0.03, "sgd.outputs": 100}
        cases = {"weights": ALONE | {"sgd.weights_times": [1.0, 4.0], "sgd.spacing": "log"},
                 "steps": {"flow.end_time": None, "sgd.steps": 70, "flow.learning_rate_noise": "from-sgd"},
                 "odd": odd, "odd, alone": ALONE | odd,
                 "odd, own times": odd | {"sgd.output_times": [0.0, 1.0, 4.0], "sgd.weights_times": [4.0]}}
        again = self.folder / "again"
        again.mkdir()

        def repeated(first):
            (again / f"{first.path.stem}.toml").write_text(read_group(first.path, "provenance")["input"])
            return execute(again, command("run", f"{first.path.stem}.toml"))

        firsts = self.compute(*cases.values())
        for name, first, done in zip(cases, firsts, side_by_side(repeated, firsts)):
            with self.subTest(name):
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                second = output(again / first.path.name)
                self.assert_same_bits(first.numbers(), second.numbers())
                self.assertEqual(*(read_group(one.path, "provenance")["input"] for one in (first, second)))


class Contents(SgdTest):
    """One run on two ranks with axes of different lengths and with all weights."""
    SIZES = {"time": 11, "replica": 4, "head": 3, "head_b": 3, "feature": 2, "feature_b": 2}
    ENGINES = "netcdf4", "h5netcdf"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        text = toml_text(changed(BASE, {"attention.heads": 3, "attention.activation": "softmax-1",
                                        "sgd.dimension": 50, "sgd.replicas": 4, "sgd.weights_times": [0.0, 2.0],
                                        "sgd.save_weights": True}))
        (cls.shared / "sgd.toml").write_text(text)
        cls.done = execute(cls.shared, command("run", "sgd.toml", ranks=2))
        cls.output = output(cls.shared / "sgd.h5") if cls.done.returncode == 0 else None

    def setUp(self):
        super().setUp()
        self.assertEqual((self.done.returncode, self.done.stderr), (0, ""))

    def test_variables(self):
        """Those of the flow with an axis of replicas, most also averaged over it; as common readers see them."""
        path = self.output.path
        for engine in self.ENGINES:
            with (self.subTest(engine), xarray.open_dataset(path, group="flow", engine=engine) as flow,
                  xarray.open_dataset(path, group="sgd", engine=engine) as sgd):
                axes = dict.fromkeys(("steps", "sequences", SPEED), ("time",))
                axes |= {"spike_gram": flow.spike_gram.dims, "split_time": ("replica", "feature")}
                series = {name: data.dims for name, data in flow.data_vars.items() if "time" in data.dims}
                self.assertEqual(set(flow.data_vars) - set(series),
                                 {"spike_gram", "alignment_time", "split_time", "growth_rate"})
                for own in ("step_size", "loss_rises", "largest_loss_rise", "side", "evenness", "combinations",
                            "undecided", "excursions", "learning_rate_noise"):
                    del series[own]
                for name, dims in (series | {"batch_loss": ("time",)}).items():
                    axes[name] = ("time", "replica", *dims[1:])
                    if name not in ("u", "loss_stderr", "gradient_norm_stderr"):
                        axes |= {f"{name}_mean": dims, f"{name}_std": dims}
                self.assertEqual({name: data.dims for name, data in sgd.data_vars.items()}, axes)
                self.assertEqual(dict(sgd.sizes), self.SIZES)
                self.assertEqual(set(sgd.coords), set(self.SIZES))
                self.assertEqual(sgd.encoding["unlimited_dims"], {"time"})
                for name in sgd.variables:
                    self.assertEqual(sgd[name].attrs["units"], "s-1" if name == SPEED else "1", name)
                    self.assertTrue(sgd[name].attrs["long_name"], name)
                    np.testing.assert_array_equal(sgd[name].values, self.output.sgd[name], name)
                self.assertEqual(sgd["q"].sel(replica=4, head=2, head_b=3, time=4.0), self.output.sgd["q"][-1, 3, 1, 2])

    def assert_averages(self, sgd):
        names = [name.removesuffix("_mean") for name in sgd if name.endswith("_mean")]
        self.assertIn("m", names)
        for name in names:
            self.assert_near(sgd[f"{name}_mean"], sgd[name].mean(axis=1), 1e-14, name)
            self.assert_near(sgd[f"{name}_std"], sgd[name].std(axis=1, ddof=1), 1e-13, name)

    def test_averages(self):
        self.assert_averages(self.output.sgd)
        for name in "m", "q", "b", "v", "loss", "batch_loss":
            self.assertTrue((self.output.sgd[f"{name}_std"][1:] > 0).all(), name)

    def test_one_replica(self):
        alone, = self.compute({"sgd.replicas": 1})
        for name in "m", "r", "q", "loss", "cosine", "batch_loss":
            self.assert_same_bits({name: alone.sgd[f"{name}_mean"]}, {name: alone.sgd[name][:, 0]})
            self.assertTrue(np.isnan(alone.sgd[f"{name}_std"]).all(), name)

    def test_steps(self):
        sgd = self.output.sgd
        self.assertEqual(sgd["steps"].tolist(), list(range(0, 101, 10)))
        np.testing.assert_array_equal(sgd["sequences"], 5 * sgd["steps"])
        np.testing.assert_array_equal(sgd["time"], 0.04 * sgd["steps"])
        for name in SPEED, "batch_loss":  # of the sequences since the output before
            self.assertTrue(np.isnan(sgd[name][0]).all() and (sgd[name][1:] > 0).all(), name)

    def test_overlaps(self):
        m, q, u, gram = (self.output.sgd[name] for name in ("m", "q", "u", "spike_gram"))
        r = self.output.sgd["r"]
        self.assert_near(r, u @ u.swapaxes(2, 3), 1e-15)
        self.assert_near(r, q - m @ np.linalg.inv(gram) @ m.swapaxes(2, 3), 1e-12)
        self.assertGreater(np.linalg.eigvalsh(r).min(), -1e-15)
        norms = np.sqrt(np.diagonal(q, axis1=2, axis2=3))
        self.assert_near(self.output.sgd["cosine"], q / (norms[..., :, None] * norms[..., None, :]), 1e-13)
        np.testing.assert_array_equal(gram, self.output.flow["spike_gram"])

    def test_weights(self):
        """They have the overlaps of /sgd."""
        sgd, weights = self.output.sgd, self.output.weights()
        self.assertEqual(sorted(weights), [0, 50, 100])
        for step, one in weights.items():
            record, = np.flatnonzero(sgd["steps"] == step)
            k, spikes = one["k"], one["spikes"]
            self.assertEqual((k.shape, spikes.shape), ((4, 3, 50), (2, 50)))
            self.assert_near(k @ spikes.T, sgd["m"][record], 1e-12)
            self.assert_near(k @ k.swapaxes(1, 2), sgd["q"][record], 1e-12)
            self.assert_near(spikes @ spikes.T, sgd["spike_gram"], 1e-12)
            for name, value in {"b": sgd["b"][record], "v": sgd["v"][record], "time": sgd["time"][record],
                                "steps": step, "spikes": weights[0]["spikes"]}.items():
                np.testing.assert_array_equal(one[name], value, name)
            path = self.output.path.with_name(f"sgd.weights-{step}.h5")
            self.assertEqual(*(read_group(file, "provenance")["run_id"] for file in (path, self.output.path)))
            for engine in self.ENGINES:
                with xarray.open_dataset(path, group="sgd", engine=engine) as data:
                    self.assertEqual(data["k"].dims, ("replica", "head", "coordinate"))
                    self.assertEqual(data["spikes"].dims, ("feature", "coordinate"))
                    self.assertEqual(data["k"].sel(replica=2, head=3, coordinate=50), k[1, 2, -1])
        self.assertTrue((weights[0]["k"] == weights[0]["k"][:1]).all(), "replicas start alike")
        self.assertTrue((weights[100]["k"][1:] != weights[100]["k"][:1]).all())

    def test_loss(self):
        """That of the population at the state, as a flow from there has it; orthonormal spikes, which m alone tells."""
        changes = {"attention.activation": "softmax-1"}
        first, = self.compute(changes | {"start.spikes": "orthonormal"})
        last = {f"start.{name}": first.sgd[name][-1, 1].tolist() for name in ("m", "r", "b", "v")}
        second, = self.compute(changes | last | {"sgd": None})
        for name in "loss", "loss_stderr", "gradient_norm", "gradient_norm_stderr":
            self.assert_near(second.flow[name][0], first.sgd[name][-1, 1], 1e-12, name)


if __name__ == "__main__":
    main()
