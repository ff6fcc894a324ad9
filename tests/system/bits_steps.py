"""What same_bits.py runs: calls of headflow, and cases, which are calls in a folder with files."""
from typing import NamedTuple

ANY = (0, 3)  # numbers of ranks: 1 without mpiexec, and more than there are replicas or blocks in some cases


class Step(NamedTuple):
    """A call of headflow with its ranks (None: those of the case) and the exit code it must have (None: any)."""
    words: tuple
    ranks: int | None = None
    code: int | None = 0


class Case(NamedTuple):
    """Files of a folder, and calls in it, one after the other; once for each of the numbers of ranks."""
    name: str
    files: dict
    steps: list
    ranks: tuple = (0,)
    promised: bool = True  # the same bits on any of them
    like: str = ""  # the case whose case.h5 has the same bits at the end


def sets(words):
    """["--set", "KEY=VALUE", ..] of "KEY=VALUE .."."""
    return [part for word in words.split() for part in ("--set", word)]


def run(*words, ranks=None, code=0):
    return Step(("run", "case.toml", *words), ranks, code)
