#!/usr/bin/env python3
"""A multilayer perceptron with dropout, an elastic net and clipped gradients, cross-validated.

    python examples/mlp.py --activation mish --folds 5
    python examples/mlp.py --csv iris.csv --hidden 32,32

Each fold is trained on the others' samples and tested on its own. Inputs have mean 0 and deviation 1
over the samples trained on. `--csv FILE` takes any file of numbers whose last column is a class,
counted from 0; by default the data are scikit-learn's digits.
"""

from __future__ import annotations

import argparse
import statistics
import sys

import common
import torch
from torch import Tensor, nn


def mlp(sizes: list[int], activation: str, dropout: float) -> nn.Sequential:
    """Linear layers with an activation and dropout after each but the last."""
    layers: list[nn.Module] = []
    for wide, next_wide in zip(sizes, sizes[1:-1]):
        layers += [nn.Linear(wide, next_wide), common.activation(activation, next_wide), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(*sizes[-2:]))


def elastic_net(model: nn.Module, l1: float, l2: float) -> Tensor:
    """l1 sum |w| + l2 sum w^2 over the weights of linear layers: not biases, not slopes that are learned."""
    weights = [m.weight for m in model.modules() if isinstance(m, nn.Linear)]
    return sum(l1 * w.abs().sum() + l2 * w.square().sum() for w in weights)


def folds(count: int, number: int, seed: int) -> list[Tensor]:
    """The indices of all samples, in random order, in parts of nearly equal sizes."""
    return list(torch.randperm(count, generator=common.generator(seed, 0)).tensor_split(number))


def widths(text: str) -> list[int]:
    """Sizes of hidden layers."""
    return [common.positive(word) for word in text.split(",")]


def fraction(text: str) -> float:
    """A share from 0, less than 1."""
    number = float(text)
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError(f"{number}: it is at least 0, and less than 1")
    return number


def main() -> None:
    parser = common.arguments(__doc__.splitlines()[0], activation="relu", steps=600, batch=64, rate=0.002)
    add = parser.add_argument
    add("--csv", type=common.file, help="columns of inputs, and the class")
    add("--hidden", type=widths, default=[128, 64], help="sizes of the hidden layers")
    add("--dropout", type=fraction, default=0.2, help="share of units left out in a step")
    add("--l1", type=float, default=1e-5, help="of the elastic net: times the sum of |w|")
    add("--l2", type=float, default=1e-4, help="of the elastic net: times the sum of w^2")
    add("--clip", type=common.above_zero, default=1.0, help="greatest norm of the gradient")
    add("--folds", type=common.positive, default=5, help="parts of the data, each tested on once")
    args = common.parse(parser)
    with common.processes():
        x, labels = common.rows(args.csv)
        if not 2 <= args.folds <= len(x):
            sys.exit(f"--folds {args.folds}: from 2 to {len(x)}, as many as there are samples")
        if args.quick:
            args.folds, args.hidden = 2, [16]
        parts = folds(len(x), args.folds, args.seed)
        histories, scores = [], []
        for number, test in enumerate(parts):
            train = torch.cat([p for other, p in enumerate(parts) if other != number])
            mean, deviation = x[train].mean(0), x[train].std(0).clamp_min(0.01)
            standard = (x - mean) / deviation
            torch.manual_seed(args.seed * 1_000_003 + number)
            model = mlp([x.shape[1], *args.hidden, int(labels.max()) + 1], args.activation, args.dropout)
            entropy = nn.CrossEntropyLoss()

            def loss(trained: nn.Module, x: Tensor, labels: Tensor, model=model) -> Tensor:
                return entropy(trained(x), labels) + elastic_net(model, args.l1, args.l2)

            history = common.fit(
                args, model, torch.optim.Adam(model.parameters(), args.rate),
                common.batches(args, standard[train], labels[train]), loss,
                name=f"fold-{number + 1}", clip=args.clip,
                evaluate=lambda m=model, x=standard[test], y=labels[test]: common.accuracy(m, x, y),
            )  # fmt: skip
            histories.append(history)
            scores.append(history["valid"][-1][1])
        each = ", ".join(f"{score:.4f}" for score in scores)
        common.say(f"accuracy {statistics.mean(scores):.4f} ± {statistics.stdev(scores):.4f} ({each})")

        def draw(figure) -> None:
            left, right = figure.subplots(1, 2)
            for number, history in enumerate(histories, 1):
                left.plot(history["loss"], linewidth=0.8, label=f"fold {number}")
            left.set(xlabel="step", ylabel="loss with the elastic net", yscale="log")
            left.legend()
            right.bar(range(1, len(scores) + 1), scores)
            right.axhline(statistics.mean(scores), color="k", linewidth=0.8)
            right.set(xlabel="fold", ylabel="test accuracy", ylim=(max(0, min(scores) - 0.05), 1))

        common.figure(args.out / "mlp.svg", draw, width=10)


if __name__ == "__main__":
    main()
