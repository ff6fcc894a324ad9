"""headflow-plot started by one Python or another: the user's, else the one it was built with, else one clear line."""
import os
import re
import shutil
import sys

from harness import BAD_INPUT, PLOT, SystemTest, environment, execute, main

PYTHON = re.search(r'BUILT_WITH = "(.*)"', PLOT.read_text())[1]


class PlotStart(SystemTest):
    def setUp(self):
        super().setUp()
        self.bin = self.folder / "a folder/bin"
        self.bin.mkdir(parents=True)
        self.plot = self.bin / "headflow-plot"
        shutil.copy(PLOT, self.plot)
        shutil.copytree(PLOT.parent / "python", self.bin / "python")

    def python(self, text):
        """The first python3 of PATH: a script of the shell."""
        path = self.folder / "python3"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def start(self):
        variables = environment(PATH=f"{self.folder}:{os.environ['PATH']}")
        return execute(self.folder, [self.plot, "--help"], env=variables)

    def built_with(self, python):
        self.plot.write_text(re.sub("BUILT_WITH = .*", f'BUILT_WITH = "{python}"', PLOT.read_text()))

    def test_the_python_of_path_comes_first(self):
        self.built_with("/nowhere/python3")
        self.python(f'echo user >&2; exec {sys.executable} "$@"')
        done = self.start()
        self.assertEqual((done.returncode, done.stderr), (0, "user\n"))
        self.assertIn("FILE.h5", done.stdout)

    def test_a_bare_python_hands_over(self):
        """Without site packages, where numpy is: to the one that was found at build time, which draws."""
        (self.folder / "bare").symlink_to(sys.executable)
        self.python(f'exec {self.folder}/bare -S "$@"')
        done = self.start()
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("FILE.h5", done.stdout)

    def test_nothing_can_draw(self):
        self.python(f'exec {sys.executable} -S "$@"')
        for built_with, also in (("/nowhere/python3", ""), (self.folder / "other", "nor has")):
            self.built_with(built_with)
            (self.folder / "other").write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
            (self.folder / "other").chmod(0o755)
            done = self.start()
            self.assertEqual((done.returncode, done.stdout), (BAD_INPUT, ""))
            self.assertRegex(done.stderr, r"\Aheadflow-plot: error: /\S+ has no numpy, .*python3-h5py.*\n\Z")
            self.assertIn(also, done.stderr)

    def test_a_module_that_cannot_be_loaded(self):
        self.built_with("")
        self.python(f'exec {sys.executable} "$@"')
        (self.bin / "h5py.py").write_text("raise ImportError('libhdf5.so.103: no such file')\n")
        done = self.start()
        self.assertEqual(done.returncode, BAD_INPUT)
        self.assertRegex(done.stderr, r"\Aheadflow-plot: error: .* cannot load a module: libhdf5.*\n\Z")

    def test_an_old_python_can_read_the_start(self):
        """No word of it is newer than Python 3.6."""
        import ast
        ast.parse(PLOT.read_text(), feature_version=(3, 6))


if __name__ == "__main__":
    main()
