"""[fluctuations]: bits on ranks, what the output holds, stops, sweeps, bad input, against replicas of SGD."""
import re

import h5py
import numpy as np
from matplotlib.figure import Figure

from harness import BAD_INPUT, SystemTest, changed, command, execute, main, read_group, side_by_side, toml_text
from python_harness import headflow
from restart_harness import RestartTest, checkpoints

from headflow.plot.curves import REPLICAS

CASE = {
    "model": {"tokens": 4, "prior": "flipping-spike", "signal": [2.0, 2.0]},
    "attention": {"heads": 2, "activation": "softmax-1"},
    "start": {"m": [[0.10, 0.05], [0.08, -0.02]], "r": [[1.0, 0.0], [0.0, 1.0]]},
    "population": {"samples": 4096, "replicates": 4},
    "fluctuations": {"dimension": 1000.0, "learning_rate_noise": 0.5, "end_time": 4.0, "outputs": 4},
}
SGD = {"sgd": {"dimension": 400, "batch": 1, "learning_rate": 1e-3, "replicas": 200, "output_times": [1.5, 4.0]},
       "fluctuations.dimension": None, "fluctuations.learning_rate_noise": None, "fluctuations.end_time": None,
       "population.samples": 1024}
RANDOM = {"start": {"noise": 0.02, "eta": 1.0}, "fluctuations.starts": "own"}
SPREADS = {"m_std": ("head", "feature"), "r_std": ("head", "head_b"), "q_std": ("head", "head_b"), "b_std": ("head",),
           "v_std": (), "loss_std": (), "cosine_std": ("head", "head_b")}


class Fluctuations(SystemTest):
    def run_case(self, name, changes=None, words=(), ranks=0):
        (self.folder / f"{name}.toml").write_text(toml_text(changed(CASE, changes or {})))
        done = execute(self.folder, command("run", f"{name}.toml", *words, ranks=ranks))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return self.folder / f"{name}.h5", done.stdout

    def test_any_number_of_ranks(self):
        cases = [("one", 1), ("two", 2), ("three", 3)]
        files = side_by_side(lambda case: self.run_case(case[0], {"fluctuations.covariance": True}, ranks=case[1])[0],
                             cases)
        for other in files[1:]:
            self.assert_same_bits(read_group(files[0], "fluctuations"), read_group(other, "fluctuations"))

    def test_output(self):
        path, said = self.run_case("output", {"fluctuations.covariance": True})
        self.assertRegex(said, r"fluctuations: D = 1000, kappa = 0.5, \d+ steps")
        group = read_group(path, "fluctuations")
        with h5py.File(path) as file:
            self.assertNotIn("flow", file)  # they stand alone
            for name, axes in SPREADS.items():
                for variable in name, f"{name}_stderr":
                    found = file["fluctuations"][variable]
                    self.assertEqual(tuple(dim[0].name.split("/")[-1] for dim in found.dims), ("time", *axes))
        self.assertEqual(group["time"].tolist(), [0, 1, 2, 3, 4])
        for name in SPREADS:
            self.assertTrue((group[name][0] == 0).all() and (group[name][1:] > 0).any(), name)
            self.assertTrue((group[f"{name}_stderr"][1:] < 0.1 * group[name][1:] + 1e-12).all(), name)
        variances = np.diagonal(group["covariance"], axis1=1, axis2=2)
        self.assertEqual(variances.shape, (5, 10))  # m, r, b and v
        np.testing.assert_allclose(np.sqrt(variances[:, :4]), group["m_std"].reshape(5, 4), rtol=1e-12, atol=0)
        np.testing.assert_allclose(np.sqrt(variances[:, 7:9]), group["b_std"], rtol=1e-12, atol=0)

    def test_beside_sgd(self):
        """They take D, kappa and times from [sgd], and leave the flow as it is; replicas scatter so much."""
        path, _ = self.run_case("sgd", SGD | {"flow.end_time": 4.0, "flow.outputs": 4})
        plain, _ = self.run_case("plain", SGD | {"flow.end_time": 4.0, "flow.outputs": 4, "fluctuations": None})
        self.assert_same_bits(read_group(path, "flow"), read_group(plain, "flow"))
        sgd, own = read_group(path, "sgd"), read_group(path, "fluctuations")
        places = [own["time"].tolist().index(t) for t in (1.5, 4.0)]
        for name in "m_std", "q_std", "b_std", "v_std":
            seen = sgd[name][[sgd["time"].tolist().index(t) for t in (1.5, 4.0)]]
            # 200 replicas: sigma is 5 %, so 6 sigma; false alarm 2e-9 for each number, 5e-8 for all.
            np.testing.assert_allclose(seen, own[name][places], rtol=0.3, err_msg=name)

        self.check_bands(path, own)

    def check_bands(self, path, own):
        """One and two standard deviations around the mean, and dots of each replica of SGD."""
        ax = Figure().add_subplot()
        headflow.plot.m(path, ax, feature=2)
        self.assertEqual(len(ax.collections), 2 * 2)
        for number, band in enumerate(ax.collections):
            head, times = divmod(number, 2)
            y = band.get_paths()[0].vertices
            end = y[y[:, 0] == 4.0, 1]
            width = (2, 1)[times] * own["m_std"][-1, head, 1]
            np.testing.assert_allclose([end.min(), end.max()], own["m"][-1, head, 1] + [-width, width], rtol=1e-9)
        dots = [line for line in ax.lines if line.get_marker() == "."]
        self.assertEqual(len(dots), 2 * REPLICAS)
        for panels, bands in (["m", "loss"], 1), (["gradient"], 0):
            keys = [text.get_text() for text in headflow.plot.figure(path, panels).legends[0].texts]
            self.assertEqual(keys.count("1, 2 std. dev."), bands, keys)

    def test_random_starts(self):
        """At t = 0 they have the law of [start]; without noise the spread is theirs alone, whatever D."""
        path, _ = self.run_case("random", RANDOM)
        group = read_group(path, "fluctuations")
        np.testing.assert_allclose(group["m_std"][0], 0.02, rtol=1e-12)
        np.testing.assert_allclose(np.diag(group["r_std"][0]), 0.04, rtol=1e-12)
        self.assertTrue((group["m"][0] == 0).all())
        one, other = (read_group(self.run_case(f"D{D:g}", RANDOM | {"fluctuations.learning_rate_noise": 0.0,
                                                                   "fluctuations.dimension": D})[0], "fluctuations")
                      for D in (1e2, 1e6))
        self.assert_same_bits(one, other)

    def test_sweep(self):
        path, _ = self.run_case("sweep", {"sweep": {"fluctuations.dimension": [1e2, 1e4]}})
        spread = read_group(path, "fluctuations")["m_std"]
        np.testing.assert_allclose(spread[0], 10 * spread[1], rtol=1e-9)

    def test_schedule(self):
        """Flow and fluctuations say what kappa was at each time."""
        path, _ = self.run_case("schedule", {"schedule": {"law": "steps", "times": [1.5, 2.5], "factors": [0.5, 0.1]},
                                             "population.samples": 512, "flow": {"end_time": 4.0, "outputs": 4,
                                                                                 "learning_rate_noise": 0.2}})
        factors = np.array([1, 1, 0.5, 0.1, 0.1])
        np.testing.assert_allclose(read_group(path, "fluctuations")["learning_rate_noise"], 0.5 * factors, rtol=1e-14)
        np.testing.assert_allclose(read_group(path, "flow")["learning_rate_noise"], 0.2 * factors, rtol=1e-14)

    def test_bad_input(self):
        cases = [({"fluctuations.dimension": None}, "fluctuations.dimension is missing"),
                 ({"fluctuations.learning_rate_noise": None},
                  'fluctuations.learning_rate_noise = "from-sgd" needs a section [sgd]'),
                 ({"fluctuations.starts": "own"}, 'fluctuations.starts = "own" needs a random start'),
                 ({"fluctuations.dimension": -1.0}, "fluctuations.dimension"),
                 ({"attention.heads": 30, "start": {"noise": 0.1}}, "at most 300 numbers"),
                 ({"population.resample": 1, "flow": {"method": "euler"}}, "population.resample = 0"),
                 ({"fluctuations.output_times": [5.0], "fluctuations.outputs": None}, "fluctuations.output_times")]
        for number, (changes, text) in enumerate(cases):
            with self.subTest(text):
                (self.folder / f"bad{number}.toml").write_text(toml_text(changed(CASE, changes)))
                done = execute(self.folder, command("run", f"bad{number}.toml"))
                self.assertEqual(done.returncode, BAD_INPUT)
                self.assertIn(text, done.stderr)
                self.assertEqual(done.stderr.count("\n"), 1)
                self.assertFalse((self.folder / f"bad{number}.h5").exists())

    def test_check_and_options(self):
        (self.folder / "case.toml").write_text(toml_text(CASE))
        done = execute(self.folder, command("check", "case.toml"))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        cost = re.search(r"# fluctuations +[0-9.e-]+ s a step, about (\d+) steps, about \S+\n", done.stdout)
        ran = execute(self.folder, command("run", "case.toml"))
        steps = int(re.search(r"fluctuations: .*, (\d+) steps, ", ran.stdout)[1])
        self.assertTrue(steps / 2 <= int(cost[1]) <= 2 * steps, f"{cost[0]} {steps}")
        done = execute(self.folder, command("run", "case.toml", "-fluctuations_ts_rk_typ", "3bs"))
        self.assertEqual(done.returncode, BAD_INPUT)
        self.assertIn("-fluctuations_ts_rk_typ", done.stderr)


class Stops(RestartTest):
    CHANGES = {"fluctuations.tolerance": 1e-10}

    def test_stopped(self):
        """On another number of ranks it goes on with the same bits."""
        self.check_stopped({})

    def test_stopped_on_a_closed_set(self):
        self.check_stopped({"population.symmetric": True, "population.samples": 1024})

    def check_stopped(self, changes):
        whole, parts = (self.place(name, CASE, self.CHANGES | changes) for name in ("whole", "parts"))
        self.finish(whole)
        self.stop(parts, ranks=2, pause=20)
        self.assertTrue(read_group(max(checkpoints(parts).items())[1], "fluctuations_state"))
        self.finish(parts, ranks=3)
        self.assert_same_numbers(parts, whole)

    def test_extended(self):
        whole, parts = self.place("whole", CASE), self.place("parts", CASE, {"fluctuations.end_time": 2.0,
                                                                             "fluctuations.outputs": 2})
        self.finish(parts)
        self.finish(whole)
        self.rewrite(parts, CASE)
        self.finish(parts)
        self.assert_same_numbers(parts, whole)


if __name__ == "__main__":
    main()
