#!/usr/bin/env python3
"""Do the tests notice a mistake? Puts small mistakes into copies of the sources, one at a time, and runs the tests.

usage: tests/mutation.py [--count N] [--seed S] [--system] [--again] [--table] [--build FOLDER]

Mutants come in the order that the seed decides; all folders of FOLDERS and all kinds of mistakes have their turn.
Of a mutant one object is compiled and unit_tests is linked again. It is killed by the first test that fails: of the
unit tests of its own folder, then of the others, also on two ranks, with --system also of the system tests of its
folder. Tests that take ten times as long as without the mistake have failed, too.

All happens in FOLDER (build/mutation), on a copy of the tree that is made once; the tests in it follow the checkout.
Results are added to FOLDER/results-SEED.jsonl, one line each. A run that was stopped goes on behind the last of them.
--again judges the survivors anew, as after a test was added; --table only prints what is there.
"""
import argparse
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

from coverage import blank

TOP = Path(__file__).resolve().parents[1]
FOLDERS = {  # where mistakes are put, and the system tests that are about it
    "src/core/exact_sum": ["invariance"],
    "src/population": ["invariance", "properties"],
    "src/flow": ["stopping", "output"],
    "src/restart": ["restart", "files", "checkpoint_faults"],
    "src/sweep": ["sweep", "array"],
    "src/sgd": ["sgd", "sgd_and_flow"],
    "src/saddle": ["saddle"],
}
# Binary operators stand between spaces, as clang-format leaves them; pointers, templates and signs do not.
OPERATORS = {"+": "-", "-": "+", "*": "/", "/": "*", "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=",
             "!=": "==", "&&": "||", "||": "&&", "+=": "-=", "-=": "+=", "*=": "/="}
CONSTANTS = {"0": "1", "1": "2", "2": "1", "0.0": "1.0", "1.0": "2.0", "0.5": "1.0", "2.0": "1.0"}


def closing(text, start):
    """Where the bracket at `start` is closed."""
    depth = 0
    for place in range(start, len(text)):
        depth += (text[place] in "([{") - (text[place] in ")]}")
        if depth == 0:
            return place
    return len(text) - 1


def mistakes(text):
    """[(kind, start, end, what stands there then)]"""
    code = blank(text)
    found = []
    for match in re.finditer(r"(?<=[ ])(\+=|-=|\*=|<=|>=|==|!=|&&|\|\||[-+*/<>])(?=[ \n])", code):
        found.append(("operator", *match.span(), OPERATORS[match[0]]))
    for match in re.finditer(r"(?<![\w.'])(\d+\.\d+|\d+)(?![\w.'])", code):
        if match[0] in CONSTANTS:
            found.append(("constant", *match.span(), CONSTANTS[match[0]]))
    for match in re.finditer(r"\bfor \([^;()]*; [^;]*? [<>]=? ([^;]+);", code):
        found += [("bound", *match.span(1), f"{match[1]} {change} 1") for change in "+-"]
    for match in re.finditer(r"\b(?:if|while) \(", code):
        end = closing(code, match.end() - 1)
        if ";" not in code[match.end():end]:
            found.append(("condition", match.end(), end, f"!({text[match.end():end]})"))
    for match in re.finditer(r"(?<=[;{}])\s*\n\s+([\w.:>()\[\]-]+(?: [-+*/|&]?= [^;{}]+|\([^;{}]*\));|"
                             r"(?:return|continue|break);)(?= *\n)", code):
        if not re.match(r"(?:return|using|static_assert)\b.", match[1]):
            found.append(("statement", *match.span(1), ";"))
    return found


def mutants(copy, seed):
    """All mutants of the copy: the folders take turns, and in each folder the kinds."""
    chance = random.Random(seed)
    by_folder = []
    for folder in FOLDERS:
        kinds = {}
        for path in sorted([*copy.glob(f"{folder}*.?pp"), *copy.glob(f"{folder}/*.?pp")]):
            for kind, *change in mistakes(path.read_text()):
                kinds.setdefault(kind, []).append((folder, kind, path.relative_to(copy), *change))
        for those in kinds.values():
            chance.shuffle(those)
        turns = [[those.pop() for those in kinds.values() if those] for _ in range(max(map(len, kinds.values())))]
        by_folder.append([mutant for turn in turns for mutant in chance.sample(turn, len(turn))])
    longest = max(map(len, by_folder))
    return [those[i] for i in range(longest) for those in by_folder if i < len(those)]


def spent_by_children():
    """Seconds of processors."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


class Workshop:
    """The copy of the tree, its build, and how long the tests take in it."""

    def __init__(self, folder):
        self.copy = folder / "tree"
        self.build = self.copy / "build/release"
        self.limits = {}  # by the name of tests: seconds of a processor, and of the clock
        self.take_sources()
        flags = ["-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_UNITY_BUILD=ON", "-DHEADFLOW_BENCHMARKS=OFF"]
        if shutil.which("ccache"):
            flags.append("-DCMAKE_CXX_COMPILER_LAUNCHER=ccache")
        subprocess.run(["cmake", "-S", self.copy, "-B", self.build, "-G", "Ninja", *flags], check=True,
                       stdout=subprocess.DEVNULL)
        mpi = (self.copy / "cmake/mpi.env").read_text().splitlines()
        self.environment = os.environ | dict(line.split("=", 1) for line in mpi if line and line[0] != "#") | {
            "CCACHE_BASEDIR": str(self.copy), "CCACHE_NOHASHDIR": "1",  # what a checkout has compiled
            "CCACHE_SLOPPINESS": "pch_defines,time_macros,include_file_mtime,include_file_ctime"}
        if self.make(["unit_tests"]) != 0:
            raise SystemExit("mutation: the sources as they are cannot be built")

    def take_sources(self):
        """Everything once, the tests each time; each source that is mutated is an object of its own."""
        first = not self.copy.exists()
        names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=TOP, capture_output=True,
                               text=True, check=True).stdout.split("\n")[:-1]
        for name in names:
            source, target = TOP / name, self.copy / name
            if (first or name.startswith("tests/")) and source.is_file():
                if not target.is_file() or target.read_bytes() != source.read_bytes():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(source, target)
        if first:
            globs = " ".join(f"src/{Path(folder).relative_to('src')}*.cpp src/{Path(folder).relative_to('src')}/*.cpp"
                             for folder in FOLDERS)
            with open(self.copy / "CMakeLists.txt", "a") as file:
                file.write(f"file(GLOB alone {globs})\n"
                           "set_source_files_properties(${alone} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)\n")

    def make(self, targets):
        return subprocess.run(["cmake", "--build", self.build, "--parallel", "1", "--target", *targets],
                              env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode

    def run(self, words, name):
        """Whether these tests are green, within ten times of what they took when they were first run, unmutated."""
        processor, clock = self.limits.get(name, (resource.RLIM_INFINITY, None))
        before, begin = spent_by_children(), time.time()
        with tempfile.TemporaryDirectory(prefix="headflow-") as sessions:
            process = subprocess.Popen(words, cwd=self.build, start_new_session=True,
                                       preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, 2 * (processor,)),
                                       env=self.environment | {"OMPI_MCA_orte_top_session_dir": sessions},
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                code = process.wait(clock)
            except subprocess.TimeoutExpired:
                process.terminate()  # upon which mpiexec ends its ranks
                try:
                    process.wait(60)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
                code = -1
        if clock is None:
            if code != 0:
                raise SystemExit(f"mutation: {name} fails without a mistake")
            self.limits[name] = 10 + int(10 * (spent_by_children() - before)), 300 + 10 * (time.time() - begin)
        return code == 0

    def unit_tests(self):
        """{folder of tests/unit: the words that run its tests}, of which unit.on_2_ranks has those that communicate."""
        program = self.build / "tests/unit/unit_tests"
        words = {}
        for folder in sorted(path.name for path in self.copy.glob("tests/unit/*/")):
            suites = {match[1] for path in self.copy.glob(f"tests/unit/{folder}/*.cpp")
                      for match in re.finditer(r"^TEST\w*\((\w+)", path.read_text(), re.MULTILINE)}
            names = ":".join(f"{suite}.*" for suite in sorted(suites) if not suite.startswith("Long"))
            words[folder] = ["mpiexec", "-n", "1", program, "--gtest_fail_fast", f"--gtest_filter={names}"]
        words["on_2_ranks"] = ["mpiexec", "-n", "2", program, "--gtest_fail_fast", "--gtest_filter=Distributed*"]
        return words

    def stages(self, folder, system):
        """[(name, words)] of the tests that judge what is in this folder: its own, then the fastest first."""
        unit = self.unit_tests()
        own = Path(folder).parts[1]
        for one in sorted(unit, key=lambda one: (one != own, self.limits.get(f"unit.{one}", (0, 0)))):
            yield f"unit.{one}", unit[one]
        for name in FOLDERS[folder] if system else []:
            yield f"system.{name}", ["ctest", "-R", f"^system.{name}$"]

    def measure(self, folders, system):
        """How long all tests take that will be needed. They must be green."""
        if system and self.make(["headflow_program"]) != 0:
            raise SystemExit("mutation: the program as it is cannot be built")
        for folder in folders:
            for name, words in list(self.stages(folder, system)):
                if name not in self.limits:
                    self.run(words, name)

    def killer(self, folder, system):
        """The name of the first tests that fail, None if all are green."""
        return next((name for name, words in self.stages(folder, system) if not self.run(words, name)), None)

    def judge(self, mutant, system):
        """What becomes of one mutant: {compiled, killer}."""
        folder, _, name, start, end, change = mutant
        path = self.copy / name
        text = path.read_text()
        try:
            path.write_text(text[:start] + change + text[end:])
            compiled = self.make(["unit_tests", *(["headflow_program"] if system else [])]) == 0
            return {"compiled": compiled, "killer": self.killer(folder, system) if compiled else None}
        finally:
            path.write_text(text)


def in_one_line(text):
    return " ".join(text.split())


def describe(copy, mutant):
    """Where a mutant is and what it changes."""
    folder, kind, name, start, end, change = mutant
    text = (copy / name).read_text()
    line = text[text.rfind("\n", 0, start) + 1:text.find("\n", end)]
    return {"folder": folder, "kind": kind, "place": f"{name}:{text.count(chr(10), 0, start) + 1}",
            "before": in_one_line(text[start:end]), "after": in_one_line(change), "line": in_one_line(line)}


def read(path):
    """{number: the last result of this mutant}"""
    lines = path.read_text().splitlines() if path.exists() else []
    return {result["number"]: result for result in map(json.loads, lines)}


def survived(result):
    return result["compiled"] and result["killer"] is None


def print_table(results):
    for key in ("folder", "kind"):
        made, compiled, killed = (Counter(result[key] for result in results if test(result)) for test in (
            lambda result: True, lambda result: result["compiled"], lambda result: result["killer"]))
        print(f"{key:20}mutants  compiled  killed  survived  rate")
        for name in [*dict.fromkeys(sorted(made)), "all"]:
            m, c, k = (counts.total() if name == "all" else counts[name] for counts in (made, compiled, killed))
            print(f"{name:20}{m:7}{c:10}{k:8}{c - k:10}  {100 * k / max(c, 1):3.0f} %")
        print()
    for result in filter(survived, results):
        print(f"survivor {result['number']}: {result['place']}: {result['kind']} `{result['before']}` -> "
              f"`{result['after']}`\n    {result['line']}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=60, help="how many mutants there are to be in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--system", action="store_true", help="system tests judge, too")
    parser.add_argument("--again", action="store_true", help="judge the survivors anew")
    parser.add_argument("--table", action="store_true", help="print results, make none")
    parser.add_argument("--build", type=Path, default=TOP / "build/mutation", help="its folder")
    options = parser.parse_args()
    folder = options.build.resolve()
    path = folder / f"results-{options.seed}.jsonl"
    results = read(path)
    print(f"seed {options.seed}, {path}", flush=True)
    if not options.table:
        workshop = Workshop(folder)
        order = mutants(workshop.copy, options.seed)[:options.count]
        numbers = [number for number in range(len(order))
                   if (survived(results[number]) if number in results and options.again else number not in results)]
        workshop.measure({order[number][0] for number in numbers}, options.system)
        for number in numbers:
            begin = time.time()
            result = {"number": number, **describe(workshop.copy, order[number]),
                      **workshop.judge(order[number], options.system), "seconds": round(time.time() - begin)}
            results[number] = result
            with open(path, "a") as file:
                file.write(json.dumps(result) + "\n")
            print(number, result["place"], result["kind"], result["killer"] or (
                "SURVIVED" if result["compiled"] else "is no program"), flush=True)
    print_table([results[number] for number in sorted(results)])


if __name__ == "__main__":
    main()
