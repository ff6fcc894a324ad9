"""The notebooks of input/tutorial: they run, and what they are shipped with is what they give."""
import os
import re
import sys
import unittest

import nbformat

from harness import MPI_ENVIRONMENT, PROGRAM, SystemTest, main
from python_harness import PACKAGE

try:
    import notebooks
except ImportError as error:
    print(f"SKIPPED: {error} (Debian: apt-get install python3-nbclient python3-ipykernel)")
    sys.exit(77)

LONG = "--long" in sys.argv
if LONG:
    sys.argv.remove("--long")
NUMBER = re.compile(r"-?\d+\.\d+(?:e[+-]?\d+)?")


def texts(cell):
    """What a cell has printed and returned as text, with numbers to three digits."""
    found = ["".join(output.get("text", output.get("data", {}).get("text/plain", "")))
             for output in cell.get("outputs", ())]
    return [NUMBER.sub(lambda match: f"{float(match[0]):.2g}", text) for text in found]


def kinds(cell):
    return [sorted(output.get("data", {output.output_type: 0})) for output in cell.get("outputs", ())]


class Notebooks(SystemTest):
    def check(self, name):
        os.environ.update(MPI_ENVIRONMENT, HEADFLOW=str(PROGRAM), PYTHONPATH=str(PACKAGE), HOME=str(self.folder),
                          IPYTHONDIR=str(self.folder / "ipython"), PYDEVD_DISABLE_FILE_VALIDATION="1")
        shipped = nbformat.read(notebooks.TUTORIAL / name, as_version=4)
        nbformat.validate(shipped)
        found = notebooks.executed(name, self.folder)
        self.assertEqual(len(shipped.cells), len(found.cells))
        for place, (before, now) in enumerate(zip(shipped.cells, found.cells)):
            with self.subTest(cell=place):
                self.assertEqual(kinds(before), kinds(now))
                self.assertEqual(texts(before), texts(now))
        self.assertGreater(sum("image/png" in kind for cell in shipped.cells for kind in kinds(cell)), 0)

    @unittest.skipIf(LONG, "is quick")
    def test_first_steps(self):
        self.check("first-steps.ipynb")

    @unittest.skipUnless(LONG, "builds headflow: --long")
    def test_own_model(self):
        os.environ["HEADFLOW_SOURCES"] = str(notebooks.TOP)
        os.environ.setdefault("HEADFLOW_OWN", str(self.folder / "own"))  # which may be there, built, from before
        self.check("own-model.ipynb")


if __name__ == "__main__":
    main()
