#!/usr/bin/env python3
"""Softmax regression: one linear layer and the cross-entropy, on digits.

    python examples/softmax_regression.py
    python examples/softmax_regression.py --csv iris.csv

The plain model has no activation but softmax: `--activation` alone is applied to the inputs. With
`--features N` a layer of N units, with that activation, comes first. `--csv FILE` takes any file of
numbers whose last column is a class, counted from 0.
"""

from __future__ import annotations

import common
import torch
from torch import Tensor, nn


def main() -> None:
    parser = common.arguments(__doc__.splitlines()[0], activation="identity", steps=1500, batch=64, rate=0.1)
    parser.add_argument("--csv", type=common.file, help="columns of inputs, and the class")
    parser.add_argument("--features", type=common.positive, help="units of a layer before; none by default")
    args = common.parse(parser)
    with common.processes():
        x, labels = common.rows(args.csv)
        train, test = common.split(len(x), 0.2, args.seed)
        x = (x - x[train].mean(0)) / x[train].std(0).clamp_min(0.01)
        wide, many = x.shape[1], int(labels.max()) + 1
        if args.features:
            unit = common.activation(args.activation, args.features)
            model = nn.Sequential(nn.Linear(wide, args.features), unit, nn.Linear(args.features, many))
        else:
            model = nn.Sequential(common.activation(args.activation, wide), nn.Linear(wide, many))
        entropy = nn.CrossEntropyLoss()

        def loss(model: nn.Module, x: Tensor, labels: Tensor) -> Tensor:
            return entropy(model(x), labels)

        history = common.fit(
            args, model, torch.optim.SGD(model.parameters(), args.rate),
            common.batches(args, x[train], labels[train]), loss,
            evaluate=lambda: common.accuracy(model, x[test], labels[test]),
        )  # fmt: skip
        with torch.no_grad():
            entropy_of_test = loss(model, x[test], labels[test])
        common.say(f"test accuracy {history['valid'][-1][1]:.3f}, cross-entropy {entropy_of_test:.3f}")

        def draw(figure) -> None:
            left, right = figure.subfigures(1, 2)
            common.curves(left.subplots(), history, "training", "test accuracy")
            if args.csv is None and not args.features:
                right.suptitle("weights of each digit")
                for axes, weights in zip(right.subplots(2, 5).flat, model[-1].weight.detach()):
                    axes.imshow(weights.reshape(8, 8), cmap="RdBu", vmin=-1, vmax=1)
                    axes.set_axis_off()

        common.figure(args.out / "softmax_regression.svg", draw, width=10)


if __name__ == "__main__":
    main()
