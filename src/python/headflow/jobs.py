"""Runs in a queue of Slurm."""
import contextlib
import os
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from headflow.errors import LaunchError, NumericalError
from headflow.inputs import Input, is_text, path_text, read, toml_text
from headflow.program import job_script, program
from headflow.result import Result
from headflow.runs import Source, check, identity, output_of, whole, word_list


def _ask(*words: str, **variables: str) -> str:
    """What a command of Slurm prints. Throws LaunchError."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                              env=os.environ | variables)
    except OSError as error:
        raise LaunchError(f"{words[0]}: {error.strerror}; is this a machine with Slurm?") from None
    if done.returncode:
        raise LaunchError(f"{' '.join(words)}: {' '.join(done.stderr.split()) or done.returncode}")
    return done.stdout.strip()


# Of a job that has not ended.
GOING_ON = ("PENDING", "RUNNING", "CONFIGURING", "COMPLETING", "REQUEUED", "SUSPENDED", "REQUEUE_HOLD", "SPECIAL_EXIT",
            "RESIZING", "SIGNALING", "STAGE_OUT")


class Job(NamedTuple):
    """A run in the queue.

    Attributes
    ----------
    id : str
        Its number in Slurm.
    input, output : Path
        The files that it reads and writes.
    """
    id: str
    input: Path
    output: Path

    @property
    def status(self) -> str:
        """Slurm's word, such as "PENDING", "RUNNING" or "COMPLETED"; "UNKNOWN" where Slurm has forgotten the job."""
        try:
            # All states: of a job that is being put back squeue shows nothing otherwise.
            if state := _ask("squeue", "--noheader", "--states=all", "--jobs", self.id, "--format", "%T"):
                return state.split()[0]
        except LaunchError as error:
            if "Invalid job id" not in str(error):
                raise
        try:
            states = _ask("sacct", "--noheader", "--allocations", "--jobs", self.id, "--format", "State%30").split()
        except LaunchError:  # a cluster without accounting
            states = []
        if states:
            return states[0]
        try:
            return "COMPLETED" if Result(self.output).status == "finished" else "UNKNOWN"
        except OSError:
            return "UNKNOWN"

    @property
    def result(self) -> Result:
        """The output as it is now; a job that runs replaces it every few seconds. Throws FileError before there is
        one."""
        return Result(self.output)

    def wait(self, every: float = 10.0) -> Result:
        """Until the job has ended, asking every so many seconds. Throws LaunchError unless its output is finished."""
        for _ in range(3):  # a job that Slurm puts back has another state for a moment
            while (status := self.status) in GOING_ON:
                time.sleep(every)
            if status == "COMPLETED":
                break
            time.sleep(min(every, 2.0))
        try:
            result = Result(self.output)
        except OSError as error:
            raise LaunchError(f"job {self.id} has ended ({status}): {error}") from error
        if result.status != "finished":
            raise NumericalError(f"job {self.id} has ended ({status}), its output is {result.status}: "
                                 f"{result.provenance.get('stopped', '')}")
        return result

    def cancel(self) -> None:
        """End the job; what it has saved, the same call of `submit` goes on from."""
        _ask("scancel", self.id)


@contextlib.contextmanager
def _kept(file: Path, text: str) -> Iterator[None]:
    """An input in its file; as before where the job was not taken."""
    before = file.read_bytes() if file.exists() else None
    file.write_text(text, encoding="utf-8")
    try:
        yield
    except BaseException:
        file.write_bytes(before) if before is not None else file.unlink(missing_ok=True)
        raise


def submit(input: Source, output: str | PathLike | None = None, *, ranks: int = 8, time: str | None = None,
           script: str = "run.sh", slurm: str | Sequence[str] = (), options: str | Sequence[str] = ()) -> Job:
    """Put a run into the queue of Slurm, where it goes on over as many jobs as it takes.

    Parameters
    ----------
    input : dict, Input, path or str
        {section: {key: value}}, a TOML file, or its text. It is checked first, and kept beside the output.
    output : path, optional
        As in `run`.
    ranks : int
        MPI ranks.
    time : str, optional
        Limit of one job, "04:00:00".
    script : str
        Of the folder jobs: "run.sh" starts with mpirun, "srun.sh" with srun.
    slurm, options : list of str, or str
        Words for sbatch, such as ["--partition=long"]; further words for headflow run.
    """
    ranks, slurm, options = whole("ranks", ranks), word_list("slurm", slurm), word_list("options", options)
    report = check(input, output)
    by_name = isinstance(input, (str, PathLike)) and not is_text(input)
    stem = Path(input).stem if by_name else "headflow"
    path = output_of(input, output, stem, identity(report.input, options))
    text = Path(input).read_text(encoding="utf-8") if by_name else \
        input if isinstance(input, str) else toml_text(Input(read(input)))
    file = path.with_name(f"{path.name.removesuffix('.h5')}.toml")
    words = ["sbatch", "--parsable", f"--ntasks={ranks}", *([f"--time={time}"] if time else []), *slurm,
             job_script(path_text("script", script)), str(file), "--output", str(path), *options]
    with _kept(file, text):
        number = re.match(r"\d+", _ask(*words, HEADFLOW=program()))
        if not number:
            raise LaunchError("sbatch gave no number of a job")
    return Job(number[0], file.absolute(), path.absolute())
