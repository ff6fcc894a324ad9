"""What `headflow check` says of a run before it begins: what would become of the files that are there, and its cost;
and what `info` says afterwards: whether it has finished."""
import re

from harness import SMALL, changed, command, content, environment, execute, main, read_group, steady_clock
from restart_harness import FLOW, RestartTest

OTHER = {"attention.heads": 4}
LATER = {"flow.end_time": 80.0, "flow.outputs": 6}
EARLIER = {"flow.end_time": 1.0}
WHOLE = r" \(the costs are those of the whole run\)"
SWEPT = changed(SMALL, {"flow.end_time": 1.0, "flow.outputs": 1, "sweep": {"start.seed": [1, 2]}})


class Outlook(RestartTest):
    def outlook(self, path, *words, ranks=0):
        """The line of `check` about the run. No file changes."""
        before = content(path.parent)
        done = execute(path.parent, command("check", "case.toml", *words, ranks=ranks))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(content(path.parent), before)
        lines = done.stdout.splitlines()
        self.assertEqual([line for line in lines if line.startswith("# run ")], lines[-1:])
        return re.sub(r"^# run +", "", lines[-1])

    def test_new(self):
        path = self.place("new", SMALL)
        for ranks in 0, 2:
            self.assertEqual(self.outlook(path, ranks=ranks), "begins: case.h5 is new")

    def test_finished(self):
        """The outlook is what the run then does."""
        path = self.place("finished", SMALL)
        self.finish(path)
        self.assertEqual(self.outlook(path), "has finished already: case.h5 (--force computes it again)")
        self.assertIn("finished already: case.h5", self.finish(path))
        self.assertEqual(self.outlook(path, "--force"), "begins anew and replaces case.h5")
        for words in ("--restart", "none"), ("--set", "attention.heads=4"), ("--set", "flow.end_time=1"):
            outlook = self.outlook(path, *words, ranks=2)
            self.assertEqual(self.refused(path, *words), f"headflow: error: {outlook.removeprefix('refuses: ')}\n")
        self.assertEqual(self.outlook(path, "--output", "other.h5"), "begins: other.h5 is new")
        self.assertNotIn("start_hash", self.outlook(path, "--set", "attention.heads=4"))
        self.assertRegex(self.outlook(path, "--set", "flow.end_time=8"),
                         rf"^goes on from case\.checkpoint-1\.h5: flow at t = [\d.]+{WHOLE}$")
        self.assertIn("going on from case.checkpoint-1.h5", self.finish(path, "--set", "flow.end_time=8"))

    def test_stopped(self):
        path = self.place("stopped", FLOW)
        self.stop(path)
        found = re.match(rf"goes on from (case\.checkpoint-\d\.h5): flow at t = (\S+){WHOLE}$",
                         self.outlook(path, ranks=2))
        newest = found[1]
        reached = read_group(path.with_name(newest), "flow_state")["t"]
        self.assertEqual(float(found[2]), float(f"{float(reached):.4g}"))
        for name, state in {"case.h5": "the run has stopped before its end",
                            newest: r"checkpoint number \d+ of case.h5"}.items():
            lines = execute(path.parent, command("info", name)).stdout.splitlines()
            self.assertRegex(lines[0], f"^{name}: {state}")
        self.assertIn(f"going on from {newest}", self.finish(path))

    def test_times_of_all_sections(self):
        """Those at which the run then goes on; of SGD, whose state has steps. A run that ends before them is refused
        and says so alone."""
        path = self.place("sections", changed(SMALL, {"fluctuations": {}, "sgd": {
            "dimension": 100, "batch": 10, "learning_rate": 0.1, "end_time": 4.0, "outputs": 1}}))
        self.finish(path)
        later = [word for key in ("flow", "sgd", "fluctuations") for word in ("--set", f"{key}.end_time=8")]
        reached = re.fullmatch(rf"goes on from case\.checkpoint-1\.h5(: flow at t = [\d.]+, sgd at t = 4, "
                               rf"fluctuations at t = [\d.]+){WHOLE}", self.outlook(path, *later))
        self.assertEqual(self.run_case(path, "--set", "sgd.end_time=2", "--set", "flow.end_time=8").stdout, "")
        self.assertTrue(self.finish(path, *later).startswith(
            f"going on from case.checkpoint-1.h5 (checkpoint number 1){reached[1]}\n"))

    def test_running(self):
        path = self.place("running", FLOW)
        process, _ = self.paused(path)
        self.assertRegex(self.outlook(path),
                         "^refuses while the run that made case.h5.lock lives, else (goes on|begins)")
        self.assertIsNone(process.poll())
        self.assertEqual(self.run_case(path).returncode, 2)
        done = execute(path.parent, command("info", "case.h5"))
        self.assertRegex(done.stdout, "^case.h5: the run has not ended")

    def test_file_of_another(self):
        path = self.place("another", SMALL)
        path.write_text("not ours")
        outlook = self.outlook(path)
        self.assertEqual(self.refused(path), f"headflow: error: {outlook.removeprefix('refuses: ')}\n")

    def test_sweep(self):
        path = self.place("sweep", SWEPT)
        self.assertEqual(self.outlook(path), "begins: case.h5 is new")
        self.finish(path, "--part", "1/2")
        self.assertRegex(self.outlook(path), "^goes on from case.checkpoint-1.h5$")
        path.with_name("case.checkpoint-1.h5").unlink()
        self.assertEqual(self.outlook(path), "goes on with what case.h5 has")
        text = execute(path.parent, command("info", "case.h5")).stdout
        self.assertIn("\nstate: the sweep is not complete: 1 of 2 members\n", text)
        self.finish(path)
        self.assertEqual(self.outlook(path), "has finished already: case.h5")
        self.assertIn("finished already: case.h5", self.finish(path))

    def test_part_of_no_sweep(self):
        path = self.place("part", SMALL)
        done = execute(path.parent, command("check", "case.toml", "--part", "1/2"))
        self.assertEqual((done.returncode, done.stderr), (2, self.refused(path, "--part", "1/2")))

    def test_checkpoints_without_output(self):
        path = self.place("alone", SMALL)
        self.finish(path)
        path.with_name("case.h5").unlink()
        self.assertEqual(self.outlook(path, "--restart", "none"), "begins anew and removes case.checkpoint-1.h5")


class Hints(RestartTest):
    """What a run says where it may be misread."""
    def test_new_output_times(self):
        path = self.place("times", SMALL)  # 0, 0.5, .. 4
        self.finish(path)
        done = self.run_case(path, "--set", "flow.end_time=8", "--set", "flow.outputs=20")
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stderr, r"^headflow: warning: \[flow\] goes on from t = 3\.\d+: its outputs up to there "
                         r"stay as they are, without 8 new outputs that the input asks for now\n$")

    def test_new_output_times_of_sgd(self):
        """Which the flow has, too."""
        path = self.place("sgd", changed(SMALL, {"sgd": {
            "dimension": 100, "batch": 10, "learning_rate": 0.1, "end_time": 4.0, "outputs": 4}}))
        self.finish(path)
        words = "flow.end_time=8", "sgd.end_time=8", "sgd.outputs=32"
        done = self.run_case(path, *(word for change in words for word in ("--set", change)))
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stderr, r"^headflow: warning: \[flow\] goes on from t = \S+: .*, without \d+ new outputs "
                         r".*\nheadflow: warning: \[sgd\] goes on from t = \S+: .*, without \d+ new outputs .*\n$")

    def test_no_output_is_missed(self):
        """A later end alone, with as many outputs further apart; another number of them at the same times."""
        for name, changes in (("end", ["flow.end_time=5"]), ("spacing", ["flow.end_time=8", "flow.outputs=16"])):
            path = self.place(name, SMALL)
            self.finish(path)
            self.finish(path, *(word for change in changes for word in ("--set", change)))

    def test_no_split_yet(self):
        hint = "no feature has split yet: with a later flow.end_time the run goes on"
        for name, changes, rest in (("alone", {}, ", and a section [saddle] predicts split times"),
                                    ("saddle", {"saddle": {}}, "")):
            text = self.finish(self.place(name, SMALL, changes | {"flow.end_time": 0.5}))
            self.assertIn(f"\n{hint}{rest}\n", text)


class Cost(RestartTest):
    def test_ranks(self):
        """Of any number of ranks on one, as on so many."""
        path = self.place("ranks", changed(SMALL, {"population.samples": 2**14, "sgd": {
            "dimension": 100, "batch": 10, "learning_rate": 0.1, "end_time": 1.0, "replicas": 3}}))

        def shares(ranks, *words):
            text = execute(path.parent, command("check", "case.toml", *words, ranks=ranks)).stdout
            found = re.findall(r"(?m)^# (ranks|samples per rank)  +(.*)$", text)
            self.assertEqual(len(found), 3, text)
            return found, re.findall(r"(?m)^# memory .* on all (\d+) ranks", text)

        for ranks in 2, 3:
            self.assertEqual(shares(0, "--ranks", ranks), shares(ranks))
            self.assertEqual(shares(ranks, "--ranks", 1), shares(0))
        self.assertIn(("samples per rank", "1024"), shares(0, "--ranks", 10**6)[0])
        for wrong in 0, -1, 10**6 + 1, "2.5", "two", "":
            done = execute(path.parent, command("check", "case.toml", "--ranks", wrong))
            self.assertEqual((done.returncode, done.stdout), (2, ""), wrong)
            self.assertRegex(done.stderr, r"^headflow: error: --ranks: [^\n]+\n$")
        self.assertIn("--ranks", self.refused(path, "--ranks", 2))  # of run: mpirun says how many

    def test_images_are_counted_once(self):
        """Where each evaluation of one block takes 1 ms, so does a right-hand side, and a sample its share of it, with
        4 heads and the signs of 1 feature: 8 images."""
        clock = steady_clock(self.shared, 1)
        for symmetric, images in ((False, 1), (True, 8)):
            self.write_input({"attention.heads": 4, "population.symmetric": symmetric})
            text = self.succeed("check", "case.toml", env=environment(LD_PRELOAD=clock))
            of = "an image" if symmetric else "a sample"
            seconds, nanoseconds = re.search(rf"# one right-hand side +(\S+) s \((\S+) ns {of}\)", text).groups()
            self.assertEqual((float(seconds), float(nanoseconds)), (1e-3, round(1e6 / 512 / images, 1)), symmetric)

    def test_members_of_a_sweep(self):
        """Together they take as often as long as one as there are; under a clock that moves only as it is read."""
        clock = steady_clock(self.shared, 10_000)
        self.write_input({"bayes.standard_error": 1e-5, "sweep": {"start.seed": [1, 2, 3]}})
        text = self.succeed("check", "case.toml", "--ranks", 2, env=environment(LD_PRELOAD=clock))
        lines = re.findall(r"(?m)^# (?:the whole|bayes|all 3 members).* about (\d+:\d+:\d+)", text)
        flow, risk, *others = [sum(int(part) * unit for part, unit in zip(line.split(":"), (3600, 60, 1)))
                               for line in lines]
        self.assertGreater(risk, 0)
        self.assertEqual(len(others), 1, text)
        self.assertAlmostEqual(others[0], 3 * (flow + risk), delta=5)  # each of the two is rounded to a second
        self.assertIn("for [bayes], [flow] on 2 ranks", text)

    def test_disk(self):
        """Output, checkpoints and weights are no larger than is told, and not much smaller."""
        direct = {"flow": None, "start": None, "sgd": {
            "dimension": 30000, "engine": "direct", "batch": 2, "learning_rate": 1e-4, "steps": 4, "replicas": 3,
            "outputs": 2, "save_weights": True}}
        for changes in {"flow.outputs": 1000}, {"sgd": {"dimension": 50, "batch": 2, "learning_rate": 0.1,
                                                       "replicas": 20}}, direct:
            self.write_input(changes)
            told = re.search(r"(?m)^# disk +(\S+) MB or less for the output, (\S+) MB for each of 2 checkpoints"
                             r"(?:, (\S+) MB for weights of SGD)?$", self.succeed("check", "case.toml"))
            self.succeed("run", "case.toml", "--force")
            for name, size in zip(("case.h5", "case.checkpoint-1.h5", "case.weights-4.h5"), told.groups()):
                if size is not None:
                    found = (self.folder / name).stat().st_size / 1e6
                    self.assertTrue(0.4 * float(size) < found < 1.05 * float(size), (name, size, found))

    def test_samples_of_the_bayes_risk(self):
        """What is told is enough; errors of 16 replicates are off by a sixth, that is 4 sigma for a factor of 2."""
        for error, samples in (1e-3, 2.0**26), (1e-3, 2.0**14):
            self.write_input({"flow": None, "start": None, "population.sampling": "monte-carlo",
                              "bayes": {"standard_error": error, "samples": int(samples)}})
            told = re.search(r"# bayes +up to (\S+) samples for a standard error of (\S+), ",
                             self.succeed("check", "case.toml"))
            self.succeed("run", "case.toml", "--force")
            risk = read_group(self.folder / "case.h5", "bayes")
            self.assertLessEqual(float(told[1]), samples)
            self.assertTrue(0.49 <= float(told[1]) / risk["samples"] <= 2.1, (told[0], risk))
            self.assertTrue(0.5 <= float(told[2]) / max(error, risk["risk_stderr"]) <= 2, (told[0], risk))


if __name__ == "__main__":
    main()
