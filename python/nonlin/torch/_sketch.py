"""Statistics of an activation layer that are gathered step by step, and merged between processes."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Callable, NamedTuple

import numpy as np
import torch
from torch import Tensor

#: A slope that is less than this is that of a saturated unit.
SATURATED = 1e-3
#: A number this many deviations from the mean of its channel is an outlier: of normal numbers one in 5e8 is.
OUTLIER = 6.0
#: How many samples of a layer are kept for figures.
KEPT = 512
#: Bins of histograms: equal ones of asinh(x), which is x near 0 and grows like a logarithm.
BINS = 256
#: How many inputs of a sample are in its histogram at most.
DRAWN = 2**15
_REACH = math.asinh(1e6)
EDGES = np.sinh(np.linspace(-_REACH, _REACH, BINS + 1))

#: Sums over the elements of a channel, in this order in a sample's table.
SUMS = ("zero_slope", "saturated", "exploding", "outliers", "sparsity", "not_finite")


class Sample(NamedTuple):
    """What one step has shown of a layer, for each channel."""

    step: int
    count: np.ndarray
    """How many elements."""
    mean: np.ndarray
    square: np.ndarray
    """Sums of squared differences from the mean."""
    sums: np.ndarray
    """How many elements are each of `SUMS`."""
    alive: np.ndarray
    """Whether an element had a slope that is not 0."""
    histogram: np.ndarray
    """Of the layer's inputs, at most 32,768 of them, in the bins of `EDGES`."""
    gradients: np.ndarray
    """Sums of squared gradients by the input and by the output; NaN where there were none."""

    def merged(self, other: "Sample") -> "Sample":
        """Of both together."""
        count, mean, square = _merge_moments(
            (self.count, self.mean, self.square), (other.count, other.mean, other.square)
        )
        return Sample(
            self.step, count, mean, square, self.sums + other.sums, self.alive | other.alive,
            self.histogram + other.histogram, np.add(self.gradients, other.gradients),
        )  # fmt: skip

    def overall(self) -> "Sample":
        """All channels as one, but for which of them are alive: what figures need takes a byte a channel."""
        count = np.sum(self.count)
        mean = np.sum(self.count * self.mean) / max(count, 1)
        square = np.sum(self.square + self.count * (self.mean - mean) ** 2)
        return self._replace(
            count=np.array([count]), mean=np.array([mean]), square=np.array([square]),
            sums=self.sums.sum(1, keepdims=True), gradients=self.gradients.sum(1, keepdims=True),
        )  # fmt: skip


def _merge_moments(a: Any, b: Any) -> Any:
    """Counts, means and sums of squares of two parts as one, by Chan, Golub and LeVeque."""
    count = a[0] + b[0]
    share = np.divide(b[0], count, out=np.zeros_like(count, dtype=float), where=count > 0)
    delta = b[1] - a[1]
    return count, a[1] + delta * share, a[2] + b[2] + delta * delta * a[0] * share


def observe(
    step: int, x: Tensor, y: Tensor, slope: Tensor | None, axis: int, exploding: float
) -> Sample:
    """The statistics of a layer's input x, output y and slope; `axis` is that of channels.

    All is reduced where the tensors are, and comes over in one piece.
    """
    flat = _rows(x, axis)
    n, channels = flat.shape
    finite = torch.isfinite(flat)
    missing = n - finite.sum(0)
    far = (flat.abs() > exploding).sum(0)
    # Means are those of the finite ones; NaN explodes too.
    whole = not bool(missing.any())
    if not whole:
        far = (~(flat.abs() <= exploding)).sum(0)
        flat = torch.where(finite, flat, 0.0)
    count = n - missing
    mean = flat.sum(0) / count.clamp(min=1)
    gap = flat - mean if whole else torch.where(finite, flat - mean, 0.0)
    square = gap.square().sum(0)
    outliers = (gap.abs() > OUTLIER * (square / count.clamp(min=1)).sqrt()).sum(0)
    zeros = (_rows(y, axis) == 0).sum(0)
    if len(zeros) != channels:
        # A gated unit has half as many outputs as inputs: each counts for both.
        zeros = zeros.repeat(channels // len(zeros))
    if slope is None:
        still = dull = torch.zeros_like(missing)
        alive = torch.ones_like(missing, dtype=torch.bool)
    else:
        slope = _rows(slope, axis).abs()
        still = (slope == 0).sum(0)
        dull = (slope < SATURATED).sum(0)
        alive = still < n
    # Of large layers evenly spaced elements: asinh takes longer than all the rest.
    some = flat.flatten()[:: -(-flat.numel() // DRAWN)]
    place = ((some.asinh() + _REACH) * (BINS / (2 * _REACH))).long().clamp_(0, BINS - 1)
    histogram = torch.bincount(place, minlength=BINS)
    table = torch.stack([t.double() for t in (
        count, mean, square, still, dull, far, outliers, zeros, missing, alive
    )]).cpu().numpy()  # fmt: skip
    return Sample(
        step, table[0], table[1], table[2], table[3:9], table[9] > 0, histogram.cpu().numpy(),
        np.full((2, channels), np.nan),
    )  # fmt: skip


def _rows(x: Tensor, axis: int) -> Tensor:
    """Channels as columns, in float32 at least."""
    x = x.detach()
    if x.dim() == 0:
        x = x.reshape(1)
    x = x.movedim(axis, -1)
    x = x.reshape(-1, x.shape[-1])
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def squares(gradient: Tensor, axis: int, channels: int) -> np.ndarray:
    """Sums of squares of a gradient by channel."""
    table = _rows(gradient, axis).double().square().sum(0)
    if len(table) != channels:
        table = table.repeat(channels // len(table))
    return table.cpu().numpy()


@dataclass
class LayerSketch:
    """What is known of an activation layer.

    Attributes
    ----------
    name : str
        Where it stands in the model; with ``#2`` and so on for further calls of one module in a step.
    function : str
        What it computes.
    total : Sample or None
        All samples together.
    samples : deque of Sample
        The last 512 by themselves, their channels taken as one.
    last_alive : numpy.ndarray
        For each channel the last step at which a slope was not 0.
    """

    name: str
    function: str
    every: int
    total: Sample | None = None
    samples: deque[Sample] = field(default_factory=lambda: deque(maxlen=KEPT))
    last_alive: np.ndarray = field(default_factory=lambda: np.zeros(0))
    #: What the steps of gradients have added up to, and how many there were.
    gradients: np.ndarray = field(default_factory=lambda: np.zeros((2, 0)))
    steps: int = 0

    def add(self, sample: Sample) -> None:
        """Takes a sample in."""
        if self.total is None:
            self.total = sample
            self.last_alive = np.full(len(sample.count), sample.step - self.every, dtype=np.int64)
            self.gradients = np.zeros_like(sample.gradients)
        elif len(sample.count) != len(self.total.count):
            raise ValueError(
                f"{self.name} had {len(self.total.count)} channels and has {len(sample.count)} at step "
                f"{sample.step}: name the axis of channels by `channels`"
            )
        else:
            self.total = self.total.merged(sample)._replace(step=sample.step)
        if not np.isnan(sample.gradients).all():
            self.gradients = self.gradients + np.nan_to_num(sample.gradients)
            self.steps += 1
        self.last_alive[sample.alive] = np.maximum(self.last_alive[sample.alive], sample.step)
        self.samples.append(sample.overall())

    def merge(self, other: "LayerSketch") -> None:
        """Takes in what another process has seen of the layer."""
        if other.total is None:
            return
        if self.total is None:
            self.__dict__.update(other.__dict__)
            self.samples = deque(other.samples, maxlen=KEPT)
            return
        if len(self.total.count) != len(other.total.count):
            raise ValueError(
                f"{self.name} has {len(self.total.count)} channels here and {len(other.total.count)} there"
            )
        self.total = self.total.merged(other.total)._replace(step=max(self.total.step, other.total.step))
        self.last_alive = np.maximum(self.last_alive, other.last_alive)
        self.gradients = self.gradients + other.gradients
        self.steps = max(self.steps, other.steps)
        by_step = {s.step: s for s in self.samples}
        for s in other.samples:
            by_step[s.step] = by_step[s.step].merged(s) if s.step in by_step else s
        self.samples = deque((by_step[k] for k in sorted(by_step)), maxlen=KEPT)

    def state(self) -> dict[str, Any]:
        """Everything as numbers, lists and arrays."""
        return {
            "name": self.name, "function": self.function, "every": self.every, "steps": self.steps,
            "total": None if self.total is None else tuple(self.total),
            "samples": [tuple(s) for s in self.samples],
            "last_alive": self.last_alive.copy(), "gradients": self.gradients.copy(),
        }  # fmt: skip

    @classmethod
    def of_state(cls, state: dict[str, Any]) -> "LayerSketch":
        """What `state` gave."""
        return cls(
            state["name"], state["function"], state["every"],
            None if state["total"] is None else Sample(*state["total"]),
            deque((Sample(*s) for s in state["samples"]), maxlen=KEPT),
            np.array(state["last_alive"]), np.array(state["gradients"]), state["steps"],
        )  # fmt: skip

    def dead(self, window: int) -> np.ndarray:
        """For each channel, whether its slope was 0 on every sample of the last `window` steps."""
        if self.total is None:
            return np.zeros(0, dtype=bool)
        return self.total.step - self.last_alive >= min(window, self.span)

    @property
    def span(self) -> int:
        """How many steps the kept samples stand for."""
        if not self.samples:
            return 0
        return self.samples[-1].step - self.samples[0].step + self.every

    def recent(self, window: int) -> Sample | None:
        """The samples of the last `window` steps together."""
        found: Sample | None = None
        for s in self.samples:
            if s.step > self.samples[-1].step - window:
                found = s if found is None else found.merged(s)
        return found

    def channels(self) -> dict[str, np.ndarray]:
        """Every statistic by channel, over all samples; `dead` tells about the last window."""
        if self.total is None:
            return {}
        t = self.total
        whole = t.count + t.sums[SUMS.index("not_finite")]
        steps = self.steps or math.nan
        return {
            **{name: t.sums[i] / whole for i, name in enumerate(SUMS)},
            "mean": t.mean,
            "deviation": np.sqrt(t.square / np.maximum(t.count, 1)),
            "gradient_in": np.sqrt(self.gradients[0] / steps),
            "gradient_out": np.sqrt(self.gradients[1] / steps),
        }


def summary(sample: Sample) -> dict[str, float | None]:
    """The statistics of a sample over all channels, as they are written."""
    sample = sample.overall()
    count = float(sample.count[0])
    whole = count + float(sample.sums[SUMS.index("not_finite")][0])
    gradients = [math.sqrt(row[0]) if math.isfinite(row[0]) else None for row in sample.gradients]
    return {
        **{name: float(row[0]) / whole for name, row in zip(SUMS, sample.sums)},
        "mean": float(sample.mean[0]),
        "deviation": math.sqrt(float(sample.square[0]) / max(count, 1.0)),
        "gradient_in": gradients[0],
        "gradient_out": gradients[1],
    }


def slopes(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor | None:
    """The slope of a function of single elements, by its own derivative."""
    with torch.enable_grad():
        z = x.detach().clone().requires_grad_()
        # In place is allowed on what is no leaf.
        y = function(z * 1)
        if not y.requires_grad:
            return None
        return torch.autograd.grad(y, z, torch.ones_like(y))[0]
