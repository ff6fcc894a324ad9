"""The names of a run's files: no two outputs share one, one run at a time writes an output, nothing else is touched."""
import os
import shutil
import socket
import subprocess
import threading
import unittest
from pathlib import Path

import h5py

from harness import PLOT, SMALL, changed, command, content, environment, execute, main, side_by_side
from restart_harness import (FEW, FLOW, QUICK, SGD, STOPPED, RestartTest, differing, ended, numbers_in, wait_for,
                             wait_for_update)

WEIGHTS = changed(SGD, {"sgd.dimension": 60, "sgd.batch": 5, "sgd.learning_rate": 0.04, "sgd.end_time": 4.0})
SWEEP = changed(SMALL, {"sweep.repeats": 4})
STOP_AT_ONCE = "--max-walltime", "0.001"
ENDLESS = changed(FLOW, {"flow.end_time": 1e9, "flow.outputs": 1})


class FilesTest(RestartTest):
    def headflow_in(self, folder, *words, **options):
        return execute(folder, command(*words), **options)

    def assert_refused(self, done, *texts):
        """With exit code 2 and one line."""
        self.assertEqual((done.returncode, done.stderr.count("\n")), (2, 1), done.stderr)
        for text in texts:
            self.assertIn(text, done.stderr)


class Names(FilesTest):
    NAMES = ("scan_D1.0", "scan_D1.5", "a", "a.h5", "a.hdf5", "a.b.h5", ".h5", ".a", "a b", "ufs:a:b", "%s{}",
             "ä.h5", "-x", "a.h5.h5")

    def test_outputs_share_nothing(self):
        """Stopped in one folder and gone on with there, each in turn; the numbers are those of a run alone."""
        path = self.place("together", WEIGHTS)
        folder = path.parent
        self.finish(self.place("alone", WEIGHTS, {"sgd.seed": 1}))
        reference = numbers_in(self.folder / "alone" / "case.h5")

        def run(name, *words):
            words = "case.toml", f"--output={name}", f"--set=sgd.seed={seeds[name]}", *words
            return self.headflow_in(folder, "run", *words)

        seeds = {name: 1 + i for i, name in enumerate(self.NAMES)}
        for name in self.NAMES:
            self.assertEqual(run(name, *STOP_AT_ONCE).returncode, STOPPED, name)
        before = content(folder)
        for name in self.NAMES:
            done = run(name)
            self.assertEqual((done.returncode, done.stderr), (0, ""), name)
            self.assertIn("going on from", done.stdout)
        self.assertEqual(set(before) - set(content(folder)), set())
        files = set(content(folder)) - {"case.toml"}
        self.assertEqual(len(files), len(self.NAMES) * 4, sorted(files))  # output, two checkpoints, weights
        with h5py.File(folder / "scan_D1.0") as one, h5py.File(folder / "scan_D1.5") as other:
            self.assertNotEqual(one["sgd/m"][()].tobytes(), other["sgd/m"][()].tobytes())
        expected = {name: value for name, value in reference.items() if not name.startswith("weights")}
        self.assertEqual(differing(numbers_in(folder / "scan_D1.0"), expected), [])
        others = {name: data for name, data in content(folder).items() if not name.startswith("scan_D1.0")}
        self.assertEqual(run("scan_D1.0", "--force").returncode, 0)
        after = content(folder)
        self.assertEqual({name for name in others if others[name] != after.get(name)}, set())

    def test_names_of_other_files(self):
        """An output may not have the name of a file beside another."""
        path = self.place("case", QUICK)
        for name in ("a.checkpoint-1.h5", "a.checkpoint-12", "a.weights-0.h5", "a.h5.part", "a.h5.lock", "a.h5.stop"):
            with self.subTest(name):
                self.assertIn(name, self.refused(path, "--output", name))

    def test_default_names(self):
        """Of inputs without .toml, too."""
        path = self.place("case", QUICK)
        for name, output in ("scan_D1.0", "scan_D1.0.h5"), ("scan_D1.5.toml", "scan_D1.5.h5"), (".toml", ".toml.h5"):
            shutil.copy(path.with_suffix(".toml"), path.with_name(name))
            self.assertIn(f"finished: {output}", self.headflow_in(path.parent, "run", name).stdout)

    def test_one_output_under_several_names(self):
        """By a link, a linked folder, a dot, from the root: the same run. The links stay."""
        path = self.place("case", changed(QUICK, {"flow.end_time": 1000.0, "flow.output_times": [0.0, 1000.0]}))
        (self.folder / "other").symlink_to(path.parent)
        (path.parent / "there").mkdir()
        (path.parent / "link.h5").symlink_to("there/case.h5")
        (path.parent / "second").symlink_to("link.h5")
        names = ["there/case.h5", "link.h5", "second", "./there/../link.h5", path.parent / "link.h5",
                 self.folder / "other" / "link.h5"]
        for number, name in enumerate(names):
            done = self.run_case(path, "--output", name, *STOP_AT_ONCE)
            self.assertEqual(done.returncode, STOPPED, done.stderr)
            if number > 0:
                self.assertIn("going on from", done.stdout)
        self.assertEqual(sorted(os.listdir(path.parent)), ["case.toml", "link.h5", "second", "there"])
        self.assertEqual(sorted(os.listdir(path.parent / "there")),
                         ["case.checkpoint-1.h5", "case.checkpoint-2.h5", "case.h5"])
        self.assertTrue((path.parent / "link.h5").is_symlink())
        self.assertIn("flow", h5py.File(path.parent / "there" / "case.h5"))

    def test_files_of_others(self):
        """What stands in the place of a checkpoint and is none of this output is never lost, nor gone on from."""
        path, other = self.place("case", QUICK), self.place("other", changed(QUICK, {"output.file": "other.h5"}))
        self.assertEqual(self.run_case(other, *STOP_AT_ONCE).returncode, STOPPED)
        foreign = (other.parent / "other.checkpoint-1.h5").read_bytes()
        path.with_name("case.checkpoint-1.h5").write_text("notes")
        path.with_name("case.checkpoint-2.h5").write_bytes(foreign)
        path.with_name("case.checkpoint-7.h5").write_bytes(foreign)
        self.assertIn("not of output case.h5", self.refused(path, code=4))
        self.finish(path, "--restart", "none")
        self.finish(path, "--force")
        self.assertEqual(path.with_name("case.checkpoint-1.h5.set-aside-1").read_text(), "notes")
        self.assertEqual(path.with_name("case.checkpoint-2.h5.set-aside-1").read_bytes(), foreign)
        self.assertEqual(path.with_name("case.checkpoint-7.h5").read_bytes(), foreign)
        self.assertEqual(len(list(path.parent.glob("*.set-aside-*"))), 2)

    def test_output_of_another_run(self):
        """It is not replaced by a run that goes on from checkpoints of its own."""
        path, other = self.place("case", QUICK), self.place("other", QUICK)
        self.finish(other)
        for _ in range(2):
            self.assertEqual(self.run_case(path, *STOP_AT_ONCE).returncode, STOPPED)
        shutil.copy(other, path)
        self.assertIn("another run", self.refused(path))
        self.finish(path, "--restart", "auto", "--force")

    def test_pictures(self):
        """Of files whose names differ after the last dot, or in .h5 alone."""
        path = self.place("case", QUICK)
        self.finish(path)
        names = ["scan_D1.0", "scan_D1.5", "a", "a.h5", "a.h5.h5", "a.hdf5", ".h5"]
        for name in names:
            shutil.copy(path, path.with_name(name))
        drawn = side_by_side(lambda name: execute(path.parent, [PLOT, f"./{name}"]), names)
        pictures = [done.stdout.strip() for done in drawn]
        self.assertEqual([done.stderr for done in drawn], [""] * len(names))
        self.assertEqual(len(set(pictures)), len(names), pictures)
        self.assertEqual(pictures[3], "a.png")
        self.assertEqual({Path(name).name for name in pictures}, {file.name for file in path.parent.glob("*.png")})


class Kinds(FilesTest):
    """Everything but a regular file, at every path."""
    def kinds(self, folder):
        """{name: path} of one thing of each kind."""
        made = {"folder": folder / "folder", "pipe": folder / "pipe", "socket": folder / "socket",
                "device": Path("/dev/null"), "loop": folder / "loop", "below a file": folder / "file" / "x.h5",
                "no folder": folder / "none" / "x.h5", "long": folder / ("x" * 256),
                "deep": folder / ("x/" * 3000 + "x")}
        made["folder"].mkdir()
        os.mkfifo(made["pipe"])
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(str(made["socket"]))
        made["loop"].symlink_to("loop")
        (folder / "file").touch()
        return made

    def test_output(self):
        def content(folder):
            return {str(file): (file.lstat().st_mode, file.lstat().st_size) for file in folder.rglob("*")}

        path = self.place("case", QUICK)
        for name, bad in self.kinds(path.parent).items():
            with self.subTest(name):
                for words in ["run", "case.toml", "--output", bad], ["run", "case.toml", "--force", "--output", bad], \
                        ["check", "case.toml", "--output", bad]:
                    before = content(path.parent)
                    self.assert_refused(self.headflow_in(path.parent, *words))
                    self.assertEqual(content(path.parent), before)

    def test_files_beside_it(self):
        """Also where only the longest name cannot be made."""
        path = self.place("case", WEIGHTS)
        for name in ("case.h5.part", "case.checkpoint-1.h5", "case.checkpoint-2.h5.part", "case.weights-100.h5",
                     "case.weights-100.h5.part", "case.h5.lock", "case.h5.stop"):
            for make in os.mkdir, os.mkfifo:
                with self.subTest(name, make=make.__name__):
                    make(path.with_name(name))
                    self.assertIn(name, self.refused(path))
                    (os.rmdir if make is os.mkdir else os.unlink)(path.with_name(name))
        path.with_name("case.h5.part").symlink_to("elsewhere")
        self.assertIn("link", self.refused(path))
        path.with_name("case.h5.part").unlink()
        for length in 200, 230, 236, 237, 240, 248, 251, 252:
            name = "x" * length + ".h5"
            done = self.run_case(path, "--output", name, *STOP_AT_ONCE)
            self.assertIn(done.returncode, (2, STOPPED), done.stderr)
            self.assertEqual(len(list(path.parent.glob("x*"))) > 0, done.returncode == STOPPED)
            for file in path.parent.glob("x*"):
                file.unlink()

    def test_files_to_read(self):
        path = self.place("case", QUICK)
        self.finish(path)
        for name, bad in self.kinds(path.parent).items():
            with self.subTest(name):
                for words in ["info", bad], ["merge", "out.h5", bad], \
                        ["run", "case.toml", "--restart", bad]:
                    self.assert_refused(self.headflow_in(path.parent, *words))
                if name != "pipe":
                    done = self.headflow_in(path.parent, "run", bad)
                    self.assertEqual((done.returncode, done.stderr.count("\n")), (2, 1), done.stderr)
        self.assert_refused(self.headflow_in(path.parent, "run", "/dev/zero"), "larger than")
        self.assert_refused(self.headflow_in(path.parent, "merge", "loop", "case.h5"))
        for bad in "folder", "pipe", "loop", "/dev/null":
            done = execute(path.parent, [PLOT, bad])
            self.assertEqual((done.returncode, done.stderr.count("\n")), (2, 1), done.stderr)

    def test_links_to_nothing(self):
        """The file is made where the link leads."""
        path = self.place("case", QUICK)
        (path.parent / "there").mkdir()
        path.symlink_to("there/real.h5")
        self.finish(path)
        self.assertTrue(path.is_symlink())
        self.assertEqual(sorted(os.listdir(path.parent / "there")), ["real.checkpoint-1.h5", "real.h5"])
        path.with_name("bad.h5").symlink_to("none/real.h5")
        self.assertIn("none", self.refused(path, "--output", "bad.h5"))

    @unittest.skipUnless(os.geteuid() == 0, "NOT TESTED: only root can mount a read-only folder")
    def test_read_only_folder(self):
        path = self.place("case", QUICK)
        fixed = path.parent / "fixed"
        fixed.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", fixed], capture_output=True)
        if mounted.returncode != 0:
            self.skipTest(f"NOT TESTED: {mounted.stderr.decode().strip()}")
        self.addCleanup(subprocess.run, ["umount", "-l", fixed], check=False)
        for words in [], ["--force"]:
            self.assertIn("not writable", self.refused(path, "--output", "fixed/case.h5", *words))

    @unittest.skipUnless(os.geteuid() == 0, "NOT TESTED: only root can make a file immutable")
    def test_immutable_output(self):
        path = self.place("case", QUICK)
        self.finish(path)
        if subprocess.run(["chattr", "+i", path], capture_output=True).returncode != 0:
            self.skipTest("NOT TESTED: no immutable files here")
        self.addCleanup(subprocess.run, ["chattr", "-i", path])
        self.assertIn("must not be changed", self.refused(path, "--force"))


LOCK = """headflow lock 1
id 0123456789abcdef
host elsewhere
process 4711
birth 17
place {place}
started 2026-01-02T03:04:05Z
job 99
every {every}
beat {beat:012}
"""


class Locks(FilesTest):
    """Of two runs with one output, the second is refused; what a killed run leaves stops nobody."""
    def hold(self, ranks=0):
        """A run that has written its output and waits."""
        path = self.place("case", ENDLESS)
        process, _ = self.paused(path, ranks=ranks, pause=FEW, until=Path.exists)
        return path, process

    def lock(self, path, every, beat=0, place="another boot/pid:[1]"):
        path.with_name("case.h5.lock").write_text(LOCK.format(place=place, every=every, beat=beat))

    def test_second_run(self):
        for ranks in 0, 2:
            with self.subTest(ranks=ranks):
                shutil.rmtree(self.folder / "case", ignore_errors=True)
                path, process = self.hold(ranks=ranks)
                lines = path.with_name("case.h5.lock").read_text().splitlines()
                fields = dict(line.split(" ", 1) for line in lines[1:])
                self.assertEqual(fields["host"], socket.gethostname())
                for words in [], ["--force"], ["--restart", "none"], ["--set", 'output.file="./case.h5"']:
                    done = self.run_case(path, *words)
                    self.assert_refused(done, "case.h5 is held", fields["host"], f"process {fields['process']}",
                                        fields["started"])
                self.assertEqual(self.headflow_in(path.parent, "info", "case.h5").returncode, 0)
                self.assertEqual(self.headflow_in(path.parent, "check", "case.toml").returncode, 0)
                self.assertEqual(execute(path.parent, [PLOT, "case.h5"]).returncode, 0)
                self.assertIsNone(process.poll())
                process.send_signal(10)
                self.assertEqual(ended(process).code, STOPPED)
                self.assertFalse(path.with_name("case.h5.lock").exists())

    def test_without_locks_of_hdf5(self):
        """The same where HDF5 asks for no locks."""
        path, _ = self.hold()
        done = execute(path.parent, command("run", "case.toml"), env=environment(HDF5_USE_FILE_LOCKING="FALSE"))
        self.assert_refused(done, "case.h5 is held")

    def test_parts_of_a_sweep(self):
        path = self.place("case", changed(ENDLESS, {"sweep.repeats": 4}))
        process = self.launch(path, "--part", "1/2")
        lock = path.with_name("case.h5.lock")
        wait_for(lambda: lock.exists() and lock.read_text().count("\n") == 10, process)
        self.assert_refused(self.run_case(path, "--part", "2/2"), "case.h5 is held")
        self.assertIsNone(process.poll())

    def test_merge(self):
        """Into a file that a run holds."""
        path, _ = self.hold()
        part = self.place("part", SWEEP)
        self.finish(part)
        self.assert_refused(self.headflow_in(path.parent, "merge", "case.h5", part, "--force"), "case.h5 is held")

    def test_killed(self):
        """The next run goes on at once, in the same place."""
        path, process = self.hold()
        process.kill()
        ended(process)
        self.assertTrue(path.with_name("case.h5.lock").exists())
        self.rewrite(path, ENDLESS, {"flow.end_time": 1.0})
        self.finish(path)
        self.assertFalse(path.with_name("case.h5.lock").exists())

    def test_left_behind_elsewhere(self):
        """On another host, or before a boot: no beat, no life; with one it is held."""
        path = self.place("case", QUICK)
        self.lock(path, 0.05)
        self.assertIn("host elsewhere (process 4711)", self.finish(path))
        path.unlink()
        end, beat = threading.Event(), 0
        self.lock(path, 20)

        def live():
            nonlocal beat
            while not end.wait(0.05):
                beat += 1
                with open(path.with_name("case.h5.lock"), "r+") as file:
                    file.write(LOCK.format(place="another boot/pid:[1]", every=20, beat=beat))

        thread = threading.Thread(target=live)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(end.set)
        done = self.run_case(path, "--force")
        self.assert_refused(done, "host elsewhere (process 4711, started 2026-01-02T03:04:05Z, Slurm job 99)")

    def test_stopped_while_it_looks(self):
        path = self.place("case", QUICK)
        self.lock(path, 500)
        process = self.launch(path)
        process.stdout.readline()
        process.send_signal(15)
        stopped = ended(process)
        self.assertEqual(stopped.code, STOPPED, stopped)
        self.assertIn("elsewhere", path.with_name("case.h5.lock").read_text())

    def test_another_file_in_its_place(self):
        path = self.place("case", QUICK)
        path.with_name("case.h5.lock").write_text("notes")
        self.assertIn("move it away", self.refused(path))
        path.with_name("case.h5.lock").write_text("")
        self.finish(path)

    def test_taken_over(self):
        """A run that finds another in its place ends and writes no more."""
        path = self.place("case", changed(ENDLESS, {"output.every": 0.0, "output.checkpoint_every": 0.1}))
        process = self.launch(path)
        wait_for_update(path, process)
        self.lock(path, 10)
        stopped = ended(process)
        self.assertEqual(stopped.code, 4, stopped)
        self.assertIn("taken over", stopped.errors)
        self.assertIn("elsewhere", path.with_name("case.h5.lock").read_text())


if __name__ == "__main__":
    main()
