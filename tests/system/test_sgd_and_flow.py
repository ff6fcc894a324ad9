"""SGD beside the flow or alone: starts, times, the comparison, learning-rate noise, and the run's files."""
import re

import numpy as np

from harness import PLOT, changed, content, execute, main, read_group, side_by_side, toml_text
from sgd_harness import ALONE, BASE, EXPLICIT, SgdTest, output


class BesideTheFlow(SgdTest):
    def test_starts(self):
        """SGD and the flow begin in the same state, whatever [start] says."""
        common = {"attention.activation": "softmax-1"}
        first = self.run_flow("first", common | {"start.noise": None, "start.dimension": 30})
        kinds = {"dimension": {}, "same dimension": {"start.dimension": 60},
                 "orthonormal": {"start.spikes": "orthonormal"}, "noise": {"start.noise": 0.3, "start.eta": 0.5},
                 "explicit": EXPLICIT | {"start.b": [0.5, -0.25], "start.v": 1.5},
                 "heads within the spikes": {"start.m": EXPLICIT["start.m"]}, "file": {"start.file": "first.h5"},
                 "fresh samples": {"start.noise": 0.3, "flow.method": "euler", "population.resample": 3}}
        outputs = dict(zip(kinds, self.compute(*(common | changes for changes in kinds.values()))))
        for kind, (_, _, flow, sgd) in outputs.items():
            with self.subTest(kind):
                self.assert_near(sgd["spike_gram"], flow["spike_gram"], 1e-12)
                self.assertEqual((flow["spike_gram"] == np.eye(2)).all(), "dimension" not in kind and kind != "file")
                for name in "m", "r", "q", "b", "v", "cosine":
                    for replica in sgd[name][0]:
                        self.assert_near(replica, flow[name][0], 1e-12, name)
                # The flow goes on with the u of the file, SGD with the symmetric one: other fields of equal law.
                error = 4 * flow["loss_stderr"][0] if kind == "file" else 1e-12
                self.assert_near(sgd["loss"][0], flow["loss"][0], error)
        self.assert_same_bits(outputs["dimension"].numbers(), outputs["same dimension"].numbers())
        for name, value in {"m": EXPLICIT["start.m"], "r": EXPLICIT["start.r"], "b": [0.5, -0.25], "v": 1.5}.items():
            self.assert_near(outputs["explicit"].sgd[name][0, 0], value, 1e-12, name)
        for name in "m", "q", "b", "v":
            self.assert_near(outputs["file"].sgd[name][0, 0], first[name][-1], 1e-11, name)

    def test_schedules(self):
        """Outputs of SGD are at the whole steps next to their times; the flow has outputs there too."""
        own = {"flow.end_time": None}
        cases = [({"sgd.outputs": 4}, [0, 25, 50, 75, 100], 4),
                 ({"sgd.outputs": 1000}, range(101), 4),
                 ({"sgd.outputs": 5, "sgd.spacing": "log"}, [0, 1, 10, 100], 4),  # from 4e-4: a hundredth of a step
                 ({"sgd.output_times": [0.07, 1.0, 2.0]}, [2, 25, 50, 100], 4),
                 ({"sgd.outputs": 1, "sgd.weights_times": [1.0]}, [0, 25, 100], 4),
                 ({"sgd.outputs": 3, "sgd.end_time": 6.0}, [0, 50, 100, 150], 4),
                 (own | {"sgd.outputs": 2, "sgd.steps": 10}, [0, 5, 10], 0.4),
                 (own | {"sgd.outputs": 2, "sgd.end_time": 2.0}, [0, 25, 50], 2),
                 # The last step comes a rounding error, or half a step, after end_time.
                 ({"sgd.learning_rate": 0.1, "flow.end_time": 0.3, "sgd.outputs": 3}, range(4), 0.3),
                 (own | {"sgd.learning_rate": 0.37, "sgd.end_time": 4.0, "sgd.outputs": 11}, range(12), 4.07)]
        for (changes, steps, end), (_, _, flow, sgd) in zip(cases, self.compute(*(case[0] for case in cases))):
            with self.subTest(changes):
                self.assertEqual(sgd["steps"].tolist(), list(steps))
                np.testing.assert_array_equal(sgd["time"], changes.get("sgd.learning_rate", 0.04) * sgd["steps"])
                self.assertTrue((np.diff(flow["time"]) > 0).all())
                self.assertAlmostEqual(flow["time"][-1], end, delta=1e-12)
                for t in np.linspace(0, end, 9):
                    self.assertLess(np.abs(flow["time"] - t).min(), 1e-12, "an output of [flow]")
                common = sgd["time"] < end + 1e-12
                self.assertEqual(set(sgd["time"][common]) - set(flow["time"]), set())

    def test_end_time_as_given(self):
        """Also where the last step comes a rounding error later, 3 * 0.1 > 0.3."""
        path = self.folder / "case.toml"
        late = {"sgd.learning_rate": 0.1, "sgd.dimension": 150}
        for given in {"flow.end_time": 0.3}, {"flow.end_time": None, "sgd.end_time": 0.3}:
            path.write_text(toml_text(changed(BASE, late | given | {"fluctuations": {}, "saddle": {}})))
            text = self.succeed("check", "case.toml")
            self.assertEqual(re.findall(r"(?m)^end_time = (.*)$", text), ["0.3"] * 4)

    def test_split_time(self):
        """Of each replica, linear between the outputs around it; NaN for those that have not split."""
        changes = {"sgd.learning_rate": 0.01, "sgd.end_time": 60.0, "flow.end_time": None, "sgd.outputs": 150,
                   "sgd.dimension": 200, "sgd.replicas": 20, "model.signal": [4.0, 4.0],
                   "attention.activation": "bayes-softmax"}
        [(_, text, _, sgd)] = self.compute(changes)
        spread = sgd["m"].std(axis=2)  # time, replica, feature
        self.assertTrue(np.isfinite(sgd["split_time"][:, 1]).sum() > 3, "no split: the input is too short")
        for feature, times in enumerate(sgd["split_time"].T):
            seen = times[np.isfinite(times)]
            line, = re.findall(rf"sgd: .*\n.*\nloss .*\n(?:.*\n)?heads split along feature {feature + 1}: (.*)\n", text)
            later = "; the others not yet" if 0 < seen.size < 20 else ""
            self.assertTrue(line.endswith(f" ({seen.size} of 20 replicas{later})"), line)
            if seen.size > 1:
                mean, error = map(float, re.match(r"t = (\S+) \+- (\S+) ", line).groups())
                self.assertAlmostEqual(mean / seen.mean(), 1, delta=1e-3)
                self.assertAlmostEqual(error * seen.size**0.5 / seen.std(ddof=1), 1, delta=0.06)  # two digits
        for replica, feature in np.ndindex(*sgd["split_time"].shape):
            found, curve = sgd["split_time"][replica, feature], spread[:, replica, feature]
            above = np.flatnonzero(curve >= 0.3)
            if above.size == 0:
                self.assertTrue(np.isnan(found))
            elif above[0] == 0:
                self.assertEqual(found, 0)
            else:
                around = slice(above[0] - 1, above[0] + 1)
                self.assertAlmostEqual(found, np.interp(0.3, curve[around], sgd["time"][around]), delta=1e-9)

    def test_groups(self):
        """[flow] runs without [sgd], with it if the input has both, or if it has neither."""
        start = {"start.dimension": 60}
        sgd, both, flow, neither = self.compute(ALONE, start, start | {"sgd": None}, {"flow": None, "sgd": None})
        self.assertEqual([sorted(name for name in ("flow", "sgd") if getattr(one, name))
                          for one in (sgd, both, flow, neither)], [["sgd"], ["flow", "sgd"], ["flow"], ["flow"]])
        self.assertEqual(neither.flow["time"][-1], 200)
        for one in sgd, flow:
            self.assertNotIn("deviation", one.text)
        self.assertNotIn("flow: ", sgd.text)
        self.assertNotIn("sgd: ", flow.text)
        _, here, there = np.intersect1d(both.flow["time"], flow.flow["time"], return_indices=True)
        self.assertEqual(len(there), len(flow.flow["time"]))
        for name in "m", "q", "loss", "step_size":
            self.assert_same_bits({name: both.flow[name][here]}, {name: flow.flow[name][there]})
        self.assert_same_bits({"split": both.flow["split_time"]}, {"split": flow.flow["split_time"]})

    def test_summary(self):
        """The largest deviations on standard output are those of the file; what is far off is told what may help."""
        far, farthest = {"sgd.dimension": 60000, "sgd.batch": 5000}, []
        for path, text, flow, sgd in self.compute({}, {"sgd.replicas": 1}, far, far | {"population.symmetric": True}):
            ratios = [float(ratio) for ratio in re.findall(r" (\S+) times the rms spread", text)]
            for advice in "population.symmetric", "flow.learning_rate_noise":
                given = f"{advice[11:]} = true" in read_group(path, "provenance")["input"]
                self.assertEqual(f"it may come nearer with {advice}" in text, max(ratios, default=0) > 10 and not given)
            farthest.append(max(ratios, default=0))
            times, here, there = np.intersect1d(sgd["time"][1:], flow["time"], return_indices=True)
            self.assertIn(f"largest deviation of SGD from the flow at {len(times)} common times\n", text)
            replicas = int(re.search(r", (\d+) replica", text)[1])
            error = f" +- {sgd['loss_std'][-1] / np.sqrt(replicas):.1g} over replicas, all on the same samples"
            error = error if replicas > 1 else ""
            self.assertIn(f"with outputs\nloss {sgd['loss_mean'][-1]:.6f}{error}\n", text)
            for name in "loss", "m", "q":
                deviation = np.abs(sgd[f"{name}_mean"][1:][here] - flow[name][there])
                largest = deviation.reshape(len(times), -1).max(axis=1)
                line = f"  {name:<5} {largest.max():.4f} at t = {times[largest.argmax()]:.4g}"
                if sgd["replica"].size > 1:
                    spread = np.sqrt(np.mean(sgd[f"{name}_std"][1:][here] ** 2))
                    line += f", {largest.max() / spread:.1f} times the rms spread {spread:.2g} of 3 replicas"
                self.assertIn(f"{line}\n", text)

        self.assertTrue(max(farthest[:2]) < 10 < min(farthest[2:]), f"the cases say nothing: {farthest}")

    def test_learning_rate_noise(self):
        """"from-sgd" is the number learning rate * D / batch."""
        named, number, default = self.compute({"flow.learning_rate_noise": "from-sgd"},
                                              {"flow.learning_rate_noise": 0.04 * 60 / 5}, {})
        self.assert_same_bits(named.flow, number.flow)
        self.assertTrue((named.flow["q"][0] == default.flow["q"][0]).all())
        self.assertTrue((named.flow["q"][1:] != default.flow["q"][1:]).all())
        self.assertIn('learning_rate_noise = "from-sgd"', read_group(named.path, "provenance")["input"])

    def test_noise_makes_r_grow(self):
        changes = {"sgd": None, "start.m": EXPLICIT["start.m"]}
        noisy, quiet = self.compute(changes | {"flow.learning_rate_noise": 0.5}, changes)
        sizes = [np.trace(one.flow["r"], axis1=1, axis2=2) for one in (noisy, quiet)]
        self.assertEqual([size[0] for size in sizes], [0, 0])
        self.assertTrue((np.diff(sizes[0]) > 0).all())
        self.assertGreater(sizes[0][-1], 10 * sizes[1][-1])
        self.assertGreater(np.linalg.eigvalsh(noisy.flow["r"]).min(), -1e-12)

    def test_noise_brings_the_flow_to_sgd(self):
        """The mean of SGD follows the flow with its noise: q within 0.03; that without is off by more than 0.1."""
        changes = {"sgd.dimension": 300, "sgd.batch": 6, "sgd.learning_rate": 0.02, "sgd.replicas": 8,
                   "population.samples": 4096}
        limit, noisy = self.compute(changes, changes | {"flow.learning_rate_noise": "from-sgd"})
        self.assert_same_bits({"q": limit.sgd["q"]}, {"q": noisy.sgd["q"]})
        for one, least, most in (limit, 0.1, 0.5), (noisy, 0, 0.03):
            common = np.isin(one.flow["time"], one.sgd["time"])
            deviation = np.abs(one.sgd["q_mean"] - one.flow["q"][common]).max()
            self.assertTrue(least < deviation < most, deviation)


class Files(SgdTest):
    def test_divergence(self):
        """Exit code 3, the replica and its last good step, and a file with the outputs until then."""
        base = {"flow": None, "sgd.steps": 50, "sgd.outputs": 50, "sgd.replicas": 2}
        cases = {"once": base | {"sgd.learning_rate": 1e4},
                 "later": base | {"attention.activation": "softmax-1", "sgd.learning_rate": 10.0}}
        for name, changes in cases.items():
            outputs = []
            for ranks in 0, 2:
                with self.subTest(name, ranks=ranks):
                    self.write_input(changes, f"{name}{ranks}", BASE)
                    done = self.headflow("run", f"{name}{ranks}.toml", ranks=ranks)
                    self.assertEqual((done.returncode, done.stdout), (3, ""), done.stderr)
                    found = re.findall(r"SGD diverged: replica ([12]), step (\d+): .+; the last good step is (\d+) "
                                       r"\(t = (.+?)\); lower sgd.learning_rate = (\d+) ", done.stderr)
                    self.assertEqual(len(found), 1, done.stderr)
                    (_, step, good, t, rate), = found
                    self.assertEqual(int(step), int(good) + 1)
                    self.assertEqual((float(rate), float(t)), (changes["sgd.learning_rate"], float(rate) * int(good)))
                    self.assertEqual(int(good) > 0, name == "later")
                    outputs.append(output(self.folder / f"{name}{ranks}.h5"))
                    self.assertEqual(outputs[-1].sgd["steps"].tolist(), list(range(int(step))))
                    self.assertTrue(np.isfinite(outputs[-1].sgd["q"]).all())
            self.assert_same_bits(*(one.numbers() for one in outputs))

    def test_weights_are_not_overwritten(self):
        """Without --force, and before anything is written."""
        first, = self.compute({"sgd.save_weights": True})
        first.path.unlink()
        (self.folder / "case0.checkpoint-1.h5").unlink()  # from which it would go on
        before = content(self.folder)
        done = self.headflow("run", "case0.toml")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("case0.weights-100.h5 exists", done.stderr)
        self.assertEqual(content(self.folder), before)
        (self.folder / "case0.weights-100.h5").write_bytes(b"an older result")
        self.succeed("run", "case0.toml", "--force")
        self.assert_same_bits(first.numbers(), output(first.path).numbers())

    def test_plot(self):
        """Both groups, SGD alone, one replica, one feature, panels by name."""
        one_feature = {"model.prior": "canonical-spikes", "model.signal": 2.0, "model.features": 1}
        both, alone, feature = self.compute({}, ALONE | {"sgd.replicas": 1}, one_feature)
        calls = [[both.path], [alone.path], [feature.path],
                 [both.path, "--panels", "m,plane,cosine", "--features", "2", "1", "--log-time"]]
        pictures = [self.folder / f"{i}.png" for i in range(len(calls))]
        outcomes = side_by_side(lambda i: execute(self.folder, [PLOT, *calls[i], "-o", pictures[i]]), range(len(calls)))
        for done, picture in zip(outcomes, pictures):
            self.assertEqual((done.returncode, done.stderr), (0, ""), done.args)
            self.assertGreater(len(picture.read_bytes()), 2000)
        self.assertEqual(len({picture.read_bytes() for picture in pictures}), len(calls))


if __name__ == "__main__":
    main()
