#!/usr/bin/env python3
"""How much longer a step of training takes while `nonlin.torch.monitor` watches.

    python bench/python/monitor.py [--threads 1] [--rounds 12] [--every 50]

Steps without a monitor and steps that are measured take turns; what is printed is the median over rounds
of the time that a measured step takes more, relative to one without, and that divided by `--every`.
Time is the processor's, on one thread, so that other programs do not count.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import nonlin.torch

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "examples"))
from transformer import Transformer  # noqa: E402


def networks() -> dict[str, tuple[nn.Module, Tensor, int]]:
    """Networks, a batch, and how many classes there are."""
    torch.manual_seed(0)
    mlp = nn.Sequential(
        nn.Linear(784, 1024), nn.Mish(), nn.Linear(1024, 1024), nn.Mish(), nn.Linear(1024, 10)
    )
    return {
        "MLP 784-1024-1024-10 with mish, batch 256": (mlp, torch.randn(256, 784), 10),
        "transformer with swiglu, 2 blocks of 96, 32 x 64 letters": (
            Transformer(96, 64, 96, 4, 2, "swiglu"), torch.randint(96, (32, 64)), 96
        ),
    }  # fmt: skip


def main() -> None:
    """Prints a line for each network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--every", type=int, default=50)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    for name, (model, x, classes) in networks().items():
        optimizer = torch.optim.SGD(model.parameters(), 1e-3)
        y = torch.randint(classes, (x.numel() if classes == 96 else len(x),))

        def step() -> float:
            start = time.process_time()
            optimizer.zero_grad()
            F.cross_entropy(model(x).flatten(0, -2), y).backward()
            optimizer.step()
            return time.process_time() - start

        step()
        plain, more = [], []
        for _ in range(given.rounds):
            without = statistics.median([step(), step(), step()])
            with nonlin.torch.monitor(model, every=1) as watch:
                start = time.process_time()
                step()
                watch.flush()
                measured = time.process_time() - start
            assert watch.layers, "nothing is watched"
            plain.append(without)
            more.append(measured / without - 1)
        share = statistics.median(more)
        print(
            f"{name}: {statistics.median(plain) * 1e3:.1f} ms a step; a measured step of {len(watch.layers)} activations "
            f"takes {100 * share:.0f} % more, at one in {given.every} {100 * share / given.every:.2f} %"
        )


if __name__ == "__main__":
    main()
