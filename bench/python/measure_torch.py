#!/usr/bin/env python3
"""Times PyTorch's operators with its own kernels and with nonlin's, and calls from Python.

    python bench/python/measure_torch.py [--functions gelu,silu] [--threads 1,2] [--quick]

Rivals take turns, and the median of their times counts. Before anything is timed, its results are
compared with float64. Rows go to bench/python/torch.csv, what they were measured on to
bench/python/torch.json; those of functions measured now replace what was there. `document.py` writes
docs/python-performance.md from them.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from timing import per_call, warm_up

import nonlin.torch

HERE = Path(__file__).parent
RECORD = HERE / "torch.csv"
MACHINE = HERE / "torch.json"
FIELDS = ["function", "pass", "dtype", "inputs", "size", "threads", "rival", "us"]
#: Rounds, and seconds of calls in each. A call that alone takes longer than `LONG` seconds is timed
#: in fewer rounds, since it is measured better.
ROUNDS, BUDGET, LONG, LONG_ROUNDS = 7, 1.5e-3, 10e-3, 5
QUICK_ROUNDS, QUICK_BUDGET = 3, 0.3e-3

FUNCTIONS = {
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "prelu": lambda x: F.prelu(x, WEIGHT[x.dtype]),
    "elu": F.elu,
    "celu": F.celu,
    "selu": F.selu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "softplus": F.softplus,
    "log_sigmoid": F.logsigmoid,
    "silu": F.silu,
    "mish": F.mish,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "hard_swish": F.hardswish,
    "hard_sigmoid": F.hardsigmoid,
    "glu": F.glu,
    "softmax": lambda x: F.softmax(x, -1),
    "log_softmax": lambda x: F.log_softmax(x, -1),
}
#: Rows of glu and of softmax have at most so many elements.
WIDTH = 1024
INPUTS = {
    "normal1": lambda n: torch.randn(n),
    "normal3": lambda n: torch.randn(n) * 3,
    "uniform30": lambda n: torch.rand(n) * 60 - 30,
}
DTYPES = {"f32": torch.float32, "f64": torch.float64, "bf16": torch.bfloat16}


#: One slope for all elements.
WEIGHT = {dtype: torch.tensor(0.25, dtype=dtype) for dtype in DTYPES.values()}


#: From so many elements on more than one thread is used.
PARALLEL = 1 << 16


def cases(threads: int, quick: bool):
    """Type, inputs and size of what is measured."""
    if threads > 1:
        yield from (("f32", "normal1", size) for size in (PARALLEL, 1 << 20, 1 << 25) if not quick)
        return
    if quick:
        yield from (("f32", "normal1", size) for size in (16, 16384))
        return
    for dtype in DTYPES:
        for size in (1, 4, 16, 64, 256, 1024, 4096, 16384, 1 << 16, 1 << 18, 1 << 20, 1 << 23, 1 << 25):
            yield dtype, "normal1", size
        for inputs in ("normal3", "uniform30"):
            for size in (1024, 16384, 1 << 20):
                yield dtype, inputs, size


def in_turns(rivals: dict, rounds: int, budget: float) -> dict[str, float]:
    """The median of each rival, measured in turns. A rival is (before, call)."""
    times: dict[str, list[float]] = {name: [] for name in rivals}
    for turn in range(rounds):
        for name, (before, call) in rivals.items():
            # Two results are held meanwhile, else what `before` leaves on the heap would lie in their
            # places, and the next ones would go to new pages.
            held = [call(), call()]
            before()
            del held
            warm_up(call)
            times[name].append(per_call(call, budget))
        if turn + 1 >= LONG_ROUNDS and max(t[-1] for t in times.values()) > LONG * 1e6:
            break
    return {name: statistics.median(t) for name, t in times.items()}


def shaped(name: str, x: torch.Tensor) -> torch.Tensor:
    """With rows for functions of rows."""
    if name in ("softmax", "log_softmax"):
        return x.view(-1, min(WIDTH, x.numel()))
    # One row of glu has two elements at least.
    return x.view(-1, min(WIDTH, x.numel())) if name == "glu" and x.numel() > 1 else x


def check(name: str, function, x: torch.Tensor, g: torch.Tensor) -> None:
    """nonlin's results are those of PyTorch in float64, to the last few bits of the type."""
    exact = x.detach().double().requires_grad_()
    wanted = function(exact)
    slope = torch.autograd.grad(wanted, exact, g.double())[0]
    with nonlin.torch.enable():
        y = function(x)
        got = torch.autograd.grad(y, x, g)[0]
    # PyTorch's own slope of hardsigmoid takes 1/6 as a number of f32, in f64 too.
    near = max(8 * torch.finfo(x.dtype).eps, 1e-7)
    for a, b in ((y, wanted), (got, slope)):
        torch.testing.assert_close(a.double(), b, rtol=near, atol=near, msg=name)


def measure(name: str, threads: int, quick: bool):
    function = FUNCTIONS[name]
    enable, disable = nonlin.torch.enable, nonlin.torch.disable
    rounds, budget = (QUICK_ROUNDS, QUICK_BUDGET) if quick else (ROUNDS, BUDGET)
    torch.set_num_threads(threads)
    for dtype, inputs, size in cases(threads, quick):
        if name == "glu" and size == 1:
            continue
        torch.manual_seed(0)
        x = shaped(name, INPUTS[inputs](size).to(DTYPES[dtype]))
        leaf = x.clone().requires_grad_()
        with torch.no_grad():
            g = torch.randn_like(function(x))
        if size <= 16384:
            check(name, function, leaf, g)
        y = function(leaf)

        def backward(y=y, leaf=leaf, g=g):
            return torch.autograd.grad(y, leaf, g, retain_graph=True)

        for direction, call in (("forward", lambda x=x: function(x)), ("backward", backward)):
            times = in_turns({"PyTorch": (disable, call), "nonlin": (enable, call)}, rounds, budget)
            for rival, us in times.items():
                yield [name, direction, dtype, inputs, size, threads, rival, f"{us:.4g}"]
        disable()


def calls(quick: bool):
    """Calls of 16 elements from Python, where the call is what takes time."""
    torch.set_num_threads(1)
    x = torch.randn(16)
    a, b = torch.randn(2, 16)
    leaf, other = (t.clone().requires_grad_() for t in (a, b))
    g = torch.ones(16)

    def train(call, *leaves):
        torch.autograd.grad(call(*leaves), leaves, g)

    enable, disable = nonlin.torch.enable, nonlin.torch.disable
    nothing = lambda: None  # noqa: E731
    groups = {
        "silu": {
            "F.silu, PyTorch": (disable, lambda: F.silu(x)),
            "F.silu, enabled": (enable, lambda: F.silu(x)),
            "nonlin.torch.silu": (disable, lambda: nonlin.torch.silu(x)),
            "torch.ops.nonlin.silu": (disable, lambda: torch.ops.nonlin.silu(x)),
        },
        "elu": {
            "F.elu, PyTorch": (disable, lambda: F.elu(x)),
            "F.elu, enabled": (enable, lambda: F.elu(x)),
            "nonlin.torch.elu": (disable, lambda: nonlin.torch.elu(x)),
        },
        "swiglu": {
            "F.silu(a) * b, PyTorch": (disable, lambda: F.silu(a) * b),
            "nonlin.torch.swiglu": (nothing, lambda: nonlin.torch.swiglu(a, b)),
        },
        "silu, forward and backward": {
            "F.silu, PyTorch": (disable, lambda: train(F.silu, leaf)),
            "F.silu, enabled": (enable, lambda: train(F.silu, leaf)),
            "nonlin.torch.silu": (disable, lambda: train(nonlin.torch.silu, leaf)),
        },
        "swiglu, forward and backward": {
            "F.silu(a) * b, PyTorch": (disable, lambda: train(lambda a, b: F.silu(a) * b, leaf, other)),
            "nonlin.torch.swiglu": (nothing, lambda: train(nonlin.torch.swiglu, leaf, other)),
        },
    }
    for group, rivals in groups.items():
        rounds, budget = (QUICK_ROUNDS, QUICK_BUDGET) if quick else (3 * ROUNDS, BUDGET)
        for rival, us in in_turns(rivals, rounds, budget).items():
            yield [group, "call", "f32", "normal1", 16, 1, rival, f"{us:.4g}"]
    disable()


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


#: The C library keeps the memory of results, as it does in a program that has run for a while; else
#: whether a call pays for new pages depends on what happens to lie behind its result.
KEEP = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000"}


def write(record: Path, rows: list[list[str]]) -> None:
    order = ["calls", *FUNCTIONS]
    rows.sort(key=lambda r: (r[1] != "call", order.index(r[0]) if r[0] in order else -1))
    with record.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(FIELDS)
        writer.writerows(rows)


def main() -> None:
    if not KEEP.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | KEEP)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--functions", default=",".join(["calls", *FUNCTIONS]))
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--quick", action="store_true", help="two sizes, fewer and shorter rounds")
    parser.add_argument("--record", type=Path, default=RECORD)
    given = parser.parse_args()
    machine = {
        "cpu": processor(),
        "torch": torch.__version__,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }
    if given.record == RECORD:
        MACHINE.write_text(json.dumps(machine, indent=2) + "\n")
    rows = []
    if given.record.exists():
        with given.record.open(newline="") as file:
            rows = list(csv.reader(file))[1:]
    for name in given.functions.split(","):
        new = []
        if name == "calls":
            rows = [r for r in rows if r[1] != "call"]
            new = list(calls(given.quick))
        else:
            rows = [r for r in rows if r[0] != name or r[1] == "call"]
            for threads in map(int, given.threads.split(",")):
                new += measure(name, threads, given.quick)
        rows += [[str(v) for v in row] for row in new]
        print(name, len(new), flush=True)
        # Written at once: a run that is cut short keeps what it has.
        write(given.record, rows)


if __name__ == "__main__":
    main()
