"""Where the program is, and what it says of itself."""
import functools
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from headflow.errors import LaunchError

HERE = Path(__file__).resolve().parent


def candidates() -> list[Path]:
    """Where the program may be beside this package: in a build folder, installed, in the sources."""
    prefix = HERE.parents[3]
    return [HERE.parents[1] / "headflow", prefix / "bin/headflow", HERE.parents[2] / "build/release/headflow"]


def program() -> str:
    """The program's path. Throws LaunchError where there is none."""
    if given := os.environ.get("HEADFLOW"):
        if found := shutil.which(given):
            return str(Path(found).absolute())
        raise LaunchError(f"HEADFLOW={given}: no such program")
    for path in candidates():
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
    if found := shutil.which("headflow"):
        return found
    raise LaunchError("the program headflow is not found: put the folder that has it into PATH, or name it in the "
                      "environment variable HEADFLOW")


def job_script(name: str) -> str:
    """A script of jobs/, beside the program that is used or in its sources."""
    where = Path(program()).resolve().parent
    for folder in (where.parent / "share/headflow/jobs", where.parents[1] / "jobs", HERE.parents[2] / "jobs"):
        if (folder / name).is_file():
            return str(folder / name)
    raise LaunchError(f"the job script {name} is not found beside {program()}")


def environment() -> dict[str, str]:
    """This one, made fit for root, who one is in a container: Open MPI wants two variables set."""
    root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"} if os.geteuid() == 0 else {}
    return root | os.environ


def version() -> str:
    """What the program says that it is, as in the provenance of its files."""
    done = subprocess.run([program(), "--version"], capture_output=True, text=True, env=environment(),
                          stdin=subprocess.DEVNULL)
    return done.stdout.strip()


class KnownKey(NamedTuple):
    """A key of the input, its help, the words that it may be, and whether anything in the results depends on it."""
    help: str
    words: tuple[str, ...]
    decides: bool


class KnownSection(NamedTuple):
    help: str
    keys: dict[str, KnownKey]


@functools.cache
def _table(path: str) -> dict[str, KnownSection]:
    done = subprocess.run([path, "documentation", "keys"], capture_output=True, text=True, env=environment(),
                          stdin=subprocess.DEVNULL)
    try:
        rows = json.loads(done.stdout)
    except ValueError:
        reason = " ".join(done.stderr.split()) or done.returncode
        raise LaunchError(f"{path} does not tell its keys: {reason}") from None
    sections: dict[str, KnownSection] = {}
    for row in rows:
        if row["key"].startswith('"'):  # an axis of [sweep], whose name is that of any key
            section = sections[row["section"]]
            sections[row["section"]] = section._replace(help=f"{section.help}. {row['key']}: {row['help']}")
        elif row["key"]:
            sections[row["section"]].keys[row["key"]] = KnownKey(row["help"], tuple(row["words"]), row["decides"])
        else:
            sections[row["section"]] = KnownSection(row["help"], {})
    return sections


def table() -> dict[str, KnownSection]:
    """The sections of an input with their keys, as the program itself declares them."""
    return _table(program())
