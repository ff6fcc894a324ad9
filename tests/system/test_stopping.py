"""What stops a run: signals to any process of it, stop files, time limits; and what does not. What it then says."""
import math
import os
import re
import signal
import subprocess
from pathlib import Path

import h5py

from harness import HANGS, PROGRAM, changed, command, environment, execute, main, steady_clock
from restart_harness import (FEW, FLOW, PAUSE, QUICK, SGD, STOPPED, Gate, RestartTest, checkpoints, end, ended,
                             wait_for, wait_for_update)
from test_kill import descendants

ENDLESS = changed(FLOW, {"flow.end_time": 1e8, "flow.outputs": 10**6, "output.every": 0.0})
SOON = "--max-walltime", "0.001"
JOBS = Path(__file__).resolve().parents[2] / "jobs"
SELDOM = {"output.every": 1e9, "output.checkpoint_every": 1e9}


class Signals(RestartTest):
    def start(self, *words, folder):
        process = subprocess.Popen(words, cwd=folder, env=environment(), text=True, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(end, process)
        return process

    def begin(self, base=ENDLESS, ranks=0):
        path = self.place("case", base)
        process = self.launch(path, ranks=ranks)
        wait_for_update(path, process)
        return path, process

    def test_every_signal(self):
        """Without mpiexec: also those of a terminal that closes and of a limit of processor time."""
        for number in signal.SIGHUP, signal.SIGXCPU, signal.SIGTERM, signal.SIGUSR1, signal.SIGINT:
            with self.subTest(number):
                path = self.place(number.name, ENDLESS)
                self.assertIn("signal", self.stop(path, number, ranks=0, until=lambda path: True))
                self.assertIn("going on", self.run_case(path, *SOON).stdout)

    def test_nohup(self):
        """A signal that was ignored before the run began is ignored by it."""
        path = self.place("case", ENDLESS)
        process = self.start("nohup", *command("run", "case.toml"), folder=path.parent)
        wait_for_update(path, process)
        process.send_signal(signal.SIGHUP)
        for _ in range(3):
            wait_for_update(path, process)
        self.assertIsNone(process.poll())
        process.send_signal(signal.SIGTERM)
        self.assertEqual(ended(process).code, STOPPED)

    def test_hold(self):
        """A run that holds says so, and what for."""
        path = self.place("case", QUICK)
        gate = Gate(path.parent)
        gate.close()
        process = subprocess.Popen(command("run", "case.toml"), cwd=path.parent, text=True, stderr=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL, env=environment(HEADFLOW_PAUSE=f"1:{gate.path}"))
        self.addCleanup(end, process)
        gate.wait(process)
        gate.open()
        _, errors = process.communicate(timeout=HANGS)
        self.assertEqual((process.returncode, errors),
                         (0, f"headflow: holding until {gate.paused} or {gate.path} is gone, or a signal comes\n"))

    def signal_rank(self, process, rank, number=signal.SIGTERM):
        for pid in descendants(process.pid):
            if f"OMPI_COMM_WORLD_RANK={rank}" in Path(f"/proc/{pid}/environ").read_text().split("\0"):
                return os.kill(pid, number)
        raise AssertionError("no such rank")

    def test_any_rank(self):
        path, process = self.begin(ranks=2)
        self.signal_rank(process, 1)
        self.assert_stopped(ended(process), "rank 1")
        self.assertIn("going on", self.run_case(path, *SOON).stdout)

    def test_any_group_of_a_sweep(self):
        """Groups of ranks that are in members without end; the first has nothing more to do in the second case."""
        for rank, members in (1, 2), (0, 2), (0, 1):
            with self.subTest(rank=rank, members=members):
                path = self.place(f"case{rank}{members}", changed(ENDLESS, {"sweep": {
                    "flow.end_time": [1e8, 2e8][:members], "ranks_per_member": 1}}))
                process = self.launch(path, ranks=2)
                wait_for(path.with_name("case.h5.lock").exists, process)
                self.signal_rank(process, rank)
                self.assert_stopped(ended(process), "sweep")

    def test_nothing_to_save(self):
        """Commands that compute nothing, and a run that waits for its input, end as any program does."""
        path = self.place("case", QUICK)
        os.mkfifo(path.with_name("pipe"))
        for words in ("check", "pipe"), ("run", "pipe"):
            with self.subTest(words):
                process = self.start(*command(*words), folder=path.parent)
                self.addCleanup(os.close, self.writer(path.with_name("pipe"), process))
                process.send_signal(signal.SIGTERM)
                self.assertEqual(ended(process).code, -signal.SIGTERM)

    def writer(self, pipe, process):
        """The other end of a pipe that the process reads."""
        ends = []

        def opened():
            try:
                ends.append(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
            except OSError:
                pass  # it does not read yet
            return bool(ends)

        wait_for(opened, process)
        return ends[0]

    def test_pruning(self):
        """Many heads: a pass over the samples takes long, and is asked often: each question saves."""
        path = self.place("case", changed(QUICK, {
            "attention.heads": 96, "population.test_samples": 2**18, "prune": {}, "output.every": 0.0,
            "output.checkpoint_every": 0.0, "flow.end_time": 0.01, "flow.output_times": [0.0, 0.01]}))
        self.assertIn("signal", self.stop(path, signal.SIGTERM, ranks=0,
                                          until=lambda path: max(checkpoints(path), default=0) > 10))
        self.assertNotIn("prune", h5py.File(path))
        self.assertIn("# prune ", execute(path.parent, command("check", "case.toml")).stdout)
        done = execute(path.parent, command("check", "case.toml", "--set", "maps.sequences=9"))
        self.assertIn("# maps ", done.stdout)


class StopFiles(RestartTest):
    def test_one_run_alone(self):
        """Of two runs in a folder the one whose file it is."""
        path = self.place("case", ENDLESS)
        other = path.with_name("other.h5")
        one, two = self.launch(path), self.launch(path, "--output", "other.h5")
        for file, process in (path, one), (other, two):
            wait_for(file.exists, process)
        path.with_name("STOP").touch()
        path.with_name("case.h5.stop").touch()
        self.assertIn("stop file", self.assert_stopped(ended(one), "one"))
        wait_for_update(other, two)
        self.assertIsNone(two.poll())
        self.assertFalse(path.with_name("case.h5.stop").exists())
        path.with_name("other.h5.stop").touch()
        self.assert_stopped(ended(two), "two")

    def test_of_yesterday(self):
        """One that was there before the run is removed, and stops nothing."""
        path = self.place("case", QUICK)
        path.with_name("case.h5.stop").touch()
        self.assertIn("removed case.h5.stop", self.finish(path))
        self.assertFalse(path.with_name("case.h5.stop").exists())


class TimeLimits(RestartTest):
    def test_end_of_a_job(self):
        """What Slurm's end time cannot be is told and ignored."""
        path = self.place("case", QUICK)
        for number, value in enumerate(("1000000000", "", "tomorrow", "nan", "-5", "17:00", "1e3x")):
            with self.subTest(value):
                words = "--max-walltime", "auto", "--output", f"{number}.h5"
                done = execute(path.parent, command("run", "case.toml", *words),
                               env=environment(SLURM_JOB_END_TIME=value))
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertRegex(done.stderr, r"^headflow: warning: SLURM_JOB_END_TIME = \"")
        done = execute(path.parent, command("run", "case.toml", "--max-walltime", "auto"),
                       env=environment(SLURM_JOB_END_TIME="99999999999"))
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_end_that_slurm_does_not_tell(self):
        """The job script then sets no limit; what is empty would be today's midnight."""
        path = self.place("case", QUICK)
        programs = self.folder / "programs"
        programs.mkdir()
        for end_time in "", "N/A", "Unknown":
            with self.subTest(end_time):
                (programs / "squeue").write_text(f"#!/bin/sh\necho '{end_time}'\n")
                (programs / "squeue").chmod(0o755)
                env = environment(PATH=f"{programs}:{os.environ['PATH']}", HEADFLOW=str(PROGRAM), SLURM_JOB_ID="1",
                                  SLURM_NTASKS="1")
                done = execute(path.parent, ["bash", JOBS / "run.sh", "case.toml", "--force"], env=env)
                first, *errors = [line for line in done.stderr.splitlines() if "mpirun of Open MPI 5" not in line]
                self.assertRegex(first, r"\Arun.sh: job 1 begins on 1 rank of its nodes, \S+ \S+\Z")
                self.assertEqual((done.returncode, errors), (0, []))

    def test_no_limits(self):
        path = self.place("case", QUICK)
        for limit in ("0", "00:00:00", "-1", "999999999999:00:00", "999999999999h", "1:2:3:4", "00:75:00", "0x10", "+5",
                      " 5", "1e3", "inf", ".", "1..2", "1:"):
            with self.subTest(limit):
                self.assertIn("--max-walltime", self.refused(path, f"--max-walltime={limit}"))


class WhatIsSaid(RestartTest):
    """Of a run that stops between two outputs, and of one that goes on there."""
    def stopped(self, name, base, pause):
        """The path, and what it printed."""
        path = self.place(name, base, SELDOM)
        process, _ = self.paused(path, pause=pause)
        process.send_signal(signal.SIGUSR1)
        found = ended(process)
        self.assert_stopped(found, name)
        return path, found.output

    def goes_on(self, path):
        """What it prints, and of its lines of progress, one after each step, t, steps in a second and seconds left, NaN
        where it does not say."""
        env = environment(LD_PRELOAD=steady_clock(self.shared, 10_000), HEADFLOW_PROGRESS="1e-9")
        done = subprocess.run(command("run", "case.toml"), cwd=path.parent, env=env, text=True, capture_output=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        found = re.findall(r" t = (\S+) of .*, (\S+) steps/s, "
                           r"(?:at this pace (\d+):(\d+):(\d+) left|time left not yet known)\n", done.stderr)
        return done.stdout, [(float(t), float(rate), 3600 * int(hours) + 60 * int(minutes) + int(seconds) if hours
                              else float("nan")) for t, rate, hours, minutes, seconds in found]

    def assert_pace(self, lines, begin, end_time, steps):
        """The rate, to two digits, and the seconds left tell both how long it took from some line of the latter half
        of what there is since `begin`, where it went on. None is known in the first fiftieth."""
        self.assertGreater(len(lines), 4)
        for number, (t, rate, left) in enumerate(lines):
            self.assertEqual(math.isnan(left), t - begin < 0.02 * (end_time - begin), f"t = {t}")
            if not len(lines) // 4 <= number < len(lines) - len(lines) // 4:
                continue
            times = [begin, *(line[0] for line in lines)]  # after 0, 1, .. steps since then
            spans = [steps(number + 1, t) - steps(i, times[i]) for i in range(number // 4, number * 2 // 3 + 2)]
            self.assertTrue(any(abs(span / rate / (left * (t - since) / (end_time - t)) - 1) < 0.1
                                for span, since in zip(spans, times[number // 4:])),
                            f"{lines[number]}, went on at t = {begin}")

    def test_flow(self):
        path, text = self.stopped("flow", changed(FLOW, {"flow.outputs": 1}), PAUSE)
        self.assertRegex(text, r"(?m)^flow: t = \S+ \(asked to stop\), 30 steps, \d+ rejected, \d+ right-hand sides, "
                         r"\S+ s\nat the last output, t = 0:\nloss ")
        text, lines = self.goes_on(path)
        went_on = re.search(r"(?m)^flow: t = 40 .*, (\d+) steps, .*; since it went on at t = (\S+): (\d+) steps, "
                            r"\S+ s\nloss ", text)
        steps, begin, own = (float(number) for number in went_on.groups())
        self.assertEqual((own, own), (steps - 30, len(lines) + 1))  # nothing is said after the last step
        self.assert_pace(lines, begin, 40, lambda number, t: number)

    def test_outputs_in_a_step(self):
        """Many outputs in each step: progress is told at each. Wherever a stop comes, what was found at the last output
        that stays is printed; those of the step that it interrupts are made again."""
        base = changed(QUICK, {"flow.output_times": [0.1 * i for i in range(41)], "output.every": 1e9,
                               "population.samples": 2**19})

        def stop(asked):
            path = self.place(f"asked{asked}", base)
            process, _ = self.paused(path, pause=asked)
            process.send_signal(signal.SIGTERM)
            return path, ended(process)

        starts, given_up = [], []
        for asked, (path, stopped) in zip(range(8, 80, 6), map(stop, range(8, 80, 6))):
            with self.subTest(asked=asked):
                self.assertEqual(stopped.code, STOPPED, stopped)
                found = re.search(r"(?m)^flow: t = (\S+) \(asked to stop\).*\n"
                                  r"(?:the step under way, with outputs until t = (\S+), is made again\n)?"
                                  r"(?:at the last output, t = (\S+):\n)?loss ", stopped.output)
                self.assertIsNotNone(found, stopped.output)
                reached, again, last = (float(found[n] or found[1]) for n in (1, 2, 3))
                self.assertEqual(again > reached, bool(found[2]), stopped.output)
                given_up.append(again > reached)
                self.assertTrue(0 <= reached - last < 0.1 + 1e-9, stopped.output)
                starts.append(reached)
        self.assertGreater(len(set(starts)), 2)
        self.assertEqual(set(given_up), {False, True})
        env = environment(LD_PRELOAD=steady_clock(self.shared, 10_000), HEADFLOW_PROGRESS="1e-9")
        process = subprocess.run(command("run", "case.toml", "--force"), cwd=path.parent, env=env, text=True,
                                 capture_output=True, check=True)
        times = [float(t) for t in re.findall(r"flow: t = (\S+) of 4,", process.stderr)]
        self.assertEqual(times, sorted(times))
        self.assertEqual(len({round(10 * t, 4) for t in times} & set(range(1, 40))), 39, "a line at each output")

    def test_no_output_since_it_went_on(self):
        path, _ = self.stopped("few", changed(FLOW, {"flow.outputs": 1}), PAUSE)
        process, _ = self.paused(path)
        process.send_signal(signal.SIGTERM)
        self.assertRegex(ended(process).output, r"(?m)^flow: t = .*: 30 steps, \S+ s\nno output since t = \d\S*, where")

    def test_sgd(self):
        path, text = self.stopped("sgd", changed(SGD, {"sgd.engine": "overlaps", "sgd.save_weights": None}), FEW)
        at = re.search(r"(?m)^sgd: t = (\S+), (\d+) steps of 30 .*\n(\S+) sequences of \S+ us, \S+ s with outputs\n"
                       r"at the last output, t = 0:\nloss ", text)
        begin, before, sequences = (float(number) for number in at.groups())
        self.assertAlmostEqual(begin, 0.01 * before)
        self.assertEqual(sequences, before * 30 * 3)
        text, lines = self.goes_on(path)
        at = re.search(r"(?m)^sgd: t = 4, 400 steps of 30 .*\n(\S+) sequences of \S+ us, \S+ s with outputs, "
                       rf"since it went on at t = {begin:g}\nloss ", text)
        self.assertAlmostEqual(float(at[1]) / ((400 - before) * 30 * 3), 1, delta=1e-3)
        self.assert_pace(lines, begin, 4, lambda number, t: (t - begin) / 0.01)

    def test_fluctuations(self):
        base = changed(FLOW, {"flow": None, "fluctuations": {
            "dimension": 1e3, "learning_rate_noise": 0.5, "end_time": 40.0, "outputs": 1, "tolerance": 1e-8}})
        path, text = self.stopped("fluctuations", base, PAUSE)
        self.assertRegex(text, r"(?m)^fluctuations: D = 1000, kappa = 0.5, 30 steps, \S+ s\n.* at t = 0: ")
        text, lines = self.goes_on(path)
        went_on = re.search(r"(?m)^fluctuations: .*, (\d+) steps; since it went on at t = (\S+): (\d+) steps, \S+ s$",
                            text)
        steps, begin, own = (float(number) for number in went_on.groups())
        self.assertEqual((own, own), (steps - 30, len(lines) + 1))
        self.assert_pace(lines, begin, 40, lambda number, t: number)


if __name__ == "__main__":
    main()
