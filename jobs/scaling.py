#!/usr/bin/python3
"""Table (Markdown, on standard output) and picture of what scaling.sh measured: scaling.py scaling.csv scaling.png"""
import csv
import sys

import matplotlib

matplotlib.use("Agg")
matplotlib.rcParams |= {"font.family": "STIXGeneral", "mathtext.fontset": "stix", "font.size": 11}
import matplotlib.pyplot as plt

KINDS = {"flow-strong": "flow, strong", "flow-weak": "flow, weak", "sgd-strong": "SGD, strong", "sgd-weak": "SGD, weak"}

source, picture = sys.argv[1:]
seconds = {}  # kind: {ranks: (size, seconds)}
with open(source, newline="") as file:
    for row in csv.DictReader(file):
        seconds.setdefault(row["kind"], {})[int(row["ranks"])] = int(row["size"]), float(row["seconds"])

print("| scaling | ranks | samples or batch | ms a step | efficiency |\n|---|---|---|---|---|")
figure, axes = plt.subplots(figsize=(5, 4), layout="constrained")
for kind, label in KINDS.items():
    ranks = sorted(seconds.get(kind, {}))
    if not ranks:
        continue
    alone = seconds[kind][ranks[0]][1] * ranks[0]  # of one rank; the same work on n ranks should take 1/n of it
    efficiency = []
    for n in ranks:
        size, time = seconds[kind][n]
        efficiency.append(alone / time / (n if kind.endswith("strong") else ranks[0]))
        print(f"| {label} | {n} | {size} | {1e3 * time:.3g} | {efficiency[-1]:.2f} |")
    marker, colour = ("o", "#003A6B") if kind.startswith("flow") else ("s", "#BC4A00")
    look = {"ls": "-", "ms": 8} if kind.endswith("strong") else {"ls": "--", "mfc": "white", "zorder": 3}
    axes.plot(ranks, efficiency, marker, color=colour, label=label, **look)
axes.set(xscale="log", xlabel="ranks", ylabel="efficiency")
axes.set_xticks(every := sorted({n for rows in seconds.values() for n in rows}), [str(n) for n in every])
axes.minorticks_off()
axes.set_ylim(0, None)
axes.axhline(1, color="0.7", lw=0.8, zorder=0)
axes.legend(frameon=False)
figure.savefig(picture, dpi=150)
