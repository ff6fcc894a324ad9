#!/usr/bin/python3
"""The population loss and its gradient as a notebook would have it: PyTorch autograd on Monte Carlo samples, one
thread.

Prints nanoseconds per sample of one loss-and-gradient evaluation, best of --repeats. Debian: python3-torch.
"""
import argparse
import time

import torch


def attention(activation: str, fields: torch.Tensor, b: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """A (samples x L) from the fields (samples x L x H)."""
    if activation == "softmax":
        return torch.softmax(fields, 1).mean(2)
    fields = fields + b
    if activation == "softmax-1":
        top = fields.amax(1, keepdim=True).clamp(min=0)
        weights = torch.exp(fields - top)
        return v * (weights / (torch.exp(-top) + weights.sum(1, keepdim=True))).mean(2)
    return torch.softmax(fields.flatten(1), 1).view(fields.shape).sum(2)


def nanoseconds_per_sample(activation: str, L: int, H: int, F: int, samples: int, repeats: int) -> float:
    """Best time of loss and gradient with respect to K, b and v in double precision."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    x = torch.randn(samples, L, F + H, dtype=torch.float64)
    x[:, 0, :F] += 2 ** 0.5
    K = (0.5 * torch.randn(H, F + H, dtype=torch.float64)).requires_grad_()
    b = torch.zeros(H, dtype=torch.float64, requires_grad=True)
    v = torch.ones((), dtype=torch.float64, requires_grad=True)
    best = float("inf")
    for _ in range(repeats):
        begin = time.perf_counter()
        A = attention(activation, x @ K.T, b, v)
        loss = ((1 - A[:, 0]) ** 2 + (A[:, 1:] ** 2).sum(1)).mean()
        torch.autograd.grad(loss, (K, b, v), allow_unused=True)
        best = min(best, time.perf_counter() - begin)
    return 1e9 * best / samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--activation", default="softmax", choices=["softmax", "softmax-1", "bayes-softmax"])
    parser.add_argument("--tokens", type=int, default=4)
    parser.add_argument("--heads", type=int, default=2)
    parser.add_argument("--features", type=int, default=2)
    parser.add_argument("--samples", type=int, default=65536)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    print(nanoseconds_per_sample(options.activation, options.tokens, options.heads, options.features, options.samples,
                                 options.repeats))


if __name__ == "__main__":
    main()
