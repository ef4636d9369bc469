#!/usr/bin/env python3
"""Times nonlin's ufuncs next to NumPy's and SciPy's functions, JAX's and numexpr's, on one thread.

    python bench/python/measure_numpy.py [--functions gelu,silu] [--quick] [--record FILE]

Rivals take turns, and the median of their times counts; each one's results are compared with exact
ones before it is timed. Rows go to bench/python/numpy.csv, what they were measured on to
bench/python/numpy.json; `document.py` writes docs/python-performance.md from them. Rivals that are not
installed are named and left out.
"""

from __future__ import annotations

import argparse
import csv
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
RECORD = HERE / "numpy.csv"
MACHINE = HERE / "numpy.json"
FIELDS = ["function", "what", "dtype", "size", "rival", "us"]
#: Functions by NumPy, SciPy and JAX stand in bench/speed/rivals.py, exact ones in
#: bench/accuracy/peers.py. The former takes the number of threads from the command line.
WORDS, sys.argv[1:] = sys.argv[1:], ["numpy", str(HERE), "1"]
sys.path += [str(HERE.parent / "speed"), str(HERE.parent / "accuracy")]

import numpy as np  # noqa: E402
import peers  # noqa: E402
import rivals  # noqa: E402
from timing import per_call  # noqa: E402

import nonlin  # noqa: E402

ROUNDS, BUDGET = 7, 1.5e-3
QUICK_ROUNDS, QUICK_BUDGET = 3, 0.4e-3
#: Elements of a row of softmax.
WIDTH = 1024
GATED = ("glu", "swiglu", "geglu")
ROWWISE = ("softmax", "log_softmax")
FUNCTIONS = [*peers.FUNCTIONS, *GATED, *ROWWISE]
#: numexpr has no error function and no maximum of a number and an array; `where` does for both.
EXPRESSIONS = {
    "relu": "where(x > 0, x, 0)",
    "leaky_relu": "where(x > 0, x, 0.01 * x)",
    "elu": "where(x > 0, x, expm1(x))",
    "celu": "where(x > 0, x, expm1(x))",
    "selu": "1.0507009873554805 * where(x > 0, x, 1.6732632423543772 * expm1(x))",
    "sigmoid": "1 / (1 + exp(-x))",
    "log_sigmoid": "where(x > 0, 0, x) - log1p(exp(-abs(x)))",
    "tanh": "tanh(x)",
    "softplus": "where(x > 0, x, 0) + log1p(exp(-abs(x)))",
    "silu": "x / (1 + exp(-x))",
    "mish": "x * tanh(where(x > 0, x, 0) + log1p(exp(-abs(x))))",
    "gelu_tanh": "0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))",
    "hard_sigmoid": "where(x < -3, 0, where(x > 3, 1, (x + 3) / 6))",
    "hard_swish": "x * where(x < -3, 0, where(x > 3, 1, (x + 3) / 6))",
    "glu": "x / (1 + exp(-g))",
    "swiglu": "x / (1 + exp(-x)) * g",
}
DTYPES = {"f16": np.float16, "f32": np.float32, "f64": np.float64}
#: How far results may be from the exact ones, by type, of those or of 1 where they are less: what is
#: timed is the right function.
NEAR = {"f16": 2e-3, "f32": 5e-6, "f64": 1e-12}


def cases():
    """Type and number of elements."""
    yield from (("f32", n) for n in (16, 1024, 16384, 1 << 20))
    yield from (("f64", n) for n in (16384, 1 << 20))
    yield "f16", 16384


def in_turns(calls: dict, quick: bool) -> dict[str, float]:
    """The median of each rival, measured in turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(QUICK_ROUNDS if quick else ROUNDS):
        for name, call in calls.items():
            call()
            times[name].append(per_call(call, QUICK_BUDGET if quick else BUDGET))
    return {name: statistics.median(t) for name, t in times.items()}


def exact(name: str, x, g):
    """The exact results, as long doubles."""
    wide = x.astype(np.longdouble)
    if name in ROWWISE:
        e = wide - wide.max(-1, keepdims=True)
        log = e - np.log(np.exp(e).sum(-1, keepdims=True))
        return log if name == "log_softmax" else np.exp(log)
    if name == "leaky_relu" and x.dtype == np.float64:
        # `peers` has the slope that arithmetic in float32 sees.
        return np.where(x > 0, wide, np.longdouble(0.01) * wide)
    if name == "glu":
        return wide * peers.exact("sigmoid", g)[0]
    if name in GATED:
        return peers.exact({"swiglu": "silu", "geglu": "gelu"}[name], x)[0] * g.astype(np.longdouble)
    return peers.exact(name, x)[0]


class Rivals:
    """What there is besides nonlin."""

    def __init__(self):
        self.numpy = rivals.Numpy()
        self.missing = []
        try:
            self.jax = rivals.Jax()
        except ImportError:
            self.jax = self.missing.append("JAX")
        try:
            import numexpr

            self.numexpr = numexpr
            numexpr.set_num_threads(1)
        except ImportError:
            self.numexpr = self.missing.append("numexpr")

    def calls(self, name, dtype, x, g, y):
        """The calls of one function, by rival. NumPy's, SciPy's and numexpr's write to an array that
        is there where one call of theirs can, as `nonlin, out=` does; JAX makes a new one."""
        f = getattr(nonlin, name)
        operands = (x, g) if name in GATED else (x,)
        calls = {"nonlin": lambda: f(*operands), "nonlin, out=": lambda: f(*operands, out=y)}
        calls["NumPy, SciPy"] = self.numpy.call("numpy", "forward", name, dtype, x, g)
        if self.jax is not None:
            a, b = (self.jax.jnp.asarray(v) for v in (x, g))
            call = self.jax.call("jax", "forward", name, dtype, a, b)
            calls["JAX"] = call and (lambda: np.asarray(call()))
        if self.numexpr is not None and name in EXPRESSIONS and dtype != "f16":
            scope = {"x": x, "g": g} if name in GATED else {"x": x}
            # Numbers in an expression are doubles unless the type of x is kept.
            evaluate, text = self.numexpr.evaluate, EXPRESSIONS[name]
            calls["numexpr"] = lambda: evaluate(text, local_dict=scope, out=y, casting="same_kind")
        return {rival: call for rival, call in calls.items() if call}


def measure(others: Rivals, name: str, quick: bool):
    """Rows of one function."""
    for dtype, size in cases():
        rng = np.random.default_rng(1)
        x, g = rng.standard_normal((2, size)).astype(DTYPES[dtype])
        if name in ROWWISE:
            x, g = (v.reshape(-1, min(WIDTH, size)) for v in (x, g))
        calls = others.calls(name, dtype, x, g, np.empty_like(x))
        right = exact(name, x, g)
        with np.errstate(all="ignore"):
            for rival, call in calls.items():
                off = np.abs(call().astype(np.longdouble) - right) / np.maximum(np.abs(right), 1)
                error = float(off.max())
                if not error <= NEAR[dtype]:
                    sys.exit(f"{rival}: {name} of {dtype} is off by {error:g}")
            # What NumPy itself takes for a transcendental function, output and all.
            calls = {"np.exp": lambda x=x: np.exp(x), **calls}
            for rival, us in in_turns(calls, quick).items():
                yield [name, "forward", dtype, size, rival, f"{us:.4g}"]


def call_rows(quick: bool):
    """Calls of 16 elements, where the call is what takes time; and what a new output costs."""
    from scipy import special

    x = np.random.default_rng(1).standard_normal(16).astype(np.float32)
    g, y, slopes = np.ones_like(x), np.empty_like(x), np.full(16, 0.5, np.float32)
    elu, bound = nonlin.elu, nonlin.Elu(alpha=0.5)
    groups = {
        "a ufunc": {
            "np.exp(x)": lambda: np.exp(x),
            "np.tanh(x)": lambda: np.tanh(x),
            "scipy.special.expit(x)": lambda: special.expit(x),
            "nonlin.relu(x)": lambda: nonlin.relu(x),
            "nonlin.tanh(x)": lambda: nonlin.tanh(x),
            "nonlin.gelu_tanh(x)": lambda: nonlin.gelu_tanh(x),
            "nonlin.swiglu(x, g)": lambda: nonlin.swiglu(x, g),
            "np.exp(x, out=y)": lambda: np.exp(x, out=y),
            "nonlin.tanh(x, out=y)": lambda: nonlin.tanh(x, out=y),
        },
        "parameters": {
            "np.exp(x)": lambda: np.exp(x),
            "nonlin.elu(x)": lambda: elu(x),
            "nonlin.elu(x, alpha=0.5)": lambda: elu(x, alpha=0.5),
            "nonlin.elu(x, alpha=0.5, out=y)": lambda: elu(x, alpha=0.5, out=y),
            "nonlin.Elu(alpha=0.5)(x)": lambda: bound(x),
            "nonlin.elu(x, alpha=slopes)": lambda: elu(x, alpha=slopes),
            'nonlin.gelu(x, approximate="tanh")': lambda: nonlin.gelu(x, approximate="tanh"),
        },
        "gradients and rows": {
            "np.exp(x)": lambda: np.exp(x),
            "nonlin.vjp(nonlin.silu, x, g)": lambda: nonlin.vjp(nonlin.silu, x, g),
            "nonlin.softmax(x)": lambda: nonlin.softmax(x),
            "scipy.special.softmax(x)": lambda: special.softmax(x),
        },
    }
    for group, calls in groups.items():
        for rival, us in in_turns(calls, quick).items():
            yield [group, "call", "f32", 16, rival, f"{us:.4g}"]
    x = np.random.default_rng(1).standard_normal(1 << 20).astype(np.float32)
    y = np.empty_like(x)
    calls = {
        "np.exp(x)": lambda: np.exp(x), "np.exp(x, out=y)": lambda: np.exp(x, out=y),
        "np.tanh(x)": lambda: np.tanh(x), "np.tanh(x, out=y)": lambda: np.tanh(x, out=y),
        "nonlin.tanh(x)": lambda: nonlin.tanh(x),
        "nonlin.tanh(x, out=y)": lambda: nonlin.tanh(x, out=y),
        "nonlin.relu(x)": lambda: nonlin.relu(x),
        "nonlin.relu(x, out=y)": lambda: nonlin.relu(x, out=y),
    }  # fmt: skip
    for rival, us in in_turns(calls, quick).items():
        yield ["a new output", "call", "f32", x.size, rival, f"{us:.4g}"]


def import_rows(quick: bool):
    """What `import nonlin` takes once NumPy is there: the least of several, in processes of their own."""
    code = "import time, numpy; t = time.perf_counter(); import nonlin; print(time.perf_counter() - t)"
    times = [
        float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)
        for _ in range(5 if quick else 15)
    ]
    yield ["import nonlin", "import", "", 0, "nonlin", f"{min(times) * 1e6:.4g}"]


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--functions", default=",".join(["calls", "import", *FUNCTIONS]))
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--record", type=Path, default=RECORD)
    given = parser.parse_args(WORDS)
    others = Rivals()
    for rival in others.missing:
        print(f"SKIPPED: {rival} is not installed", flush=True)
    packages = ["nonlin", "numpy", "scipy"]
    packages += [p for p, there in (("jax", others.jax), ("numexpr", others.numexpr)) if there]
    if given.record == RECORD:
        machine = {
            "cpu": processor(),
            "python": platform.python_version(),
            "date": time.strftime("%Y-%m-%d"),
            "versions": {p: importlib.metadata.version(p) for p in packages},
        }
        MACHINE.write_text(json.dumps(machine, indent=2) + "\n")
    rows = []
    if given.record.exists():
        with given.record.open(newline="") as file:
            rows = list(csv.reader(file))[1:]
    for name in given.functions.split(","):
        what = {"calls": "call", "import": "import"}.get(name)
        if what:
            rows = [r for r in rows if r[1] != what]
            new = list((call_rows if what == "call" else import_rows)(given.quick))
        else:
            rows = [r for r in rows if r[0] != name or r[1] != "forward"]
            new = list(measure(others, name, given.quick))
        rows += [[str(v) for v in row] for row in new]
        print(name, len(new), flush=True)
        rows.sort(key=lambda r: FUNCTIONS.index(r[0]) if r[0] in FUNCTIONS else -1)
        with given.record.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(FIELDS)
            writer.writerows(rows)


if __name__ == "__main__":
    main()
