"""Runs that are stopped and go on have the bits of runs that were left alone; what a restart accepts and refuses."""
import shutil
import signal

import h5py

from harness import changed, command, execute, main, read_group, side_by_side
from restart_harness import (BOTH, FEW, FLOW, PAUSE, QUICK, SGD, STOPPED, RestartTest, checkpoints, differing, ended,
                             numbers_in, wait_for)

EULER = changed(FLOW, {"population.resample": 3, "flow.method": "euler",
                       "flow.step": 0.05})

OVERLAPS = changed(SGD, {"sgd.save_weights": False, "sgd.learning_rate": 5e-4,
                         "sgd.replicas": 5})


class Stops(RestartTest):
    """Each kind of run, stopped at a moment that is not known beforehand, on changing numbers of ranks."""
    CASES = {  # input, how it is stopped, ranks before and after
        "5dp": (FLOW, "stop", 1, 3),
        "3bs": (changed(FLOW, {"flow.method": "3bs", "flow.tolerance": 1e-8}), "stop", 2, 1),
        "4": (changed(FLOW, {"flow.method": "4", "flow.step": 0.15}), "stop_by_time", 1, 2),
        "euler, new samples": (EULER, "stop", 2, 3),
        "euler, STOP": (changed(EULER, {"population.resample": 1}), "stop_by_file", 1, 2),
        "noise": (changed(FLOW, {"flow.learning_rate_noise": 0.3}), "stop", 1, 2),
        "sgd": (SGD, "stop", 2, 1),
        "sgd, STOP": (SGD, "stop_by_file", 1, 4),
        "overlaps": (OVERLAPS, "stop", 2, 3),
        "overlaps, STOP": (changed(OVERLAPS, {"attention.activation": "softmax-1"}), "stop_by_file", 1, 2),
        "sgd, time": (changed(SGD, {"attention.activation": "bayes-softmax"}), "stop_by_time", 1, 2),
        "flow and sgd": (BOTH, "stop", 1, 2),
    }
    REASONS = {"stop": "signal", "stop_by_file": "stop file", "stop_by_time": "wall time"}

    def check_case(self, name):
        base, how, before, after = self.CASES[name]
        whole, parts = self.place(f"{name} whole", base), self.place(f"{name} parts", base)
        self.finish(whole)
        pause = FEW if "sgd" in base else PAUSE
        last = getattr(self, how)(parts, ranks=before, pause=pause)
        number, saved = max(checkpoints(parts).items())
        group = "flow_state" if "flow" in base else "sgd_state"
        state = read_group(saved, group)
        begun = {group: read_group(parts, group)["time"] for group in h5py.File(parts) if group != "provenance"}
        text = self.finish(parts, ranks=after)
        return {"reason": last, "state": state, "begun": begun, "text": text,
                "differs": differing(numbers_in(parts), numbers_in(whole)),
                "finished": "finished" in read_group(parts, "provenance"),
                "runs": read_group(parts, "provenance")["runs"].split("\n"),
                "saved": f"{saved.name} (checkpoint number {number})"}

    def test_stopped(self):
        for name, found in zip(self.CASES, side_by_side(self.check_case, self.CASES)):
            base, how, before, after = self.CASES[name]
            with self.subTest(name):
                self.assertIn(self.REASONS[how], found["reason"])
                self.assertEqual(found["differs"], [])
                self.assertTrue(found["finished"])
                self.assertIn(f"going on from {found['saved']}", found["text"])
                self.assertEqual([line.split()[-2:] for line in found["runs"]],
                                 [[str(ranks), "ranks"] for ranks in (before, after)])
                if len(found["begun"]) == 1 and not ("flow" in base and "sgd" in base):
                    times, = found["begun"].values()
                    self.assertLess(times.size, 4, "the run was stopped at its end")
                    if "flow" in base:
                        self.assertNotIn(float(found["state"]["t"][0]), times.tolist())

    def test_twice(self):
        """During the flow, then during SGD, then to the end; the last by a limit that is far."""
        whole, parts = self.place("whole", BOTH), self.place("parts", BOTH)
        self.finish(whole)
        self.stop(parts, ranks=2, pause=FEW)
        process, _ = self.paused(parts, ranks=1, pause=3,
                                 until=lambda path: path.with_name("case.weights-0.h5").exists())
        process.send_signal(signal.SIGTERM)
        ended(process)  # mpiexec itself obeys SIGTERM, so its code says nothing
        self.finish(parts, "--max-walltime", "24:00:00", ranks=3)
        self.assert_same_numbers(parts, whole)
        runs = read_group(parts, "provenance")["runs"].split("\n")
        self.assertGreaterEqual(len(runs), 2)
        self.assertEqual(len({line.split()[0] for line in runs}), len(runs))

    def test_save_and_go_on(self):
        """SIGUSR2; the file it leaves is one to go on from."""
        whole, path = self.place("whole", SGD), self.place("parts", SGD)
        self.finish(whole)
        process, gate = self.paused(path, ranks=2, pause=4)
        saved = path.with_name("case.checkpoint-1.h5")
        process.send_signal(signal.SIGUSR2)
        wait_for(saved.exists, process)
        gate.wait(process)
        gate.open()
        shutil.copy(saved, path.with_name("copy"))
        self.assertEqual(ended(process).code, 0)
        self.assert_same_numbers(path, whole)
        self.assertGreaterEqual(max(checkpoints(path)), 2)  # each rank may hear the signal at a question of its own
        self.finish(path, "--restart", "copy")
        self.assert_same_numbers(path, whole)

    def test_without_mpiexec(self):
        """SIGINT and SIGTERM to the program itself; the second SIGINT would end it at once."""
        for number in signal.SIGINT, signal.SIGTERM:
            with self.subTest(number):
                path = self.place(number.name, FLOW)
                self.stop(path, number, ranks=0)
                self.finish(path)

    def test_every_step(self):
        """From a checkpoint after each step, also where the next one is rejected at first."""
        for changes in {}, {"flow.learning_rate_noise": 0.3}, {"flow.method": "3bs", "flow.tolerance": 1e-4}:
            base = changed(QUICK, changes | {"output.checkpoint_every": 0.0, "output.checkpoints_kept": 100})
            whole = self.place(f"whole{len(changes)}", base)
            self.assertRegex(self.finish(whole), "[5-9] steps")
            reference = numbers_in(whole)

            def differs(file):
                path = self.place(f"{whole.parent.name}-{file.stem}", base)
                self.finish(path, "--restart", file)
                return differing(numbers_in(path), reference)

            saved = checkpoints(whole)
            self.assertGreater(len(saved), 4)
            for number, names in zip(saved, side_by_side(differs, saved.values())):
                with self.subTest(changes=changes, after=number):
                    self.assertEqual(names, [])

    def test_no_time_at_all(self):
        """A limit shorter than any run: stopped at once, again and again, and every time a step further."""
        path = self.place("parts", QUICK)
        for number in 1, 2:
            stopped = ended(self.launch(path, "--max-walltime", "0.001", ranks=1))
            self.assertIn("(wall time)", self.assert_stopped(stopped, "no time"))
            self.assertEqual(max(checkpoints(path)), number)


class Extended(RestartTest):
    """A finished run with a later end."""
    FLOW_TIMES = {"flow.output_times": [0.0, 1.0, 4.0, 6.0, 9.0], "flow.end_time": 9.0}
    SGD = changed(SGD, {"sgd.dimension": 60, "sgd.batch": 5, "sgd.outputs": None, "sgd.end_time": None,
                        "sgd.steps": 400, "sgd.output_times": [0.0, 1.0, 4.0]})
    SGD_TIMES = {"sgd.output_times": [0.0, 1.0, 4.0, 6.0, 7.0], "sgd.steps": 700}
    CASES = {
        "5dp": (QUICK, FLOW_TIMES),
        "euler": (changed(QUICK, {"flow.method": "euler", "flow.step": 0.3, "population.resample": 2}), FLOW_TIMES),
        "noise": (changed(QUICK, {"flow.method": "4", "flow.learning_rate_noise": 0.3}), FLOW_TIMES),
        "sgd": (SGD, SGD_TIMES),
        "overlaps": (changed(SGD, {"sgd.save_weights": False}), SGD_TIMES),
        "flow and sgd": (SGD | {"flow": QUICK["flow"]}, FLOW_TIMES | SGD_TIMES),
    }

    def check_case(self, name):
        base, later = self.CASES[name]
        whole, parts = self.place(f"{name} whole", base, later), self.place(f"{name} parts", base)
        self.finish(whole)
        self.finish(parts)
        first = numbers_in(parts)
        self.rewrite(parts, base, later)
        text = self.finish(parts, ranks=2)
        final = numbers_in(whole)
        for old in parts.parent.glob("*.weights-400.h5"):
            old.unlink()  # of the end that is none any more
        return text, differing(numbers_in(parts), final), len(differing(first, final))

    def test_later_end(self):
        for name, (text, differs, changes) in zip(self.CASES, side_by_side(self.check_case, self.CASES)):
            with self.subTest(name):
                self.assertIn("going on from case.checkpoint-1.h5", text)
                self.assertEqual(differs, [])
                self.assertGreater(changes, 5)

    def test_stopped_in_the_flow(self):
        """What SGD has done already is in every file and checkpoint that the longer flow writes."""
        base = changed(BOTH, {"sgd.batch": 5, "sgd.end_time": 4.0, "flow.end_time": 5.0, "flow.outputs": None,
                              "flow.output_times": [0.0, 2.0, 5.0]})
        later = {"flow.end_time": 200.0, "flow.tolerance": 1e-11, "flow.output_times": [0.0, 2.0, 5.0, 200.0]}
        whole, parts = self.place("whole", base, later), self.place("parts", base, {"flow.tolerance": 1e-11})
        self.finish(whole)
        self.finish(parts)
        done = read_group(parts, "sgd")
        self.rewrite(parts, base, later)
        self.stop(parts, ranks=2)
        saved = checkpoints(parts)
        state = {number: read_group(file, "sgd_state") for number, file in saved.items()}
        self.assertEqual(sorted(state), [1, 2])
        self.assertEqual(differing(state[1], state[2]), [])
        for file in parts, saved[2]:
            self.assertEqual(differing(read_group(file, "sgd"), done), [])
        self.assertLess(read_group(saved[2], "flow_state")["t"], 200)
        self.assertNotIn("sequences of", self.finish(parts, ranks=3))
        self.assert_same_numbers(parts, whole)

    def test_earlier_end(self):
        path = self.place("parts", QUICK)
        self.finish(path)
        self.rewrite(path, QUICK, {"flow.end_time": 2.0, "flow.output_times": [0.0, 1.0]})
        self.assertIn("end_time", self.refused(path))


class Choices(RestartTest):
    """What --restart and --force do with what is there; a finished run of hundredths of a second."""
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.whole = cls.shared / "whole" / "case.h5"
        cls.whole.parent.mkdir()
        test = cls("finished_folder")
        test.rewrite(cls.whole, QUICK)
        cls.done = execute(cls.shared / "whole", command("run", "case.toml"))

    def finished_folder(self, name="case"):
        """A copy of the finished run."""
        shutil.copytree(self.whole.parent, self.folder / name)
        return self.folder / name / "case.h5"

    def stopped_folder(self, name="case"):
        """The same, stopped twice: with two checkpoints, of two moments."""
        path = self.place(name, QUICK)
        for _ in range(2):
            self.assertEqual(self.run_case(path, "--max-walltime", "0.001").returncode, STOPPED)
        self.assertEqual({number: file.name for number, file in checkpoints(path).items()},
                         {1: "case.checkpoint-1.h5", 2: "case.checkpoint-2.h5"})
        return path

    def damage(self, file):
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 0x10
        file.write_bytes(data)

    def test_finished(self):
        """Again: nothing to do."""
        path = self.finished_folder()
        before = path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino
        for ranks in 0, 2:
            self.assertIn("finished already: case.h5", self.finish(path, ranks=ranks))
        self.assertEqual((path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino), before)

    def test_changed_input(self):
        cases = {"population.seed": 2, "start.seed": 4, "flow.method": "3bs", "flow.tolerance": 1e-5,
                 "population.samples": 1024, "flow.learning_rate_noise": 0.1, "model.signal": [2.0, 1.0],
                 "attention.activation": "softmax-1", "sgd.dimension": 50}

        def check(key):
            path = self.finished_folder(key)
            extra = {"sgd.batch": 5, "sgd.learning_rate": 0.04} if key == "sgd.dimension" else {}
            self.rewrite(path, QUICK, {key: cases[key]} | extra)
            return self.refused(path)

        for key, text in zip(cases, side_by_side(check, cases)):
            with self.subTest(key):
                self.assertRegex(text, rf"case\.checkpoint-1\.h5 belongs to another input: (.*; )?{key}: .* -> .*\n\Z")

    def test_allowed_changes(self):
        for changes in {"output.every": 1.0}, {"output.checkpoint_every": 5.0, "output.checkpoints_kept": 5}, \
                {"population.memory": 1}:
            with self.subTest(changes):
                path = self.stopped_folder("".join(changes))
                self.rewrite(path, QUICK, changes)
                self.assertIn("going on from case.checkpoint-2.h5 (checkpoint number 2)", self.finish(path))
                self.assert_same_numbers(path, self.whole)

    def test_petsc_options(self):
        """They choose the method, too."""
        path = self.stopped_folder()
        self.assertIn("-flow_ts_rk_type", self.refused(path, "-flow_ts_rk_type", "3bs"))

    def test_begin_anew(self):
        for words in ["--force"], ["--restart", "none", "--force"]:
            path = self.stopped_folder(str(len(words)))
            self.assertNotIn("going on", self.finish(path, *words))
            self.assert_same_numbers(path, self.whole)
            self.assertEqual(list(checkpoints(path)), [1])
            self.assertEqual(len(read_group(path, "provenance")["runs"].split("\n")), 1)
        self.assertIn("--force", self.refused(path, "--restart", "none"))

    def test_restart_from_file(self):
        """Also from the older one, from a copy elsewhere, and with the output gone."""
        path = self.stopped_folder()
        shutil.copy(path.with_name("case.checkpoint-1.h5"), self.folder / "copy")
        for file in "case.checkpoint-1.h5", self.folder / "copy":
            path.unlink(missing_ok=True)
            self.assertIn(f"going on from {file} (checkpoint number 1)", self.finish(path, "--restart", file))
            self.assert_same_numbers(path, self.whole)

    def test_no_such_checkpoint(self):
        path = self.stopped_folder()
        (path.with_name("text")).write_text("no checkpoint\n" * 100)
        shutil.copy(path.with_name("case.checkpoint-1.h5"), path.with_name("damaged"))
        self.damage(path.with_name("damaged"))
        shutil.copy(path, path.with_name("output.h5"))
        (path.with_name("empty")).touch()
        files = "missing", "text", "damaged", "output.h5", "empty", ".", ""
        for file in files:
            with self.subTest(file):
                self.assertIn(f"--restart {file}", self.refused(path, "--restart", file))

    def test_damaged(self):
        """The newest: a warning, and the one before; both: refused."""
        path = self.stopped_folder()
        copy = self.folder / "both"
        shutil.copytree(path.parent, copy)
        self.damage(path.with_name("case.checkpoint-2.h5"))
        done = self.run_case(path, ranks=2)
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stderr,
                         r"^headflow: warning: checkpoint case\.checkpoint-2\.h5 cannot be used: .*damaged")
        self.assertIn("going on from case.checkpoint-1.h5 (checkpoint number 1)", done.stdout)
        self.assert_same_numbers(path, self.whole)
        for file in copy.glob("*.checkpoint-*"):
            self.damage(file)
        text = self.refused(copy / "case.h5", code=4)
        for name in "case.checkpoint-1.h5", "case.checkpoint-2.h5", "--restart none":
            self.assertIn(name, text)
        self.finish(copy / "case.h5", "--force")
        self.assert_same_numbers(copy / "case.h5", self.whole)

    def test_chain(self):
        """provenance/runs: each run's id, begin and ranks; the last one is the file's."""
        path = self.stopped_folder()
        self.finish(path, ranks=2)
        provenance = read_group(path, "provenance")
        runs = [line.split() for line in provenance["runs"].split("\n")]
        self.assertEqual([line[-2:] for line in runs], [["1", "ranks"], ["1", "ranks"], ["2", "ranks"]])
        self.assertEqual(len({line[0] for line in runs}), 3)
        self.assertEqual(runs[-1][0], provenance["run_id"])

    def test_wall_times(self):
        path = self.place("case", QUICK)
        bad = "", "x", "1:2:3:4", "-1", "1:", ":1", "00:-1:00", "1e999", "nan", "1 h", "auto "
        for limit, text in zip(bad, side_by_side(lambda limit: self.refused(path, f"--max-walltime={limit}"), bad)):
            with self.subTest(limit):
                self.assertIn("--max-walltime", text)
        for limit in "auto", "24:00:00", "90:00", "5000":
            path.unlink(missing_ok=True)
            self.finish(path, "--force", "--max-walltime", limit)

    def test_restart_without_checkpoints(self):
        """An output without checkpoints is never overwritten, nor taken for a finished run."""
        path = self.finished_folder()
        for file in path.parent.glob("*.checkpoint-*"):
            file.unlink()
        self.assertIn("--force", self.refused(path))


if __name__ == "__main__":
    main()
