"""Damaged checkpoints, full disks and folders that go away: refused or made up for, never a crash or other numbers."""
import os
import random
import resource
import shutil
import subprocess
import time
import unittest

from harness import changed, command, execute, main, side_by_side, toml_text
from restart_harness import QUICK, SGD, STOPPED, RestartTest, checkpoints, differing, ended, numbers_in, wait_for

SAMPLE = 25     # damaged files for which a program is started

# Both groups, and states of both, in a file of some 100 KB.
INPUT = changed(QUICK | {"sgd": SGD["sgd"]}, {"sgd.dimension": 60, "sgd.batch": 5, "sgd.learning_rate": 0.04,
                                              "sgd.end_time": 4.0, "sgd.save_weights": False})


class Damage(RestartTest):
    """A run stopped twice; its newer checkpoint is damaged in one place."""
    def setUp(self):
        super().setUp()
        whole = self.place("whole", INPUT)
        self.finish(whole)
        self.reference = numbers_in(whole)
        self.origin = self.place("origin", INPUT)
        for _ in range(2):
            self.assertEqual(self.run_case(self.origin, "--max-walltime", "0.001").returncode, STOPPED)
        self.newer = checkpoints(self.origin)[2]

    def go_on(self, name, data, both=False):
        """The exit code, the names of differing datasets and the messages of a run that finds these bytes."""
        folder = self.folder / name
        shutil.copytree(self.origin.parent, folder)
        (folder / self.newer.name).write_bytes(data)
        if both:
            shutil.copy(folder / self.newer.name, folder / "case.checkpoint-1.h5")
        done = execute(folder, command("run", "case.toml"))
        differs = differing(numbers_in(folder / "case.h5"), self.reference) if done.returncode == 0 else []
        shutil.rmtree(folder)
        return name, done.returncode, differs, done.stderr

    def check(self, found):
        for name, code, differs, errors in found:
            with self.subTest(name):
                self.assertEqual((code, differs), (0, []), errors)
                self.assertIn(f"warning: checkpoint {self.newer.name} cannot be used", errors)

    def test_flipped_bytes(self):
        """One bit each in places spread over the file, its seal included."""
        data, randomness = self.newer.read_bytes(), random.Random(11)
        places = [randomness.randrange(i * len(data) // SAMPLE, (i + 1) * len(data) // SAMPLE)
                  for i in range(SAMPLE)] + [0, len(data) - 1, len(data) - 9, len(data) - 17]

        def one(place):
            damaged = bytearray(data)
            damaged[place] ^= 1 << randomness.randrange(8)
            return self.go_on(f"byte {place}", bytes(damaged))

        self.check(side_by_side(one, places))

    def test_truncated(self):
        data = self.newer.read_bytes()
        lengths = [*range(0, len(data), 1024), len(data) - 24, len(data) - 1]
        self.check(side_by_side(lambda length: self.go_on(f"length {length}", data[:length]), lengths))

    def test_other_damage(self):
        """Other bytes in the place of a block, bytes too many, and the same damage to both files."""
        data = self.newer.read_bytes()
        middle = len(data) // 2
        self.check([self.go_on("block", data[:middle] + b"\x5a" * 4096 + data[middle + 4096:]),
                    self.go_on("longer", data + bytes(512)), self.go_on("twice", data + data[-24:])])
        _, code, _, errors = self.go_on("both", data[:middle], both=True)
        self.assertEqual(code, 4, errors)

    def test_damaged_outputs(self):
        """HDF5 may crash on these: refused before it sees them, wherever an output is read."""
        whole = self.folder / "whole" / "case.h5"
        data, randomness = whole.read_bytes(), random.Random(12)
        folder = self.folder / "readers"
        folder.mkdir()
        (folder / "next.toml").write_text(toml_text(changed(INPUT, {"start": {"file": "case.h5"}})))
        for place in [randomness.randrange(len(data)) for _ in range(6)] + [0, 8, 100]:
            damaged = bytearray(data)
            damaged[place] ^= 1 << randomness.randrange(8)
            (folder / "case.h5").write_bytes(damaged)
            for words in ("info", "case.h5"), ("merge", "all.h5", "case.h5"), ("check", "next.toml"), ("run",
                                                                                                       "next.toml"):
                with self.subTest(place=place, words=words):
                    done = execute(folder, command(*words))
                    self.assertEqual(done.returncode, 2, done.stderr)
                    self.assertIn("damaged" if place < len(data) - 24 else "case.h5", done.stderr)

    def test_undamaged(self):
        """Without damage the newer is used: the warnings above come from the damage alone."""
        name, code, differs, errors = self.go_on("whole file", self.newer.read_bytes())
        self.assertEqual((code, differs, errors), (0, [], ""))


class Disk(RestartTest):
    LONG = changed(INPUT, {"sgd.dimension": 20000, "sgd.steps": 100000, "sgd.end_time": None, "sgd.outputs": 1000,
                           "output.checkpoint_every": 0.0, "output.every": 0.0, "output.file": "out/case.h5"})

    def assert_file_failure(self, stopped, name):
        """Exit code 4 and a message that names the file; mpiexec passes the code on."""
        self.assertEqual(stopped.code, 4, stopped)
        self.assertRegex(stopped.errors, rf"headflow: error: .*{name}")

    def begin(self, name, ranks=0):
        """A long run whose files go to `out`, after its second checkpoint."""
        path = self.place(name, self.LONG)
        out = path.parent / "out"
        out.mkdir()
        return path, out

    def wait_for_checkpoints(self, out, process):
        self.assertTrue(wait_for((out / "case.checkpoint-2.h5").exists, process), "no checkpoints")

    def fill(self, filler, process):
        """Takes all room that is left, also what the run gives back, until the run has ended."""
        with open(filler, "wb", buffering=0) as file:
            while process.poll() is None:
                try:
                    file.write(bytes(65536))
                except OSError:
                    time.sleep(1e-3)

    @unittest.skipUnless(os.geteuid() == 0, "NOT TESTED: only root can mount a small disk")
    def test_full_disk(self):
        for ranks in 0, 2:
            with self.subTest(ranks=ranks):
                path, out = self.begin(f"full{ranks}")
                mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", out], capture_output=True)
                if mounted.returncode != 0:
                    self.skipTest(f"NOT TESTED: no small disk: {mounted.stderr.decode().strip()}")
                self.addCleanup(subprocess.run, ["umount", "-l", out], check=False)
                process = self.launch(path, ranks=ranks)
                self.wait_for_checkpoints(out, process)
                self.fill(out / "filler", process)
                self.assert_file_failure(ended(process), r"out/case\.")
                numbers_in(out / "case.h5")
                self.assertEqual(len(checkpoints(out / "case.h5")), 2)
                (out / "filler").unlink()
                done = self.run_case(path, "--max-walltime", "0.001")
                self.assertEqual((done.returncode, done.stderr), (STOPPED, ""))
                self.assertIn("going on from out/case.checkpoint-", done.stdout)

    def test_limit_of_file_sizes(self):
        """As of `ulimit -f`, or a quota: an error of what is written, not the signal that would end the run."""
        path, out = self.begin("limit")
        process = self.launch(path)
        self.wait_for_checkpoints(out, process)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4096, 4096))
        self.assert_file_failure(ended(process), r"out/case\.")
        self.assertEqual(len(checkpoints(out / "case.h5")), 2)

    def test_vanished_folder(self):
        for ranks in 0, 2:
            with self.subTest(ranks=ranks):
                path, out = self.begin(f"vanished{ranks}")
                process = self.launch(path, ranks=ranks)
                self.wait_for_checkpoints(out, process)
                out.rename(out.with_name("elsewhere"))
                self.assert_file_failure(ended(process), r"out/case\.")
                self.assertEqual(len(checkpoints(path.parent / "elsewhere" / "case.h5")), 2)

    def test_unwritable_folder(self):
        """A folder in the place of the next file stops root, too."""
        path, out = self.begin("unwritable")
        process = self.launch(path)
        self.wait_for_checkpoints(out, process)
        while process.poll() is None:
            for number in 1, 2:
                try:
                    (out / f"case.checkpoint-{number}.h5.part").mkdir()
                except FileExistsError:
                    pass
        self.assert_file_failure(ended(process), r"out/case\.")
        self.assertEqual(len(checkpoints(out / "case.h5")), 2)


if __name__ == "__main__":
    main()
