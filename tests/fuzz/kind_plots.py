"""Tries: pictures of whole and of damaged files."""
import os
import random
import shutil
import sys
from pathlib import Path

from answers import PlotDriver
from inputs import TEXTS, small_input
from bits_gallery import INPUTS
from bits_steps import sets
from harness import toml_text
from kind import Kind
from kind_files import damage

sys.path.insert(0, str(Path(os.environ["HEADFLOW_PLOT"]).absolute().parent / "python"))
from headflow.plot.figures import PICTURES, SWEEPS  # noqa: E402
from headflow.plot.series import PANELS  # noqa: E402

SMALL = "population.samples=256 population.test_samples=512 "
FILES = {  # inputs whose files have something of every panel
    "quickstart": "flow.end_time=30 flow.outputs=5",
    "fluctuations/splits": "sgd.end_time=1 sgd.replicas=2 sgd.outputs=3",
    "paper/fig03": "flow.outputs=4", "paper/fig11": 'train.starts=1 train.evaluations=40 sweep."model.signal[1]"=[1.0]',
    "stages/hierarchy": "flow.outputs=4", "paper/fig20": "", "specialization_time": "start.dimension=1e8",
    "paper/fig07": "train.starts=1 train.evaluations=40 bayes.standard_error=0.1 bayes.samples=4096",
}
NAMES = ("overview", *PANELS, *PICTURES, *SWEEPS, "loss", "m", "q", "time", "flow/loss", "none", "", "start.seed")
KEYS = ("start.seed", "population.seed", "loss", "none", "")
PLACES = ("-1", "0", "1", "2", "3", "x", "1e9", "99999999999999999999")


class Plots(Kind):
    """headflow-plot on outputs of all sections, half of them damaged, with options known and unknown."""
    driver = PlotDriver

    def prepare(self):
        for number, (name, changes) in enumerate(FILES.items()):
            self.run(self.originals, "run", INPUTS / f"{name}.toml", *sets(SMALL + changes), "--output", f"{number}.h5")
        for number in range(4):
            (self.originals / "case.toml").write_text(toml_text(small_input(random.Random(number))))
            self.run(self.originals, "run", "case.toml", "--output", f"small{number}.h5")

    def options(self, randomness):
        """Some of those that do not take long."""
        pick, rarely = randomness.choice, randomness.random() < 0.1
        for option in randomness.sample(range(8), pick((0, 1, 1, 2, 3))):
            yield from (
                lambda: ["--panels", ",".join(pick(NAMES) for _ in range(pick((1, 1, 2, 3))))],
                lambda: ["--features", pick(PLACES), pick(PLACES)],
                lambda: ["--by", ",".join(pick(KEYS) for _ in range(pick((1, 2))))],
                lambda: ["--log-time"],
                lambda: ["--title", pick(("$x$", "$", "$\\frac{", "\\", *TEXTS))],
                lambda: ["--dpi", pick(("10", "40", "9", "1e3", "nan", "-1"))],
                lambda: ["--output", pick(("a.png", "a.pdf", "a.svg", "a.html", "a.PNG", "a", ".png", "0.h5", "b/a.png",
                                           *TEXTS))],
                lambda: ["--animate", pick(("a.gif", "a.mp4", "a.png", "")), "--frames", pick(("2", "3", "1", "x"))],
            )[option]()
        if rarely:
            yield pick(("--none", "-x", "--", "--frames", "--follow=1", *TEXTS))

    def one(self, randomness, folder):
        files = [path for path in sorted(self.originals.glob("*.h5")) if ".checkpoint-" not in path.name]
        several = randomness.choice((1, 1, 1, 2, 3))
        names = []
        for path in randomness.choices(files, k=several):
            shutil.copy(path, folder)
            names.append(path.name)
        if randomness.random() < 0.7:
            damage(randomness, folder / randomness.choice(names))
        yield [*names, *self.options(randomness)]
