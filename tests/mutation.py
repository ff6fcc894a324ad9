#!/usr/bin/env python3
"""Do the unit tests notice a mistake? Puts small mistakes into a copy of the sources, runs what reaches them.

usage: tests/mutation.py [--count N] [--seed S] [--tests FILTER] [--jobs N] [--again] [--table] [--build FOLDER]

Mutants come in the order that the seed decides; all folders of FOLDERS and all kinds of mistakes have their turn.

- Nearly all are compiled at once: `a + b` becomes `(mutation::is(7) ? (a - b) : (a + b))`, and the environment chooses
  a mutant when the tests start. What is no program in this form (a constant that a type needs, say) is compiled alone.
- Each test is run once without a mistake, on one rank, those that communicate also on two. This tells how long it
  takes, and which mutants it reaches. Only these tests judge a mutant, those that are over soon first.
- A mutant is killed by the first test that fails. Tests that take five times as long as without it have failed, too.
- A survivor is compiled alone. If its object is the same as without the mistake, it counts for nothing.

--tests='*-Long*:Saddle.*', a filter of GoogleTest, leaves tests out; a run with another one judges the survivors anew.
All happens in FOLDER (build/mutation), on a copy of the tree that is made once; the tests in it follow the checkout.
Results are added to FOLDER/results-SEED.jsonl, one line each. A run that was stopped goes on behind the last of them.
--again judges the survivors anew, as after a test was added; --table only prints what is there.
"""
import argparse
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mutants import in_one_line, mutants, switch, switched

TOP = Path(__file__).resolve().parents[1]
MEMORY = 4 << 30  # bytes of a rank: a mistake may allocate without end
SWITCH = """#pragma once
namespace mutation {
extern const int chosen;
extern unsigned char reached[%d];
inline bool is(int mutant) {
  reached[mutant] = 1;
  return mutant == chosen;
}
}  // namespace mutation
"""
CHOICE = """#include "mutation.hpp"
#include <cstdlib>
const int mutation::chosen = std::getenv("MUTANT") ? std::atoi(std::getenv("MUTANT")) : -1;
unsigned char mutation::reached[%d];
"""
# Adds a line to a file for each test: name, seconds of a processor, the mutants that it reached.
LISTENER = """#include <gtest/gtest.h>
#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iterator>
#include <sstream>
#include "mutation.hpp"
struct Reached : testing::EmptyTestEventListener {
  std::clock_t begin = 0;
  void OnTestStart(const testing::TestInfo&) override { begin = std::clock(); }
  void OnTestEnd(const testing::TestInfo& test) override {
    if (!std::getenv("REACHED")) return;
    std::ostringstream line;
    const double seconds = double(std::clock() - begin) / CLOCKS_PER_SEC;
    line << test.test_suite_name() << '.' << test.name() << ' ' << seconds;
    for (std::size_t i = 0; i < std::size(mutation::reached); ++i)
      if (mutation::reached[i]) line << ' ' << i;
    std::ofstream(std::getenv("REACHED"), std::ios::app) << line.str() + '\\n' << std::flush;
    std::fill(std::begin(mutation::reached), std::end(mutation::reached), 0);
  }
};
static const int listens = (testing::UnitTest::GetInstance()->listeners().Append(new Reached), 0);
"""
# Optimization is low: to compile takes longer than to run the tests. Libraries assert what they assert in the build
# sanitize, in which the tests run, too: a bound that is too large is seen.
FLAGS = "-O1 -D_GLIBCXX_ASSERTIONS"
LISTS = """target_sources(headflow PRIVATE mutation.cpp)
set_source_files_properties(mutation.cpp PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
"""


def spent_by_children():
    """Seconds of processors."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def write(path, text):
    """Unless it is there: nothing is compiled twice."""
    if not path.exists() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Workshop:
    """The sources, their copy with the switches of all mutants, its build, and what the tests in it reach."""

    def __init__(self, folder, seed, count, tests, jobs):
        self.jobs = jobs
        self.plain, self.copy = folder / "plain", folder / "tree"
        self.build = self.copy / "build/release"
        self.program = self.build / "tests/unit/unit_tests"
        self.take_sources()
        self.mutants = mutants(self.plain, seed)[:count]
        mpi = (self.copy / "cmake/mpi.env").read_text().splitlines()
        self.environment = os.environ | dict(line.split("=", 1) for line in mpi if line and line[0] != "#") | {
            "CCACHE_BASEDIR": str(self.copy), "CCACHE_NOHASHDIR": "1",  # what a checkout has compiled
            "CCACHE_SLOPPINESS": "pch_defines,time_macros,include_file_mtime,include_file_ctime"}
        self.alone = self.build_switches(folder / f"alone-{seed}-{count}.json")
        self.reach = self.measured_reach(folder / f"reach-{seed}-{count}.json", tests)

    def take_sources(self):
        """Everything once, the tests each time."""
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
            shutil.copytree(self.copy / "src", self.plain / "src")
            with open(self.copy / "CMakeLists.txt", "a") as file:
                file.write(LISTS)

    def build_switches(self, kept):
        """Numbers of mutants that cannot be compiled with the others."""
        write(self.copy / "include/mutation.hpp", SWITCH % len(self.mutants))
        write(self.copy / "mutation.cpp", CHOICE % len(self.mutants))
        write(self.copy / "tests/unit/mutation.cpp", LISTENER)
        alone = set(json.loads(kept.read_text())) if kept.exists() else set()
        flags = ["-DCMAKE_BUILD_TYPE=Release", f"-DCMAKE_CXX_FLAGS_RELEASE={FLAGS}", "-DCMAKE_UNITY_BUILD=ON",
                 "-DHEADFLOW_BENCHMARKS=OFF", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON"]
        if shutil.which("ccache"):
            flags.append("-DCMAKE_CXX_COMPILER_LAUNCHER=ccache")
        if shutil.which("ld.lld"):
            flags.append("-DCMAKE_EXE_LINKER_FLAGS=-fuse-ld=lld")
        self.write_switches(alone)
        subprocess.run(["cmake", "-S", self.copy, "-B", self.build, "-G", "Ninja", *flags], check=True,
                       stdout=subprocess.DEVNULL)
        while True:
            made = self.make()
            if made.returncode == 0:
                kept.write_text(json.dumps(sorted(alone)))
                return alone
            places = {(Path(name).name, int(line))
                      for name, line in re.findall(r"([\w./]+\.[ch]pp):(\d+)", made.stdout)}
            failed = {number for number, lines in self.lines.items() if number not in alone and any(
                (self.mutants[number][1].name, line) in places for line in lines)}
            if not failed:
                raise SystemExit(made.stdout)
            print("compiled alone:", *sorted(failed), flush=True)
            alone |= failed
            self.write_switches(alone)

    def write_switches(self, alone):
        """All mutants but these into the copy. Notes on which lines they are there."""
        self.lines = {}
        by_name = defaultdict(dict)
        for number, (_, name, mistake) in enumerate(self.mutants):
            text = (self.plain / name).read_text()
            first, last, *words = switch(text, number, mistake)
            by_name[name][number] = (first, last, *words)
            self.lines[number] = range(text.count("\n", 0, first) + 2, text.count("\n", 0, last) + 3)
        for name, switches in by_name.items():
            chosen = {number: one for number, one in switches.items() if number not in alone}
            write(self.copy / name, switched((self.plain / name).read_text(), chosen))

    def make(self):
        return subprocess.run(["ninja", "-C", self.build, "-k", "0", "-j", str(self.jobs), "unit_tests"], text=True,
                              env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def run(self, tests, ranks, seconds, **environment):
        """The first test that fails, None if they are green within five times these seconds. What is ended at its
        limits, of which those of the clock are wider, fails, too. A failed assertion ends the program on all ranks."""
        words = ["mpiexec", "-n", str(ranks), self.program, "--gtest_break_on_failure", "--gtest_filter=" + tests]

        def limit():
            resource.setrlimit(resource.RLIMIT_CPU, 2 * (2 + int(5 * seconds),))
            resource.setrlimit(resource.RLIMIT_DATA, 2 * (MEMORY,))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

        with tempfile.TemporaryDirectory(prefix="headflow-") as own, \
                tempfile.TemporaryFile("w+", errors="replace") as printed:
            process = subprocess.Popen(words, cwd=self.build, start_new_session=True, preexec_fn=limit,
                                       env=self.environment | environment | {
                                           "OMPI_MCA_orte_top_session_dir": own + "/mpi", "TMPDIR": own},
                                       stdout=printed, stderr=subprocess.DEVNULL)
            try:
                code = process.wait(300 + 100 * seconds)
            except subprocess.TimeoutExpired:
                process.terminate()  # upon which mpiexec ends its ranks
                try:
                    process.wait(60)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
                code = -1
            printed.seek(0)
            begun = re.findall(r"\[ RUN +\] (?:\x1b\[m)?(\S+)", printed.read())
        return None if code == 0 else (begun or ["the start"])[-1]

    def measured_reach(self, kept, tests):
        """[(test, ranks, seconds, the mutants that it reaches)], measured once for each program and these tests."""
        known = json.loads(kept.read_text()) if kept.exists() else {}
        if (known.get("program"), known.get("tests")) != (digest(self.program), tests):
            known = {"program": digest(self.program), "tests": tests, "reach": []}
            several = "Distributed*-" + tests.partition("-")[2]
            runs = [(several, 2, 0), *((tests, 1, shard) for shard in range(self.jobs))]
            with ThreadPoolExecutor(self.jobs) as pool:
                for one in pool.map(lambda run: self.reach_of(*run), runs):
                    known["reach"] += one
            kept.write_text(json.dumps(known))
        return known["reach"]

    def reach_of(self, tests, ranks, shard):
        """Of the tests of one of `jobs` shards of these; those on several ranks are none."""
        found = {}
        shards = {} if ranks > 1 else {"GTEST_TOTAL_SHARDS": str(self.jobs), "GTEST_SHARD_INDEX": str(shard)}
        with tempfile.NamedTemporaryFile("r") as file:
            failed = self.run(tests, ranks, 3600, REACHED=file.name, **shards)
            if failed:
                raise SystemExit(f"mutation: {failed} fails without a mistake")
            for name, seconds, *reached in map(str.split, file):  # of each rank
                before = found.get(name, (0, set()))
                found[name] = max(before[0], float(seconds)), before[1] | set(map(int, reached))
        return [[name, ranks, seconds, sorted(reached)] for name, (seconds, reached) in found.items()]

    def killer(self, number):
        """The first test that fails, of those that reach the mutant, the fastest first."""
        by_cost = defaultdict(dict)
        for name, ranks, seconds, reached in self.reach:
            if number in reached or number in self.alone:
                cost = sum(seconds > one for one in (0.1, 1, 10))
                by_cost[cost, ranks][name] = seconds
        for (_, ranks), tests in sorted(by_cost.items()):
            failed = self.run(":".join(tests), ranks, ranks * sum(tests.values()), MUTANT=str(number))
            if failed:
                return failed
        return None

    def judge(self, number):
        """What becomes of one mutant: {compiled, same, reached by so many tests, killer}."""
        _, name, mistake = self.mutants[number]
        result = {"compiled": True, "same": False, "killer": None,
                  "reached": sum(number in reached for *_, reached in self.reach)}
        if number not in self.alone:
            result["killer"] = self.killer(number)
            result["same"] = not result["killer"] and self.same_object(name, mistake)
            return result
        path = self.copy / name
        text = path.read_text()
        try:
            path.write_text(self.mutated(name, mistake))
            result["compiled"] = self.make().returncode == 0
            result["same"] = result["compiled"] and self.same_object(name, mistake)
            if result["compiled"] and not result["same"]:
                result["killer"] = self.killer(number)
            return result
        finally:
            path.write_text(text)

    def mutated(self, name, mistake):
        _, start, end, change = mistake
        text = (self.plain / name).read_text()
        return text[:start] + change + text[end:]

    def same_object(self, name, mistake):
        """Whether a source, compiled alone, is the same with and without the mistake. Of a header one cannot tell."""
        if name.suffix != ".cpp":
            return False
        folder = name.parts[1]
        command = next(entry["command"] for entry in json.loads((self.build / "compile_commands.json").read_text())
                       if re.search(r"headflow(_parts)?\.dir/.*\.cxx", entry["command"])
                       and f"/{folder}/" in Path(entry["file"]).read_text())
        objects = []
        with tempfile.TemporaryDirectory(prefix="headflow-") as own:
            for text in (self.plain / name).read_text(), self.mutated(name, mistake):
                Path(own, "one.cpp").write_text(text)
                words = re.sub(r" -o \S+ -c \S+", f" -I{self.plain / name.parent} -o {own}/one.o -c {own}/one.cpp",
                               command)
                words = re.sub(r" -include \S+|^\S*ccache ", " ", words)
                words = words.replace(f"-I{self.copy}/src", f"-I{self.plain}/src")
                if subprocess.run(words, shell=True, cwd=self.build, stderr=subprocess.DEVNULL).returncode != 0:
                    return False
                objects.append(digest(Path(own, "one.o")))
        return objects[0] == objects[1]


def describe(workshop, number):
    """Where a mutant is and what it changes."""
    folder, name, (kind, start, end, change) = workshop.mutants[number]
    text = (workshop.plain / name).read_text()
    line = text[text.rfind("\n", 0, start) + 1:text.find("\n", end)]
    return {"number": number, "folder": folder, "kind": kind, "place": f"{name}:{text.count(chr(10), 0, start) + 1}",
            "before": in_one_line(text[start:end]), "after": in_one_line(change), "line": in_one_line(line)}


def read(path):
    """{number: the last result of this mutant}"""
    lines = path.read_text().splitlines() if path.exists() else []
    return {result["number"]: result for result in map(json.loads, lines)}


STATES = {"mutants": lambda result: True, "no program": lambda result: not result["compiled"],
          "same object": lambda result: result["same"], "killed": lambda result: result["killer"],
          "survived": lambda result: result["compiled"] and not result["same"] and not result["killer"]}


def print_table(results):
    for key in ("folder", "kind"):
        counts = {state: Counter(result[key] for result in results if test(result)) for state, test in STATES.items()}
        print(f"{key:20}" + "".join(f"{state:>13}" for state in STATES) + "   rate")
        for name in [*dict.fromkeys(sorted(counts["mutants"])), "all"]:
            row = {state: those.total() if name == "all" else those[name] for state, those in counts.items()}
            rate = 100 * row["killed"] / max(row["killed"] + row["survived"], 1)
            print(f"{name:20}" + "".join(f"{number:13}" for number in row.values()) + f"  {rate:3.0f} %")
        print()
    for result in filter(STATES["survived"], results):
        print(f"survivor {result['number']}, reached by {result['reached']} tests: {result['place']}: {result['kind']} "
              f"`{result['before']}` -> `{result['after']}`\n    {result['line']}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="how many mutants there are to be in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tests", default="*-Long*", help="which tests judge, as a filter of GoogleTest")
    parser.add_argument("--jobs", type=int, default=2, help="how many processors")
    parser.add_argument("--again", action="store_true", help="judge the survivors anew")
    parser.add_argument("--table", action="store_true", help="print results, make none")
    parser.add_argument("--build", type=Path, default=TOP / "build/mutation", help="its folder")
    options = parser.parse_args()
    folder = options.build.resolve()
    path = folder / f"results-{options.seed}.jsonl"
    results = read(path)
    print(f"seed {options.seed}, {path}", flush=True)
    if not options.table:
        workshop = Workshop(folder, options.seed, options.count, options.tests, options.jobs)
        numbers = [number for number in range(len(workshop.mutants)) if number not in results or STATES["survived"](
            results[number]) and (options.again or results[number]["tests"] != options.tests)]

        def judge(number):
            begin = time.time()
            result = {**describe(workshop, number), **workshop.judge(number), "tests": options.tests,
                      "seconds": round(time.time() - begin)}
            results[number] = result
            with open(path, "a") as file:
                file.write(json.dumps(result) + "\n")
            state = [state for state, test in STATES.items() if test(result)][-1]
            print(number, result["place"], result["kind"], result["killer"] or state, f"{result['seconds']} s",
                  flush=True)

        spent = spent_by_children()
        with ThreadPoolExecutor(options.jobs) as pool:
            list(pool.map(judge, [number for number in numbers if number not in workshop.alone]))
        for number in workshop.alone.intersection(numbers):
            judge(number)
        print(f"{(spent_by_children() - spent) / max(len(numbers), 1):.1f} seconds of a processor for each")
    print_table([results[number] for number in sorted(results)])


if __name__ == "__main__":
    main()
