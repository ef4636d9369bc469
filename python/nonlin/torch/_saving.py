"""What activations keep for backward: their input, their output, that and one bit, or what computes it."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import Function

import nonlin

from ._learnable import Blocks, pick
from ._ops import is_grad_enabled, pair, unary

#: ``a f'(x)`` where `b` is f(x), of parameters by name, and what these must be.
_FROM_OUTPUT: dict[str, str] = {
    "celu": "where(b > 0, a, a * (1 + b / alpha))",
    "elu": "where(b > 0, a, a * (b + alpha))",
    "identity": "a + 0 * b",
    "leaky_relu": "where(b > 0, a, a * negative_slope)",
    "log_sigmoid": "-a * expm1(b)",
    "relu": "",  # which always keeps its output
    "selu": "where(b > 0, 1.0507009873554805 * a, a * (b + 1.7580993408473766))",
    "sigmoid": "a * b * (1 - b)",
    "softplus": "-a * expm1(-beta * b)",
    "tanh": "a * (1 - b) * (1 + b)",
}

#: Functions with one minimum, which two sides share.
_ONE_MINIMUM = ("gelu", "gelu_tanh", "mish", "silu")

#: How many chords the slope has as a function of the output.
_CHORDS = 4096

#: How far the slope of "bit" may be off, by the type. It is the rounding of the output near the
#: minimum; in float64 that of the chords.
BIT_ERRORS = {torch.float64: 1e-4, torch.float32: 3e-4, torch.float16: 1e-2, torch.bfloat16: 3e-2}


def allowed(name: str, two: bool, params: dict[str, float], defaults: dict[str, float]) -> list[str]:
    """What a function can keep."""
    found = ["input"]
    if not two and name in _FROM_OUTPUT and all(v >= 0 for v in params.values()):
        found.append("output")
    if not two and name in _ONE_MINIMUM and params == defaults:
        found.append("bit")
    if name != "relu":  # which would keep more
        found.append("recompute")
    return found


def check(save: str, name: str, can: list[str], inplace: bool) -> None:
    """An error if a function cannot keep what it is told to."""
    if inplace:
        raise ValueError(f"save={save!r} and inplace=True: backward needs what would be overwritten")
    if save in can:
        return
    reason = ""
    if save == "output":
        negative = ", with a negative parameter" if name in _FROM_OUTPUT else ""
        reason = f": its output does not determine the slope{negative}"
    elif save == "bit":
        reason = f": that is for functions with one minimum, at their defaults: {', '.join(_ONE_MINIMUM)}"
    elif save == "recompute":
        reason = ": its output, which is kept, needs no input"
    raise ValueError(f"save is {save!r}, and `{name}` takes {', '.join(map(repr, can))}{reason}")


class _Output(Function):
    @staticmethod
    def forward(ctx, x, f, p, text):
        y = f.raw(x, *p)
        ctx.save_for_backward(y)
        ctx.text = text
        return y

    @staticmethod
    def backward(ctx, grad):
        (y,) = ctx.saved_tensors
        f = pair("gated_formula")
        return (f.forward if is_grad_enabled() else f.raw)(grad, y, ctx.text), None, None, None


def from_output(name: str, x: Tensor, p: tuple[float, ...], params: dict[str, float]) -> Tensor:
    """f(x), of which the output is kept."""
    if not _FROM_OUTPUT[name]:
        return unary(name).forward(x, *p)
    starts = ", ".join(f"{k} = {v!r}" for k, v in params.items())
    return _Output.apply(x, unary(name), p, f"{_FROM_OUTPUT[name]}; {starts}" if params else _FROM_OUTPUT[name])


class _Inverse(NamedTuple):
    """The slope f'(x) by the root of f(x) less the minimum, negative on the left: a smooth function, as
    chords of equal width from `left` on."""

    minimum: float
    least: float
    left: float
    scale: float
    base: Tensor
    rise: Tensor


@lru_cache(maxsize=8)
def _inverse(name: str) -> _Inverse:
    at, least = nonlin.info(name).minimum
    f, slope = nonlin.get(name), nonlin.derivative(name)
    far = np.linspace(0, 40, 401)
    far = far[np.abs(slope(far) - 1) > 1e-8][-1]  # from here on the slope is 1
    left, right = -((-least) ** 0.5), float(f(far) - least) ** 0.5
    root = np.linspace(left, right, _CHORDS + 1)
    # The inverse by bisection: it lies between these from the start.
    low, high = np.where(root < 0, -800.0, at), np.where(root < 0, at, 800.0)
    for _ in range(100):
        middle = (low + high) / 2
        up = (f(middle) - least < root * root) ^ (root < 0)
        low, high = np.where(up, middle, low), np.where(up, high, middle)
    slopes = slope((low + high) / 2)
    slopes[0], slopes[-1] = 0, 1  # the limits
    base = torch.from_numpy(slopes)
    return _Inverse(at, least, left, _CHORDS / (right - left), base[:-1].clone(), base.diff())


class _Bit(Function):
    @staticmethod
    def forward(ctx, x, f):
        y = f.raw(x)
        side = Blocks(y, 0, 1).of(x) > _inverse(f.name).minimum
        # Not a tensor that autograd looks at: nothing else has it.
        ctx.bits, ctx.f = np.packbits(side.reshape(-1).numpy()), f
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, grad):
        if is_grad_enabled():
            raise NotImplementedError(f"{ctx.f.name} with save='bit' has no second derivative; save='input' has")
        (y,) = ctx.saved_tensors
        _, least, left, scale, base, rise = _inverse(ctx.f.name)
        blocks = Blocks(y, 0, 1)
        dx, grads = blocks.new(), blocks.of(grad)
        side = torch.from_numpy(np.unpackbits(ctx.bits, count=y.numel())).view(torch.bool).reshape(dx.shape)
        wide = torch.float64 if y.dtype == torch.float64 else torch.float32
        base, rise = base.to(wide), rise.to(wide)
        for part, _ in blocks.parts(torch.get_num_threads()):
            root = (blocks.rows[part].to(wide) - least).clamp_(min=0).sqrt_()
            place = torch.where(side[part], root, -root).sub_(left).mul_(scale).clamp_(0, len(base))
            # What is no number has a chord as well, and stays no number.
            chord = place.long().clamp_(0, len(base) - 1)
            slope = pick(base, chord).addcmul_(pick(rise, chord), place.sub_(chord))
            dx[part] = slope.mul_(grads[part])
        return blocks.back(dx), None


def with_bit(name: str, x: Tensor) -> Tensor:
    """f(x), of which the output is kept, and on which side of the minimum the input is."""
    return _Bit.apply(x, unary(name))


class _Kept(NamedTuple):
    """A tensor that is kept, as it was then."""

    tensor: Tensor
    version: int


class _Recipe(NamedTuple):
    """What computes a tensor: a function of others, and where in its result the tensor lies."""

    function: Callable[..., Tensor]
    operands: tuple[Any, ...]
    stride: tuple[int, ...]
    view: tuple[tuple[int, ...], tuple[int, ...], int]


class _Saving:
    """What is kept within a `recompute`."""

    def __init__(self) -> None:
        self._of: dict[int, tuple[Any, int, Callable[..., Tensor], tuple[Any, ...]]] = {}

    def result(self, function: Callable[..., Tensor], *operands: Tensor) -> Tensor:
        """The function's value, which is computed again where something else keeps it."""
        kept = tuple(self.keep(t.detach()) for t in operands)
        y = function(*operands)
        if y.numel():
            self._of[_place(y)] = weakref.ref(y), y._version, function, kept
        return y

    def keep(self, t: Tensor) -> Any:
        """What is kept in place of a tensor."""
        if t.layout == torch.strided and t.device.type == "cpu" and t.numel():
            y, version, function, operands = self._of.get(_place(t), (lambda: None, 0, None, ()))
            y = y()
            # As long as the result is there, nothing else is in its place.
            if y is not None and function is not None and t._version == version and t.dtype == y.dtype:
                view = tuple(t.shape), t.stride(), t.storage_offset() - y.storage_offset()
                return _Recipe(function, operands, y.stride(), view)
        return _Kept(t, t._version)


def _place(t: Tensor) -> int:
    return t.untyped_storage().data_ptr()


def _found(kept: _Kept | _Recipe) -> Tensor:
    """The tensor that was kept."""
    if isinstance(kept, _Kept):
        if kept.tensor._version != kept.version:
            raise RuntimeError(
                "one of the variables needed for gradient computation has been modified by an inplace "
                f"operation: a tensor of shape {tuple(kept.tensor.shape)}, which nonlin.torch.recompute keeps, "
                f"is at version {kept.tensor._version}; expected version {kept.version}"
            )
        return kept.tensor
    with torch.no_grad():
        y = kept.function(*map(_found, kept.operands))
    if y.stride() != kept.stride:
        raise RuntimeError(f"a result has strides {y.stride()} where it had {kept.stride} in forward")
    shape, stride, offset = kept.view
    return y.as_strided(shape, stride, y.storage_offset() + offset)


_now = threading.local()


@contextmanager
def recompute() -> Iterator[None]:
    """Outputs of activations with ``save="recompute"`` are not kept by what follows them: backward computes
    them again.

    The activation keeps its input, or the operands of a gated unit, as always. The layer after it would
    keep its output as well: within this context it does not. Backward computes each such output once more,
    with its bits.

    Examples
    --------
    >>> import torch, nonlin.torch
    >>> unit = nonlin.torch.SwiGLU(save="recompute")
    >>> model = torch.nn.Sequential(torch.nn.Linear(8, 64), unit, torch.nn.Linear(32, 8))
    >>> with nonlin.torch.recompute():
    ...     loss = model(torch.ones(4, 8)).square().mean()
    >>> loss.backward()
    """
    before, _now.saving = current(), _Saving()
    try:
        with torch.autograd.graph.saved_tensors_hooks(_now.saving.keep, _found):
            yield
    finally:
        _now.saving = before


def current() -> _Saving | None:
    """The innermost `recompute` of this thread."""
    return getattr(_now, "saving", None)


recompute.__module__ = "nonlin.torch"
