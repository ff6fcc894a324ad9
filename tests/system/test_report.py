"""headflow-plot -o report.html: one page that needs nothing besides itself, with what the file has."""
import contextlib
import json
import re
import shutil
import warnings
from html.parser import HTMLParser

import h5py
import numpy as np

import plot_artists
from harness import BAD_INPUT, PLOT, SystemTest, execute, main
from python_harness import headflow, quiet_run
from headflow.files import series_of
from headflow.plot.moving import attention, vectors
from headflow.plot.pages import mean_of, number

VOID = {"meta", "link", "input", "br"}


class Reader(HTMLParser):
    """Ids, names of elements, and whether all of them are closed in their order."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.names, self.stack, self.faults, self.words = [], [], [], [], []
        self.feed(text)
        self.faults += self.stack

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.names.append((tag, attributes))
        self.ids += [attributes["id"]] if "id" in attributes else []
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag) if tag not in VOID else None

    def handle_endtag(self, tag):
        if not self.stack or self.stack.pop() != tag:
            self.faults.append(tag)

    def handle_data(self, data):
        self.words.append(data)


class Pages(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.enterClassContext(contextlib.chdir(cls.shared))
        cls.enterClassContext(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        plot_artists.write_files(cls.shared)

    def page(self, source, **options):
        headflow.plot.report(source, self.folder / "page.html", **options)
        return (self.folder / "page.html").read_text(encoding="utf-8")

    def test_pages(self):
        """Of every kind of file: well formed, self-contained, with a text for every picture."""
        for name in "run", "single", "plateaus", "trained0", "heads", "pairs":
            with self.subTest(name):
                text = self.page(f"{name}.h5")
                page = Reader(text)
                self.assertEqual(page.faults, [])
                self.assertEqual(len(page.ids), len(set(page.ids)))
                self.assertEqual(re.findall(r"https?:|@import|src=", text), [])
                for tag, attributes in page.names:
                    if tag == "svg":
                        self.assertTrue(attributes["aria-label"])
                        self.assertEqual(attributes["role"], "img")
                for reference in re.findall(r'(?:url\(#|href="#)([^)"]+)', text):
                    self.assertIn(reference, page.ids)
                self.assertIn("lang", dict(page.names)["html"])
                self.assertEqual([tag for tag, _ in page.names].count("h1"), 1)
                sliders = [attributes for tag, attributes in page.names if tag == "input"]
                self.assertEqual(len(sliders), name in ("run", "plateaus"))

    def test_what_it_tells(self):
        path = self.folder / "odd.h5"
        shutil.copy("run.h5", path)
        with h5py.File(path, "r+") as file:
            file["provenance/warnings"] = "samples <few> & \"so on\""
            file["provenance/stopped"] = "2026"
            file["provenance/command_line"] = "headflow run </pre><script>alert(1)</script>"
        text = self.page(path)
        words = "".join(Reader(text).words)
        for told in ('samples <few> & "so on"', "the run was stopped: 2026", 'prior = "canonical-spikes"', "feature 3",
                     "</pre><script>", "heads align at t, flow", "split at t (SGD)"):
            self.assertIn(told, words)
        self.assertNotIn("<script>alert", text)
        run = series_of(path)
        splits = run.series[1].of_features("split_time")[:, 0]
        self.assertIn(number(splits.mean(), splits.std(ddof=1) / np.sqrt(2)), words)
        missing = self.folder / "missing.h5"
        shutil.copy("heads.h5", missing)
        with h5py.File(missing, "r+") as file:
            file["sweep/done"][0, 0, 0] = -1
        self.assertIn("1 of 24 members", "".join(Reader(self.page(missing)).words))

    def test_bayes_risk(self):
        """A row of the page, and a dashed line among the losses."""
        shutil.copy("run.h5", self.folder / "bayes.h5")
        with h5py.File(self.folder / "bayes.h5", "r+") as file:
            file["bayes/risk"], file["bayes/risk_stderr"] = 0.25, 0.0012
        shutil.copy(self.folder / "bayes.h5", self.folder / "one.h5")  # of one replicate
        with h5py.File(self.folder / "one.h5", "r+") as file:
            del file["bayes/risk_stderr"]
        self.assertIn(f"Bayes risk{number(0.25)}", "".join(Reader(self.page(self.folder / "one.h5")).words))
        for name, there in ((self.folder / "bayes.h5", True), ("run.h5", False)):
            words = "".join(Reader(self.page(name)).words)
            self.assertEqual(f"Bayes risk{number(0.25, 0.0012)}" in words, there)
            ax = headflow.plot.figure(name, ["loss"]).axes[0]
            lines = [line for line in ax.lines if list(line.get_ydata()) == [0.25, 0.25]]
            self.assertEqual([line.get_linestyle() for line in lines], ["--"] * there)
            texts = [text.get_text() for text in ax.get_legend().get_texts()] if ax.get_legend() else []
            self.assertEqual("Bayes risk" in texts, there)

    def test_frames(self):
        """The slider's data are those of the file."""
        frames = json.loads(re.search(r'id="frames">(.*?)</script>', self.page("run.h5"))[1])
        flow = series_of("run.h5").series[0]
        self.assertEqual(frames["time"], [f"{t:.4g}" for t in flow.time])
        places = np.array(frames["places"]["flow"])
        m = flow.m[..., :2] * [1, -1]
        for axis in 0, 1:  # one line between numbers and places
            slope = np.polyfit(m[..., axis].ravel(), places[..., axis].ravel(), 1)[0]
            self.assertGreater(slope, 0)
            self.assertLess(np.abs(np.diff(places[..., axis] - slope * m[..., axis], axis=0)).max(), 0.05)

    def test_attention(self):
        """As theory.md has it, section 2."""
        run = series_of("run.h5")
        m, b, v = np.array([[[1.0, 0.5, 0], [0.2, -1, 0], [0, 0, 2]]]), np.array([[0.1, -0.3, 0.5]]), np.array([1.2])
        theta = [np.array([1.0, 2.0, 0.5])]
        for kind in "softmax", "softmax-1", "bayes-softmax":
            run.config["attention"]["activation"] = kind
            chi = np.zeros((3, 4))
            chi[:, 0] = m[0] @ theta[0]
            e = np.exp(chi + (0 if kind == "softmax" else b[0][:, None]))
            sums = e.sum(axis=1, keepdims=True)
            sigma = {"softmax": e / sums, "softmax-1": 1.2 * e / (1 + sums), "bayes-softmax": 3 * e / e.sum()}[kind]
            np.testing.assert_allclose(attention(run, m, b, v, theta)[0, :, 0], sigma[:, 0])
        self.assertTrue(np.isfinite(attention(run, 1e5 * m, b, v, theta)).all())
        run.config["attention"]["activation"] = "another"
        self.assertIsNone(attention(run, m, b, v, theta))

    def test_alignment_is_told_as_provisional(self):
        """While no feature has split, in pictures and pages."""
        for name, so_far in ("run.h5", False), ("still.h5", True):
            if so_far:
                shutil.copy("run.h5", name)
                with h5py.File(name, "r+") as file:
                    for group in "flow", "sgd":
                        file[f"{group}/split_time"][...] = np.nan
            self.assertEqual("heads align at t so far (no feature has split), flow" in self.page(name), so_far)
            self.assertEqual([text for _, text in series_of(name).marks()][0], "align so far" if so_far else "align")

    def test_vectors(self):
        """Are drawn by the prior: those of a flipping spike are the same where it is written as a product."""
        run = series_of("run.h5")._replace(features=2)
        root = np.sqrt([3.0, 2.0])
        for model, expected in (
                ({"prior": "flipping-spike", "signal": [3.0, 2.0]}, [root, root * [1, -1]]),
                ({"prior": "product", "signal": [0.0, 2.0], "mean": [root[0], 0.0]}, [root, root * [1, -1]]),
                ({"prior": "product", "signal": 4.0}, [[2, 0], [0, 2]]),
                ({"prior": "gaussian", "covariance": [[4.0, 0.0], [0.0, 9.0]]}, [[2, 0], [0, 3]]),
                ({"prior": "gaussian", "covariance": [[4.0, 0.0], [0.0, 0.0]], "mean": [5.0, 1.0]}, [[7, 1], [3, 1]]),
                ({"prior": "gaussian", "covariance": [[0.0, 0.0], [0.0, 0.0]], "mean": [5.0, 1.0]}, [[5, 1]]),
                ({"prior": "anisotropic-gaussian", "signal": [9.0, 1.0]}, [[3, 0], [0, 1]]),
                ({"prior": "discrete", "atoms": [[1.0, 2.0], [0.5, 0.0]]}, [[1, 2], [0.5, 0]])):
            run.config["model"] = model
            np.testing.assert_allclose(vectors(run), expected, err_msg=str(model))

    def test_members_of_a_sweep(self):
        """Numbers of each member with their errors, of SGD means over replicas; what is not computed is a dash."""
        self.write_input({"sgd.dimension": 20, "sgd.batch": 2, "sgd.learning_rate": 0.125, "sgd.replicas": 3,
                          "bayes.standard_error": 1.0, "flow.end_time": 60.0,
                          "sweep": {"model.signal[2]": [1.0, 2.0], "repeats": 2}})
        self.succeed("run", "case.toml")
        path = self.folder / "case.h5"
        with h5py.File(path, "r+") as file:
            split, sgd = file["flow/split_time"][:], file["sgd/split_time"][:]
            risk, error = file["bayes/risk"][:], file["bayes/risk_stderr"][:]
            file["flow/loss"][1, 1] = np.nan
        quiet = contextlib.redirect_stdout(None)
        with quiet:
            text = self.page(path)
        table = text[text.index("<h2>Members"):text.index("<h2>Pictures")]
        rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", table)]
        self.assertEqual(rows[0], [
            "", "flow: loss at the end", "flow: split at t feature 1", "flow: split at t feature 2",
            "SGD: loss at the end", "SGD: split at t feature 1", "SGD: split at t feature 2", "Bayes risk"])
        self.assertEqual([row[0] for row in rows[1:]], [f"ν_2={nu}, repeat {i}" for nu in (1, 2) for i in (1, 2)])
        self.assertEqual(rows[4][1], "–")
        for row, place in zip(rows[1:], np.ndindex(2, 2)):
            self.assertEqual(row[2:4], [number(t) for t in split[place]])
            self.assertEqual(row[5:7], [mean_of(t) for t in sgd[place].T])
            self.assertEqual(row[7], number(risk[place], error[place]))

    def test_numbers(self):
        for value, error, shown in ((1.23456, 0.0123, "1.235 ± 0.012"), (151.19, np.nan, "151.19"), (np.nan, 1, "–"),
                                    (12345.678, 30.0, "12346 ± 30"), (1e-12, 1e-13, "1e-12 ± 1e-13"),
                                    (2.0, 0.0, "2 ± 0")):
            self.assertEqual(number(value, error), shown)

    def test_means_of_times(self):
        """How many replicas have come so far stands beside their mean, if not all."""
        for values, words in (([2.0, 3.0, np.nan], "2.50 ± 0.50 (2 of 3)"),
                              ([2.0, np.nan], "2 (1 of 2)"), ([2.0, 3.0], "2.50 ± 0.50"),
                              ([2.0], "2"), ([np.nan, np.nan], "–")):
            self.assertEqual(mean_of(np.array(values)), words)

    def test_warnings_of_the_program(self):
        """Stay in the file."""
        case = {"model": {"tokens": 3, "prior": "flipping-spike", "signal": [2.0, 2.0]}, "attention": {"heads": 2},
                "start": {"noise": 0.1}, "population": {"samples": 64}, "flow": {"end_time": 60.0, "method": "euler",
                                                                                "step": 6.0, "outputs": 3}}
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            result = quiet_run(case, self.folder / "warned.h5")
        kept = result.provenance["warnings"].split("\n")
        self.assertEqual(kept, [str(one.message) for one in told])
        self.assertIn("too few to stand for the population", kept[0])
        self.assertIn(kept[0], "".join(Reader(self.page(result)).words))

    def test_command(self):
        options = ["--panels", "loss,plane", "--title", "A <b>"]
        done = execute(self.shared, [PLOT, "run.h5", "-o", self.folder / "r.html", *options])
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        text = (self.folder / "r.html").read_text()
        self.assertEqual(text.count("<figure"), 2)
        self.assertIn("<title>A &lt;b&gt;</title>", text)
        for title in "{body}", "{x} {0} %s":
            self.assertIn(f"<title>{title}</title>", self.page("run.h5", panels=["loss"], title=title))
        before = (self.shared / "run.h5").read_bytes()
        with self.assertRaisesRegex(ValueError, "a report is .html"):
            headflow.plot.report("run.h5", "run.h5")
        self.assertEqual((self.shared / "run.h5").read_bytes(), before)
        for words, message in ((["run.h5", "two.h5", "-o", "r.html"], "one file, found 2"),
                               (["run.h5", "--panels", "lss", "-o", "r.html"], "did you mean 'loss'"),
                               (["single.h5", "--panels", "plane", "-o", "r.html"], "F = 1"),
                               (["none.h5", "-o", "r.html"], "none.h5")):
            done = execute(self.shared, [PLOT, *words])
            self.assertEqual((done.returncode, done.stderr.count("\n")), (BAD_INPUT, 1), done.stderr)
            self.assertIn(message, done.stderr)
        self.assertFalse((self.shared / "r.html").exists())


if __name__ == "__main__":
    main()
