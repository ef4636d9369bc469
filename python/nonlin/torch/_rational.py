"""Rational functions that are learned."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import Function

from nonlin._rational import RationalFit, fit_rational

from ._learnable import Blocks, Learnable, Twice, _checked, by_operators
from ._ops import is_grad_enabled

_fit = lru_cache(maxsize=64)(fit_rational)

#: Up to which inputs powers are computed in their own type. Others are computed in float64, where the
#: function is its leading term's from the second limit on.
_NEAR, _FAR = {torch.float32: 1e6, torch.float64: 1e24}, 1e24


def _horner(x: Tensor, c: Tensor) -> Tensor:
    """``c[0] + c[1] x + ...``."""
    if len(c) == 1:
        return c[0].expand_as(x)
    p = torch.addcmul(c[-2], x, c[-1])
    plain = not p.requires_grad and not by_operators(p)
    for i in range(len(c) - 3, -1, -1):
        p = torch.addcmul(c[i], p, x, out=p if plain else None)
    return p


def _slopes(c: Tensor) -> Tensor:
    """The coefficients of the derivative."""
    return c[1:] * torch.arange(1, len(c), dtype=c.dtype, device=c.device).reshape(-1, *[1] * (c.dim() - 1))


def _parts(x: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """P, Q and the denominator."""
    q = _horner(x, b) * x
    return _horner(x, a), q, q.abs() + 1


def _wide(x: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """What to compute with: as it is; or where powers may overflow, in float64, within limits, and the
    ratio of `x` to that."""
    if not x.numel() or x.abs().amax() <= _NEAR[x.dtype]:
        return x, a, b, None
    x = x.double()
    near = x.clamp(-_FAR, _FAR)
    return near, a.double(), b.double(), torch.where(x == near, 1.0, x / near)


def _coefficients(values: Tensor, n: int, m: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Those of P and of Q, for each channel."""
    table = values.detach().to(torch.float64 if dtype == torch.float64 else torch.float32)
    table = table.reshape(n + 1 + m, -1, 1)
    return table[: n + 1], table[n + 1 :]


def _forward(x: Tensor, values: Tensor, n: int, m: int, axis: int) -> Tensor:
    a, b = _coefficients(values, n, m, x.dtype)
    blocks = Blocks(x, axis, a.shape[1])
    y = blocks.new()
    for part, _ in blocks.parts(torch.get_num_threads()):
        at, a_, b_, ratio = _wide(blocks.rows[part].to(a.dtype), a, b)
        p, _, under = _parts(at, a_, b_)
        p = p.div_(under)
        # Beyond the limit the function is its leading term's, of degree n - m.
        y[part] = p if ratio is None else p * ratio ** (n - m)
    return blocks.back(y)


def _backward(
    grad: Tensor, x: Tensor, values: Tensor, n: int, m: int, axis: int
) -> tuple[Tensor, Tensor]:
    a, b = _coefficients(values, n, m, x.dtype)
    blocks = Blocks(x, axis, a.shape[1])
    grads, dx, sums = blocks.of(grad), blocks.new(), []
    slopes_a, slopes_b = _slopes(a), _slopes(torch.cat([torch.zeros_like(b[:1]), b]))
    for part, count in blocks.parts(torch.get_num_threads()):
        at, a_, b_, ratio = _wide(blocks.rows[part].to(a.dtype), a, b)
        p, q, under = _parts(at, a_, b_)
        # By these the powers of P and of Q are weighted.
        above = grads[part].to(at.dtype) / under
        below = p.div_(under).mul_(q.sign_()).mul_(above).neg_()
        d = _horner(at, slopes_a.to(at.dtype)) * above
        d.addcmul_(_horner(at, slopes_b.to(at.dtype)), below)
        dx[part] = d if ratio is None else d * ratio ** (n - m - 1)
        shape, by = (count, -1, *at.shape[1:]), []
        for weights, powers in ((above, range(n + 1)), (below, range(1, m + 1))):
            for i in powers:
                if i:
                    weights.mul_(at)
                by.append(weights.reshape(shape).sum((1, 3)))
        sums.append(torch.stack(by).double())
    dvalues = torch.cat(sums, 1).sum(1) if sums else a.new_zeros(n + 1 + m, a.shape[1])
    return blocks.back(dx), dvalues.reshape(-1).to(values.dtype)


def _composed(x: Tensor, values: Tensor, n: int, m: int, axis: int) -> Tensor:
    """The function of PyTorch's own operators: compilers fuse them, and they are differentiated twice."""
    table = values.to(torch.float64 if x.dtype == torch.float64 or not by_operators(x) else torch.float32)
    table = table.reshape(n + 1 + m, -1)
    if table.shape[1] > 1:
        table = table.reshape(*table.shape, *[1] * (x.dim() - 1 - axis % x.dim()))
    at = x.to(table.dtype)
    near = at.clamp(-_NEAR[at.dtype], _NEAR[at.dtype])
    p, _, under = _parts(near, table[: n + 1], table[n + 1 :])
    y = p / under
    if n != m:
        y = y * torch.where(near == at, 1.0, at / near) ** (n - m)
    return y


class _Rational(Function):
    @staticmethod
    def forward(ctx, x, values, n, m, axis):
        ctx.save_for_backward(x, values)
        ctx.of = n, m, axis
        return _forward(x, values, n, m, axis)

    @staticmethod
    def backward(ctx, grad):
        if is_grad_enabled():
            both = Twice.apply(_backward, _composed, ctx.of, grad, *ctx.saved_tensors)
        else:
            both = _backward(grad, *ctx.saved_tensors, *ctx.of)
        return *both, None, None, None


class PAU(Learnable):
    r"""A rational function that is learned, without poles (a Padé activation unit):
    ``(a0 + a1 x + ... + an x^n) / (1 + |b1 x + ... + bm x^m|)``.

    ``Activation("pau", learnable=True)`` makes one.

    Parameters
    ----------
    approximate : str or RationalFit, default "leaky_relu"
        The function that it starts as: a name or a formula, which is fitted, or a fit.
    degrees : (int, int), default (5, 4)
        n and m.
    interval : (float, float), default (-3, 3)
        Where the fit is made.
    learnable, num_parameters, groups, shared, axis, device, dtype : optional
        As of `Learnable`.
    **params : float
        Where coefficients start in place of the fit's.

    Attributes
    ----------
    fit : RationalFit
        The coefficients at the start; ``fit.error`` is the greatest distance from the function.

    Notes
    -----
    From Molina, Schramowski and Kersting 2020 (arXiv:1907.06732). Blocks that stay in the cache go through
    PyTorch's operators, in float64 where powers would overflow, so it is finite for every finite input where
    bm is not 0. Rounding errors are those of Horner's rule: relative to the sum of the terms' magnitudes.
    Gradients by coefficients count inputs beyond 1e24 as 1e24. Compiled, PyTorch's compiler fuses the
    formula, in float32 for all but float64; beyond 1e6 the function is then its leading term.

    Examples
    --------
    >>> import torch, nonlin.torch
    >>> f = nonlin.torch.PAU("gelu")
    >>> f
    PAU('gelu')
    >>> bool(f.fit.error < 6e-4)
    True
    >>> f(torch.tensor([1.0])).detach().round(decimals=2)
    tensor([0.8400])
    """

    def __init__(
        self,
        approximate: str | RationalFit = "leaky_relu",
        *,
        degrees: tuple[int, int] = (5, 4),
        interval: tuple[float, float] = (-3.0, 3.0),
        **kwargs: Any,
    ) -> None:
        fit = approximate
        if not isinstance(fit, RationalFit):
            fit = _fit(fit, degrees=tuple(degrees), interval=tuple(map(float, interval)))
        super().__init__(fit.formula, **kwargs)
        self.fit = fit
        self.approximate = approximate if isinstance(approximate, str) else None

    def _computed(self, input: Tensor, values: Tensor, axis: int, *rest: Tensor) -> Tensor:
        n, m = len(self.fit.numerator) - 1, len(self.fit.denominator)
        _checked("a rational function", input, values)
        if by_operators(input):
            return _composed(input, values, n, m, axis).to(input.dtype)
        return _Rational.apply(input, values, n, m, axis)

    def extra_repr(self) -> str:
        n, m = len(self.fit.numerator) - 1, len(self.fit.denominator)
        parts = [repr(self.approximate or self.fit)]
        if self.approximate:
            parts += [f"degrees={n, m}"] if (n, m) != (5, 4) else []
            parts += [f"interval={self.fit.interval}"] if self.fit.interval != (-3.0, 3.0) else []
        return ", ".join([*parts, *self._told()])


class GroupRational(PAU):
    """A `PAU` whose groups of channels share coefficients, as the Kolmogorov-Arnold transformer has it:
    the numerator is one for all, each group has a denominator.

    ``Activation("group_rational", learnable=True)`` makes one.

    Parameters
    ----------
    approximate : str or RationalFit, default "silu"
        The function that it starts as.
    groups : int, default 8
        How many groups of neighbouring channels there are.
    axis : int, default -1
        The axis of channels.
    share_numerator : bool, default True
        Whether the numerator is one for all groups.
    **kwargs
        As of `PAU`.

    Notes
    -----
    From Yang and Wang 2024 (arXiv:2409.10594), whose model has "identity" before the first linear map of a
    block and "silu" before the second.

    Examples
    --------
    >>> import torch, nonlin.torch
    >>> f = nonlin.torch.GroupRational("identity", groups=4)
    >>> f(torch.ones(2, 3, 16)).shape, f.a0.shape, f.b1.shape
    (torch.Size([2, 3, 16]), torch.Size([1]), torch.Size([4]))
    """

    def __init__(
        self,
        approximate: str | RationalFit = "silu",
        *,
        groups: int = 8,
        axis: int = -1,
        share_numerator: bool = True,
        degrees: tuple[int, int] = (5, 4),
        **kwargs: Any,
    ) -> None:
        n = len(approximate.numerator) - 1 if isinstance(approximate, RationalFit) else degrees[0]
        if share_numerator:
            learned = kwargs.get("learnable", True)
            names: Iterable[str] = (f"a{i}" for i in range(n + 1))
            kwargs["shared"] = [p for p in names if learned is True or p in learned]
        super().__init__(approximate, groups=groups, axis=axis, degrees=degrees, **kwargs)


for _class in (PAU, GroupRational):
    _class.__module__ = "nonlin.torch"
