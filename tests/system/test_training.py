"""How the parameters are trained, the same in every section: weight decay, parts, rates. Bits, stops, sweeps, files."""
import tomllib

import h5py
import numpy as np

from harness import SMALL, SystemTest, changed, command, execute, main, read_group, side_by_side, toml_text
from restart_harness import RestartTest
from sgd_harness import SPEED

# All that trains: the flow with noise, SGD, fluctuations, minima.
ALL = changed(SMALL, {"attention.activation": "softmax-1", "start.noise": None, "start.dimension": 60,
                      "flow.learning_rate_noise": "from-sgd", "flow.outputs": 4,
                      "sgd": {"dimension": 60, "batch": 5, "learning_rate": 0.04, "replicas": 3, "outputs": 4},
                      "fluctuations": {}, "train": {"starts": 2, "evaluations": 60}})
DIRECT = {"sgd.engine": "direct", "fluctuations": None, "train": None}
SADDLE = changed(SMALL, {"saddle": {"dimensions": [1e4]}, "population.symmetric": True, "start.noise": 1e-3})
DECAY = {"attention.weight_decay": 0.2}
# b and v begin where a head and another differ; k, b and v at rates of their own; b alone.
OFFSETS = {"start.b": [0.5, -0.25], "start.v": 1.5}
RATES = {"attention.b_rate": 3.0, "attention.v_rate": 0.25}
PARTS = {"k": ["k"], "k, v": ["k", "v"], "b": ["b"], "b, v": ["b", "v"]}


class TrainingTest(SystemTest):
    def compute(self, *cases):
        """{group: {name: array}} of [(base, changes, ranks)], computed side by side."""
        def one(numbered):
            number, (base, changes, ranks) = numbered
            (self.folder / f"case{number}.toml").write_text(toml_text(changed(base, changes)))
            done = execute(self.folder, command("run", f"case{number}.toml", ranks=ranks))
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            return self.groups(self.folder / f"case{number}.h5")

        first = len(list(self.folder.glob("case*.toml")))
        return side_by_side(one, enumerate(cases, first))

    def groups(self, path):
        with h5py.File(path) as file:
            names = set(file) - {"provenance"}
        return {name: {key: data for key, data in read_group(path, name).items() if key != SPEED} for name in names}

    def check_ranks(self, base, changes):
        one, *others = self.compute(*((base, changes, ranks) for ranks in (1, 2, 3)))
        for other in others:
            self.assertEqual(set(one), set(other))
            for group in one:
                self.assert_same_bits(one[group], other[group])


class Starts(TrainingTest):
    def test_one_bias_for_all_heads(self):
        number, many = self.compute(*((SMALL, {"attention.activation": "softmax-1", "start.b": b}, 0)
                                      for b in (0.5, [0.5, 0.5])))
        self.assertEqual(number["flow"]["b"][0].tolist(), [0.5, 0.5])
        self.assert_same_bits(number["flow"], many["flow"])


class WeightDecay(TrainingTest):
    def test_any_number_of_ranks(self):
        for base, changes in (ALL, DECAY), (ALL, DECAY | DIRECT), (SADDLE, DECAY):
            self.check_ranks(base, changes)

    def test_every_section_has_it(self):
        """Each begins in the same state, with the same loss, and goes elsewhere; heads are shorter at the end."""
        for base, changes in (ALL, {}), (ALL, DIRECT), (SADDLE, {}):
            with_it, without = self.compute((base, changes | DECAY, 0), (base, changes, 0))
            for group in set(with_it) & {"flow", "sgd", "fluctuations", "train"}:
                here, there = with_it[group], without[group]
                with self.subTest(group=group, engine=changes):
                    if group != "train":
                        self.assert_same_bits({name: here[name][:1] for name in ("m", "q", "loss")},
                                              {name: there[name][:1] for name in ("m", "q", "loss")})
                        self.assertTrue((here["gradient_norm"][:1] != there["gradient_norm"][:1]).all())
                    lengths = [np.trace(one["q"], axis1=-2, axis2=-1)[-1] for one in (here, there)]
                    self.assertTrue((lengths[0] < 0.9 * lengths[1]).all(), lengths)
        saddle, plain = with_it["saddle"], without["saddle"]
        self.assertTrue((saddle["split_rate"] < plain["split_rate"] - 0.1).all())

    def test_balance_of_what_is_trained(self):
        """At the end the objective is least on the samples; `loss` is that of the same place without weight decay."""
        end = {"train": {"from": "start", "starts": 1}, "flow": None}
        place, = self.compute((SMALL, end | {"attention.weight_decay": 0.02}, 0))
        trained = place["train"]
        self.assertLess(trained["sampled_gradient_norm"][0], 1e-6)
        there = {"start": {name: trained[name][0].tolist() for name in ("m", "r")}, "flow.end_time": 1e-9}
        plain, = self.compute((SMALL, there, 0))
        # Of an explicit start u is the symmetric root of r, which samples tell from the one trained.
        np.testing.assert_allclose(plain["flow"]["loss"][0], trained["sampled_loss"][0], atol=2e-2)
        self.assertGreater(plain["flow"]["gradient_norm"][0], 0.01)

    def test_sweep(self):
        """Members have the bits of single runs."""
        sweep = {"attention.weight_decay": [0.0, 0.2]}
        whole, *single = self.compute((ALL, {"sweep": sweep}, 2), (ALL, {}, 0), (ALL, DECAY, 0))
        for member, one in enumerate(single):
            for group in "flow", "sgd", "fluctuations":
                self.assertEqual(whole[group]["m"][member].tobytes(), one[group]["m"][-1].tobytes())
            self.assertEqual(whole["train"]["m"][member].tobytes(), one["train"]["m"].tobytes())

    def test_description(self):
        self.write_input(DECAY)
        self.succeed("run", "case.toml")
        with h5py.File(self.folder / "case.h5") as file:
            self.assertIn("weight_decay / 2", file["flow/gradient_norm"].attrs["long_name"].decode())
            self.assertIn("weight_decay = 0.2", file["provenance/input"].asstr()[()])
        self.assertIn("(weight_decay / 2)", self.succeed("explain", "attention.weight_decay"))
        self.assertIn("weight_decay = 0.2", self.succeed("check", "case.toml"))


class Parts(TrainingTest):
    """attention.train, b_rate, v_rate; start.b and start.v of random starts."""

    def test_any_number_of_ranks(self):
        for changes in RATES, {"attention.train": ["b", "v"]}, DIRECT | {"attention.train": ["k", "v"]}:
            self.check_ranks(ALL, OFFSETS | changes)
        self.check_ranks(SADDLE, {"attention.activation": "bayes-softmax", "attention.b_rate": 4.0})

    def test_what_is_not_trained_stays(self):
        cases = [(ALL, OFFSETS | engine | {"attention.train": part}, 0)
                 for engine in ({}, DIRECT) for part in PARTS.values()]
        for (_, changes, _), groups in zip(cases, self.compute(*cases)):
            for name in set(groups) & {"flow", "sgd", "fluctuations", "train"}:
                group = groups[name]
                starts = name == "train"  # along the starts, not in time
                for part, variable, first in (("k", "m", None), ("k", "q", None), ("b", "b", [0.5, -0.25]),
                                              ("v", "v", 1.5)):
                    with self.subTest(train=changes["attention.train"], group=name, variable=variable):
                        data, trained = group[variable], part in changes["attention.train"]
                        if first is not None:
                            self.assertTrue((data[0] == first).all() or starts and trained)
                        if starts and part == "k":
                            first = groups["flow"][variable][0]
                        moved = data[-1] != (data[0] if first is None else first)
                        self.assertTrue(moved.all() if trained else not moved.any())
                        if name == "fluctuations":
                            self.assertEqual((group[f"{variable}_std"][-1] > 0).all(), trained)

    def test_rates(self):
        """A short flow moves b and v by their rates, k as without; so does SGD, on the same sequences."""
        short = OFFSETS | {"flow.end_time": 1e-6, "flow.outputs": 1, "fluctuations": None, "train": None,
                           "sgd.learning_rate": 1e-6, "sgd.outputs": 1}
        for engine in "direct", "overlaps":
            plain, rated = self.compute((ALL, short | {"sgd.engine": engine}, 0),
                                        (ALL, short | RATES | {"sgd.engine": engine}, 0))
            for group in "flow", "sgd":
                here, there = (one[group] for one in (rated, plain))
                for name, rate in (("m", 1), ("b", 3), ("v", 0.25)):
                    moves = [one[name][-1] - one[name][0] for one in (here, there)]
                    np.testing.assert_allclose(moves[0], rate * moves[1], rtol=1e-3, atol=1e-15, err_msg=name)

    def test_minima_do_not_depend_on_rates(self):
        alone = OFFSETS | {"flow": None, "sgd": None, "fluctuations": None}
        plain, rated = self.compute((ALL, alone, 0), (ALL, alone | RATES, 0))
        self.assert_same_bits(plain["train"], rated["train"])

    def test_sweep(self):
        train = [["k"], ["k", "b"], ["b", "v"]]
        whole, *single = self.compute((ALL, {"sweep": {"attention.train": train}}, 2),
                                      *((ALL, {"attention.train": one}, 0) for one in train))
        for member, one in enumerate(single):
            for group in "flow", "sgd", "fluctuations":
                for name in "m", "b", "v":
                    self.assertEqual(whole[group][name][member].tobytes(), one[group][name][-1].tobytes())

    def test_defaults(self):
        """All that the activation has, at the rates of k: the same bits. They stay out of the resolved input, where a
        swept activation would meet those of another."""
        for activation, parts in ("softmax", "k"), ("softmax-1", "kbv"), ("bayes-softmax", "kb"):
            told = {"attention.train": list(parts)} | {f"attention.{part}_rate": 1.0 for part in parts[1:]}
            ours = {"attention.activation": activation}
            default, same = self.compute((ALL, ours, 0), (ALL, ours | told, 0))
            for group in default:
                self.assert_same_bits(default[group], same[group])
            for changes in {}, told:
                self.write_input(ours | changes)
                resolved = tomllib.loads(self.succeed("check", "case.toml").partition("\n#")[0])["attention"]
                self.assertEqual({f"attention.{key}" for key in resolved} & set(told), set(changes))


class Stops(RestartTest):
    CASES = {"flow": changed(SADDLE, DECAY | {"flow.tolerance": 1e-11, "flow.end_time": 20.0}),
             "all": changed(ALL, DECAY | {"flow.tolerance": 1e-10}),
             "direct": changed(ALL, DECAY | DIRECT | {"flow": None, "sgd.end_time": 4.0}),
             "rates": changed(ALL, OFFSETS | RATES | {"flow.tolerance": 1e-10}),
             "b, v": changed(ALL, OFFSETS | {"attention.train": ["b", "v"], "flow.tolerance": 1e-10})}

    def test_stopped(self):
        """On another number of ranks they go on with the same bits."""
        for name, base in self.CASES.items():
            with self.subTest(name):
                whole, parts = (self.place(f"{name} {part}", base) for part in ("whole", "parts"))
                self.finish(whole)
                self.stop(parts, ranks=2, pause=6)
                self.finish(parts, ranks=3)
                self.assert_same_numbers(parts, whole)


if __name__ == "__main__":
    main()
