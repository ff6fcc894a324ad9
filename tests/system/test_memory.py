"""The memory that `check` tells against the largest that the program has had (VmHWM), within 25 %.

Some small inputs; with --long as argument all of them, which need up to 2 GiB.
"""
import re
import resource
import subprocess
import sys

from harness import SMALL, PROGRAM, SystemTest, changed, environment, main, mpiexec

BASE = changed(SMALL, {"population.samples": 64, "population.replicates": 2, "flow.end_time": 0.5})
SGD = {"dimension": 1000, "batch": 1, "learning_rate": 0.1, "end_time": 1.0}
HEADS = {"attention.heads": 64, "start.noise": 0.01}
SHORT = {
    "little": ({}, 1),
    "little on two ranks": ({}, 2),
    "samples": ({"population.samples": 2**21, "flow.end_time": 0.1}, 1),
    "outputs of heads": (HEADS | {"flow.outputs": 1000}, 1),
    "replicas": ({"flow": None, "sgd": SGD | {"replicas": 4000, "outputs": 20}}, 1),
}
LONG = {
    "samples on two ranks": ({"population.samples": 2**22, "flow.end_time": 0.1}, 2),
    "many outputs of heads": (HEADS | {"flow.outputs": 5000}, 1),
    "many outputs of heads on two ranks": (HEADS | {"flow.outputs": 2000}, 2),
    "many replicas": ({"flow": None, "sgd": SGD | {"replicas": 20000, "outputs": 100}}, 1),
    "vectors": ({"flow": None, "sgd": SGD | {"dimension": 1000000, "engine": "direct", "outputs": 2, "end_time": 0.2}},
                1),
    "vectors of replicas": ({"flow": None, "sgd": SGD | {"dimension": 200000, "engine": "direct", "replicas": 8,
                                                         "outputs": 2, "end_time": 0.2}}, 2),
    "samples that are regenerated": ({"population.samples": 2**20, "population.memory": 0.01, "flow.end_time": 0.1}, 1),
    "Hessians": ({"attention.heads": 16, "flow": None, "saddle": {"end_time": 0.2}, "population.replicates": 8}, 1),
    "replicates": ({"attention.heads": 32, "population.replicates": 1024, "population.samples": 1024}, 1),
    "maps": ({"attention.heads": 16, "train": {"starts": 1, "evaluations": 2}, "maps": {"sequences": 300000}}, 1),
}
CASES = SHORT | LONG if "--long" in sys.argv else SHORT
PRINT = "--print" in sys.argv
MEASURED = """import resource, subprocess, sys
code = subprocess.run(sys.argv[2:], stdout=subprocess.DEVNULL).returncode
open(sys.argv[1] + "." + __import__("os").environ["OMPI_COMM_WORLD_RANK"], "w").write(
    str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code)
"""


class Memory(SystemTest):
    def told(self, ranks):
        """GiB on rank 0 and on all ranks."""
        text = self.succeed("check", "case.toml", ranks=ranks)
        line = next(line for line in text.split("\n") if line.startswith("# memory "))
        numbers = [float(x) for x in re.findall(r"([\d.e+-]+) GiB", line)]
        return numbers[0], numbers[-1], line

    def measured(self, ranks):
        """The same of a run, which must end well."""
        (self.folder / "measure.py").write_text(MEASURED)
        subprocess.run([*mpiexec("-n", str(ranks)), sys.executable, "measure.py", "peak", str(PROGRAM), "run",
                        "case.toml",
                        "--force"], cwd=self.folder, env=environment(), check=True, stdout=subprocess.DEVNULL)
        peaks = [int((self.folder / f"peak.{rank}").read_text()) / 2**20 for rank in range(ranks)]
        return max(peaks), sum(peaks)

    def test_what_check_tells(self):
        for name, (changes, ranks) in CASES.items():
            with self.subTest(name):
                self.write_input(changes, base=BASE)
                *told, line = self.told(ranks)
                measured = self.measured(ranks)
                if PRINT:
                    print(f"{name:<40} told {told[0]:.3f} {told[1]:.3f}  measured {measured[0]:.3f} {measured[1]:.3f}  "
                          f"{line}")
                for one, other in zip(told, measured):
                    self.assertLess(abs(one - other), 0.25 * other, f"{line}; measured {measured}")

    def test_check_needs_little(self):
        """Not what the run would: SGD of vectors in 10^9 dimensions; and it says a long time as it is."""
        self.write_input({"flow": None, "sgd": SGD | {"dimension": 10**9, "engine": "direct", "end_time": 1e10}},
                         base=BASE)
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        text = self.succeed("check", "case.toml")
        self.assertLess(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, max(before, 600000))
        self.assertRegex(text, r"# the whole SGD +about [\d.e+]+ years\n")
        self.assertGreater(self.told(0)[0], 50)


if __name__ == "__main__":
    sys.argv = [word for word in sys.argv if word not in ("--long", "--print")]
    main()
