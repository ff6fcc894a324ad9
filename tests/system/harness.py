"""What the system tests share: input texts, runs of headflow on any number of ranks, its files as numpy arrays.

ctest tells the programs by the environment: HEADFLOW, HEADFLOW_PLOT, MPIEXEC. By hand, from the top folder:
    HEADFLOW=build/release/headflow /usr/bin/python3 tests/system/test_output.py [-k part of a test's name]
"""
import contextlib
import copy
import functools
import itertools
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
from forked_program import ForkedProgram

TOP = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("HEADFLOW", "build/release/headflow")).absolute()
PLOT = Path(os.environ.get("HEADFLOW_PLOT", PROGRAM.with_name("headflow-plot"))).absolute()
MPIEXEC = os.environ.get("MPIEXEC", "mpiexec")
MPI_ENVIRONMENT = dict(line.split("=", 1) for line in (TOP / "cmake/mpi.env").read_text().splitlines()
                       if line and not line.startswith("#"))
BAD_INPUT = 2  # exit code
HANGS = 3000  # seconds after which a program is taken to hang: far more than any needs on a busy machine
SESSIONS = itertools.count()
STARTING = threading.Lock()
JOBS = 3  # programs that run side by side where a test has many: their start is mostly waiting

# L = 3, H = F = 2: runs in a few hundredths of a second.
SMALL = {
    "model": {"tokens": 3, "prior": "flipping-spike", "signal": [2.0, 2.0]},
    "attention": {"heads": 2},
    "start": {"noise": 0.1, "seed": 3},
    "population": {"samples": 512, "replicates": 4},
    "flow": {"end_time": 4.0, "outputs": 8},
}


class Raw(str):
    """A value that goes into an input as it is written here."""


def environment(**extra):
    """This environment without a batch system's traces, made fit for root, for containers and for few cores."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "OMPI_COMM_"))}
    return MPI_ENVIRONMENT | variables | extra


def changed(base, changes):
    """`base` with {"section.key": value} or {"section": keys} put in; the value None takes the key or section out."""
    sections = copy.deepcopy(base)
    for name, value in changes.items():
        section, _, key = name.partition(".")
        if not key and value is None:
            sections.pop(section, None)
        elif not key:
            sections[section] = copy.deepcopy(value)
        elif value is None:
            sections.get(section, {}).pop(key, None)
        else:
            sections.setdefault(section, {})[key] = value
    return sections


def toml_value(value):
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml_value(item)}" for key, item in value.items()) + " }"
    return value if isinstance(value, Raw) else json.dumps(value)


def toml_text(sections):
    """One line for each key; JSON's numbers, lists, texts and truth values are TOML's too."""
    lines = []
    for section, keys in sections.items():
        names = {key: json.dumps(key) if "[" in key else key for key in keys}
        lines += [f"[{section}]", *(f"{names[key]} = {toml_value(value)}" for key, value in keys.items()), ""]
    return "\n".join(lines)


def line_of(text, place):
    """The number, from 1, of the line of `text` that begins "[section]" or sets "section.key"."""
    section, _, key = place.partition(".")
    lines = text.split("\n")
    first = lines.index(f"[{section}]")
    return 1 + next(i for i, line in enumerate(lines) if i >= first and (not key or line.startswith(f"{key} =")))


def mpiexec(*options):
    """mpiexec with a session folder of its own: Open MPI 4 has one for each user, and of many starts and ends at the
    same time some fail."""
    session = f"{tempfile.gettempdir()}/headflow-{os.getpid()}-{next(SESSIONS)}"
    return ["env", f"OMPI_MCA_orte_top_session_dir={session}", MPIEXEC, *options]


def command(*words, ranks=0):
    """What starts headflow: itself (0 ranks), or mpiexec on so many."""
    launcher = mpiexec("-n", str(ranks)) if ranks else []
    return [*launcher, str(PROGRAM), *map(str, words)]


def without_progress(errors):
    """What was said on standard error, but for how far the run is, which it says every half minute, and for holds."""
    return re.sub(r"(?m)^headflow: (\w+: t = \S+ of .* left( not yet known)?|sweep: \d+ of \d+ members, .* left|"
                  r"holding until .*)\n", "", errors)


@functools.cache
def forked_program():
    """That which this process starts, or None where it cannot be: a sanitizer must be loaded before all else."""
    library = Path(os.environ.get("HEADFLOW_BUILD", PROGRAM.parent)) / "tests" / "system" / "forked_program.so"
    with contextlib.suppress(OSError):
        return ForkedProgram(PROGRAM, library, environment())


def execute(folder, words, timeout=HANGS, env=None, **options):
    """The finished program, with its standard output and error as texts."""
    words, env = [str(word) for word in words], env or environment()
    if words[0] == str(PROGRAM) and not options and "LD_PRELOAD" not in env and sum(map(len, words)) < 50_000:
        with STARTING:
            program = forked_program()
        if program:
            done = program.run(words, folder, env, timeout)
            return subprocess.CompletedProcess(words, done.returncode, done.stdout, without_progress(done.stderr))
    return execute_alone(folder, words, timeout, env, **options)


def execute_alone(folder, words, timeout=HANGS, env=None, **options):
    """The same by a process of its own from the beginning."""
    words = [str(word) for word in words]
    process = subprocess.Popen(words, cwd=folder, env=env or environment(), text=True, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    try:
        output, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.terminate()  # upon which mpiexec ends its ranks; killed, it would leave them behind
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        raise
    return subprocess.CompletedProcess(words, process.returncode, output, without_progress(errors))


def side_by_side(work, items):
    """[work(item), ..] with a few at the same time."""
    with ThreadPoolExecutor(JOBS) as pool:
        return list(pool.map(work, items))


def read_group(path, group="flow"):
    """{name: array} of an HDF5 group, texts as str."""
    with h5py.File(path, "r") as file:
        return {name: data.asstr()[()] if h5py.check_string_dtype(data.dtype) else np.array(data)
                for name, data in file[group].items()}


def content(folder):
    """{name: bytes, or what it is if not a file} of everything under a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else path.stat().st_mode
            for path in folder.rglob("*")}


def preloaded(folder, source):
    """A library of C that stands between the program and MPI: a path for LD_PRELOAD."""
    (folder / "preloaded.c").write_text(source)
    subprocess.run(["mpicc", "-shared", "-fPIC", "-o", folder / "preloaded.so", folder / "preloaded.c"], check=True)
    return str(folder / "preloaded.so")


CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
int clock_gettime(clockid_t clock, struct timespec* now) {
  static __thread long long readings = 0;
  static int (*real)(clockid_t, struct timespec*) = 0;
  if (!real) real = (int (*)(clockid_t, struct timespec*))dlsym(RTLD_NEXT, "clock_gettime");
  if (clock != CLOCK_MONOTONIC) return real(clock, now);
  const long long ms = 1000000 + STEP * readings++;
  now->tv_sec = ms / 1000;
  now->tv_nsec = ms % 1000 * 1000000;
  return 0;
}
"""


def steady_clock(folder, milliseconds):
    """For LD_PRELOAD: a clock that is so much later each time that it is read. What is timed takes that long, however
    fast the machine is."""
    return preloaded(folder, CLOCK.replace("STEP", str(milliseconds)))


class SystemTest(unittest.TestCase):
    """A test with a folder of its own, in which programs run; `shared` is one for all tests of a class."""

    @classmethod
    def setUpClass(cls):
        cls.shared = Path(tempfile.mkdtemp(prefix="headflow-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.shared, ignore_errors=True)

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="headflow-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def write_input(self, changes=None, name="case", base=SMALL):
        text = toml_text(changed(base, changes or {}))
        (self.folder / f"{name}.toml").write_text(text, errors="surrogateescape")
        return text

    def headflow(self, *words, ranks=0, **options):
        return execute(self.folder, command(*words, ranks=ranks), **options)

    def succeed(self, *words, **options):
        """The standard output of headflow, which must end with exit code 0 and without a word on standard error."""
        done = self.headflow(*words, **options)
        self.assertEqual((done.returncode, done.stderr), (0, ""), f"headflow {' '.join(map(str, words))}")
        return done.stdout

    def run_flow(self, name, changes=None, words=(), ranks=0, base=SMALL):
        """The datasets of /flow in NAME.h5, computed from the changed input NAME.toml."""
        self.write_input(changes, name, base)
        self.succeed("run", f"{name}.toml", *words, ranks=ranks)
        return read_group(self.folder / f"{name}.h5")

    def assert_same_bits(self, one, other):
        """Two {name: array}: the same names, shapes and bits (NaN included)."""
        self.assertEqual(sorted(one), sorted(other))
        for name in one:
            self.assertEqual((one[name].shape, one[name].dtype), (other[name].shape, other[name].dtype), name)
            where = np.argwhere(one[name] != other[name])[:5].tolist()
            self.assertTrue(one[name].tobytes() == other[name].tobytes(), f"{name} differs at {where}")


def main():
    unittest.main(verbosity=2)
