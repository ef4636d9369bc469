#!/usr/bin/env python3
"""Peak memory of a training step by what activations keep, and what that costs; into docs/training-speed.md.

    python bench/python/memory.py [--rounds 15]

Networks are those whose activations take more than their weights: a multilayer perceptron of four hidden
layers, and a chain of gated feed-forward blocks. For each `save` of `nonlin.torch.Activation` the losses and
gradients are compared with PyTorch's first. Peaks are the most bytes that PyTorch's allocator holds during a
step above weights and inputs. Times are the processor's for a step on one thread: medians over rounds of the
ratio to PyTorch's within a round, in which all take turns in random order. Rows go to bench/python/memory.csv,
from which training.py writes the page.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import nonlin.torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import training  # noqa: E402

RECORD = HERE / "memory.csv"
FIELDS = ["function", "save", "peak_bytes", "ratio", "error"]
#: Batch, width and depth of the perceptron; tokens, width, hidden width and depth of the gated blocks.
MLP, FFN = (4096, 512, 4), (2048, 256, 1024, 3)
SAVES = {
    "relu": ["output"],
    "silu": ["input", "bit", "recompute"],
    "gelu": ["input", "bit", "recompute"],
    "swiglu": ["input", "recompute"],
}
THEIRS: dict[str, Callable[..., Tensor]] = {
    "relu": F.relu,
    "silu": F.silu,
    "gelu": F.gelu,
    "swiglu": lambda a, b: F.silu(a) * b,
}


class Gated(nn.Module):
    """A gated feed-forward block on a residual stream."""

    def __init__(self, unit: Callable[..., Tensor]) -> None:
        super().__init__()
        _, width, hidden, _ = FFN
        self.gate, self.up = (nn.Linear(width, hidden, bias=False) for _ in range(2))
        self.down = nn.Linear(hidden, width, bias=False)
        self.unit = unit

    def forward(self, x: Tensor) -> Tensor:
        """The stream and what the block adds."""
        return x + self.down(self.unit(self.gate(x), self.up(x)))


class Case:
    """A network whose activations keep what `save` says; PyTorch's own for none."""

    def __init__(self, function: str, save: str | None) -> None:
        torch.manual_seed(0)
        unit = THEIRS[function] if save is None else nonlin.torch.Activation(function, save=save)
        wrapped: Any = unit if isinstance(unit, nn.Module) else training.Unit()
        if save is None:
            wrapped.function = unit
        if function == "swiglu":
            self.model = nn.Sequential(*(Gated(wrapped) for _ in range(FFN[3])), nn.Linear(FFN[1], 10))
            self.x = torch.randn(FFN[0], FFN[1])
        else:
            batch, width, depth = MLP
            layers: list[nn.Module] = []
            for _ in range(depth):
                layers += [nn.Linear(width, width), wrapped]
            self.model, self.x = nn.Sequential(*layers, nn.Linear(width, 10)), torch.randn(batch, width)
        self.y = torch.randint(10, (len(self.x),))
        self.optimizer = torch.optim.SGD(self.model.parameters(), 1e-3)
        self.context = nonlin.torch.recompute if save == "recompute" else nullcontext

    def gradients(self) -> Tensor:
        """The loss; gradients are those of the weights now."""
        self.optimizer.zero_grad()
        with self.context():
            loss = F.cross_entropy(self.model(self.x), self.y)
        loss.backward()
        return loss

    def step(self) -> None:
        """One step of training."""
        self.gradients()
        self.optimizer.step()


def measure(function: str, rounds: int) -> list[list[str]]:
    """Rows of one function."""
    cases = {"": Case(function, None), **{save: Case(function, save) for save in SAVES[function]}}
    wanted = _all(cases[""])
    errors = {save: float((_all(case) - wanted).norm() / wanted.norm()) for save, case in cases.items()}
    draw, times = random.Random(0), {save: [] for save in cases}
    for case in cases.values():
        case.step()
    for _ in range(rounds):
        for save in draw.sample(list(cases), len(cases)):
            start = time.process_time()
            cases[save].step()
            times[save].append(time.process_time() - start)
    rows = []
    for save, case in cases.items():
        ratio = statistics.median(t / p for t, p in zip(times[save], times[""], strict=True))
        rows.append([function, save, str(training.peak(case)), f"{ratio:.3f}", f"{errors[save]:.1e}"])
    return rows


def _all(case: Case) -> Tensor:
    case.gradients()
    return torch.cat([p.grad.flatten() for p in case.model.parameters() if p.grad is not None])


def section() -> list[str]:
    """The part of the page, from the record."""
    with RECORD.open(newline="") as file:
        rows = list(csv.DictReader(file))
    theirs = {r["function"]: int(r["peak_bytes"]) for r in rows if not r["save"]}
    batch, width, depth = MLP
    tokens, narrow, hidden, blocks = FFN
    return [
        "",
        "## What activations keep",
        "",
        "`nonlin.torch.Activation(name, save=...)` says what is kept for backward; `python bench/python/memory.py`",
        f"measures it. relu, silu and gelu are in an MLP of {depth} layers of {width} with a batch of {batch:,},",
        f"swiglu in {blocks} blocks of {narrow} with {hidden:,} hidden units and {tokens:,} tokens. *Gradient* is how far",
        "all gradients together are from PyTorch's, relative to their size. *Time* is the processor's for a step on",
        "one thread, over PyTorch's.",
        "",
        "| activation | `save` | peak, MiB | over PyTorch's | time | gradient |",
        "|---|---|---|---|---|---|",
        *(
            f"| `{r['function']}` | {'`' + r['save'] + '`' if r['save'] else 'PyTorch'} | "
            f"{int(r['peak_bytes']) / 2**20:.2f} | {int(r['peak_bytes']) / theirs[r['function']]:.2f} | "
            f"{float(r['ratio']):.2f} | {r['error'] if r['save'] else ''} |"
            for r in rows
        ),
        "",
        "With `bit` the layer after the activation keeps the output anyway, and 1 bit an element is added; with",
        "`recompute` the activation keeps its input, and the layer after it keeps nothing.",
    ]


def main() -> None:
    if not training.KEEP.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | training.KEEP)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = [row for function in SAVES for row in measure(function, given.rounds)]
    with RECORD.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(FIELDS)
        writer.writerows(rows)
    training.PAGE.write_text(training.document())
    print("\n".join(section()))


if __name__ == "__main__":
    main()
