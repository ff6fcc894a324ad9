"""What the tests of the Python package share: the package of the build folder, with the program that is tested."""
import os
import sys

from harness import MPI_ENVIRONMENT, PLOT, PROGRAM

PACKAGE = PLOT.parent / "python"
sys.dont_write_bytecode, sys.path[:0] = True, [str(PACKAGE)]
os.environ.update(MPI_ENVIRONMENT, HEADFLOW=str(PROGRAM))
import headflow  # noqa: E402

SGD = {"dimension": 40, "batch": 4, "learning_rate": 0.05, "replicas": 2, "outputs": 5}


def quiet_run(*words, **options):
    return headflow.run(*words, progress=False, **options)
