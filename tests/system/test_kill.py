"""kill -9 at any moment leaves a file that can be read, whole up to its last update."""
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import h5py
import numpy as np

from harness import HANGS, SMALL, SystemTest, changed, command, environment, main, read_group

# Many outputs: the run outlasts the test, and its file grows, so that each update takes longer than the last.
LONG = changed(SMALL, {"population.samples": 2048, "output.every": 0.0,
                       "flow.end_time": 1e5, "flow.outputs": 1_000_000})


def descendants(parent):
    """Process ids of the children of `parent`, theirs, and so on."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, rest = entry.parent.name, entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        parents.setdefault(int(rest[1]), []).append(int(pid))
    found, new = [], [parent]
    while new:
        new = [child for pid in new for child in parents.get(pid, [])]
        found += new
    return found


def kill_all(process):
    """Process and descendants at once, as when the power fails; how many these were. mpiexec is halted first: it
    starts no more ranks, which with Open MPI 5 outlive it."""
    process.send_signal(signal.SIGSTOP)
    pids = descendants(process.pid)
    for pid in *pids, process.pid:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return len(pids)


class Kill(SystemTest):
    def start(self):
        """headflow on two ranks in a session of its own, whose traces stay in this test's folder."""
        env = environment(TMPDIR=str(self.folder), OMPI_MCA_btl_vader_backing_directory=str(self.folder))
        return subprocess.Popen(command("run", "long.toml", "--force", ranks=2), cwd=self.folder, env=env,
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                start_new_session=True)

    def kill(self, process):
        """All ranks at once, then mpiexec. None may have ended by itself."""
        self.assertIsNone(process.poll(), "the run ended before it could be killed")
        ranks = kill_all(process)
        process.wait()
        return ranks

    def read_whole(self, path):
        """/flow, after checks that it is whole: every series as long as time, no gap, all numbers written."""
        flow = read_group(path)
        count = flow["time"].size
        self.assertGreater(count, 0)
        for name in "m", "r", "q", "b", "v", "loss", "loss_stderr", "gradient_norm", "step_size", "cosine":
            self.assertEqual(len(flow[name]), count, name)
            self.assertTrue(np.isfinite(flow[name]).all(), name)
        self.assertTrue((flow["loss"] > 0).all() and (flow["step_size"][1:] > 0).all())
        np.testing.assert_allclose(flow["time"], 0.1 * np.arange(count), rtol=1e-12)
        with h5py.File(path, "r") as file:
            self.assertIn("tokens = 3", file["provenance/input"].asstr()[()])
            self.assertNotIn("finished", file["provenance"])
        return flow

    def test_kill(self):
        """Soon after the start, some time after the second update, and in the middle of an update until one is hit."""
        self.write_input(name="long", base=LONG)
        path, part = self.folder / "long.h5", self.folder / "long.h5.part"
        randomness = random.Random(20260303)
        moments = [("start", randomness.uniform(0, 1.2)) for _ in range(4)]
        moments += [("updates", randomness.uniform(0, 0.8)) for _ in range(4)] + [("update", 0)] * 50
        longest, lengths, cut_short = None, [], 0
        for since, delay in moments:
            if since == "update" and cut_short > 0:
                break
            with self.subTest(since=since, delay=delay):
                path.unlink(missing_ok=True)
                part.unlink(missing_ok=True)
                process = self.start()
                if since != "start":
                    self.wait_for_updates(process, path, part, finished=since == "updates")
                time.sleep(delay)
                self.kill(process)
                cut_short += part.exists()
                lengths.append(0)
                if path.exists():
                    flow = self.read_whole(path)
                    lengths[-1] = flow["time"].size
                    longest = self.longer_of_same(flow, longest or flow)
        # The test has met what it is about: a file with updates, and updates that were cut short.
        self.assertGreater(max(lengths), 2, lengths)
        self.assertGreater(cut_short, 0, lengths)
        self.assert_next_run_succeeds(part)

    def wait_for_updates(self, process, path, part, finished):
        """Until the second update of the file is being written, or is there."""
        deadline = time.monotonic() + HANGS
        first = None
        while True:
            self.assertLess(time.monotonic(), deadline, "no second update")
            self.assertIsNone(process.poll(), "the run ended by itself")
            if first is None:
                first = path.stat().st_ino if path.exists() else None
            elif path.stat().st_ino != first if finished else part.exists():
                return
            time.sleep(2e-4)

    def longer_of_same(self, one, other):
        """The longer of two pieces of the same run, which must agree in every bit."""
        shorter, longer = sorted((one, other), key=lambda flow: flow["time"].size)
        count = shorter["time"].size
        for name in "m", "q", "loss", "loss_stderr":
            self.assertEqual(shorter[name].tobytes(), longer[name][:count].tobytes(), name)
        return longer

    def assert_next_run_succeeds(self, part):
        """Over what killed runs have left, with --force and, where only the .part is there, without."""
        for words in [], ["--force"]:
            (self.folder / "short.h5.part").write_bytes(part.read_bytes() if part.exists() else b"\x89HDF")
            self.write_input({"flow.outputs": 8, "flow.end_time": 4.0}, "short", LONG)
            self.succeed("run", "short.toml", *words)
            self.assertEqual(read_group(self.folder / "short.h5")["time"].size, 9)
            self.assertFalse((self.folder / "short.h5.part").exists())


if __name__ == "__main__":
    main()
