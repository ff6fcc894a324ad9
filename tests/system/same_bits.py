"""Has a change of the program changed a bit? Runs many small inputs and keeps a hash of every dataset of every file.

    same_bits.py record HASHES.json [--program PATH] [--only PATTERN] [--jobs N]     keeps what the program does now
    same_bits.py compare HASHES.json [..]     exit code 0 if it still does the same, 1 with a list of what differs

What is kept of a call: its exit code, what it prints (but for times), the names of the files it leaves, and of every
output, checkpoint and weights file that it wrote the hashes of all datasets, attributes and axes. Wall times and most
texts of `provenance` are left out. Both commands also check what headflow promises: the same bits on 1 and 3 ranks, of
runs that went on, and of sweeps in parts.

The bits depend on the processor, the compiler and the libraries, so HASHES.json is of one machine and is not part of
the repository: record with the program before the change, compare with the one after it, both with the same inputs and
tests. It takes two to three minutes on two idle cores. The program is $HEADFLOW, else build/release/headflow; needed is
an interpreter with h5py, such as Debian's /usr/bin/python3.
"""
import argparse
import difflib
import fnmatch
import json
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import harness
from bits_gallery import gallery
from bits_hashes import perform
from bits_messages import messages
from bits_restarts import restarts
from bits_runs import runs


def all_cases():
    cases = [*gallery(), *runs(), *restarts(), *messages()]
    names = [case.name for case in cases]
    if twice := {name for name in names if names.count(name) > 1}:
        sys.exit(f"same_bits.py: two cases have the same name: {sorted(twice)}")
    return cases


def data_of(outcome):
    """The entries that are datasets."""
    return {key: value for key, value in outcome.entries.items() if ".h5/" in key and "/provenance" not in key}


def last_output(outcome):
    """{group/name: hash} of case.h5 as the last step that wrote it left it."""
    found = {}
    for key, value in data_of(outcome).items():
        step, _, name = key.partition(": case.h5/")
        if name:
            found.setdefault(step, {})[name] = value
    return found[max(found, key=lambda step: int(step.split()[1]))] if found else {}


def differing(old, new):
    """Names of the entries of two dictionaries that are not the same, and of those of one alone."""
    return sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))


def broken_promises(outcomes):
    """Lines about runs that do not have the bits of others that are to have the same."""
    by_name = {outcome.name: outcome for outcome in outcomes}
    lines = []
    for outcome in outcomes:
        case = outcome.case
        alone = by_name.get(f"{case.name} @1")
        if case.promised and outcome.ranks and alone:
            lines += [f"{outcome.name}: not the bits of one rank: {key}"
                      for key in differing(data_of(alone), data_of(outcome))]
        model = by_name.get(f"{case.like} @1")
        if model:
            lines += [f"{outcome.name}: not the bits of {model.name}: {key}"
                      for key in differing(last_output(model), last_output(outcome))]
    return lines


def described(where, old, new):
    """Lines about an entry that is not what it was."""
    if old is None or new is None:
        return [f"{where}: {'new' if old is None else 'missing'}"]
    if isinstance(old, str) and isinstance(new, str):
        return [f"{where}: {old} -> {new}"]
    lines = [line for line in difflib.ndiff(old, new) if line[0] in "-+"]
    return [f"{where}: other text, before (-) and now (+)", *(f"    {line}" for line in lines)]


def differences(old, new):
    """Lines about two {run: entries}."""
    lines = []
    for run_name in differing(old, new):
        if run_name not in old or run_name not in new:
            lines.append(f"{run_name}: {'new' if run_name not in old else 'missing'}")
            continue
        for key in differing(old[run_name], new[run_name]):
            lines += described(f"{run_name}: {key}", old[run_name].get(key), new[run_name].get(key))
    return lines


def chosen(name, pattern):
    return fnmatch.fnmatchcase(name, f"*{pattern}*")


def perform_all(cases, jobs, verbose):
    """Outcomes of all cases on all their ranks, `jobs` at a time."""
    def one(work):
        outcome = perform(*work)
        if verbose:
            print(f"{outcome.seconds:6.2f} s  {outcome.name}", flush=True)
        return outcome

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(one, [(case, ranks) for case in cases for ranks in case.ranks]))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("command", choices=["record", "compare"])
    parser.add_argument("hashes", type=Path, metavar="HASHES.json")
    parser.add_argument("--program", type=Path, help="the program instead of $HEADFLOW")
    parser.add_argument("--only", default="", metavar="PATTERN",
                        help="cases with this in their names; * and ? as in a shell")
    parser.add_argument("--jobs", type=int, default=2, help="how many programs run side by side (default 2)")
    parser.add_argument("--verbose", action="store_true", help="tell the seconds of every case")
    return parser.parse_args()


def main():
    options = arguments()
    if options.program:
        harness.PROGRAM = options.program.absolute()
    if not shutil.which(harness.PROGRAM):
        sys.exit(f"same_bits.py: no program {harness.PROGRAM}")
    before = json.loads(options.hashes.read_text()) if options.command == "compare" else {}
    begin = time.monotonic()
    outcomes = perform_all([case for case in all_cases() if chosen(case.name, options.only)], options.jobs,
                           options.verbose)
    now = {outcome.name: outcome.entries for outcome in outcomes}
    lines = [f"{outcome.name}: {problem}" for outcome in outcomes for problem in outcome.problems]
    lines += broken_promises(outcomes)
    if options.command == "record":
        options.hashes.write_text(json.dumps(now, indent=1))
    else:
        lines += differences({name: entries for name, entries in before.items()
                              if chosen(name.rpartition(" @")[0], options.only)}, now)
    print(*lines, sep="\n", end="\n" if lines else "")
    datasets = sum(len(data_of(outcome)) for outcome in outcomes)
    print(f"{options.command}: {len({outcome.case.name for outcome in outcomes})} cases, {len(outcomes)} runs of them, "
          f"{datasets} hashes of datasets, {time.monotonic() - begin:.0f} s: "
          f"{f'{len(lines)} lines above' if lines else 'all is well'}")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
