#!/usr/bin/python3
"""The flow of two heads, from Sobol points to the loss at its outputs, as a strong PyTorch user would have it.

usage: torch_flow.py SAMPLES TOLERANCE SEEDS K END_TIME OUTPUTS     K: rows of [m | u] at the start, as JSON

The flipping spike at (2, 2), L = 4; points of torch's SobolEngine, steps of scipy's RK45 or DOP853 (whichever takes
less), evaluations of torch_compiled.py, one thread. Prints JSON: processor seconds of one job without imports and
without compiling, the least over seeds; for each seed right-hand sides, and m and the loss at each output. Debian:
python3-torch python3-scipy.
"""
import json
import sys
import time

import torch_compiled  # before torch, for which it sets the compiler
import numpy as np
import torch
from scipy.integrate import solve_ivp

L, F, NU = 4, 2, 2.0


def tokens(samples: int, H: int, seed: int) -> torch.Tensor:
    """x (L x P x samples): normal numbers from scrambled Sobol points, and theta = sqrt(nu) (1, +-1) in the first."""
    P = F + H
    points = torch.quasirandom.SobolEngine(L * P + 1, scramble=True, seed=seed).draw(samples, dtype=torch.float64).T
    half = 2.0 ** -54
    x = (2 ** 0.5 * torch.erfinv((2 * points[1:] - 1).clamp(half - 1, 1 - half))).view(L, P, samples)
    x[0, 0] += NU ** 0.5
    x[0, 1] += NU ** 0.5 * torch.where(points[0] < 0.5, -1.0, 1.0)
    return x.contiguous()


def flow(variant, samples: int, seed: int, start: np.ndarray, tolerance: float, times: np.ndarray, method: str):
    """Processor seconds; right-hand sides; m (times x H x F) and the loss at `times`."""
    begin = time.process_time()
    pieces = variant.prepared(tokens(samples, len(start), seed))

    def right_hand_side(_, y):
        return variant.sums(torch.from_numpy(y).view(start.shape), pieces)[1:].numpy() * (-1 / samples)

    solution = solve_ivp(right_hand_side, (0, times[-1]), start.ravel(), method, times, rtol=tolerance, atol=tolerance)
    states = solution.y.T.reshape(len(times), *start.shape).copy()
    loss = [variant.loss(torch.from_numpy(state), pieces).item() / samples for state in states]
    return time.process_time() - begin, solution.nfev, states[:, :, :F], np.array(loss)


def main() -> None:
    torch_compiled.restart_with_settings()
    torch.set_num_threads(1)
    samples, tolerance, seeds = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    start = np.array(json.loads(sys.argv[4]))
    times = np.linspace(0, float(sys.argv[5]), int(sys.argv[6]) + 1)
    K = torch.from_numpy(start)
    x = tokens(samples, len(start), 0)
    name, variant, taken = torch_compiled.best_variant(x, K)
    variant.loss(K, variant.prepared(x))  # compiles it

    def run(seed, method):
        return flow(variant, samples, seed, start, tolerance, times, method)

    method = min(("RK45", "DOP853"), key=lambda method: run(0, method)[0])
    results = [run(seed, method) for seed in range(seeds)]
    print(json.dumps({"torch": torch.__version__, "variant": name, "nanoseconds": taken[name], "method": method,
                      "seconds": min(result[0] for result in results),
                      "right_hand_sides": [result[1] for result in results],
                      "m": [result[2].tolist() for result in results],
                      "loss": [result[3].tolist() for result in results]}))


if __name__ == "__main__":
    main()
