"""The heads in the plane and their attention, in a page, with a slider over time."""
import json
from typing import Any

import numpy as np

from headflow.files import Run
from headflow.plot.animation import at_times
from headflow.plot.look import colours_of

FRAMES = 120  # places of the slider
SIDE = 320    # of the picture, in its own units
MOST_VECTORS = 6
SCRIPT = """
const data = JSON.parse(document.getElementById("frames").textContent);
const slider = document.getElementById("time"), clock = document.getElementById("clock");
function show(i) {
  const text = "t = " + data.time[i] + ", loss " + data.loss[i];
  clock.textContent = text;
  slider.setAttribute("aria-valuetext", text);
  for (const [kind, frames] of Object.entries(data.places))
    frames[i].forEach((place, h) => {
      const dot = document.getElementById(kind + "-" + h);
      dot.setAttribute("cx", place[0]);
      dot.setAttribute("cy", place[1]);
    });
  data.places.flow[0].forEach((_, h) => document.getElementById("path-" + h).setAttribute(
    "points", data.places.flow.slice(0, i + 1).map(frame => frame[h].join(",")).join(" ")));
  if (data.attention) data.attention[i].forEach((row, h) => row.forEach((value, k) => {
    const cell = document.getElementById("attention-" + h + "-" + k);
    cell.textContent = value.toFixed(3);
    cell.style.background = "rgba(0, 114, 178, " + Math.max(0, Math.min(1, value)) * 0.6 + ")";
  }));
}
slider.addEventListener("input", () => show(Number(slider.value)));
show(Number(slider.value));
"""


def vectors(run: Run) -> list[np.ndarray]:
    """Some theta of the prior: its atoms, the means of a mixture, or a standard deviation along each feature from its
    mean, to both sides where that is not zero."""
    model, F = run.config.get("model", {}), run.features
    signal = np.ravel(model.get("signal", 1.0)).astype(float)
    if model.get("prior") == "flipping-spike" and F == 2:
        return [np.sqrt(np.array([signal[0], signal[-1]])) * [1, sign] for sign in (1, -1)]
    for key in "atoms", "means":
        if key in model:
            return [np.array(atom, dtype=float) for atom in model[key]][:MOST_VECTORS]
    if "covariance" in model:
        sizes = np.sqrt(np.diag(np.array(model["covariance"], dtype=float)))
    elif model.get("prior") == "product":
        sizes = np.sqrt(np.broadcast_to(signal, F))
    else:
        sizes = np.sqrt(np.interp(np.arange(F), [0, max(F - 1, 1)], [signal[0], signal[-1]]))
    mean = np.broadcast_to(np.array(model.get("mean", 0.0), dtype=float), F)
    sides = (1, -1) if mean.any() else (1,)
    steps = [side * size * np.eye(F)[f] for f, size in enumerate(sizes) if size for side in sides]
    return [mean + step for step in steps or [np.zeros(F)]][:MOST_VECTORS]


def attention(run: Run, m: np.ndarray, b: np.ndarray, v: np.ndarray, thetas: list[np.ndarray]) -> np.ndarray | None:
    """Attention (time, head, theta) of the relevant token where no token has noise (theory.md section 2): its fields
    are m theta, those of all others 0. None for an activation that is not known here."""
    L, kind = run.config["model"].get("tokens", 0), run.config.get("attention", {}).get("activation")
    field = np.einsum("thf,kf->thk", m, np.array(thetas))
    bias = 0.0 if kind == "softmax" else b[:, :, None]
    if kind not in ("softmax", "softmax-1", "bayes-softmax") or L < 2:
        return None
    own, others = field + bias, np.zeros_like(field) + bias
    top = np.maximum(np.maximum(own, others), 0.0)
    if kind == "bayes-softmax":
        top = top.max(axis=1, keepdims=True)
        weights = np.exp(own - top)
        return own.shape[1] * weights / (weights + (L - 1) * np.exp(others - top)).sum(axis=1, keepdims=True)
    sink = np.exp(-top) if kind == "softmax-1" else 0.0
    scale = v[:, None, None] if kind == "softmax-1" else 1.0
    return scale * np.exp(own - top) / (sink + np.exp(own - top) + (L - 1) * np.exp(others - top))


def curves(run: Run, times: np.ndarray, features: tuple[int, int]) -> dict[str, np.ndarray]:
    """{"flow", "sgd" or "origin": places (time, head, 2) in the picture}, which has all of them inside."""
    planes = {series.kind: at_times(series, series.average(series.m)[0], times)[..., features]
              for series in run.series}
    every = np.concatenate([plane.reshape(-1, 2) for plane in planes.values()] + [np.zeros((1, 2))])
    every = every[np.isfinite(every).all(axis=1)]
    middle, reach = (every.max(axis=0) + every.min(axis=0)) / 2, 0.55 * (np.ptp(every, axis=0).max() or 1.0)
    planes["origin"] = np.zeros((1, 1, 2))
    return {kind: (SIDE / 2 + (np.nan_to_num(plane) - middle) / reach * [SIDE / 2, -SIDE / 2]).round(2)
            for kind, plane in planes.items()}


def css(colour: Any) -> str:
    return colour if isinstance(colour, str) else "rgb({:.0f},{:.0f},{:.0f})".format(*(255 * np.array(colour[:3])))


def scene(places: dict[str, np.ndarray], features: tuple[int, int]) -> str:
    """The plane at the last time, as the marks of an SVG that the script moves."""
    (x, y), colours = places["origin"][0, 0], [css(colour) for colour in colours_of(places["flow"].shape[1])]
    marks = [f'<line x1="0" x2="{SIDE}" y1="{y}" y2="{y}" stroke="#ccc"/>',
             f'<line y1="0" y2="{SIDE}" x1="{x}" x2="{x}" stroke="#ccc"/>',
             f'<rect width="{SIDE}" height="{SIDE}" fill="none" stroke="#888"/>',
             f'<text x="{SIDE - 4}" y="{SIDE - 6}" text-anchor="end" font-size="11">feature {features[0] + 1}</text>',
             f'<text x="6" y="14" font-size="11">feature {features[1] + 1}</text>']
    marks += [f'<polyline id="path-{h}" points="" fill="none" stroke="{colour}" stroke-width="1.5"/>'
              for h, colour in enumerate(colours)]
    for kind, size, more in (("flow", 5, ""), ("sgd", 3.5, ", SGD")):
        for h, (x, y) in enumerate(places[kind][-1] if kind in places else ()):
            look = f'fill="white" stroke="{colours[h]}"' if more else f'fill="{colours[h]}" stroke="white"'
            marks.append(f'<circle id="{kind}-{h}" cx="{x}" cy="{y}" r="{size}" {look}>'
                         f"<title>head {h + 1}{more}</title></circle>")
    return (f'<svg viewBox="0 0 {SIDE} {SIDE}" role="img" aria-label="Heads in the plane of features '
            f'{features[0] + 1} and {features[1] + 1}">{"".join(marks)}</svg>')


def cells(sigma: np.ndarray, thetas: list[np.ndarray], share: bool) -> str:
    """Attention (head, theta) as a table. `share`: whether heads share the attention of all."""
    head = "".join(f'<th scope="col">θ = ({", ".join(f"{x:.3g}" for x in theta)})</th>' for theta in thetas)
    rows = ""
    for h, row in enumerate(sigma):
        numbers = [f'<td class="number" id="attention-{h}-{k}">{x:.3f}</td>' for k, x in enumerate(row)]
        rows += f'<tr><th scope="row">head {h + 1}</th>{"".join(numbers)}</tr>'
    caption = f" (σ of theory.md: over all heads and tokens it sums to H = {len(sigma)})" if share else ""
    return (f'<div class="scroll"><table><caption>Attention of the relevant token, where no token has noise{caption}'
            f'</caption><thead><tr><th scope="col">head</th>{head}</tr></thead><tbody>{rows}</tbody></table></div>')


def moving(run: Run, features: tuple[int, int]) -> str:
    """The heads in the plane and their attention, with a slider over time; empty where there is no plane or no time."""
    first = run.series[0]  # the flow, or SGD alone in its file
    if run.features < 2 or first.time.size < 2:
        return ""
    times = first.time[np.unique(np.linspace(0, first.time.size - 1, FRAMES).round().astype(int))]
    places = curves(run, times, features)
    if first.kind == "sgd":
        places["flow"] = places.pop("sgd")
    own = {"b": ("head",), "v": (), "loss": ()}
    mean = {name: at_times(first, first.average(first.get(name, *axes))[0], times)
            for name, axes in own.items() if name in first}
    thetas, loss = vectors(run), mean.get("loss", np.full(times.size, np.nan))
    m = at_times(first, first.average(first.m)[0], times)
    sigma = attention(run, m, mean["b"], mean["v"], thetas) if {"b", "v"} <= set(mean) else None
    if sigma is not None:
        sigma = np.nan_to_num(sigma).round(4)
    frames = {"time": [f"{t:.4g}" for t in times], "loss": [f"{x:.4f}" for x in loss],
              "places": {kind: place.tolist() for kind, place in places.items() if kind != "origin"},
              "attention": None if sigma is None else sigma.tolist()}
    script, last = json.dumps(frames, separators=(",", ":")).replace("<", "\\u003c"), times.size - 1
    unknown = "<p>The attention of this activation is not known to the report.</p>"
    share = run.config.get("attention", {}).get("activation") == "bayes-softmax"
    table = cells(sigma[-1], thetas, share) if sigma is not None else unknown
    return (f'<h2>The heads over time</h2><div class="slider"><label for="time">Time</label>'
            f'<input type="range" id="time" min="0" max="{last}" value="{last}" step="1"></div>'
            f'<p><output id="clock" for="time" aria-live="polite">t = {times[-1]:.4g}, loss {loss[-1]:.4f}</output></p>'
            f'<div class="moving">{scene(places, features)}{table}</div>'
            f'<script type="application/json" id="frames">{script}</script><script>{SCRIPT}</script>')
