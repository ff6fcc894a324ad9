"""What must not change a bit of a result: the number of ranks, where samples are kept, when output is written."""
import numpy as np

from harness import SMALL, SystemTest, changed, command, execute, main, read_group, side_by_side, toml_text

# Each has what another lacks: activation, prior, start, sampling, precision, closed set, blocks that are not full (1500
# and 333 samples for each replicate), fewer blocks than ranks.
INPUTS = {
    "softmax": {"population.samples": 6000},
    "softmax, double": {"population.samples": 6000, "population.precision": "double"},
    "softmax-1": {"attention.activation": "softmax-1", "attention.heads": 3, "population.sampling": "monte-carlo",
                  "population.samples": 3000, "population.replicates": 2, "population.symmetric": True},
    "bayes-softmax": {"attention.activation": "bayes-softmax", "start.noise": None, "start.dimension": 30,
                      "population.precision": "single", "population.samples": 5000, "population.replicates": 5},
    "monte-carlo, single": {"attention.activation": "softmax-1", "model.prior": "canonical-spikes",
                            "model.signal": 3.0, "model.features": 3, "population.sampling": "monte-carlo",
                            "population.precision": "single", "population.samples": 6000},
    "symmetric, single": {"attention.activation": "bayes-softmax", "model.prior": "anisotropic-gaussian",
                          "model.features": 2, "population.symmetric": True, "population.precision": "single"},
    "few samples": {"population.samples": 333, "population.replicates": 1},
    "resample": {"flow.method": "euler", "flow.step": 0.25, "population.resample": 3, "population.samples": 6000},
}

CONSTANT = {"head", "head_b", "feature", "feature_b", "spike_gram", "alignment_time", "split_time",
            "growth_rate"}


class Invariance(SystemTest):
    def flows(self, runs):
        """/flow of each of [(changes, ranks)], computed side by side, and what the runs printed."""
        def flow(numbered):
            number, (changes, ranks) = numbered
            (self.folder / f"case{number}.toml").write_text(toml_text(changed(SMALL, changes)))
            done = execute(self.folder, command("run", f"case{number}.toml", "--force", ranks=ranks))
            return done.stderr or read_group(self.folder / f"case{number}.h5")

        results = side_by_side(flow, enumerate(runs))
        self.assertEqual([result for result in results if isinstance(result, str)], [])
        return results

    def assert_same_at_common_times(self, one, other):
        """And a trajectory that does move, at two common times or more."""
        times, here, there = np.intersect1d(one["time"], other["time"], return_indices=True)
        self.assertGreater(len(times), 2)
        self.assertFalse(np.array_equal(one["m"][here[0]], one["m"][here[-1]]))
        self.assert_same_bits({name: data if name in CONSTANT else data[here] for name, data in one.items()},
                              {name: data if name in CONSTANT else data[there] for name, data in other.items()})

    def test_ranks(self):
        for name, changes in INPUTS.items():
            with self.subTest(name):
                alone, *others = self.flows([(changes, ranks) for ranks in (0, 2, 3, 4)])
                self.assertFalse(np.array_equal(alone["m"][0], alone["m"][-1]))
                for other in others:
                    self.assert_same_bits(alone, other)

    def test_memory(self):
        """Samples drawn again block by block are those that were kept."""
        for name in "softmax", "softmax-1", "symmetric, single", "resample":
            changes = INPUTS[name] | {"population.samples": 12000}
            small = changes | {"population.memory": 2e-4}
            with self.subTest(name):
                for memory, again in ((changes, False), (small, True)):
                    self.write_input(memory)
                    self.assertEqual("drawn again" in self.succeed("check", "case.toml"), again)
                kept, *regenerated = self.flows([(changes, 0), (small, 0), (small, 3)])
                for other in regenerated:
                    self.assert_same_bits(kept, other)

    def test_output_times(self):
        """The stepper never sees them: any schedule samples one and the same trajectory."""
        for method in "5dp", "euler", "3bs", "4", "ssp":
            base = {"flow.method": method, "flow.step": 0.15}
            with self.subTest(method):
                sparse, dense, log = self.flows([(base | {"flow.outputs": 8}, 0), (base | {"flow.outputs": 32}, 0),
                                                  (base | {"flow.spacing": "log", "flow.outputs": 9}, 0)])
                mixed = sorted({*sparse["time"].tolist(), *log["time"].tolist(), 0.123, 3.0})
                chosen, = self.flows([(base | {"flow.output_times": mixed}, 2)])
                self.assert_same_at_common_times(sparse, dense)
                self.assert_same_at_common_times(sparse, chosen)
                self.assert_same_at_common_times(log, chosen)

    def test_output_times_and_early_stop(self):
        """The step after which the gradient counts as small is the same as well; its end is the last time written."""
        for method in "5dp", "euler", "1fe", "3bs", "4":
            base = {"flow.method": method, "flow.step": 0.5, "flow.end_time": 64.0, "flow.stop_gradient_norm": 0.02}
            with self.subTest(method):
                sparse, dense = self.flows([(base | {"flow.outputs": count}, 0) for count in (4, 256)])
                self.assertLess(sparse["time"][-1], 64)
                self.assertEqual(sparse["time"][-1], dense["time"][-1])
                self.assert_same_at_common_times(sparse, dense)

    def test_output_times_and_fresh_samples(self):
        sparse, dense = self.flows([(INPUTS["resample"] | {"flow.outputs": count}, 0) for count in (8, 40)])
        self.assert_same_at_common_times(sparse, dense)

    def test_what_does_change_a_result(self):
        """Each choice has an effect, so that the equalities above say something."""
        euler = {"flow.method": "euler", "flow.step": 0.25}
        changes = [{}, {"population.seed": 2}, {"start.seed": 4}, {"population.sampling": "monte-carlo"},
                   {"population.precision": "single"}, {"population.precision": "double"},
                   {"population.symmetric": True}, {"population.replicates": 2}, {"flow.tolerance": 1e-5},
                   euler, euler | {"population.resample": 3}]
        flows = self.flows([(change, 0) for change in changes])
        self.assertEqual(len({flow["m"].tobytes() for flow in flows}), len(changes))


if __name__ == "__main__":
    main()
