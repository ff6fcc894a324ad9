#!/usr/bin/env python3
"""What the tests run of the program: lines and branches, folder by folder, by GCC's gcov.

usage: tests/coverage.py [--lines] [--no-tests] [--tests REGEX] [--add] [--build FOLDER]

Builds with --coverage in a folder of its own, runs the unit tests and the system tests one after the other, and prints
the table. It does not run Slurm, the fuzzer, the fault campaign, what takes minutes, and what builds other programs.

- Sources of src are counted, with all headers of the project that they have. A line counts once, in however many
  objects and instantiations of templates it is.
- A line has two branches for each condition that is written on it: of if, while, for and ?:, and each operand of && and
  ||. They are taken if the line in any object took them. What the compiler adds counts for nothing: exceptions,
  destructors, further copies of inlined code. Of a switch the lines of its cases tell.
- A process that ends by _exit, as MPI_Abort does, writes its counts first. What a signal kills loses them.
- Tests that limit files, or what may be written, may fail, because GCC writes counts there; standard error tells.
"""
import argparse
import gzip
import json
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
LEFT_OUT = "slurm|fault_campaign|install|compilers|versions|notebooks|python|plot|report|architecture|fuzz"
COUNTED = """foreach(target headflow headflow_parts headflow_program)
  cmake_language(EVAL CODE "cmake_language(DEFER CALL target_compile_options ${target} PRIVATE -O1 --coverage)")
endforeach()
"""
DUMP = """#include <sys/syscall.h>
#include <unistd.h>
void __gcov_dump(void);
void _exit(int code) { __gcov_dump(); for (;;) syscall(SYS_exit_group, code); }
"""


def build(folder):
    """The program and the tests. Each object of src has a counter for each line, and a file of counts in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "counted.cmake").write_text(COUNTED)
    (folder / "dump.c").write_text(DUMP)
    subprocess.run(["gcc", "-c", folder / "dump.c", "-o", folder / "dump.o"], check=True)
    subprocess.run(["cmake", "-S", TOP, "-B", folder, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
                    "-DCMAKE_UNITY_BUILD=ON", "-DHEADFLOW_BENCHMARKS=OFF",
                    f"-DCMAKE_PROJECT_headflow_INCLUDE={folder}/counted.cmake",
                    f"-DCMAKE_EXE_LINKER_FLAGS=--coverage {folder}/dump.o -Wl,--export-dynamic-symbol=_exit",
                    *(["-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else [])],
                   stdout=subprocess.DEVNULL, check=True)
    subprocess.run(["cmake", "--build", folder, "--parallel", "2",
                    "--target", "headflow_program", "unit_tests", "one_rank_failure"], check=True)


def run_tests(folder, tests, add):
    """Counts of these tests, in place of earlier ones or added to them."""
    if not add:
        for counts in folder.rglob("*.gcda"):
            counts.unlink()
    subprocess.run(["ctest", "--test-dir", folder, "-L", "^(unit|system)$", "-R", tests, "-E", LEFT_OUT,
                    "--output-log", folder / "tests.log"], stdout=sys.stderr)


def gcov(counts):
    """What gcov says of one object: [{file, lines, functions}]."""
    done = subprocess.run(["gcov", "--json-format", "--stdout", "--branch-probabilities", counts], cwd=counts.parent,
                          capture_output=True, check=True)
    text = gzip.decompress(done.stdout) if done.stdout[:2] == b"\x1f\x8b" else done.stdout
    report = json.loads(text)
    folder = Path(report["current_working_directory"])
    return [(folder / file["file"], file["lines"]) for file in report["files"]]


def blank(text):
    """The text with spaces in place of comments, literals and preprocessor lines, as long as before."""
    parts = r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'|^[ \t]*#[^\n]*'
    return re.sub(parts, lambda match: re.sub(r"[^\n]", " ", match[0]), text, flags=re.DOTALL | re.MULTILINE)


def conditions(path):
    """{line: number of conditions that are written on it}"""
    found = {}
    continued = False
    for number, line in enumerate(blank(path.read_text()).split("\n"), 1):
        words = len(re.findall(r"\b(?:if|while|for) \(|(?<= )\? ", line))
        operators = len(re.findall(r"(?<= )(?:&&|\|\|)(?= |$)", line))
        goes_on = line.endswith(("&&", "||"))
        found[number] = words + operators - goes_on + (continued or (operators > 0 and words == 0))
        continued = goes_on
    return found


def fold(branches, conditions):
    """The counts of two branches for each condition; inlined copies stand one after the other."""
    counts = [0] * min(2 * conditions, len(branches))
    for place, branch in enumerate(branches):
        if counts:
            counts[place % len(counts)] += branch["count"]
    return counts


def measure(folder):
    """{file: ({line: count}, {(line, place): count})} of src and include."""
    lines = defaultdict(lambda: defaultdict(int))
    branches = defaultdict(lambda: defaultdict(int))
    written = {}
    with ThreadPoolExecutor(2) as pool:
        for report in pool.map(gcov, sorted(folder.rglob("*.gcda"))):
            for path, entries in report:
                path = path.resolve()
                if not path.is_relative_to(TOP) or path.relative_to(TOP).parts[0] not in ("src", "include"):
                    continue
                name = str(path.relative_to(TOP))
                if name not in written:
                    written[name] = conditions(path)
                for entry in entries:
                    number = entry["line_number"]
                    lines[name][number] += entry["count"]
                    own = [branch for branch in entry["branches"] if not branch["throw"]]
                    for place, count in enumerate(fold(own, written[name][number])):
                        branches[name][number, place] += count
    return {name: (lines[name], branches[name]) for name in lines}


def share(counts):
    """The fraction of counts that are not zero, as text, and how many there are."""
    hit = sum(map(bool, counts))
    return f"{hit:6d} of {len(counts):6d}  {100 * hit / max(len(counts), 1):5.1f} %"


def table(files):
    """One line for each folder of src, with its public headers, and one for all of them."""
    folders = defaultdict(lambda: ([], []))
    for name, both in files.items():
        folder = Path(name).parent.name
        for all_of_them, counts in zip(folders[folder], both):
            all_of_them += counts.values()
    rows = [*sorted(folders.items()), ("all", tuple(sum(column, []) for column in zip(*folders.values())))]
    print(f"{'folder':12}{'lines':>26}{'branches':>28}")
    for folder, (lines, branches) in rows:
        print(f"{folder:12}  {share(lines)}    {share(branches)}")


def print_missing(files):
    """What no test ran: lines, and those lines of which a branch was never taken."""
    for name, (lines, branches) in sorted(files.items()):
        never = sorted(number for number, count in lines.items() if not count)
        half = sorted({number for (number, _), count in branches.items() if not count} - set(never))
        if never or half:
            print(f"{name}\n  lines never run: {' '.join(map(str, never)) or '-'}\n"
                  f"  branches never taken: {' '.join(map(str, half)) or '-'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", action="store_true", help="also the lines and branches that no test ran")
    parser.add_argument("--no-tests", action="store_true", help="print again what was counted")
    parser.add_argument("--tests", default=".", help="those of ctest whose name has this")
    parser.add_argument("--add", action="store_true", help="to what earlier runs have counted, of sources that compile "
                        "as they did then: what is compiled anew begins at 0")
    parser.add_argument("--build", type=Path, default=TOP / "build/coverage", help="its folder")
    options = parser.parse_args()
    folder = options.build.resolve()
    if not options.no_tests:
        build(folder)
        run_tests(folder, options.tests, options.add)
    files = measure(folder)
    table(files)
    if options.lines:
        print_missing(files)


if __name__ == "__main__":
    main()
