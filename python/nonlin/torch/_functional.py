"""Functional forms of all functions of the catalogue."""

from __future__ import annotations

import inspect
from typing import Any, Callable

from torch import Tensor
from torch.autograd import forward_ad

from .. import _nonlin
from ._ops import (
    Gated,
    Unary,
    _gated,
    _unary,
    gated,
    halves,
    is_compiling,
    unary,
    under_func,
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


def tensor(name: str, x: Any) -> None:
    """Refuses what is no tensor."""
    if not isinstance(x, Tensor):
        raise TypeError(f"nonlin.torch.{name} takes tensors, not {type(x).__name__}")


def put(x: Tensor, forward: Callable[..., Tensor], *given: float) -> Tensor:
    """In-place: what is computed replaces its input, and autograd knows. The gradient wants the
    input as it was."""
    return x.copy_(forward(x.clone() if x.requires_grad else x, *given))


def _elementwise(name: str) -> Callable[..., Tensor]:
    f: Unary = unary(name)
    forward = f.forward
    defaults = PARAMETERS[name]

    if defaults:

        def function(input: Tensor, *given: float, inplace: bool = False, **named: float) -> Tensor:
            if not isinstance(input, Tensor):
                tensor(name, input)
            if len(given) > len(defaults):
                raise TypeError(f"{name} takes at most {len(defaults)} parameters")
            for key in tuple(defaults)[: len(given)]:
                if key in named:
                    raise TypeError(f"{name} got `{key}` twice")
            all_given = dict(zip(defaults, given)) | named
            in_order = values(name, all_given)
            return put(input, forward, *in_order) if inplace else forward(input, *in_order)
    else:

        op, raw = f.op, f.raw

        def function(input: Tensor, *, inplace: bool = False) -> Tensor:
            if is_compiling():
                return put(input, op) if inplace else op(input)
            if not isinstance(input, Tensor):
                tensor(name, input)
            if inplace:
                return put(input, forward)
            if input.requires_grad or under_func() or forward_ad._current_level >= 0:
                return forward(input)
            # What is called most: a kernel and nothing else.
            try:
                return raw(input)
            except NotImplementedError:
                return forward(input)

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
    listed = "".join(f"\n    {k} : float, default {d:g}" for k, d in defaults.items())
    function.__doc__ = f"""Apply `{name}` to each element.

    Parameters
    ----------
    input : torch.Tensor
        On the CPU, of type float32, float64, bfloat16 or float16.{listed}
    inplace : bool, default False
        Whether the result replaces `input`.

    Returns
    -------
    torch.Tensor
        Of the shape, type and strides of `input`.
    """
    return function


def _gated_unit(name: str) -> Callable[..., Tensor]:
    f: Gated = gated(name)

    def function(
        a: Tensor, b: Tensor | None = None, *, layout: str | None = None, dim: int = -1
    ) -> Tensor:
        if not isinstance(a, Tensor):
            tensor(name, a)
        if b is not None:
            if not isinstance(b, Tensor):
                tensor(name, b)
            if layout is not None:
                raise TypeError(f"{name} of two tensors has no layout")
            return f.forward(a, b)
        return f.packed(a, dim, interleaved(name, layout))

    function.__name__ = function.__qualname__ = name
    function.__module__ = "nonlin.torch"
    function.__doc__ = f"""Apply the gated unit `{name}`.

    Parameters
    ----------
    a : torch.Tensor
        The first operand, or both packed along `dim`; on the CPU, of type float32, float64,
        bfloat16 or float16.
    b : torch.Tensor, optional
        The second operand, of the type of `a`; shapes are broadcast.
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


FUNCTIONS: dict[str, Callable[..., Tensor]] = {name: _elementwise(name) for name in _unary}
UNITS: dict[str, Callable[..., Tensor]] = {name: _gated_unit(name) for name in _gated}

__all__ = ["FUNCTIONS", "PARAMETERS", "UNITS", "halves", "interleaved", "put", "values"]
