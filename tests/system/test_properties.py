"""What is true of every input, on inputs made at random: the same bits on any number of ranks and after a stop
anywhere; heads and features have no order of their own; a sweep is its single runs; the units of time."""
import os
import signal
import sys
from pathlib import Path

import numpy as np

from harness import changed, main, read_group, side_by_side
from restart_harness import STOPPED, Gate, RestartTest, differing, ended, numbers_in, wait_for

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fuzz"))
from inputs import matrix, random_of, small_input  # noqa: E402

SEED = int(os.environ.get("HEADFLOW_SEED", "1"))  # other inputs
COUNT = 8
HEADS = {"m": -2, "r": (-2, -1), "q": (-2, -1), "b": -1, "cosine": (-2, -1)}  # axes of heads


def taken(array, order, axes):
    for axis in axes if isinstance(axes, tuple) else (axes,):
        array = np.take(array, order, axis=axis)
    return array


class Properties(RestartTest):
    def of_each(self, property_name, check):
        """check(number, stream of random numbers) of each input; [what it returns]."""
        def one(number):
            with self.subTest(property_name, input=number, seed=SEED):
                check(number, random_of(SEED, property_name, number))

        side_by_side(one, range(COUNT))

    def run_flow_of(self, name, sections):
        path = self.place(name, sections)
        self.assertEqual(self.run_case(path).returncode, 0, name)
        return read_group(path, "flow")

    def test_ranks_and_stops(self):
        def check(number, randomness):
            sections = small_input(randomness)
            whole = self.place(f"whole{number}", sections)
            done = self.run_case(whole)
            self.assertEqual(done.returncode, 0, done.stderr)
            expected = numbers_in(whole)
            for ranks in 2, 3:
                path = self.place(f"{number}on{ranks}", sections)
                self.assertEqual(self.run_case(path, ranks=ranks).returncode, 0)
                self.assertEqual(differing(numbers_in(path), expected), [], f"{ranks} ranks")
            path = self.place(f"{number}stopped", sections)
            process = self.launch(path, ranks=randomness.choice((1, 2)), pause=randomness.randrange(1, 12))
            if wait_for(Gate(path.parent).paused.exists, process):
                process.send_signal(signal.SIGUSR1)
                code = ended(process).code
                self.assertIn(code, (0, STOPPED))  # 0: after its last step, where nothing is left to stop
                if code == STOPPED:
                    self.assertEqual(self.run_case(path, ranks=randomness.choice((1, 3))).returncode, 0)
            self.assertEqual(differing(numbers_in(path), expected), [], "after a stop")

        self.of_each("ranks", check)

    def flow_input(self, randomness):
        """A flow from an explicit start with r = 0, which leaves its factor u at zero: no head has random numbers of
        its own. Its steps are those of a fixed size, which do not depend on rounding."""
        sections = small_input(randomness, ("flow",))
        flow = {"end_time": 1.0, "outputs": 3, "method": "4", "step": 0.1}
        heads = sections["attention"]["heads"]
        model = sections["model"]
        told = [len(model[key]) for key in ("mean",) if key in model] + [
            len(model[key][0]) for key in ("atoms", "means") if key in model]
        features = model.get("features") or (told or [2])[0]
        start = {"m": matrix(randomness, heads, features), "b": matrix(randomness, 1, heads, 0.3)[0], "v": 1.1}
        return changed(sections, {"flow": flow, "start": start, "population.precision": "double"})

    def test_heads_have_no_order(self):
        def check(number, randomness):
            sections = self.flow_input(randomness)
            order = list(range(sections["attention"]["heads"]))
            randomness.shuffle(order)
            start = {key: [sections["start"][key][h] for h in order] for key in ("m", "b")}
            one = self.run_flow_of(f"one{number}", sections)
            other = self.run_flow_of(f"other{number}", changed(sections, {f"start.{key}": start[key] for key in start}))
            np.testing.assert_allclose(other["loss"], one["loss"], rtol=1e-11, atol=1e-13)
            for name, axes in HEADS.items():
                np.testing.assert_allclose(other[name], taken(one[name], order, axes), rtol=1e-9, atol=1e-11,
                                           err_msg=name)

        self.of_each("heads", check)

    def test_features_turn_with_the_prior(self):
        """By the same law, from other numbers: within 6.5 standard errors of 16 replicates (false alarm 1e-5)."""
        def check(number, randomness):
            sections = self.flow_input(randomness)
            sections["population"] |= {"samples": 2**13, "replicates": 16, "sampling": "sobol"}
            heads, features = np.shape(sections["start"]["m"])
            atoms = np.array(matrix(randomness, 3, features, 2.0))
            turn, _ = np.linalg.qr(np.array(matrix(randomness, features, features)) + 2 * np.eye(features))
            model = {"tokens": sections["model"]["tokens"], "prior": "discrete"}
            one = self.run_flow_of(f"one{number}", changed(sections, {"model": model | {"atoms": atoms.tolist()}}))
            turned = {"model": model | {"atoms": (atoms @ turn.T).tolist()},
                      "start.m": (np.array(sections["start"]["m"]) @ turn.T).tolist()}
            other = self.run_flow_of(f"other{number}", changed(sections, turned))
            errors = np.hypot(other["loss_stderr"], one["loss_stderr"])
            self.assertLess(errors.max(), 0.02)
            self.assertLess(np.abs((other["loss"] - one["loss"]) / errors).max(), 6.5)
            np.testing.assert_allclose(other["m"], one["m"] @ turn.T, atol=0.02)
            np.testing.assert_allclose(other["q"], one["q"], atol=0.02)

        self.of_each("features", check)

    def test_sweeps_are_single_runs(self):
        def check(number, randomness):
            sections = small_input(randomness)
            seeds = [randomness.randrange(100), 100 + randomness.randrange(100)]
            path = self.place(f"sweep{number}", changed(sections, {"sweep": {"population.seed": seeds}}))
            done = self.run_case(path, ranks=randomness.choice((0, 2)))
            self.assertEqual(done.returncode, 0, done.stderr)
            for place, seed in enumerate(seeds):
                alone = self.place(f"alone{number}{place}", changed(sections, {"population.seed": seed}))
                self.assertEqual(self.run_case(alone).returncode, 0)
                for group in set(sections) & {"flow", "sgd", "train", "bayes"}:
                    single, all_ = read_group(alone, group), read_group(path, group)
                    for name in {"m", "loss", "b", "v", "risk", "sampled_loss"} & set(single) & set(all_):
                        last = single[name][-1] if group in ("flow", "sgd") else single[name]
                        self.assertEqual(all_[name][place].tobytes(), last.tobytes(), f"{group}/{name}")

        self.of_each("sweep", check)

    def test_units_of_time(self):
        """SGD's t is its learning rate times its steps; the noise that it gives the flow is kappa = rate * D / B."""
        def check(number, randomness):
            sections = changed(small_input(randomness, ("sgd",)),
                               {"schedule": None, "flow": {"end_time": 0.5, "outputs": 2,
                                                           "learning_rate_noise": "from-sgd"}})
            rate = randomness.choice((0.01, 0.02, 0.05))
            sections["sgd"] |= {"learning_rate": rate, "steps": 8, "outputs": 8}
            path = self.place(f"from{number}", sections)
            self.assertEqual(self.run_case(path).returncode, 0)
            np.testing.assert_allclose(read_group(path, "sgd")["time"], rate * np.arange(9), rtol=1e-12)
            kappa = rate * sections["sgd"]["dimension"] / sections["sgd"]["batch"]
            given = self.run_flow_of(f"given{number}", changed(sections, {"flow.learning_rate_noise": kappa,
                                                                          "sgd": None}))
            for name in "m", "r":  # beside SGD the flow has outputs at SGD's times, too
                np.testing.assert_allclose(read_group(path, "flow")[name][-1], given[name][-1], rtol=1e-10, atol=1e-12)

        self.of_each("units", check)


if __name__ == "__main__":
    main()
