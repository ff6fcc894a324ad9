"""What the tests of checkpoints and restarts share: runs to be hit, ways to stop them, all numbers of their files."""
import signal
import subprocess
import time
from typing import NamedTuple

import h5py

from harness import HANGS, SMALL, SystemTest, changed, command, environment, execute, read_group, toml_text
from sgd_harness import ALONE, BASE, SPEED
from test_kill import kill_all

STOPPED = 75  # the exit code of a run that saved its state and stopped

# Runs of a second or two, with outputs far apart: a stop falls between two.
FLOW = changed(SMALL, {"population.samples": 2**16, "flow.end_time": 40.0, "flow.outputs": 3,
                       "flow.tolerance": 1e-11})
SGD = changed(BASE, ALONE | {"sgd.dimension": 2000, "sgd.learning_rate": 0.01, "sgd.batch": 200, "sgd.outputs": 3,
                             "sgd.save_weights": True})
BOTH = changed(SGD, {"flow.end_time": 4.0, "flow.outputs": 3, "population.samples": 2**17, "flow.tolerance": 1e-9,
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


def launch(folder, *words, ranks=1):
    """mpiexec with headflow in a session of its own, whose traces stay in the folder."""
    env = environment(TMPDIR=str(folder), OMPI_MCA_btl_vader_backing_directory=str(folder))
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
    return Stopped(process.returncode, output, errors)


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

    def launch(self, path, *words, ranks=0):
        """A run in the background, which does not outlive the test."""
        process = launch(path.parent, "case.toml", *words, ranks=ranks)
        self.addCleanup(end, process)
        return process

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

    def stop(self, path, number=signal.SIGUSR1, ranks=1, words=(), until=None):
        """Stopped by a signal soon after it began, or when `until` is true of its output; its last line."""
        process = self.launch(path, *words, ranks=ranks)
        wait_for_update(path, process)
        if until is None:
            time.sleep(0.2)
        while until is not None and not until(path):
            self.assertIsNone(process.poll(), "it has ended before it could be stopped")
            time.sleep(0.02)
        process.send_signal(number)
        return self.assert_stopped(ended(process), path.parent.name)

    def stop_by_file(self, path, ranks=1):
        process = self.launch(path, ranks=ranks)
        wait_for_update(path, process)
        stop = path.with_name("case.h5.stop")
        stop.touch()
        last = self.assert_stopped(ended(process), path.parent.name)
        self.assertFalse(stop.exists())
        return last

    def stop_by_time(self, path, ranks=1, limit="00:00:01.3"):
        process = self.launch(path, "--max-walltime", limit, ranks=ranks)
        return self.assert_stopped(ended(process), path.parent.name)

    def assert_same_numbers(self, path, reference, name=""):
        expected = numbers_in(reference)
        self.assertGreater(len(expected), 5)
        self.assertEqual(differing(numbers_in(path), expected), [], name or path.parent.name)
