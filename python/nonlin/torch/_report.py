"""What the statistics of activation layers mean: advice in words, and a page with figures."""

from __future__ import annotations

import html
import math
from typing import Any, Iterable

import numpy as np

from .. import _nonlin
from ._sketch import BINS, EDGES, LayerSketch, summary

#: From which share of a layer on there is something to say.
DEAD, SHUT, FAR, OUTLYING = 0.1, 0.5, 1e-3, 1e-3
#: How much smaller or greater the gradient of one layer is than that of another.
APART = 1e5


def advice(layers: Iterable[LayerSketch], window: int) -> list[str]:
    """What to do, layer by layer; empty where nothing is wrong."""
    found: list[str] = []
    norms: list[tuple[str, float]] = []
    for layer in layers:
        recent = layer.recent(window)
        if recent is None or len(layer.samples) < 2:
            # One step shows no trend.
            continue
        count = min(window, layer.span)
        steps = "1 step" if count == 1 else f"{count} steps"
        s = summary(recent)
        if g := s["gradient_out"]:
            norms.append((layer.name, g))
        who = f"layer {layer.name} ({layer.function})"
        dead = float(np.mean(layer.dead(window)))
        name = layer.function.split("(")[0].split(",")[0]
        if s["not_finite"]:
            found.append(
                f"{who}: {s['not_finite']:.2g} of inputs NaN or infinite in the last {steps}; "
                "smaller rate, gradient clipping or a wider type"
            )
        if dead >= DEAD:
            other = "elu or gelu" if name.startswith("leaky") else "leaky_relu"
            found.append(
                f"{who}: {_percent(dead)} of units dead for {steps}; {other}, smaller rate or He "
                "initialisation (nonlin.torch.init_)"
            )
        shut = s["saturated"] or 0.0
        if not _saturates(name):
            # Of functions that are 0 or flat by design, only slopes that are small count.
            shut -= s["zero_slope"] or 0.0
        if shut >= SHUT:
            found.append(
                f"{who}: {_percent(shut)} of slopes below 0.001 for {steps}, inputs of deviation "
                f"{s['deviation']:.3g} around {s['mean']:.3g}; smaller weights (nonlin.torch.init_), normalised "
                "inputs or a function that does not saturate"
            )
        if (s["exploding"] or 0) >= FAR:
            found.append(
                f"{who}: {_percent(s['exploding'])} of inputs beyond the limit for {steps}; smaller rate, "
                "gradient clipping or normalisation"
            )
        elif (s["outliers"] or 0) >= OUTLYING:
            found.append(
                f"{who}: {_percent(s['outliers'])} of inputs 6 deviations off their channel's mean; normalise "
                "inputs, and mind them when quantising"
            )
    if len(norms) > 1:
        least, most = min(norms, key=lambda n: n[1]), max(norms, key=lambda n: n[1])
        if most[1] > APART * least[1]:
            found.append(
                f"gradients: {most[1]:.2g} at layer {most[0]}, {least[1]:.2g} at layer {least[0]}; initialisation "
                "that keeps variances (nonlin.torch.init_), residual branches or normalisation"
            )
    return found


def _saturates(name: str) -> bool:
    """Whether a function has slope 0 in the limit on both sides."""
    try:
        about = _nonlin.facts(name)
    except ValueError:
        return name in ("hardtanh", "relu6", "softsign", "hardsigmoid")
    return bool(about.get("slope_limits") == (0.0, 0.0))


def _percent(share: Any) -> str:
    value = 100 * float(share)
    return f"{value:.0f} %" if value >= 1 else f"{value:.2g} %"


_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #1c1e21; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child, td:nth-child(2), th:nth-child(2) { text-align: left; }
figure { display: inline-block; margin: .5rem 1rem .5rem 0; } figcaption { color: #555; font-size: 13px; }
.advice li { margin: .4rem 0; } .bad { color: #b3261e; font-weight: 600; }
svg text { font: 11px system-ui, sans-serif; fill: #555; }
"""
_COLOURS = ("#b3261e", "#1f6fb2", "#2d8a4e", "#8a5a00")


def page(layers: list[LayerSketch], window: int, told: list[str], notes: list[str]) -> str:
    """A page of HTML that needs nothing else: advice, a table, and figures of every layer."""
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Activations in training</title>",
        f"<style>{_STYLE}</style></head><body><h1>Activations in training</h1>",
    ]
    if told:
        parts += ["<h2>Advice</h2><ul class='advice'>", *(f"<li>{html.escape(t)}</li>" for t in told), "</ul>"]
    else:
        parts.append("<p>Nothing is wrong with any layer.</p>")
    parts += [f"<p>{html.escape(n)}</p>" for n in notes]
    heads = ("layer", "function", "channels", "dead", "saturated", "exploding", "exact zeros", "mean", "deviation",
             "outliers", "gradient in", "gradient out")  # fmt: skip
    parts += [f"<h2>The last {window} steps</h2><table><tr>", *(f"<th>{h}</th>" for h in heads), "</tr>"]
    for layer in layers:
        recent = layer.recent(window)
        if recent is None:
            continue
        s = summary(recent)
        dead = float(np.mean(layer.dead(window)))
        cells = [
            html.escape(layer.name), html.escape(layer.function), str(len(layer.last_alive)), _percent(dead),
            *(_percent(s[k]) for k in ("saturated", "exploding", "sparsity")),
            f"{s['mean']:.3g}", f"{s['deviation']:.3g}", _percent(s["outliers"]),
            *("" if (g := s[k]) is None else f"{g:.3g}" for k in ("gradient_in", "gradient_out")),
        ]  # fmt: skip
        marks = [" class='bad'" if i == 3 and dead >= DEAD else "" for i in range(len(cells))]
        parts += ["<tr>", *(f"<td{m}>{c}</td>" for m, c in zip(marks, cells)), "</tr>"]
    parts.append("</table>")
    for layer in layers:
        if layer.total is not None:
            parts += [f"<h2>{html.escape(layer.name)} ({html.escape(layer.function)})</h2>", *_figures(layer, window)]
    parts.append("</body></html>\n")
    return "".join(parts)


def _figures(layer: LayerSketch, window: int) -> list[str]:
    rows = [(s.step, summary(s)) for s in layer.samples]
    steps = [r[0] for r in rows]

    def series(key: str) -> list[float]:
        return [math.nan if r[1][key] is None else float(r[1][key] or 0.0) for r in rows]

    dead = dead_over_time(layer, window)
    assert layer.total is not None
    return [
        _lines(steps, {"dead": dead, "saturated": series("saturated"), "exact zeros": series("sparsity")},
               "shares of units (dead) and of elements", top=1.0),
        _lines(steps, {"deviation": series("deviation"), "|mean|": [abs(v) for v in series("mean")]},
               "inputs", log=True),
        _lines(steps, {"in": series("gradient_in"), "out": series("gradient_out")}, "gradient norms", log=True),
        _bars(layer.total.histogram),
        _strip(layer.channels()["zero_slope"]),
    ]  # fmt: skip


def dead_over_time(layer: LayerSketch, window: int) -> list[float]:
    """At each sample, the share of channels that have been dead for a window."""
    shares: list[float] = []
    first = layer.samples[0].step if layer.samples else 0
    last = np.full(len(layer.last_alive), first - layer.every)
    for s in layer.samples:
        last[s.alive] = s.step
        span = min(window, s.step - first + layer.every)
        shares.append(float(np.mean(s.step - last >= span)))
    return shares


def _lines(
    steps: list[int], lines: dict[str, list[float]], caption: str, top: float | None = None, log: bool = False
) -> str:
    """A figure of lines over steps."""
    width, height, left, bottom, over = 340, 150, 46, 20, 24
    values = [v for line in lines.values() for v in line if math.isfinite(v) and (v > 0 or not log)]
    if not values:
        return ""
    high = top if top is not None else max(values)
    low = min(values) if log else 0.0
    if high <= low:
        high, low = (low * 2 or 1.0), (low / 2 if log else 0.0)

    def place(step: int, v: float) -> str:
        x = left + (width - left - 6) * (step - steps[0]) / max(steps[-1] - steps[0], 1)
        part = math.log(v / low) / math.log(high / low) if log else (v - low) / (high - low)
        return f"{x:.1f},{height - bottom - (height - bottom - over) * part:.1f}"

    parts = [f"<figure><svg width='{width}' height='{height}' role='img'>"]
    parts.append(f"<path d='M{left},{over}V{height - bottom}H{width - 6}' fill='none' stroke='#999'/>")
    parts.append(f"<text x='2' y='{over + 4}'>{high:.3g}</text><text x='2' y='{height - bottom}'>{low:.3g}</text>")
    parts.append(f"<text x='{left}' y='{height - 5}'>step {steps[0]}</text>")
    parts.append(f"<text x='{width - 6}' y='{height - 5}' text-anchor='end'>{steps[-1]}</text>")
    for i, (name, line) in enumerate(lines.items()):
        points = [place(s, v) for s, v in zip(steps, line) if math.isfinite(v) and (v > 0 or not log)]
        colour = _COLOURS[i]
        parts.append(f"<polyline points='{' '.join(points)}' fill='none' stroke='{colour}' stroke-width='1.6'/>")
        parts.append(f"<text x='{left + 80 * i}' y='12' style='fill:{colour}'>{html.escape(name)}</text>")
    return "".join([*parts, f"</svg><figcaption>{html.escape(caption)}</figcaption></figure>"])


def _bars(counts: np.ndarray) -> str:
    """A histogram, from the first bin that has anything to the last."""
    width, height = 340, 150
    there = np.flatnonzero(counts)
    if not len(there):
        return ""
    a, b = there[0], there[-1] + 1
    tall, step = float(counts.max()), (width - 12) / (b - a)
    parts = [f"<figure><svg width='{width}' height='{height}' role='img'>"]
    for i in range(a, b):
        h = (height - 28) * counts[i] / tall
        parts.append(f"<rect x='{6 + step * (i - a):.1f}' y='{height - 20 - h:.1f}' width='{max(step - 1, 1):.1f}' "
                     f"height='{h:.1f}' fill='#1f6fb2'/>")  # fmt: skip
    parts.append(f"<text x='6' y='{height - 5}'>{EDGES[a]:.3g}</text>")
    parts.append(f"<text x='{width - 6}' y='{height - 5}' text-anchor='end'>{EDGES[min(b, BINS)]:.3g}</text>")
    return "".join([*parts, "</svg><figcaption>inputs, all steps (scale of asinh)</figcaption></figure>"])


def _strip(shares: np.ndarray) -> str:
    """Channels, sorted, by their share of slopes that are 0."""
    width, height = 340, 150
    ordered = np.sort(shares)[::-1]
    at = np.linspace(0, len(ordered) - 1, min(len(ordered), 300)).astype(int)
    points = [
        f"{6 + (width - 12) * i / max(len(at) - 1, 1):.1f},{height - 20 - (height - 28) * ordered[k]:.1f}"
        for i, k in enumerate(at)
    ]
    return (
        f"<figure><svg width='{width}' height='{height}' role='img'>"
        f"<path d='M6,8V{height - 20}H{width - 6}' fill='none' stroke='#999'/>"
        f"<polyline points='{' '.join(points)}' fill='none' stroke='#8a5a00' stroke-width='1.6'/>"
        f"<text x='6' y='{height - 5}'>{len(ordered)} channels, sorted</text></svg>"
        "<figcaption>share of slopes that are 0, by channel</figcaption></figure>"
    )
