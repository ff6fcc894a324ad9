"""A page about one file: pictures, tables, and the heads under a slider. It needs nothing besides itself."""
import contextlib
import html
import io
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from headflow.files import Data, Results, Run, Series, data_of, describe, results_of, series_of
from headflow.plot.figures import ALONE, SWEEPS, draw
from headflow.plot.moving import moving

NAMES = {"loss": "Loss", "m": "Overlaps of heads and features", "plane": "Heads in the plane of two features",
         "space": "Heads in the space of three features", "r": "Overlaps outside the span of the spikes",
         "b": "Biases and scale", "cosine": "Similarity of heads", "gradient": "Norm of the gradient",
         "hierarchy": "Sides of the heads along each feature", "growth": "Growth of the differences between heads",
         "angle": "Growth rate against the angle of patterns",
         "splits": "When runs of SGD split", "quantiles": "Quantiles of the split time against D",
         "pca": "Overlaps with the eigenvectors of E[theta theta']", "attention": "Attention at zero fields",
         "estimator": "Heads beside the Bayes estimator", "trained": "Loss of trained heads", "prune": "Pruning",
         "maps": "Attention maps", "cosine-map": "Similarity of heads over two swept keys",
         "heads-map": "Heads over two swept keys", "stages": "Growth and splits, predicted and observed"}
OWN_WORDS = "prune-spread", "scalings"  # drawn where they are asked for
MOST_MEMBERS = 200  # of a sweep in the table
WIDTH = 7.5  # of a picture at most, rem an inch: letters of all are of one size
PAGE = """\
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><link rel="icon" href="data:,"><style>{style}</style></head><body><main>
{body}
</main></body></html>
"""
STYLE = """
:root { color-scheme: light; }
body { font: 1rem/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; margin: 0 auto; padding: 1rem;
  max-width: 70rem; }
h1 { font-size: 1.5rem; line-height: 1.25; } h2 { font-size: 1.2rem; margin-top: 2rem; border-bottom: 1px solid #ccc; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 1rem; }
figure { margin: 0; break-inside: avoid; } .wide { grid-column: 1 / -1; } figcaption { font-size: .9rem; color: #444; }
svg { width: 100%; height: auto; display: block; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: .5rem 0; } caption { text-align: left; font-weight: 600; padding: .25rem 0; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid #ddd; text-align: left; font-variant-numeric: tabular-nums; }
td.number { text-align: right; }
pre { background: #f5f5f5; padding: .75rem; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
.moving { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 18rem), 1fr)); gap: 1.5rem;
  align-items: start; }
input[type=range] { width: 100%; min-height: 2.5rem; }
.warning { border-left: 4px solid #D55E00; padding: .25rem .75rem; }
.wrap { overflow-wrap: anywhere; } .whole { width: 100%; }
@media print { body { max-width: none; padding: 0; font-size: 10pt; } .slider { display: none; }
  h2 { break-after: avoid; } table, .moving { break-inside: avoid; } pre { white-space: pre-wrap; } }
"""


def text(value: Any) -> str:
    """As HTML."""
    return html.escape(str(value))


def plain(mathtext: str) -> str:
    """A title without the marks of mathtext."""
    return mathtext.replace("$", "").replace(r"\nu", "ν").replace(r"\cdot", "·")


def number(value: float, error: float = np.nan) -> str:
    """With its standard error where there is one; a dash for what is not known or never was."""
    if not np.isfinite(value):
        return "–"
    if not np.isfinite(error):
        return f"{value:.5g}"
    if error == 0:
        return f"{value:.6g} ± 0"
    digits = max(0, 1 - int(np.floor(np.log10(error))))
    return f"{value:.{digits}f} ± {error:.{digits}f}" if digits < 8 else f"{value:.6g} ± {error:.1g}"


def table(caption: str, titles: list[str], rows: list[list[str]]) -> str:
    """With the first column as heads of the rows."""
    head = "".join(f'<th scope="col">{text(title)}</th>' for title in titles)
    body = "".join(f'<tr><th scope="row">{text(row[0])}</th>' +
                   "".join(f'<td class="number">{text(cell)}</td>' for cell in row[1:]) + "</tr>" for row in rows)
    return (f'<div class="scroll"><table><caption>{text(caption)}</caption><thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>")


def svg_of(figure: Figure, name: str, label: str) -> str:
    """A picture inside the page: its ids are its own, and it refers to nothing outside."""
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    found = file.getvalue()
    found = found[found.index("<svg"):]
    found = re.sub(r"<metadata>.*?</metadata>", "", found, flags=re.DOTALL)
    found = re.sub(r'(\bid="|url\(#|href="#)', rf"\1{name}-", found)
    size = re.search(r'viewBox="[^"]*"', found)[0]
    return re.sub(r"<svg[^>]*>", f'<svg {size} role="img" aria-label="{text(label)}">', found, count=1)


def summary(run: Run, name: str) -> str:
    """What a picture shows, for those who cannot see it."""
    series = run.series[0]
    words = NAMES.get(name, name)
    if name == "loss" and "loss" in series:
        loss = series.average(series.get("loss"))[0]
        return f"{words}: from {loss[0]:.4g} at t = {series.time[0]:.4g} to {loss[-1]:.4g} at t = {series.time[-1]:.4g}"
    if name in ("plane", "m", "space"):
        last = series.average(series.m)[0][-1]
        heads = "; ".join(f"head {h + 1}: {', '.join(f'{x:.3g}' for x in head[:3])}" for h, head in enumerate(last[:8]))
        return f"{words}, at the end {heads}"
    return words


def panels_of(data: Data, asked: list[str]) -> list[str]:
    """What is asked for, else all that the file may have."""
    if asked:
        return asked
    if "sweep" in data:
        return [name for name in SWEEPS if name not in OWN_WORDS]
    run = ["loss", "m", "plane", "space", "r", "b", "cosine", "gradient", "hierarchy", "growth", "angle"]
    run += ["splits", "quantiles"] if "saddle/split_time_quantile" in data else []
    groups = {"prune": "prune/loss", "maps": "maps/sigma"}
    kinds = [name for name in run if "flow" in data or "sgd" in data]
    still = [] if moves(data) else ["b"]
    return [name for name in kinds if name not in still] + [name for name, needed in groups.items() if needed in data]


def moves(data: Data) -> bool:
    """Whether biases or the scale are trained."""
    kinds = [Series(kind, data) for kind in ("flow", "sgd") if kind in data]
    return any(series.moves(name) for series in kinds for name in ("b", "v"))


def pictures(data: Data, asked: list[str], options: dict[str, Any]) -> Iterator[str]:
    """A figure for each panel that the file has data for; one that was asked for must be drawn."""
    run = series_of(data) if "sweep" not in data and ("flow" in data or "sgd" in data) else None
    for name in panels_of(data, asked):
        figure = Figure()
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # what the page says by itself
                draw(figure, [data], [name], title="", **options)
        except ValueError:
            if asked:
                raise
            continue
        words = NAMES.get(name, name)
        if name == "trained" and "train/loss" not in data:
            words = "Loss at the end of the flow"
        label = summary(run, name) if run and name not in ALONE else words
        width, height = figure.get_size_inches()
        wide = ' class="wide"' if width > 2 * height else ""
        yield (f'<figure{wide} style="max-width: {WIDTH * width:.1f}rem">'
               f"{svg_of(figure, f'p-{name}', label)}"
               f"<figcaption>{text(words)}</figcaption></figure>")


def stages(run: Run) -> str:
    """Times and rates of the flow, of SGD and as predicted, with their standard errors."""
    data, features = run.data, run.features
    columns: dict[str, list[str]] = {}
    for series in run.series:
        for name, words in (("split_time", "split at t"), ("growth_rate", "growth rate")):
            values = np.atleast_2d(series.of_features(name))
            if not np.isfinite(values).any():
                continue
            title = f"{words} ({'flow' if series.kind == 'flow' else 'SGD'})"
            columns[title] = [mean_of(values[:, f]) for f in range(features)]
    for name, words in (("predicted_split_time", "split predicted"),
                        ("predicted_growth_rate", "growth rate predicted")):
        if f"saddle/{name}" in data:
            values = data.read(f"saddle/{name}", "feature")
            errors = errors_of(data, f"saddle/{name}", "feature")
            columns[words] = [number(value, error) for value, error in zip(values, errors)]
    rows = [[f"feature {f + 1}", *(column[f] for column in columns.values())] for f in range(features)]
    found = table("When heads split, and how fast", ["", *columns], rows) if columns else ""
    aligned = [(series.kind, np.ravel(data.read(f"{series.kind}/alignment_time", *series.runs[1:])))
               for series in run.series if f"{series.kind}/alignment_time" in data]
    split = any(np.isfinite(series.of_features("split_time")).any() for series in run.series)
    so_far = "" if split else " so far (no feature has split)"
    ends = [[f"heads align at t{so_far}, {kind.replace('sgd', 'SGD')}", mean_of(times)] for kind, times in aligned]
    for series in run.series:
        for name in ("loss", "gradient_norm"):
            if name in series:
                last, error = last_of(series, name)
                words = f"{name.replace('_', ' ')} at the end, {series.kind.replace('sgd', 'SGD')}"
                ends.append([f"{words} ({error})", last])
    if run.bayes_risk() is not None:
        ends.append(["Bayes risk", number(run.bayes_risk(), float(errors_of(data, "bayes/risk")))])
    return table("The run", ["", "value ± standard error"], ends) + found + overlaps(run) + rates(data)


def overlaps(run: Run) -> str:
    """m at the end: which head has learnt which feature."""
    series = run.series[0]
    last = series.average(series.m)[0][-1]
    rows = [[f"head {h + 1}", *(f"{x:.4g}" for x in head)] for h, head in enumerate(last)]
    titles = ["", *(f"feature {f + 1}" for f in range(run.features))]
    return table(f"Overlaps m at t = {series.time[-1]:.4g}, {'SGD' if series.kind == 'sgd' else 'flow'}", titles, rows)


def mean_of(values: np.ndarray) -> str:
    """Of replicas that have come so far, with the standard error; how many they are if not all."""
    known = values[np.isfinite(values)]
    if not known.size:
        return "–"
    error = known.std(ddof=1) / np.sqrt(known.size) if known.size > 1 else np.nan
    more = f" ({known.size} of {values.size})" if known.size < values.size else ""
    return number(known.mean(), error) + more


def last_of(series: Series, name: str) -> tuple[str, str]:
    """The value at the end, and of what its error is."""
    values = np.ravel(series.get(name)[-1])
    if values.size > 1:
        return mean_of(values), f"error: of the mean of {values.size} replicas"
    if f"{name}_stderr" not in series:
        return number(values[0], np.nan), "without an error"
    return number(values[0], np.ravel(series.get(f"{name}_stderr")[-1])[0]), "error: of the samples"


def members(results: Results) -> str:
    """The members of a sweep: losses, when heads split, least losses and Bayes risk, with their standard errors. What
    has replicas is their mean."""
    data, columns = results.data, {}
    for name, words in (("flow/loss", "flow: loss at the end"), ("flow/split_time", "flow: split at t"),
                        ("sgd/loss", "SGD: loss at the end"), ("sgd/split_time", "SGD: split at t"),
                        ("train/loss", "least loss"), ("bayes/risk", "Bayes risk")):
        if name not in data:
            continue
        runs = [axis for axis in ("start", "replica") if axis in data.axes(name)]
        own = ["feature"] if "feature" in data.axes(name) else []
        values = results.read(name, *runs, *own)
        values = values.reshape(*results.sizes(), results.repeats, -1, results.features if own else 1)
        errors = errors_of(data, name, *results.members, *own).reshape(values.shape) if not runs else np.nan * values
        for f in range(values.shape[-1]):
            columns[f"{words} feature {f + 1}" if own else words] = values[..., f], errors[..., f], "start" in runs
    rows = []
    for index, names in results.others(()):
        for repeat in range(results.repeats):
            own = [f"repeat {repeat + 1}"] if results.repeats > 1 else []
            row = [plain(", ".join([*names.values(), *own]))]
            for values, errors, starts in columns.values():
                here = values[(*index, repeat)]
                if starts:
                    row.append(number(np.fmin.reduce(here)))
                else:
                    row.append(mean_of(here) if here.size > 1 else number(here[0], errors[(*index, repeat)][0]))
            rows.append(row)
    shown = f"The first {MOST_MEMBERS} of {len(rows)} members" if len(rows) > MOST_MEMBERS else "The members"
    return table(f"{shown} (value ± standard error; of SGD the mean over replicas)", ["", *columns],
                 rows[:MOST_MEMBERS]) if columns else ""


def errors_of(data: Data, name: str, *axes: str) -> np.ndarray:
    """Standard errors of a variable over these axes, NaN where the file has none."""
    if f"{name}_stderr" in data:
        return data.read(f"{name}_stderr", *axes)
    return np.full_like(data.read(name, *axes), np.nan)


def rates(data: Data) -> str:
    """Growth rates at the saddle."""
    rows = []
    for name, words in (("split", "heads apart"), ("common", "all heads together")):
        if f"saddle/{name}_rate" in data:
            values = data.read(f"saddle/{name}_rate", f"{name}_mode")
            errors = errors_of(data, f"saddle/{name}_rate", f"{name}_mode")
            rows += [[f"{words}, {i + 1}", number(*pair)] for i, pair in enumerate(zip(values, errors))]
    return table("Growth rates at the unspecialized saddle", ["", "rate ± standard error"], rows) if rows else ""


def warned(data: Data, provenance: dict[str, str]) -> list[str]:
    """What the run has warned of, and what is missing."""
    found = [line for name in ("warnings", "failures") for line in provenance.get(name, "").splitlines() if line]
    if "sweep" in data:
        results = results_of(data)
        done = data.read("sweep/done", *results.members)
        if left := int((done != 1).sum()):
            found.append(f"{left} of {done.size} members of the sweep are not finished or have failed")
    if "stopped" in provenance:
        found.append(f"the run was stopped: {provenance['stopped']}")
    elif "finished" not in provenance:
        found.append("the run had not ended when this page was made")
    return found


def page(source: Any, panels: list[str] = (), features: tuple[int, ...] = (), by: tuple[str, ...] = (),
         log_time: bool = False, title: str | None = None) -> str:
    """The page about one file, as HTML. Features count from 1."""
    data = data_of(source)
    provenance, config = data.provenance(), data.toml("provenance/input")
    single = "sweep" not in data and ("flow" in data or "sgd" in data)
    run = series_of(data) if single else None
    names = ("activation", "prior", "tokens", "heads", "features", "signal", "mean")
    title = title or plain(describe(run.config if run else config, *names)) or data.path.name
    options = {"features": features, "by": by, "log_time": log_time}
    warnings = "".join(f'<p class="warning">{text(line)}</p>' for line in warned(data, provenance))
    told = ("input", "sweep", "warnings", "failures")
    rows = "".join(f'<tr><th scope="row">{text(name.replace("_", " "))}</th><td class="wrap">{text(value)}</td></tr>'
                   for name, value in provenance.items() if value and name not in told)
    places = tuple(f - 1 for f in features) or (0, 1)
    with contextlib.redirect_stdout(io.StringIO()):  # what is missing is a warning of the page
        sweep = members(results_of(data)) if "sweep" in data else ""
    parts = [
        f"<h1>{text(title)}</h1><p>{text(data.path.name)}, {text(provenance.get('version', 'headflow'))}</p>",
        f"<h2>Warnings</h2>{warnings}" if warnings else "",
        f"<h2>Stages</h2>{stages(run)}" if run else "",
        f"<h2>Members</h2>{sweep}" if sweep else "",
        moving(run, places) if run else "",
        f'<h2>Pictures</h2><div class="pictures">{"".join(pictures(data, list(panels), options))}</div>',
        f'<h2>Input</h2><pre tabindex="0">{text(provenance.get("input", ""))}</pre>',
        '<h2>Provenance</h2><div class="scroll"><table class="whole"><caption>What made the file</caption>'
        f"<tbody>{rows}</tbody></table></div>"]
    return PAGE.format(title=text(title), style=STYLE, body="\n".join(filter(None, parts)))
