"""What the tests of checkpoints and restarts share: runs to be hit, ways to stop them, all numbers of their files."""
import signal
import subprocess
import time
from typing import NamedTuple

import h5py

from harness import (HANGS, SMALL, SystemTest, changed, command, environment, execute, read_group, toml_text,
                     without_progress)
from sgd_harness import ALONE, BASE, SPEED
from test_kill import kill_all

STOPPED = 75  # the exit code of a run that saved its state and stopped
PAUSE = 30    # questions whether to stop: steps of a flow
FEW = 6       # of SGD, which asks after 1, 2, 4, .. steps, or of a short flow

# Runs of some hundred steps, with outputs far apart: a stop falls between two.
FLOW = changed(SMALL, {"population.samples": 2**12, "flow.end_time": 40.0, "flow.outputs": 3,
                       "flow.tolerance": 1e-11})
SGD = changed(BASE, ALONE | {"sgd.dimension": 300, "sgd.learning_rate": 0.01, "sgd.batch": 30, "sgd.outputs": 3,
                             "sgd.save_weights": True})
BOTH = changed(SGD, {"flow.end_time": 4.0, "flow.outputs": 3, "population.samples": 2**13, "flow.tolerance": 1e-9,
                     "sgd.end_time": None, "sgd.weights_times": [0.0, 2.0]})
# Only just long enough to be stopped and gone on with; SGD's stop can lie at any step.
QUICK = changed(SMALL, {"flow.output_times": [0.0, 1.0, 4.0], "flow.outputs": None, "flow.end_time": 4.0})


class Stopped(NamedTuple):
    """A run that was hit: its exit code and what it printed."""
    code: int
    output: str
    errors: str


def numbers_in(path):
    """{file/group/name: array} of an output and its weights files: all that has the same bits in every repetition."""
    files = {"": path} | {file.stem.rpartition(".")[2] + "/": file
                          for file in path.parent.glob(f"{path.stem}.weights-*.h5")}
    numbers = {}
    for prefix, file in files.items():
        with h5py.File(file, "r") as data:
            groups = [name for name in data if name != "provenance"]
        for group in groups:
            numbers |= {f"{prefix}{group}/{name}": array for name, array in read_group(file, group).items()
                        if name != SPEED}
    return numbers


def differing(one, other):
    """Names of the datasets of two numbers_in() that are not the same in name, shape, kind and bits."""
    def same(name):
        a, b = one.get(name), other.get(name)
        return (a is not None and b is not None and a.shape == b.shape and a.dtype == b.dtype
                and a.tobytes() == b.tobytes())

    return sorted(name for name in set(one) | set(other) if not same(name))


def checkpoints(path):
    """{number: path} of the checkpoints of an output; one that cannot be read raises OSError."""
    found = {}
    for file in sorted(path.parent.glob(f"{path.stem}.checkpoint-*.h5")):
        with h5py.File(file, "r") as data:
            found[int(data.attrs["checkpoint"])] = file
    return found


def launch(folder, *words, ranks=1, pause=0, **variables):
    """mpiexec with headflow in a session of its own, whose traces stay in the folder. With `pause` it waits after so
    many questions whether to stop, and again after as many more: see Gate. `variables` are for its environment."""
    env = environment(TMPDIR=str(folder), OMPI_MCA_btl_vader_backing_directory=str(folder), **variables)
    if pause:
        Gate(folder).close()
        env["HEADFLOW_PAUSE"] = f"{pause}:{Gate(folder).path}"
    return subprocess.Popen(command("run", *words, ranks=ranks), cwd=folder, env=env, text=True,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            start_new_session=True)


def ended(process, timeout=HANGS):
    """What has become of it."""
    try:
        output, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        end(process)
        raise
    return Stopped(process.returncode, output, without_progress(errors))


class Gate:
    """Before which a run in that folder waits (src/restart/watch.hpp): what it is then hit by finds it in the same
    place, however fast it is. A signal, too, lets it go on."""
    def __init__(self, folder, name="gate"):
        self.path = folder / name
        self.paused = folder / f"{name}.paused"

    def close(self):
        self.path.touch()

    def wait(self, process):
        """Until the run waits here."""
        if not wait_for(self.paused.exists, process):
            raise AssertionError(f"it has ended before it could be stopped: {ended(process)}")

    def pause(self):
        """Which pause it is: how often the run had been asked; None while it does not wait."""
        try:
            return int(self.paused.read_text())
        except FileNotFoundError:
            return None

    def wait_past(self, pause, process):
        """Until the run goes on from this pause, even where it waits at the next one by now."""
        wait_for(lambda: self.pause() != pause, process)

    def let_through(self):
        """To the next pause."""
        self.paused.unlink()

    def open(self):
        """There is no pause any more."""
        self.path.unlink()


def end(process):
    """With all its ranks, if it still runs."""
    if process.poll() is None:
        kill_all(process)
    process.communicate()


def wait_for(condition, process, timeout=HANGS):
    """Until the condition holds or the program has ended, by itself; whether it holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if process.poll() is not None:
            return condition()
        if time.monotonic() > deadline:
            raise TimeoutError("what was waited for did not come")
        time.sleep(2e-3)
    return True


def wait_for_update(path, process):
    """Until the output is written anew, after which signals are heard."""
    before = path.stat().st_ino if path.exists() else None
    return wait_for(lambda: path.exists() and path.stat().st_ino != before, process)


class RestartTest(SystemTest):
    def place(self, name, base, changes=None):
        """A folder with case.toml; the path of its output."""
        folder = self.folder / name
        folder.mkdir()
        (folder / "case.toml").write_text(toml_text(changed(base, changes or {})))
        return folder / "case.h5"

    def rewrite(self, path, base, changes=None):
        path.with_suffix(".toml").write_text(toml_text(changed(base, changes or {})))

    def launch(self, path, *words, ranks=0, pause=0):
        """A run in the background, which does not outlive the test."""
        process = launch(path.parent, "case.toml", *words, ranks=ranks, pause=pause)
        self.addCleanup(end, process)
        return process

    def paused(self, path, *words, ranks=0, pause=PAUSE, until=None):
        """A run that waits before its gate, after `pause` questions, or as many more as it takes until `until` is true
        of its output."""
        process, gate = self.launch(path, *words, ranks=ranks, pause=pause), Gate(path.parent)
        gate.wait(process)
        while until is not None and not (path.exists() and until(path)):
            gate.let_through()
            gate.wait(process)
        return process, gate

    def run_case(self, path, *words, ranks=0):
        return execute(path.parent, command("run", "case.toml", *words, ranks=ranks))

    def finish(self, path, *words, ranks=0):
        """What a run prints that must succeed without a warning."""
        done = self.run_case(path, *words, ranks=ranks)
        self.assertEqual((done.returncode, done.stderr), (0, ""), f"{path.parent.name}: {words}")
        return done.stdout

    def refused(self, path, *words, code=2):
        """What a run says that must fail, and leave every file as it is."""
        def files():
            return {file.name: file.read_bytes() for file in path.parent.iterdir() if file.is_file()}

        before = files()
        done = self.run_case(path, *words)
        self.assertEqual((done.returncode, files() == before), (code, True), f"{words}: {done.stderr}")
        self.assertTrue(done.stderr.startswith("headflow: error: "), done.stderr)
        return done.stderr

    def assert_stopped(self, stopped, name):
        self.assertEqual(stopped.code, STOPPED, f"{name}: {stopped}")
        last = stopped.output.strip().split("\n")[-1]
        self.assertRegex(last, r"^stopped early \(.*\), state saved: the same command goes on from there$", name)
        return last

    def stop(self, path, number=signal.SIGUSR1, ranks=1, words=(), pause=PAUSE, until=None):
        """Stopped by a signal after so many questions, or when `until` is true of its output; its last line."""
        process, _ = self.paused(path, *words, ranks=ranks, pause=pause, until=until)
        process.send_signal(number)
        return self.assert_stopped(ended(process), path.parent.name)

    def stop_by_file(self, path, ranks=1, pause=PAUSE):
        process, gate = self.paused(path, ranks=ranks, pause=pause)
        stop = path.with_name("case.h5.stop")
        stop.touch()
        gate.open()
        last = self.assert_stopped(ended(process), path.parent.name)
        self.assertFalse(stop.exists())
        return last

    def stop_by_time(self, path, ranks=1, pause=PAUSE, limit=10):
        """A new run, whose limit is over while it waits: a longer one where it has not come so far."""
        begin = time.monotonic()
        words = "--force", "--max-walltime", str(limit)
        process, gate = self.launch(path, *words, ranks=ranks, pause=pause), Gate(path.parent)
        there = wait_for(gate.paused.exists, process)
        if there:
            time.sleep(max(0, begin + limit - time.monotonic()))
            gate.open()
        last = self.assert_stopped(ended(process), path.parent.name)
        return last if there else self.stop_by_time(path, ranks, pause, 4 * limit)

    def assert_same_numbers(self, path, reference, name=""):
        expected = numbers_in(reference)
        self.assertGreater(len(expected), 5)
        self.assertEqual(differing(numbers_in(path), expected), [], name or path.parent.name)
