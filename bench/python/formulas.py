#!/usr/bin/env python3
"""Times formulas that a user types against PyTorch's eager chains and numexpr; writes docs/formula-speed.md.

    python bench/python/formulas.py [--rounds 15] [--sizes 16384,16777216] [--threads 1]
    python bench/python/formulas.py --document

Arrays are float32, inputs normal. In a round all rivals take turns in random order; what counts is the
median over rounds of the ratio of nonlin's time to the rival's in that round. `forward` calls without a
gradient: PyTorch's chain, `nonlin.torch.Activation(formula)`, numexpr's `evaluate` and `nonlin.Function(formula)`,
the last two on NumPy arrays and into an output that is there already. `both` is forward and backward, PyTorch and
nonlin alone. Results are compared before anything is timed. Rows go to bench/python/formulas.csv and replace
those of the same formula, size and threads; `--document` only writes the page from them.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from timing import per_call, warm_up  # noqa: E402

RECORD, MACHINE = HERE / "formulas.csv", HERE / "formulas.json"
PAGE = HERE.parent.parent / "docs" / "formula-speed.md"
FIELDS = ["formula", "pass", "rival", "threads", "n", "rounds", "ns", "rival_ns", "ratio"]
#: Arrays in cache and out of it.
SIZES = [1 << 14, 1 << 24]
#: Seconds that a rival has in a round.
TURN = 0.01

_P, _Q = [0.02, 0.5, 0.47, 0.18, 0.04, 0.004], [0.7, 0.36, 0.09, 0.015]


def _rational(x: str, absolute: str) -> str:
    """A Padé unit of degrees 5 and 4 by Horner's rule, as text of any of the languages."""
    p = f"{_P[5]}"
    for c in reversed(_P[:5]):
        p = f"({c} + {x} * {p})"
    q = f"{_Q[3]}"
    for c in reversed(_Q[:3]):
        q = f"({c} + {x} * {q})"
    return f"{p} / (1 + {absolute}({x} * {q}))"


#: A formula, and the text of PyTorch and numexpr for it (None: numexpr lacks a function).
FORMULAS: dict[str, tuple[str, str | None]] = {
    "x * atan(exp(x))": ("x * torch.atan(torch.exp(x))", "x * arctan(exp(x))"),
    "x * exp(-exp(-x))": ("x * torch.exp(-torch.exp(-x))", "x * exp(-exp(-x))"),
    "x * sqrt(1 + erf(x))": ("x * torch.sqrt(1 + torch.erf(x))", None),
    "x * cos(x)": ("x * torch.cos(x)", "x * cos(x)"),
    "x * tanh(x)": ("x * torch.tanh(x)", "x * tanh(x)"),
    "x + sin(x)^2": ("x + torch.sin(x) ** 2", "x + sin(x) ** 2"),
    "where(x > 0, x, atan(x))": ("torch.where(x > 0, x, torch.atan(x))", "where(x > 0, x, arctan(x))"),
    "x / sqrt(1 + x^2)": ("x / torch.sqrt(1 + x ** 2)", "x / sqrt(1 + x ** 2)"),
    "x / (1 + abs(x))": ("x / (1 + torch.abs(x))", "x / (1 + abs(x))"),
    _rational("x", "abs"): (_rational("x", "torch.abs"), _rational("x", "abs")),
}  # fmt: skip


def _short(formula: str) -> str:
    return formula if len(formula) < 40 else "rational, 5 over 4"


def rounds_of(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Microseconds of a call of each rival in every round."""
    for call in calls.values():
        warm_up(call)
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        names = list(calls)
        random.shuffle(names)
        for name in names:
            times[name].append(per_call(calls[name], TURN))
    return times


def measure(formula: str, n: int, threads: int, rounds: int) -> list[list[str]]:
    """The rows of a formula at a size."""
    import numexpr
    import numpy as np
    import torch

    import nonlin
    import nonlin.torch

    torch.set_num_threads(threads)
    numexpr.set_num_threads(threads)
    nonlin.set_num_threads(threads)
    theirs, expression = FORMULAS[formula]
    eager: Callable[[torch.Tensor], torch.Tensor] = eval(f"lambda x: {theirs}", {"torch": torch})
    module, function = nonlin.torch.Activation(formula), nonlin.Function(formula)
    x = torch.randn(n, generator=torch.Generator().manual_seed(1))
    # PyTorch's slope of |x| at 0 is 0, that of a formula the left one.
    x[x == 0] = 1
    array, out = x.numpy(), np.empty(n, np.float32)
    learned = x.clone().requires_grad_()
    ones = torch.ones(n)

    def both(f: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        return torch.autograd.grad(f(learned), learned, ones)[0]

    # Against the chain in float64: in float32 it cancels where tails meet.
    exact = x.double().requires_grad_()
    y = eager(exact)
    slope = torch.autograd.grad(y, exact, torch.ones_like(y))[0]
    torch.testing.assert_close(module(x), y.detach().float(), rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(both(module), slope.float(), rtol=1e-5, atol=1e-6)
    passes: dict[tuple[str, str], tuple[Callable[[], Any], Callable[[], Any]]] = {
        ("forward", "PyTorch"): (lambda: module(x), lambda: eager(x)),
        ("both", "PyTorch"): (lambda: both(module), lambda: both(eager)),
    }
    if expression is not None:
        names, evaluate = {"x": array}, numexpr.evaluate
        np.testing.assert_allclose(evaluate(expression, names), y.detach().numpy(), rtol=1e-4, atol=1e-5)
        assert np.array_equal(function(array), module(x).numpy())
        passes["forward", "numexpr"] = (
            lambda: function(array, out=out),
            lambda: evaluate(expression, names, out=out),
        )
    rows = []
    for (which, rival), (ours, other) in passes.items():
        times = rounds_of({"nonlin": ours, rival: other}, rounds)
        ratio = statistics.median(a / b for a, b in zip(times["nonlin"], times[rival]))
        ns = [statistics.median(times[name]) * 1e3 / n for name in ("nonlin", rival)]
        rows.append([_short(formula), which, rival, threads, n, rounds, *(f"{v:.4g}" for v in ns), f"{ratio:.3f}"])
    return [[str(v) for v in row] for row in rows]


def read() -> list[dict[str, str]]:
    """The record."""
    if not RECORD.exists():
        return []
    with RECORD.open(newline="") as file:
        return list(csv.DictReader(file))


def mean(ratios: list[float]) -> str:
    """The geometric mean."""
    return f"{statistics.geometric_mean(ratios):.2f}" if ratios else ""


def document() -> str:
    """The page."""
    rows, machine = read(), json.loads(MACHINE.read_text())
    text = [
        "# Formulas: how fast a typed function is",
        "",
        "Generated by `python bench/python/formulas.py`; do not edit. The record is `bench/python/formulas.csv`.",
        "",
        "Float32, normal inputs: nonlin's time over PyTorch's eager chain of operators (`nonlin.torch.Activation(formula)`)",
        "and over numexpr (`nonlin.Function(formula)`), medians over rounds in which the rivals take turns; in brackets",
        "nanoseconds an element with nonlin. Below 1 nonlin is faster. *Both* is forward and backward. numexpr has no",
        "`erf`. nonlin's results are within 0.51 units in the last place; PyTorch's and numexpr's are not held to that.",
        "",
        f"Measured on {machine['cpu']}, PyTorch {machine['torch']}, numexpr {machine['numexpr']}, {machine['date']}.",
    ]  # fmt: skip
    for threads in sorted({int(r["threads"]) for r in rows}):
        mine = [r for r in rows if int(r["threads"]) == threads]
        sizes = sorted({int(r["n"]) for r in mine})
        columns = [(which, rival, n) for which, rival in
                   [("forward", "PyTorch"), ("both", "PyTorch"), ("forward", "numexpr")] for n in sizes]  # fmt: skip
        heads = [f"{'both' if which == 'both' else 'forward'} / {rival}, {n:,}" for which, rival, n in columns]
        title = "one thread" if threads == 1 else f"{threads} threads"
        text += ["", f"## {title.capitalize()}", "", f"| formula | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
        found: dict[tuple[str, str, int], list[float]] = {c: [] for c in columns}
        for formula in dict.fromkeys(r["formula"] for r in mine):
            cells = []
            for c in columns:
                one = [r for r in mine if (r["formula"], r["pass"], r["rival"], int(r["n"])) == (formula, *c)]
                cells.append(f"{float(one[0]['ratio']):.2f} ({float(one[0]['ns']):.2f})" if one else "")
                found[c] += [float(r["ratio"]) for r in one]
            text.append(f"| `{formula}` | {' | '.join(cells)} |")
        text.append(f"| geometric mean | {' | '.join(mean(found[c]) for c in columns)} |")
    return "\n".join(text) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--threads", default="1")
    parser.add_argument("--document", action="store_true", help="only write the page")
    given = parser.parse_args()
    if given.document:
        PAGE.write_text(document())
        return
    from measure_torch import KEEP, processor

    if not KEEP.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | KEEP)
    import numexpr
    import torch

    MACHINE.write_text(
        json.dumps({
            "cpu": processor(), "torch": torch.__version__, "numexpr": numexpr.__version__,
            "python": platform.python_version(), "date": time.strftime("%Y-%m-%d"),
        }, indent=1) + "\n"
    )  # fmt: skip
    known = {(r["formula"], r["threads"], r["n"], r["pass"], r["rival"]): list(r.values()) for r in read()}
    for threads in given.threads.split(","):
        for formula in FORMULAS:
            for n in map(int, given.sizes.split(",")):
                for row in measure(formula, n, int(threads), given.rounds):
                    known[row[0], row[3], row[4], row[1], row[2]] = row
                    print(*row, sep="  ", flush=True)
    with RECORD.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(FIELDS)
        writer.writerows(known.values())
    PAGE.write_text(document())


if __name__ == "__main__":
    main()
