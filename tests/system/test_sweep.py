"""Sweeps: members are the single runs bit for bit, whatever the ranks; stopped, killed, in parts; what is refused."""
import re
import signal
import subprocess
from pathlib import Path

import h5py
import numpy as np
import xarray

from harness import (BAD_INPUT, SMALL, Raw, changed, command, environment, execute, main, read_group,
                     side_by_side)
from restart_harness import STOPPED, RestartTest, end, ended, wait_for

FLOWS = changed(SMALL, {"sweep.attention.heads": [1, 2, 3], "sweep.repeats": 2, "flow.outputs": 4,
                        "sweep.attention.activation": ["softmax", "bayes-softmax"]})
# Members that can be hit in between: every question saves.
LONG = changed(SMALL, {"population.samples": 2**12, "flow.end_time": 20.0, "sweep.repeats": 12})
SAVING = {"output.every": 0.0, "output.checkpoint_every": 0.0}
EVERYTHING = changed(SMALL, {"flow.outputs": 2, "sgd.dimension": 60, "sgd.batch": 5, "sgd.learning_rate": 0.1,
                             "sgd.outputs": 3,
                             "train.starts": 2, "bayes.standard_error": 0.1, "maps.sequences": 2, "prune": {},
                             "population.test_samples": 1024, "sweep.model.signal": [[1.0, 2.0], [3.0, 4.0]]})


def members_saved(path):
    """How many."""
    return (read_group(path, "sweep")["done"] == 1).sum()


def results(path):
    """{group/name: array} of a sweep, but for the wall times."""
    with h5py.File(path) as file:
        groups = [name for name in file if name != "provenance"]
    return {f"{group}/{name}": array for group in groups for name, array in read_group(path, group).items()
            if (group, name) != ("sweep", "seconds")}


class Sweep(RestartTest):
    def assert_same(self, one, other):
        a, b = results(one), results(other)
        self.assertEqual(list(a), list(b))
        self.assertEqual([name for name in a if a[name].shape != b[name].shape
                          or a[name].tobytes() != b[name].tobytes()], [])

    def test_members_are_single_runs(self):
        """The last values of a run with the member's changes; shorter ones filled with NaN."""
        path = self.place("sweep", FLOWS)
        self.finish(path, ranks=2)
        all_ = read_group(path, "flow")
        self.assertEqual(all_["m"].shape, (3, 2, 2, 3, 2))
        self.assertEqual(all_["attention_heads"].tolist(), [1, 2, 3])
        self.assertEqual(all_["attention_activation"].tolist(), [1, 2])
        self.assertTrue((read_group(path, "sweep")["done"] == 1).all())
        members = [(h, a, r) for h in range(3) for a in range(2) for r in range(2)]

        def single(member):
            h, a, r = member
            changes = {"attention.heads": h + 1, "attention.activation": ["softmax", "bayes-softmax"][a],
                       "start.seed": SMALL["start"]["seed"] + r, "population.seed": 1 + r, "sweep": None}
            one = self.place(f"single{h}{a}{r}", FLOWS, changes)
            self.finish(one)
            return read_group(one, "flow")

        for (h, a, r), flow in zip(members, side_by_side(single, members)):
            with self.subTest(heads=h + 1, activation=a, repeat=r):
                found = all_["m"][h, a, r]
                np.testing.assert_array_equal(found[:h + 1], flow["m"][-1])
                self.assertTrue(np.isnan(found[h + 1:]).all())
                for name in "loss", "v", "gradient_norm", "loss_stderr":
                    self.assertEqual(all_[name][h, a, r], flow[name][-1])
                self.assertEqual(all_["end_time"][h, a, r], 4)
        for engine in "netcdf4", "h5netcdf":
            with xarray.open_dataset(path, group="flow", engine=engine) as data:
                self.assertEqual(data.m.dims, ("attention_heads", "attention_activation", "repeat", "head", "feature"))

    def test_everything(self):
        """All sections in one sweep, on any number of ranks in a member."""
        alone = self.place("alone", EVERYTHING)
        self.finish(alone)
        found = results(alone)
        for name, shape in {"flow/m": (2, 2, 2), "sgd/m_mean": (2, 2, 2), "train/m": (2, 2, 2, 2), "bayes/risk": (2,),
                            "prune/loss": (2, 2, 2), "maps/sigma": (2, 2, 2, 3)}.items():
            self.assertEqual(found[name].shape, shape, name)
            self.assertFalse(np.isnan(found[name]).any(), name)
        self.assertFalse("sgd/sequences_per_second" in found)
        for ranks, each in (2, 1), (3, 2), (4, 2), (3, 3):
            path = self.place(f"{ranks}-{each}", EVERYTHING, {"sweep.ranks_per_member": each})
            self.finish(path, ranks=ranks)
            self.assert_same(path, alone)

    def test_stopped_and_killed(self):
        """The rest is computed, nothing twice; the same bits as in one go."""
        whole = self.place("whole", LONG)
        self.finish(whole, ranks=2)
        for name, number in ("stopped", signal.SIGUSR1), ("killed", signal.SIGKILL):
            with self.subTest(name):
                path = self.place(name, LONG, SAVING)
                process, _ = self.paused(path, ranks=2, pause=7, until=lambda path: members_saved(path) > 2)
                if number == signal.SIGKILL:
                    end(process)
                else:
                    process.send_signal(number)
                    self.assert_stopped(ended(process), name)
                text = self.finish(path, ranks=3)
                self.assertRegex(text, r"sweep: \d+ members to compute")
                self.assertLess(int(text.split("sweep: ")[1].split()[0]), 12, "nothing was saved")
                self.assertIn("sweep: 12 of 12 members", text)
                self.assert_same(path, whole)
        self.assertIn("finished already", self.finish(whole))

    def test_parts(self):
        """Each computes its members alone, and merge makes of them what one run makes; also of parts that are
        missing."""
        whole = self.place("whole", FLOWS)
        self.finish(whole)
        parts = [self.folder / "parts" / f"part{i}.h5" for i in (1, 2, 3)]
        parts[0].parent.mkdir()
        for i, part in enumerate(parts, 1):
            self.finish(whole, "--part", f"{i}/3", "--output", part)
            self.assertEqual((read_group(part, "sweep")["done"] == 1).sum(), 4)
        merged, some = (self.folder / "parts" / name for name in ("merged.h5", "some.h5"))
        for out, files in (merged, parts), (some, parts[1:]):
            done = execute(self.folder, command("merge", out, *files))
            self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assert_same(merged, whole)
        self.assertEqual((read_group(some, "sweep")["done"] == 1).sum(), 8)
        single, other = self.place("single", SMALL), self.place("other", SMALL, {"sweep": {"start.seed": [1, 2]}})
        for path in single, other:
            self.finish(path)
        for words, error in (((merged, *parts), "--force"),
                             ((self.folder / "x.h5", single), "single/case.h5 is no file of a sweep"),
                             ((self.folder / "x.h5", parts[0], single), "single/case.h5"),
                             ((self.folder / "x.h5", parts[0], other), "other/case.h5"),
                             ((self.folder / "x.h5", whole.with_suffix(".toml")), "case.toml"),
                             ((self.folder / "x.h5", parts[0], self.folder / "none.h5"), "none.h5")):
            done = execute(self.folder, command("merge", *words))
            self.assertEqual(done.returncode, BAD_INPUT, done.stderr)
            self.assertIn(error, done.stderr)
            self.assertFalse((self.folder / "x.h5").exists())

    def test_progress(self):
        """A line as each member comes in, but the last."""
        done = subprocess.run(command("run", "case.toml", ranks=2), cwd=self.place("told", FLOWS).parent, text=True,
                              env=environment(HEADFLOW_PROGRESS="1e-9"), capture_output=True, check=True)
        told = re.findall(r"(?m)^headflow: sweep: (\d+) of 12 members, \d+:\d\d:\d\d left$", done.stderr)
        self.assertEqual(told, [str(count) for count in range(1, 12)], done.stderr)

    def test_parts_into_one_file(self):
        """In any order, the same twice, another number of parts, the whole after them; none is lost or repeated."""
        whole = self.place("whole", FLOWS)
        self.finish(whole, ranks=2)
        path = self.place("one", FLOWS)

        def run(*words, computed, done):
            text = self.finish(path, *words)
            if computed:
                self.assertIn(f"sweep: {computed} members to compute", text)
            else:
                self.assertIn("finished already", text)
                self.assertNotIn("to compute", text)
            self.assertEqual((read_group(path, "sweep")["done"] == 1).sum(), done)
            self.assertEqual(f"{done} of 12 members" in text, done < 12 or bool(computed))
            self.assertEqual("--force" in text, False)
            self.assertIn(f"sweep: {done} of 12 members", execute(path.parent, command("info", path)).stdout)
            self.assertEqual("finished" in read_group(path, "provenance"), done == 12)

        run("--part", "3/3", computed=4, done=4)
        run("--part", "3/3", computed=0, done=4)
        run("--part", "1/2", computed=4, done=8)
        run("--part", "1/3", computed=2, done=10)
        run("--part", "1/2", computed=0, done=10)
        for checkpoint in path.parent.glob("*.checkpoint-*"):
            checkpoint.unlink()  # the output alone has them, too
        run(computed=2, done=12)
        run("--part", "2/2", computed=0, done=12)
        run(computed=0, done=12)
        self.assert_same(path, whole)
        self.assertIn("flow.end_time", self.refused(path, "--set", "flow.end_time=5"))

    def test_a_merged_file_is_completed(self):
        whole = self.place("whole", FLOWS)
        self.finish(whole)
        path = self.place("parts", FLOWS)
        for part in "1/3", "2/3":
            self.finish(path, "--part", part, "--output", f"part{part[0]}.h5")
        done = execute(path.parent, command("merge", path, "part1.h5", "part2.h5"))
        self.assertEqual((done.returncode, done.stdout), (0, f"merged: 8 of 12 members in {path}\n"), done.stderr)
        self.assertIn("sweep: 4 members to compute", self.finish(path))
        self.assert_same(path, whole)

    def test_parts_after_an_interrupted_one(self):
        whole = self.place("whole", LONG)
        self.finish(whole, ranks=2)
        path = self.place("stopped", LONG, SAVING)
        process, _ = self.paused(path, "--part", "1/2", ranks=2, pause=7, until=lambda path: members_saved(path) > 0)
        process.send_signal(signal.SIGUSR1)
        self.assert_stopped(ended(process), "part")
        self.finish(path, "--part", "2/2", ranks=2)
        text = self.finish(path)
        self.assertIn("sweep: 12 of 12 members", text)
        self.assertLess(int(text.split("sweep: ")[1].split()[0]), 6, "nothing was saved")
        self.assert_same(path, whole)

    def test_repeats_are_no_copies(self):
        """Whatever the axes set, and in every section that is random."""
        random = {"start.seed": [100, 200, 300], "population.seed": [1, 2], "sgd.seed": [5, 6], "train.starts": [1, 2],
                  "flow.end_time": [1.0, 2.0], "maps.seed": [1, 2]}
        explicit = {"start": {"m": [[0.1, 0.2], [0.3, 0.1]]}, "sweep": {"repeats": 2}}
        cases = {key: {"sweep": {key: values, "repeats": 2}} for key, values in random.items()}
        cases |= {"explicit": explicit, "bayes": {"flow": None, "bayes.standard_error": 0.1, "sweep": {"repeats": 2}}}

        def differ(name):
            base = EVERYTHING if name.split(".")[0] in ("sgd", "train", "maps") else SMALL
            path = self.place(name, base, {"sweep": None} | cases[name])
            self.finish(path)
            found = results(path)
            samples = {"flow/loss", "flow/m", "sgd/batch_loss", "train/sampled_loss", "bayes/risk", "maps/sigma"}
            samples &= set(found)
            if name == "explicit":
                samples.remove("flow/m")
            return {key: np.split(found[key], 2, axis=len(cases[name]["sweep"]) - 1) for key in samples}

        for name, found in zip(cases, side_by_side(differ, cases)):
            for key, (one, two) in found.items():
                with self.subTest(name, variable=key):
                    own = np.isfinite(one) & np.isfinite(two)
                    self.assertTrue(own.any())
                    self.assertTrue((one != two)[own].all())

    def test_start_from_a_member(self):
        """start.member names it; a file of a sweep is not taken without."""
        path = self.place("sweep", FLOWS)
        self.finish(path)
        members = read_group(path)
        again = {"start": {"file": str(path), "member": [2, 1, 2]}, "flow.end_time": 0.01}
        one = self.place("one", SMALL, again)
        self.finish(one)
        np.testing.assert_allclose(read_group(one)["m"][0], members["m"][1, 0, 1, :2], rtol=1e-12)
        np.testing.assert_array_equal(read_group(one)["b"][0], members["b"][1, 0, 1, :2])
        axes = ["attention_heads (1 to 3)", "attention_activation (1 to 2)", "repeat (1 to 2)"]
        for member, words in {None: [*axes, "start.member"], (2, 1): [*axes, "[2, 1]"], (4, 1, 1): axes,
                              (2, 1.5, 1): axes, (0, 1, 1): ["start.member", ">= 1"],
                              (3, 1, 1): ["3 x 2", "2 x 2"]}.items():
            text = self.refused(self.place(f"member{member}", SMALL, again | {
                "start": {"file": str(path)} | ({"member": list(member)} if member else {})}))
            for word in words:
                self.assertIn(word, text)
        some = self.place("some", FLOWS, {"sweep": {"attention.heads": [2, 3]}})
        self.finish(some, "--part", "1/2")
        self.assertIn("[2] is not computed yet", self.refused(self.place("missing", SMALL, {
            "start": {"file": str(some), "member": 2}, "attention.heads": 3})))
        of_one = {"start": {"file": str(one), "member": 1}}
        self.assertIn("single run", self.refused(self.place("single", SMALL, of_one)))
        self.assertIn("start.file", self.refused(self.place("alone", SMALL, {"start.member": 1})))
        # One axis: the shape of a sweep is that of a run.
        last = {"start": {"file": str(some)}, "attention.heads": 3}
        self.assertIn("it is of a sweep", self.refused(self.place("axis", SMALL, last)))
        axis = self.place("swept", SMALL, again | {"sweep": {"start.member": [[2, 1, 1], [2, 2, 2]]}})
        self.finish(axis)
        self.assertEqual(read_group(axis)["m"].shape, (2, 2, 2))

    def test_axes_of_members(self):
        """Keep their values, also in a file that went on."""
        dimensions = [1e2, 1e3, 1e5]
        path = self.place("saddle", SMALL, {"flow": None, "saddle": {"dimensions": dimensions, "end_time": 5.0},
                                            "sweep": {"start.seed": [1, 2]}})
        self.finish(path, "--part", "2/2")
        self.assertEqual(read_group(path, "saddle")["dimension"].tolist(), dimensions)
        self.finish(path)
        self.assertEqual(read_group(path, "saddle")["dimension"].tolist(), dimensions)

    def test_from_a_pipe(self):
        path = self.place("pipe", FLOWS)
        text = path.with_suffix(".toml").read_text()
        for ranks in 0, 2:
            words = command("run", "/dev/stdin", "--output", f"{ranks}.h5", ranks=ranks)
            done = subprocess.run(words, input=text, text=True, cwd=path.parent, env=environment(), capture_output=True)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assert_same(path.with_name("0.h5"), path.with_name("2.h5"))

    def test_check(self):
        """How many members; a million are checked in no time, and TERM ends it."""
        def members(name, changes, *words):
            path = self.place(name, SMALL, changes)
            done = execute(path.parent, command("check", "--members", "case.toml", *words))
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            return done.stdout

        self.assertEqual(members("none", {}), "1\n")
        self.assertEqual(members("twelve", {"sweep": FLOWS["sweep"]}), "12\n")
        self.assertEqual(members("set", {}, "--set", "sweep.repeats=3", "--force", "--max-walltime", "1"), "3\n")
        big = self.place("big", SMALL, {"sweep": {"repeats": 10**6}})
        done = execute(big.parent, command("check", "case.toml"))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("1000000 members", done.stdout)
        product = self.place("product", SMALL, {"sweep": {key: {"from": 1, "to": 2, "count": 1000}
                                                          for key in ("start.noise", "start.eta")}})
        process = subprocess.Popen(command("check", "case.toml"), cwd=product.parent, env=environment(), text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(end, process)
        status = Path(f"/proc/{process.pid}/status")
        caught = re.compile(r"SigCgt:\s*(\w+)")
        wait_for(lambda: int(caught.search(status.read_text())[1], 16) >> (signal.SIGTERM - 1) & 1, process)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(ended(process).code, -signal.SIGTERM, "it has nothing to save")

    def test_a_failed_member(self):
        """SGD that explodes in one member: reported, the others finished; all of them: exit code 3."""
        base = changed(SMALL, {"sgd.dimension": 60, "sgd.batch": 5, "sgd.end_time": 0.4, "flow": None,
                               "sgd.outputs": 2})
        path = self.place("one", base, {"sgd.learning_rate": 0.04, "sweep.sgd.learning_rate": [0.04, 1e9],
                                        "sgd.end_time": None, "sgd.steps": 10})
        done = self.run_case(path, ranks=2)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr, r"warning: sweep member sgd.learning_rate=1000000000.0 has failed: SGD diverged")
        self.assertEqual(read_group(path, "sweep")["done"].tolist(), [1, -1])
        self.assertIn("SGD diverged", read_group(path, "provenance")["failures"])
        path = self.place("all", base, {"sgd.learning_rate": 1e9, "sweep.model.signal": [[1.0, 1.0], [2.0, 2.0]],
                                        "sgd.end_time": None, "sgd.steps": 10})
        done = self.run_case(path)
        self.assertEqual(done.returncode, 3)
        self.assertIn("every member", done.stderr)

    def test_axes(self):
        """Ranges, elements of lists, keys that vary together, --set in place of an axis."""
        path = self.place("axes", SMALL, {"sweep": {"model.signal[2]": {"from": 1.0, "to": 4.0, "count": 3,
                                                                        "spacing": "log"},
                                                    "attention.heads": [1, 2, 3], "model.signal[1]": [5.0, 6.0, 7.0],
                                                    "zip": [["model.signal[1]", "attention.heads"]]}})
        self.finish(path)
        flow = read_group(path, "flow")
        self.assertEqual(flow["model_signal_2"].tolist(), [1, 2, 4])
        self.assertEqual(flow["m"].shape, (3, 3, 3, 2))
        self.assertIn("model_signal_1", flow)
        self.finish(path, "--output", "set.h5", "--set", 'sweep."model.signal[2]"=[1.0]', "--set", "sweep.zip=[]")
        self.assertEqual(read_group(path.with_name("set.h5"), "flow")["loss"].size, 9)

    def test_refused(self):
        cases = {
            "unknown key": ({"attention.hedas": [1]}, ["attention.hedas", "attention.heads?"]),
            "bad value": ({"attention.heads": [1, 0]}, ["attention.heads=0", ">= 1"]),
            "no list": ({"attention.heads": 2}, ["attention.heads = 2", "list"]),
            "empty list": ({"attention.heads": []}, ["attention.heads", "no values"]),
            "no axis": ({}, ["no axis"]),
            "no section": ({"heads": [1, 2]}, ['"heads"', "section.key"]),
            "range": ({"flow.end_time": {"from": 1.0, "to": 2.0}}, ["flow.end_time", "count"]),
            "range word": ({"flow.end_time": {"from": 1.0, "to": 2.0, "cout": 2}}, ["cout", "count"]),
            "log range": ({"flow.end_time": {"from": 0.0, "to": 2.0, "count": 2, "spacing": "log"}},
                          ["flow.end_time", "> 0"]),
            "spacing": ({"flow.end_time": {"from": 1.0, "to": 2.0, "count": 2, "spacing": "lin"}},
                        ['"lin"', '"linear"']),
            "zip of unequal": ({"attention.heads": [1, 2], "flow.end_time": [1.0],
                                "zip": [["attention.heads", "flow.end_time"]]},
                               ["zip", "2", "1"]),
            "zip of nothing": ({"attention.heads": [1, 2], "zip": [["attention.heads", "flow.step"]]},
                               ["zip", "flow.step"]),
            "repeats": ({"repeats": 0}, ["repeats = 0", ">= 1"]),
            "ranks": ({"attention.heads": [1], "ranks_per_member": -1}, ["ranks_per_member = -1", ">= 0"]),
            "output": ({"output.every": [1.0]}, ["output.every", "cannot be swept"]),
            "element": ({"model.signal[3]": [1.0]}, ["model.signal[3]", "list"]),
            "element written otherwise": ({"model.signal[02]": [1.0]}, ["model.signal[02]", "list"]),
            "list and element": ({"model.signal": [[1.0, 2.0]], "model.signal[2]": [1.0]},
                                 ["model.signal and model.signal[2]"]),
            "large count": ({"start.eta": {"from": 1, "to": 2, "count": Raw("1e10")}}, ["start.eta", "1000000"]),
            "many repeats": ({"repeats": 10**10}, ["repeats = 10000000000", "10000000"]),
            "overflow": ({key: {"from": 1, "to": 2, "count": 65536} for key in
                          ("flow.end_time", "start.noise", "start.eta", "flow.tolerance")},
                         ["65536 x 65536", "10000000"]),
        }

        def refused(name):
            return self.refused(self.place(name, SMALL, {"sweep": cases[name][0]}))

        for name, text in zip(cases, side_by_side(refused, cases)):
            with self.subTest(name):
                for word in cases[name][1]:
                    self.assertIn(word, text)
        path = self.place("set", SMALL, {"sweep": {"start.seed": [1, 2], "model.signal[2]": [1.0, 2.0],
                                                   "start.noise": [0.1, 0.2], "zip": [["start.seed", "start.noise"]]}})
        for setting in "start.seed=5", "start.noise=1", "model.signal[2]=3":
            text = self.refused(path, "--set", setting)
            self.assertIn(f"--set {setting}", text)
            self.assertIn("sweep", text)
        path = self.place("part", SMALL)
        self.assertIn("[sweep]", self.refused(path, "--part", "1/2"))
        sweep = self.place("parts", FLOWS)
        for part in "0/2", "3/2", "x", "1", "1/2/3":
            self.assertIn("--part", self.refused(sweep, "--part", part))
        self.assertEqual(STOPPED, 75)


if __name__ == "__main__":
    main()
