"""Words of the command line: help, version, wrong ones, alone and under mpirun; and those that change an input."""
import json
import os
import re
import socket
import subprocess
import tomllib

from harness import (BAD_INPUT, SystemTest, command, environment, execute, execute_alone, forked_program, main,
                     read_group)

WRONG = (["rum", "case.toml"], ["run"], ["run", "case.toml", "--part", "3/2"], ["info"], ["--nonsense"])


class CommandLine(SystemTest):
    def without_mpi(self, *words):
        """headflow where MPI cannot start: its folder of temporary files is none."""
        (self.folder / "file").touch()
        nowhere = str(self.folder / "file")
        return execute(self.folder, command(*words), env=environment(TMPDIR=nowhere, OMPI_MCA_orte_tmpdir_base=nowhere))

    def test_words_need_no_mpi(self):
        self.write_input()
        self.assertNotEqual(self.without_mpi("check", "case.toml").returncode, 0, "MPI starts all the same")
        for words in (["--help"], ["-h"], ["--version"], ["run", "--help"], ["merge", "-h"], ["help", "run"]):
            done = self.without_mpi(*words)
            self.assertEqual((done.returncode, done.stderr), (0, ""), words)
            self.assertIn("headflow", done.stdout)
        for words in WRONG:
            done = self.without_mpi(*words)
            self.assertEqual((done.returncode, done.stdout), (BAD_INPUT, ""), words)
            self.assertRegex(done.stderr, r"\Aheadflow: error: .+\n\Z")

    def test_said_once_under_mpirun(self):
        for words in (["--help"], ["--version"]):
            done = self.headflow(*words, ranks=3)
            self.assertEqual((done.returncode, done.stderr), (0, ""), words)
            self.assertEqual(done.stdout, self.succeed(*words))
        for words in WRONG:
            done = self.headflow(*words, ranks=3)
            self.assertEqual((done.returncode, done.stdout.count("headflow: error")), (BAD_INPUT, 0), words)
            self.assertEqual(done.stderr.count("headflow: error"), 1, done.stderr)

    def test_one_of_many_tasks_speaks_for_itself(self):
        """Slurm's number of a task is no rank: whether started in one job or alone, each says what is wrong."""
        for name, speaks in (("SLURM_PROCID", True), ("PMIX_RANK", False), ("PMI_RANK", False)):
            done = execute(self.folder, command("--version"), env=environment(**{name: "1"}))
            self.assertEqual((done.returncode, done.stdout != ""), (0, speaks), name)
        done = execute(self.folder, command("rum"), env=environment(SLURM_PROCID="1"))
        self.assertEqual((done.returncode, done.stderr.count("headflow: error")), (BAD_INPUT, 1))

    def test_of_a_fork(self):
        """What tests start as a fork of a process that has the libraries does what a process of its own does."""
        self.assertIsNotNone(forked_program())
        self.write_input({"output.file": "é.h5"})
        nobody = environment(HEADFLOW_PROGRESS="1e-9", HOME=str(self.folder), TMPDIR=str(self.folder))
        for words, env in ((["--version"], None), (["rum"], None), (["check", "case.toml", "--members"], None),
                           (["run", "case.toml", "--force"], nobody), (["run", "case.toml"], None),
                           (["info", "é.h5"], None), (["info", "\udcff\n.h5"], environment(LC_ALL="C")),
                           (["info", ""], {}), (["info", "x" * 120_000], None)):
            with self.subTest(str(words)[:80]):
                own, fork = (run(self.folder, command(*words), env=env) for run in (execute_alone, execute))
                timeless = [re.sub(r"[\d.e-]+ s(econds)?\b", "", text) for done in (own, fork)
                            for text in (done.stdout, done.stderr)]
                self.assertEqual((own.returncode, *timeless[:2]), (fork.returncode, *timeless[2:]))
        with self.assertRaises(subprocess.TimeoutExpired):  # a hung one is ended
            execute(self.folder, command("run", "case.toml", "--force", "--set", "flow.method=euler", "--set",
                                         "flow.step=1e-9"), timeout=0.5)

    def test_overrides(self):
        """--set wins over the file, the last --set over the others, --output over all."""
        self.write_input()
        self.succeed("run", "case.toml", "--set", "attention.heads=5", "--set", "attention.heads=4", "--set",
                     "attention.activation=bayes-softmax", "--set", "model.signal=[3, 1.5]", "--set",
                     "output.file=a.h5", "--output", "b.h5")
        resolved = tomllib.loads(read_group(self.folder / "b.h5", "provenance")["input"])
        self.assertEqual(resolved["attention"], {"heads": 4, "activation": "bayes-softmax", "weight_decay": 0.0})
        self.assertEqual(resolved["model"]["signal"], [3.0, 1.5])
        self.assertEqual(resolved["output"]["file"], "b.h5")
        self.assertEqual(read_group(self.folder / "b.h5")["m"].shape, (9, 4, 2))
        self.assertFalse((self.folder / "a.h5").exists())

    def test_force_replaces(self):
        self.write_input()
        (self.folder / "case.h5").write_bytes(b"an older result")
        (self.folder / "case.h5.part").write_bytes(b"what a killed run left")
        self.succeed("run", "case.toml", "--force")
        self.assertEqual(read_group(self.folder / "case.h5")["time"].size, 9)
        self.assertFalse((self.folder / "case.h5.part").exists())

    def test_version_and_help(self):
        for words in (["--version"], ["--help"], ["run", "--help"], ["check", "--help"], ["info", "--help"],
                      ["help", "keys"], ["explain", "seed"]):
            with self.subTest(words):
                text = self.succeed(*words)
                self.assertEqual(self.succeed(*words, ranks=2), text)
                self.assertTrue(text.strip())
        self.assertRegex(self.succeed("--version"), r"^headflow \d+\.\d+\.\d+ \(.+\)\n$")

    def test_help_names_every_key(self):
        """Of the resolved input of runs that have all keys, each in its section."""
        text = self.succeed("help", "keys")
        sections = {}
        for match in re.finditer(r"^(\[(\w+)\]|  (\w+) ).*$", text, re.MULTILINE):
            if match[2]:
                sections[match[2]] = {}
            else:
                sections[list(sections)[-1]][match[3]] = match[0]
        resolved = {}
        for changes in ({"model.prior": "discrete", "model.signal": None, "model.atoms": [[1.0]],
                         "model.weights": [1.0], "start.noise": None, "start.m": [[1.0], [0.5]], "start.v": 1.0,
                         "start.r": [[1.0, 0.0], [0.0, 1.0]], "start.b": 0.0, "flow.output_times": [1.0]},
                        {"model.prior": "gaussian", "model.signal": None, "model.mean": 0.0,
                         "model.covariance": [[1.0]], "start.noise": None, "start.dimension": 9,
                         "attention.activation": "softmax-1", "attention.train": ["k", "b", "v"],
                         "attention.b_rate": 2.0, "attention.v_rate": 0.5},
                        {"model.prior": "mixture", "model.signal": None, "model.means": [[1.0]],
                         "model.covariances": [[[0.0]]]},
                        {"model.prior": "product", "model.features": 2, "model.laws": "sparse", "model.density": 0.5},
                        {"train": {}, "bayes": {}, "prune": {}, "maps": {}, "saddle": {},
                         "attention.activation": "bayes-softmax",
                         "start.bayes": True, "start.noise": None, "train.starts": 1},
                        {"flow.learning_rate_noise": 0.1,
                         "schedule": {"law": "steps", "times": [1.0], "factors": [0.5], "warm_up": 1.0,
                                      "warm_up_from": 0.5}},
                        {"flow.learning_rate_noise": 0.1, "schedule": {"law": "power", "scale": 1.0, "exponent": 2.0}},
                        {"flow.learning_rate_noise": 0.1, "schedule": {"law": "cosine", "length": 1.0, "floor": 0.5}},
                        {"sgd.dimension": 9, "sgd.batch": 2, "sgd.learning_rate": 0.5, "sgd.steps": 4,
                         "sgd.output_times": [1.0], "sgd.weights_times": [1.0],
                         "fluctuations": {"output_times": [1.0]}}):
            self.write_input(changes)
            for section, keys in tomllib.loads(self.succeed("check", "case.toml").partition("\n#")[0]).items():
                resolved.setdefault(section, {}).update(keys)
        self.assertEqual(set(sections.pop("sweep")), {"repeats", "zip", "ranks_per_member"})
        self.assertEqual(set(sections), set(resolved))
        for section, keys in sections.items():
            either = {"file", "member", "end_time"} if section == "sgd" else {"file", "member"}  # steps: no end_time
            self.assertEqual(set(keys) - either, set(resolved[section]) - either, section)
        self.assertIn("text", sections["start"]["file"])
        self.assertIn("default 65536", sections["population"]["samples"])
        self.assertIn("required", sections["model"]["tokens"])
        self.assertIn("required", sections["sgd"]["batch"])
        self.assertIn('"from-sgd"', sections["flow"]["learning_rate_noise"])

    def test_explains_every_key(self):
        """By its full name, its own, and its section's; one that is not there with the nearest."""
        keys = json.loads(self.succeed("documentation", "keys"))
        for name in {row["section"] for row in keys}:
            self.assertEqual(self.succeed("explain", name), self.succeed("help", "keys", name))
        for row in keys[1::7]:
            if row["key"].isidentifier():
                full = f"{row['section']}.{row['key']}"
                self.assertIn(f"{full}\n  {row['help']}\n", self.succeed("explain", full))
                self.assertIn(self.succeed("explain", full), self.succeed("explain", row["key"]))
        for words, expected in {("explain", "nu"): '"signal"', ("explain", "kappa"): '"learning_rate_noise"',
                                ("explain", "flow.end_tim"): "flow.end_time", ("explain", "tolerence"): "tolerance",
                                ("help", "keys", "sdg"): "sgd", ("help", "rnu"): "run",
                                ("explain",): "KEY",
                                ("explain", ""): "did you mean", ("help", "keys", "sgd", "x"): "x"}.items():
            done = self.headflow(*words)
            self.assertEqual((done.returncode, done.stdout), (BAD_INPUT, ""), words)
            self.assertRegex(done.stderr, rf"\Aheadflow: error: .*{expected}.*\n\Z")

    def test_help_is_short(self):
        """A screen; where to read on is in it, and is there."""
        text = self.succeed("--help")
        self.assertLess(len(text.splitlines()), 30)
        self.assertEqual(text, self.succeed("help"))
        for line in ("headflow help COMMAND", "headflow help keys [SECTION]", "headflow explain KEY"):
            self.assertIn(line, text)
        for name in ("run", "check", "info", "merge", "help", "explain"):
            self.assertEqual(self.succeed("help", name), self.succeed(name, "--help"))

    def test_many_at_once(self):
        """A run without mpirun does not use Open MPI's folder of the user, which others make and remove at the same
        time, and leaves nothing in the temporary folder."""
        self.write_input()
        temporary = self.folder / "tmp"
        temporary.mkdir()
        names = [f"ompi.{name}.{os.getuid()}" for name in {socket.gethostname(), socket.gethostname().split(".")[0]}]
        for name in names:
            (temporary / name).write_text("in the way")
        self.succeed("run", "case.toml", env=environment(TMPDIR=str(temporary)))
        self.assertEqual(sorted(path.name for path in temporary.iterdir()), sorted(names))


if __name__ == "__main__":
    main()
