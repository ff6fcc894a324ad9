"""How the parameters are trained, the same in every section: weight decay. Bits, stops, sweeps, bad input."""
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


class WeightDecay(SystemTest):
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

    def test_any_number_of_ranks(self):
        for base, changes in (ALL, DECAY), (ALL, DECAY | DIRECT), (SADDLE, DECAY):
            one, *others = self.compute(*((base, changes, ranks) for ranks in (1, 2, 3)))
            for other in others:
                self.assertEqual(set(one), set(other))
                for group in one:
                    self.assert_same_bits(one[group], other[group])

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
            self.assertIn("weight_decay / 2", file["flow/gradient_norm"].attrs["long_name"])
            self.assertIn("weight_decay = 0.2", file["provenance/input"].asstr()[()])
        self.assertRegex(self.succeed("--help"), r"weight_decay .*\n?.*\(weight_decay / 2\)")
        self.assertIn("weight_decay = 0.2", self.succeed("check", "case.toml"))


class Stops(RestartTest):
    CASES = {"flow": changed(SADDLE, DECAY | {"flow.tolerance": 1e-11, "flow.end_time": 20.0}),
             "all": changed(ALL, DECAY | {"flow.tolerance": 1e-10}),
             "direct": changed(ALL, DECAY | DIRECT | {"flow": None, "sgd.end_time": 4.0})}

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
