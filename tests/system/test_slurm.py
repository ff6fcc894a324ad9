"""The job scripts on a Slurm cluster (tests/slurm/cluster.sh), as an ordinary user: runs that are stopped in any way go
on, on whatever nodes, and end with the bits of an uninterrupted run on one rank. Where there can be no
cluster (it needs root, namespaces and Slurm) this says so and ends with exit code 77, which ctest shows as skipped.
"""
import signal
import subprocess

from harness import HANGS, SMALL, changed, environment, execute
from restart_harness import numbers_in
from slurm_harness import (APART, CASE, ENDLESS, HOME, INSTALLED, JOBS, SAVING_AT_TERM, SlurmTest, as_root, as_user,
                           cluster, run_tests)

SEED = CASE["start"]["seed"]
# A disk that takes 2 s to write a file, once the file `slow` is in the working folder.
SLOW_DISK = r"""
#include <sys/syscall.h>
#include <unistd.h>
int fsync(int file) {
  if (access("slow", F_OK) == 0) sleep(2);
  return (int)syscall(SYS_fsync, file);
}
"""


class WithUninterrupted(SlurmTest):
    """Tests of runs that are stopped and go on."""
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        whole = cls()
        whole.folder = cls.shared
        whole.write_case()
        done = whole.headflow("run", "case.toml")
        whole.assertEqual(done.returncode, 0, done.stderr)
        cls.uninterrupted = numbers_in(cls.shared / "case.h5")

    def assert_as_uninterrupted(self, name="case.h5"):
        self.assert_same_bits(numbers_in(self.folder / name), self.uninterrupted)

    def interrupt(self, job):
        """What Slurm does shortly before the time limit."""
        as_user("scancel", "--batch", "--signal=USR1", job)

    def until_stopped(self, gate, log="log"):
        """Until the run that waits at the gate has heard that it is to stop."""
        self.until(lambda: "stopped early (signal)" in self.log(log), "a stop")
        gate.open()


class PutBack(WithUninterrupted):
    """Stopped ahead of a time limit."""
    def put_back(self, script, *options, folder=None, ranks=4):
        """On two nodes, told to stop as before a time limit: goes back into the queue and finishes."""
        self.write_case()
        gate = self.gate()
        job = self.submit(script, "case.toml", options=["--nodes=2", *options], ranks=ranks, folder=folder)
        self.until_waiting(gate)
        self.interrupt(job)
        self.until_stopped(gate)
        (restarts, nodes), = self.wait(job)
        self.assertEqual((restarts, len(nodes)), (1, 2), self.logs())
        self.assert_interrupted_once()
        self.assertIn(f"{script}: stopped early, state saved (exit code 75", self.log())
        self.assert_as_uninterrupted()

    def test_run(self):
        """From another folder, into one with a space, with an empty environment."""
        self.put_back("run.sh", "--export=NONE", f"--chdir={self.folder}", folder=HOME)

    def test_srun(self):
        self.put_back("srun.sh", "--export=NONE", f"--chdir={self.folder}", folder=HOME)


class Cancelled(WithUninterrupted):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        (HOME / "slow.c").write_text(SLOW_DISK)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", HOME / "slow.so", HOME / "slow.c"], check=True)

    def hold(self, script):
        """A job that waits at a gate and will be slow to save its state."""
        self.write_case()
        gate = self.gate()
        job = self.submit(script, "case.toml", ranks=4, options=[
            "--nodes=2", f"--export=ALL,LD_PRELOAD={HOME}/slow.so"])
        self.until_waiting(gate)
        (self.folder / "slow").touch()
        return gate, job

    def until_cancelled(self, job):
        self.until_state(job, "CANCELLED")
        self.until(lambda: not as_user("squeue", "-h", "-j", job).strip(), "the end of its processes")

    def test_cancelled_and_submitted_again(self):
        """What was computed until scancel is saved, though that takes longer than Open MPI's own second."""
        for script in SAVING_AT_TERM:
            with self.subTest(script):
                self.setUp()
                gate, job = self.hold(script)
                as_user("scancel", job)
                self.until_cancelled(job)
                self.assertEqual(self.log().splitlines()[-1].split(": ")[0], script)
                (self.folder / "slow").unlink()
                gate.open()
                self.wait(self.submit(script, "case.toml", options=["--nodes=2"], ranks=4))
                self.assert_interrupted_once()
                self.assert_as_uninterrupted()

    def test_cancelled_ahead_of_a_time_limit(self):
        """For good, though the job was about to put itself back."""
        gate, job = self.hold(SAVING_AT_TERM[0])
        self.interrupt(job)
        self.until(lambda: not gate.paused.exists(), "the end of waiting")
        as_user("scancel", job)
        self.until_cancelled(job)
        self.assertIn(f"Unless squeue shows job {job} as pending or running, submit it again", self.log())
        self.assertNotIn("goes back", self.log())


class Preempted(WithUninterrupted):
    def test_preempted(self):
        """By a job that takes one of its two nodes: the run goes on, on the other one and a third."""
        self.write_case()
        gate = self.gate()
        job = self.submit(SAVING_AT_TERM[0], "case.toml", options=["--nodes=2"], ranks=4)
        self.until_waiting(gate)
        taken = self.nodes(job)[0]
        urgent = as_user("sbatch", "--parsable", "--partition=urgent", f"--nodelist={taken}", "--nodes=1",
                         "--ntasks=4", "--output=/dev/null", "--wrap", "until test -e free; do sleep 0.1; done",
                         folder=self.folder).strip()
        self.addCleanup(cluster, "on", "login", "scancel", urgent)
        self.until_stopped(gate)
        self.assertEqual(self.wait(job), [(1, {"n1", "n2", "n3"} - {taken})])
        as_user("touch", "free", folder=self.folder)
        self.wait(urgent)
        self.assert_interrupted_once()
        self.assert_as_uninterrupted()

    def test_private_files(self):
        """With umask 077 nobody else can read what a run has written. The network is named as common.sh shows."""
        self.write_case(base=SMALL)
        network = "OMPI_MCA_btl_tcp_if_include=10.77.0.0/24"
        submit = f'umask 077; exec env {network} sbatch --parsable -N2 -n4 --output=log "$@"'
        for script in "run.sh", "srun.sh":
            job = as_user("sh", "-c", submit, "sh", JOBS / script, "case.toml", "--output", f"{script}.h5",
                          folder=self.folder).strip()
            self.wait(job)
            for path in self.folder.glob(f"{script}*"):
                self.assertEqual(path.stat().st_mode & 0o77, 0, path)


class NodeLost(WithUninterrupted):
    def test_node_lost(self):
        """One of two nodes loses its power: when Slurm has seen that, the run goes on from the newest checkpoint with
        another node."""
        self.write_case({"output.checkpoint_every": 1e-3})
        gate = self.gate()
        job = self.submit("run.sh", "case.toml", options=["--nodes=2"], ranks=4)
        self.until_waiting(gate)
        self.assertTrue(list(self.folder.glob("case.checkpoint-*.h5")))
        lost = self.nodes(job)[1]
        cluster("crash", lost)
        gate.open()
        try:
            self.assertEqual(self.wait(job), [(1, {"n1", "n2", "n3"} - {lost})])
        finally:
            self.assertEqual(cluster("boot", lost).returncode, 0)
            self.until(lambda: as_user("sinfo", "-h", "-n", lost, "-o", "%T").split()[0] == "idle", f"{lost} again")
        self.assertIn("going on from", self.log())
        self.assert_as_uninterrupted()


class Arrays(WithUninterrupted):
    """Arrays of jobs, and runs that are many."""
    def test_array(self):
        """Three seeds, the second of which is interrupted: it alone goes back into the queue."""
        self.write_case()
        gate = self.gate(f"gate{SEED}")
        job = self.submit("array.sh", "case.toml", options=[f"--array={SEED - 1}-{SEED + 1}"], ranks=1)
        self.until_waiting(gate)
        self.interrupt(f"{job}_{SEED}")
        self.until_stopped(gate, f"log-{SEED}")
        self.assertEqual(sorted(restarts for restarts, _ in self.wait(job)), [0, 0, 1])
        self.assert_interrupted_once(f"log-{SEED}")
        self.assert_as_uninterrupted(f"case-seed{SEED}.h5")
        other = numbers_in(self.folder / f"case-seed{SEED + 1}.h5")
        self.assertFalse((other["flow/m"] == self.uninterrupted["flow/m"]).all())

    def test_array_over_parts(self):
        """A sweep in three parts on three nodes, merged: as the whole at once."""
        self.write_case(base=changed(SMALL, {"sweep": {"start.seed": [1, 2, 3, 4, 5]}}))
        self.wait(self.submit("array.sh", "case.toml", options=["--array=1-3", "--nodes=1"]))
        as_user(INSTALLED / "build/release/headflow", "merge", "merged.h5", "case-part1.h5", "case-part2.h5",
                "case-part3.h5", folder=self.folder)
        self.wait(self.submit("srun.sh", "case.toml", options=["--nodes=2"]))
        merged, whole = (numbers_in(self.folder / file) for file in ("merged.h5", "case.h5"))
        for data in merged, whole:
            del data["sweep/seconds"]
        self.assert_same_bits(merged, whole)

    def test_array_list(self):
        """An array over the lines of a list."""
        self.write_case(base=SMALL)
        (self.folder / "list.txt").write_text("case.toml --output 'one run.h5'\n"
                                              "case.toml --set start.seed=9 --output two.h5\n")
        self.wait(self.submit("array.sh", "list.txt", "--set", "attention.heads=3", options=["--array=1-2"], ranks=1))
        one, two = (numbers_in(self.folder / name)["flow/m"] for name in ("one run.h5", "two.h5"))
        self.assertEqual((one.shape[1], two.shape[1], (one == two).all()), (3, 3, False))

    def test_paper(self):
        """A figure, submitted by a user who cannot write where headflow is: variants that are there are kept, and the
        script's options go to each run."""
        small = "--set", "population.samples=2048", "--set", "flow.end_time=2.0", "--set", "flow.outputs=10"
        for part in "", "again":
            job = self.submit("paper.sh", "fig02", *small)
            self.wait(job)
            self.assertTrue((self.folder / "fig02.png").stat().st_size > 10_000, part)
        self.assertEqual(len(list(self.folder.glob("fig02-H?.h5"))), 6)
        self.assertEqual(self.log().count("flow: t = 2"), 6)
        self.wait(self.submit("paper.sh", "fig99"), "FAILED 2")
        self.assertIn("paper.sh: usage: ", self.log())

    def test_paper_put_back(self):
        slow = "--set", "flow.method=euler", "--set", "flow.step=1e-5", "--set", "population.samples=2048"
        job = self.submit("paper.sh", "fig15", *slow)
        self.until((self.folder / "fig15-H2.h5").exists, "a file")
        self.interrupt(job)
        self.until(lambda: "going on from" in self.log(), "another start")
        as_user("scancel", job)


class Jobs(WithUninterrupted):
    """All else."""
    @classmethod
    def setUpClass(cls):
        """Two jobs over their time limit of a minute, for the last test: ended by Slurm's signal, and by themselves."""
        super().setUpClass()
        gentle = HOME / "gentle"
        gentle.write_text(f'#!/bin/sh\nexec nice -n 5 "{INSTALLED}/build/release/headflow" "$@"\n')
        gentle.chmod(0o755)
        cls.over_limit = {}
        for name, notice in (("signal", 30), ("wall time", 1)):
            test = cls()
            test.setUp()
            cls.addClassCleanup(test.doCleanups)
            test.write_case(base=ENDLESS)
            cls.over_limit[name] = test.submit("run.sh", "case.toml", ranks=1, options=[
                f"--nodelist={APART}", "--time=1", f"--signal=B:USR1@{notice}",
                f"--export=ALL,HEADFLOW={gentle}"]), test

    def test_by_hand(self):
        """Without Slurm: exit code 75 at a signal, and the same command goes on. Without it srun.sh takes mpirun."""
        self.write_case()
        gate = self.gate()
        env = environment(HEADFLOW=str(INSTALLED / "build/release/headflow"))
        with open(self.folder / "log", "w") as log:
            process = subprocess.Popen(["bash", JOBS / "run.sh", "case.toml"], cwd=self.folder, env=env, stdout=log,
                                       stderr=log, stdin=subprocess.DEVNULL)
            self.until_waiting(gate)
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(timeout=HANGS), 75, self.logs())
            gate.open()
            log.write(execute(self.folder, ["bash", JOBS / "srun.sh", "case.toml"], env=env).stdout)
        self.assert_interrupted_once()
        self.assert_as_uninterrupted()

    def test_scaling(self):
        """A table with a row for each measurement, and a picture; what is measured already is kept."""
        small = dict(SAMPLES="400000", BATCH="16", DIMENSION="20000", STEPS="10", REPEATS="1")
        words = ",".join(f"{name}={value}" for name, value in small.items())
        texts = []
        for _ in range(2):
            self.wait(self.submit("scaling.sh", options=["--nodes=2", f"--export=ALL,{words}"]))
            self.assertEqual(self.log().count("begins on 2 ranks of n["), 0 if texts else 1, self.log())
            texts.append("\n".join(line for line in self.log().splitlines() if line.startswith("|")))
            (self.folder / "log").unlink()
        self.assertEqual(texts[0], texts[1])
        times = [float(line.split("|")[4]) for line in texts[0].splitlines()[2:]]
        self.assertEqual(len(times), 8, texts[0])
        self.assertTrue(all(0 < time < 1e5 for time in times), texts[0])
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), ["scaling.csv", "scaling.png"])

    def test_ranks_that_do_not_know_of_each_other(self):
        """Several tasks of one rank each would write the same files: a forgotten mpirun, or an srun that does not
        speak MPI's protocol. (Debian's Open MPI gives up by itself in the latter case, unless it cannot see Slurm.)"""
        self.write_case(base=SMALL)
        run = f"'{INSTALLED}/build/release/headflow' run case.toml"
        unseen = " ".join(f"-u SLURM_{name}" for name in
                          ("JOBID", "JOB_ID", "STEPID", "STEP_ID", "STEP_NUM_TASKS", "PROCID", "NODELIST"))
        for words in run, f"srun --mpi=none env {unseen} OMPI_MCA_schizo=^slurm OMPI_MCA_ess=singleton {run}":
            with self.subTest(words):
                job = as_user("sbatch", "--parsable", "--ntasks=2", "--output=log", "--wrap", words,
                              folder=self.folder).strip()
                self.wait(job, "FAILED 2")
                self.assertIn("headflow: error: Slurm gave the job 2 tasks but MPI sees one", self.log())
                self.assertFalse((self.folder / "case.h5").exists())

    def test_python(self):
        """A job of headflow.submit, put back once; another Python waits for it."""
        def python(text):
            package = INSTALLED / "build/release/python"
            return as_user("env", f"PYTHONPATH={package}", "/usr/bin/python3", "-c", f"import headflow; {text}",
                           folder=self.folder).strip()

        self.write_case()
        gate = self.gate()
        words = ["--nodes=2", f"--exclude={APART}", "--output=log"]
        job, output = python(f"job = headflow.submit('case.toml', ranks=4, slurm={words}); print(job.id, job.output)"
                             ).split(" ", 1)
        self.addCleanup(cluster, "on", "login", "scancel", job)
        self.until_waiting(gate)
        there = f"job = headflow.Job('{job}', 'case.toml', '{output}')"
        self.assertEqual(python(f"{there}; print(job.status)"), "RUNNING")
        self.interrupt(job)
        self.until_stopped(gate)
        self.assertEqual(python(f"{there}; print(job.wait(1).status, job.status)"), "finished COMPLETED")
        self.assert_interrupted_once()
        self.assert_as_uninterrupted(output)

    def test_root(self):
        """root's jobs, as in a container, need no settings of Open MPI."""
        self.write_case(base=SMALL)
        job = as_root("sbatch", "--parsable", "-N2", "-n4", f"--chdir={self.folder}", f"--output={self.folder}/log",
                      JOBS / "run.sh", "case.toml").strip()
        self.wait(job)

    def test_time_limit(self):
        """A minute's limit: Slurm's signal ahead of it, or else the run's own clock, has the run stop and go on. Slurm
        may send its signal up to a minute early, before the run's own clock."""
        for reason, (job, test) in self.over_limit.items():
            with self.subTest(reason):
                self.folder = test.folder
                self.until(lambda: "going on from" in self.log(), f"a second part of job {job}")
                as_user("scancel", job)
                text = self.log()
                self.assertRegex(text.partition("going on from")[0], rf"stopped early \(({reason}|signal)\)")
                self.assertNotIn("TIME LIMIT", text)


if __name__ == "__main__":
    run_tests(7000)
