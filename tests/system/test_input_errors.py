"""Bad input: exit code 2, one line that says what was found, what is allowed and where; no file touched."""
import os
import pwd
import shutil
import subprocess

import h5py
import numpy as np

from harness import PROGRAM, SystemTest, command, content, environment, execute, line_of, main, side_by_side
from input_mistakes import (BASE, CANONICAL, COMMANDS, DISCRETE, EXPLICIT, FILES, GAUSSIAN, PRIORS, RANGES, SAMPLES,
                            SGD, SGDS, STARTS, SYNTAX, TYPES)


class InputErrors(SystemTest):
    def check(self, cases):
        """Runs the cases side by side, each in a folder of its own with files that must stay."""
        template = self.folder / "template"
        (template / "folder").mkdir(parents=True)
        for name in "old.h5", "new.weights-4.h5":
            (template / name).write_bytes(b"an older result")
        os.mkfifo(template / "pipe")
        with h5py.File(template / "empty.h5", "w"):
            pass
        with h5py.File(template / "five.h5", "w") as file:
            shapes = {"m": (1, 5, 2), "q": (1, 5, 5), "b": (1, 5), "v": (1,), "spike_gram": (2, 2)}
            for name, shape in shapes.items():
                file[f"flow/{name}"] = np.ones(shape)

        def outcome(case):
            folder = self.folder / case.name.replace(" ", "-")
            shutil.copytree(template, folder, copy_function=copy_any)
            text = self.write_input(case.changes, f"{folder.name}/case", BASE)
            before = content(folder)
            done = refused(folder, "run", "case.toml", *case.arguments, ranks=case.ranks)
            return case, text, done, before == content(folder)

        for case, text, done, untouched in side_by_side(outcome, cases):
            with self.subTest(case.name):
                place = f"case.toml:{line_of(text, case.at)}: " if case.at else ""
                self.assert_refused(done, [place, *case.words])
                self.assertTrue(untouched, f"files changed; exit code {done.returncode}, {done.stderr}")

    def assert_refused(self, done, words):
        """Exit code 2 and one line with the words; nothing on standard output."""
        self.assertEqual(done.returncode, 2, done.stderr)
        messages = [line for line in done.stderr.splitlines() if "headflow: " in line]
        self.assertEqual(len(messages), 1, done.stderr)
        self.assertTrue(messages[0].startswith("headflow: error: "), messages[0])
        if done.args[0] == str(PROGRAM):  # mpiexec adds words of its own
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        for word in words:
            self.assertIn(word, messages[0])
        self.assertEqual(done.stdout, "")

    def test_the_base_is_valid(self):
        """Each case is refused for its change alone."""
        bases = [{}, DISCRETE, GAUSSIAN, CANONICAL, EXPLICIT, {"start.noise": None, "start.dimension": 4.0},
                 {"model.tokens": 2, "attention.heads": 1} | CANONICAL | {"model.features": 1}, SGD,
                 SGD | {"flow": None, "sgd.steps": 4, "sgd.dimension": 7, "sgd.weights_times": [0.0, 0.5]}]
        for i, changes in enumerate(bases):
            with self.subTest(str(changes)):
                self.write_input(changes, f"case{i}", BASE)
        done = side_by_side(lambda i: self.headflow("run", f"case{i}.toml"), range(len(bases)))
        self.assertEqual([one.stderr for one in done], [""] * len(bases))
        self.assertEqual([one.returncode for one in done], [0] * len(bases))

    def test_syntax(self):
        self.check(SYNTAX)

    def test_texts(self):
        texts = {"tokens = 3\n": ["case.toml:1: ", "tokens", '"model"'],
                 "\nmodel = 3\n": ["case.toml:2: ", "[model]", "section"],
                 "[[model]]\ntokens = 3\n": ["case.toml:1: ", "[model]", "section"],
                 "model.tokens = 3\n[model]\n": ["case.toml:2: ", "TOML", "model"]}
        for text, words in texts.items():
            with self.subTest(text):
                (self.folder / "case.toml").write_text(text)
                self.assert_refused(refused(self.folder, "run", "case.toml"), words)
        (self.folder / "case.toml").write_text("model = 3\n")
        self.assert_refused(refused(self.folder, "run", "case.toml", "--set", "model.tokens=3"),
                            ["--set model.tokens=3", "model is no section"])

    def test_types(self):
        self.check(TYPES)

    def test_ranges(self):
        self.check(RANGES)

    def test_priors(self):
        self.check(PRIORS)

    def test_starts(self):
        self.check(STARTS)

    def test_samples_and_times(self):
        self.check(SAMPLES)

    def test_sgd(self):
        self.check(SGDS)

    def test_output_files(self):
        self.check(FILES)

    def test_command_line(self):
        self.check(COMMANDS)

    def test_set_is_not_blamed_on_the_file(self):
        self.write_input()
        self.assertNotIn("case.toml:", self.headflow("run", "case.toml", "--set", "model.tokens=1").stderr)

    def test_subcommands(self):
        for words, expected in {(): ["subcommand", "--help"], ("runn", "case.toml"): ["runn"], ("run",): ["INPUT"],
                                ("check",): ["INPUT"], ("info",): ["FILE"]}.items():
            with self.subTest(words):
                self.assert_refused(refused(self.folder, *words), expected)
        self.assert_refused(refused(self.folder, "runn", ranks=2), ["runn"])

    def test_input_file(self):
        (self.folder / "folder").mkdir()
        (self.folder / "empty.toml").touch()
        for word, expected in {"none.toml": ["none.toml", "not exist"], "folder": ["folder"], "": ["input file"],
                               "empty.toml": ["empty.toml", "model.tokens", "missing"]}.items():
            for verb in "run", "check":
                with self.subTest(f"{verb} {word}"):
                    self.assert_refused(refused(self.folder, verb, word), expected)

    def test_slurm_singletons(self):
        """srun without PMI starts N programs that each believe to be alone."""
        self.write_input(base=BASE)
        before = content(self.folder)
        alone = {"env": environment(SLURM_NTASKS="4", SLURM_PROCID="1")}
        self.assert_refused(refused(self.folder, "run", "case.toml", **alone), ["Slurm", "4", "srun --mpi=pmix"])
        self.assertEqual(before, content(self.folder))
        self.succeed("run", "case.toml", ranks=1, env=environment(SLURM_NTASKS="4"))

    def test_permissions(self):
        """A folder that may not be written and an input that may not be read; to root everything is allowed."""
        self.write_input(base=BASE)
        self.write_input(name="secret", base=BASE)
        (self.folder / "locked").mkdir(mode=0o555)
        (self.folder / "secret.toml").chmod(0)
        program = shutil.copy2(PROGRAM, self.folder)  # where anybody can reach it
        self.folder.chmod(0o755)
        nobody = {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []}
        before = content(self.folder / "locked")
        for words, expected in {("case.toml", "--output", "locked/x.h5"): ["locked/x.h5", "locked is not writable"],
                                ("secret.toml", "--output", "x.h5"): ["secret.toml", "cannot be read"]}.items():
            with self.subTest(words):
                done = execute(self.folder, [program, "run", *words], **(nobody if os.geteuid() == 0 else {}))
                self.assert_refused(done, expected)
        self.assertEqual(before, content(self.folder / "locked"))


def copy_any(source, target):
    """copytree's copy, for pipes too."""
    if os.path.isfile(source):
        shutil.copy2(source, target)
    else:
        os.mkfifo(target)


def refused(folder, *words, ranks=0, **options):
    """headflow, which should stop at once; what does not is reported as exit code "hangs"."""
    try:
        return execute(folder, command(*words, ranks=ranks), **options)
    except subprocess.TimeoutExpired as late:
        return subprocess.CompletedProcess(late.args, "hangs", "", "")


if __name__ == "__main__":
    main()
