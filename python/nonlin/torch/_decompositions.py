"""nonlin's operators made of PyTorch's own: for tensors that are not on the CPU, and for exporters.

The mathematics is the text that ``nonlin.export(f, "torch")`` prints, which is run once for each
function, when it is first asked for. Here is what stands around it: types, layouts, parameters.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import Function

from .. import _catalog, _nonlin
from . import _ops
from ._functional import PARAMETERS


class Text(NamedTuple):
    """What the printed text of a function defines."""

    value: Callable[..., Tensor]
    """The function, of its operands and of parameters that are tensors."""
    slopes: tuple[Callable[..., Tensor], ...]
    """Its derivatives by operands and parameters, in order."""
    defaults: tuple[float, ...]
    """The parameters' values in the text."""


@lru_cache(maxsize=1024)
def text(of: str, by: int | None = None) -> Text:
    """The printed text of a function, given by name or as a formula, or of its derivative by an operand."""
    made: dict[str, Any] = {}
    printed = _nonlin.export(_catalog.get(of), "torch", "f", by)
    exec(compile(printed, f"<{of}, as nonlin.export prints it for torch>", "exec"), made)
    given = inspect.signature(made["f"]).parameters.values()
    defaults = tuple(p.default for p in given if p.default is not p.empty)
    return Text(made["_value"], made["_slopes"], defaults)


#: The types that the kernels have.
_TYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def wide(x: Tensor) -> torch.dtype:
    """The type to compute in: half types are computed in float32, and rounded once."""
    return torch.promote_types(x.dtype, torch.float32)


def _checked(name: str, *tensors: Tensor) -> None:
    """An error unless the tensors are such as the kernels take."""
    first = tensors[0]
    for t in tensors:
        if t.layout != torch.strided:
            raise NotImplementedError(f"{name}: a tensor is {t.layout}; nonlin takes strided ones")
    if first.dtype not in _TYPES or any(t.dtype != first.dtype or t.shape != first.shape for t in tensors):
        raise RuntimeError(
            f"{name}: all tensors must have one type, float32, float64, float16 or bfloat16, and sizes that fit"
        )


class _Call(NamedTuple):
    """A function beside operands of one call: operands in the wide type, parameters as tensors there."""

    of: str
    operands: tuple[Tensor, ...]
    parameters: tuple[Tensor, ...]

    def value(self) -> Tensor:
        return text(self.of).value(*self.operands, *self.parameters)

    def slope(self, i: int) -> Tensor:
        """The derivative by an operand or a parameter."""
        return text(self.of).slopes[i](*self.operands, *self.parameters)

    def second(self, i: int, j: int) -> Tensor:
        """The derivative by operands i and j."""
        return text(self.of, i).slopes[j](*self.operands, *self.parameters)


@lru_cache(maxsize=1024)
def _within(name: str, p: tuple[float, ...]) -> None:
    """An error if a parameter is out of its bounds."""
    try:
        _nonlin.torch_formula(name, list(zip(PARAMETERS.get(name, ()), p)))
    except ValueError as e:
        raise RuntimeError(str(e)) from None


def _called(name: str, operands: tuple[Tensor, ...], p: tuple[Any, ...]) -> _Call:
    """`p` are the values of the parameters, or the text of a formula, which has them."""
    dtype, device = wide(operands[0]), operands[0].device
    if name in _ops._formulas:
        (of,) = p
        values = text(of).defaults
    elif name == "weighted":
        of, values = "prelu", ()
    else:
        _within(name, p)
        of, values = name, (*p, *text(name).defaults[len(p) :])
    parameters = (torch.full((), v, dtype=dtype, device=device) for v in values)
    return _Call(of, tuple(t.to(dtype) for t in operands), tuple(parameters))


def _times(dtype: torch.dtype, *factors: Tensor) -> Tensor:
    """The product of factors in the wide type, rounded once."""
    product = factors[0]
    for f in factors[1:]:
        product = product * f
    return product.to(dtype)


def _unary(name: str, x: Tensor, *p: Any) -> Tensor:
    _checked(name, x)
    return _called(name, (x,), p).value().to(x.dtype)


def _unary_backward(name: str, grad: Tensor, x: Tensor, *p: Any) -> Tensor:
    _checked(f"{name}_backward", grad, x)
    f = _called(name, (x,), p)
    return _times(x.dtype, grad.to(wide(x)), f.slope(0))


def _unary_second(name: str, g: Tensor, grad: Tensor, x: Tensor, *p: Any) -> Tensor:
    _checked(f"{name}_second", g, grad, x)
    f = _called(name, (x,), p)
    return _times(x.dtype, g.to(wide(x)), grad.to(wide(x)), f.second(0, 0))


def _pair(name: str, a: Tensor, b: Tensor, *p: Any) -> Tensor:
    _checked(name, a, b)
    return _called(name, (a, b), p).value().to(a.dtype)


def _pair_backward(name: str, grad: Tensor, a: Tensor, b: Tensor, *p: Any) -> tuple[Tensor, Tensor]:
    _checked(f"{name}_backward", grad, a, b)
    f = _called(name, (a, b), p)
    grad = grad.to(wide(a))
    return _times(a.dtype, grad, f.slope(0)), _times(a.dtype, grad, f.slope(1))


def _pair_second(
    name: str, g: Tensor, a: Tensor, b: Tensor, formula: str, operand: int
) -> tuple[Tensor, Tensor]:
    _checked(f"{name}_second", g, a, b)
    f, g = _called(name, (a, b), (formula,)), g.to(wide(a))
    return _times(a.dtype, g, f.second(operand, 0)), _times(a.dtype, g, f.second(operand, 1))


def _packed(name: str, x: Tensor, dim: int, interleaved: bool) -> Tensor:
    return _pair(name, *_ops.halves(x, dim, interleaved))


def _packed_backward(name: str, grad: Tensor, x: Tensor, dim: int, interleaved: bool) -> Tensor:
    both = _pair_backward(name, grad, *_ops.halves(x, dim, interleaved))
    return _ops.pack(*both, dim, interleaved)


class _Rows(NamedTuple):
    """A function whose parameters have a value for each channel."""

    call: _Call
    shape: tuple[int, ...]
    """The shape in which the values of a parameter stand beside the input."""


def _rows(of: str, operands: tuple[Tensor, ...], values: Tensor, axis: int) -> _Rows:
    x, dtype = operands[0], wide(operands[0])
    table = values.to(dtype).reshape(len(text(of).defaults), -1)
    each = table.shape[1]
    if each == 1:
        shape: tuple[int, ...] = ()
    elif not -x.dim() <= axis < x.dim():
        raise ValueError(f"axis is {axis}; the input has {x.dim()} axes")
    elif x.shape[axis] != each:
        raise ValueError(f"axis {axis} has {x.shape[axis]} channels, but there are {each} values")
    else:
        shape = (each, *[1] * (x.dim() - 1 - axis % x.dim()))
    parameters = tuple(row.reshape(shape) for row in table.unbind())
    return _Rows(_Call(of, tuple(t.to(dtype) for t in operands), parameters), shape)


# The arguments of these are operands, one or two, values of the parameters, the function and the axis.
def learnable(*arguments: Any) -> Tensor:
    """The function with values of the parameters, as `_learnable.apply` has it."""
    *operands, values, of, axis = arguments
    _checked(of, *operands)
    return _rows(of, tuple(operands), values, axis).call.value().to(operands[0].dtype)


def learnable_backward(grad: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
    """`grad` times the derivatives by the operands and by values, the latter added up."""
    *operands, values, of, axis = arguments
    x, n = operands[0], len(operands)
    grad = grad.to(x.dtype)
    _checked(of, grad, *operands)
    (f, shape), grad = _rows(of, tuple(operands), values, axis), grad.to(wide(x))
    sums = [
        (grad * f.slope(n + i)).expand(x.shape).sum_to_size(shape).reshape(-1) for i in range(len(f.parameters))
    ]
    by = (_times(x.dtype, grad, f.slope(i)) for i in range(n))
    return *by, torch.cat(sums).reshape(values.shape).to(values.dtype)


def composed(*arguments: Any) -> Tensor:
    """The function with values of the parameters, which may be differentiated by all as often as one likes, and
    transformed; on the CPU in float64, which some devices do not have."""
    *operands, values, of, axis = arguments
    call, _ = _rows(of, tuple(t.double() if t.device.type == "cpu" else t for t in operands), values, axis)
    return _Composed.apply(of, *call.operands, *call.parameters)


class _Composed(Function):
    """A function of operands and parameters by its printed text, with its slopes."""

    generate_vmap_rule = True

    @staticmethod
    def forward(of, *inputs):
        return text(of).value(*inputs)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.of, *inputs = inputs
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx, grad):
        inputs = ctx.saved_tensors
        by = zip(inputs, text(ctx.of).slopes, ctx.needs_input_grad[1:], strict=True)
        return None, *((grad * slope(*inputs)).sum_to_size(t.shape) if needed else None for t, slope, needed in by)

    @staticmethod
    def jvp(ctx, _, *tangents):
        inputs = ctx.saved_tensors
        by = zip(text(ctx.of).slopes, tangents, strict=True)
        terms = [slope(*inputs) * t for slope, t in by if t is not None]
        return sum(terms[1:], terms[0])


def _made() -> Iterator[tuple[str, Callable[..., Any]]]:
    """The operators with kernels by name, and what they are made of."""
    for name in ("formula", *_ops._unary):
        yield name, partial(_unary, name)
        yield f"{name}_backward", partial(_unary_backward, name)
        yield f"{name}_second", partial(_unary_second, name)
    for name in ("gated_formula", *_ops._pairs):
        yield name, partial(_pair, name)
        yield f"{name}_backward", partial(_pair_backward, name)
    yield "gated_formula_second", partial(_pair_second, "gated_formula")
    for name in _ops._gated:
        yield f"{name}_packed", partial(_packed, name)
        yield f"{name}_packed_backward", partial(_packed_backward, name)


_MADE = dict(_made())
for _name, _function in _MADE.items():
    # Of all devices but the CPU, which has kernels.
    for _prefix in ("", "_"):
        _ops._library.impl(_prefix + _name, _function, "CompositeExplicitAutograd")


def decompositions() -> dict[torch._ops.OpOverload, Callable[..., Any]]:
    """What each of nonlin's operators is in PyTorch's own, for exporters.

    Returns
    -------
    dict
        A table that ``run_decompositions`` of an exported program takes, alone or beside PyTorch's own:
        ``{**torch.export.default_decompositions(), **nonlin.torch.decompositions()}``.

    Notes
    -----
    Each is the text that ``nonlin.export(f, "torch")`` prints, with its bounds: within 1e-12 of the kernels'
    results in float64 and 1e-5 in float32, and, where terms cancel, 1e-15 and 1e-6; second derivatives in
    float64 within 2e-12. Half types are computed in float32 and rounded once. At infinities some second
    derivatives of formulas are NaN.

    Tensors on other devices than the CPU are computed so too, one operator of PyTorch's after the other:
    gradients, second ones and transforms are as they are on the CPU, and a compiler sees nonlin's operator,
    which it does not fuse. It has been tried on a device made in Python, and for shapes and types on fake
    tensors of CUDA; it has not been run on a GPU yet. `gelu` needs PyTorch's `special.erfcx` there. Gradients by
    parameters that are learned are added up in the type that is computed in, where the kernels add in float64.

    Examples
    --------
    >>> import torch, nonlin.torch
    >>> program = torch.export.export(nonlin.torch.SiLU(), (torch.ones(3),))
    >>> program = program.run_decompositions(nonlin.torch.decompositions())
    >>> any("nonlin" in str(node.target) for node in program.graph.nodes)
    False
    """
    ops = torch.ops.nonlin
    table = {getattr(ops, p + name).default: f for name, f in _MADE.items() for p in ("", "_")}
    table[ops.learnable.default] = learnable
    table[ops.learnable_backward.default] = learnable_backward
    table[ops.learnable_gated.default] = learnable
    table[ops.learnable_gated_backward.default] = learnable_backward
    return table


decompositions.__module__ = "nonlin.torch"
