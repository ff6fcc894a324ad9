"""What can go wrong, as exceptions: one kind for each exit code of the program."""


class Error(Exception):
    """Of headflow: its message is the program's own."""


class InputError(Error, ValueError):
    """The input cannot be run (exit code 2). Nothing was written."""


class NumericalError(Error, ArithmeticError):
    """The computation left the numbers it can represent (exit code 3)."""


class FileError(Error, OSError):
    """A file could not be read or written (exit code 4)."""


class Stopped(Error):
    """The run was stopped early and has saved its state (exit code 75): the same call goes on."""


class LaunchError(Error, RuntimeError):
    """The program was not found, or ended in another way: killed, or never started by its launcher."""


class HeadflowWarning(UserWarning):
    """What the program warns of, and what a file lacks."""
