"""One rank fails alone, wherever the others wait: all ranks end soon, with its message and its exit code."""
import os
import subprocess
import time
import unittest
from pathlib import Path

from harness import (BAD_INPUT, PROGRAM, SMALL, SystemTest, changed, command, environment, execute, main, mpiexec,
                     side_by_side)
from restart_harness import QUICK, STOPPED, RestartTest, ended, wait_for

FAILING = Path(os.environ.get("HEADFLOW_BUILD", PROGRAM.parent)).absolute() / "tests" / "system" / "one_rank_failure"
SOON = 300  # s, on a machine with other work to do; what hangs would hang for ever
NUMERICAL_FAILURE, FILE_FAILURE = 3, 4
CODES = {"input": BAD_INPUT, "numerical": NUMERICAL_FAILURE, "file": FILE_FAILURE, "memory": NUMERICAL_FAILURE,
         "interrupt": NUMERICAL_FAILURE, "unknown": NUMERICAL_FAILURE, "own": BAD_INPUT}
MESSAGES = {"input": "error{}: no such thing", "numerical": "error{}: no such number", "file": "error{}: no such file",
            "memory": "internal error{}: std::bad_alloc", "interrupt": "internal error{}: the run was asked to stop",
            "unknown": "internal error{}: unknown exception"}
PLACES = "plain", "mailbox", "petsc", "split", "sum", "file"
ALL = -1
# Members that take long enough for others to wait: one for each of three ranks.
SWEEP = changed(SMALL, {"sweep.ranks_per_member": 1, "sweep.repeats": 12, "output.every": 0.0,
                        "output.file": "out/case.h5"})


def messages(errors):
    """What headflow itself says; mpiexec has words of its own for a program that aborts."""
    return [line for line in errors.split("\n") if line.startswith("headflow")]


class Program(SystemTest):
    """A program that fails in a given place (one_rank_failure.cpp)."""

    def run_failing(self, case):
        place, error, rank = case
        folder = self.folder / f"{place}-{error}-{rank}"
        folder.mkdir()
        return case, execute(folder, [*mpiexec("-n", "3"), FAILING, place, error, rank], timeout=SOON)

    def check(self, cases):
        for (place, error, rank), done in side_by_side(self.run_failing, cases):
            with self.subTest(place, error=error, rank=rank):
                self.assertEqual(done.returncode, CODES[error], done.stderr)
                where = "" if rank == ALL or place == "root" else f" on rank {rank}"
                self.assertEqual(messages(done.stderr), ["headflow: " + MESSAGES[error].format(where)])

    def test_places(self):
        """On rank 0, on which the others depend most, and on another."""
        self.check([(place, error, rank) for place in PLACES for error, rank in (("input", 0), ("file", 1))])

    def test_errors(self):
        self.check([("plain", error, 2) for error in MESSAGES])

    def test_all_ranks(self):
        """Where all fail, rank 0 speaks for all, and they end without an abort unless a file is to blame."""
        self.check([(place, "input", ALL) for place in PLACES] + [("plain", error, ALL) for error in MESSAGES
                                                                  if error != "input"])

    def test_shared_by_rank_0(self):
        self.check([("root", error, 0) for error in ("input", "numerical", "file")])

    def test_different_messages(self):
        """Rank 0's, and the first that differs."""
        _, done = self.run_failing(("plain", "own", ALL))
        self.assertEqual(done.returncode, BAD_INPUT)
        self.assertEqual(sorted(messages(done.stderr)),
                         ["headflow: error on rank 1: trouble number 1", "headflow: error: trouble number 0"])

    def test_slab(self):
        """One rank cannot write its part of an array while the others write theirs."""
        for _, done in side_by_side(self.run_failing, [("slab", "file", rank) for rank in (0, 1)]):
            self.assertEqual(done.returncode, FILE_FAILURE, done.stderr)
            self.assertIn("cannot write slab.h5.part", done.stderr)


class Headflow(RestartTest):
    def run_soon(self, words, folder):
        begin = time.monotonic()
        done = execute(folder, words, timeout=SOON)
        self.assertLess(time.monotonic() - begin, SOON)
        return done

    def run_ranks(self, path, *words):
        return self.run_soon(command("run", "case.toml", *words, ranks=3), path.parent)

    def assert_failed(self, done, code, pattern):
        """With its exit code and one message, which names the rank if others did not fail."""
        self.assertEqual(done.returncode, code, done.stderr)
        found = [line for line in messages(done.stderr) if "warning" not in line]
        self.assertRegex("\n".join(found), rf"^headflow: error(?: on rank \d)?: .*{pattern}")

    def begin(self, name, base):
        path = self.place(name, base)
        out = path.parent / "out"
        out.mkdir()
        return path, out

    @unittest.skipUnless(os.geteuid() == 0, "NOT TESTED: only root can mount a small disk")
    def test_sweep_on_a_full_disk(self):
        path, out = self.begin("full", SWEEP)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", out], capture_output=True)
        if mounted.returncode != 0:
            self.skipTest(f"NOT TESTED: no small disk: {mounted.stderr.decode().strip()}")
        self.addCleanup(subprocess.run, ["umount", "-l", out], check=False)
        (out / "filler").write_bytes(bytes(56 * 1024))
        self.assert_failed(self.run_ranks(path), FILE_FAILURE, r"out/case\.")

    def run_with_folder(self, path, name):
        """A folder in the place of a file that is to be written, once the run has begun: it stops root, too."""
        process = self.launch(path, ranks=3)
        wait_for((path.parent / "out" / "case.h5.lock").exists, process)
        while process.poll() is None:
            try:
                (path.parent / "out" / name).mkdir()
            except OSError:
                pass
            time.sleep(1e-3)
        stopped = ended(process)
        return subprocess.CompletedProcess([], stopped.code, stopped.output, stopped.errors)

    def test_sweep_that_cannot_write(self):
        for name in "case.h5.part", "case.checkpoint-1.h5.part":
            with self.subTest(name):
                path, _ = self.begin(name, SWEEP)
                self.assert_failed(self.run_with_folder(path, name), FILE_FAILURE, r"out/case\.")

    def test_checkpoint_that_cannot_be_written(self):
        path, _ = self.begin("checkpoint", changed(QUICK, {"output.file": "out/case.h5",
                                                           "output.checkpoint_every": 0.0}))
        done = self.run_with_folder(path, "case.checkpoint-1.h5.part")
        self.assert_failed(done, FILE_FAILURE, r"out/case\.checkpoint-1")

    def test_option_that_one_group_finds(self):
        """Two members, three groups: one group has nothing to do and learns nothing of the option."""
        path, _ = self.begin("option", changed(SWEEP, {"sweep.repeats": 2}))
        self.assert_failed(self.run_ranks(path, "-flow_nonsense", "1"), BAD_INPUT, "-flow_nonsense")

    def test_checkpoint_that_one_rank_sees(self):
        """Rank 1 runs in another folder, as on a node that does not see the disk: an error, or no harm."""
        path = self.place("seen", QUICK)
        self.assertEqual(self.run_case(path, "--max-walltime", "0.001").returncode, STOPPED)
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir()
        rank = ["-n", "1", "--wdir"]
        program = [PROGRAM, "run", "case.toml"]
        done = self.run_soon([*mpiexec(), *rank, path.parent, *program, ":", *rank, elsewhere, *program], path.parent)
        if done.returncode < 0:  # a signal has ended mpiexec itself: that of Open MPI 5.0.7, at once
            self.skipTest(f"NOT TESTED: mpiexec cannot start two programs, signal {-done.returncode}")
        if done.returncode != 0:
            self.assert_failed(done, BAD_INPUT, "cannot open case.checkpoint-1.h5: no such file")


class Scripts(SystemTest):
    def test_exit_code_in_a_file(self):
        """Rank 0 says it in HEADFLOW_EXIT, where a job script has made that file; the launcher then hears 0."""
        self.write_input()
        told = self.folder / "told"
        for words, code in ((("case.toml",), 0), (("nothing.toml",), 2),
                            (("case.toml", "--force", "--max-walltime", "0.001"), 75)):
            for there in True, False:
                with self.subTest(words, there=there):
                    if there:
                        told.touch()
                    done = execute(self.folder, command("run", *words, ranks=2),
                                   env=environment(HEADFLOW_EXIT=str(told)))
                    self.assertEqual(done.returncode, 0 if there else code, done.stderr)
                    self.assertEqual(told.exists(), there)
                    if there:
                        self.assertEqual(told.read_text(), f"{code}\n")
                        told.unlink()
                    (self.folder / "case.h5").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
