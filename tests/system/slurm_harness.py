"""What the tests with Slurm share: the cluster of tests/slurm/cluster.sh and its user physicist, who has no settings of
Open MPI, may not write where headflow is installed, and has spaces in all paths.
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

from harness import HANGS, PLOT, PROGRAM, SMALL, SystemTest, changed, environment, execute, toml_text
from restart_harness import PAUSE, Gate

TOP = Path(__file__).resolve().parents[2]
SKIPPED = 77  # ctest's word for it
# Beside the temporary folder of the other tests, which a node does not see.
CLUSTER = Path("/tmp") / f"headflow-slurm-{os.getpid()}"
HOME = CLUSTER / "home"
INSTALLED = CLUSTER / "my programs"
JOBS = INSTALLED / "jobs"
# mpirun of Open MPI 5 ends its ranks .5 s after Slurm's TERM; srun leaves them all of KillWait.
OPEN_MPI_5 = "Open MPI) 5" in subprocess.run(["mpirun", "--version"], capture_output=True, text=True,
                                             check=False).stdout
SAVING_AT_TERM = ("srun.sh",) if OPEN_MPI_5 else ("run.sh", "srun.sh")
APART = "n4"  # a node for jobs that nothing may happen to; all others run on n1, n2, n3

# SGD after a short flow: a run of 69 questions whether to stop, 4 of them in the flow.
CASE = changed(SMALL, {"sgd.engine": "direct", "sgd.dimension": 200, "sgd.batch": 16, "sgd.learning_rate": 0.025,
                       "sgd.end_time": 30.0, "sgd.outputs": 60, "output.checkpoint_every": 600.0})
# Without end.
ENDLESS = changed(CASE, {"sgd.end_time": None, "sgd.steps": 10**12})
# The program that users find: it waits before the gate in its folder; a task of an array, before the gate of that task.
WAITING = f"""#!/bin/sh
gate=$PWD/gate$SLURM_ARRAY_TASK_ID
[ ! -e "$gate" ] || export HEADFLOW_PAUSE="{PAUSE}:$gate"
exec "${{0%/*}}/program/headflow" "$@"
"""


def cluster(command, *words, **options):
    script = TOP / "tests/slurm/cluster.sh"
    return execute(TOP, ["bash", script, command, CLUSTER, *words], env=environment(), **options)


def as_user(*words, folder=HOME, host="login", user="physicist", timeout=HANGS):
    """The standard output of a command that a user gives on a host of the cluster."""
    done = cluster("on", host, "-u", user, "-d", folder, *words, timeout=timeout)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, words))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def as_root(*words, host="login"):
    return as_user(*words, user="root", folder=CLUSTER, host=host)


def names_of(nodes):
    """{n1, n2, n3} of Slurm's n[1-3]."""
    return set(as_user("scontrol", "show", "hostnames", nodes).split())


def install():
    """headflow for all users of the cluster, as if by an administrator."""
    build = INSTALLED / "build/release"
    build.mkdir(parents=True)
    shutil.copytree(TOP / "jobs", JOBS)
    shutil.copytree(TOP / "input", INSTALLED / "input", ignore=shutil.ignore_patterns("*.png"))
    (build / "program").mkdir()
    shutil.copy(PROGRAM, build / "program")
    (build / PROGRAM.name).write_text(WAITING)
    (build / PROGRAM.name).chmod(0o755)
    shutil.copy(PLOT, build)
    shutil.copytree(PLOT.with_name("python"), build / "python")
    subprocess.run(["chmod", "-R", "a+rX,go-w", INSTALLED], check=True)


class SlurmTest(SystemTest):
    """A test whose folder belongs to physicist and is seen by all nodes."""

    def setUp(self):
        HOME.mkdir(exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix="a case ", dir=HOME))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        os.chown(self.folder, HOME.stat().st_uid, HOME.stat().st_gid)

    def submit(self, script, *words, options=(), ranks=2, folder=None):
        """The number of a job, which writes log, or log-TASK, in its folder."""
        log = "log-%a" if script == "array.sh" else "log"
        where = [] if any(option.startswith("--nodelist") for option in options) else [f"--exclude={APART}"]
        options = [f"--ntasks={ranks}", f"--output={log}", *where, *options]
        job = as_user("sbatch", "--parsable", *options, JOBS / script, *words, folder=folder or self.folder).strip()
        self.addCleanup(cluster, "on", "login", "scancel", job)  # of a test that fails
        return job

    def wait(self, job, expected="COMPLETED 0", seconds=HANGS):
        """[(restarts, {node, ..})] of the job, or of each task if it is an array, once it has ended as expected."""
        done = cluster("wait", job, seconds, timeout=seconds + 60)
        ends = [line.split() for line in done.stdout.splitlines()]
        self.assertEqual({" ".join(end[:2]) for end in ends}, {expected}, done.stdout + done.stderr + self.logs())
        return [(int(end[2]), names_of(end[3])) for end in ends]

    def nodes(self, job):
        """Where a job runs, in order."""
        return sorted(names_of(as_user("squeue", "-h", "-j", job, "-o", "%N").strip()))

    def logs(self):
        return "\n".join(f"{path.name}:\n{path.read_text()}" for path in sorted(self.folder.glob("log*")))

    def log(self, name="log"):
        path = self.folder / name
        return path.read_text() if path.exists() else ""

    def until(self, true, what, seconds=HANGS):
        """Waits for something that must come; the limit is for what hangs."""
        end = time.monotonic() + seconds
        while not true():
            self.assertNotIn(": ended with ", self.logs())
            self.assertLess(time.monotonic(), end, f"{what} does not happen\n{self.logs()}")
            time.sleep(0.2)  # to ask takes much of a processor

    def gate(self, name="gate"):
        """A closed gate for the next run in the folder."""
        gate = Gate(self.folder, name)
        gate.close()
        os.chown(gate.path, HOME.stat().st_uid, HOME.stat().st_gid)
        return gate

    def until_waiting(self, gate):
        """Until the run waits at the gate, in the middle of SGD."""
        self.until(gate.paused.exists, "the gate")

    def has_sgd(self, name="case.h5", times=1):
        """Whether so many outputs of SGD are in the file."""
        try:
            with h5py.File(self.folder / name, "r") as file:
                return len(file["sgd/time"]) >= times
        except (OSError, KeyError):
            return False

    def state(self, job):
        return re.search(r" JobState=(\w+)", as_user("scontrol", "-o", "show", "job", job)).group(1)

    def until_state(self, job, state):
        self.until(lambda: self.state(job) == state, f"job {job} {state}")

    def write_case(self, changes=None, base=CASE, name="case.toml"):
        (self.folder / name).write_text(toml_text(changed(base, changes or {})))

    def assert_interrupted_once(self, log="log"):
        text = self.log(log)
        for words in "stopped early (signal)", "going on from", "finished: ":
            self.assertEqual(text.count(words), 1, f"{words}\n{text}")


def give_up(*_):
    raise KeyboardInterrupt


def run_tests(deadline):
    """The tests of the program that calls this, on a cluster; `deadline` seconds are for what hangs: ctest would end
    only this program and leave the cluster behind."""
    for number in signal.SIGALRM, signal.SIGTERM:
        signal.signal(number, give_up)
    signal.alarm(deadline)
    try:
        CLUSTER.mkdir(mode=0o755)
        os.environ |= {"CLUSTER_CPUS": "4", "CLUSTER_NODES": "4"}
        started = cluster("up")
        if started.returncode != 0:
            print(f"SKIPPED: THE JOB SCRIPTS ARE NOT TESTED, as there can be no cluster here.\n{started.stderr}",
                  file=sys.stderr)
            sys.exit(SKIPPED)
        install()
        unittest.main(verbosity=2)
    finally:
        for number in signal.SIGALRM, signal.SIGTERM:
            signal.signal(number, signal.SIG_IGN)  # one is enough
        stopped = cluster("down")
        print(stopped.stderr, end="", file=sys.stderr)
        shutil.rmtree(CLUSTER, ignore_errors=True)
