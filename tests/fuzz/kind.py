"""A kind of tries: what all have in common."""
import subprocess

from answers import FINISHED, STOPPED, Driver
from inputs import key_table
from harness import PROGRAM, environment


class Kind:
    """What is tried: `one` makes a case from a stream of random numbers in an empty folder and gives command lines."""
    driver = Driver  # of the program that carries them out

    def __init__(self, folder):
        self.originals = folder  # what is made once
        self.table = key_table()
        self.prepare()

    def prepare(self):
        pass

    @staticmethod
    def run(folder, *words):
        done = subprocess.run([PROGRAM, *words], cwd=folder, capture_output=True, text=True, env=environment())
        if done.returncode not in (FINISHED, STOPPED):
            raise RuntimeError(f"{words}: {done.stderr}")
