"""Functions of the catalogue that are formulas, and their modules, made when they are asked for."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Callable

from torch import Tensor

from .. import _nonlin
from ._functional import described
from ._modules import Activation, class_of, module_name

#: Functions by the names of their modules.
MODULES: dict[str, str] = {module_name(name): name for name in _nonlin.NAMES["formula"]}


def make(name: str) -> Any:
    """The function or the module of that name; `None` if there is none."""
    if name in MODULES:
        return class_of(MODULES[name])
    if name not in MODULES.values():
        return None
    about = _nonlin.facts(name)
    made = _gated(name) if about["kind"] == "gated" else _elementwise(name, about["parameters"])
    made.__name__ = made.__qualname__ = name
    made.__module__ = "nonlin.torch"
    return made


@lru_cache(maxsize=256)
def _module(name: str, **options: Any) -> Activation:
    return Activation(name, **options)


def _elementwise(name: str, parameters: dict[str, Any]) -> Callable[..., Tensor]:
    usual = Activation(name)

    def function(input: Tensor, *given: float, inplace: bool = False, **named: float) -> Tensor:
        if not (given or named or inplace):
            return usual(input)
        if len(given) > len(parameters):
            raise TypeError(f"{name} takes at most {len(parameters)} parameters")
        for key in tuple(parameters)[: len(given)]:
            if key in named:
                raise TypeError(f"{name} got `{key}` twice")
        every = dict(zip(parameters, given)) | named
        return _module(name, inplace=inplace, **{k: float(v) for k, v in every.items()})(input)

    function.__doc__ = described(name, {k: p[0] for k, p in parameters.items()})
    return function


def _gated(name: str) -> Callable[..., Tensor]:
    usual = Activation(name)

    def function(
        a: Tensor, b: Tensor | None = None, *, layout: str | None = None, dim: int = -1
    ) -> Tensor:
        if b is not None:
            if layout is not None:
                raise TypeError(f"{name} of two tensors has no layout")
            return usual(a, b)
        if layout is None:
            raise TypeError(
                f"{name} of one tensor needs layout='halves' or layout='interleaved', not None"
            )
        return _module(name, layout=layout, dim=dim)(a)

    function.__doc__ = f"""Apply the gated unit `{name}`.

    Parameters
    ----------
    a : torch.Tensor
        The first operand, or both packed along `dim`; of type float32, float64, bfloat16 or
        float16.
    b : torch.Tensor, optional
        The second operand, of the type of `a`; shapes are broadcast.
    layout : {{"halves", "interleaved"}}
        How both operands are packed in `a`. Needed where `b` is left out.
    dim : int, default -1
        The axis along which they are packed.

    Returns
    -------
    torch.Tensor
    """
    return function
