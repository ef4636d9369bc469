#!/usr/bin/env python3
"""Times steps of training with PyTorch's activations and with nonlin's, and writes docs/training-speed.md.

    python bench/python/training.py [--cases mlp-mish,lenet-relu] [--threads 1,2] [--rounds 60]
    python bench/python/training.py --document

A step is forward, cross-entropy, backward and SGD. All rivals train one set of weights and take turns in
random order, so noise, caches and addresses are the same for all. What counts is the median over rounds
of the ratio of their times within a round; its interval of 95 % is a bootstrap's, over rounds. Peak memory
is what PyTorch's allocator holds at most during a step, above weights and inputs.

Before anything is timed, losses and gradients of the rivals are compared. Rows go to
bench/python/training.csv, and replace those of the same case and threads. `--document` only writes the page
from them.
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

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

import nonlin.torch

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "examples"))
from lenet import LeNet  # noqa: E402
from measure_torch import KEEP, processor  # noqa: E402
from transformer import Transformer  # noqa: E402

RECORD = HERE / "training.csv"
MACHINE = HERE / "training.json"
PAGE = ROOT / "docs" / "training-speed.md"
FIELDS = ["case", "threads", "rival", "rounds", "ms", "ratio", "low", "high", "share", "share_low", "share_high",
          "peak_bytes", "peak_bytes_large"]  # fmt: skip
#: Batches of the multilayer perceptron: the one timed, and one whose activations take more than its weights.
BATCH, LARGE = 256, 4096
#: Seconds that a rival has in a round.
TURN = 0.05

#: PyTorch's way to say a function, and nonlin's where `enable()` does not put it under PyTorch's.
UNITS: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor]]] = {
    "relu": (F.relu, F.relu),
    "mish": (F.mish, F.mish),
    "silu": (F.silu, F.silu),
    "gelu": (F.gelu, F.gelu),
    "swiglu": (lambda a, b: F.silu(a) * b, nonlin.torch.swiglu),
}
CASES = ["mlp-mish", "mlp-relu", "mlp-silu", "mlp-gelu", "lenet-relu", "transformer-swiglu"]
#: What the networks are called on the page.
NAMES = {
    "mlp": f"MLP 784-1024-1024-10, batch {BATCH}",
    "lenet": "LeNet, batch 64",
    "transformer": "transformer, 2 blocks of 96, 32 × 64 letters",
}


class Unit(nn.Module):
    """The activation of all layers, which is exchanged while the network stays."""

    def __init__(self) -> None:
        super().__init__()
        self.function: Callable[..., Tensor] = F.relu

    def forward(self, *operands: Tensor) -> Tensor:
        """Whatever the function is."""
        return self.function(*operands)


class Case:
    """A network, a batch, and rivals: for each whether nonlin is enabled, and the function."""

    def __init__(self, name: str, batch: int = BATCH) -> None:
        network, function = name.split("-")
        torch.manual_seed(0)
        self.unit = Unit()
        if network == "mlp":
            layers = [nn.Linear(784, 1024), self.unit, nn.Linear(1024, 1024), self.unit, nn.Linear(1024, 10)]
            self.model, self.x = nn.Sequential(*layers), torch.randn(batch, 784)
        elif network == "lenet":
            self.model, self.x = self.exchange(LeNet(function)), torch.randn(64, 1, 28, 28)
        else:
            self.model = self.exchange(Transformer(96, 64, 96, 4, 2, function))
            self.x = torch.randint(96, (32, 64))
        classes, scores = (96, self.x.numel()) if network == "transformer" else (10, len(self.x))
        self.y = torch.randint(classes, (scores,))
        self.optimizer = torch.optim.SGD(self.model.parameters(), 1e-3)
        theirs, ours = UNITS[function]
        self.rivals = {"PyTorch": (False, theirs), "nonlin": (True, ours)}
        if network == "mlp":
            self.rivals["identity"] = (False, lambda x: x)

    def exchange(self, model: nn.Module) -> nn.Module:
        """Puts the unit where the network has its activations."""
        for module in list(model.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, nonlin.torch.Activation):
                    setattr(module, name, self.unit)
        return model

    def choose(self, rival: str) -> None:
        """The steps that follow are those of this rival."""
        enabled, self.unit.function = self.rivals[rival]
        (nonlin.torch.enable if enabled else nonlin.torch.disable)()

    def gradients(self) -> Tensor:
        """The loss; gradients are those of the weights now."""
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.model(self.x).flatten(0, -2), self.y)
        loss.backward()
        return loss

    def step(self) -> None:
        """One step of training."""
        self.gradients()
        self.optimizer.step()

    def check(self) -> None:
        """PyTorch and nonlin give the loss and the gradients that each other gives."""
        found = []
        for rival in ("PyTorch", "nonlin"):
            self.choose(rival)
            loss = self.gradients().detach()
            found.append([loss, *(p.grad for p in self.model.parameters())])
        torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-6)

    def peak(self, rival: str) -> int:
        """The most bytes that a step of this rival holds above what there was before."""
        self.choose(rival)
        return peak(self)


def peak(case: Any) -> int:
    """The most bytes that a step holds above what there was before."""
    case.step()
    case.optimizer.zero_grad()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        case.step()
    events = [e for e in profiled.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def turns(case: Case, rounds: int) -> dict[str, np.ndarray]:
    """Milliseconds of a step of each rival in each round."""
    draw = random.Random(0)
    case.choose("PyTorch")
    case.step()
    start = time.perf_counter()
    case.step()
    steps = max(1, round(TURN / (time.perf_counter() - start)))
    times: dict[str, list[float]] = {name: [] for name in case.rivals}
    for _ in range(rounds):
        for name in draw.sample(list(case.rivals), len(case.rivals)):
            case.choose(name)
            case.step()
            each = []
            for _ in range(steps):
                start = time.perf_counter()
                case.step()
                each.append(time.perf_counter() - start)
            times[name].append(statistics.median(each) * 1e3)
    nonlin.torch.disable()
    return {name: np.array(t) for name, t in times.items()}


def interval(statistic: Callable[[np.ndarray], float], rounds: int) -> tuple[float, float, float]:
    """A statistic of rounds, and its interval of 95 %; it is called with the rounds to take."""
    draw = np.random.default_rng(0)
    found = [statistic(draw.integers(rounds, size=rounds)) for _ in range(2000)]
    low, high = np.quantile(found, [0.025, 0.975])
    return statistic(np.arange(rounds)), float(low), float(high)


def measure(name: str, threads: int, rounds: int) -> list[list[object]]:
    """Rows of one case."""
    torch.set_num_threads(threads)
    case = Case(name)
    case.check()
    times = turns(case, rounds)
    large = Case(name, LARGE) if name.startswith("mlp") else None
    rows = []
    for rival, t in times.items():
        ratios = t / times["PyTorch"]
        ratio = interval(lambda chosen, r=ratios: float(np.median(r[chosen])), rounds)
        share: list[object] = ["", "", ""]
        if rival == "nonlin" and "identity" in times:
            # Of what the function costs over none.
            saved, cost = times["PyTorch"] - t, times["PyTorch"] - times["identity"]
            gone = interval(lambda c, s=saved, k=cost: float(np.median(s[c]) / np.median(k[c])), rounds)
            share = [f"{s:.3f}" for s in gone]
        rows.append([name, threads, rival, rounds, f"{np.median(t):.4g}", *(f"{r:.4f}" for r in ratio), *share,
                     case.peak(rival), large.peak(rival) if large else ""])  # fmt: skip
    nonlin.torch.disable()
    return rows


def load() -> list[dict[str, str]]:
    """The rows recorded."""
    if not RECORD.exists():
        return []
    with RECORD.open(newline="") as file:
        return list(csv.DictReader(file))


def record(rows: list[list[object]]) -> None:
    """Puts rows in the place of those of the same case and threads."""
    new = [dict(zip(FIELDS, map(str, row), strict=True)) for row in rows]
    replaced = {(r["case"], r["threads"]) for r in new}
    rows_now = [r for r in load() if (r["case"], r["threads"]) not in replaced] + new
    rows_now.sort(key=lambda r: (CASES.index(r["case"]), int(r["threads"])))
    with RECORD.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows_now)


def document() -> str:
    """The page."""
    cases: dict[tuple[str, str], dict[str, dict[str, str]]] = {}
    for row in load():
        cases.setdefault((row["case"], row["threads"]), {})[row["rival"]] = row
    machine = json.loads(MACHINE.read_text())
    lines = [
        "# Training: time and memory of a step",
        "",
        "Generated by `python bench/python/training.py`; do not edit. The record is `bench/python/training.csv`.",
        "",
        "A step is forward, cross-entropy, backward and SGD, in float32. PyTorch's activations and nonlin's",
        "(`nonlin.torch.enable()`; for swiglu, which PyTorch writes as `silu(a) * b`, `nonlin.torch.swiglu`)",
        "train the same weights by turns in one process; the ratio is the median over rounds of nonlin's time",
        "to PyTorch's in a round, with an interval of 95 %. *Cost gone* is which share of the time that the",
        "function takes over none at all, with PyTorch, nonlin saves; it is told where that is a tenth of the step.",
        "",
        f"Measured on {machine['cpu']} ({machine['capability']}), with PyTorch {machine['torch']}, {machine['date']}.",
        "",
        "| network | activation | threads | PyTorch, ms | nonlin, ms | nonlin / PyTorch | cost gone |",
        "|---|---|---|---|---|---|---|",
    ]
    memory: dict[tuple[str, str], list[str]] = {}
    for (case, threads), rivals in cases.items():
        network, function = case.split("-")
        theirs, ours = rivals["PyTorch"], rivals["nonlin"]
        share = ""
        if ours["share"] and float(rivals["identity"]["ratio"]) < 0.9:
            share, *bounds = (f"{float(ours[k]):.0%}" for k in ("share", "share_low", "share_high"))
            share += f" ({' to '.join(bounds)})"
        cells = [
            NAMES[network], f"`{function}`", threads, theirs["ms"], ours["ms"],
            f"{float(ours['ratio']):.3f} ({float(ours['low']):.3f} to {float(ours['high']):.3f})",
            share,
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
        for field, name in (("peak_bytes", NAMES[network]), ("peak_bytes_large", f"MLP, batch {LARGE:,}")):
            peaks = [rivals[r][field] if r in rivals else "" for r in ("PyTorch", "nonlin", "identity")]
            if any(peaks):
                cells = [f"{int(peak) / 2**20:.2f}" if peak else "" for peak in peaks]
                memory.setdefault((name, function), cells)
    lines += [
        "",
        "Memory is the most that PyTorch's allocator holds during a step above weights and inputs: gradients, and",
        "what is kept for backward. With `silu(a) * b` PyTorch keeps three tensors, `swiglu` two.",
        "",
        "| network | activation | PyTorch, MiB | nonlin, MiB | without activation, MiB |",
        "|---|---|---|---|---|",
        *("| " + " | ".join([name, f"`{f}`", *cells]) + " |" for (name, f), cells in memory.items()),
    ]
    import memory  # which has its networks' steps measured by what is here

    return "\n".join([*lines, *memory.section(), ""])


def listed(text: str) -> list[str]:
    """Names of cases."""
    names = text.split(",")
    for name in names:
        if name not in CASES:
            raise argparse.ArgumentTypeError(f"{name}: not one of {', '.join(CASES)}")
    return names


def main() -> None:
    if not KEEP.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | KEEP)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=listed, default=CASES, help="comma-separated; all by default")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--document", action="store_true", help="only write the page from the record")
    parser.add_argument("--dry", action="store_true", help="print, and record nothing")
    given = parser.parse_args()
    if not given.document:
        for name in given.cases:
            for threads in map(int, given.threads.split(",")):
                rows = measure(name, threads, given.rounds)
                for row in rows:
                    print(*row, flush=True)
                if not given.dry:
                    record(rows)
        machine = {
            "cpu": processor(),
            "torch": torch.__version__,
            "capability": torch.backends.cpu.get_cpu_capability(),
            "python": platform.python_version(),
            "date": time.strftime("%Y-%m-%d"),
        }
        if not given.dry:
            MACHINE.write_text(json.dumps(machine, indent=2) + "\n")
    if not given.dry:
        PAGE.write_text(document())
        print(PAGE)


if __name__ == "__main__":
    main()
