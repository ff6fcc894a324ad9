"""What headflow answers to a command line, and what can be wrong with that."""
import os
import re
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import inputs  # noqa: F401  (makes the harness of the system tests known)
from harness import environment

MANY = Path(os.environ.get("HEADFLOW_MANY", "build/release/tests/fuzz/many_commands")).absolute()
HANG = 5     # seconds of processor time
GONE = 300   # seconds after which one that does nothing is taken to wait for ever
WAITS = -1000
FINISHED, BAD_INPUT, NUMERICAL, FILE_FAILURE, STOPPED = 0, 2, 3, 4, 75
MEMORY = 4 << 30  # a limit on the address space: what asks for more must be told so


class Answer(NamedTuple):
    code: int          # negative: the signal that ended it
    open: int          # HDF5 objects left open
    output: str
    errors: str
    seconds: float     # of processor time


class Driver:
    """A program that is asked for one command line after another: many_commands."""
    program, name = (MANY,), "headflow"
    codes = FINISHED, BAD_INPUT, NUMERICAL, FILE_FAILURE, STOPPED
    notices = ("headflow: warning: ",)  # how lines begin that come with success, too

    def __init__(self):
        self.start()

    def start(self):
        self.process = subprocess.Popen(["prlimit", f"--as={MEMORY}", "--core=0", *self.program],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
                                        env=environment(TERM="dumb", OPENBLAS_NUM_THREADS="1"))

    def ask(self, folder, words):
        request = [os.fsencode(word) for word in (str(folder), *words)]
        self.process.stdin.write(b"%d\n" % len(request) + b"".join(b"%d\n%b" % (len(word), word) for word in request))
        self.process.stdin.flush()
        if not select.select([self.process.stdout], [], [], GONE)[0]:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.communicate()
            self.start()
            return Answer(WAITS, 0, "", "", 0)
        code, left, milliseconds, printed, said = map(int, self.process.stdout.readline().split())
        output, errors = (self.process.stdout.read(size).decode(errors="surrogateescape") for size in (printed, said))
        return Answer(code, left, output, errors, milliseconds / 1000)

    def close(self):
        self.process.communicate()

    @staticmethod
    def reads_only(words, code):
        """Whether a command line must leave all files as they are."""
        return words[:1] in (["check"], ["info"]) or not words or code == BAD_INPUT


class PlotDriver(Driver):
    """many_plots.py."""
    program, name = (sys.executable, "-B", Path(__file__).with_name("many_plots.py")), "headflow-plot"
    codes = FINISHED, BAD_INPUT
    notices = ("headflow-plot: left out ",)

    @staticmethod
    def reads_only(words, code):
        return code != FINISHED


def content(folder):
    """{name: (kind, bytes)} of all below a folder, but for pipes and the like."""
    found = {}
    for root, folders, files in os.walk(os.fsencode(folder)):
        for name in folders + files:
            path = os.path.join(root, name)
            if os.path.islink(path):
                found[path] = ("link", os.readlink(path))
            elif os.path.isfile(path):
                with open(path, "rb") as file:
                    found[path] = ("file", file.read())
            else:
                found[path] = ("other", os.lstat(path).st_mode)
    return found


def faults_in(driver, answer, words, before, after):
    """[what is wrong with an answer of that driver]."""
    found = []
    if answer.code == WAITS:
        return ["waits for ever"]
    if answer.code < 0:
        return [f"crash, signal {-answer.code}: {answer.errors[-500:]}"]
    if answer.seconds > HANG:
        found.append(f"{answer.seconds:.1f} s of processor time")
    if answer.code not in driver.codes:
        found.append(f"exit code {answer.code}")
    lines = answer.errors.split("\n")
    if answer.errors and lines.pop() != "":
        found.append("the last message has no end of line")
    failures = [line for line in lines if not line.startswith(driver.notices)] if answer.errors else []
    if answer.code in (FINISHED, STOPPED) and failures:
        found.append(f"success, but it says {failures[0]!r}")
    if answer.code not in (FINISHED, STOPPED) and (len(failures) != 1
                                                   or not failures[0].startswith(f"{driver.name}: error: ")):
        found.append(f"not one line of message: {failures}")
    if any(len(line) > 2000 for line in lines):
        found.append(f"a message of {max(map(len, lines))} characters")
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", answer.errors):
        found.append(f"control characters in a message: {answer.errors!r}")
    if answer.open:
        found.append(f"{answer.open} HDF5 objects left open")
    if driver.reads_only(words, answer.code) and before != after:
        names = {name for name in set(before) | set(after) if before.get(name) != after.get(name)}
        found.append(f"files changed: {sorted(names)[:5]}")
    return found
