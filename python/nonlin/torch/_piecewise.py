"""Piecewise linear functions that are learned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import Function
from torch.nn.utils import parametrize

from nonlin import _catalog

from ._functional import FUNCTIONS
from ._learnable import Blocks, Learnable, Twice, _checked, by_operators, pick
from ._ops import is_grad_enabled


class _Table:
    """The pieces of a function for each channel: that before the left bound, those between the bounds, that
    after the right one. In units of a piece's width, ``y = base + slope (t - place)``."""

    def __init__(self, values: Tensor, n: int) -> None:
        left, width, kl, kr, *heights = values.reshape(n + 5, -1)
        y = torch.stack(heights, 1)
        unit = width / n
        self.left, self.scale = left, n / width
        self.base = torch.cat([y[:, :1], y], 1)
        self.slope = torch.cat([(kl * unit)[:, None], y.diff(dim=1), (kr * unit)[:, None]], 1)
        self.place = torch.arange(-1.0, n + 1, device=y.device, dtype=y.dtype).clamp(min=0)

    def of(self, x: Tensor, left: Tensor, scale: Tensor, channel: Tensor) -> tuple[Tensor, Tensor]:
        """The piece of each element, counted over all channels, and how far in it the element lies."""
        n = self.base.shape[1] - 2
        t = (x - left) * scale
        whole = t.detach().floor().clamp(-1, n)
        # What is no number has a piece as well, and stays no number.
        return whole.long().clamp(-1, n) + channel, t - whole.clamp(min=0)


def _line(base: Tensor, slope: Tensor, within: Tensor) -> Tensor:
    """``base + slope within``, where a slope of 0 leaves the height as it is, however far."""
    return torch.where((slope == 0) & within.isinf(), base, base + slope * within)


def _tables(values: Tensor, n: int, dtype: torch.dtype) -> tuple[_Table, Any]:
    """The pieces, and what `of` takes for rows of channels."""
    values = values.detach().to(torch.float64 if dtype == torch.float64 else torch.float32)
    table = _Table(values, n)
    first = 1 + torch.arange(len(table.left)) * (n + 2)
    return table, (table.left[:, None], table.scale[:, None], first[:, None])


def _forward(x: Tensor, values: Tensor, n: int, axis: int) -> Tensor:
    table, channels = _tables(values, n, x.dtype)
    blocks = Blocks(x, axis, len(table.left))
    y, base, slope = blocks.new(), table.base.reshape(-1), table.slope.reshape(-1)
    for part, _ in blocks.parts():
        piece, within = table.of(blocks.rows[part].to(base.dtype), *channels)
        heights, slopes = pick(base, piece), pick(slope, piece)
        if within.abs().amax().isfinite():
            y[part] = heights.addcmul_(slopes, within)
        else:
            y[part] = _line(heights, slopes, within)
    return blocks.back(y)


def _backward(grad: Tensor, x: Tensor, values: Tensor, n: int, axis: int) -> tuple[Tensor, Tensor]:
    table, channels = _tables(values, n, x.dtype)
    each = len(table.left)
    blocks = Blocks(x, axis, each)
    dx, grads, slope = blocks.new(), blocks.of(grad), table.slope.reshape(-1)
    # Of each piece the sums of gradients, and of those times the place in it.
    by_base, by_slope = (torch.zeros(slope.numel(), dtype=torch.float64) for _ in range(2))
    for part, _ in blocks.parts():
        g = grads[part].to(slope.dtype)
        piece, within = table.of(blocks.rows[part].to(slope.dtype), *channels)
        dx[part] = pick(slope, piece).mul_(g).mul_(channels[1])
        piece = piece.reshape(-1)
        for sums, terms in ((by_base, g), (by_slope, within.mul_(g))):
            sums.scatter_add_(0, piece, terms.reshape(-1).double())
    a, b = by_base.reshape(each, -1), by_slope.reshape(each, -1)
    left, width, kl, kr = values.detach().double().reshape(n + 5, each)[:4]
    heights = a[:, 1:].clone()
    heights[:, 0] += a[:, 0]
    heights[:, 1:] += b[:, 1:-1]
    heights[:, :-1] -= b[:, 1:-1]
    slopes = table.slope.double()
    along = (slopes * (b + table.place.double() * a)).sum(1)  # by the logarithm of the scale
    by = [
        -(slopes * a).sum(1) * n / width,
        (kl * b[:, 0] + kr * b[:, -1]) / n - along / width,
        b[:, 0] * width / n,
        b[:, -1] * width / n,
        *heights.unbind(1),
    ]
    return blocks.back(dx), torch.cat(by).to(values.dtype)


def _composed(x: Tensor, values: Tensor, n: int, axis: int) -> Tensor:
    """The function of PyTorch's own operators: compilers fuse them, and they are differentiated twice."""
    values = values.to(torch.float64 if x.dtype == torch.float64 or not by_operators(x) else torch.float32)
    table = _Table(values, n)
    each = len(table.left)
    shape = [-1] + [1] * (x.dim() - 1 - axis % x.dim()) if each > 1 else []
    first = 1 + torch.arange(each, device=x.device) * (n + 2)
    channels = (t.reshape(shape) for t in (table.left, table.scale, first))
    piece, within = table.of(x.to(values.dtype), *channels)
    return _line(pick(table.base.reshape(-1), piece), pick(table.slope.reshape(-1), piece), within)


class _Piecewise(Function):
    @staticmethod
    def forward(ctx, x, values, n, axis):
        ctx.save_for_backward(x, values)
        ctx.of = n, axis
        return _forward(x, values, n, axis)

    @staticmethod
    def backward(ctx, grad):
        if is_grad_enabled():
            both = Twice.apply(_backward, _composed, ctx.of, grad, *ctx.saved_tensors)
        else:
            both = _backward(grad, *ctx.saved_tensors, *ctx.of)
        return *both, None, None


class APL(Learnable):
    """relu and hinges that are learned (an adaptive piecewise linear unit):
    ``max(x, 0) + a1 max(b1 - x, 0) + ... + aS max(bS - x, 0)``.

    Parameters
    ----------
    hinges : int, default 2
        S.
    learnable, num_parameters, groups, shared, axis, device, dtype : optional
        As of `Learnable`.
    **params : float
        Where parameters start: slopes a at 0, so that it starts as relu, and places b side by side from -1
        to 1.

    Notes
    -----
    From Agostinelli, Hoffman, Sadowski and Baldi 2015 (arXiv:1412.6830), which has a set of parameters for
    each unit.

    Examples
    --------
    >>> import torch, nonlin.torch
    >>> f = nonlin.torch.APL(2, a1=0.5, a2=-0.5)
    >>> f(torch.tensor([-2.0, 0.0, 3.0])).detach()
    tensor([-0.5000, -0.2500,  3.0000])
    """

    def __init__(self, hinges: int = 2, **kwargs: Any) -> None:
        if not 1 <= hinges <= 16:
            raise ValueError(f"hinges is {hinges}; it must be from 1 to 16")
        terms = [f"a{i} * max(b{i} - x, 0)" for i in range(1, hinges + 1)]
        places = (2 * np.arange(hinges) + 1) / hinges - 1
        starts = [f"a{i} = 0, b{i} = {float(b)!r}" for i, b in enumerate(places, 1)]
        super().__init__(f"max(x, 0) + {' + '.join(terms)}; {', '.join(starts)}", **kwargs)
        self.hinges = hinges

    def extra_repr(self) -> str:
        return ", ".join([str(self.hinges), *self._told()])


class PWLU(Learnable):
    """A piecewise linear function that is learned: its heights at points between two bounds, the bounds, and
    the slopes beyond them.

    ``Activation("pwlu", learnable=True)`` makes one.

    Parameters
    ----------
    start : str, default "relu"
        The function that it starts as: a name or a formula.
    segments : int, default 16
        How many pieces of one width there are between the bounds.
    bounds : (float, float), default (-3, 3)
        Where the pieces lie.
    learn_bounds : bool, default True
        Whether the bounds are learned.
    align : bool, default False
        Whether training has two phases. In the first one the module is the function it starts as, and
        collects the mean and the deviation of its input. `align_` begins the second one: the bounds are put
        at three deviations around the mean, and all parameters are learned.
    momentum : float, default 0.1
        The weight of the present input in the mean and the deviation.
    num_parameters, groups, axis, device, dtype : optional
        As of `Learnable`. Statistics are those of the tensor, of each channel or of each group.

    Notes
    -----
    From Zhou and others 2021 (arXiv:2104.03693). The parameters are `left`, `width` (of all pieces together;
    at least 0.001, so that the bounds keep their order), the slopes `kl` and `kr`, and the heights `y0`,
    `y1`, ... Rounding errors are relative to the greatest height. In the first phase no parameter has a
    gradient: `DistributedDataParallel` then needs ``find_unused_parameters=True``, and statistics are those
    of each process until `align_`, which takes the mean of all.

    Examples
    --------
    >>> import torch, nonlin.torch
    >>> f = nonlin.torch.PWLU(align=True)
    >>> for _ in range(100):
    ...     y = f(5 + 2 * torch.randn(1000))  # the first phase: relu
    >>> f.align_()
    >>> [round(b.item()) for b in f.bounds()]
    [-1, 11]
    """

    def __init__(
        self,
        start: str = "relu",
        *,
        segments: int = 16,
        bounds: tuple[float, float] = (-3.0, 3.0),
        learn_bounds: bool = True,
        align: bool = False,
        momentum: float = 0.1,
        **kwargs: Any,
    ) -> None:
        low, high = map(float, bounds)
        if not 1 <= segments <= 32:
            raise ValueError(f"segments is {segments}; it must be from 1 to 32")
        if not high - low >= 1e-3:
            raise ValueError(f"bounds are {bounds}; the second must be greater, by 0.001 at least")
        if not 0 < momentum <= 1:
            raise ValueError(f"momentum is {momentum}; it must be above 0 and at most 1")
        if align and not learn_bounds:
            raise ValueError("align sets the bounds from the input, so they cannot be given: learn_bounds")
        function = _catalog.get(start)
        heights, slopes = _shape(function, low, high, segments)
        place = f"{segments} * (x - left) / width"
        terms = [f"(y{i + 1} - y{i}) * clip({place} - {i}, 0, 1)" for i in range(segments)]
        text = (
            f"y0 + kl * min(x - left, 0) + kr * max(x - left - width, 0) + {' + '.join(terms)}; "
            f"left = {low!r}, width = {high - low!r} in [0.001, inf), kl = {slopes[0]!r}, kr = {slopes[1]!r}, "
            + ", ".join(f"y{i} = {float(y)!r}" for i, y in enumerate(heights))
        )
        names = ["kl", "kr", *(f"y{i}" for i in range(segments + 1))]
        kwargs.setdefault("learnable", True if learn_bounds else names)
        super().__init__(text, **kwargs)
        self.start, self.segments, self.learn_bounds, self.momentum = start, segments, learn_bounds, momentum
        self._between = low, high
        #: Whether this is the first phase.
        self.collecting = align
        if align:
            like = {"device": kwargs.get("device"), "dtype": kwargs.get("dtype")}
            self.register_buffer("running_mean", torch.zeros(self.num_parameters, **like))
            self.register_buffer("running_var", torch.ones(self.num_parameters, **like))
            self.register_buffer("num_batches_tracked", torch.tensor(0, device=kwargs.get("device")))

    def bounds(self) -> tuple[Tensor, Tensor]:
        """The left and the right bound."""
        left, width = (torch.as_tensor(self.params[p]) for p in ("left", "width"))
        return left, left + width

    def _computed(self, input: Tensor, values: Tensor, axis: int, *rest: Tensor) -> Tensor:
        _checked("a piecewise linear function", input, values)
        if by_operators(input):
            return _composed(input, values, self.segments, axis).to(input.dtype)
        return _Piecewise.apply(input, values, self.segments, axis)

    def get_extra_state(self) -> Any:
        """What a checkpoint has beside tensors: the phase."""
        return {"collecting": self.collecting}

    def set_extra_state(self, state: Any) -> None:
        """The phase of a checkpoint."""
        self.collecting = state["collecting"]

    def forward(self, input: Tensor, other: Tensor | None = None) -> Tensor:
        """Apply the function."""
        if not self.collecting:
            return super().forward(input, other)
        if self.training and input.numel():
            self._collect(input.detach())
        return self._started(input)

    def _started(self, input: Tensor) -> Tensor:
        """The function of the first phase."""
        if self.start in FUNCTIONS:
            return FUNCTIONS[self.start](input)
        from ._modules import Activation

        return Activation(self.start)(input)

    @torch.no_grad()
    def _collect(self, x: Tensor) -> None:
        x = x.to(self.running_mean.dtype)
        if self.num_parameters > 1:
            x = x.movedim(self.axis, 0).reshape(self.num_parameters, -1)
        else:
            x = x.reshape(1, -1)
        var, mean = torch.var_mean(x, 1, correction=0)
        self.num_batches_tracked += 1
        # The first batch is taken as it is: what the buffers start from has no meaning.
        weight = torch.where(self.num_batches_tracked == 1, 1.0, self.momentum).to(mean.dtype)
        self.running_mean += weight * (mean - self.running_mean)
        self.running_var += weight * (var - self.running_var)

    @torch.no_grad()
    def align_(self) -> None:
        """Begin the second phase: bounds at three deviations around the mean of what has come in, heights
        and slopes there those of the function it starts as. Under `torch.distributed` all processes take
        the mean of their statistics."""
        if not self.collecting:
            raise RuntimeError("the bounds are aligned already, or align=True was not given")
        if not self.num_batches_tracked:
            raise RuntimeError("nothing has come in yet: call the module in training mode first")
        mean, var = self.running_mean, self.running_var
        if dist.is_available() and dist.is_initialized():
            for t in (mean, var):
                dist.all_reduce(t)
                t /= dist.get_world_size()
        deviation = var.sqrt().clamp(min=1e-3)
        new: dict[str, list[float]] = {}
        for m, d in zip(mean.tolist(), deviation.tolist(), strict=True):
            low, high = m - 3 * d, m + 3 * d
            heights, slopes = _shape(_catalog.get(self.start), low, high, self.segments)
            values = {"left": low, "width": high - low, "kl": slopes[0], "kr": slopes[1]}
            values |= {f"y{i}": float(y) for i, y in enumerate(heights)}
            for p, v in values.items():
                new.setdefault(p, []).append(v)
        for p, values in new.items():
            if p in self._learned:
                self._set(p, values)
        self.collecting = False

    def _set(self, p: str, values: list[float]) -> None:
        old = getattr(self, p)
        value = old.new_tensor(values)
        value = value if value.numel() == old.numel() else value.mean().expand_as(old)
        if parametrize.is_parametrized(self, p):
            setattr(self, p, value)
        else:
            old.copy_(value)

    def extra_repr(self) -> str:
        parts = [repr(self.start)]
        parts += [f"segments={self.segments}"] if self.segments != 16 else []
        parts += [f"bounds={self._between}"] if self._between != (-3.0, 3.0) else []
        parts += [] if self.learn_bounds else ["learn_bounds=False"]
        parts += ["align=True"] if self.collecting else []
        return ", ".join([*parts, *self._told(learnable=self.learn_bounds)])


def _shape(
    f: Callable[[np.ndarray], Any], low: float, high: float, segments: int
) -> tuple[np.ndarray, tuple[float, float]]:
    """The heights of a function at the points between bounds, and its slopes beyond them: chords of the
    width of ten segments."""
    heights = np.asarray(f(np.linspace(low, high, segments + 1)), dtype=float)
    far = 10 * (high - low) / segments
    left, right = (np.asarray(f(np.array(p)), dtype=float) for p in ([low - far, low], [high, high + far]))
    slopes = float((left[1] - left[0]) / far), float((right[1] - right[0]) / far)
    if not np.isfinite([*heights, *slopes]).all():
        raise ValueError(f"the function is not finite between {low:g} and {high:g}, or near")
    return heights, slopes


for _class in (APL, PWLU):
    _class.__module__ = "nonlin.torch"
