#!/usr/bin/env python3
"""How the flow scales to ranks that this machine does not have: strong and weak, by counted messages and a model.

usage: tests/bench/scaling.py [PICTURE]     prints the table of README.md beside it; draws the picture (scaling.png)

A right-hand side takes on p ranks   t(p) = ceil(blocks / p) BLOCK tau + (7/6) a ceil(log2 p) + 2 b bytes
with tau seconds a sample, one collective operation for the sums and one more for the six of a step (whether to stop),
and the bytes that tests/system/test_communication.py counts. a and b are the network's: `headflow check` uses the same.
"""
import math
import sys

LATENCY, PER_BYTE = 2e-6, 1e-10  # as seconds_of_messages in src/sections/cost.cpp
BLOCK = 1024                     # samples that stay together, as block_size
SHAPES = {(4, 2, 2): 10e-9, (10, 2, 2): 32e-9, (5, 8, 3): 60e-9}  # L, H, F: seconds a sample, from memory
SAMPLES = 10**7, 10**8, 10**9, 10**10
MOST = 10**6


def sent_bytes(heads, features):
    return 8 * (6 * (heads * (features + heads + 1) + 2) + 4)


def seconds(shape, samples, ranks):
    """Of one right-hand side."""
    blocks = math.ceil(samples / BLOCK)
    work = math.ceil(blocks / ranks) * min(BLOCK, samples) * SHAPES[shape]
    return work + (7 / 6 * LATENCY * math.ceil(math.log2(ranks)) + 2 * PER_BYTE * sent_bytes(*shape[1:])
                   if ranks > 1 else 0)


def strong(shape, samples, ranks):
    """Efficiency: the same samples on more ranks."""
    return seconds(shape, samples, 1) / ranks / seconds(shape, samples, ranks)


def weak(shape, each, ranks):
    """Efficiency: as many samples for each rank."""
    return seconds(shape, each, 1) / seconds(shape, each * ranks, ranks)


def ranks_of():
    """1 to MOST, a thirtieth apart."""
    ranks = 1
    while ranks <= MOST:
        yield ranks
        ranks += 1 + ranks // 32


def half(shape, samples):
    """The most ranks at which half of the time is work."""
    return max(ranks for ranks in ranks_of() if strong(shape, samples, ranks) >= 0.5)


def table():
    lines = ["| L, H, F | ns a sample | bytes a rank sends | " + " | ".join(f"10^{round(math.log10(n))} samples"
                                                                           for n in SAMPLES) + " |",
             "|---|---|---|" + "---|" * len(SAMPLES)]
    for shape, each in SHAPES.items():
        counts = [half(shape, samples) for samples in SAMPLES]
        cells = [f"{count} ranks, {1e6 * seconds(shape, samples, count):.0f} us" if count < MOST * 0.96
                 else "over a million ranks" for samples, count in zip(SAMPLES, counts)]
        lines.append(f"| {', '.join(map(str, shape))} | {1e9 * each:.0f} | {sent_bytes(*shape[1:])} | "
                     f"{' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def draw(path):
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained", sharey=True)
    colours = "#003A6B", "#BC4A00", "#14A37A", "#E3A61F"  # as PALETTE of headflow-plot
    dashes = dict(zip(SHAPES, ("-", "--", ":")))
    ranks = list(ranks_of())
    for shape, dash in dashes.items():
        for samples, colour in zip(SAMPLES, colours):
            left.plot(ranks, [strong(shape, samples, p) for p in ranks], dash, color=colour, lw=1.2)
        for each, colour in zip((10**4, 10**5, 10**6), colours):
            right.plot(ranks, [weak(shape, each, p) for p in ranks], dash, color=colour, lw=1.2)
        left.plot([], [], dash, color="0.3", label="L, H, F = {}, {}, {}".format(*shape))
    for samples, colour in zip(SAMPLES, colours):
        left.plot([], [], color=colour, label=f"$10^{{{round(math.log10(samples))}}}$ samples")
    for each, colour in zip((4, 5, 6), colours):
        right.plot([], [], color=colour, label=f"$10^{each}$ samples a rank")
    for ax, title in (left, "the same samples"), (right, "as many for each rank"):
        ax.axhline(0.5, color="0.7", lw=0.8)
        ax.set(xscale="log", ylim=(0, 1.05), xlabel="ranks", title=title)
        ax.legend(fontsize=6, loc="lower left", frameon=False)
    left.set_ylabel("efficiency of a right-hand side")
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    print(table(), end="")
    draw(sys.argv[1] if len(sys.argv) > 1 else "scaling.png")
