"""headflow-plot on real files: a picture for every panel and suffix; bad calls say why in one line and draw nothing."""
import re

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
SPLITS["sgd"] = changed(SPLITS["split4"], {"start.dimension": 100.0, "sgd.dimension": 100, "sgd.batch": 1, "flow.outputs": 9,
                                           "sgd.learning_rate": 0.02, "sgd.replicas": 8, "sgd.outputs": 60})
PANELS = ["loss", "m", "plane", "space", "r", "b", "cosine", "gradient"]


class Plot(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name, text in {"full": FULL, "single": SINGLE, "small": SMALL, **SPLITS}.items():
            (cls.shared / f"{name}.toml").write_text(toml_text(text))
            done = execute(cls.shared, command("run", f"{name}.toml"))
            assert done.returncode == 0, done.stderr

    def draw(self, *words):
        return execute(self.shared, [PLOT, *words])

    def assert_picture(self, done, path, least=2_000, most=150_000):
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        picture = path.read_bytes()
        self.assertTrue(picture.startswith(SIGNATURES[path.suffix]), picture[:8])
        self.assertTrue(least < len(picture) < most, f"{path.name}: {len(picture)} bytes")

    def test_overview(self):
        """Without options: next to the file, under its name."""
        done = self.draw("full.h5")
        self.assert_picture(done, self.shared / "full.png", least=20_000)
        self.assertEqual(done.stdout, "full.png\n")

    def test_pictures(self):
        """Every panel and suffix, one file and several, one head with one feature."""
        calls = {f"{panel}.png": ["full.h5", "--panels", panel] for panel in PANELS}
        calls |= {"overview.pdf": ["full.h5"], "overview.svg": ["full.h5"], "single.png": ["single.h5"],
                  "several.png": ["full.h5", "small.h5"],
                  "several-panels.png": ["full.h5", "small.h5", "--panels", "loss,r"],
                  "options.png": ["full.h5", "--panels", "plane,m", "--features", "1", "3", "--log-time", "--title",
                                  "T", "--dpi", "80"]}
        splits = ["split4.h5", "split6.h5", "split8.h5", "sgd.h5"]
        calls |= {"specialization.png": [*splits, "--panels", "specialization"],
                  "specialization-1.png": [*splits, "--panels", "specialization", "--features", "1", "2"],
                  "spread.pdf": ["sgd.h5", "--panels", "spread"]}
        outcomes = side_by_side(lambda name: self.draw(*calls[name], "-o", self.folder / name), calls)
        for name, done in zip(calls, outcomes):
            with self.subTest(name):
                self.assert_picture(done, self.folder / name)
        self.assertEqual(len({(self.folder / f"{panel}.png").read_bytes() for panel in PANELS}), len(PANELS))

    def test_errors(self):
        (self.shared / "text.h5").write_text("no HDF5")
        (self.shared / "old.png").write_bytes(b"an older picture")
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
            ("full.h5", "--panels", "specialization"): ["full.h5", "dimension"],
            ("full.h5", "--panels", "spread"): ["full.h5", "no replicas"],
            ("full.h5", "--panels", "m,spread"): ["'m,spread'", "of their own"],
            ("full.h5", "--bogus"): ["--bogus"],
            (): ["FILE.h5"],
        }
        before = content(self.shared)
        for words, done in zip(calls, side_by_side(lambda words: self.draw(*words), calls)):
            with self.subTest(words):
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertEqual((done.stdout, done.stderr.count("\n")), ("", 1), done.stderr)
                for word in calls[words]:
                    self.assertIn(word, done.stderr)
        self.assertEqual(before, content(self.shared))

    def test_growth_rate(self):
        """The line log(D) / (2 lambda) has the slope of the times: both are printed."""
        done = self.draw("split4.h5", "split6.h5", "split8.h5", "--panels", "specialization", "-o", self.folder / "x.png")
        slope, rate = map(float, re.search(r"1 / \(2 slope\) = ([\d.]+), growth rate ([\d.]+)", done.stdout).groups())
        self.assertGreater(rate, 0.01)
        self.assertLess(abs(slope / rate - 1), 0.15)

    def test_unfinished_run(self):
        """A file with its first record alone, as a run leaves it soon after its start."""
        words = ("--set", "flow.output_times=[0]", "--output", "first.h5")
        done = execute(self.shared, command("run", "small.toml", *words))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_picture(self.draw("first.h5"), self.shared / "first.png")


if __name__ == "__main__":
    main()
