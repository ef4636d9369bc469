#!/usr/bin/env python3
"""SimpleNet: 10 inputs, 20 hidden units, 1 output, trained with the mean squared error.

    python examples/simple_net.py --activation gelu

By default it learns how diabetes proceeds from the ten measurements of scikit-learn's data set;
`--csv FILE` takes any file with ten columns of inputs and, last, the target.
"""

from __future__ import annotations

import sys
from pathlib import Path

import common
import torch
from torch import Tensor, nn


class SimpleNet(nn.Module):
    """10 -> 20 -> 1."""

    def __init__(self, activation: str) -> None:
        super().__init__()
        self.hidden = nn.Linear(10, 20)
        self.activation = common.activation(activation, 20)
        self.output = nn.Linear(20, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Of each row one number."""
        return self.output(self.activation(self.hidden(x))).squeeze(-1)


def data(path: Path | None) -> tuple[Tensor, Tensor]:
    """Ten inputs of each sample, and its target."""
    if path is not None:
        x, y = common.table(path)
        if x.shape[1] != 10:
            sys.exit(f"{path}: {x.shape[1]} columns and the target; SimpleNet has 10 inputs")
        return x, y.float()
    from sklearn.datasets import load_diabetes

    x, y = load_diabetes(return_X_y=True, scaled=False)
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)


def main() -> None:
    parser = common.arguments(__doc__.splitlines()[0], activation="relu", steps=1500, batch=32, rate=0.01)
    parser.add_argument("--csv", type=common.file, help="ten columns of inputs, and the target")
    args = common.parse(parser)
    with common.processes():
        x, y = data(args.csv)
        train, test = common.split(len(x), 0.2, args.seed)
        # Inputs and target have mean 0 and deviation 1 over the samples to train on.
        x = (x - x[train].mean(0)) / x[train].std(0).clamp_min(1e-12)
        y = (y - y[train].mean()) / y[train].std().clamp_min(1e-12)
        model = SimpleNet(args.activation)
        error = nn.MSELoss()

        def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
            return error(model(x), y)

        history = common.fit(
            args, model, torch.optim.SGD(model.parameters(), args.rate),
            common.batches(args, x[train], y[train]), loss,
            evaluate=lambda: loss(model, x[test], y[test]).item(),
        )  # fmt: skip
        common.say(f"test error {history['valid'][-1][1]:.3f}; without the inputs {y[test].square().mean():.3f}")

        def draw(figure) -> None:
            left, right = figure.subplots(1, 2)
            common.curves(left, history, "training", "test error")
            with torch.no_grad():
                right.plot(y[test], model(x[test]), ".")
            right.axline((0, 0), slope=1, color="k", linewidth=0.8)
            right.set(xlabel="target", ylabel="prediction", title="test samples")

        common.figure(args.out / "simple_net.svg", draw, width=10)


if __name__ == "__main__":
    main()
