"""The program as a process: what it says, how far it is, how it ends."""
import contextlib
import itertools
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from headflow.errors import Error, FileError, HeadflowWarning, InputError, LaunchError, NumericalError, Stopped
from headflow.files import Data
from headflow.program import environment, program

KINDS: dict[int, type[Error]] = {2: InputError, 3: NumericalError, 4: FileError, 75: Stopped}
AT = re.compile(r"(\w+): t = (\S+) of ([^\s,]+), ((?:batch )?loss) (\S+),")
FIELD = re.compile(r"^\s*(\w+):\s+(\S.*)$|^\s+(\S+ failed)$", re.MULTILINE)  # of a message of Open MPI
SESSIONS = itertools.count()


class Case(NamedTuple):
    """An input as a file for the program, and what to call it."""
    path: str
    stem: str
    shown: str  # instead of the path in messages

    def words(self, command: str, output: str | PathLike | None) -> list[str]:
        return [program(), command, self.path, *(["--output", os.fspath(output)] if output is not None else [])]


def failure(code: int, output: str, errors: str, case: Case, words: Sequence[str]) -> Error:
    """The exception for an exit code, with what the program has said."""
    both = errors + output
    found = re.findall(r"^headflow: (?:internal )?error(?: on rank \d+)?: (.*)$", errors, re.MULTILINE)
    if code == 75:
        found = re.findall(r"^(stopped early .*)$", output, re.MULTILINE)
    message = "; ".join(dict.fromkeys(found))
    if case.shown != case.path:  # a file that the user has not written, nor its lines
        message = re.sub(re.escape(case.path) + r"(:\d+)?", case.shown, message)
    if code in KINDS and message:
        return KINDS[code](message)
    # Of a launcher, or of a program that could not even start.
    how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
    error = LaunchError(f"{Path(words[0]).name} {how}: {message or what_happened(both)}")
    error.add_note(f"{shlex.join(words)}\n{both.strip()}")
    return error


def what_happened(text: str) -> str:
    """One line for many: of what Open MPI says between lines of dashes the first sentence, with the names in it."""
    said = [part.strip("\n") for part in re.split(r"^-{20,}$", text, flags=re.MULTILINE)[1::2]]
    said = [part for part in said if part and not part.startswith("Primary job")]
    if not said:
        return " ".join(text.split())[:500] or "it said nothing"
    sentence = re.match(r".*?(?=[.;:](?:\s|$)|$)", " ".join(said[0].split()))[0]
    fields = [f"{name}: {value}" if name else failed for name, value, failed in FIELD.findall(said[0])]
    return f"{sentence} ({', '.join(fields)})" if fields else sentence


def execute(words: list[str], case: Case, path: Path, progress: bool) -> None:
    """Run the program to its end. Its words go into files, which are there for it even when this process dies."""
    session = f"{tempfile.gettempdir()}/headflow-{os.getuid()}-{os.getpid()}-{next(SESSIONS)}"
    variables = {"OMPI_MCA_orte_top_session_dir": session} | environment() | {"HEADFLOW_PROGRESS": "0.2"}
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors, Bar(path, progress) as bar, \
            _interrupts() as came:
        try:
            # A session of its own, so that Ctrl-C comes to this process alone.
            process = subprocess.Popen([*_to_the_end_of_this(words[0]), *words], stdin=subprocess.DEVNULL,
                                       stdout=output, stderr=errors, env=variables, start_new_session=True)
        except OSError as error:
            raise LaunchError(f"{words[0]}: {error.strerror}") from None
        _wait(process, came, lambda: bar.update(_tail(errors)))
        said, complaints = (_whole(file) for file in (output, errors))
        if process.returncode == 0:
            bar.finish()
    for text in dict.fromkeys(re.findall(r"^headflow: warning: (.*)$", complaints, re.MULTILINE)):
        warnings.warn(text, HeadflowWarning, stacklevel=3)
    error = failure(process.returncode, said, complaints, case, words) if process.returncode else None
    if came:
        raise KeyboardInterrupt(str(error or f"finished: {path}"))
    if error:
        raise error


def _to_the_end_of_this(program: str) -> list[str]:
    """Words by which Linux tells the program to save and stop when this process dies, however it does."""
    if not shutil.which(program):
        raise LaunchError(f"{program}: no such program")
    return ["setpriv", "--pdeathsig", "USR1"] if shutil.which("setpriv") else []


def _tail(file: Any) -> str:
    """The last words of a file that another process writes, by its own offset."""
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), 500, max(0, size - 500)).decode(errors="replace")


def _whole(file: Any) -> str:
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode(errors="replace")


@contextlib.contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Counts Ctrl-C instead of raising it at any place; where Python has no say in it, there are none."""
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    before = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)


def _wait(process: subprocess.Popen, came: list[int], between: Callable[[], None]) -> None:
    """Until the process ends. The first Ctrl-C saves and stops, the next ones do not wait."""
    signals = [signal.SIGUSR1, signal.SIGTERM, signal.SIGKILL]  # mpirun hands USR1 on, and waits
    sent, pause = 0, 0.01
    while process.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(pause)
        pause = min(0.2, 1.5 * pause)
        between()
        while sent < len(came):
            process.send_signal(signals[min(sent, 2)])
            sent += 1


class Bar:
    """How far a run is: time of the flow or of SGD, as the program says it, or members of a sweep, as its file does."""

    def __init__(self, path: Path, shown: bool) -> None:
        self.path, self.bar, self.looked = path, None, 0.0
        if shown:
            with contextlib.suppress(ImportError), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a notebook without widgets, where a line of text does
                from tqdm.auto import tqdm
                self.bar = tqdm(total=1.0, leave=False, desc=path.stem, delay=0.3,
                                bar_format="{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}")

    def update(self, tail: str) -> None:
        if self.bar is None:
            return
        if found := AT.findall(tail):
            what, t, end, quantity, value = found[-1]
            self.show(float(t) / float(end), f"{what}: t = {t} of {end}, {quantity} {value}")
        elif time.monotonic() - self.looked > 2 and self.path.exists():
            self.looked = time.monotonic()
            with contextlib.suppress(Error, OSError, KeyError):
                data = Data(self.path)
                with contextlib.closing(data):
                    if "sweep/done" in data:
                        done = data.file["sweep/done"][()]
                        self.show((done != 0).mean(), f"{(done != 0).sum()} of {done.size} members")

    def show(self, part: float, text: str) -> None:
        self.bar.n = min(max(part, 0.0), 1.0)
        self.bar.set_postfix_str(text)

    def finish(self) -> None:
        if self.bar is not None:
            self.show(1.0, "")

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()
