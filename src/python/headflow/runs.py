"""Checking and running an input."""
import contextlib
import hashlib
import json
import operator
import os
import re
import shlex
import subprocess
import tempfile
import tomllib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from headflow.errors import Error, HeadflowWarning, InputError
from headflow.execution import Case, execute, failure
from headflow.files import Data
from headflow.inputs import Input, is_text, path_text, read, toml_text
from headflow.program import environment, table, version
from headflow.result import Result

CHOICES = '"auto", "none" or the path of a checkpoint'
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
    words = case.words("check", f"{case.stem}.h5" if output is None else path_text("output", output))
    done = subprocess.run(words, capture_output=True, text=True, env=environment(), stdin=subprocess.DEVNULL)
    if done.returncode:
        raise failure(done.returncode, done.stdout, done.stderr, case, words)
    costs = re.findall(r"^# (.{25}\S*) +(.*)$", done.stdout, re.MULTILINE)
    return Report(tomllib.loads(done.stdout),
                  {name.strip(): text for name, text in costs if not name.startswith("warning: ")},
                  re.findall(r"^# warning: (.*)$", done.stdout, re.MULTILINE), done.stdout)


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


def whole(name: str, count: Any) -> int:
    """A number of ranks or repeats. Throws InputError for what is none."""
    with contextlib.suppress(TypeError):
        if (number := operator.index(count)) >= 1:
            return number
    raise InputError(f"{name} = {count!r}: a whole number is needed, one or more")


def word_list(name: str, words: str | Sequence[Any]) -> list[str]:
    """Words of a command line, a text as a shell splits it. Throws InputError for an open quotation, or no words."""
    try:
        if isinstance(words, str):
            return shlex.split(words)
    except ValueError as error:
        raise InputError(f"{name} = {words!r}: {error}") from None
    if isinstance(words, (list, tuple)) and all(isinstance(word, (str, PathLike, int, float)) for word in words):
        return [str(word) for word in words]
    raise InputError(f"{name} = {words!r}: a text or a list of words is needed")


def output_of(source: Source, output: str | PathLike | None, stem: str, name: str) -> Path:
    """The file to write: as is asked for, else by [output] file of a checked input, else named by its identity."""
    given = read(source).get("output", {}).get("file") if output is None else output
    return Path(f"{stem}-{name}.h5" if given is None else path_text("output", given))


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
        The file to write, if not that of the input's ``[output] file``. Without either, its name ends with the
        identity of the input, NAME-3f29c0e1a4b75d68.h5: of the values that decide about the results, whichever way
        they are written. It is then found again.
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
        Another program has stopped the run. Its state is saved, and the same call goes on.
    LaunchError
        The program or the launcher was not found, or killed. Its notes have all that they said.
    KeyboardInterrupt
        After Ctrl-C, once the state is saved: the same call goes on. So does a run whose Python was killed: it saves
        its state and stops.

    Examples
    --------
    >>> result = headflow.run({"model": {"tokens": 4, "prior": "flipping-spike", "signal": [2.0, 2.0]},
    ...                        "attention": {"heads": 2}}, ranks=2)
    >>> result.flow.loss_stderr.max().item()
    """
    ranks, options = whole("ranks", ranks), word_list("options", options)
    launch = launch_words(launcher, ranks)
    restart = path_text("restart", restart, CHOICES)
    if restart not in ("auto", "none") and not os.path.exists(restart):
        raise InputError(f"restart = {restart!r}: no such file; {CHOICES} is needed")
    with as_file(input) as case:
        # Its folder need not be writable to find a file there; of one that must be, the run tells.
        report = _check(case, Path(tempfile.gettempdir(), "headflow.h5"))
        name = identity(report.input, options)
        path = output_of(input, output, case.stem, name)
        own = restart == "auto" and not options and not os.environ.get("PETSC_OPTIONS")
        if own and "file" not in report.input.get("start", {}) and _same(path, name):
            found = Result(path)
            before, now = found.provenance.get("version"), version()
            if before not in (None, now):
                warnings.warn(f"{path} is by another build, {before}, and this is {now}: if the code of the model has "
                              "changed, restart='none' computes anew", HeadflowWarning, stacklevel=2)
            return found
        for text in report.warnings:
            warnings.warn(text, HeadflowWarning, stacklevel=2)
        words = [*launch, *case.words("run", path),
                 *(["--force"] if restart == "none" else ["--restart", restart]), *options]
        execute(words, case, path, progress)
    return Result(path)


def _values(key: str, values: Any) -> dict[str, Any] | list[Any]:
    """Of one axis of a sweep."""
    if isinstance(values, Mapping):
        return dict(values)
    with contextlib.suppress(TypeError):
        if not isinstance(values, (str, bytes)):
            return list(values)
    raise InputError(f"sweep over {key}: a list of values or a range is needed; found {values!r}")


def _axes(axes: Any) -> dict[str, Any]:
    """Of a sweep."""
    if isinstance(axes, Mapping):
        return {key: _values(key, values) for key, values in axes.items()}
    raise InputError(f"axes = {axes!r}: a dict is needed, {{\"section.key\": values}}")


def _zipped(zip: Any) -> list[list[str]]:
    """Keys that vary together."""
    if isinstance(zip, (list, tuple)) and all(
            isinstance(keys, (list, tuple)) and all(isinstance(key, str) for key in keys) for keys in zip):
        return [list(keys) for keys in zip]
    raise InputError(f"zip = {zip!r}: a list of lists is needed, [[\"section.key\", \"section.other\"]]")


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
    case["sweep"] = _axes(axes)
    if whole("repeats", repeats) != 1:
        case["sweep"]["repeats"] = repeats
    if zipped := _zipped(zip):
        case["sweep"]["zip"] = zipped
    return run(case, output, **options)
