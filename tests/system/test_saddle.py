"""[saddle] and the measures of hierarchy: bits, what the output holds, predictions against the flow, stops, sweeps."""
import re
from math import erfc

import h5netcdf  # noqa: F401  (missing readers must fail, not skip)
import h5py
import netCDF4  # noqa: F401
import numpy as np
import xarray
from matplotlib.figure import Figure

from harness import BAD_INPUT, SystemTest, changed, command, execute, main, read_group, side_by_side, toml_text
from python_harness import headflow
from restart_harness import RestartTest, checkpoints, numbers_in

from headflow.plot.split_law import share_at

# Two heads split along feature 2 from differences of 1e-4, on a closed sample set.
FLIPPING = {
    "model": {"tokens": 4, "prior": "flipping-spike", "signal": [2.0, 4.0]},
    "attention": {"heads": 2, "activation": "bayes-softmax"},
    "start": {"noise": 1e-5, "eta": 0.5, "seed": 3},
    "population": {"samples": 4096, "replicates": 4, "symmetric": True},
    "flow": {"end_time": 50.0, "outputs": 100},
    "saddle": {"dimensions": [100.0, 1e4, 1e6]},
}
# Four heads, features that are learnt one after the other.
GAUSSIAN = {"model": {"tokens": 5, "prior": "anisotropic-gaussian", "features": 2, "signal": [10.0, 4.0]},
            "attention.heads": 4, "start": {"noise": 1e-4, "eta": 0.3, "seed": 2}, "flow.end_time": 100.0}
SADDLE = {
    "m": ("feature",), "b": (), "v": (), "loss": (), "loss_stderr": (), "gradient_norm": (), "manifold_time": (),
    "split_rate": ("split_mode",), "split_rate_stderr": ("split_mode",), "split_feature": ("split_mode", "feature"),
    "common_rate": ("common_mode",), "common_rate_stderr": ("common_mode",),
    "common_feature": ("common_mode", "feature"), "u_split_rate": (), "u_split_rate_stderr": (), "u_common_rate": (),
    "u_common_rate_stderr": (), "predicted_growth_rate": ("feature",), "predicted_split_time": ("feature",),
    "predicted_growth_rate_stderr": ("feature",), "predicted_split_time_stderr": ("feature",),
    "split_time_at_dimension": ("dimension", "feature"), "split_time_at_dimension_stderr": ("dimension", "feature"),
    "split_time_quantile": ("dimension", "quantile", "feature"),
    "split_time_quantile_stderr": ("dimension", "quantile", "feature"),
    "upper_side_probability": ("dimension", "head", "feature"), "predicted_spread": ("time", "feature"),
}
PLATEAUS = {
    "time": ("plateau",), "eigenvalue": ("plateau", "mode"), "eigenvalue_stderr": ("plateau", "mode"),
    "eigenvector_m": ("plateau", "mode", "head", "feature"), "eigenvector_u": ("plateau", "mode", "head", "head_b"),
    "rate": ("plateau", "feature"), "rate_stderr": ("plateau", "feature"), "growth_rate": ("plateau", "feature"),
    "pattern": ("plateau", "feature", "head"), "next_feature": ("plateau",), "next_split_time": ("plateau",),
    "mode_pattern": ("plateau", "mode", "head"), "mode_feature": ("plateau", "mode", "feature"),
    "mode_weight": ("plateau", "mode"), "m": ("plateau", "head", "feature"),
}


class SaddleTest(SystemTest):
    def compute(self, *cases):
        """{group: {name: array}} of runs with [(changes, ranks)], side by side, and what they printed."""
        def one(numbered):
            number, (changes, ranks) = numbered
            name = f"case{number}"
            (self.folder / f"{name}.toml").write_text(toml_text(changed(FLIPPING, changes)))
            done = execute(self.folder, command("run", f"{name}.toml", ranks=ranks))
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            path = self.folder / f"{name}.h5"
            return {group: read_group(path, group) for group in ("flow", "saddle", "plateaus")} | {"said": done.stdout}

        return side_by_side(one, enumerate(cases, len(list(self.folder.glob("case*.toml")))))


class Predictions(SaddleTest):
    def test_start_at_rest(self):
        """At the saddle itself linear growth has the rates of its Hessian, as from near it."""
        at, near = self.compute(*(({
            "model": {"tokens": 4, "prior": "anisotropic-gaussian", "features": 2, "signal": [4.0, 1.0]},
            "attention.activation": "softmax", "start.noise": 1e-6, "start.eta": eta}, 0) for eta in (0.0, 0.01)))
        for name in "predicted_growth_rate", "predicted_split_time":
            np.testing.assert_allclose(at["saddle"][name][0], near["saddle"][name][0], rtol=1e-2)

    def test_first_split(self):
        """At each D that along the feature with the least median, also where another is first at the smallest D."""
        (run,) = self.compute(({
            "model.tokens": 6, "model.signal": [3.0, 2.0], "attention.heads": 3, "population.samples": 16384,
            "start": {"dimension": 2000, "spikes": "orthonormal"}, "flow.end_time": 100.0,
            "saddle": {"dimensions": [1e2, 1e4, 1e8]}}, 0))
        medians = run["saddle"]["split_time_quantile"][:, 3]
        first = [int(place) + 1 for place in np.nan_to_num(medians, nan=np.inf).argmin(axis=1)]
        self.assertEqual(first, [1, 2, 2])
        told = re.findall(r"(?m)^D = (\S+) +feature (\d) +\S+ +(\S+) +\S+$", run["said"])
        self.assertEqual([(float(D), int(f)) for D, f, _ in told], list(zip([1e2, 1e4, 1e8], first)))
        np.testing.assert_allclose([float(t) for _, _, t in told], medians.min(axis=1, where=np.isfinite(medians),
                                                                               initial=np.inf), rtol=1e-3)

    def test_splits_that_are_not_reached(self):
        """Are told of where some are missing, not where the flow of equal heads alone still moves."""
        cases = [{"saddle": {"gradient_tolerance": 1e-300, "end_time": end}} for end in (50, 5)]
        enough, few = self.compute(*((changes, 0) for changes in cases))
        for run, missing in (enough, False), (few, True):
            self.assertEqual(np.isnan(run["saddle"]["split_time_quantile"][:, :, 1]).any(), missing)
            self.assertEqual("the flow of equal heads still moves" in run["said"], missing)
            self.assertRegex(run["said"], r"(?m)^plateau at t = 1\d\.\d+: loss")
            self.assertRegex(run["said"], r"(?m)^plateau at t = 4\d\.\d+ \(near the end of the run: .*\): loss")

    def test_any_number_of_ranks(self):
        changes = {"attention.activation": "softmax-1", "population.symmetric": False, "population.samples": 9000}
        alone, *others = self.compute(*((changes, ranks) for ranks in (0, 2, 3)))
        for other in others:
            for group in "saddle", "plateaus":
                self.assert_same_bits(alone[group], other[group])

    def test_against_the_flow(self):
        """Growth is that of the flow to 1 %, and the split comes no more than saturation (1 / rate) later."""
        for activation in "softmax", "softmax-1", "bayes-softmax":
            end = 50.0 if activation == "bayes-softmax" else 250.0
            with self.subTest(activation):
                (run,) = self.compute(({"attention.activation": activation, "flow.end_time": end}, 2))
                rate, seen = run["saddle"]["predicted_growth_rate"][1], run["flow"]["growth_rate"][1]
                self.assertLess(abs(rate / seen - 1), 0.01)
                late = run["flow"]["split_time"][1] - run["saddle"]["predicted_split_time"][1]
                self.assertTrue(0 < late < 1 / rate, late)
                self.assertTrue(np.isnan(run["flow"]["growth_rate"][0]))
                # The spread itself while it is small.
                spread, predicted = run["flow"]["m"].std(axis=1)[:, 1], run["saddle"]["predicted_spread"][:, 1]
                small = spread < 0.01
                self.assertGreater(small.sum(), 10)
                np.testing.assert_allclose(np.log(spread[small]), np.log(predicted[small]), atol=0.02)
                # D -> 100 D: later by log(10) / rate.
                times = run["saddle"]["split_time_at_dimension"][:, 1]
                np.testing.assert_allclose(np.diff(times), np.log(10) / rate, rtol=0.25)
                # As printed.
                self.assertRegex(run["said"], rf"(?m)^2 +{rate:.5f} \+- \S+ +{seen:.5f} ")
                error = run["saddle"]["predicted_growth_rate_stderr"][1]
                self.assertTrue(0 < error < 0.1 * rate, error)

    def test_spectrum_of_the_plateaus(self):
        """Eigenvectors are orthonormal; the Hessian they make has the blocks of each feature; the next feature."""
        (run,) = self.compute((GAUSSIAN, 2))
        plateaus, flow = run["plateaus"], run["flow"]
        self.assertGreater(len(plateaus["time"]), 1)
        for p in range(len(plateaus["time"])):
            m, u = plateaus["eigenvector_m"][p], plateaus["eigenvector_u"][p]
            K = np.concatenate([m, u], axis=-1).reshape(28, 24)
            vectors = np.concatenate([K, plateaus["eigenvector_b"][p]], axis=-1)
            np.testing.assert_allclose(vectors @ vectors.T, np.eye(28), atol=1e-12)
            hessian = K.T * plateaus["eigenvalue"][p] @ K
            for f in range(2):
                block = hessian.reshape(4, 6, 4, 6)[:, f, :, f]
                pattern = plateaus["pattern"][p, f]
                np.testing.assert_allclose(-pattern @ block @ pattern, plateaus["rate"][p, f], atol=1e-12)
                np.testing.assert_allclose(np.linalg.eigvalsh(block)[0], -plateaus["rate"][p, f], atol=1e-12)
            product = plateaus["mode_pattern"][p][:, :, None] * plateaus["mode_feature"][p][:, None, :]
            rest = np.minimum(((m - np.sqrt(plateaus["mode_weight"][p])[:, None, None] * product) ** 2).sum((1, 2)),
                              ((m + np.sqrt(plateaus["mode_weight"][p])[:, None, None] * product) ** 2).sum((1, 2)))
            np.testing.assert_allclose(rest + plateaus["mode_weight"][p], (m ** 2).sum((1, 2)), atol=1e-12)
        first, second = flow["split_time"]
        self.assertLess(first, second)
        before = plateaus["time"] < first
        between = (plateaus["time"] > first) & (plateaus["time"] < second)
        self.assertEqual(plateaus["next_feature"][before].tolist(), [1.0] * before.sum())
        self.assertEqual(plateaus["next_feature"][between].tolist(), [2.0] * between.sum())
        self.assertTrue(before.any())
        # The splits come about when the plateaus before say.
        for split, which in (first, before), (second, between):
            late = split - plateaus["next_split_time"][which][-1]
            self.assertLess(abs(late), 0.2 * split)
        # At the unspecialized plateau the flow grows as its Hessian says.
        np.testing.assert_allclose(plateaus["growth_rate"][before][-1, 0], plateaus["rate"][before][-1, 0], rtol=0.05)

    def test_hierarchy(self):
        """Sides, evenness, combinations and excursions are what m says."""
        (run,) = self.compute((GAUSSIAN | {"attention.activation": "softmax-1"}, 0))
        flow = run["flow"]
        sides = np.where(np.abs(flow["m"]) < 0.3, 0, np.sign(flow["m"]))
        np.testing.assert_array_equal(flow["side"], sides)
        up, down = (sides > 0).sum(axis=1), (sides < 0).sum(axis=1)
        even = np.where(up + down > 0, 2 * np.minimum(up, down) / np.maximum(up + down, 1), 0)
        np.testing.assert_allclose(flow["evenness"], even, atol=1e-15)
        for row, m, found, undecided in zip(sides, flow["m"], flow["combinations"], flow["undecided"]):
            row = row[:, m.std(axis=0) >= 0.3]
            decided = row[(row != 0).all(axis=1)]
            self.assertEqual((found, undecided), (len(np.unique(decided, axis=0)), 4 - len(decided)))
        self.assertLessEqual(flow["combinations"].max(), 4)
        self.assertEqual(flow["combinations"][0], 1)
        self.assertGreater(flow["combinations"][-1], 1)
        self.assertTrue((np.diff(flow["excursions"], axis=0) >= 0).all())

    def test_finite_spikes(self):
        """Spikes of a finite D, whose overlaps couple the features: what is predicted is still m = k . k*."""
        (run,) = self.compute(({"start": {"dimension": 1e6, "eta": 0.5, "seed": 3}, "population.symmetric": False,
                                "population.samples": 65536}, 2))
        rate, seen = run["saddle"]["predicted_growth_rate"][1], run["flow"]["growth_rate"][1]
        self.assertLess(abs(rate / seen - 1), 0.02)
        np.testing.assert_allclose(run["saddle"]["predicted_spread"][0], run["flow"]["m"][0].std(axis=0), rtol=1e-9)

    def test_unequal_biases(self):
        """They grow into differences of m: part of the prediction."""
        start = {"m": [[1.0, 1e-5], [1.0, -1e-5]], "b": [0.02, -0.02]}
        (run,) = self.compute(({"start": start, "model.prior": "gaussian", "model.signal": None, "flow.end_time": 4.0,
                                "model.mean": [1.0, 0.5], "model.covariance": [[1.0, 0.3], [0.3, 2.0]]}, 2))
        small = run["flow"]["time"] < 3
        np.testing.assert_allclose(run["saddle"]["predicted_spread"][small], run["flow"]["m"].std(axis=1)[small],
                                   rtol=0.02, atol=5e-5)
        self.assertGreater(run["flow"]["m"].std(axis=1)[small][-1, 0], 5e-4)

    def test_many_heads(self):
        """A Hessian of 990 numbers; splitting of heads along a feature has one rate, whatever their number."""
        (run,) = self.compute(({"attention.heads": 30, "flow.end_time": 0.1, "saddle.end_time": 1.0,
                                "population.samples": 256, "population.symmetric": False}, 2))
        self.assertEqual(run["saddle"]["split_rate"].shape, (3,))  # two features and b
        self.assertTrue(np.isfinite(run["saddle"]["split_rate"]).all())

    def test_centre_of_a_feature_without_symmetry(self):
        """Where theta_f has no other sign, sides are against the mean over heads: all heads aligned are undecided."""
        (run,) = self.compute(({"attention.activation": "softmax", "flow.end_time": 20.0}, 0))
        self.assertGreater(run["flow"]["m"][-1, :, 0].min(), 1)
        self.assertEqual(np.abs(run["flow"]["side"][-1, :, 0]).max(), 0)


# The law of the split time of runs of SGD: equal heads, whose differences come from start and noise of SGD alone.
LAW = {"attention.activation": "softmax", "model.signal": [2.0, 2.0], "start": {"noise": 0.0, "eta": 1.0},
       "flow": None, "saddle": {"learning_rate_noise": 1.0, "dimensions": [1e3, 1e12], "end_time": 400.0}}


class LawOfSplits(SaddleTest):
    def run_law(self, *changes):
        cases = [(LAW | more, 0) for more in changes]
        for (case, _) in cases:
            (self.folder / "case.toml").write_text(toml_text(changed(FLIPPING, case)))
            self.succeed("run", "case.toml", "--force")
            yield read_group(self.folder / "case.h5", "saddle")

    def test_reference(self):
        """Quantiles 10, 25, 50 % of theory.md section 11, of other samples: 81, 95, 119; those of [fluctuations]."""
        (law,) = self.run_law({"population.samples": 8192})
        found, error = (law[f"split_time_quantile{part}"][0, :, 1] for part in ("", "_stderr"))
        self.assertTrue((error[:4] < 0.1 * found[:4]).all(), error)
        np.testing.assert_allclose(found[1:4], [81, 95, 119], rtol=0.12)
        own = {"start": {"dimension": 1e3, "spikes": "orthonormal"}, "saddle": None, "population.samples": 8192,
               "fluctuations": {"dimension": 1e3, "learning_rate_noise": 1.0, "starts": "own", "covariance": True,
                                "end_time": 150.0, "output_times": found[:4].tolist()}}
        (self.folder / "own.toml").write_text(toml_text(changed(FLIPPING, LAW | own)))
        self.succeed("run", "own.toml")
        covariance = read_group(self.folder / "own.h5", "fluctuations")["covariance"]
        sigma = np.sqrt((covariance[:, 1, 1] + covariance[:, 3, 3] - 2 * covariance[:, 1, 3]) / 4)
        split = [erfc(0.3 / (np.sqrt(2) * one)) for one in sigma]
        np.testing.assert_allclose(split, [0.01, 0.1, 0.25, 0.5], rtol=0.01)
        self.assertEqual(law["quantile"].tolist(), [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99])
        self.assertTrue((np.diff(law["split_time_quantile"][0, :, 1]) > 0).all())
        np.testing.assert_array_equal(law["upper_side_probability"][0, :, 1], 0.5)
        self.assertTrue(np.isnan(law["predicted_split_time"]).all(), "equal heads do not split by themselves")

    def test_noise_adds_to_the_start(self):
        """The first runs split earlier with noise; without it the law is of random starts alone, for 2 heads erf."""
        laws = list(self.run_law(*({"saddle": LAW["saddle"] | {"learning_rate_noise": kappa}} for kappa in (0.0, 1.0))))
        quiet, loud = (law["split_time_quantile"][0, :, 1] for law in laws)
        self.assertLess(loud[0], quiet[0])
        # The median of |N(0, 1)| is .6745, its root mean square 1: so much later as growth from D to D / .6745^2 takes.
        times = laws[0]["split_time_at_dimension"][:, 1]
        slope = (times[1] - times[0]) / np.log(1e9)
        self.assertAlmostEqual((laws[0]["split_time_quantile"][1, 3, 1] - times[1]) / (slope * -2 * np.log(0.6745)), 1,
                               delta=0.1)

    def test_from_one_start(self):
        """Runs from one start split as its flow does where noise is small, on the sides that it has."""
        start = {"m": [[1.0, 1e-3], [1.0, -1e-3]], "r": [[1.0, 0.0], [0.0, 1.0]]}
        saddle = LAW["saddle"] | {"starts": "shared", "dimensions": [1e3, 1e12]}
        (law,) = self.run_law({"start": start, "saddle": saddle})
        np.testing.assert_allclose(law["split_time_quantile"][1, :, 1], law["predicted_split_time"][1], rtol=1e-3)
        np.testing.assert_allclose(law["upper_side_probability"][1, :, 1], [1, 0], atol=1e-6)
        near = law["upper_side_probability"][0, :, 1]
        self.assertTrue(0.5 < near[0] < 0.9 and abs(near.sum() - 1) < 1e-9, near)

    def test_of_sgd(self):
        """kappa is that of [flow] or [sgd], D that of [sgd], too; the flow with noise splits when it is predicted."""
        changes = {"flow": {"end_time": 250.0, "learning_rate_noise": "from-sgd"}, "population.samples": 16384,
                   "start": {"m": [[1.0, 1e-3], [1.0, -1e-3]], "r": [[1.0, 0.0], [0.0, 1.0]]}, "saddle": {},
                   "sgd": {"dimension": 5000, "batch": 16, "learning_rate": 1.6e-3, "end_time": 0.1}}
        (self.folder / "case.toml").write_text(toml_text(changed(FLIPPING, LAW | changes)))
        said = self.succeed("run", "case.toml")
        self.assertRegex(said, "(?m)^runs of SGD, kappa = 0.5: first split, .*\n(D = .*\n)*D = 5000 +feature 2 ")
        saddle, flow = (read_group(self.folder / "case.h5", group) for group in ("saddle", "flow"))
        self.assertEqual(saddle["dimension"].tolist(), [1e2, 5e3, 1e4, 1e6, 1e8, 1e10, 1e12])
        rate = saddle["predicted_growth_rate"][1]
        self.assertLess(abs(rate / flow["growth_rate"][1] - 1), 0.01)
        late = flow["split_time"][1] - saddle["predicted_split_time"][1]
        self.assertTrue(0 < late < 1 / rate, (flow["split_time"], saddle["predicted_split_time"], rate))
        self.check_pictures(saddle)

    def check_pictures(self, saddle):
        """The quantiles' median and bands are the file's; a share of runs comes back from its quantile."""
        ax = Figure().add_subplot()
        headflow.plot.quantiles(self.folder / "case.h5", ax)
        known = saddle["split_time_quantile"][..., 1]
        np.testing.assert_array_equal(ax.lines[0].get_xydata(), np.column_stack([saddle["dimension"], known[:, 3]]))
        corners = ax.collections[0].get_paths()[0].vertices
        np.testing.assert_allclose(np.sort(corners[corners[:, 0] == 100.0, 1])[[0, -1]], known[0, [0, -1]])
        shares = share_at(known[0], known[0], saddle["quantile"])
        np.testing.assert_allclose(shares, saddle["quantile"], rtol=1e-9)
        beyond = share_at(np.array([0.0, 1e3]), known[0], saddle["quantile"])
        self.assertTrue(0 <= beyond[0] < 0.01 and 0.99 < beyond[1] <= 1, beyond)


class Readers(SaddleTest):
    def test_groups(self):
        self.compute(({}, 2))
        path = self.folder / "case0.h5"
        sizes = {"saddle": {"time": 101, "feature": 2, "split_mode": 3, "common_mode": 3, "dimension": 3,
                            "quantile": 7, "head": 2},
                 "plateaus": {"head": 2, "head_b": 2, "feature": 2, "mode": 2 * 4 + 2}}
        for engine in "h5netcdf", "netcdf4":
            for name, variables in ("saddle", SADDLE), ("plateaus", PLATEAUS):
                with self.subTest(engine, group=name), xarray.open_dataset(path, group=name, engine=engine) as group:
                    self.assertEqual({key: group[key].dims for key in variables}, variables)
                    for axis, size in sizes[name].items():
                        self.assertEqual(group.sizes[axis], size)
                    for key in variables:
                        self.assertTrue(group[key].attrs["long_name"], key)
                        self.assertTrue(np.isfinite(group[key]).any() or key == "next_feature", key)

    def test_alone(self):
        """Without [flow] there is the saddle and no flow, and nothing to set it against."""
        (self.folder / "alone.toml").write_text(toml_text(changed(FLIPPING, {"flow": None})))
        said = self.succeed("run", "alone.toml")
        self.assertRegex(said, r"(?m)^2 +0\.\d+ \+- \S+ +- +[\d.]+ \+- \S+ +-$")
        with h5py.File(self.folder / "alone.h5", "r") as file:
            self.assertEqual(set(file), {"saddle", "provenance"})


class Stops(RestartTest):
    def test_within(self):
        """A stop in [saddle] keeps the flow; the rest comes with the same bits on another number of ranks."""
        changes = {"population.samples": 2**13, "population.symmetric": False, "flow.end_time": 0.05,
                   "saddle.end_time": 20.0, "output.checkpoint_every": 0.0}

        def steps_of_saddle(path):
            newest = max(checkpoints(path).items(), default=(0, None))[1]
            with h5py.File(newest or path) as file:
                return file["saddle_state/nodes"].size if "saddle_state" in file else 0

        whole, parts = (self.place(name, FLIPPING, changes) for name in ("whole", "parts"))
        self.finish(whole, ranks=2)
        for _ in range(2):
            before = steps_of_saddle(parts) if parts.exists() else 0
            self.stop(parts, pause=3, until=lambda path: steps_of_saddle(path) > before)
            numbers = numbers_in(parts)
            self.assertEqual(numbers["flow/time"][-1], 0.05)
            self.assertNotIn("saddle/split_rate", numbers)
            self.assertTrue(read_group(max(checkpoints(parts).items())[1], "saddle_state"))
        self.finish(parts, ranks=2)
        self.assert_same_numbers(parts, whole)

    def test_extended(self):
        """A later end has the saddle and the plateaus of a run that had it from the start."""
        whole, parts = self.place("whole", FLIPPING), self.place("parts", FLIPPING, {"flow.end_time": 20.0,
                                                                                     "flow.outputs": 40})
        self.finish(parts)
        self.finish(whole)
        self.rewrite(parts, FLIPPING)
        self.finish(parts, ranks=2)
        for group in "saddle", "plateaus":
            whole_group, parts_group = read_group(whole, group), read_group(parts, group)
            for name in "split_rate", "rate", "eigenvalue", "pattern":
                if name in whole_group:
                    np.testing.assert_array_equal(parts_group[name], whole_group[name])


class Elsewhere(SaddleTest):
    def test_sweep(self):
        """Each member's saddle; other numbers of heads, features and plateaus leave NaN."""
        text = toml_text(changed(FLIPPING, {"flow": None, "population.symmetric": False}))
        (self.folder / "sweep.toml").write_text(
            text + '[sweep]\n"attention.activation" = ["softmax", "bayes-softmax"]\n"attention.heads" = [2, 3]\n')
        self.succeed("run", "sweep.toml", ranks=2)
        saddle = read_group(self.folder / "sweep.h5", "saddle")
        self.assertEqual(saddle["split_rate"].shape, (2, 2, 3))
        self.assertTrue((saddle["split_rate"][:, :, 0] > 0).all())
        self.assertTrue(np.isnan(saddle["split_rate"][0, :, 2]).all(), "softmax has no bias")

    def test_bad_input(self):
        for changes, message in (
                ({"attention.heads": 1}, "[saddle] is about heads that split: it needs attention.heads >= 2, found 1"),
                ({"attention.heads": 80}, "at most 5000 numbers; heads = 80 and features = 2 make 6640"),
                ({"saddle.learning_rate_noise": "from-sgd"}, "needs a section [sgd]"),
                ({"saddle.learning_rate_noise": -0.5}, "saddle.learning_rate_noise"),
                ({"saddle.starts": "mine"}, "saddle.starts"),
                ({"saddle.learning_rate_noise": 0.5, "attention.heads": 30},
                 "at most 300 numbers; heads = 30 and features = 2 make 555"),
                ({"population.resample": 3, "flow.method": "euler"}, "needs population.resample = 0, found 3"),
                ({"saddle.dimensions": [0.0]}, "saddle.dimensions"), ({"saddle.end_time": -1.0}, "saddle.end_time"),
                ({"saddle.dimension": 3.0}, "did you mean saddle.dimensions?")):
            (self.folder / "bad.toml").write_text(toml_text(changed(FLIPPING, changes)))
            done = self.headflow("run", "bad.toml")
            with self.subTest(message):
                self.assertEqual(done.returncode, BAD_INPUT)
                self.assertIn(message, done.stderr)
                self.assertFalse((self.folder / "bad.h5").exists())

    def test_options(self):
        (self.folder / "case.toml").write_text(toml_text(FLIPPING))
        self.assertRegex(self.succeed("run", "case.toml", "-saddle_ts_rk_type", "3bs"), re.compile("^saddle: ", re.M))
        done = self.headflow("run", "case.toml", "--force", "-saddle_ts_rk_typo", "3bs")
        self.assertEqual(done.returncode, BAD_INPUT)


if __name__ == "__main__":
    main()
