"""What same_bits.py keeps of a case: what calls print, and a hash of every dataset of every file that they write."""
import hashlib
import re
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from bits_steps import Case
from harness import command, environment, execute
from sgd_harness import SPEED

SLOWEST = 300  # seconds after which a call counts as hanging

# Wall times; everything else has the same bits whenever it is computed (found by running all cases twice).
TIMINGS = {f"sgd/{SPEED}", "sweep/seconds"}
# The texts of /provenance that say what was computed, not when, where and by which build.
LASTING = "input", "sweep", "failures", "solver_options", "start_hash"


def digest(*parts):
    """The first 16 hex digits of the sha256 of bytes and of anything that is written the same everywhere."""
    found = hashlib.sha256()
    for part in parts:
        part = part if isinstance(part, bytes) else repr(part).encode()
        found.update(f"{len(part)}:".encode() + part)
    return found.hexdigest()[:16]


def attributes_of(thing, without=()):
    """[(name, text)] of a file, group or dataset."""
    return [(name, str(np.asarray(value).astype(str))) for name, value in sorted(thing.attrs.items())
            if name not in without]


def dataset_hash(data, timing):
    """Of kind, shape and bits (of a timing without these); after a space, of attributes, axes and place in the file."""
    bits = b"" if timing else np.ascontiguousarray(data[()]).tobytes()
    links = "DIMENSION_LIST", "REFERENCE_LIST"  # addresses in the file, which `axes` says by name
    axes = [[scale.name for scale in axis.values()] for axis in data.dims]
    about = digest(attributes_of(data, links), axes, data.maxshape, data.chunks)
    return f"{digest(data.dtype.str, data.shape, bits)} {about}"


def file_hashes(path):
    """{group/name: hash} of an HDF5 file, and what its groups hold, in the order in which they do.

    Of a sweep that order is left out: it is that in which members ended, whose variables may not be the same.
    """
    found = {}
    with h5py.File(path, "r") as file:
        found["attributes"] = digest(attributes_of(file, ["version"]))
        found["groups"] = " ".join(file)
        for name, group in file.items():
            if name == "provenance":
                found["provenance"] = " ".join(sorted(group))
                found |= {f"provenance/{text}": digest(group[text].asstr()[()]) for text in LASTING if text in group}
                continue
            found[f"{name}/order"] = digest(sorted(group) if "sweep" in file else list(group), attributes_of(group))
            found |= {f"{name}/{key}": dataset_hash(data, f"{name}/{key}" in TIMINGS) for key, data in group.items()}
    return found


def without_times(text):
    """What a run prints, without its times, its progress every half minute and what Open MPI says by itself."""
    text = re.sub(r"^-{60,}\n(?s:.*?)^-{60,}\n|^\[\S+:\d+\] .*\n", "", text, flags=re.M)
    text = re.sub(r"^headflow: (\w+: t = \S+ of .* left( not yet known)?|sweep: \d+ of \d+ members, .* left)\n", "",
                  text, flags=re.M)
    return re.sub(r", \S+ s$|(?<= sequences of )\S+ us, \S+ s(?= with outputs)", "..", text, flags=re.M)


def printed(words, text):
    """Lines: of `check` the resolved input without its estimates, of `info` the datasets that are no timings."""
    lines = without_times(text).splitlines()
    if words[:1] == ("check",):
        return [line for line in lines if not line.startswith("#")]
    if words[:1] == ("info",):
        return [line for line in lines if re.match(r"\[|  \w+/", line) and not any(name in line for name in TIMINGS)]
    return lines


class Outcome(NamedTuple):
    """What a case left on some ranks: {what: value}, values texts or lists of lines; and what went wrong."""
    case: Case
    ranks: int
    entries: dict
    problems: list
    seconds: float

    @property
    def name(self):
        return f"{self.case.name} @{self.ranks or 1}"


def surroundings(traces):
    """The environment of runs whose traces stay in a folder, out of the way of any other run on this host.

    Without mpiexec Open MPI would start a daemon, which takes longer than most of the runs.
    """
    return environment(TMPDIR=str(traces), OMPI_MCA_btl_vader_backing_directory=str(traces),
                       OMPI_MCA_ess_singleton_isolated="1")


def versions(folder):
    """{path: what changes when it is written anew} of the files in a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in sorted(files)}


def take(folder, env, step, ranks):
    """Runs a step; its entries, and what is wrong with them."""
    ranks = ranks if step.ranks is None else step.ranks
    before = versions(folder)
    done = execute(folder, command(*step.words, ranks=ranks), timeout=SLOWEST, env=env)
    after = versions(folder)
    entries = {"exit code": str(done.returncode), "output": printed(step.words, done.stdout),
               "errors": without_times(done.stderr).splitlines(),
               "files": " ".join(str(path.relative_to(folder)) for path in after)}
    for path in after:
        if after[path] != before.get(path) and path.suffix == ".h5":
            entries |= {f"{path.name}/{key}": value for key, value in file_hashes(path).items()}
    if step.code in (None, done.returncode):
        return entries, []
    return entries, [f"{' '.join(step.words)}: exit code {done.returncode}, not {step.code}: {done.stderr.strip()}"]


def perform(case, ranks):
    """All steps of a case in a folder of its own."""
    begin = time.monotonic()
    entries, problems = {}, []
    with tempfile.TemporaryDirectory(prefix="same-bits-") as name:
        folder, traces = Path(name) / "case", Path(name) / "traces"
        traces.mkdir()
        for file, text in case.files.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text, errors="surrogateescape")
        folder.mkdir(exist_ok=True)
        for number, step in enumerate(case.steps, 1):
            new, wrong = take(folder, surroundings(traces), step, ranks)
            entries |= {f"step {number}: {key}": value for key, value in new.items()}
            problems += wrong
    return Outcome(case, ranks, entries, problems, time.monotonic() - begin)
