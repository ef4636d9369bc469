"""The part of docs/python-performance.md on NumPy, and its figure, from bench/python/numpy.csv."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

HERE = Path(__file__).parent
FIGURE = "python-performance-numpy.svg"
#: What rows of functions show, and what they are drawn in.
RIVALS = {"nonlin": "#2a6f97", "NumPy, SciPy": "#d62828", "JAX": "#f4a261", "numexpr": "#8d99ae"}
#: How many times np.exp's time a ufunc may take for 16 elements, and the microseconds of a call with
#: a number for a parameter.
CALL_LIMIT, PARAMETER_US = 1.5, 1.0
MIDDLE = ("f32", 16384)


def load() -> dict:
    """Times by function, what was called, type, size and rival."""
    times: dict = {}
    with (HERE / "numpy.csv").open(newline="") as file:
        for r in csv.DictReader(file):
            key = r["function"], r["what"], r["dtype"], int(r["size"])
            times.setdefault(key, {})[r["rival"]] = float(r["us"])
    return times


def number(us: float | None) -> str:
    if us is None:
        return "–"
    if us < 10:
        return f"{us:.2f}"
    return f"{us:.1f}" if us < 100 else f"{us:,.0f}"


def table(head, rows) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|---" + "|--:" * (len(head) - 1) + "|"]
    return [*lines, *("| " + " | ".join(r) + " |" for r in rows), ""]


def text() -> str:
    """The part of the document."""
    times, machine = load(), json.loads((HERE / "numpy.json").read_text())
    versions = ", ".join(f"{p} {v}" for p, v in machine["versions"].items())
    out = [
        "## NumPy",
        "",
        "nonlin's ufuncs next to NumPy's and SciPy's functions (`special.expit`, `log_expit`, `ndtr`,",
        "`softmax`, or a formula over `numpy` where there is none), JAX's (jitted, waited for) and",
        "numexpr's, in turns on one thread by `bench/python/measure_numpy.py`. Each one's results were",
        "compared with exact ones first. NumPy, SciPy and numexpr write to an array that is there where",
        "one call of theirs can, as `out=` of nonlin does. JAX keeps its results in memory of its own.",
        "",
        f"{machine['date']}, {machine['cpu']}, Python {machine['python']}, {versions}. Times are",
        "microseconds of a call.",
        "",
        "### 16,384 elements of float32",
        "",
        f"![How many times np.exp's time]({FIGURE})",
        "",
    ]
    columns = ["np.exp", "nonlin", "nonlin, out=", *list(RIVALS)[1:]]
    names = [k[0] for k in times if k[1] == "forward" and k[2:] == MIDDLE]
    rows = []
    for name in names:
        t = times[name, "forward", *MIDDLE]
        others = [t[r] for r in list(RIVALS)[1:] if r in t]
        best = f"{min(others) / min(t['nonlin'], t['nonlin, out=']):.2f}" if others else "–"
        rows.append([f"`{name}`", *(number(t.get(c)) for c in columns), best])
    out += table(["", *columns, "best other ×"], rows)
    out += [
        "The last column: how many times longer than nonlin the fastest other takes.",
        "",
        "### Other sizes and types",
        "",
        "How many times as long as nonlin the others take, geometric mean over all functions that they",
        "have (least, and where).",
        "",
    ]
    groups = dict.fromkeys(k[2:] for k in times if k[1] == "forward")
    rows = []
    for dtype, size in groups:
        row = [f"{dtype}, {size:,}"]
        for rival in list(RIVALS)[1:]:
            found = []
            for name in names:
                t = times.get((name, "forward", dtype, size), {})
                if rival in t:
                    # JAX makes a new array, and so does the call that it is compared with.
                    ours = t["nonlin" if rival == "JAX" else "nonlin, out="]
                    found.append((t[rival] / ours, name))
            if found:
                mean = math.exp(sum(math.log(r) for r, _ in found) / len(found))
                row.append(f"{mean:.2f} ({min(found)[0]:.2f} `{min(found)[1]}`)")
            else:
                row.append("–")
        rows.append(row)
    out += table(["", *list(RIVALS)[1:]], rows)
    out += ["### Calls of 16 elements from Python", ""]
    rows = []
    for (group, what, _, size), t in times.items():
        if what == "call" and size == 16:
            for call, us in t.items():
                rows.append([f"`{call}`", number(us), f"{us / t['np.exp(x)']:.2f}"])
    rows = [r for i, r in enumerate(rows) if i == 0 or r[0] != rows[0][0]]
    out += table(["", "µs", "× np.exp"], rows)
    out += [
        f"Aims: {CALL_LIMIT} × `np.exp` for a ufunc, {PARAMETER_US:g} µs with a number for a parameter.",
        "",
        "### What a new output costs",
        "",
        "A call without `out=` has NumPy make an array. One of 4 MB comes from the system page by page,",
        "whoever computes its elements; where a call is repeated, `out=` or an allocator that keeps",
        "memory (`MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000` with glibc) saves that.",
        "",
    ]
    new = next(t for k, t in times.items() if k[0] == "a new output")
    rows = [[f"`{call}`", number(us)] for call, us in new.items()]
    out += table(["2^20 elements of float32", "µs"], rows)
    took = times.get(("import nonlin", "import", "", 0))
    if took:
        out += [f"`import nonlin` takes {took['nonlin'] / 1000:.1f} ms once NumPy is imported.", ""]
    return "\n".join(out)


def figure() -> str:
    """Bars of every function and rival, relative to np.exp."""
    times = load()
    groups = []
    for (name, what, *case), t in times.items():
        if what == "forward" and tuple(case) == MIDDLE:
            groups.append((name, [(r, t[r] / t["np.exp"]) for r in RIVALS if r in t]))
    bar, gap, left, width = 9, 7, 110, 760
    longest = 8.0
    scale = (width - left - 60) / longest
    height = sum(len(bars) * bar + gap for _, bars in groups) + 50
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for i, (rival, colour) in enumerate(RIVALS.items()):
        x = left + 130 * i
        lines.append(f'<rect x="{x}" y="8" width="10" height="10" fill="{colour}"/>')
        lines.append(f'<text x="{x + 15}" y="17">{rival}</text>')
    y = 30
    for name, bars in groups:
        middle = y + len(bars) * bar / 2 + 4
        lines.append(f'<text x="{left - 8}" y="{middle:.1f}" text-anchor="end">{name}</text>')
        for rival, ratio in bars:
            shown = min(ratio, longest)
            lines.append(
                f'<rect x="{left}" y="{y}" width="{shown * scale:.1f}" height="{bar - 1}" '
                f'fill="{RIVALS[rival]}"/>'
            )
            lines.append(
                f'<text x="{left + shown * scale + 4:.1f}" y="{y + 8}" font-size="8">{ratio:.2g}</text>'
            )
            y += bar
        y += gap
    x = left + scale
    lines += [
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="24" y2="{y}" stroke="black"/>',
        f'<text x="{x:.1f}" y="{y + 12}" text-anchor="middle">np.exp</text>',
        "</svg>",
        "",
    ]
    return "\n".join(lines)
