#!/usr/bin/python3
"""Runs all benchmarks and prints one Markdown table of ratios: usage: tests/bench/table.py [BUILD_FOLDER]

Ours and the peer's are measured in turn, several rounds, the best of each counts: the machine may be shared. PyTorch
(python3-torch; cmake/setup.sh --with-benchmarks) is optional: without it its rows are left out.
"""
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = Path(sys.argv[1] if len(sys.argv) > 1 else HERE.parent.parent / "build/release").resolve()
BENCH = BUILD / "tests/bench"
ROUNDS = 3
# As it is usually written.
TORCH_TARGETS = [("softmax", 4, 2, 2, 30), ("softmax", 10, 2, 2, 25), ("softmax", 5, 4, 2, 12),
                 ("softmax", 5, 8, 3, 12),
                 ("softmax", 5, 16, 4, 12), ("softmax-1", 4, 2, 2, 25), ("bayes-softmax", 4, 2, 2, 25)]
# At its strongest; from memory.
STRONG_TARGETS = [(4, 2, 2, 1.2), (10, 2, 2, 2), (5, 4, 2, 1.7), (5, 8, 3, 2.4)]
STRONG_SAMPLES = 65536
os.environ.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
MPIRUN = ("mpirun", "--oversubscribe", "-n")


def output_of(*words: object) -> str:
    """Standard output of a command that must succeed."""
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True).stdout


def row(quantity: str, ours: str, peer: str = "", ratio: float | None = None, target: float | None = None) -> None:
    """One line of the table; a ratio is met when it reaches its target."""
    shown = f"{ratio:.2f}" if ratio is not None else ""
    met = "" if target is None or ratio is None else "yes" if ratio >= target else "no"
    print(f"| {quantity} | {ours} | {peer} | {shown} | {target or ''} | {met} |", flush=True)


def benchmarks(program: str, pattern: str) -> dict[str, dict]:
    """Google Benchmark's results by name."""
    text = output_of(BENCH / program, f"--benchmark_filter={pattern}", "--benchmark_format=json",
                     "--benchmark_min_time=0.1")
    return {result["name"]: result for result in json.loads(text)["benchmarks"]}


def kernel_rows() -> None:
    """The kernel against PyTorch, against single precision and against the peak of the core."""
    has_torch = importlib.util.find_spec("torch") is not None
    nanoseconds, torch_nanoseconds, flops = {}, {}, {}
    for _ in range(ROUNDS):
        for name, result in benchmarks("bench_kernel", ".").items():
            if "seconds_per_sample" in result:
                nanoseconds[name] = min(nanoseconds.get(name, 1e9), 1e9 * result["seconds_per_sample"])
            if "flops" in result:
                flops[name] = max(flops.get(name, 0), result["flops"])
        for activation, L, H, F, _ in TORCH_TARGETS if has_torch else []:
            time_taken = float(output_of(sys.executable, HERE / "torch_population.py", "--activation", activation,
                                         "--tokens", L,
                                         "--heads", H, "--features", F))
            key = activation, L, H, F
            torch_nanoseconds[key] = min(torch_nanoseconds.get(key, 1e9), time_taken)
    for activation, L, H, F, target in TORCH_TARGETS:
        ours = nanoseconds[f"kernel/{activation}/{L},{H},{F}/double"]
        name = f"loss and gradient, {activation}, (L,H,F) = ({L},{H},{F}), PyTorch"
        if has_torch:
            peer = torch_nanoseconds[activation, L, H, F]
            row(name, f"{ours:.2f} ns/sample", f"{peer:.1f} ns/sample", peer / ours, target)
        else:
            row(name, f"{ours:.2f} ns/sample", "no python3-torch")
    for _, L, H, F, _ in TORCH_TARGETS[:5]:
        single, double = (nanoseconds[f"kernel/softmax/{L},{H},{F}/{p}"] for p in ("single", "double"))
        row(f"single against double precision, ({L},{H},{F})", f"{single:.2f} ns/sample", f"{double:.2f} ns/sample",
            double / single, 1.6)
    for L, H, F in (4, 2, 2), (5, 8, 3):
        product, gradient = (nanoseconds[f"{kind}/softmax/{L},{H},{F}/double"] for kind in ("tangent", "kernel"))
        row(f"product with the Hessian, in evaluations, ({L},{H},{F})", f"{product:.2f} ns/sample",
            f"{gradient:.2f} ns/sample", product / gradient)
    reached, peak = flops["kernel/softmax/5,8,3/double"], flops["fma_peak/double"]
    row("share of the multiply-add peak, (5,8,3)", f"{reached / 1e9:.1f} GFlop/s", f"{peak / 1e9:.1f} GFlop/s",
        reached / peak, 0.4)


def strong_rows() -> None:
    """The population loss from memory, all samples, against the strongest PyTorch that this machine has."""
    if importlib.util.find_spec("torch") is None:
        return
    for *shape, target in STRONG_TARGETS:
        peer = json.loads(output_of(sys.executable, HERE / "torch_compiled.py", ",".join(map(str, shape)),
                                    STRONG_SAMPLES))
        ours = min(json.loads(output_of(*MPIRUN, 1, BENCH / "bench_ranks", STRONG_SAMPLES, *shape))
                   ["seconds_per_right_hand_side"] for _ in range(ROUNDS)) * 1e9 / STRONG_SAMPLES
        row(f"{STRONG_SAMPLES} samples from memory, softmax, ({','.join(map(str, shape))}), PyTorch {peer['torch']}: "
            f"{peer['best']}", f"{ours:.2f} ns/sample", f"{peer['nanoseconds']:.1f} ns/sample",
            peer["nanoseconds"] / ours, target)


def rank_rows() -> None:
    """Two ranks against one, and ten million samples."""
    best = {1: 1e9, 2: 1e9}
    for _ in range(ROUNDS):
        for ranks in best:
            result = json.loads(output_of(*MPIRUN, ranks, BENCH / "bench_ranks", 10**6, 4, 2, 2))
            best[ranks] = min(best[ranks], result["seconds_per_right_hand_side"])
    row("two ranks against one, 10^6 samples, (4,2,2)", f"{1e3 * best[2]:.2f} ms", f"{1e3 * best[1]:.2f} ms",
        best[1] / best[2], 1.8)
    large = json.loads(output_of(*MPIRUN, 2, BENCH / "bench_ranks", 10**7, 10, 2, 2))
    row("10^7 samples, (10,2,2), 2 ranks: peak memory, limit 8 GiB", f"{large['peak_gib']:.2f} GiB", "8 GiB",
        8 / large["peak_gib"], 1)
    row("the same: one right-hand side, drawing all samples",
        f"{1e3 * large['seconds_per_right_hand_side']:.0f} ms, {large['seconds_to_draw']:.1f} s")


def overlap_rows() -> None:
    """SGD by overlaps, (L,H) = (10,2): against the direct engine and PyTorch at D = 10^4, and its cost with D and
    batch."""
    # D, batch, replicas
    runs = [(10**4, 64, 1), (10**4, 1, 64), (10**3, 64, 1), (10**6, 64, 1), (10**9, 64, 1), (10**12, 64, 1),
            (10**4, 10**5, 1), (10**4, 1, 1)]
    has_torch = importlib.util.find_spec("torch") is not None
    best, two, direct, torch_step = {}, 1e9, 1e9, 1e9
    for _ in range(ROUNDS):
        for run in runs:
            result = json.loads(output_of(*MPIRUN, 1, BENCH / "bench_overlaps", run[0], 10, 2, *run[1:]))
            best[run] = min(best.get(run, 1e9), result["microseconds_per_sequence"])
        result = json.loads(output_of(*MPIRUN, 2, BENCH / "bench_overlaps", 10**4, 10, 2, 10**4, 1))
        two = min(two, result["microseconds_per_sequence"])
        result = json.loads(output_of(*MPIRUN, 1, BENCH / "bench_sgd", 10**4, 10, 2, 64))
        direct = min(direct, result["microseconds_per_sequence"])
        if has_torch:
            torch_step = min(torch_step, float(output_of(sys.executable, HERE / "torch_sgd.py")))

    def time_row(quantity: str, run: tuple[int, int, int], peer: float, target: float | None = None) -> None:
        row(f"SGD by overlaps, {quantity}", f"{best[run]:.3f} us/sequence", f"{peer:.3f} us/sequence", peer / best[run],
            target)

    time_row("D = 10^4, batch 64: limit", runs[0], 2, 1)
    time_row("D = 10^4, batch 1, 64 replicas: limit", runs[1], 2, 1)
    time_row("D = 10^4, batch 64: direct engine", runs[0], direct)
    if has_torch:
        time_row("D = 10^4, batch 64: PyTorch", runs[0], torch_step, 250)
    for run in runs[3:6]:
        time_row(f"D = 10^{len(str(run[0])) - 1} against 10^3, batch 64", run, best[runs[2]], 0.85)
    time_row("batch 10^5 against batch 64", runs[6], best[runs[0]])
    time_row("batch 1, one replica (one lane of a vector) against batch 64", runs[7], best[runs[0]])
    row("SGD by overlaps, batch 10^4: two ranks against one at batch 10^5", f"{two:.3f} us/sequence",
        f"{best[runs[6]]:.3f} us/sequence",
        best[runs[6]] / two)


def sgd_rows() -> None:
    """Direct SGD, (L,H) = (10,2): against PyTorch, its cost with D, on two ranks, by reduction, its memory."""
    # ranks, log10 D, batch, reduction
    alone = [(1, 3, 64, "exact"), (1, 4, 64, "exact"), (1, 5, 16, "exact"), (1, 6, 8, "exact")]
    one, largest, two = alone[1], alone[3], (2, 4, 64, "exact")
    one_fast, two_fast = (1, 4, 64, "fast"), (2, 4, 64, "fast")
    has_torch = importlib.util.find_spec("torch") is not None
    step, draw, torch_step = {}, {}, 1e9
    for _ in range(ROUNDS):
        for run in *alone, two, one_fast, two_fast:
            ranks, exponent, batch, reduction = run
            result = json.loads(output_of(*MPIRUN, ranks, BENCH / "bench_sgd", 10**exponent, 10, 2, batch, reduction))
            step[run] = min(step.get(run, 1e9), result["microseconds_per_sequence"])
            draw[run] = min(draw.get(run, 1e9), result["microseconds_to_draw"])
            if run == largest:
                used, stated = result["peak_gib"] - result["gib_at_start"], result["memory_gib"]
        if has_torch:
            torch_step = min(torch_step, float(output_of(sys.executable, HERE / "torch_sgd.py")))

    def time_row(quantity: str, ours: float, peer: float, target: float | None = None) -> None:
        row(f"direct SGD, D = 10^4, batch 64{quantity}", f"{ours:.1f} us/sequence", f"{peer:.1f} us/sequence",
            peer / ours,
            target)

    if has_torch:
        time_row(", (L,H) = (10,2), PyTorch", step[one], torch_step, 8)
    time_row(": two ranks against one", step[two], step[one], 1.7)
    time_row(": fast against exact reduction, one rank", step[one_fast], step[one])
    time_row(": fast against exact reduction, two ranks", step[two_fast], step[two])
    for run in alone:
        _, exponent, batch, _ = run
        each = 1e3 / (10 * 10**exponent)
        row(f"direct SGD, D = 10^{exponent}, batch {batch}: a step, drawing its numbers alone",
            f"{step[run]:.1f} us/sequence, {each * step[run]:.2f} ns a coordinate and token",
            f"{draw[run]:.1f} us/sequence, {each * draw[run]:.2f} ns", draw[run] / step[run])
    row("direct SGD, D = 10^6: peak memory above that at start-up, limit as stated", f"{used:.3f} GiB",
        f"{stated:.3f} GiB",
        stated / used, 1)


def flow_rows() -> None:
    """The quickstart's flow, adaptive and Euler, on one rank."""
    taken = {}
    with tempfile.TemporaryDirectory() as folder:
        for method, step in ("5dp", "0.1"), ("euler", "0.1"):
            begin = time.perf_counter()
            text = output_of(BUILD / "headflow", "run", HERE.parent.parent / "input/quickstart.toml", "--output",
                             f"{folder}/{method}.h5", "--set", f"flow.method={method}", "--set", f"flow.step={step}")
            taken[method] = time.perf_counter() - begin, int(re.search(r"(\d+) right-hand sides", text)[1])
    row("flow to t = 300, 65536 samples, one rank: right-hand sides, Euler step 0.1", f"{taken['5dp'][1]}",
        f"{taken['euler'][1]}",
        taken["euler"][1] / taken["5dp"][1], 10)
    row("the same: wall time with start-up and 301 outputs", f"{taken['5dp'][0]:.2f} s", f"{taken['euler'][0]:.2f} s",
        taken["euler"][0] / taken["5dp"][0])


SWEEP = """[model]
tokens = 4
prior = "flipping-spike"
signal = [2.0, 2.0]
[attention]
heads = 2
[start]
noise = 0.05
[population]
samples = 1024
[flow]
end_time = 100.0
outputs = 1
[sweep]
repeats = 2000
"""


def sweep_row() -> None:
    """Small flows, (L,H,F) = (4,2,2) with 1024 samples to t = 100, in one sweep on one rank; with start-up and
    checks."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sweep.toml"
        path.write_text(SWEEP)
        taken = []
        for _ in range(ROUNDS):
            begin = time.perf_counter()
            output_of(BUILD / "headflow", "run", path, "--force", "--output", path.with_suffix(".h5"))
            taken.append(time.perf_counter() - begin)
    row("sweep of 2000 small flows, one rank: members a second, limit", f"{2000 / min(taken):.0f}", "100",
        20 / min(taken), 1)


def core_rows() -> None:
    """Pieces: exact sums, drawing samples, writing the output."""
    results = benchmarks("bench_core", ".")
    for name, result in results.items():
        for counter, value in result.items():
            if counter.startswith("seconds_per_"):
                row(name.split("/")[0], f"{1e9 * value:.2f} ns/{counter.removeprefix('seconds_per_')}")
    output = results["write_output/real_time"]
    row("one update of the output file", f"{output['real_time']:.1f} {output['time_unit']}")


def main() -> None:
    print("| quantity | headflow | peer or limit | ratio | target | met |\n|---|---|---|---|---|---|", flush=True)
    kernel_rows()
    strong_rows()
    rank_rows()
    sgd_rows()
    overlap_rows()
    flow_rows()
    sweep_row()
    core_rows()


if __name__ == "__main__":
    main()
