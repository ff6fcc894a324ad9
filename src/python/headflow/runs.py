"""Checking and running an input."""
import contextlib
import hashlib
import itertools
import json
import operator
import os
import re
import shlex
import signal
import subprocess
import tempfile
import threading
import time
import tomllib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from headflow.errors import (Error, FileError, HeadflowWarning, InputError, LaunchError, NumericalError, Stopped)
from headflow.files import Data
from headflow.inputs import Input, is_text, read, toml_text
from headflow.program import environment, program, table
from headflow.result import Result

KINDS: dict[int, type[Error]] = {2: InputError, 3: NumericalError, 4: FileError, 75: Stopped}
AT = re.compile(r"t = (\S+) of ([^\s,]+), loss (\S+),")
SESSIONS = itertools.count()
Source = Mapping[str, Any] | str | PathLike


class Report(NamedTuple):
    """What a run would do.

    Attributes
    ----------
    input : dict
        {section: {key: value}} with every default.
    cost : dict of str
        Estimates of time and memory, as the program words them.
    warnings : list of str
        What should be known before the run.
    text : str
        All of it, as ``headflow check`` prints it.
    """
    input: dict[str, dict[str, Any]]
    cost: dict[str, str]
    warnings: list[str]
    text: str

    def __repr__(self) -> str:
        return self.text


class Case(NamedTuple):
    """An input as a file for the program, and what to call it."""
    path: str
    stem: str
    shown: str  # instead of the path in messages

    def words(self, command: str, output: str | PathLike | None) -> list[str]:
        return [program(), command, self.path, *(["--output", os.fspath(output)] if output is not None else [])]


@contextlib.contextmanager
def as_file(source: Source) -> Iterator[Case]:
    """A dict, an Input or a text in a file that is there for a while; a file as it is."""
    if isinstance(source, (str, PathLike)) and not is_text(source):
        yield Case(os.fspath(source), Path(source).stem, os.fspath(source))
        return
    text = source if isinstance(source, str) else toml_text(Input(read(source)))
    with tempfile.TemporaryDirectory(prefix="headflow-") as folder:
        path = Path(folder, "headflow.toml")
        path.write_text(text, encoding="utf-8")
        yield Case(str(path), "headflow", "input")


def check(input: Source, output: str | PathLike | None = None) -> Report:
    """Validate an input, and tell what it would cost. Nothing is run or written.

    Parameters
    ----------
    input : dict, Input, path or str
        {section: {key: value}}, a TOML file, or its text.
    output : path, optional
        The file that the run would write.

    Raises
    ------
    InputError
        What was found, what is allowed, and where.
    """
    with as_file(input) as case:
        return _check(case, output)


def _check(case: Case, output: str | PathLike | None) -> Report:
    words = case.words("check", output or f"{case.stem}.h5")
    done = subprocess.run(words, capture_output=True, text=True, env=environment(), stdin=subprocess.DEVNULL)
    if done.returncode:
        raise failure(done.returncode, done.stdout, done.stderr, case, words)
    costs = re.findall(r"^# (.{25}\S*) +(.*)$", done.stdout, re.MULTILINE)
    return Report(tomllib.loads(done.stdout),
                  {name.strip(): text for name, text in costs if not name.startswith("warning: ")},
                  re.findall(r"^# warning: (.*)$", done.stdout, re.MULTILINE), done.stdout)


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
    return LaunchError(f"{shlex.join(words)} {how}: {message or both.strip()[-2000:] or 'it said nothing'}")


def identity(resolved: Mapping[str, Mapping[str, Any]], options: Sequence[str] = ()) -> str:
    """Of what decides about the results: 16 hexadecimal digits. Where and how often is written does not."""
    known = table()
    decides = {section: {key: value for key, value in keys.items()
                         if section not in known or key not in known[section].keys or known[section].keys[key].decides}
               for section, keys in resolved.items()}
    start = resolved.get("start", {}).get("file")
    contents = Path(start).read_bytes() if start else b""
    texts = [json.dumps(decides, sort_keys=True), os.environ.get("PETSC_OPTIONS", ""), *options]
    return hashlib.sha256("\0".join(texts).encode() + contents).hexdigest()[:16]


def _same(path: Path, wanted: str) -> bool:
    """Whether a finished file is of that input."""
    try:
        data = Data(path)
        with contextlib.closing(data):
            return "finished" in data.provenance() and identity(data.toml("provenance/input")) == wanted
    except (Error, OSError):
        return False


def whole(ranks: Any) -> int:
    """A number of ranks. Throws InputError for what is none."""
    with contextlib.suppress(TypeError):
        if (number := operator.index(ranks)) >= 1:
            return number
    raise InputError(f"ranks = {ranks!r}: a whole number is needed, one or more")


def word_list(name: str, words: str | Sequence[Any]) -> list[str]:
    """Words of a command line, a text as a shell splits it. Throws InputError for an open quotation."""
    try:
        return shlex.split(words) if isinstance(words, str) else [str(word) for word in words]
    except ValueError as error:
        raise InputError(f"{name} = {words!r}: {error}") from None


def launch_words(launcher: str | Sequence[str] | None, ranks: int) -> list[str]:
    """What starts so many ranks: mpirun, or none for one rank; "{ranks}" in words of one's own becomes their number."""
    if launcher is None:
        return [] if ranks == 1 else ["mpirun", "-n", str(ranks)]
    words = word_list("launcher", launcher)
    if any("{ranks}" in word for word in words):
        return [word.replace("{ranks}", str(ranks)) for word in words]
    return [*words, "-n", str(ranks)] if words else []


def run(input: Source, output: str | PathLike | None = None, ranks: int = 1,
        launcher: str | Sequence[str] | None = None, restart: str | PathLike = "auto", *, progress: bool = True,
        options: str | Sequence[str] = ()) -> Result:
    """Run an input once, and find its finished file again.

    Parameters
    ----------
    input : dict, Input, path or str
        {section: {key: value}}, a TOML file, or its text.
    output : path, optional
        The file to write. Without, its name ends with the identity of the input, NAME-3f29c0e1a4b75d68.h5: of the
        values that decide about the results, whichever way they are written. It is then found again.
    ranks : int
        MPI ranks, which change the time but not the results.
    launcher : str or list of str, optional
        What starts them, if not mpirun: "srun", or words with "{ranks}" for their number.
    restart : str or path
        "auto": a finished file of this input is opened, and a run that was stopped goes on. "none": begin anew, replace
        the file. Or a checkpoint's path.
    progress : bool
        Whether to show a bar (where tqdm is installed).
    options : list of str, or str
        Further words of the command line, such as ["-flow_ts_rk_type", "3bs"] or ["--max-walltime", "01:00:00"].

    Returns
    -------
    Result
        The opened file.

    Raises
    ------
    InputError, NumericalError, FileError
        With the program's message.
    Stopped
        The run was told to stop from elsewhere. Its state is saved, and the same call goes on.
    LaunchError
        The program or the launcher was not found, or killed.
    KeyboardInterrupt
        After Ctrl-C, once the state is saved: the same call goes on.

    Examples
    --------
    >>> result = headflow.run({"model": {"tokens": 4, "prior": "flipping-spike", "signal": [2.0, 2.0]},
    ...                        "attention": {"heads": 2}}, ranks=2)
    >>> result.flow.loss_stderr.max().item()
    """
    ranks = whole(ranks)
    restart, options = os.fspath(restart), word_list("options", options)
    with as_file(input) as case:
        # Its folder need not be writable to find a file there; of one that must be, the run tells.
        report = _check(case, Path(tempfile.gettempdir(), "headflow.h5"))
        name = identity(report.input, options)
        path = Path(f"{case.stem}-{name}.h5" if output is None else output)
        own = restart == "auto" and not options and not os.environ.get("PETSC_OPTIONS")
        if own and "file" not in report.input.get("start", {}) and _same(path, name):
            return Result(path)
        for text in report.warnings:
            warnings.warn(text, HeadflowWarning, stacklevel=2)
        words = [*launch_words(launcher, ranks), *case.words("run", path),
                 *(["--force"] if restart == "none" else ["--restart", restart]), *options]
        _execute(words, case, path, progress)
    return Result(path)


def _execute(words: list[str], case: Case, path: Path, progress: bool) -> None:
    """Run the program to its end. Its words go into files: should this process die, the run does not notice."""
    session = f"{tempfile.gettempdir()}/headflow-{os.getuid()}-{os.getpid()}-{next(SESSIONS)}"
    variables = {"OMPI_MCA_orte_top_session_dir": session} | environment() | {"HEADFLOW_PROGRESS": "0.2"}
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors, Bar(path, progress) as bar, \
            _interrupts() as came:
        try:
            # A session of its own, so that Ctrl-C comes to this process alone.
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, env=variables,
                                       start_new_session=True)
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
            t, end, loss = found[-1]
            self.show(float(t) / float(end), f"t = {t} of {end}, loss {loss}")
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


def _values(key: str, values: Any) -> dict[str, Any] | list[Any]:
    """Of one axis of a sweep."""
    if isinstance(values, Mapping):
        return dict(values)
    with contextlib.suppress(TypeError):
        if not isinstance(values, (str, bytes)):
            return list(values)
    raise InputError(f"sweep over {key}: a list of values or a range is needed; found {values!r}")


def sweep(input: Source, axes: Mapping[str, Any], output: str | PathLike | None = None, *, repeats: int = 1,
          zip: Sequence[Sequence[str]] = (), **options: Any) -> Result:
    """Run an input for all values of some keys; see `run` for the other parameters.

    Parameters
    ----------
    input : dict, Input, path or str
        What all members share.
    axes : dict
        {"section.key": values}: the members are their product. A value may be a range, {"from": 1, "to": 10, "count":
        5, "spacing": "log"}.
    repeats : int
        Each member so many times, with other seeds.
    zip : list of lists of str
        Keys that vary together.

    Examples
    --------
    >>> heads = headflow.sweep(case, {"attention.heads": [1, 2, 4], "start.seed": range(5)}, ranks=2)
    >>> heads.flow.loss.mean("start_seed")
    """
    case = Input(read(input))
    case["sweep"] = {key: _values(key, values) for key, values in axes.items()}
    if repeats != 1:
        case["sweep"]["repeats"] = repeats
    if zip:
        case["sweep"]["zip"] = [list(keys) for keys in zip]
    return run(case, output, **options)
