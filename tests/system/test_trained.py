"""[train], [bayes], [prune], [maps] and start.bayes: bits, what the output holds, bad input."""
import h5netcdf  # noqa: F401  (missing readers must fail, not skip)
import h5py
import netCDF4  # noqa: F401
import numpy as np
import xarray

from harness import SMALL, SystemTest, changed, command, execute, main, read_group, side_by_side, toml_text
from test_output import AXES, as_text

# Everything but the flow: three starts of Bayes-softmax, a descent from each.
FULL = changed(SMALL, {"flow": None, "attention.activation": "bayes-softmax", "train.starts": 3, "train.from": "start",
                       "bayes.standard_error": 2e-3, "bayes.samples": 2**16, "maps.sequences": 5}) | {"prune": {}}
LISTS = {"m", "r", "u", "q", "b", "v", "loss", "loss_stderr", "gradient_norm", "gradient_norm_stderr", "cosine"}
OUTPUT = {  # of FULL: every group's axes with their sizes, and its variables with their axes
    "train": ({"start": 3, "head": 2, "head_b": 2, "feature": 2, "feature_b": 2},
              {name: ("start", *AXES[name][1:]) for name in LISTS} | {"best": ()}
              | {name: ("start",) for name in ("sampled_loss", "sampled_gradient_norm", "choice_loss", "loss_share",
                                               "evaluations", "converged")}),
    "bayes": ({}, {"risk": (), "risk_stderr": (), "samples": ()}),
    "prune": ({"start": 3, "left": 2, "removal": 1},
              {"loss": ("start", "left"), "loss_stderr": ("start", "left"), "order": ("start", "removal")}),
    "maps": ({"sequence": 5, "head": 2, "token": 3, "feature": 2},
             {"sigma": ("sequence", "head", "token"), "A": ("sequence", "token"), "theta": ("sequence", "feature"),
              "relevant": ("sequence",)}),
}
GAUSSIAN = {"model.prior": "anisotropic-gaussian", "model.features": 2}
FLOW = {f"flow.{key}": value for key, value in SMALL["flow"].items()}


def groups_of(path):
    """{group: {name: array}} of an output."""
    with h5py.File(path, "r") as file:
        names = set(file) - {"provenance"}
    return {name: read_group(path, name) for name in names}


class TrainedTest(SystemTest):
    def compute(self, *cases, base=FULL):
        """Groups of the cases, changes of the base or (changes, ranks), computed side by side; `files` has the
        paths."""
        def one(numbered):
            number, case = numbered
            changes, ranks = case if isinstance(case, tuple) else (case, 0)
            self.write_input(changes, f"case{number}", base)
            self.succeed("run", f"case{number}.toml", ranks=ranks)
            return groups_of(self.folder / f"case{number}.h5")

        first = len(list(self.folder.glob("case*.toml")))
        return side_by_side(one, enumerate(cases, first))


class Readers(SystemTest):
    """One run on two ranks, read by everything."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        (cls.shared / "full.toml").write_text(toml_text(FULL))
        cls.done = execute(cls.shared, command("run", "full.toml", ranks=2))
        cls.path = cls.shared / "full.h5"

    def setUp(self):
        super().setUp()
        self.assertEqual((self.done.returncode, self.done.stderr), (0, ""))

    def test_h5py(self):
        with h5py.File(self.path, "r") as file:
            self.assertEqual(set(file), set(OUTPUT) | {"provenance"})
            for group, (dimensions, variables) in OUTPUT.items():
                self.assertEqual(set(file[group]), set(dimensions) | set(variables), group)
                for name, size in dimensions.items():
                    self.assertTrue(h5py.h5ds.is_scale(file[group][name].id), name)
                    self.assertEqual(file[group][name][()].tolist(), list(range(1, size + 1)), name)
                for name, axes in variables.items():
                    data = file[group][name]
                    self.assertEqual(data.shape, tuple(dimensions[axis] for axis in axes), name)
                    self.assertEqual([[scale.name for scale in dim.values()] for dim in data.dims],
                                     [[f"/{group}/{axis}"] for axis in axes], name)
                    self.assertTrue(np.isfinite(data[()]).all(), name)
                for name, data in file[group].items():
                    for attribute in "units", "long_name":
                        self.assertTrue(as_text(data.attrs[attribute]).strip(), f"{group}/{name}: {attribute}")

    def test_xarray(self):
        for engine in "netcdf4", "h5netcdf":
            for group, (dimensions, variables) in OUTPUT.items():
                with (self.subTest(f"{engine} {group}"),
                      xarray.open_dataset(self.path, group=group, engine=engine) as data):
                    self.assertEqual(dict(data.sizes), dimensions)
                    self.assertEqual({name: one.dims for name, one in data.data_vars.items()}, variables)
                    for name, numbers in read_group(self.path, group).items():
                        np.testing.assert_array_equal(data[name].values, numbers, name)

    def test_numbers_belong_together(self):
        groups = groups_of(self.path)
        train, bayes, prune, maps = (groups[name] for name in ("train", "bayes", "prune", "maps"))
        self.assertEqual(train["best"], 1 + train["choice_loss"].argmin())
        for other in "loss", "sampled_loss":  # the same quantity on other samples
            self.assertTrue((train["choice_loss"] != train[other]).all(), other)
            np.testing.assert_allclose(train["choice_loss"], train[other], rtol=0, atol=0.1)
        self.assertTrue(((train["loss_share"] > 0.1) & (train["loss_share"] < 1)).all())
        self.assertTrue(train["converged"].all() and (train["sampled_gradient_norm"] <= 1e-6).all())
        self.assertTrue((train["evaluations"] > 5).all())
        self.assertLessEqual(bayes["risk_stderr"], 2e-3)
        # Prop. IV.1; 4.5 sigma of t with 3 degrees of freedom, but Sobol's errors of both are far smaller
        errors = 4.5 * np.hypot(train["loss_stderr"], bayes["risk_stderr"])
        self.assertTrue((train["loss"] > bayes["risk"] - errors).all())
        np.testing.assert_allclose(prune["loss"][:, 0], train["loss"], rtol=0, atol=1e-12)  # the same fresh samples
        np.testing.assert_allclose(prune["loss_stderr"][:, 0], train["loss_stderr"], rtol=0, atol=1e-12)
        self.assertTrue(np.isin(prune["order"], (1, 2)).all())
        np.testing.assert_allclose(maps["A"], maps["sigma"].mean(axis=1), rtol=0, atol=1e-15)
        np.testing.assert_allclose(maps["A"].sum(axis=1), 1, rtol=0, atol=1e-14)
        self.assertTrue(np.isin(maps["relevant"], (1, 2, 3)).all())
        np.testing.assert_allclose(np.abs(maps["theta"]), np.sqrt(2), rtol=0, atol=1e-15)
        m, u = train["m"], train["u"]
        np.testing.assert_allclose(train["q"], m @ m.swapaxes(1, 2) + u @ u.swapaxes(1, 2), rtol=0, atol=1e-12)

    def test_what_is_printed(self):
        for words in "trained: loss 0.", "best of 3 starts", "Bayes risk: 0.", "pruned: loss with 0, 1, .. heads":
            self.assertIn(words, self.done.stdout)
        self.assertNotIn("flow", self.done.stdout)


class Bits(TrainedTest):
    CASES = {
        "bayes-softmax": {},
        "softmax-1, closed set": {"attention.activation": "softmax-1", "attention.heads": 3,
                                  "population.symmetric": True, "train.evaluations": 60},
        "softmax, Gaussian, single": GAUSSIAN | {"attention.activation": "softmax", "population.precision": "single",
                                                 "train.evaluations": 60, "population.samples": 5200},
        "finite spikes": {"start.noise": None, "start.dimension": 40, "train.starts": 1, "population.memory": 0.01},
        "from the flow": FLOW | {"train.from": "flow", "train.starts": 1},
        "search": {"train.from": "search", "attention.heads": 3, "train.gradient_tolerance": 1e-4},
        "bayes": {"start.noise": None, "start.bayes": True, "train.starts": 1},
    }

    def test_ranks(self):
        cases = [(changes, ranks) for changes in self.CASES.values() for ranks in (0, 1, 2, 3)]
        groups = self.compute(*cases)
        for i, name in enumerate(self.CASES):
            alone, *others = groups[4 * i: 4 * i + 4]
            self.assertEqual(set(alone), set(OUTPUT) | ({"flow"} if "flow" in name else set()))
            for other in others:
                with self.subTest(name):
                    self.assertEqual(set(other), set(alone))
                    for group in alone:
                        self.assert_same_bits(alone[group], other[group])

    def test_starts_have_seeds_in_turn(self):
        """Start i is that of start.seed + i - 1; the maps are of the best."""
        together, *single = self.compute({}, *({"train.starts": 1, "start.seed": 3 + i} for i in range(3)))
        for i, one in enumerate(single):
            for group in "train", "prune":
                mine = {name: data[i: i + 1] for name, data in together[group].items()
                        if OUTPUT[group][1].get(name, ())[:1] == ("start",)}
                self.assert_same_bits(mine, {name: one[group][name] for name in mine})
        self.assertEqual(len({one["train"]["m"].tobytes() for one in single}), 3)
        self.assert_same_bits(together["maps"], single[int(together["train"]["best"]) - 1]["maps"])

    def test_fresh_samples(self):
        default, given, more, seed, as_many = self.compute(
            {}, *({"population.test_samples": count} for count in (2048, 4096)), {"population.seed": 2},
            {"population.test_samples": 512})
        for group in default:
            self.assert_same_bits(default[group], given[group])
        trained_on = "m", "u", "b", "sampled_loss", "evaluations"
        self.assert_same_bits(*({name: one["train"][name] for name in trained_on} for one in (default, more)))
        for group, name in ("train", "loss"), ("prune", "loss"), ("bayes", "risk"):
            self.assertTrue((seed[group][name] != default[group][name]).all(), name)
        self.assertTrue((more["train"]["loss"] != default["train"]["loss"]).all())
        self.assertTrue((as_many["train"]["loss"] != as_many["train"]["sampled_loss"]).all())
        self.assertTrue((seed["train"]["m"] != default["train"]["m"]).all())

    def test_what_maps_depend_on(self):
        one, more, seed, activation = self.compute({}, {"maps.sequences": 9}, {"maps.seed": 2},
                                                   {"attention.activation": "softmax"})
        self.assert_same_bits({name: one["maps"][name] for name in OUTPUT["maps"][1]},
                              {name: more["maps"][name][:5] for name in OUTPUT["maps"][1]})
        self.assertTrue((one["maps"]["sigma"] != seed["maps"]["sigma"]).all())
        self.assert_same_bits(*({name: run["maps"][name] for name in ("theta", "relevant")}
                                for run in (one, activation)))
        np.testing.assert_allclose(activation["maps"]["sigma"].sum(axis=2), 1, rtol=0, atol=1e-14)


class Starts(TrainedTest):
    """What a search starts from shows where its tolerance ends it at once."""
    AT_ONCE = {"train.gradient_tolerance": 100.0, "train.starts": 1}

    def test_explicit(self):
        m, b = [[1.0, 0.5], [0.25, -1.0]], [0.5, -0.25]
        run, = self.compute(self.AT_ONCE | {"start.noise": None, "start.m": m, "start.b": b})
        self.assertEqual((run["train"]["m"][0].tolist(), run["train"]["b"][0].tolist()), (m, b))
        self.assertEqual((run["train"]["evaluations"][0], run["train"]["converged"][0]), (1, 1))

    def test_the_end_of_the_flow(self):
        run, whole = self.compute(self.AT_ONCE | FLOW | {"train.from": "flow"},
                                  FLOW | {"train.from": "flow", "train.starts": 1})
        for name in "m", "u", "b", "v":
            self.assert_same_bits({name: run["train"][name][0]}, {name: run["flow"][name][-1]})
        self.assertEqual(run["train"]["sampled_loss"][0], run["flow"]["loss"][-1])
        self.assertLess(whole["train"]["sampled_loss"][0], run["flow"]["loss"][-1])

    def test_bayes(self):
        """Prop. IV.2, with a head more than there are atoms: no force but that of the sampling error."""
        base = {"start.noise": None, "start.bayes": True, "attention.heads": 3, "population.samples": 2**14}
        run, flow = self.compute(self.AT_ONCE | base, base | FLOW | {"train": None})
        root, train = np.sqrt(2), run["train"]
        np.testing.assert_allclose(train["m"][0], [[root, root], [root, -root], [root, root]], rtol=1e-15)
        np.testing.assert_allclose(train["b"][0], np.log([1 / 4, 1 / 2, 1 / 4]) - 2, rtol=1e-15)
        self.assertFalse(train["u"].any())
        self.assertLess(train["gradient_norm"][0], 5e-3)
        # t with 3 degrees of freedom: 10 combined sigma are 2e-3
        errors = 10 * np.hypot(train["loss_stderr"][0], run["bayes"]["risk_stderr"])
        self.assertLess(abs(train["loss"][0] - run["bayes"]["risk"]), errors)
        self.assertLess(errors, 0.03)
        self.assertEqual(set(flow), {"flow", "bayes", "prune", "maps"})
        self.assertLess(np.abs(flow["flow"]["m"][-1] - flow["flow"]["m"][0]).max(), 0.02)
        self.assertEqual(flow["prune"]["loss"].shape, (1, 3))


class Sections(TrainedTest):
    def test_what_runs(self):
        alone = changed(SMALL, {"flow": None})
        cases = {("train",): {"train.starts": 1}, ("bayes",): {"bayes.standard_error": 0.1},
                 ("bayes", "train"): {"train.starts": 1, "bayes.standard_error": 0.1},
                 ("flow", "train"): {"train.starts": 1, "flow.end_time": 1.0}, ("flow",): {"flow.end_time": 1.0},
                 ("flow", "maps"): {"maps.sequences": 2, "flow.end_time": 1.0},
                 ("bayes", "sgd"): {"sgd.dimension": 40, "sgd.batch": 2, "sgd.learning_rate": 0.1, "sgd.steps": 3,
                                    "start.noise": None, "bayes.standard_error": 0.1}}
        for names, groups in zip(cases, self.compute(*cases.values(), base=alone)):
            with self.subTest(names):
                self.assertEqual(set(groups), set(names))

    def test_flow_without_a_word(self):
        """[flow] runs by default where none of the others does."""
        self.write_input({"flow": None})
        self.succeed("run", "case.toml", "--set", "population.samples=16")
        self.assertEqual(groups_of(self.folder / "case.h5")["flow"]["time"][-1], 200)

    def test_one_head(self):
        """Nothing to remove."""
        run, = self.compute({"attention.heads": 1})
        self.assertEqual(run["prune"]["loss"].shape, (3, 1))
        self.assertNotIn("order", run["prune"])

    def test_heads_of_the_flow(self):
        """Pruned and shown without training: those of its end."""
        run, trained = self.compute(FLOW | {"train": None}, FLOW | Starts.AT_ONCE | {"train.from": "flow"})
        for group in "prune", "maps":
            self.assert_same_bits(run[group], trained[group])

    def test_bayes_doubles_its_samples(self):
        coarse, fine, limited = (run["bayes"] for run in self.compute(
            {"bayes.standard_error": 1.0}, {"bayes.standard_error": 5e-4, "bayes.samples": 2**20},
            {"bayes.standard_error": 1e-9, "bayes.samples": 10000}))
        self.assertEqual((coarse["samples"], limited["samples"]), (2048, 8192))
        self.assertGreater(fine["samples"], 2048)
        self.assertLessEqual(fine["risk_stderr"], 5e-4)


class Search(TrainedTest):
    """train.from = "search", the default."""
    BASE = {"train.from": None, "train.gradient_tolerance": 1e-4, "prune": None, "maps": None, "bayes": None}

    def test_starts(self):
        """The first is that of [start]; where that has no seeds, all others are draws of theta."""
        at_once = {"train.gradient_tolerance": 100.0, "attention.activation": "softmax"}  # which silences no head
        noise, given, more = (run["train"]["m"] for run in self.compute(
            self.BASE | at_once | {"train.starts": 4}, self.BASE | at_once | EXPLICIT, self.BASE | at_once | EXPLICIT
            | {"train.starts": 4}))
        self.assertEqual(given[0].tolist(), EXPLICIT["start.m"])
        self.assert_same_bits({"m": given}, {"m": more[:3]})
        self.assertTrue((np.abs(noise[[0, 2]]) < 1).all())  # start.noise = 0.2
        for drawn in noise[1], noise[3], given[1], given[2]:  # near (sqrt 2, +-sqrt 2)
            np.testing.assert_allclose(np.abs(drawn), np.sqrt(2), rtol=0, atol=0.5)
        self.assert_same_bits({"m": noise[[1, 3]]}, {"m": given[1:]})

    def test_more_heads_never_lose(self):
        """Heads that are not needed are silenced, where descents alone end higher: the best of 16 at H = 6 was above
        that of H = 4."""
        model = {"model.prior": "canonical-spikes", "model.features": 4, "model.signal": 10.0, "model.tokens": 5,
                 "attention.activation": "softmax-1", "population.samples": 2048, "population.test_samples": 4096,
                 "start.noise": 0.5}
        least = [run["train"]["sampled_loss"].min() for run in self.compute(
            *(self.BASE | model | {"attention.heads": heads} for heads in (2, 4, 5, 6)))]
        self.assertTrue((np.diff(least) < 5e-4).all(), least)
        plain, = self.compute(self.BASE | model | {"attention.heads": 6, "train.from": "start"})
        self.assertLess(least[-1], plain["train"]["sampled_loss"].min() - 1e-4)

    def test_losses_of_few_samples_are_warned_of(self):
        """A loss of 2.7e-7 from a thousand samples, none of which has seen an error, says so."""
        for signal, count in (30.0, 1), (2.0, 0):
            self.write_input(self.BASE | BAYES | {"train.starts": 1, "model.signal": [signal, signal],
                                                  "train.from": "start"},
                             base=FULL)
            done = self.headflow("run", "case.toml", "--force")
            self.assertEqual(done.returncode, 0)
            self.assertEqual(done.stderr.count("headflow: warning: the trained loss comes from about"), count,
                             done.stderr)
            self.assertEqual(done.stderr.count("\n"), count, done.stderr)

    def test_rare_errors_of_the_bayes_estimator(self):
        """Flipping spike, nu = 30, L = 5: 2.682e-7 by an independent program."""
        run, = self.compute({"train": None, "prune": None, "maps": None, "model.tokens": 5,
                             "model.signal": [30.0, 30.0],
                             "population.test_samples": 2**15})
        self.assertLess(abs(run["bayes"]["risk"] - 2.682e-7), 1e-8)
        self.assertLess(run["bayes"]["risk_stderr"], 1e-8)


EXPLICIT = {"start.noise": None, "start.m": [[1.0, 0.5], [0.5, 1.0]]}
BAYES = {"start.noise": None, "start.bayes": True}
ERRORS = {  # changes of FULL, or of SMALL's flow alone, and the words of the message
    "prune without heads": ({"train": None, "maps": None}, ["[prune]", "[train]", "[flow]"]),
    "maps without heads": ({"train": None, "prune": None}, ["[maps]", "[train]", "[flow]"]),
    "no flow to train from": ({"train.from": "flow"}, ["train.from", "flow", "[flow]"]),
    "from elsewhere": ({"train.from": "end"}, ["train.from", '"end"', '"search"', '"start"', '"flow"']),
    "bayes of a Gaussian": (GAUSSIAN | BAYES | {"train.starts": 1}, ["Bayes", "atoms", "Gaussians"]),
    "bayes with too few heads": (BAYES | {"train.starts": 1, "attention.heads": 1}, ["2 atoms", "1 heads"]),
    "bayes and noise": ({"start.bayes": True}, ["[start]", "one of", "noise and bayes"]),
    "bayes and m": (EXPLICIT | BAYES, ["[start]", "one of", "m and bayes"]),
    "test samples not divisible": ({"population.test_samples": 1023},
                                   ["population.test_samples = 1023", "replicates = 4"]),
    "starts with m": (EXPLICIT, ["train.starts > 1", "start.dimension or start.noise"]),
    "starts with bayes": (BAYES, ["train.starts > 1", "start.dimension or start.noise"]),
    "starts with finite spikes": ({"start.noise": None, "start.dimension": 40},
                                  ["train.starts > 1", 'start.spikes = "orthonormal"']),
    "no starts": ({"train.starts": 0}, ["train.starts = 0 ", ">= 1"]),
    "no tolerance": ({"train.gradient_tolerance": 0.0}, ["train.gradient_tolerance", "> 0"]),
    "no evaluations": ({"train.evaluations": 0}, ["train.evaluations = 0 ", ">= 1"]),
    "no error": ({"bayes.standard_error": 0.0}, ["bayes.standard_error", "> 0"]),
    "no sequences": ({"maps.sequences": 0}, ["maps.sequences = 0 ", ">= 1"]),
    "unknown key": ({"train.start": 1}, ["train.start", "train.starts?"]),
}


class Errors(TrainedTest):
    def assert_refused(self, done, words):
        self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
        self.assertTrue(done.stderr.startswith("headflow: error: ") and done.stderr.count("\n") == 1, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)

    def test_input(self):
        def one(numbered):
            number, (changes, _) = numbered
            self.write_input(changes, f"case{number}", FULL)
            return self.headflow("run", f"case{number}.toml")

        for (name, (_, words)), done in zip(ERRORS.items(), side_by_side(one, enumerate(ERRORS.values()))):
            with self.subTest(name):
                self.assert_refused(done, words)
        self.assertEqual(list(self.folder.glob("*.h5")), [])

    def test_options_without_a_search(self):
        self.write_input({"train": None, "prune": None, "maps": None}, base=FULL)
        self.assert_refused(self.headflow("run", "case.toml", "-train_tao_monitor"), ["-train_tao_monitor"])

    def test_options_of_the_search(self):
        """Heard by Tao: another method, other numbers of evaluations."""
        self.write_input(base=FULL)
        counts = []
        for words in (), ("-train_tao_type", "cg"):
            self.succeed("run", "case.toml", "--output", f"{len(counts)}.h5", *words)
            counts.append(read_group(self.folder / f"{len(counts)}.h5", "train")["evaluations"].tolist())
        self.assertNotEqual(*counts)

    def test_key_of_a_section_without_keys(self):
        self.write_input({"prune.heads": 1}, base=FULL)
        self.assert_refused(self.headflow("run", "case.toml"), ["prune.heads"])

    def test_unknown_option_of_the_search(self):
        self.write_input(base=FULL)
        self.assert_refused(self.headflow("run", "case.toml", "-train_nonsense", "3"), ["-train_nonsense"])

    def test_unknown_value_of_an_option(self):
        self.write_input(base=FULL)
        self.assert_refused(self.headflow("run", "case.toml", "-train_tao_type", "bogus"), ["bogus"])


if __name__ == "__main__":
    main()
