"""Pictures beside the paper's formulas, where the formula or the answer is known."""
import contextlib
import unittest

import h5py
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

import plot_artists  # noqa: E402
from harness import SMALL, SystemTest, changed, main, read_group  # noqa: E402
from python_harness import headflow  # noqa: E402
from headflow.plot.laws import atoms_of, moments_of  # noqa: E402
from headflow.plot.look import colours_of  # noqa: E402

AT_ZERO = changed(SMALL, {
    "model": {"tokens": 5, "prior": "anisotropic-gaussian", "features": 2, "signal": [3.0, 1.0]},
    "attention": {"heads": 3, "activation": "softmax-1"}, "start": {"m": [[0.0, 0.0]] * 3, "b": [0.4] * 3, "v": 2.0},
    "population": {"samples": 64, "replicates": 2, "symmetric": True},
    "flow": {"end_time": 20.0, "outputs": 20, "tolerance": 1e-9}})
ATOMS = {"model": {"tokens": 4, "prior": "discrete", "atoms": [[2.0, 0.0], [0.0, 1.5], [-1.0, -1.0]],
                   "weights": [0.5, 0.3, 0.2]},
         "attention": {"heads": 3, "activation": "bayes-softmax"}, "start": {"bayes": True},
         "population": {"samples": 256, "replicates": 2},
         "train": {"from": "start", "starts": 1, "gradient_tolerance": 10.0}}


# Machado, Oliveira, Fernandes 2009: linear RGB as those see it who lack a kind of cones.
BLIND = {"no": np.eye(3),
         "red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
         "green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
         "blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]]}
XYZ = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]


def lab(linear):
    """CIE L*, a*, b* of linear RGB: equal distances look equal."""
    ratio = linear @ np.transpose(XYZ) / [0.95047, 1, 1.08883]
    f = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


class Colours(unittest.TestCase):
    def test_in_grey_and_to_the_colour_blind(self):
        """Of up to eight heads: lighter and darker by steps that are seen, and no two alike whatever cones are lacking.
        A difference of 2 or 3 can just be seen side by side."""
        for count in range(1, 9):
            colours = np.array([matplotlib.colors.to_rgb(colour) for colour in colours_of(count)])
            linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
            lightness = lab(linear)[:, 0]
            with self.subTest(count):
                self.assertLess(lightness.max(), 85, "pale on white paper")
                self.assertTrue((np.diff(np.sort(lightness)) > (12 if count <= 4 else 8)).all(), lightness)
                self.assertGreater(min(abs(np.diff(lightness[:4])), default=20), 12, "the first ones")
            for kind, seen in BLIND.items():
                found = lab(np.clip(linear @ np.transpose(seen), 0, 1))
                distances = np.linalg.norm(found[:, None] - found, axis=-1)[np.triu_indices(count, 1)]
                with self.subTest(count, lacking=kind):
                    self.assertGreater(min(distances, default=100), 25 if count <= 4 else 8)


class Laws(SystemTest):
    def test_moments(self):
        """Mean and E[theta theta'] of each law, by hand."""
        for model, mean, gamma in (
                ({"prior": "flipping-spike", "features": 2, "signal": [4.0, 9.0]}, [2, 0], [[4, 0], [0, 9]]),
                ({"prior": "canonical-spikes", "features": 2, "signal": 4.0}, [1, 1], [[2, 0], [0, 2]]),
                ({"prior": "anisotropic-gaussian", "features": 3, "signal": [5.0, 1.0]}, [0, 0, 0], np.diag([5, 3, 1])),
                ({"prior": "gaussian", "features": 2, "mean": [1.0, 2.0], "covariance": [[1.0, 0.5], [0.5, 2.0]]},
                 [1, 2], [[2, 2.5], [2.5, 6]]),
                ({"prior": "discrete", "features": 2, "atoms": [[1.0, 0.0], [0.0, 2.0]], "weights": [0.25, 0.75]},
                 [0.25, 1.5], [[0.25, 0], [0, 3]]),
                ({"prior": "mixture", "features": 2, "means": [[1.0, 0.0], [0.0, 2.0]], "weights": [0.25, 0.75],
                  "covariances": [[[4.0, 0.4], [0.4, 8.0]], [[0.0, 0.0], [0.0, 0.0]]]},
                 [0.25, 1.5], [[1.25, 0.1], [0.1, 5]]),
                ({"prior": "product", "features": 2, "laws": "signs", "signal": 3.0, "mean": [1.0, 2.0]},
                 [1, 2], [[4, 2], [2, 7]])):
            found = moments_of(model)
            np.testing.assert_allclose(found[0], mean, atol=1e-14, err_msg=model["prior"])
            np.testing.assert_allclose(found[1], gamma, atol=1e-14, err_msg=model["prior"])
        with self.assertRaisesRegex(ValueError, "no atoms"):
            atoms_of({"prior": "gaussian", "features": 1})


class Formulas(SystemTest):
    def setUp(self):
        super().setUp()
        self.enterContext(contextlib.chdir(self.folder))
        self.ax = plt.figure().add_subplot()
        self.addCleanup(plt.close, "all")

    def line(self, label):
        return next(line for line in self.ax.lines if line.get_label() == label).get_xydata()

    def test_biases_and_scale_at_zero_fields(self):
        """The flow from m = 0, r = 0 is that of Lemma A.4, and goes to L A = 1."""
        self.write_input(base=AT_ZERO)
        self.succeed("run", "case.toml")
        flow = read_group(self.folder / "case.h5")
        self.assertLess(np.abs(flow["m"]).max(), 1e-12)
        headflow.plot.attention("case.h5", self.ax)
        found, lemma = self.line("$L A$"), self.line("Lemma A.4")
        np.testing.assert_allclose(found, lemma, atol=5e-5)  # outputs between steps are interpolated
        self.assertGreater(found[0, 1], 1.5)
        self.assertAlmostEqual(found[-1, 1], 1, delta=0.05)
        with self.assertRaisesRegex(ValueError, "is of softmax-1"):
            self.run_flow("softmax")
            headflow.plot.attention("softmax.h5", self.ax)

    def test_biases_of_the_bayes_estimator(self):
        """It lies on the line of the formula, each head on its atom."""
        self.write_input(base=ATOMS)
        self.succeed("run", "case.toml")
        headflow.plot.learnt_biases("case.h5", self.ax)
        for weight, theta in zip(ATOMS["model"]["weights"], ATOMS["model"]["atoms"]):
            expected = np.log(weight) - np.sum(np.square(theta)) / 2
            np.testing.assert_allclose(self.line(f"$P={weight}$"), [[expected, expected]], atol=1e-9)
        figure = headflow.plot.figure("case.h5", ["estimator"])
        heads = np.concatenate([line.get_xydata() for line in figure.axes[0].lines])
        np.testing.assert_allclose(heads, ATOMS["model"]["atoms"], atol=1e-9)

    def test_eigenvectors(self):
        """Heads along one eigenvector overlap with it alone; labels tell eigenvalues from the largest on."""
        text = plot_artists.input_text(2, 2).replace('prior = "canonical-spikes"\nsignal = [2.0, 3.0]',
                                                     'prior = "gaussian"\ncovariance = [[2.0, 1.0], [1.0, 2.0]]')
        with h5py.File("case.h5", "w") as file:
            file["provenance/input"] = text
            plot_artists.put_series(file, "flow", np.linspace(0, 4, 5), 2, 2)
            file["flow/m"][...] = np.linspace(0, 4, 5)[:, None, None] * np.array([[3.0, 3.0], [-1.0, -1.0]])
        headflow.plot.pca("case.h5", self.ax)
        t = np.linspace(0, 4, 5)
        np.testing.assert_allclose(self.line(r"$\gamma_{1}=3$"), np.transpose([t, t * np.sqrt(10)]), atol=1e-12)
        np.testing.assert_allclose(self.line(r"$\gamma_{2}=1$")[:, 1], 0, atol=1e-12)

    def test_sequences_of_the_phases(self):
        """n / D = t / kappa, of the crossing of half the mean and of the split."""
        for D in 1e4, 1e6:
            with h5py.File(f"flow-{D:g}.h5", "w") as file:
                file["provenance/input"] = plot_artists.input_text(
                    2, 2, prior="flipping-spike", start=f"dimension = {D}", more="learning_rate_noise = 4.0\n")
                plot_artists.put_series(file, "flow", np.linspace(0, 10, 11), 2, 2)
                file["flow/m"][...] = np.linspace(0, 10, 11)[:, None, None] * np.array([[0.3, 0.0], [0.1, 0.0]])
                file["flow/split_time"][...] = [np.nan, np.log(D)]
        headflow.plot.samples(["flow-10000.h5", "flow-1e+06.h5"], self.ax)
        aligned = np.sqrt(2) / 2 / 0.2 / 4  # mean over heads 0.2 t, half of the mean sqrt(2)
        np.testing.assert_allclose(self.line("aligned with the mean, flow"), [[1e4, aligned], [1e6, aligned]])
        np.testing.assert_allclose(self.line("split, flow"), [[1e4, np.log(1e4) / 4], [1e6, np.log(1e6) / 4]])

    def test_variables_of_a_sweep(self):
        """Against the swept key: the numbers of the file, in the picture of headflow-plot, too."""
        self.write_input({"sweep": {"start.eta": [2.0, 0.5, 1.0], "repeats": 2}, "flow.end_time": 1.0})
        self.succeed("run", "case.toml")
        with h5py.File("case.h5") as file:
            loss = file["flow/loss"][...]
        headflow.plot.values("case.h5", "loss", self.ax)
        line = next(line for line in self.ax.lines if line.get_linestyle() == "-").get_xydata()
        np.testing.assert_allclose(line, np.transpose([[0.5, 1, 2], np.median(loss, axis=1)[[1, 2, 0]]]))
        figure = headflow.plot.figure("case.h5", ["loss", "r"], by=["start.eta"])
        np.testing.assert_allclose(next(line for line in figure.axes[0].lines if line.get_linestyle() == "-")
                                   .get_xydata(), line)
        self.assertEqual([ax.get_ylabel() for ax in figure.axes], [r"loss $\mathcal{E}$", "$r_{hh′}$"])
        with self.assertRaisesRegex(ValueError, "no variable 'lss' in flow, sweep"):
            headflow.plot.values("case.h5", "lss", self.ax)
        with self.assertRaisesRegex(ValueError, "start.et"):
            headflow.plot.values("case.h5", "loss", self.ax, by="start.et")


if __name__ == "__main__":
    main()
