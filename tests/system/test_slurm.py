"""The job scripts with a real Slurm, of tests/slurm/cluster.sh: interrupted runs go back into the queue, go on and end
with the bits of an uninterrupted one. Where Slurm cannot be started this says so and ends with exit code 77, which
ctest shows as skipped.
"""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import h5py

from harness import SMALL, PROGRAM, SystemTest, changed, environment, execute, read_group

TOP = Path(__file__).resolve().parents[2]
JOBS = TOP / "jobs"
CLUSTER = Path(tempfile.gettempdir()) / f"headflow-slurm-{os.getpid()}"
SKIPPED = 77
DEADLINE = 270  # seconds for everything; ctest would end only this program, at 300, and leave the daemons

# Some seconds of SGD after a short flow.
CASE = changed(SMALL, {"flow.end_time": 60.0, "flow.outputs": 60,
                       "sgd.engine": "direct", "sgd.dimension": 2000, "sgd.batch": 16,
                       "sgd.learning_rate": 0.0025, "sgd.outputs": 60, "output.every": 0.1,
                       "output.checkpoint_every": 0.5})
SEED = CASE["start"]["seed"]
# Without end.
ENDLESS = changed(CASE, {"sgd.dimension": 200, "sgd.steps": 10**12})


def cluster(*words, **options):
    return execute(TOP, ["bash", TOP / "tests/slurm/cluster.sh", words[0], CLUSTER, *words[1:]], **options)


def slurm(*words, folder=TOP, timeout=60):
    """The standard output of one of Slurm's programs, or of another that is to use it."""
    env = environment(SLURM_CONF=str(CLUSTER / "slurm.conf"), HEADFLOW=str(PROGRAM))
    done = execute(folder, words, timeout, env)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, words))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def numbers(path):
    """All datasets that have the same bits whenever the same is computed."""
    with h5py.File(path, "r") as file:
        groups = sorted(set(file) - {"provenance"})
    return {f"{group}/{name}": data for group in groups for name, data in read_group(path, group).items()
            if name != "sequences_per_second"}


class Slurm(SystemTest):
    @classmethod
    def setUpClass(cls):
        """The uninterrupted run, and two jobs over their time limit of a minute, for the last test: ended by Slurm's
        signal, and by themselves. These two leave the processors to the others."""
        super().setUpClass()
        gentle = cls.shared / "gentle"
        gentle.write_text(f'#!/bin/sh\nexec nice -n 19 {PROGRAM} "$@"\n')
        gentle.chmod(0o755)
        cls.over_limit = {}
        for name, notice in (("signal", 50), ("wall time", 1)):
            folder = cls.shared / name.replace(" ", "-")
            folder.mkdir()
            test = cls()
            test.folder = folder
            test.write_input(base=ENDLESS)
            cls.over_limit[name] = test.submit("run.sh", "case.toml", ranks=1, options=[
                "--time=1", f"--signal=B:USR1@{notice}", f"--export=ALL,HEADFLOW={gentle}"]), folder
        whole = cls()
        whole.folder = cls.shared
        whole.write_input(base=CASE)
        done = whole.headflow("run", "case.toml", ranks=2)
        whole.assertEqual(done.returncode, 0, done.stderr)
        cls.uninterrupted = numbers(cls.shared / "case.h5")

    def submit(self, script, *words, options=(), ranks=2):
        """The number of a job, which writes log, or log-TASK, in this test's folder."""
        log = "log-%a" if script == "array.sh" else "log"
        return slurm("sbatch", "--parsable", f"--ntasks={ranks}", f"--output={log}", *options, JOBS / script, *words,
                     folder=self.folder).strip()

    def wait(self, job, expected="COMPLETED 0", seconds=100):
        """The end of a job, of each task if it is an array."""
        done = cluster("wait", job, seconds, timeout=seconds + 20, env=environment())
        self.assertEqual(set(done.stdout.splitlines()), {expected}, done.stderr + self.logs())

    def logs(self):
        return "\n".join(f"{path.name}:\n{path.read_text()}" for path in sorted(self.folder.glob("log*")))

    def until(self, true, what, seconds=60):
        end = time.monotonic() + seconds
        while not true():
            self.assertLess(time.monotonic(), end, f"{what} does not happen\n{self.logs()}")
            time.sleep(0.02)

    def wait_for_sgd(self, path):
        """Until the first output of SGD is in the file."""
        def begun():
            if not path.exists():
                return False
            with h5py.File(path, "r") as file:
                return "sgd/time" in file

        self.until(begun, f"{path.name} with SGD")

    def interrupt(self, job):
        """What Slurm does shortly before the time limit."""
        slurm("scancel", "--batch", "--signal=USR1", job)

    def restarts(self, job):
        return [int(n) for n in re.findall(r" Restarts=(\d+)", slurm("scontrol", "-o", "show", "job", job))]

    def assert_interrupted_once(self, log="log"):
        text = (self.folder / log).read_text()
        for words in "stopped early (signal)", "going on from", "finished: ":
            self.assertEqual(text.count(words), 1, f"{words}\n{text}")

    def assert_as_uninterrupted(self, name="case.h5"):
        self.assert_same_bits(numbers(self.folder / name), self.uninterrupted)

    def test_array(self):
        """Three seeds, the second of which is interrupted: it alone goes back into the queue."""
        self.write_input(base=CASE)
        job = self.submit("array.sh", "case.toml", options=[f"--array={SEED - 1}-{SEED + 1}"], ranks=1)
        self.wait_for_sgd(self.folder / f"case-seed{SEED}.h5")
        self.interrupt(f"{job}_{SEED}")
        self.wait(job)
        self.assertEqual(sorted(self.restarts(job)), [0, 0, 1])
        self.assert_interrupted_once(f"log-{SEED}")
        self.assert_as_uninterrupted(f"case-seed{SEED}.h5")
        other = numbers(self.folder / f"case-seed{SEED + 1}.h5")
        self.assertFalse((other["flow/m"] == self.uninterrupted["flow/m"]).all())

    def test_array_list(self):
        """An array over the lines of a list."""
        self.write_input()
        (self.folder / "list.txt").write_text("case.toml --output one.h5\n"
                                              "case.toml --set start.seed=9 --output two.h5\n")
        self.wait(self.submit("array.sh", "list.txt", "--set", "attention.heads=3", options=["--array=1-2"], ranks=1))
        one, two = (numbers(self.folder / name)["flow/m"] for name in ("one.h5", "two.h5"))
        self.assertEqual((one.shape[1], two.shape[1], (one == two).all()), (3, 3, False))

    def test_by_hand(self):
        """Without Slurm: exit code 75 at a signal, and the same command goes on. Without it srun.sh takes mpirun."""
        self.write_input(base=CASE)
        env = environment(HEADFLOW=str(PROGRAM))
        with open(self.folder / "log", "w") as log:
            process = subprocess.Popen(["bash", JOBS / "run.sh", "case.toml"], cwd=self.folder, env=env, stdout=log,
                                       stderr=log, stdin=subprocess.DEVNULL)
            self.wait_for_sgd(self.folder / "case.h5")
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(timeout=60), 75, self.logs())
            log.write(execute(self.folder, ["bash", JOBS / "srun.sh", "case.toml"], env=env).stdout)
        self.assert_interrupted_once()
        self.assert_as_uninterrupted()

    def test_cancelled_and_submitted_again(self):
        self.write_input(base=CASE)
        job = self.submit("run.sh", "case.toml")
        self.wait_for_sgd(self.folder / "case.h5")
        slurm("scancel", job)
        self.until(lambda: "JobState=CANCELLED" in slurm("scontrol", "show", "job", job), "the end of the job")
        self.until(lambda: slurm("squeue", "-h", "-j", job).strip() == "", "the end of its processes")
        self.assertEqual(self.restarts(job), [0])
        self.assertNotIn("finished: ", (self.folder / "log").read_text())
        self.wait(self.submit("run.sh", "case.toml"))
        self.assertIn("going on from", (self.folder / "log").read_text())
        self.assert_as_uninterrupted()

    def test_run(self):
        self.requeued("run.sh")

    def test_srun(self):
        self.requeued("srun.sh")

    def requeued(self, script):
        self.write_input(base=CASE)
        job = self.submit(script, "case.toml")
        self.wait_for_sgd(self.folder / "case.h5")
        self.interrupt(job)
        self.wait(job)
        self.assertEqual(self.restarts(job), [1], self.logs())
        self.assert_interrupted_once()
        self.assert_as_uninterrupted()

    def test_ranks_that_do_not_know_of_each_other(self):
        """Several tasks of one rank each would write the same files: a forgotten mpirun, or an srun that does not
        speak MPI's protocol. (Debian's Open MPI gives up by itself in the latter case, unless it cannot see Slurm.)"""
        self.write_input()
        run = f"{PROGRAM} run case.toml"
        unseen = " ".join(f"-u SLURM_{name}" for name in
                          ("JOBID", "JOB_ID", "STEPID", "STEP_ID", "STEP_NUM_TASKS", "PROCID", "NODELIST"))
        for words in run, f"srun --mpi=none env {unseen} OMPI_MCA_schizo=^slurm OMPI_MCA_ess=singleton {run}":
            with self.subTest(words):
                job = slurm("sbatch", "--parsable", "--ntasks=2", "--output=log", "--wrap", words,
                            folder=self.folder).strip()
                self.wait(job, "FAILED 2")
                self.assertIn("headflow: error: Slurm gave the job 2 tasks but MPI sees one", self.logs())
                self.assertFalse((self.folder / "case.h5").exists())

    def test_time_limit(self):
        """A minute's limit: Slurm's signal ahead of it, or else the run's own clock, has the run stop and go on."""
        for reason, (job, folder) in self.over_limit.items():
            with self.subTest(reason):
                self.folder = folder
                log = folder / "log"
                self.until(lambda: "going on from" in log.read_text(), f"a second part of job {job}", 120)
                slurm("scancel", job)
                text = log.read_text()
                self.assertIn(f"stopped early ({reason})", text.partition("going on from")[0])
                self.assertNotIn("TIME LIMIT", text)
                self.assertGreaterEqual(self.restarts(job)[0], 1)

    def test_scaling(self):
        """A table with a row for each measurement, and a picture; what is measured already is kept."""
        small = dict(SAMPLES="400000", BATCH="16", DIMENSION="20000", STEPS="10", REPEATS="1")
        env = environment(HEADFLOW=str(PROGRAM), HEADFLOW_RANKS="2", **small)
        texts = []
        for _ in range(2):
            done = execute(self.folder, ["bash", JOBS / "scaling.sh"], env=env)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            texts.append(done.stdout)
        self.assertEqual(texts[0], texts[1])
        times = [float(line.split("|")[4]) for line in texts[0].splitlines()[2:]]
        self.assertEqual(len(times), 8, texts[0])
        self.assertTrue(all(0 < time < 1e5 for time in times), texts[0])
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), ["scaling.csv", "scaling.png"])


def give_up(*_):
    raise KeyboardInterrupt


def main():
    for number in signal.SIGALRM, signal.SIGTERM:
        signal.signal(number, give_up)
    signal.alarm(DEADLINE)
    try:
        started = cluster("start", env=environment())
        if started.returncode != 0:
            print(f"SKIPPED: THE JOB SCRIPTS ARE NOT TESTED, as Slurm cannot be started here.\n{started.stderr}",
                  file=sys.stderr)
            sys.exit(SKIPPED)
        unittest.main(verbosity=2)
    finally:
        signal.alarm(0)
        if CLUSTER.exists():
            stopped = cluster("stop", env=environment())
            print(stopped.stderr, end="", file=sys.stderr)
            shutil.rmtree(CLUSTER, ignore_errors=True)


if __name__ == "__main__":
    main()
