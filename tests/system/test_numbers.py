"""Relations between the numbers of an output, and runs that begin where another one ended."""
import numpy as np

from harness import SystemTest, main, read_group


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


if __name__ == "__main__":
    main()
