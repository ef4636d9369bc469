#!/usr/bin/env python3
"""Errors through NumPy's ufuncs and through PyTorch's operators, next to PyTorch's and JAX's own.

    python bench/python/accuracy.py [--record | --check]

measures and writes docs/python-accuracy.md with --record; with --check it only fails if that document
is not what bench/python/accuracy.json gives. The inputs are all 65,536 numbers of float16 and of
bfloat16, and every 4099th of float32; references, samples and the rule near zeros of derivatives are
those of bench/accuracy/peers.py. Libraries that are not installed are named and left out.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
RECORD = HERE / "accuracy.json"
DOCUMENT = HERE.parent.parent / "docs" / "python-accuracy.md"
sys.path.insert(0, str(HERE.parent / "accuracy"))

import numpy as np  # noqa: E402
import peers  # noqa: E402

#: Digits after the binary point, the exponent of the least normal number, and the largest number.
FORMATS = {
    "float32": (23, -126, 2.0**128 - 2.0**104),
    "float16": (10, -14, 65504.0),
    "bfloat16": (7, -126, 2.0**128 - 2.0**120),
}
#: What the library promises for values and for derivatives, in units in the last place.
PROMISED = {"float32": (1.0, 2.0), "float16": (0.501, 0.501), "bfloat16": (0.501, 0.501)}
#: Of these PyTorch keeps the output for the gradient, whose error then depends on how that was rounded.
FROM_OUTPUT = ("sigmoid", "tanh")
#: Values at special inputs, and far out in the tail: exact to f32's last place.
SPECIAL = [
    ("gelu", -np.inf), ("gelu", np.inf), ("gelu", -10.0), ("gelu", -13.0), ("gelu_tanh", -np.inf),
    ("silu", -np.inf), ("silu", -100.0), ("mish", -np.inf), ("mish", -90.0), ("log_sigmoid", -np.inf),
    ("log_sigmoid", 100.0), ("softplus", -100.0), ("sigmoid", -100.0), ("elu", -1e-20),
    ("hard_swish", -np.inf), ("relu", np.nan), ("tanh", np.nan),
]  # fmt: skip


def inputs(dtype: str):
    """The inputs as numbers of float32, which has all of them."""
    if dtype == "float32":
        return peers.sample()
    bits = np.arange(65536, dtype=np.uint16)
    if dtype == "float16":
        return bits.view(np.float16).astype(np.float32)
    return (bits.astype(np.uint32) << 16).view(np.float32)


def ulps(got, right, dtype: str):
    """|got - right| in units of the last place of the type at `right`."""
    digits, least, greatest = FORMATS[dtype]
    _, exponent = np.frexp(right)
    unit = np.maximum(exponent - 1, least) - digits
    half = np.ldexp(np.longdouble(0.5), int(np.log2(greatest)) - digits)
    with np.errstate(all="ignore"):
        errors = np.ldexp(np.abs(got.astype(np.longdouble) - right), -unit).astype(np.float64)
        over = np.abs(right) >= np.longdouble(greatest) + half
        same = np.isinf(got) & (np.sign(got) == np.sign(right))
    errors = np.where(over, np.where(same, 0.0, np.inf), errors)
    errors[~over & ~np.isfinite(got)] = np.inf
    missing = np.isnan(right)
    errors[missing] = np.where(np.isnan(got[missing]), 0.0, np.inf)
    return errors


def found(name: str, k: int, x, got, right, dtype: str) -> dict:
    """The worst error, where it is, and the share of inputs that are off by more than is promised."""
    errors = ulps(got, right, dtype)
    use = np.isfinite(x)
    if k == 1:
        for at in peers.KINKS.get(name, []):
            use &= x != np.float32(at)
        if name in peers.SLOPE_ZEROS:
            with np.errstate(all="ignore"):
                off = np.abs(got.astype(np.longdouble) - right)
                # Half a unit of the type's own may be added to what a difference loses.
                about = np.abs(x - peers.SLOPE_ZEROS[name]) <= peers.ABOUT
                _, exponent = np.frexp(right)
                digits, least, _ = FORMATS[dtype]
                unit = np.ldexp(1.0, np.maximum(exponent - 1, least) - digits)
                errors[about & (off <= peers.ABSOLUTE + 0.5 * unit)] = 0.0
    at = np.flatnonzero(use)
    i = at[np.lexsort((np.abs(x[at]), -errors[at]))[0]]
    # The references agree to about 1e-12 of a value, and so do errors.
    over = float(np.mean(errors[use] > PROMISED[dtype][k] * (1 + 1e-9)))
    return {"max": peers.number(errors[i]), "at": peers.short(x[i]), "over": over}


class Nonlin:
    """The ufuncs."""

    title, package = "nonlin, NumPy", "nonlin"

    def __init__(self):
        import ml_dtypes

        import nonlin

        self.nonlin = nonlin
        self.types = {
            "float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16,
        }  # fmt: skip

    def both(self, name, x, dtype):
        f, x = getattr(self.nonlin, name), x.astype(self.types[dtype])
        with np.errstate(all="raise"):
            both = f(x), self.nonlin.vjp(f, x, np.ones_like(x))
        return [y.astype(np.float32) for y in both]


class Torch:
    """PyTorch's operators with its own kernels."""

    title, package = "PyTorch", "torch"

    def __init__(self):
        import torch
        import torch.nn.functional as F

        self.torch = torch
        self.functions = {
            "relu": F.relu, "leaky_relu": F.leaky_relu, "elu": F.elu, "selu": F.selu,
            "celu": F.celu, "sigmoid": torch.sigmoid, "log_sigmoid": F.logsigmoid,
            "tanh": torch.tanh, "softplus": F.softplus, "silu": F.silu, "mish": F.mish,
            "gelu": F.gelu, "gelu_tanh": lambda t: F.gelu(t, approximate="tanh"),
            "hard_sigmoid": F.hardsigmoid, "hard_swish": F.hardswish,
        }  # fmt: skip

    def both(self, name, x, dtype):
        torch = self.torch
        t = torch.from_numpy(x.copy()).to(getattr(torch, dtype)).requires_grad_()
        y = self.functions[name](t)
        (slope,) = torch.autograd.grad(y, t, torch.ones_like(y))
        return [v.detach().float().numpy() for v in (y, slope)]


class Enabled(Torch):
    """PyTorch's operators with nonlin's kernels."""

    title, package = "nonlin, PyTorch", "nonlin"

    def both(self, name, x, dtype):
        import nonlin.torch

        with nonlin.torch.enable():
            return super().both(name, x, dtype)


class Jax:
    """Jitted functions."""

    title, package = "JAX", "jax"

    def __init__(self):
        import jax
        import jax.numpy as jnp

        nn = jax.nn
        self.jax, self.jnp = jax, jnp
        self.functions = {
            "relu": nn.relu, "leaky_relu": nn.leaky_relu, "elu": nn.elu, "selu": nn.selu,
            "celu": nn.celu, "sigmoid": nn.sigmoid, "log_sigmoid": nn.log_sigmoid, "tanh": jnp.tanh,
            "softplus": nn.softplus, "silu": nn.silu, "mish": nn.mish,
            "gelu": lambda t: nn.gelu(t, approximate=False),
            "gelu_tanh": lambda t: nn.gelu(t, approximate=True),
            "hard_sigmoid": nn.hard_sigmoid, "hard_swish": nn.hard_silu,
        }  # fmt: skip

    def both(self, name, x, dtype):
        jax, f = self.jax, self.functions[name]
        t = self.jnp.asarray(x).astype(dtype)
        slope = jax.jit(lambda t, g: jax.vjp(f, t)[1](g)[0])
        results = jax.jit(f)(t), slope(t, self.jnp.ones_like(t))
        return [np.asarray(y.astype(self.jnp.float32)) for y in results]


def measure() -> dict:
    """All errors."""
    libraries, versions = [], {}
    for kind in (Nonlin, Enabled, Torch, Jax):
        try:
            libraries.append(kind())
            versions[kind.package] = importlib.metadata.version(kind.package)
        except ImportError as missing:
            print(f"SKIPPED: {kind.title}: {missing}", flush=True)
    results, special = [], []
    for dtype in FORMATS:
        x = inputs(dtype)
        for name in peers.FUNCTIONS:
            right, _ = peers.reference(name, x)
            for library in libraries:
                for k, got in enumerate(library.both(name, x, dtype)):
                    row = found(name, k, x, got, right[k], dtype)
                    row |= {"function": name, "dtype": dtype, "what": ("f", "f'")[k]}
                    results.append(row | {"library": library.title})
            print(dtype, name, flush=True)
    for name, at in SPECIAL:
        x = np.array([at], np.float32)
        if np.isinf(at):
            exact = peers.limits()[name][0][int(at < 0)]
        else:
            exact = np.float32(peers.exact(name, x)[0][0]) if at == at else at
        row = {"function": name, "x": peers.short(at), "exact": peers.short(exact)}
        row |= {l.title: peers.short(l.both(name, x, "float32")[0][0]) for l in libraries}
        special.append(row)
    return {
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "versions": versions,
        "libraries": [l.title for l in libraries],
        "results": results,
        "special": special,
    }


def lines(record: dict) -> str:
    """The record as JSON, a row a line."""
    rows = lambda value: "[\n" + ",\n".join(map(json.dumps, value)) + "\n]"
    parts = (f"{json.dumps(k)}: {rows(v) if k in ('results', 'special') else json.dumps(v)}"
             for k, v in record.items())
    return "{\n" + ",\n".join(parts) + "\n}\n"


def short(value) -> str:
    """An error: three digits."""
    if isinstance(value, str):
        return "∞"
    return f"{value:.3f}" if value < 2 else f"{value:.3g}"


def table(head, rows) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|---" + "|--:" * (len(head) - 1) + "|"]
    return [*lines, *("| " + " | ".join(r) + " |" for r in rows), ""]


def text(record: dict) -> str:
    """The document."""
    libraries = record["libraries"]
    versions = ", ".join(f"{p} {v}" for p, v in record["versions"].items())
    out = [
        "# Accuracy through NumPy and PyTorch",
        "",
        "Generated by `python bench/python/accuracy.py --record`; do not edit. Largest errors in units",
        "in the last place, measured through nonlin's ufuncs and through PyTorch's operators with",
        "nonlin's kernels (`nonlin.torch.enable()`), next to PyTorch's own and JAX's. Inputs: all 65,536",
        "numbers of float16 and of bfloat16, every 4099th of float32, those that are finite; of infinities",
        "and NaN tells the last table. Derivatives are gradients with a gradient of 1 by the output. What",
        "an error is, what it is measured against, and the rule near zeros of derivatives stand in",
        "[accuracy.md](accuracy.md).",
        "",
        "Of `sigmoid` and `tanh` PyTorch keeps the output for the gradient: near their limits nothing is",
        "left in it, whichever kernels run, and only the absolute error is small. The ufuncs take the",
        "input.",
        "",
        f"{record['date']}, Python {record['python']}, {versions}.",
        "",
    ]
    names = list(dict.fromkeys(r["function"] for r in record["results"]))
    for dtype in FORMATS:
        value, slope = PROMISED[dtype]
        out += [f"## {dtype}", "", f"Promised: {value:g} for values, {slope:g} for derivatives.", ""]
        rows = []
        for name in names:
            for what in ("f", "f'"):
                row = [f"`{name}` {what}"]
                for library in libraries:
                    (r,) = (
                        r for r in record["results"]
                        if (r["function"], r["dtype"], r["what"], r["library"])
                        == (name, dtype, what, library)
                    )  # fmt: skip
                    row.append(short(r["max"]) + (f" ({r['at']})" if r["over"] else ""))
                rows.append(row)
        out += table(["", *libraries], rows)
        out += ["In brackets: at which x, where more is off than is promised.", ""]
    out += ["## Special values and tails", "", "float32; exact results rounded once.", ""]
    rows = [
        [f"`{r['function']}({r['x']})`", r["exact"], *(r[l] for l in libraries)]
        for r in record["special"]
    ]
    out += table(["", "exact", *libraries], rows)
    return "\n".join(out)


def main() -> None:
    given = sys.argv[1:]
    if given not in ([], ["--record"], ["--check"]):
        sys.exit(__doc__)
    if given == ["--check"]:
        if not DOCUMENT.exists() or DOCUMENT.read_text() != text(json.loads(RECORD.read_text())):
            sys.exit(f"{DOCUMENT.name} is stale: run bench/python/accuracy.py --record")
        return
    record = measure()
    if given == ["--record"]:
        RECORD.write_text(lines(record))
        DOCUMENT.write_text(text(record))
    from_output = lambda r: (
        r["library"] == Enabled.title and r["what"] == "f'" and r["function"] in FROM_OUTPUT
    )
    ours = [r for r in record["results"] if r["library"] in (Nonlin.title, Enabled.title)]
    failed = [r for r in ours if r["over"] and not from_output(r)]
    for r in failed:
        print(f"more than promised: {r}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
