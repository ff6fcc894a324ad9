#!/usr/bin/python3
"""SGD on fresh D-dimensional sequences as a notebook would have it: PyTorch autograd, softmax, flipping spike, one
thread.

Prints microseconds per sequence of a whole step, drawing the batch included, best of --repeats. Debian: python3-torch.
"""
import argparse
import time

import torch


def draw_batch(spikes: torch.Tensor, L: int, batch: int) -> torch.Tensor:
    """Tokens (batch x L x D): normal numbers, around theta k* with theta = sqrt(2) (1, +-1) for the first."""
    sign = 2.0 * torch.randint(0, 2, (batch, 1)) - 1
    theta = 2 ** 0.5 * torch.cat([torch.ones(batch, 1), sign], 1)
    X = torch.randn(batch, L, spikes.shape[1])
    X[:, 0] += theta @ spikes
    return X


def mean_loss(k: torch.Tensor, X: torch.Tensor) -> torch.Tensor:
    """|X_1 - sum_l A_l X_l|^2 / D, averaged over the batch."""
    A = torch.softmax(X @ k.T, 1).mean(2)
    residual = X[:, 0] - torch.einsum("bl,bld->bd", A, X)
    return (residual ** 2).sum(1).mean() / X.shape[2]


def microseconds_per_sequence(D: int, L: int, H: int, batch: int, repeats: int) -> float:
    """Best time of a step in single precision, divided by the batch."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    spikes = torch.randn(2, D) / D ** 0.5
    k = (torch.randn(H, D) / D ** 0.5).requires_grad_()
    best = float("inf")
    for _ in range(repeats):
        begin = time.perf_counter()
        loss = mean_loss(k, draw_batch(spikes, L, batch))
        (gradient,) = torch.autograd.grad(loss, k)
        with torch.no_grad():
            k -= 1e-3 * gradient
        best = min(best, time.perf_counter() - begin)
    return 1e6 * best / batch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dimension", type=int, default=10000)
    parser.add_argument("--tokens", type=int, default=10)
    parser.add_argument("--heads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    print(microseconds_per_sequence(options.dimension, options.tokens, options.heads, options.batch, options.repeats))


if __name__ == "__main__":
    main()
