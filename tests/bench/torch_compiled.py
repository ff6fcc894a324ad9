#!/usr/bin/python3
"""The population loss and its gradient as a strong PyTorch user would have it: softmax, gradient by hand, one thread.

usage: torch_compiled.py L,H,F [SAMPLES]     prints JSON: nanoseconds per sample of each variant, and the best one

Samples are the last axis, so that every operation is one of vectors. PyTorch 2.6 or newer compiles tokens, heads and
coordinates unrolled into one loop over samples, with a compiler that links SLEEF (Debian 13: python3-torch python3-dev
python3-setuptools libtorch-dev pybind11-dev g++ libsleef-dev): without SLEEF it makes no vectors. Older ones run matrix
products and vector operations on chunks that stay in cache. Each variant is checked against automatic differentiation.
"""
import json
import math
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

# Read by PyTorch and by malloc when they start.
SETTINGS = {"MALLOC_MMAP_THRESHOLD_": str(2**33), "MALLOC_TRIM_THRESHOLD_": str(2**33),
            "MALLOC_TOP_PAD_": str(2**28), "THP_MEM_ALLOC_ENABLE": "1"}
FOLDER = tempfile.TemporaryDirectory()
if next(Path("/usr/include").glob("*/sleef.h"), None):
    compiler = Path(FOLDER.name, "g++-sleef")
    compiler.write_text('#!/bin/sh\nexec g++ "$@" -lsleef\n')
    compiler.chmod(0o755)
    os.environ["CXX"] = str(compiler)

import torch  # noqa: E402  (after CXX)

PAD = 200        # samples between rows: no strides that are powers of two
SECONDS = 0.5    # to measure a variant
FUSED = {"cpp.enable_floating_point_contract_flag": True, "max_fusion_size": 10**5,
         "cpp.max_horizontal_fusion_size": 10**5}


def restart_with_settings() -> None:
    """Begins anew with settings that a running process no longer reads."""
    if any(os.environ.get(name) != value for name, value in SETTINGS.items()):
        os.environ.update(SETTINGS)
        FOLDER.cleanup()
        os.execv(sys.executable, [sys.executable, *sys.argv])


def can_compile() -> bool:
    return hasattr(torch, "compile") and shutil.which("g++") is not None


def total(terms: list) -> torch.Tensor:
    """The sum of a list, not begun at zero."""
    result = terms[0]
    for term in terms[1:]:
        result = result + term
    return result


def softmax_of(fields: list) -> list:
    """Softmax over a list of vectors, one for each token."""
    top = fields[0]
    for field in fields[1:]:
        top = torch.maximum(top, field)
    powers = [torch.exp(field - top) for field in fields]
    inverse = 1 / total(powers)
    return [power * inverse for power in powers]


def weights_of(K: torch.Tensor, x: torch.Tensor) -> list:
    """sigma[h][t], a vector over samples each, from x (L x P x samples)."""
    return [softmax_of([total([K[h, p] * x[t, p] for p in range(x.shape[1])]) for t in range(x.shape[0])])
            for h in range(K.shape[0])]


def residuals_of(sigma: list) -> list:
    """A_l - delta_{l,1}."""
    A = [total([head[t] for head in sigma]) * (1 / len(sigma)) for t in range(len(sigma[0]))]
    return [A[0] - 1] + A[1:]


def loss_sum(K: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Sum of the loss over samples."""
    return total([c * c for c in residuals_of(weights_of(K, x))]).sum()


def sums(K: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Sums over samples: the loss, then its gradient by K."""
    L, P = x.shape[:2]
    sigma = weights_of(K, x)
    c = residuals_of(sigma)
    a = [value * (2 / len(sigma)) for value in c]
    result = [total([value * value for value in c]).sum()]
    for head in sigma:
        mean = total([head[t] * a[t] for t in range(L)])
        g = [head[t] * (a[t] - mean) for t in range(L)]
        result += [total([g[t] * x[t, p] for t in range(L)]).sum() for p in range(P)]
    return torch.stack(result)


def sums_by_heads(K: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """The same with heads as an axis, so that many of them stay one small loop."""
    L, P = x.shape[:2]
    realize = torch.ops._inductor_test.realize
    sigma = [realize(value) for value in softmax_of([total([K[:, p, None] * x[t, p] for p in range(P)])
                                                     for t in range(L)])]
    c = [value.sum(0) * (1 / K.shape[0]) for value in sigma]
    c = [c[0] - 1] + c[1:]
    a = [realize(value * (2 / K.shape[0])) for value in c]
    mean = total([sigma[t] * a[t] for t in range(L)])
    g = [sigma[t] * (a[t] - mean) for t in range(L)]
    gradient = torch.stack([total([g[t] * x[t, p] for t in range(L)]).sum(1) for p in range(P)], 1)
    return torch.cat([total([value * value for value in c]).sum().view(1), gradient.flatten()])


def compiled(function, **options):
    return torch.compile(function, dynamic=False, fullgraph=True, options={**FUSED, **options})


def one_loop(reads: int) -> dict:
    """Options with which nothing that is read up to `reads` times is stored between."""
    return {"realize_reads_threshold": reads, "realize_opcount_threshold": 10**6,
            "realize_acc_reads_threshold": 10**6}


class Compiled:
    """Sums over samples by compiled functions, chunk by chunk. Compiles when it is first called."""

    def __init__(self, function, size: int | None, **options):
        self.size = size
        self.evaluate = compiled(function, **options)
        self.evaluate_loss = compiled(loss_sum, **options)

    def prepared(self, x: torch.Tensor) -> list:
        """x (L x P x samples) in pieces, each with its rows side by side, PAD apart where they are large."""
        pieces = []
        for piece in x.split(self.size or x.shape[2], 2):
            room = torch.empty(*x.shape[:2], piece.shape[2] + (PAD if piece.shape[2] > 4096 else 16), dtype=x.dtype)
            pieces.append(room[:, :, :piece.shape[2]].copy_(piece))
        return pieces

    def sums(self, K: torch.Tensor, pieces: list) -> torch.Tensor:
        return total([self.evaluate(K, piece) for piece in pieces])

    def loss(self, K: torch.Tensor, pieces: list) -> torch.Tensor:
        return total([self.evaluate_loss(K, piece) for piece in pieces])


class Products:
    """Matrix products and operations on whole chunks that stay in cache: for a PyTorch that does not compile."""

    def __init__(self, size: int):
        self.size = size

    def prepared(self, x: torch.Tensor) -> list:
        L, P, _ = x.shape
        return [(L, piece.transpose(0, 1).reshape(P, -1).contiguous()) for piece in x.split(self.size, 2)]

    @staticmethod
    def residuals(K: torch.Tensor, L: int, piece: torch.Tensor) -> tuple:
        sigma = torch.softmax(torch.mm(K, piece).view(len(K), L, -1), 1)
        c = sigma.mean(0)
        c[0] -= 1
        return sigma, c, torch.dot(c.view(-1), c.view(-1))

    def sums(self, K: torch.Tensor, pieces: list) -> torch.Tensor:
        loss, gradient = torch.zeros((), dtype=K.dtype), torch.zeros_like(K)
        for L, piece in pieces:
            sigma, c, squares = self.residuals(K, L, piece)
            loss += squares
            c *= 2 / len(K)
            sigma *= c - (sigma * c).sum(1, keepdim=True)
            gradient.addmm_(sigma.view(len(K), -1), piece.T)
        return torch.cat([loss.view(1), gradient.flatten()])

    def loss(self, K: torch.Tensor, pieces: list) -> torch.Tensor:
        return total([self.residuals(K, L, piece)[2] for L, piece in pieces])


def variants(H: int):
    """Names and evaluations."""
    for size in 512, 1024, 2048:
        yield f"eager, by hand, matrix products, chunks of {size}", Products(size)
    if can_compile():
        import torch._inductor.test_operators  # noqa: F401  (realize)
        for reads in 8, 16:
            yield f"compiled, by hand, one loop, reads {reads}", Compiled(sums, None, **one_loop(reads))
        yield ("compiled, by hand, one loop, chunks of 16384",
               Compiled(sums, 16384, cpp_wrapper=True, **one_loop(8)))
        if H > 2:
            for size in 1024, 2048, 4096:
                yield (f"compiled, by hand, loop over heads, chunks of {size}",
                       Compiled(sums_by_heads, size, cpp_wrapper=True))


def reference_sums(K: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """By automatic differentiation of the loss as it is usually written."""
    K = K.clone().requires_grad_()
    A = torch.softmax(torch.einsum("hp,lps->lhs", K, x), 0).mean(1)
    loss = ((1 - A[0]) ** 2 + (A[1:] ** 2).sum(0)).sum()
    gradient, = torch.autograd.grad(loss, K)
    return torch.cat([loss.detach().view(1), gradient.flatten()])


def best_variant(x: torch.Tensor, K: torch.Tensor) -> tuple:
    """Name and evaluation of the fastest variant; nanoseconds per sample of every one by name."""
    truth = reference_sums(K, x)
    best, taken = None, {}
    for name, variant in variants(K.shape[0]):
        pieces = variant.prepared(x)
        error = ((variant.sums(K, pieces) - truth).abs().max() / truth.abs().max()).item()
        if not error < 1e-10:
            sys.exit(f"{name}: wrong by {error}")
        least, end = math.inf, time.perf_counter() + SECONDS
        while time.perf_counter() < end:
            begin = time.perf_counter()
            variant.sums(K, pieces)
            least = min(least, time.perf_counter() - begin)
        taken[name] = 1e9 * least / x.shape[2]
        if best is None or taken[name] < taken[best[0]]:
            best = name, variant
    return *best, taken


def main() -> None:
    restart_with_settings()
    L, H, F = map(int, sys.argv[1].split(","))
    samples = int(sys.argv[2]) if len(sys.argv) > 2 else 65536
    torch.set_num_threads(1)
    torch.manual_seed(0)
    x = torch.randn(L, F + H, samples, dtype=torch.float64)
    x[0, :F] += 2 ** 0.5
    name, _, taken = best_variant(x, 0.5 * torch.randn(H, F + H, dtype=torch.float64))
    print(json.dumps({"torch": torch.__version__, "best": name, "nanoseconds": taken[name], "all": taken}))


if __name__ == "__main__":
    main()
