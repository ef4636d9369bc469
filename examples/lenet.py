#!/usr/bin/env python3
"""LeNet on images of 28 x 28: 6x28x28, 6x14x14, 16x10x10, 16x5x5, 120, 84, 10.

    python examples/lenet.py --activation mish
    python examples/lenet.py --images train-images-idx3-ubyte.gz --labels train-labels-idx1-ubyte.gz \\
        --test-images t10k-images-idx3-ubyte.gz --test-labels t10k-labels-idx1-ubyte.gz

By default the images are scikit-learn's digits of 8 x 8, enlarged. IDX files, as those of MNIST and
Fashion-MNIST are, are read from where they lie.
"""

from __future__ import annotations

import sys
from pathlib import Path

import common
import torch
from torch import Tensor, nn


class LeNet(nn.Sequential):
    """Two convolutions and three linear layers."""

    def __init__(self, activation: str) -> None:
        super().__init__(
            nn.Conv2d(1, 6, 5, padding=2),  # 6 x 28 x 28
            common.activation(activation, 6),
            nn.AvgPool2d(2),  # 6 x 14 x 14
            nn.Conv2d(6, 16, 5),  # 16 x 10 x 10
            common.activation(activation, 16),
            nn.AvgPool2d(2),  # 16 x 5 x 5
            nn.Flatten(),
            nn.Linear(16 * 5 * 5, 120),
            common.activation(activation, 120),
            nn.Linear(120, 84),
            common.activation(activation, 84),
            nn.Linear(84, 10),
        )


def images(path: Path, labels: Path) -> tuple[Tensor, Tensor]:
    """Images from 0 to 1 and their classes, of two IDX files."""
    x, y = common.idx(path), common.classes(common.idx(labels))
    if x.shape[1:] != (28, 28):
        sys.exit(f"{path}: images of {tuple(x.shape[1:])}; LeNet here takes (28, 28)")
    if y.shape != x.shape[:1] or y.max() > 9:
        sys.exit(f"{labels}: {tuple(y.shape)} labels to {y.max()}; wanted: {len(x)}, to 9")
    return x.float() / 255, y


def data(args) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images and classes to train on, and to test on."""
    if (args.images is None) != (args.labels is None):
        sys.exit("--images and --labels belong together")
    if (args.test_images is None) != (args.test_labels is None):
        sys.exit("--test-images and --test-labels belong together")
    if args.images is not None:
        x, y = images(args.images, args.labels)
    else:
        x, y = common.digits()
        x = nn.functional.interpolate(x[:, None], size=(28, 28), mode="bilinear")[:, 0].clamp(0, 1)
    if args.test_images is not None:
        return x, y, *images(args.test_images, args.test_labels)
    train, test = common.split(len(x), 0.2, args.seed)
    return x[train], y[train], x[test], y[test]


def main() -> None:
    parser = common.arguments(__doc__.splitlines()[0], activation="relu", steps=600, batch=64, rate=0.002)
    add = parser.add_argument
    add("--images", type=common.file, help="IDX file of images to train on")
    add("--labels", type=common.file, help="IDX file of their classes")
    add("--test-images", type=common.file, help="IDX file of images to test on; else a fifth of the others")
    add("--test-labels", type=common.file, help="IDX file of their classes")
    args = common.parse(parser)
    with common.processes():
        x, y, test, wanted = (t if t.dim() == 1 else t[:, None] for t in data(args))
        mean, deviation = x.mean(), x.std()
        x, test = (x - mean) / deviation, (test - mean) / deviation
        if args.quick:
            test, wanted = test[:64], wanted[:64]
        model = LeNet(args.activation)
        entropy = nn.CrossEntropyLoss()

        def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
            return entropy(model(x), y)

        history = common.fit(
            args, model, torch.optim.Adam(model.parameters(), args.rate),
            common.batches(args, x, y), loss,
            evaluate=lambda: common.accuracy(model, test, wanted),
        )  # fmt: skip
        common.say(f"test accuracy {history['valid'][-1][1]:.4f}")
        with torch.no_grad():
            scores = torch.cat([model(part) for part in test.split(1000)])
        predicted = scores.argmax(1)

        def draw(figure) -> None:
            left, right = figure.subfigures(1, 2)
            common.curves(left.subplots(), history, "training", "test accuracy")
            wrong = (predicted != wanted).nonzero()[:, 0][:15]
            right.suptitle(f"{int((predicted != wanted).sum())} of {len(test)} predictions are wrong; some of them")
            for axes, place in zip(right.subplots(3, 5).flat, [*wrong.tolist(), *[None] * 15]):
                axes.set_axis_off()
                if place is not None:
                    axes.imshow(test[place, 0], cmap="gray_r")
                    axes.set_title(f"{wanted[place]}, not {predicted[place]}", fontsize=8)

        common.figure(args.out / "lenet.svg", draw, width=10)


if __name__ == "__main__":
    main()
