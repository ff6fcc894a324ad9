"""Tries headflow and headflow-plot with what nobody thought of: inputs, command lines, files and names, made at random.

    cd build/release; HEADFLOW=./headflow HEADFLOW_PLOT=./headflow-plot HEADFLOW_MANY=tests/fuzz/many_commands \\
        /usr/bin/python3 ../../tests/fuzz/fuzz.py [--seconds 60] [--seed 1] [--kind inputs] [--only 7] [--keep FOLDER]

Of each command line: no crash, no hang, a documented exit code, one line of message when it fails, warnings alone when
it does not, nothing overwritten that it was not asked to replace, nothing left open; and what `check` prints is the
same input again. First come the inputs and command lines in corpus/, each of which once failed. A try is known by kind
and number: --kind and --only repeat it. Prints a table; exit code 1 when anything was found, kept in FOLDER.
"""
import argparse
import json
import os
import random
import re
import shlex
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from answers import BAD_INPUT, FILE_FAILURE, FINISHED, NUMERICAL, STOPPED, Driver, content, faults_in
from inputs import random_of, small_input
from harness import toml_text
from kind_commands import Commands
from kind_files import Files
from kind_inputs import Inputs
from kind_names import Names
from kind_plots import Plots

CORPUS = Path(__file__).resolve().parent / "corpus"
KINDS = {"inputs": Inputs, "commands": Commands, "files": Files, "names": Names, "plots": Plots}


class Fuzzer:
    def __init__(self, folder, keep, seed):
        self.drivers, self.folder, self.keep, self.seed = {}, folder, keep, seed
        self.codes = {name: Counter() for name in ("corpus", *KINDS)}
        self.found = []

    def fault(self, kind, number, folder, words, faults):
        self.found.append((kind, number))
        where = self.keep / f"{kind}-{self.seed}-{number}"
        shutil.copytree(folder, where, symlinks=True, dirs_exist_ok=True, ignore=lambda at, names: [
            name for name in names if not (os.path.isfile(f"{at}/{name}") or os.path.isdir(f"{at}/{name}"))])
        text = "\n".join([shlex.join(words).encode(errors="backslashreplace").decode(), *faults])
        (where / "faults.txt").write_text(text + "\n")
        print(f"{kind} {number}: {text}".encode(errors="backslashreplace").decode(), flush=True)

    def ask(self, driver, folder, words):
        """The answer of the program of that kind of driver, which is started once."""
        if driver not in self.drivers:
            self.drivers[driver] = driver()
        return self.drivers[driver].ask(folder, words)

    def carry_out(self, kind, number, folder, words, driver=Driver):
        """One command line; its answer."""
        before = content(folder)
        answer = self.ask(driver, folder, words)
        self.codes[kind][answer.code] += 1
        faults = faults_in(driver, answer, words, before, content(folder))
        if answer.code == FINISHED and words[:1] == ["check"] and not faults and "--members" not in words:
            faults = self.reads_back(folder, answer.output)
        if faults:
            self.fault(kind, number, folder, [driver.name, *words], faults)
        return answer

    def reads_back(self, folder, output):
        """[what is wrong when what `check` has printed is read again]."""
        if not output.startswith("["):  # help or version
            return []
        path = folder / "resolved.toml"
        path.write_text(output, errors="surrogateescape")
        again = self.ask(Driver, folder, ["check", "resolved.toml"])
        path.unlink()
        if again.code != FINISHED:
            return [f"what check prints is refused: {again.errors}"]
        first, second = (re.split(r"^# (?!warning)", text, flags=re.M)[0].split("# warning")[0]
                         for text in (output, again.output))
        return [] if first == second else [f"what check prints reads back as another input:\n{first}\n{second}"]

    def replay(self):
        """The corpus."""
        for path in sorted(CORPUS.iterdir()):
            folder = Path(tempfile.mkdtemp(dir=self.folder))
            if path.suffix == ".toml":
                shutil.copy(path, folder / "case.toml")
                self.carry_out("corpus", path.name, folder, ["check", "case.toml"])
            elif path.suffix == ".json":
                (folder / "case.toml").write_text(toml_text(small_input(random.Random(5), ("flow",))))
                for number, words in enumerate(json.loads(path.read_text())):
                    self.carry_out("corpus", f"{path.name}-{number}", folder, words)
            shutil.rmtree(folder)

    def try_one(self, name, kind, number):
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        for words in kind.one(random_of(self.seed, name, number), folder):
            self.carry_out(name, number, folder, words, kind.driver)
        shutil.rmtree(folder, ignore_errors=True)

    def table(self):
        head = "kind | tried | finished | bad input | numerical | file | stopped | faults".split(" | ")
        lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
        for name, codes in self.codes.items():
            counts = [codes[code] for code in (FINISHED, BAD_INPUT, NUMERICAL, FILE_FAILURE, STOPPED)]
            faults = sum(1 for kind, _ in self.found if kind == name)
            lines.append(f"| {name} | {sum(codes.values())} | {' | '.join(map(str, counts))} | {faults} |")
        return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=KINDS)
    parser.add_argument("--only", type=int)
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "headflow-fuzz")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headflow-fuzz-") as folder:
        fuzzer = Fuzzer(Path(folder), arguments.keep.absolute(), arguments.seed)
        kinds = {}
        for name in [arguments.kind] if arguments.kind else KINDS:
            originals = Path(folder) / f"originals-{name}"
            originals.mkdir()
            kinds[name] = KINDS[name](originals)
        if arguments.only is not None:
            for name, kind in kinds.items():
                fuzzer.try_one(name, kind, arguments.only)
        else:
            fuzzer.replay()
            end, number = time.monotonic() + arguments.seconds, 0
            while number == 0 or time.monotonic() < end:
                for name, kind in kinds.items():
                    fuzzer.try_one(name, kind, number)
                number += 1
        for driver in fuzzer.drivers.values():
            driver.close()
        print(fuzzer.table())
    if fuzzer.found:
        print(f"{len(fuzzer.found)} faults; see {arguments.keep}")
    return 1 if fuzzer.found else 0


if __name__ == "__main__":
    sys.exit(main())
