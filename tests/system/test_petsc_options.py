"""Options of PETSc: each has an effect or is refused, and those that decide the numbers are a part of what a run is."""
import numpy as np

from harness import SMALL, SystemTest, changed, environment, main, read_group

BASE = changed(SMALL, {"population.samples": 128, "population.replicates": 2, "flow.outputs": 4})
TRAIN = changed(BASE, {"flow": None, "train": {"starts": 1}})
HEARD = (("ts_type", "euler"), ("ts_rk_type", "3bs"), ("ts_rtol", "1e-2"), ("ts_atol", "1e-2"),
         ("ts_adapt_type", "none"), ("ts_adapt_safety", "0.5"), ("ts_adapt_clip", "0.5,1.2"),
         ("ts_adapt_dt_max", "0.3"), ("ts_adapt_wnormtype", "infinity"))
REFUSED = (("ts_dt", "0.01"), ("ts_max_steps", "3"), ("ts_max_time", "1"), ("ts_init_time", "1"),
           ("ts_exact_final_time", "matchstep"), ("ts_time_span", "0,1"), ("ts_adapt_type", "dsp"),
           ("ts_adapt_type", "cfl"), ("ts_adapt_time_step_increase_delay", "3"), ("snes_type", "ksponly"),
           ("ts_rk_multirate", "1"), ("ts_rtol", "much"), ("ts_rk_type", "4"), ("ts_rk_type", "bogus"),
           ("ts_type", "beuler"), ("nonsense", "1"))


class PetscOptions(SystemTest):
    def loss(self, *words, **options):
        self.succeed("run", "case.toml", "--force", *words, **options)
        return read_group(self.folder / "case.h5")["loss"].tolist()

    def refused(self, *words, **options):
        done = self.headflow(*words, **options)
        self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
        return done.stderr

    def test_each_is_heard(self):
        self.write_input(base=BASE)
        plain = self.loss()
        for name, value in HEARD:
            with self.subTest(name):
                self.assertNotEqual(plain, self.loss(f"-flow_{name}", value))
        self.assertEqual(plain, self.loss("-flow_ts_monitor_cancel"))

    def test_each_other_is_refused(self):
        """Before any work, by run and by check, with one line that names it."""
        self.write_input(base=BASE)
        self.write_input({"flow": None, "saddle": {}}, "saddle", base=BASE)
        for name, value in REFUSED:
            for verb, prefix in (("run", "flow"), ("check", "saddle")):
                with self.subTest(f"{verb} -{prefix}_{name} {value}"):
                    file = "case.toml" if prefix == "flow" else "saddle.toml"
                    error = self.refused(verb, file, f"-{prefix}_{name}", value)
                    self.assertIn(f"-{prefix}_", error)
                    self.assertEqual(error.count("\n"), 1)
        self.assertEqual(list(self.folder.glob("*.h5")), [])

    def test_fixed_steps_have_no_adaption(self):
        self.write_input({"flow.method": "euler"}, base=BASE)
        for name, value in ("ts_adapt_safety", "0.5"), ("ts_rtol", "1e-3"), ("ts_adapt_type", "basic"):
            with self.subTest(name):
                self.assertIn(f"-flow_{name}", self.refused("run", "case.toml", f"-flow_{name}", value))

    def test_a_step_that_is_rejected_too_often(self):
        """Exit code 3, with the time at which the stepper gave up."""
        self.write_input({"flow.step": 1e5, "flow.tolerance": 1e-10}, base=BASE)
        done = self.headflow("run", "case.toml", "-flow_ts_max_reject", "1")
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("the time stepper gave up at t = 0.0", done.stderr)
        self.assertIn("DIVERGED_STEP_REJECTED", done.stderr)

    def test_of_a_search(self):
        """Also those that Tao reads in its first step, and before the search."""
        self.write_input(base=TRAIN)
        for word in "-train_nonsense", "-train_tao_ls_nonsense":
            self.assertIn(word, self.refused("run", "case.toml", word, "1"))
        self.assertIn("-train_", self.refused("run", "case.toml", "-train_tao_type", "nls"))
        self.assertEqual(list(self.folder.glob("*.h5")), [])
        self.succeed("run", "case.toml", "-train_tao_ls_type", "armijo")

    def test_from_the_environment(self):
        """PETSC_OPTIONS and a file that it names count like the command line."""
        self.write_input(base=BASE)
        (self.folder / "options").write_text("-flow_ts_rk_type 3bs\n")
        there = environment(PETSC_OPTIONS="-log_view :/dev/null -FLOW_ts_rk_type 3bs")
        words = self.loss("-flow_ts_rk_type", "3bs")
        self.assertEqual(words, self.loss(env=there))
        for same in there, environment(PETSC_OPTIONS="-options_file options -flow_ts_adapt_monitor"):
            self.assertIn("finished already", self.succeed("run", "case.toml", env=same))
        self.assertIn("finished already", self.succeed("run", "case.toml", "-flow_ts_rk_type", "3bs"))
        error = self.refused("run", "case.toml")
        self.assertIn('solver_options: "-flow_ts_rk_type 3bs" -> ""', error)
        self.assertIn("ts_dt", self.refused("run", "case.toml", env=environment(PETSC_OPTIONS="-flow_ts_dt 1")))
        self.assertIn("options_file", self.refused("run", "case.toml", env=environment(
            PETSC_OPTIONS="-options_file none")))

    def test_what_only_watches_blocks_nothing(self):
        self.write_input(base=BASE)
        self.loss()
        for words in (("-flow_ts_monitor",), ("-flow_ts_adapt_monitor",)):
            self.assertIn("finished already", self.succeed("run", "case.toml", *words))

    def test_parts_of_a_sweep(self):
        self.write_input({"sweep": {"flow.tolerance": [1e-4, 1e-5]}}, base=BASE)
        self.succeed("run", "case.toml", "--part", "1/2", "--output", "1.h5")
        self.succeed("run", "case.toml", "--part", "2/2", "--output", "2.h5",
                     env=environment(PETSC_OPTIONS="-flow_ts_rk_type 3bs"))
        self.assertIn("3bs", self.refused("merge", "all.h5", "1.h5", "2.h5"))
        self.succeed("run", "case.toml", "--part", "2/2", "--output", "2.h5", "--force")
        self.succeed("merge", "all.h5", "1.h5", "2.h5")
        self.assertEqual(read_group(self.folder / "all.h5", "provenance")["solver_options"], "")


class SmallStatements(SystemTest):
    def test_one_replicate_has_no_error(self):
        """NaN in the file, and words instead of +- 0."""
        changes = {"population.replicates": 1, "train": {"starts": 1}, "saddle": {}, "prune": {}, "flow.end_time": 60.0}
        self.write_input(changes, base=BASE)
        text = self.succeed("run", "case.toml")
        self.assertNotIn("+- 0", text)
        self.assertGreaterEqual(text.count("no error: one replicate"), 3)
        for group in "flow", "train", "saddle", "prune", "plateaus":
            numbers = read_group(self.folder / "case.h5", group)
            errors = {name: values for name, values in numbers.items() if name.endswith("_stderr")}
            self.assertTrue(errors, group)
            for name, values in errors.items():
                self.assertTrue(np.isnan(values).all(), f"{group}/{name}")

    def test_few_samples(self):
        self.write_input({"population.samples": 8}, base=BASE)
        for verb in "check", "run":
            text = self.succeed(verb, "case.toml")
            self.assertEqual(text.count("population.samples = 8 are too few"), 1)
        self.write_input(base=BASE)
        self.assertNotIn("too few", self.succeed("check", "case.toml"))

    def test_output_times_are_no_end(self):
        self.write_input({"flow": None, "sgd": {"dimension": 50, "batch": 2, "learning_rate": 0.1,
                                                "output_times": [0.0, 1.0]}}, base=BASE)
        done = self.headflow("check", "case.toml")
        self.assertEqual(done.returncode, 2)
        self.assertIn("output_times do not say it", done.stderr)

    def test_help_on_features(self):
        text = self.succeed("help", "keys", "model")
        line = next(line for line in text.split("\n") if line.startswith("  features "))
        self.assertNotIn("default 0", line)
        self.assertIn("default: the number that", line)


class Methods(SystemTest):
    def test_petsc_options(self):
        self.write_input()
        self.assertIn("TS dt", self.succeed("run", "case.toml", "-flow_ts_monitor"), "--help offers this option")
        plain = read_group(self.folder / "case.h5")
        self.succeed("run", "case.toml", "--force", "-flow_ts_rk_type", "3bs")
        other = read_group(self.folder / "case.h5")
        self.assertFalse(np.array_equal(plain["loss"], other["loss"]))
        np.testing.assert_allclose(plain["loss"], other["loss"], atol=1e-4)

    def test_other_petsc_methods(self):
        """Types that headflow does not name either work or are refused."""
        plain = self.run_flow("plain")
        for name in "beuler", "glee", "rosw":
            with self.subTest(name):
                done = self.headflow("run", "plain.toml", "--output", f"{name}.h5", "-flow_ts_type", name)
                self.assertIn(done.returncode, (0, 2), done.stderr)
                if done.returncode == 0:
                    np.testing.assert_allclose(read_group(self.folder / f"{name}.h5")["loss"], plain["loss"], atol=0.05)


if __name__ == "__main__":
    main()
