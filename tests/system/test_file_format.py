"""Files say which programs can read them; one of a later format is named, not misread."""
import h5py
import numpy as np

from harness import PLOT, SMALL, SystemTest, changed, execute, main

FILE_FAILURE = 4
NEWER = r"(?s)has the format 2, which needs headflow 9\.9 or newer; .*formats up to 1"
WEIGHTS = changed(SMALL, {"sgd": {"dimension": 50, "batch": 4, "learning_rate": 0.01, "save_weights": True}})


class FileFormat(SystemTest):
    def make_newer(self, path):
        with h5py.File(path, "r+") as file:
            for name, text in (("format_version", "2"), ("readable_by", "headflow 9.9 or newer")):
                del file.attrs[name]
                file.attrs[name] = np.bytes_(text)

    def assert_named(self, done, code=FILE_FAILURE):
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertRegex(done.stderr, NEWER)
        self.assertEqual(done.stderr.count("error: "), 1, done.stderr)

    def test_every_file_says_it(self):
        self.run_flow("case", base=WEIGHTS)
        names = sorted(path.name for path in self.folder.glob("*.h5"))
        self.assertTrue(any("weights" in name for name in names) and any("checkpoint" in name for name in names), names)
        for name in names:
            with h5py.File(self.folder / name) as file:
                self.assertEqual((file.attrs["format_version"], file.attrs["readable_by"]),
                                 (b"1", b"headflow 0.1.0 or newer"), name)
        self.assertIn("readable_by: headflow", self.succeed("info", "case.h5"))

    def test_a_newer_file_is_named(self):
        self.run_flow("case")
        self.make_newer(self.folder / "case.h5")
        before = (self.folder / "case.h5").read_bytes()
        self.assert_named(self.headflow("info", "case.h5"))
        self.assert_named(self.headflow("merge", "all.h5", "case.h5"))
        self.write_input({"start": {"file": "case.h5"}}, "next")
        self.assert_named(self.headflow("run", "next.toml"), code=2)  # a wrong start.file
        self.assert_named(execute(self.folder, [PLOT, "case.h5"]), code=2)
        self.assertEqual((self.folder / "case.h5").read_bytes(), before)
        self.assertFalse((self.folder / "all.h5").exists() or (self.folder / "next.h5").exists())

    def test_files_without_a_version_are_read(self):
        """Of before, or of other programs."""
        self.run_flow("case")
        with h5py.File(self.folder / "case.h5", "r+") as file:
            del file.attrs["format_version"], file.attrs["readable_by"]
        self.assertIn("flow/m", self.succeed("info", "case.h5"))


if __name__ == "__main__":
    main()
