"""[train] and [bayes] stopped by signals, files and time limits; they go on with the same bits."""
import numpy as np
import xarray

from harness import changed, main, read_group
from restart_harness import RestartTest, checkpoints, ended
from test_trained import FLOW, FULL, groups_of

# Many starts: a stop falls between two.
LONG = changed(FULL, {"train.starts": 40, "train.gradient_tolerance": 1e-8, "output.every": 0})
LATE = changed(LONG, FLOW)


def some_start_has_ended(path):
    """By the output, which is replaced as a whole: it can be read at any time."""
    return groups_of(path).get("train", {}).get("loss", np.empty(0)).size > 0


def the_heads_are_saved(path):
    saved = max(checkpoints(path).items(), default=(0, path))[1]
    return groups_of(saved).get("train", {}).get("loss", np.empty(0)).size > 0


class Stops(RestartTest):
    def check(self, base, before, after):
        whole, parts = self.place(f"whole{before}", base), self.place(f"parts{before}", base)
        self.finish(whole)
        self.assertIn("signal", self.stop(parts, ranks=before, pause=20, until=some_start_has_ended))
        begun = groups_of(parts)
        self.assertNotIn("bayes", begun)
        done = begun["train"]["loss"].size
        self.assertTrue(0 < done < 40, done)
        self.assert_stopped(ended(self.launch(parts, "--max-walltime", "0.001", ranks=1)), "no time")
        self.assertIn(read_group(parts, "train")["loss"].size, (done, done + 1), "what was saved is still there")
        number, saved = max(checkpoints(parts).items())
        text = self.finish(parts, ranks=after)
        self.assertIn(f"going on from {saved.name} (checkpoint number {number})", text)
        self.assert_same_numbers(parts, whole)
        self.assertEqual(read_group(parts, "train")["loss"].size, 40)

    def test_between_starts(self):
        self.check(LONG, 1, 3)

    def test_after_the_flow(self):
        self.check(LATE, 2, 1)

    def test_no_time_at_all(self):
        """Stopped before the first start has ended, by the limit, and each time an evaluation further; the file is one
        to read all the same."""
        whole, parts = self.place("whole", FULL), self.place("parts", FULL)
        self.finish(whole)
        for number in 1, 2:
            stopped = ended(self.launch(parts, "--max-walltime", "0.001", ranks=1))
            self.assertIn("(wall time)", self.assert_stopped(stopped, "no time"))
            self.assertEqual(max(checkpoints(parts)), number)
            log = read_group(checkpoints(parts)[number], "train_state")["log"]
            self.assertEqual(log.size, number * (1 + 2 * 4 + 2), "loss and gradient in K and b")
        with xarray.open_dataset(parts, group="train", engine="netcdf4") as train:
            self.assertEqual(train.sizes["start"], 0)
        self.finish(parts)
        self.assert_same_numbers(parts, whole)

    def test_during_the_bayes_risk(self):
        """What came before it is in the checkpoint: the flow and the searches are not repeated."""
        base = changed(FULL, FLOW | {"bayes.standard_error": 1e-12, "bayes.samples": 2**18, "train.from": "flow",
                                    "output.checkpoint_every": 0.0})
        whole, parts = self.place("whole", base), self.place("parts", base)
        self.finish(whole)
        self.stop(parts, ranks=2, pause=1, until=the_heads_are_saved)
        self.assertNotIn("bayes", groups_of(parts))
        saved = max(checkpoints(parts).items())[1]
        self.assertEqual(read_group(saved, "train")["loss"].size, 1)
        for state in "flow_state", "train_state":
            self.assertTrue(read_group(saved, state), state)
        self.finish(parts, ranks=1)
        self.assert_same_numbers(parts, whole)

    def test_a_later_end_of_the_flow(self):
        """What was trained from the old end is not kept."""
        base = changed(FULL, FLOW | {"train.from": "flow"})
        later = {"flow.end_time": 2 * FLOW["flow.end_time"]}
        whole, parts = self.place("whole", changed(base, later)), self.place("parts", base)
        self.finish(whole)
        self.finish(parts)
        self.rewrite(parts, base, later)
        self.assertIn("going on", self.finish(parts))
        for group in "train", "prune", "maps":  # the outputs of the flow are at other times
            self.assert_same_bits(read_group(parts, group), read_group(whole, group))

    def test_a_search_with_fewer_heads(self):
        """Stopped within it, it goes on with the same bits."""
        base = changed(FULL, {"train.from": "search", "attention.heads": 3})
        whole, parts = self.place("whole", base), self.place("parts", base)
        self.finish(whole)
        for _ in range(3):
            self.assert_stopped(ended(self.launch(parts, "--max-walltime", "0.001", ranks=1)), "no time")
        self.finish(parts, ranks=2)
        self.assert_same_numbers(parts, whole)

    def test_finished(self):
        """Nothing is computed twice; a lost output comes back from the checkpoint."""
        path, whole = self.place("case", FULL), self.place("whole", FULL)
        self.finish(whole)
        self.finish(path)
        self.assertIn("finished already", self.finish(path))
        path.unlink()
        self.assertIn("going on", self.finish(path, ranks=2))
        self.assert_same_numbers(path, whole)

    def test_another_search_is_refused(self):
        path = self.place("case", FULL)
        self.finish(path)
        for name, value in {"train.gradient_tolerance": 1e-3, "population.test_samples": 4096,
                            "maps.seed": 2}.items():
            with self.subTest(name):
                self.rewrite(path, FULL, {name: value})
                self.assertIn(name, self.refused(path))


if __name__ == "__main__":
    main()
