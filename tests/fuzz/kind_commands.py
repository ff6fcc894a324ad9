"""Tries: command lines."""
import random
import shutil

from inputs import TEXTS, small_input
from harness import toml_text
from kind import Kind


class Commands(Kind):
    """Words of the command line, known and unknown, in any order."""
    WORDS = ("run", "check", "info", "merge", "documentation", "--help", "-h", "--version", "--force", "-f", "--set",
             "--output",
             "--restart", "--max-walltime", "--part", "--members", "auto", "none", "1/2", "2/1", "0/1", "1/0", "1/x",
             "-1/2",
             "99999999999999999999/3", "1e3", "0:00:01", "00:61", "nan", "inf", "-5", "case.toml", "case.h5",
             "none.toml", "none.h5",
             "flow.end_time=1", "flow.end_time", "=", "flow.=1", ".=1", "flow.end_time=", "a=b=c", "flow.end_time=\"",
             "--", "-",
             "-flow_ts_rk_type", "3bs", "-flow_", "-flow_ts_adapt_type", "-train_tao_type", "-saddle_ts_type", "bncg",
             "-x", "--forc",
             "man", "bash-completion", "--flow_ts_type", "-flow_ts_max_steps", "-3", "-flow_ts_view", "-sgd_x",
             "--set=", "--output=",
             "--set=flow.end_time=2", "case.checkpoint-1.h5", "/", ".", "..", "case.toml.stop", "@case.toml", "%config")

    def prepare(self):
        (self.originals / "case.toml").write_text(toml_text(small_input(random.Random(5), ("flow",))))
        self.run(self.originals, "run", "case.toml")

    def one(self, randomness, folder):
        shutil.copytree(self.originals, folder, dirs_exist_ok=True)
        count = randomness.choice((0, 1, 2, 3, 4, 6, 10))
        words = [randomness.choice(self.WORDS if randomness.random() < 0.93 else TEXTS) for _ in range(count)]
        if randomness.random() < 0.6:
            words[:0] = [randomness.choice(("run", "check", "check", "info", "merge"))]
            if randomness.random() < 0.6:
                words[1:1] = [randomness.choice(("case.toml", "case.toml", "case.h5"))]
        yield words
