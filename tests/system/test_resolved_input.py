"""What `check` prints, and files keep, is the same input again: whatever stands in names of files."""
from bits_gallery import GALLERY, INPUTS
from harness import HANGS, PLOT, SMALL, Raw, SystemTest, changed, execute, main, side_by_side

BASE = changed(SMALL, {"population.samples": 64, "population.replicates": 2, "flow.end_time": 0.5, "flow.outputs": 2})
NAMES = ('say "a".h5', "back\\nslash.h5", "line\nend\ttab.h5", "caf\u00e9 \u20ac.h5", "quote' # = [x].h5")


class ResolvedInput(SystemTest):
    def check(self, *words):
        """The resolved input that `check` prints for an input, in a file."""
        text = self.succeed("check", *words)
        (self.folder / "resolved.toml").write_text(text)
        return text

    def test_names_of_files(self):
        """Run, check, run of what check prints, plot; and a start from the file."""
        for name in NAMES:
            with self.subTest(name):
                self.write_input({"output.file": name}, base=BASE)
                self.succeed("run", "case.toml")
                text = self.check("case.toml")
                self.assertEqual(text.split("#")[0], self.check("resolved.toml").split("#")[0])
                self.assertIn("finished already", self.succeed("run", "resolved.toml"))
                self.assertIn("finished already", self.succeed("run", "case.toml", "--set", "output.every=1",
                                                               "--output", name))
                self.write_input({"start.noise": None, "start.file": name}, "next", base=BASE)
                self.succeed("run", "next.toml", "--force")
                self.check("next.toml")
                self.assertIn("finished already", self.succeed("run", "resolved.toml"))
                if name not in NAMES[:3]:  # matplotlib starts slowly
                    continue
                plotted = execute(self.folder, [PLOT, name, "-o", "plot.png"], timeout=HANGS)
                self.assertEqual((plotted.returncode, plotted.stderr), (0, ""))

    def test_parts_of_a_sweep(self):
        name = NAMES[0]
        self.write_input(base=BASE)
        self.succeed("run", "case.toml", "--output", name)
        self.write_input({"start.noise": None, "start.file": name, "sweep": {"flow.tolerance": [1e-4, 1e-5]}},
                         "sweep", base=BASE)
        for part in 1, 2:
            self.succeed("run", "sweep.toml", "--part", f"{part}/2", "--output", f"part\\{part}.h5")
        self.assertIn("merged: 2 of 2", self.succeed("merge", 'all".h5', "part\\1.h5", "part\\2.h5"))

    def test_defaults_that_a_swept_key_decides(self):
        """What is trained follows the activation of each member: no default of another one is in the resolved input."""
        names = ["softmax-1", "softmax", "bayes-softmax"]
        self.write_input({"attention.activation": names[0], "sweep": {"attention.activation": names}}, base=BASE)
        self.succeed("run", "case.toml")
        self.check("case.toml")
        self.assertIn("finished already", self.succeed("run", "resolved.toml", "--output", "case.h5"))

    def test_no_text(self):
        """What is no UTF-8, or ends a name before its end, is refused by a readable line."""
        self.write_input(base=BASE)
        for words in (("--output", b"caf\xe9.h5"), ("--set", b"output.file=caf\xe9.h5"),
                      ("--set", 'output.file="a\\u0000b.h5"')):
            with self.subTest(words):
                done = self.refuse("run", "case.toml", *words)
                self.assertIn("output.file", done)
                self.assertIn("NUL" if "\\u0000" in str(words[1]) else "caf\\xe9.h5", done)
        self.write_input({"start.noise": None, "start.file": Raw('"a\\u0000b.h5"')}, base=BASE)
        self.assertIn("start.file", self.refuse("check", "case.toml"))

    def refuse(self, *words):
        words = [word.decode(errors="surrogateescape") if isinstance(word, bytes) else word for word in words]
        done = self.headflow(*words)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1)
        return done.stderr

    def test_large_sample_sets(self):
        """The default of test_samples follows from samples, within what it may be."""
        self.write_input({"population.samples": 2000000000}, base=BASE)
        self.assertIn("test_samples = 4000000000\n", self.check("case.toml"))
        self.assertEqual(self.headflow("check", "resolved.toml").returncode, 0)


class InputsThatComeWithHeadflow(SystemTest):
    def test_are_accepted(self):
        paths = sorted(INPUTS.rglob("*.toml"))
        for path, done in zip(paths, side_by_side(lambda path: self.headflow("check", path), paths)):
            with self.subTest(path.name):
                self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_are_cases_of_same_bits(self):
        names = {str(path.relative_to(INPUTS).with_suffix("")) for path in INPUTS.rglob("*.toml")}
        self.assertEqual(set(GALLERY), names)


if __name__ == "__main__":
    main()
