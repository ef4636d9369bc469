"""Functional forms of all functions of the catalogue."""

from __future__ import annotations

import inspect
from typing import Any, Callable

import torch
from torch import Tensor

from .. import _nonlin
from ._ops import (
    Gated,
    Unary,
    _gated,
    _unary,
    call,
    gated,
    is_compiling,
    no_tensor,
    pair,
    unary,
)

#: For each elementwise function its parameters with their defaults.
PARAMETERS: dict[str, dict[str, float]] = {}

for _namespace, _name, _schema, _ in _nonlin.torch_operators():
    if _namespace == "nonlin" and _name in _unary:
        _list = _schema[_schema.index("(") + 1 : _schema.index(")")]
        PARAMETERS[_name] = {
            p.split("=")[0]: float(p.split("=")[1])
            for p in (a.removeprefix("float ") for a in _list.split(", ")[1:])
        }


def values(name: str, given: dict[str, Any]) -> tuple[float, ...]:
    """The parameters of a function, in order, of which some are given."""
    defaults = PARAMETERS[name]
    for key in given:
        if key not in defaults:
            known = ", ".join(defaults) or "none"
            raise TypeError(f"{name} has no parameter `{key}`; its parameters: {known}")
    return tuple(float(given.get(key, default)) for key, default in defaults.items())


def put(x: Tensor, forward: Callable[..., Tensor], *given: float) -> Tensor:
    """In-place: what is computed replaces its input, and autograd knows. The gradient wants the
    input as it was."""
    if not isinstance(x, Tensor):
        raise TypeError(f"only a tensor can be changed in place, not {type(x).__name__}")
    return x.copy_(forward(x.clone() if x.requires_grad else x, *given))


def described(name: str, parameters: dict[str, float]) -> str:
    """The docstring of an elementwise function with parameters of these defaults."""
    listed = "".join(f"\n    {k} : float, default {d:g}" for k, d in parameters.items())
    return f"""Apply `{name}` to each element.

    Parameters
    ----------
    input : torch.Tensor
        Of type float32, float64, bfloat16 or float16.{listed}
    inplace : bool, default False
        Whether the result replaces `input`.

    Returns
    -------
    torch.Tensor
        Of the shape, type and strides of `input`.
    """


def _elementwise(name: str) -> Callable[..., Tensor]:
    f: Unary = unary(name)
    forward, involved, train, op, index = f.forward, f.involved, f.train, f.op, f.index
    defaults = PARAMETERS[name]
    usual = tuple(defaults.values())

    def parametric(input: Tensor, *given: float, inplace: bool = False, **named: float) -> Tensor:
        if len(given) > len(defaults):
            raise TypeError(f"{name} takes at most {len(defaults)} parameters")
        for key in tuple(defaults)[: len(given)]:
            if key in named:
                raise TypeError(f"{name} got `{key}` twice")
        in_order = values(name, dict(zip(defaults, given)) | named)
        return put(input, forward, *in_order) if inplace else forward(input, *in_order)

    def function(input: Tensor, *given: float, inplace: bool = False, **named: float) -> Tensor:
        if not (given or named or inplace):
            if is_compiling():
                return op(input)
            # What is called most: a kernel and nothing else.
            y = call(index, input)
            if y is NotImplemented:
                return train(input, *usual)
            return involved(input, *usual) if y is None else y
        return parametric(input, *given, inplace=inplace, **named)

    kind = inspect.Parameter
    function.__signature__ = inspect.Signature(
        [
            kind("input", kind.POSITIONAL_OR_KEYWORD, annotation=Tensor),
            *(
                kind(k, kind.POSITIONAL_OR_KEYWORD, default=d, annotation=float)
                for k, d in defaults.items()
            ),
            kind("inplace", kind.KEYWORD_ONLY, default=False, annotation=bool),
        ],
        return_annotation=Tensor,
    )
    function.__name__ = function.__qualname__ = name
    function.__module__ = "nonlin.torch"
    function.__doc__ = described(name, defaults)
    return function


def _gated_unit(name: str) -> Callable[..., Tensor]:
    f: Gated = gated(name)
    involved, train, index = f.involved, f.train, f.index

    def function(
        a: Tensor, b: Tensor | None = None, *, layout: str | None = None, dim: int = -1
    ) -> Tensor:
        if b is None:
            return f.packed(a, dim, interleaved(name, layout))
        if layout is not None:
            raise TypeError(f"{name} of two tensors has no layout")
        if is_compiling():
            return f.forward(a, b)
        y = call(index, a, b)
        if y is NotImplemented:
            return train(a, b)
        return involved(a, b) if y is None else y

    function.__name__ = function.__qualname__ = name
    function.__module__ = "nonlin.torch"
    function.__doc__ = f"""Apply the gated unit `{name}`.

    Parameters
    ----------
    a : torch.Tensor
        The first operand, or both packed along `dim`; of type float32, float64, bfloat16 or
        float16.
    b : torch.Tensor, optional
        The second operand; types are promoted and shapes broadcast, as PyTorch does.
    layout : {{"halves", "interleaved"}}
        How both operands are packed in `a`: the first half of the axis is the first operand, or
        even elements are. Needed where `b` is left out.
    dim : int, default -1
        The axis along which they are packed.

    Returns
    -------
    torch.Tensor
    """
    return function


def interleaved(name: str, layout: str | None) -> bool:
    """Whether a layout alternates."""
    if layout not in ("halves", "interleaved"):
        raise (TypeError if layout is None else ValueError)(
            f"{name} of one tensor needs layout='halves' or layout='interleaved', not {layout!r}"
        )
    return layout == "interleaved"


def prelu(
    input: Tensor, weight: Tensor | float = PARAMETERS["prelu"]["weight"], *, inplace: bool = False
) -> Tensor:
    """Apply `prelu` to each element: `input` above 0, `weight * input` below.

    Parameters
    ----------
    input : torch.Tensor
        Of type float32, float64, bfloat16 or float16.
    weight : torch.Tensor or float, default 0.25
        A number, or the slopes that are learned: one for all, or one for each channel, which are
        axis 1. Its gradient is the sum over what shares a slope.
    inplace : bool, default False
        Whether the result replaces `input`.

    Returns
    -------
    torch.Tensor

    Examples
    --------
    >>> import torch, nonlin.torch
    >>> x = torch.tensor([[-1.0, -1.0], [2.0, -2.0]])
    >>> nonlin.torch.prelu(x, torch.tensor([0.5, 0.25]))
    tensor([[-0.5000, -0.2500],
            [ 2.0000, -0.5000]])
    """
    if not isinstance(input, Tensor):
        raise no_tensor("prelu", input)
    if not isinstance(weight, Tensor):
        f = unary("prelu").forward
        return put(input, f, float(weight)) if inplace else f(input, float(weight))
    channels = input.shape[1] if input.dim() > 1 else 1
    if weight.dim() > 1 or weight.numel() not in (1, channels):
        raise RuntimeError(
            f"prelu: a weight of shape {tuple(weight.shape)}; an input of shape "
            f"{tuple(input.shape)} has {channels} channels, and takes 1 weight or as many"
        )
    weight = weight.reshape([-1 if axis == 1 else 1 for axis in range(input.dim())])
    f = pair("weighted").forward
    # Autocast makes inputs of a lower type than the slopes that are learned.
    weight = weight.to(input.dtype).expand_as(input)
    return input.copy_(f(input.clone(), weight)) if inplace else f(input, weight)


def rrelu(
    input: Tensor,
    lower: float = PARAMETERS["rrelu"]["lower"],
    upper: float = PARAMETERS["rrelu"]["upper"],
    training: bool = False,
    *,
    inplace: bool = False,
) -> Tensor:
    """Apply `rrelu` to each element: `input` above 0, a slope times `input` below.

    Parameters
    ----------
    input : torch.Tensor
        Of type float32, float64, bfloat16 or float16.
    lower, upper : float, default 1/8 and 1/3
        The least and the greatest slope.
    training : bool, default False
        Whether each element has a slope of its own, drawn uniformly from PyTorch's generator; else
        the slope is the mean of both.
    inplace : bool, default False
        Whether the result replaces `input`.

    Returns
    -------
    torch.Tensor

    Examples
    --------
    >>> import torch, nonlin.torch
    >>> y = nonlin.torch.rrelu(torch.tensor([-1.0, 1.0]), 0.25, 0.5, training=True)
    >>> bool(-0.5 <= y[0] <= -0.25), y[1]
    (True, tensor(1.))
    """
    if not isinstance(input, Tensor):
        raise no_tensor("rrelu", input)
    if not training:
        f, given = unary("rrelu").forward, (float(lower), float(upper))
        return put(input, f, *given) if inplace else f(input, *given)
    if not lower <= upper:
        raise RuntimeError(f"rrelu: lower is {lower:g}, which must not exceed upper, {upper:g}")
    slopes = torch.empty_like(input, requires_grad=False).uniform_(lower, upper)
    f = pair("weighted").forward
    return input.copy_(f(input.clone(), slopes)) if inplace else f(input, slopes)


#: Those that have more arguments than numbers.
_MORE = {"prelu": prelu, "rrelu": rrelu}
for _function in _MORE.values():
    _function.__module__ = "nonlin.torch"

FUNCTIONS: dict[str, Callable[..., Tensor]] = {n: _MORE.get(n) or _elementwise(n) for n in _unary}
UNITS: dict[str, Callable[..., Tensor]] = {name: _gated_unit(name) for name in _gated}
