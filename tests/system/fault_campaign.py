"""Runs that are hit at random moments, again and again, until they are finished; then compared with one left alone.

    HEADFLOW=build/release/headflow /usr/bin/python3 tests/system/fault_campaign.py --faults 60 --seed 1

Each run is started on a random number of ranks, hit by a random fault, and started again with the same command. After
each fault its output and its checkpoints must be readable; at the end every dataset must have the bits of the run that
was left alone. Exit code 1, and the folders stay, when anything is lost.
"""
import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from harness import changed, command, execute, toml_text
from restart_harness import BOTH, FLOW, SGD, checkpoints, differing, ended, launch, numbers_in
from test_kill import descendants, kill_all

# So that faults fall into writing, too; of some seconds, in which they come at any moment.
OFTEN = {"output.checkpoint_every": 0.05, "output.every": 0.1, "population.samples": 2**16}
INPUTS = {
    "5dp": changed(FLOW, OFTEN),
    "3bs": changed(FLOW, OFTEN | {"flow.method": "3bs", "flow.tolerance": 1e-8, "flow.learning_rate_noise": 0.3}),
    "euler": changed(FLOW, OFTEN | {"population.samples": 2**14, "population.resample": 3, "flow.method": "euler",
                                    "flow.step": 0.05}),
    "sgd": changed(SGD, OFTEN | {"sgd.dimension": 2000, "sgd.batch": 300}),
    "both": changed(BOTH, OFTEN | {"flow.end_time": 20.0, "sgd.dimension": 2000, "sgd.batch": 200,
                                   "sgd.end_time": 2.0}),
}
KINDS = "kill -9 of all ranks", "kill -9 of one rank", "SIGTERM to mpiexec", "SIGUSR1 to mpiexec", "wall limit"
FAULTS_PER_RUN = 6  # after which a run is left to finish
COLUMNS = "number", "unreadable files", "differing datasets", "lost"


def ranks_of(process):
    """Process ids of headflow under that mpiexec."""
    def name(pid):
        try:
            return Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            return ""

    return [pid for pid in descendants(process.pid) if name(pid) == "headflow"]


def kill(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


class Campaign:
    def __init__(self, folder, seed):
        self.folder, self.randomness = folder, random.Random(seed)
        self.counts = {kind: Counter() for kind in (*KINDS, "left to finish")}
        self.notes, self.references, self.runs = [], {}, 0

    def note(self, kind, column, where, text, count=1):
        self.counts[kind][column] += count
        self.notes.append(f"{where}: {kind}: {column}: {text}")

    def new_folder(self, name):
        folder = self.folder / name
        folder.mkdir()
        return folder

    def reference(self, name):
        """The numbers of the run that is left alone."""
        if name not in self.references:
            folder = self.new_folder(f"{name}-whole")
            (folder / "case.toml").write_text(toml_text(INPUTS[name]))
            done = execute(folder, command("run", "case.toml"))
            if done.returncode != 0:
                raise SystemExit(f"{name} does not run: {done.stderr}")
            self.references[name] = numbers_in(folder / "case.h5")
        return self.references[name]

    def hit(self, folder, kind):
        """One start and its fault; the exit code and what was printed, and whether the fault came in time."""
        moment = self.randomness.uniform(0.1, 2.0)
        words = ["--max-walltime", f"{moment + 0.5:.2f}"] if kind == "wall limit" else []
        process = launch(folder, "case.toml", *words, ranks=self.randomness.randint(1, 4))
        if kind == "wall limit":
            stopped = ended(process, 120)
            return stopped, stopped.code != 0
        time.sleep(moment)
        in_time = process.poll() is None
        if kind == KINDS[0]:
            kill_all(process)
        elif kind == KINDS[1]:
            kill(sorted(ranks_of(process), key=lambda _: self.randomness.random())[:1])
        else:
            process.send_signal(signal.SIGTERM if kind == KINDS[2] else signal.SIGUSR1)
        stopped = ended(process, 120)
        return stopped, in_time and stopped.code != 0

    def check_files(self, folder, kind, newest):
        """Every file can be read, and no newer checkpoint than before is gone; the newest one's number."""
        try:
            if (folder / "case.h5").exists():
                numbers_in(folder / "case.h5")
            number = max(checkpoints(folder / "case.h5"), default=0)
        except (OSError, KeyError) as error:
            self.note(kind, "unreadable files", folder.name, error)
            return newest
        if number < newest:
            self.note(kind, "lost", folder.name, f"checkpoint {newest}; the newest is now {number}")
        return number

    def run(self, faults):
        """One run with at most so many faults; how many there were."""
        self.runs += 1
        name = self.randomness.choice(sorted(INPUTS))
        reference = self.reference(name)
        folder = self.new_folder(f"{self.runs}-{name}")
        (folder / "case.toml").write_text(toml_text(INPUTS[name]))
        hits, newest, stopped = [], 0, None
        while len(hits) < min(faults, FAULTS_PER_RUN):
            kind = self.randomness.choice(KINDS)
            stopped, in_time = self.hit(folder, kind)
            newest = self.check_files(folder, kind, newest)
            if stopped.code in (2, 3, 4):
                self.note(kind, "lost", folder.name, f"exit code {stopped.code}: {stopped.errors}")
            if not in_time:
                break
            self.counts[kind]["number"] += 1
            hits.append(kind)
        self.finish(folder, hits, reference)
        return len(hits)

    def finish(self, folder, hits, reference):
        kind = hits[-1] if hits else "left to finish"
        self.counts["left to finish"]["number"] += 1
        done = execute(folder, command("run", "case.toml", ranks=self.randomness.randint(1, 4)))
        if done.returncode != 0 or done.stderr:
            self.note(kind, "lost", folder.name, f"exit code {done.returncode}: {done.stderr}")
            return
        try:
            names = differing(numbers_in(folder / "case.h5"), reference)
        except (OSError, KeyError) as error:
            self.note(kind, "unreadable files", folder.name, error)
            return
        if names:
            self.note(kind, "differing datasets", folder.name, f"after {hits}: {names}", len(names))
        else:
            shutil.rmtree(folder)

    def report(self):
        print(f"{'fault':24}" + "".join(f"{column:>20}" for column in COLUMNS))
        for kind, counts in self.counts.items():
            print(f"{kind:24}" + "".join(f"{counts[column]:20}" for column in COLUMNS))
        total = sum(self.counts.values(), Counter())
        print(f"{'together':24}" + "".join(f"{total[column]:20}" for column in COLUMNS))
        print(*self.notes, sep="\n")
        return bool(self.notes)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--faults", type=int, default=60)
    parser.add_argument("--seed", type=int, default=20260303)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="headflow-faults-"))
    campaign = Campaign(folder, arguments.seed)
    left, idle = arguments.faults, 0
    while left > 0:
        done = campaign.run(left)
        left -= done
        idle = 0 if done else idle + 1
        if idle > 20:
            raise SystemExit("runs end before they can be hit")
    lost = campaign.report()
    if lost:
        print(f"the files are in {folder}")
    else:
        shutil.rmtree(folder)
    sys.exit(1 if lost else 0)


if __name__ == "__main__":
    main()
