"""Runs from Python: computed once, errors as exceptions, Ctrl-C, inputs that complete themselves, jobs."""
import contextlib
import copy
import io
import os
import pickle
import pydoc
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
import unittest.mock
import warnings
from pathlib import Path

import numpy as np
import xarray as xr

from harness import HANGS, SMALL, SystemTest, changed, command, content, environment, execute, main, toml_text
from python_harness import PACKAGE, SGD, headflow, quiet_run


LONG = changed(SMALL, {"flow": {"end_time": 1e7, "method": "euler", "step": 0.01, "outputs": 100},
                       "output": {"every": 0.05}})


class Runs(SystemTest):
    def setUp(self):
        super().setUp()
        self.enterContext(contextlib.chdir(self.folder))

    def test_computed_once(self):
        """The same values in other words, types and order are the same input; another value is another one."""
        first = quiet_run(SMALL)
        self.assertRegex(first.path.name, r"\Aheadflow-[0-9a-f]{16}\.h5\Z")
        other = {section: dict(reversed(keys.items())) for section, keys in reversed(SMALL.items())}
        other["model"]["signal"], other["flow"]["tolerance"] = np.array([2, 2]), 1e-6
        other["start"]["seed"] = np.int64(3)
        for same in (other, toml_text(SMALL), headflow.Input(SMALL), changed(SMALL, {"output.every": 1.0})):
            found = quiet_run(same)
            self.assertEqual(found.provenance["run_id"], first.provenance["run_id"])
        self.assertNotEqual(quiet_run(changed(SMALL, {"start.seed": 4})).path, first.path)
        first.path.with_name(first.path.stem + ".checkpoint-1.h5").unlink()
        self.assertEqual(quiet_run(SMALL).provenance["run_id"], first.provenance["run_id"])
        self.assertNotEqual(quiet_run(SMALL, restart="none").provenance["run_id"], first.provenance["run_id"])
        (self.folder / "mine.toml").write_text(toml_text(SMALL))
        self.assertRegex(quiet_run("mine.toml").path.name, r"\Amine-[0-9a-f]{16}\.h5\Z")
        self.assertEqual(quiet_run(Path("mine.toml"), "out.h5", 2).provenance["ranks"], "2")
        words = "-flow_ts_rk_type 3bs"
        self.assertEqual(quiet_run(SMALL, options=words).path, quiet_run(SMALL, options=words.split()).path)

    def test_numbers_are_those_of_the_program(self):
        (self.folder / "case.toml").write_text(toml_text(SMALL))
        self.succeed("run", "case.toml")
        self.assertTrue(quiet_run(SMALL, ranks=2).flow.equals(headflow.open("case.h5").flow))

    def test_errors(self):
        cases = {
            "unknown section 'modle'; did you mean 'model'?": {"modle": {}},
            "did you mean 'tokens'?": {"model": {"token": 3}},
            "did you mean 'softmax-1'?": changed(SMALL, {"attention.activation": "softmax1"}),
            "(there is attention.heads)": changed(SMALL, {"flow.heads": 3}),
            "did you mean 'noise'?": changed(SMALL, {"sweep": {"start.nois": [1]}}),
            "input: model.tokens = 1 is not allowed": changed(SMALL, {"model.tokens": 1}),
            "input: not valid TOML": "[model\n",
            "none.toml does not exist": "none.toml",
            "found 3": 3,
            "[model] is a section": {"model": 3},
            "found <object": changed(SMALL, {"flow": {"end_time": object()}}),
            "found b'softmax'": changed(SMALL, {"attention": {"activation": b"softmax"}}),
            "found {2.0}": changed(SMALL, {"model": {"signal": {2.0}}}),
            "is a text; found 7": SMALL | {7: {}},
            "is a text; found 8": changed(SMALL, {"flow": {8: 1}}),
            "is a text; found 9": changed(SMALL, {"flow": {"end_time": {9: 1}}}),
        }
        for message, case in cases.items():
            for door in headflow.check, quiet_run:
                with self.subTest(message), self.assertRaises(headflow.InputError) as caught:
                    door(case)
                self.assertIn(message, str(caught.exception))
                self.assertNotIn("\n", str(caught.exception))
                self.assertIsInstance(caught.exception, ValueError)
        for parameters, message in (
                ({"restart": None}, 'restart = None: "auto", "none" or the path'),
                ({"restart": False}, "restart = False"),
                ({"restart": "never"}, "restart = 'never': no such file"), ({"output": 3}, "output = 3: a path"),
                ({"launcher": 3}, "launcher = 3: a text or"), ({"launcher": [None]}, "launcher = .None.: a text or"),
                ({"options": None}, "options = None: a text or"),
                ({"options": {"a": 3}}, "options = .'a': 3.: a text or")):
            with self.subTest(parameters), self.assertRaisesRegex(headflow.InputError, message):
                quiet_run(SMALL, **parameters)
        for parameters, message in (
                ({"slurm": None}, "slurm = None"), ({"script": 3}, "script = 3: a path"),
                ({"output": 3}, "output = 3")):
            with self.subTest(parameters), self.assertRaisesRegex(headflow.InputError, message):
                headflow.submit(SMALL, **parameters)
        axes = {"start.seed": [1, 2]}
        for words, message in (
                ((["start.seed"],), "axes = .'start.seed'.: a dict"), ((None,), "axes = None"),
                (("start.seed",), "axes = "), ((axes, None, 0), "repeats = 0"), ((axes, None, "a"), "repeats = 'a'"),
                ((axes, None, None), "repeats = None"),
                ((axes, None, 1, 3), "zip = 3"), ((axes, None, 1, "start.seed"), "zip = 's"),
                ((axes, None, 1, [3]), "zip = .3"), ((axes, None, 1, ["start.seed"]), "zip = .'s")):
            options = dict(zip(("output", "repeats", "zip"), words[1:]))
            with self.subTest(words), self.assertRaisesRegex(headflow.InputError, message):
                headflow.sweep(SMALL, words[0], **options)
        for ranks in 0, -1, 1.5, "2", None:
            for door in quiet_run, headflow.submit:
                with self.assertRaisesRegex(headflow.InputError, f"ranks = {ranks!r}: a whole number"):
                    door(SMALL, ranks=ranks)
        for name in "launcher", "options":
            with self.assertRaisesRegex(headflow.InputError, f"{name} = \"'\": No closing quotation"):
                quiet_run(SMALL, **{name: "'"})
        for values in 3, "softmax", np.array(2), None:
            with self.assertRaisesRegex(headflow.InputError, "sweep over attention.heads: a list of values or a range"):
                headflow.sweep(SMALL, {"attention.heads": values})
        with self.assertRaisesRegex(headflow.LaunchError, "no-such-launcher"):
            quiet_run(SMALL, launcher="no-such-launcher")
        self.assertEqual(os.listdir(self.folder), [])
        with self.assertRaisesRegex(headflow.NumericalError, "learning_rate|finite|explo|loss"):
            quiet_run(changed(SMALL, {"flow": None, "sgd": SGD | {"learning_rate": 1e6, "end_time": 1e9}}))
        with self.assertRaises(headflow.InputError):
            quiet_run(SMALL, "no/folder/x.h5")

    def test_what_open_mpi_says(self):
        """One line, whatever it says on how many; all of it is in the notes."""
        few = {"OMPI_MCA_rmaps_base_oversubscribe": "0", "PRTE_MCA_rmaps_default_mapping_policy": ""}
        for variables, message in (
                ({"OMPI_MCA_btl": "none-such"}, r"headflow ended with code \d+: .*not found.*none-such"),
                (few, "mpirun ended with code 1: There are not enough slots")):
            with unittest.mock.patch.dict(os.environ, variables), self.subTest(message):
                with self.assertRaisesRegex(headflow.LaunchError, message) as caught:
                    quiet_run(SMALL, "x.h5", ranks=99)
            self.assertNotIn("\n", str(caught.exception))
            self.assertGreater(caught.exception.__notes__[0].count("\n"), 5)

    def test_no_program(self):
        with unittest.mock.patch.dict(os.environ, HEADFLOW="/nowhere/headflow"):
            with self.assertRaisesRegex(headflow.LaunchError, "HEADFLOW=/nowhere/headflow: no such program"):
                headflow.check({"model": {}})

    def test_file_of_the_input(self):
        """[output] file is where the results go, and are found again."""
        case = changed(SMALL, {"output": {"file": "mine.h5"}})
        first = quiet_run(case)
        self.assertEqual((first.path, first.input["output"]["file"]), (Path("mine.h5"), "mine.h5"))
        for same in toml_text(case), headflow.Input(case):
            self.assertEqual(quiet_run(same).provenance["run_id"], first.provenance["run_id"])
        self.assertEqual(quiet_run(case, "other.h5").path, Path("other.h5"))

    def test_check(self):
        report = headflow.check(SMALL)
        self.assertEqual((report.input["flow"]["method"], report.cost["samples per rank"]), ("5dp", "512"))
        self.assertEqual(os.listdir(self.folder), [])

    def test_warnings(self):
        """Of the program, as warnings of Python."""
        case = changed(SMALL, {"population.samples": 768})
        expected = headflow.check(case).warnings
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            quiet_run(case)
        self.assertEqual([str(one.message) for one in caught if one.category is headflow.HeadflowWarning], expected)

    def test_sweep(self):
        sweep = headflow.sweep(SMALL, {"attention.heads": range(1, 3),
                                       "start.eta": {"from": 0.5, "to": 1.0, "count": 2}},
                               repeats=2, ranks=2, progress=False)
        self.assertEqual(dict(sweep.flow.loss.sizes), {"attention_heads": 2, "start_eta": 2, "repeat": 2})
        zipped = headflow.sweep(SMALL, {"start.seed": [1, 2], "start.eta": [0.5, 1.0]},
                                zip=[["start.seed", "start.eta"]],
                                progress=False)
        self.assertEqual(zipped.flow.start_eta.dims, ("start_seed",))

    def stopped_at(self, interrupt, ranks):
        """A long run, to which something happens as soon as its file is there; returns its input and file."""
        path = Path("long.h5")
        before = path.stat().st_ino if path.exists() else None

        def act():
            while not path.exists() or path.stat().st_ino == before:
                time.sleep(0.01)
            interrupt(path)

        thread = threading.Thread(target=act)
        thread.start()
        self.addCleanup(thread.join)
        quiet_run(LONG, path, ranks=ranks)

    def test_interrupt(self):
        """Ctrl-C saves and stops, on one rank and under a launcher; the same call goes on."""
        for ranks in 1, 2:
            with self.subTest(ranks=ranks):
                with self.assertRaisesRegex(KeyboardInterrupt, "state saved"):
                    self.stopped_at(lambda path: os.kill(os.getpid(), signal.SIGINT), ranks)
                result = headflow.open("long.h5")
                self.assertEqual(result.status, "stopped")
                self.assertTrue(Path("long.checkpoint-1.h5").exists())
        self.assertEqual(len(result.provenance["runs"].split("\n")), 2)

    def test_killed(self):
        """A run whose Python is killed saves its state and stops; the same call goes on."""
        for ranks in 1, 2:
            text = f"import headflow; headflow.run({LONG!r}, 'long.h5', {ranks}, progress=False)"
            python = subprocess.Popen([sys.executable, "-c", text], env=environment(PYTHONPATH=str(PACKAGE)))
            deadline = time.monotonic() + HANGS
            while not (Path("long.h5").exists() and headflow.open("long.h5").status == "running"):
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.05)
            process = int(re.search(r"(?m)^process (\d+)", Path("long.h5.lock").read_text())[1])
            python.kill()
            python.wait()
            deadline = time.monotonic() + 60
            while (goes_on := Path("long.h5.lock").exists()) and time.monotonic() < deadline:
                time.sleep(0.05)
            if goes_on:
                os.kill(process, signal.SIGKILL)
            self.assertEqual((goes_on, headflow.open("long.h5").status), (False, "stopped"))
        self.assertEqual(len(headflow.open("long.h5").provenance["runs"].split("\n")), 2)

    def test_stopped_from_elsewhere(self):
        with self.assertRaisesRegex(headflow.Stopped, "stopped early .*state saved"):
            self.stopped_at(lambda path: Path("long.h5.stop").touch(), 1)

    def test_progress(self):
        """A bar, with what the program says of itself; a notebook without widgets, too."""
        try:
            import tqdm  # noqa: F401
        except ImportError:
            self.skipTest("no Python module tqdm")
        from headflow.execution import Bar
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors), Bar(Path("x.h5"), True) as bar:
            bar.bar.delay = 0
            bar.update("headflow: flow: t = 12.5 of 50, loss 0.43, 100 steps/s, 0:00:10 left\n")
            self.assertEqual(bar.bar.n, 0.25)
            self.assertIn("loss 0.43", bar.bar.postfix)

    def test_lines_of_progress(self):
        """The environment says how often there is one in a log."""
        self.write_input({"flow": {"end_time": 20.0, "method": "euler", "step": 0.1}})
        done = subprocess.run(command("run", "case.toml"), capture_output=True, text=True,
                              env=environment(HEADFLOW_PROGRESS="1e-9"))
        self.assertEqual(done.returncode, 0)
        lines = done.stderr.splitlines()
        self.assertGreater(len(lines), 100)
        for line in lines:
            self.assertRegex(line, r"\Aheadflow: flow: t = \S+ of 20, loss \S+, ")
        self.succeed("run", "case.toml", "--force", env=environment(HEADFLOW_PROGRESS="nonsense"))


class Inputs(SystemTest):
    def test_completion(self):
        """All keys of the program, with its own help, and none besides."""
        case = headflow.Input()
        text = "\n" + execute(self.folder, command("help", "keys")).stdout
        sections = [block.split("]")[0] for block in text.split("\n[")[1:]]
        self.assertIn("sweep", sections)
        self.assertLessEqual(set(sections), set(dir(case)))
        self.assertEqual(case._ipython_key_completions_(), sections)
        for section in sections:
            keys = [line.split()[0] for line in text.split(f"\n[{section}]")[1].split("\n[")[0].splitlines()[1:]
                    if line.strip() and '"SECTION.KEY"' not in line.split()]
            self.assertEqual(case[section]._ipython_key_completions_(), keys)
            self.assertLessEqual(set(keys), set(dir(case[section])))
        self.assertIn("t at which the flow ends", pydoc.render_doc(case.flow))
        self.assertIn("scrambled Sobol", type(case.population).sampling.__doc__)
        self.assertIn("runs of each member, with different seeds", type(case.sweep).repeats.__doc__)
        self.assertIn('"SECTION.KEY": an axis', type(case.sweep).__doc__)

    def test_another_program(self):
        """Its own table counts."""
        with tempfile.TemporaryDirectory() as folder:
            other = Path(folder, "other")
            table = '[{"section": "new", "key": "", "help": "", "words": [], "decides": true}, ' \
                    '{"section": "new", "key": "one", "help": "the help", "words": ["a", "b"], "decides": true}]'
            other.write_text(f"#!/bin/sh\necho '{table}'\n")
            other.chmod(0o755)
            headflow.Input().flow
            with unittest.mock.patch.dict(os.environ, HEADFLOW=str(other)):
                case = headflow.Input(new={"one": "a"})
                self.assertEqual(type(case.new).one.__doc__, "the help")
                self.assertEqual(case._ipython_key_completions_(), ["new"])
                with self.assertRaisesRegex(headflow.InputError, "unknown section 'flow'"):
                    headflow.Input(flow={})

    def test_setting(self):
        case = headflow.Input(SMALL, flow={"end_time": 3})
        case.model.signal = np.array([2.0, 3.0])
        case.start.seed = None
        case["sweep"]["attention.heads"] = range(1, 3)
        self.assertEqual(dict(case.flow), {"end_time": 3})
        self.assertIsNone(case.start.seed)
        self.assertEqual(headflow.check(case).input["model"]["signal"], [2.0, 3.0])
        self.assertEqual(headflow.Input(str(case)).to_dict()["sweep"], {"attention.heads": [1, 2]})
        for wrong, message in ((lambda: setattr(case.flow, "endtime", 3), "did you mean 'end_time'"),
                               (lambda: setattr(case, "flwo", {}), "did you mean 'flow'"),
                               (lambda: setattr(case.attention, "activation", "softmx"), "did you mean 'softmax'")):
            with self.assertRaisesRegex(headflow.InputError, message):
                wrong()
        for wrong in (lambda: case.flow.endtime, lambda: case.flwo):
            with self.assertRaisesRegex(AttributeError, "did you mean"):
                wrong()
        with self.assertRaises(KeyError):
            case.flow["method"]

    def test_looking(self):
        """Adds no section, which would be computed; to assign one does."""
        case = headflow.Input(SMALL)
        before = str(case)
        for name in case._ipython_key_completions_():
            self.assertIn(name, repr(getattr(case, name)))
            self.assertEqual(case[name], getattr(case, name))
        self.assertEqual((str(case), len(case), "saddle" in case, case.to_dict()), (before, len(SMALL), False, SMALL))
        self.assertEqual(headflow.check(case).input, headflow.check(SMALL).input)
        sgd = case.sgd
        sgd.batch, case.saddle = 3, {}
        self.assertEqual({*case} - {*SMALL}, {"sgd", "saddle"})
        del case["sgd"], case["saddle"]
        self.assertEqual(str(case), before)
        for twin in copy.copy(case), copy.deepcopy(case), pickle.loads(pickle.dumps(case)):
            twin.flow.end_time = 9
            self.assertEqual((str(case), twin.to_dict()), (before, changed(SMALL, {"flow.end_time": 9})))

    def test_values(self):
        """As the program reads them back."""
        from headflow.inputs import toml_value
        for value in (1, -2.5e-300, 1e16, True, "a \"b\" \\ \n ü \x7f \x00", [1, [2.0]], {"from": 1, "to b": 2},
                      float("inf"),
                      np.float32(0.5), np.arange(3), np.array(2), (1, 2), np.bool_(False), Path("x/y")):
            text = tomllib.loads(f"x = {toml_value(value)}")["x"]
            plain = value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
            plain = str(plain) if isinstance(plain, Path) else list(plain) if isinstance(plain, tuple) else plain
            self.assertEqual(text, plain)
        self.assertEqual(toml_value(xr.DataArray(0.5)), "0.5")


class Jobs(SystemTest):
    def fake(self, name, text):
        path = self.folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)

    def test_submit(self):
        """A queue that runs a job at once, and forgets it."""
        self.enterContext(contextlib.chdir(self.folder))
        self.enterContext(unittest.mock.patch.dict(os.environ, {"PATH": f"{self.folder}/bin:{os.environ['PATH']}"}))
        for name in [name for name in os.environ if name.startswith("SLURM_")]:
            del os.environ[name]
        self.fake("sbatch", 'echo "$@" > words; while [[ $1 == -* ]]; do shift; done; '
                            'HEADFLOW_RANKS=1 "$@" > log 2>&1; echo "42;cluster"')
        self.fake("squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
        self.fake("sacct", "echo '    COMPLETED '")
        job = headflow.submit(SMALL, ranks=3, time="00:10:00", slurm=["--partition=x"])
        self.assertEqual(job.id, "42", (self.folder / "log").read_text())
        self.assertRegex((self.folder / "words").read_text(),
                         r"\A--parsable --ntasks=3 --time=00:10:00 --partition=x /\S+/run\.sh "
                                                              r"headflow-\w{16}\.toml --output headflow-\w{16}\.h5\n\Z")
        self.assertEqual((job.status, job.result.status, job.wait().flow.time.size), ("COMPLETED", "finished", 9))
        self.assertEqual(quiet_run(SMALL).provenance["run_id"], job.result.provenance["run_id"])
        self.fake("squeue", "echo RUNNING")
        self.assertEqual(job.status, "RUNNING")
        self.fake("scancel", 'echo "$@" > cancelled')
        job.cancel()
        self.assertEqual((self.folder / "cancelled").read_text(), "42\n")
        self.fake("sbatch", "echo 'sbatch: error: invalid partition' >&2; exit 1")
        before = content(self.folder)
        for case in SMALL, changed(SMALL, {"start.seed": 4}):
            with self.assertRaisesRegex(headflow.LaunchError, "invalid partition"):
                headflow.submit(case)
        self.assertEqual(content(self.folder), before)
        with self.assertRaises(headflow.InputError):
            headflow.submit({"modl": {}})


if __name__ == "__main__":
    main()
