"""The part of docs/python-performance.md about PyTorch, and its figure, from torch.csv."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

HERE = Path(__file__).parent
FIGURE = "python-performance.svg"
#: Above which a time is listed as a miss, relative to PyTorch's.
LIMIT = 1.05
#: Operators with arguments of the type Scalar may take so many microseconds more below 1,024.
SCALAR = {"leaky_relu", "elu", "celu", "selu", "softplus"}
SCALAR_US = 0.8


def load():
    with (HERE / "torch.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    times = {}
    for r in rows:
        key = r["function"], r["pass"], r["dtype"], r["inputs"], int(r["size"]), int(r["threads"])
        times.setdefault(key, {})[r["rival"]] = float(r["us"])
    return times


def slower(kernels) -> list:
    """The measurements with normal inputs that miss the limit, the worst first."""

    def misses(key, t) -> bool:
        name, _, _, inputs, size, _ = key
        allowed = name in SCALAR and size < 1024 and t["nonlin"] - t["PyTorch"] <= SCALAR_US
        return inputs.startswith("normal") and t["nonlin"] > LIMIT * t["PyTorch"] and not allowed

    found = [(key, t) for key, t in kernels.items() if misses(key, t)]
    return sorted(found, key=lambda m: -m[1]["nonlin"] / m[1]["PyTorch"])


#: PyTorch's names of operators, where nonlin's name and `_backward` do not make them.
OPERATORS = {
    "celu": ("elu", "elu_backward"),
    "gelu_tanh": ("gelu", "gelu_backward"),
    "hard_sigmoid": ("hardsigmoid", "hardsigmoid_backward"),
    "hard_swish": ("hardswish", "hardswish_backward"),
    "log_sigmoid": ("log_sigmoid_forward", "log_sigmoid_backward"),
    "log_softmax": ("_log_softmax", "_log_softmax_backward_data"),
    "prelu": ("_prelu_kernel", "_prelu_kernel_backward"),
    "relu": ("relu", "threshold_backward"),
    "selu": ("elu", "elu_backward"),
    "softmax": ("_softmax", "_softmax_backward_data"),
}
PACKAGE = HERE.parent.parent / "python/nonlin/torch/_slower.py"


def more() -> dict[Path, str]:
    """What `nonlin.torch.report()` says of operators that are slower than PyTorch's somewhere."""
    notes: dict[str, str] = {}
    kernels = {k: v for k, v in load().items() if k[1] != "call"}
    for (name, direction, dtype, _, size, _), t in slower(kernels):
        names = OPERATORS.get(name, (name, f"{name}_backward"))
        ratio = t["nonlin"] / t["PyTorch"]
        text = f"up to {ratio:.2f} times PyTorch's time ({dtype}, {size:,} elements)"
        notes.setdefault(names[direction == "backward"], text)
    lines = [f'    "{name}": "{text}",' for name, text in sorted(notes.items())]
    head = '"""Where operators take longer than those of PyTorch: written by bench/python/document.py."""'
    return {PACKAGE: "\n".join([head, "", "SLOWER = {", *lines, "}", ""])}


def number(us: float) -> str:
    if us < 10:
        return f"{us:.2f}"
    return f"{us:.1f}" if us < 100 else f"{us:,.0f}"


def mean(values) -> float:
    values = list(values)
    return math.exp(sum(map(math.log, values)) / len(values))


def table(head, rows) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(r) + " |" for r in rows])


def text() -> str:
    """The part of the page."""
    times, machine = load(), json.loads((HERE / "torch.json").read_text())
    kernels = {k: v for k, v in times.items() if k[1] != "call"}
    names = list(dict.fromkeys(k[0] for k in kernels))
    out = [
        "## PyTorch",
        "",
        "PyTorch's own kernels and nonlin's under the same operators (`nonlin.torch.enable()`) took",
        "turns, each after calls that do not count. The median of seven rounds counts, of five where a",
        "call takes more than 10 ms. The C library was told to keep the memory of results, so that calls",
        "seldom pay for new pages.",
        "",
        f"{machine['date']}, {machine['cpu']}, PyTorch {machine['torch']} ({machine['capability']}),",
        f"Python {machine['python']}. Times are microseconds of a call.",
        "",
        "### 16,384 elements of float32, one thread",
        "",
        f"![How many times as fast]({FIGURE})",
        "",
        "Inputs are normal with σ = 1, except in the columns that say otherwise.",
        "",
    ]
    rows, speedups = [], []
    for name in names:
        row = [f"`{name}`"]
        for direction in ("forward", "backward"):
            t = kernels.get((name, direction, "f32", "normal1", 16384, 1))
            if t is None:
                row += ["", "", ""]
                continue
            ratio = t["PyTorch"] / t["nonlin"]
            if direction == "forward":
                speedups.append(ratio)
            row += [number(t["PyTorch"]), number(t["nonlin"]), f"{ratio:.2f}"]
        for inputs in ("normal3", "uniform30"):
            t = kernels.get((name, "forward", "f32", inputs, 16384, 1))
            row.append(f"{t['PyTorch'] / t['nonlin']:.2f}" if t else "")
        rows.append(row)
    head = ["", "PyTorch", "nonlin", "×", "backward: PyTorch", "nonlin", "×", "× σ = 3", "× ±30"]
    out += [table(head, rows), ""]
    out += [
        f"Geometric mean of the forward passes: {mean(speedups):.2f} times as fast. A backward is",
        "timed with the work of autograd around it.",
        "",
        "### Other sizes and types",
        "",
        "How many times as fast as PyTorch, geometric mean over all functions (least).",
        "",
    ]
    rows = []
    groups = dict.fromkeys(k[1:] for k in kernels)
    for group in sorted(groups, key=lambda g: (g[4], ["f32", "f64", "bf16"].index(g[1]), g[2], g[3], g[0])):
        direction, dtype, inputs, size, threads = group
        found = [(v["PyTorch"] / v["nonlin"], k[0]) for k, v in kernels.items() if k[1:] == group]
        if direction == "backward":
            continue
        back = [
            (v["PyTorch"] / v["nonlin"], k[0])
            for k, v in kernels.items()
            if k[1:] == ("backward", *group[1:])
        ]
        row = [str(threads), dtype, inputs, f"{size:,}"]
        for part in (found, back):
            row.append(f"{mean(r for r, _ in part):.2f} ({min(part)[0]:.2f} `{min(part)[1]}`)")
        rows.append(row)
    out += [table(["threads", "type", "inputs", "elements", "forward", "backward"], rows), ""]
    misses = [
        [f"`{name}`", direction, dtype, inputs, f"{size:,}", str(threads),
         number(t["PyTorch"]), number(t["nonlin"]), f"{t['nonlin'] / t['PyTorch']:.2f}"]
        for (name, direction, dtype, inputs, size, threads), t in slower(kernels)
    ]  # fmt: skip
    out += [
        "### Where nonlin is slower",
        "",
        f"All of {sum(k[3].startswith('normal') for k in kernels)} measurements with normal inputs in",
        f"which nonlin takes more than {LIMIT} times PyTorch's time; operators with arguments of the",
        f"type Scalar ({', '.join(f'`{n}`' for n in sorted(SCALAR))}) are called through Python and may",
        f"take {SCALAR_US} µs more below 1,024 elements. All figures are of one run. One far above",
        "those of the sizes and types next to it may be of a disturbed measurement: repeat it alone.",
        "",
    ]
    head = ["", "pass", "type", "inputs", "elements", "threads", "PyTorch", "nonlin", "×"]
    out += [table(head, misses) if misses else "None.", ""]
    calls = {k: v for k, v in times.items() if k[1] == "call"}
    out += ["### Calls of 16 elements from Python", ""]
    rows = [[k[0], f"`{rival}`" if "," not in rival else rival, number(us)]
            for k, v in calls.items() for rival, us in v.items()]  # fmt: skip
    out += [table(["", "call", "µs"], rows), ""]
    return "\n".join(out)


def figure() -> str:
    """How many times as fast as PyTorch each function is."""
    times = load()
    bars = []
    for (name, direction, dtype, inputs, size, threads), t in times.items():
        if (direction, dtype, inputs, size, threads) == ("forward", "f32", "normal1", 16384, 1):
            bars.append((name, t["PyTorch"] / t["nonlin"]))
    bars.sort(key=lambda b: -b[1])
    height, left, width = 22, 120, 640
    longest = max(r for _, r in bars)
    scale = (width - left - 60) / longest
    total = height * len(bars) + 30
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{total}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{total}" fill="white"/>',
    ]
    for i, (name, ratio) in enumerate(bars):
        y = height * i + 10
        lines += [
            f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{name}</text>',
            f'<rect x="{left}" y="{y}" width="{ratio * scale:.1f}" height="{height - 6}" fill="#2a6f97"/>',
            f'<text x="{left + ratio * scale + 6:.1f}" y="{y + 13}">{ratio:.1f}</text>',
        ]
    x = left + scale
    lines += [
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{total - 18}" stroke="#d62828"/>',
        f'<text x="{x:.1f}" y="{total - 5}" text-anchor="middle" fill="#d62828">PyTorch</text>',
        "</svg>",
        "",
    ]
    return "\n".join(lines)
