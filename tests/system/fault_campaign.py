"""Runs that are hit at random moments, again and again, until they are finished; then compared with one left alone.

    HEADFLOW=build/release/headflow /usr/bin/python3 tests/system/fault_campaign.py --faults 60 --pairs 10 --seed 1

Each run is started on a random number of ranks, hit by a random fault, and started again with the same command. After
each fault its output and its checkpoints must be readable; at the end every dataset must have the bits of the run that
was left alone. Then pairs of runs begin one output at the same moment: one of the two must be refused. Prints tables.
SIGTERM ends it after the run at hand, with the tables. Exit code 1, and the folders stay, when anything is lost. Where
it may be mounted, the disk of each run is a small one, which gets full.
"""
import argparse
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from harness import BAD_INPUT, SMALL, changed, command, execute, toml_text
from restart_harness import BOTH, FLOW, SGD, checkpoints, differing, end, ended, launch, numbers_in
from test_kill import descendants, kill_all
from test_saddle import FLIPPING
from test_trained import FULL

OUTPUT = "disk/out/case.h5"
# So that faults fall into writing, too; of some seconds, in which they come at any moment.
OFTEN = {"output.checkpoint_every": 0.05, "output.every": 0.1, "output.file": OUTPUT, "population.samples": 2**16}
INPUTS = {
    "5dp": changed(FLOW, OFTEN),
    "3bs": changed(FLOW, OFTEN | {"flow.method": "3bs", "flow.tolerance": 1e-8, "flow.learning_rate_noise": 0.3}),
    "euler": changed(FLOW, OFTEN | {"population.samples": 2**14, "population.resample": 3, "flow.method": "euler",
                                    "flow.step": 0.05}),
    "sgd": changed(SGD, OFTEN | {"sgd.dimension": 2000, "sgd.batch": 300}),
    "both": changed(BOTH, OFTEN | {"flow.end_time": 20.0, "sgd.dimension": 2000, "sgd.batch": 200,
                                   "sgd.end_time": 2.0}),
    "saddle": changed(FLIPPING, OFTEN | {"population.samples": 2**14}),
    "train": changed(FULL, OFTEN | {"population.samples": 2**13, "train.starts": 20}),
    "sweep": changed(SMALL, OFTEN | {"population.samples": 2**13, "flow.end_time": 20.0, "sweep.repeats": 12}),
}
ENDLESS = {"population.samples": 512, "flow.end_time": 1e9, "flow.outputs": 1}
FAULTS_PER_RUN = 6  # after which a run is left to finish
DISK = "16m"
COLUMNS = "number", "unreadable files", "differing datasets", "lost"
IO_FAILURE = 4  # exit code
# The time of day goes back by an hour, once there is the file `clock-back` in the working folder.
CLOCK = r"""
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long back(void) { return access("clock-back", F_OK) == 0 ? 3600 : 0; }
int clock_gettime(clockid_t clock, struct timespec* t) {
  int result = (int)syscall(SYS_clock_gettime, clock, t);
  if (result == 0 && clock == CLOCK_REALTIME) t->tv_sec -= back();
  return result;
}
int gettimeofday(struct timeval* restrict t, void* restrict zone) {
  int result = (int)syscall(SYS_gettimeofday, t, zone);
  if (result == 0 && t) t->tv_sec -= back();
  return result;
}
time_t time(time_t* t) {
  struct timeval now;
  gettimeofday(&now, 0);
  if (t) *t = now.tv_sec;
  return now.tv_sec;
}
"""


def ranks_of(process):
    """Process ids of headflow under that mpiexec that live."""
    def lives(pid):
        try:
            name, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
        except OSError:
            return False
        return name.endswith("(headflow") and rest.split()[0] != "Z"

    return [pid for pid in descendants(process.pid) if lives(pid)]


def end_of(process):
    """What has become of it. Open MPI 4's mpiexec may wait for ever when it is hit as it starts ranks: without any for
    a minute it is ended."""
    without = 0
    while process.poll() is None and without < 60:
        without = 0 if ranks_of(process) else without + 1
        try:
            process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            pass
    if process.poll() is None:
        print("mpiexec waits without ranks, and is ended", file=sys.stderr, flush=True)
        kill_all(process)
    return ended(process)


def kill_one(process, folder):
    for pid in sorted(ranks_of(process), key=lambda _: random.random())[:1]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def fill_disk(process, folder):
    """All room that is left, also what the run gives back, until it has ended."""
    with open(folder / "disk/filler", "wb", buffering=0) as file:
        while process.poll() is None:
            try:
                file.write(bytes(65536))
            except OSError:
                time.sleep(1e-3)


def limit_files(process, folder):
    """As a quota: no file of more than a page."""
    for pid in ranks_of(process):
        try:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, 4096))
        except ProcessLookupError:
            pass


def remove_folder(process, folder):
    (folder / "disk/out").rename(folder / "disk/elsewhere")


def put_back_folder(folder):
    """With what a new start may have written beside it gone."""
    elsewhere = folder / "disk/elsewhere"
    if elsewhere.exists():
        shutil.rmtree(folder / "disk/out", ignore_errors=True)
        elsewhere.rename(folder / "disk/out")


def set_clock_back(process, folder):
    (folder / "clock-back").touch()
    time.sleep(0.3)
    process.send_signal(signal.SIGUSR1)


class Fault(NamedTuple):
    """What hits a run, how it is made good, and the exit codes of headflow that may come of it."""
    strike: callable
    mend: callable = lambda folder: None
    codes: tuple = ()


KINDS = {
    "kill -9 of all ranks": Fault(lambda process, folder: kill_all(process)),
    "kill -9 of one rank": Fault(kill_one),
    "SIGTERM to mpiexec": Fault(lambda process, folder: process.send_signal(signal.SIGTERM)),
    "SIGUSR1 to mpiexec": Fault(lambda process, folder: process.send_signal(signal.SIGUSR1)),
    "wall limit": Fault(lambda process, folder: None),
    "full disk": Fault(fill_disk, lambda folder: (folder / "disk/filler").unlink(), (IO_FAILURE,)),
    "limit of file sizes": Fault(limit_files, codes=(IO_FAILURE,)),
    "folder removed": Fault(remove_folder, put_back_folder, (IO_FAILURE, BAD_INPUT)),
    "clock set back": Fault(set_clock_back, lambda folder: (folder / "clock-back").unlink()),
}


def numbers(folder):
    """Of the output, but for wall times."""
    found = numbers_in(folder / OUTPUT)
    found.pop("sweep/seconds", None)
    return found


class Campaign:
    def __init__(self, folder, seed):
        self.folder, self.randomness = folder, random.Random(seed)
        self.small_disks = self.mount(folder) and self.unmount(folder)
        self.kinds = [kind for kind in KINDS if kind != "full disk" or self.small_disks]
        self.counts = {kind: Counter() for kind in (*self.kinds, "left to finish")}
        self.inputs, self.refused = Counter(), 0
        self.notes, self.references, self.runs = [], {}, 0
        (folder / "clock.c").write_text(CLOCK)
        self.clock = folder / "clock.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-o", self.clock, folder / "clock.c"], check=True)

    def note(self, kind, column, where, text, count=1):
        self.counts[kind][column] += count
        self.notes.append(f"{where}: {kind}: {column}: {text}")

    def new_folder(self, name, case):
        """With case.toml and the disk on which its output is."""
        folder = self.folder / name
        (folder / "disk").mkdir(parents=True)
        if self.small_disks:
            self.mount(folder / "disk")
        (folder / "disk/out").mkdir()
        (folder / "case.toml").write_text(toml_text(case))
        return folder

    @staticmethod
    def mount(folder):
        return subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", folder], check=False,
                              stderr=subprocess.DEVNULL).returncode == 0

    @staticmethod
    def unmount(folder):
        return subprocess.run(["umount", "-l", folder], check=False).returncode == 0

    def remove(self, folder):
        if self.small_disks:
            self.unmount(folder / "disk")
        shutil.rmtree(folder)

    def reference(self, name):
        """The numbers of the run that is left alone."""
        if name not in self.references:
            folder = self.new_folder(f"{name}-whole", INPUTS[name])
            done = execute(folder, command("run", "case.toml"))
            if done.returncode != 0:
                raise SystemExit(f"{name} does not run: {done.stderr}")
            self.references[name] = numbers(folder)
            self.remove(folder)
        return self.references[name]

    def hit(self, folder, kind):
        """One start and its fault; the exit code and what was printed, and whether the fault came in time."""
        moment = self.randomness.uniform(0.1, 2.0)
        words = ["--max-walltime", f"{moment + 0.5:.2f}"] if kind == "wall limit" else []
        preload = {"LD_PRELOAD": str(self.clock)} if kind == "clock set back" else {}
        process = launch(folder, "case.toml", *words, ranks=self.randomness.randint(1, 4), **preload)
        if kind != "wall limit":
            time.sleep(moment)
        in_time = process.poll() is None
        KINDS[kind].strike(process, folder)
        stopped = end_of(process)
        KINDS[kind].mend(folder)
        return stopped, in_time and stopped.code != 0

    def check_files(self, folder, kind, newest):
        """Every file can be read, and no newer checkpoint than before is gone; the newest one's number."""
        try:
            if (folder / OUTPUT).exists():
                numbers(folder)
            number = max(checkpoints(folder / OUTPUT), default=0)
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
        folder = self.new_folder(f"{self.runs}-{name}", INPUTS[name])
        hits, newest, stopped = [], 0, None
        while len(hits) < min(faults, FAULTS_PER_RUN):
            kind = self.randomness.choice(self.kinds)
            stopped, in_time = self.hit(folder, kind)
            newest = self.check_files(folder, kind, newest)
            if stopped.code in {2, 3, 4} - set(KINDS[kind].codes):
                self.note(kind, "lost", folder.name, f"exit code {stopped.code}: {stopped.errors}")
            if not in_time:
                break
            self.counts[kind]["number"] += 1
            self.inputs[name] += 1
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
            names = differing(numbers(folder), reference)
        except (OSError, KeyError) as error:
            self.note(kind, "unreadable files", folder.name, error)
            return
        if names:
            self.note(kind, "differing datasets", folder.name, f"after {hits}: {names}", len(names))
        else:
            self.remove(folder)

    def pair(self, number):
        """Two runs that begin one output at the same moment: which were refused."""
        folder = self.new_folder(f"pair-{number}", changed(INPUTS["5dp"], ENDLESS))
        both = [launch(folder, "case.toml", ranks=self.randomness.randint(1, 2)) for _ in range(2)]
        first = next((process for process in both if self.has_ended(process, both)), both[0])
        stopped = end_of(first)
        refused = stopped.code == BAD_INPUT and " is held by a run on host " in stopped.errors
        other = both[1 - both.index(first)]
        running = other.poll() is None
        end(other)
        if refused and running:
            self.refused += 1
        else:
            self.notes.append(f"pair {number}: {stopped}, the other {'runs' if running else 'has ended, too'}")
        self.remove(folder)

    @staticmethod
    def has_ended(process, both):
        while all(one.poll() is None for one in both):
            time.sleep(0.01)
        return process.poll() is not None

    def report(self):
        print(f"{'fault':24}" + "".join(f"{column:>20}" for column in COLUMNS))
        for kind, counts in self.counts.items():
            print(f"{kind:24}" + "".join(f"{counts[column]:20}" for column in COLUMNS))
        total = sum(self.counts.values(), Counter())
        print(f"{'together':24}" + "".join(f"{total[column]:20}" for column in COLUMNS))
        print("faults of each kind of run:", ", ".join(f"{name} {n}" for name, n in sorted(self.inputs.items())))
        print(*self.notes, sep="\n")
        return bool(self.notes)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--faults", type=int, default=60)
    parser.add_argument("--pairs", type=int, default=0)
    parser.add_argument("--seed", type=int, default=20260303)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="headflow-faults-"))
    random.seed(arguments.seed)
    campaign = Campaign(folder, arguments.seed)
    told = []
    signal.signal(signal.SIGTERM, lambda *_: told.append(True))
    left, idle = arguments.faults, 0
    while left > 0 and not told:
        done = campaign.run(left)
        left -= done
        idle = 0 if done else idle + 1
        if idle > 20:
            raise SystemExit("runs end before they can be hit")
    for number in range(arguments.pairs):
        campaign.pair(number)
    if arguments.pairs:
        print(f"pairs of runs of one output: {arguments.pairs}, one refused in {campaign.refused}")
    lost = campaign.report()
    if lost:
        print(f"the files are in {folder}")
    else:
        shutil.rmtree(folder)
    sys.exit(1 if lost else 0)


if __name__ == "__main__":
    main()
