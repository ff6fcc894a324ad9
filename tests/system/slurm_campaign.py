"""Cancels and preemptions of runs on 1 to 3 nodes of a Slurm cluster, with mpirun and srun, with a small state and one
of 200 MB: each run must save its state, go on, and end with the bits of one that was never stopped. Prints a table.
    HEADFLOW=build/release/headflow /usr/bin/python3 tests/system/slurm_campaign.py [--rounds N] [-k part of a name]
"""
import argparse
import itertools
import sys

from harness import changed
from restart_harness import differing, numbers_in
from slurm_harness import CASE, SAVING_AT_TERM, SlurmTest, as_user, run_tests

SCRIPTS = SAVING_AT_TERM
OFTEN = changed(CASE, {"output.every": 0.1})  # is written
# Long enough to be hit while it computes, at any step.
STATES = {"small": changed(OFTEN, {"sgd.dimension": 2000, "sgd.learning_rate": 0.0025, "sgd.end_time": 25.0}),
          "200 MB": changed(OFTEN, {"sgd.dimension": 1_000_000, "sgd.batch": 1, "sgd.replicas": 6,
                                   "sgd.learning_rate": 1e-6, "sgd.end_time": 2e-5, "sgd.outputs": 20})}
# The partition of the run, whether it is preempted there or cancelled, and whether Slurm starts it again by itself.
STOPS = {"scancel": ("batch", False, False), "preempted": ("batch", True, True), "grace": ("grace", True, True),
         "cancelled by preemption": ("scavenge", True, False),
         "the same with grace": ("scavenge-grace", True, False)}


class Campaign(SlurmTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.rows, cls.uninterrupted = [], {}
        for name, case in STATES.items():
            test = cls()
            test.folder = cls.shared
            test.write_case(base=case)
            done = test.headflow("run", "case.toml", "--force", ranks=2)
            test.assertEqual(done.returncode, 0, done.stderr)
            cls.uninterrupted[name] = numbers_in(cls.shared / "case.h5")

    def hit(self, script, stop, nodes, state):
        """What became of one run."""
        partition, preempted, again = STOPS[stop]
        self.write_case(base=STATES[state])
        ranks = 2 * nodes if state == "small" else nodes  # vectors of 8 MB are added over ranks in each step
        options = [f"--partition={partition}", f"--nodes={nodes}", "--time=60"]
        job = self.submit(script, "case.toml", options=options, ranks=ranks)
        self.until(lambda: self.has_sgd(times=3), "SGD")
        where = ",".join(self.nodes(job))
        if preempted:
            urgent = as_user("sbatch", "--parsable", "--partition=urgent", f"--nodelist={where}", "--exclusive",
                             "--output=/dev/null", "--wrap", "true").strip()
        else:
            as_user("scancel", job)
        if again:
            self.until(lambda: "going on from" in self.log() or "finished:" in self.log(), "another start", 900)
        else:
            self.until(lambda: self.state(job) in ("CANCELLED", "PREEMPTED", "COMPLETED"), "the end of the job")
            self.until(lambda: not as_user("squeue", "-h", "-j", job).strip(), "the end of its processes")
            last = self.log().strip().splitlines()[-1]
            job = self.submit(script, "case.toml", options=options, ranks=ranks)
        if preempted:
            self.wait(urgent)
        self.wait(job, seconds=600)
        text = self.log()
        if "going on from" not in text and not self.finished_in_time(text):
            return "LOST", text
        if differing(numbers_in(self.folder / "case.h5"), self.uninterrupted[state]):
            return "DIFFERENT", text
        by_itself = "goes back into the queue" in text  # within the time of grace the script itself asks for it
        if not again and not by_itself and "stopped early" in text and not last.startswith(f"{script}: "):
            return f"saved, but the last line is {last}", text
        return "saved" if "going on from" in text else "finished in time", text

    @staticmethod
    def finished_in_time(text):
        """Whether the run had finished before it was told to stop, as in the time of grace of a preemption."""
        return "finished: " in text and "stopped early" not in text

    def test_all(self):
        wanted = [case for case in itertools.product(STATES, STOPS, SCRIPTS, (1, 2, 3))
                  if arguments.k in " ".join(map(str, case))]
        lost = []
        for case in wanted * arguments.rounds:
            state, stop, script, nodes = case
            self.setUp()
            became, text = self.hit(script, stop, nodes, state)
            print(f"| {state} | {stop} | {script} | {nodes} | {became} |", flush=True)
            if became not in ("saved", "finished in time"):
                lost.append(case)
                print(text, file=sys.stderr, flush=True)
            self.doCleanups()
        self.assertEqual(lost, [])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("-k", default="")
    arguments = parser.parse_args()
    sys.argv[1:] = []
    print("| state | stop | script | nodes | became |\n|---|---|---|---|---|", flush=True)
    run_tests(7200)
