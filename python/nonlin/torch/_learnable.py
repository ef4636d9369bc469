"""Activations whose parameters are learned."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import Function
from torch.nn.utils import parametrize

import nonlin

from .. import _nonlin
from . import _decompositions
from ._decompositions import composed
from ._functional import interleaved
from ._ops import _transformed, direct, halves, is_compiling, is_grad_enabled, recorded, together

#: Functions of the catalogue with parameters.
LEARNABLE: tuple[str, ...] = tuple(
    name for name in _nonlin.NAMES["elementwise"] if _nonlin.facts(name)["parameters"]
)

_KINDS = {
    torch.float32: "float32",
    torch.float64: "float64",
    torch.float16: "float16",
    torch.bfloat16: "bfloat16",
}


@lru_cache(maxsize=256)
def _kernel(text: str) -> Any:
    return _nonlin.LearnableKernel(text)


class Blocks:
    """An input as rows of channels, ``rows[row, channel, i]``, of which some are computed at a time.

    What is added together follows from the shape alone, and sums of blocks are added in order: then the
    number of threads does not show.
    """

    def __init__(self, x: Tensor, axis: int, each: int) -> None:
        self._order = _order(x)
        self._shape = shape = x.permute(self._order).shape
        at = _axis(x, axis, self._order)
        if each == 1:
            self._form = -1, 1, 1
        elif not 0 <= at < x.dim():
            raise ValueError(f"axis is {axis}; the input has {x.dim()} axes")
        elif shape[at] != each:
            raise ValueError(f"axis {axis} has {shape[at]} channels, but there are {each} values")
        else:
            self._form = shape[:at].numel(), each, shape[at + 1 :].numel()
        self.rows = self.of(x)

    def of(self, t: Tensor) -> Tensor:
        """A tensor of the input's shape in that form."""
        return t.detach().permute(self._order).reshape(self._form)

    def new(self) -> Tensor:
        """A result in that form."""
        return torch.empty_like(self.rows, memory_format=torch.contiguous_format)

    def back(self, rows: Tensor) -> Tensor:
        """A result in the form of the input."""
        return rows.reshape(self._shape).permute(_inverse(self._order))

    def parts(self, threads: int = 1) -> Iterator[tuple[slice, int]]:
        """Rows to compute at a time, and of how many blocks they are. Threads have several each, since they
        wait for one another after every operation."""
        rows = len(self.rows)
        # Below this many elements PyTorch adds on one thread.
        unit = max(1, 32_767 // max(1, self.rows[:1].numel()))
        for start in range(0, rows, step := unit * (1 if threads == 1 else 4 * threads)):
            end = min(start + step, rows)
            whole = end - (end - start) % unit
            if whole > start:
                yield slice(start, whole), (whole - start) // unit
            if whole < end:
                yield slice(whole, end), 1


def pick(table: Tensor, places: Tensor) -> Tensor:
    """The elements of a table in these places; faster than ``table[places]``."""
    return table.index_select(0, places.reshape(-1)).reshape(places.shape)


def _flat(t: Tensor) -> Any:
    """The elements in one axis, as an array of NumPy; of a half type their bits."""
    t = t.detach().reshape(-1)
    return (t.view(torch.uint16) if t.dtype in (torch.float16, torch.bfloat16) else t).numpy()


def _values(values: Tensor) -> Any:
    # A copy: FSDP frees the memory of parameters, which PyTorch refuses where NumPy has seen it.
    return values.detach().to(torch.float64, copy=True).contiguous().numpy()


def _checked(text: str, x: Tensor, values: Tensor) -> str:
    """The type of an input, or an error that says what is wrong with it."""
    if x.dtype not in _KINDS:
        raise TypeError(f"{text} takes float16, bfloat16, float32 or float64, not {x.dtype}")
    if x.device != values.device:
        raise RuntimeError(
            f"{text}: the input is on {x.device}, the parameters are on {values.device}; both must be on one device"
        )
    return _KINDS[x.dtype]


def by_operators(x: Tensor) -> bool:
    """Whether PyTorch's own operators compute: a compiler fuses them, other devices than the CPU have them, and
    what transforms or records a program knows them."""
    return is_compiling() or x.device.type != "cpu" or _transformed() or not direct(x)


def _order(x: Tensor) -> list[int]:
    """The axes in the order in which elements of a result lie in memory: that of a tensor that is like the input."""
    usual = list(range(x.dim()))
    if x.is_contiguous():
        return usual
    strides = torch.empty_like(x, device="meta").stride()
    return sorted(usual, key=lambda a: -strides[a])


def _axis(x: Tensor, axis: int, order: list[int]) -> int:
    """Where the axis of channels is in that order. The kernels say what is wrong with one."""
    return order.index(axis % x.dim()) if -x.dim() <= axis < x.dim() else axis


# The arguments of these are operands, one or two, values of the parameters, the function and the axis.
def _forward(*arguments: Any) -> Tensor:
    *operands, values, text, axis = arguments
    x = operands[0]
    kind = _checked(text, x, values)
    if x.device.type != "cpu":
        return _decompositions.learnable(*arguments)
    order = _order(x)
    operands = [t.permute(order).contiguous() for t in operands]
    y = torch.empty_like(operands[0])
    _kernel(text).forward(
        kind,
        [_flat(t) for t in operands],
        _flat(y),
        _values(values),
        list(y.shape),
        _axis(x, axis, order),
        torch.get_num_threads(),
    )
    return y.permute(_inverse(order))


def _inverse(order: list[int]) -> list[int]:
    return [order.index(a) for a in range(len(order))]


def _backward(grad: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
    *operands, values, text, axis = arguments
    x = operands[0]
    kind = _checked(text, x, values)
    if x.device.type != "cpu":
        return _decompositions.learnable_backward(grad, *arguments)
    order = _order(x)
    operands = [t.permute(order).contiguous() for t in operands]
    grad = grad.permute(order).to(x.dtype).contiguous()
    by = [torch.empty_like(t) for t in operands]
    dvalues = torch.empty_like(values, dtype=torch.float64)
    _kernel(text).backward(
        kind,
        [_flat(t) for t in operands],
        _flat(grad),
        [_flat(t) for t in by],
        _values(values),
        dvalues.numpy(),
        list(grad.shape),
        _axis(x, axis, order),
        torch.get_num_threads(),
    )
    return *(t.permute(_inverse(order)) for t in by), dvalues.to(values.dtype)


class _Learned(Function):
    """What eager code calls: an operator with a registered formula costs more in every call."""

    @staticmethod
    def forward(ctx, text, axis, *tensors):
        ctx.save_for_backward(*tensors)
        ctx.of = text, axis
        return _forward(*tensors, text, axis)

    @staticmethod
    def backward(ctx, grad):
        if is_grad_enabled():
            by = Twice.apply(_backward, composed, ctx.of, grad, *ctx.saved_tensors)
        else:
            by = _backward(grad, *ctx.saved_tensors, *ctx.of)
        return None, None, *by


class Twice(Function):
    """The gradients by operands and by values, where they are to be differentiated in turn: what they are
    a kernel says, their derivatives follow from the function composed of PyTorch's own operators."""

    @staticmethod
    def forward(ctx, kernel, composition, of, grad, *tensors):
        ctx.save_for_backward(grad, *tensors)
        ctx.composition, ctx.of = composition, of
        return kernel(grad, *tensors, *of)

    @staticmethod
    def backward(ctx, *weights):
        again = is_grad_enabled()
        wanted = [t if again and t.requires_grad else t.detach().requires_grad_() for t in ctx.saved_tensors]
        grad, *tensors = wanted
        with torch.enable_grad():
            y = ctx.composition(*tensors, *ctx.of)
            first = torch.autograd.grad(
                y, tensors, grad.to(y.dtype), create_graph=True, materialize_grads=True
            )
            all_ = torch.stack([(d * w).sum() for d, w in zip(first, weights, strict=True)]).sum()
            by = torch.autograd.grad(all_, wanted, create_graph=again, materialize_grads=True)
        return None, None, None, *by


# What compilers and exporters see.
@torch.library.custom_op("nonlin::learnable", mutates_args=(), device_types="cpu")
def _operator(x: Tensor, values: Tensor, text: str, axis: int) -> Tensor:
    return _forward(x, values, text, axis)


@torch.library.custom_op("nonlin::learnable_backward", mutates_args=(), device_types="cpu")
def _operator_backward(
    grad: Tensor, x: Tensor, values: Tensor, text: str, axis: int
) -> tuple[Tensor, Tensor]:
    return _backward(grad, x, values, text, axis)


@torch.library.custom_op("nonlin::learnable_gated", mutates_args=(), device_types="cpu")
def _gated_operator(a: Tensor, b: Tensor, values: Tensor, text: str, axis: int) -> Tensor:
    return _forward(a, b, values, text, axis)


@torch.library.custom_op("nonlin::learnable_gated_backward", mutates_args=(), device_types="cpu")
def _gated_operator_backward(
    grad: Tensor, a: Tensor, b: Tensor, values: Tensor, text: str, axis: int
) -> tuple[Tensor, Tensor, Tensor]:
    return _backward(grad, a, b, values, text, axis)


def _save(ctx, inputs, output):
    *tensors, text, axis = inputs
    ctx.save_for_backward(*tensors)
    ctx.of = text, axis


def _gradients(ctx, grad):
    tensors = ctx.saved_tensors
    backward = _operator_backward if len(tensors) == 2 else _gated_operator_backward
    return *backward(grad, *tensors, *ctx.of), None, None


for _op in (_operator, _gated_operator):
    _op.register_fake(lambda x, *_: torch.empty_like(x))
    _op.register_kernel(None, _decompositions.learnable)
    _op.register_autograd(_gradients, setup_context=_save)
for _op in (_operator_backward, _gated_operator_backward):
    # What is like the first operand by each operand, and what is like the values.
    _op.register_fake(lambda grad, *t: (*(torch.empty_like(t[0]) for _ in t[:-3]), torch.empty_like(t[-3])))
    _op.register_kernel(None, _decompositions.learnable_backward)


def apply(text: str, x: Tensor, values: Tensor, axis: int) -> Tensor:
    """f(x) with values of the parameters: those of the first, then those of the second, and so on."""
    return _apply(_operator, text, axis, x, values)


def apply_gated(text: str, a: Tensor, b: Tensor, values: Tensor, axis: int) -> Tensor:
    """As `apply`, of a gated unit."""
    return _apply(_gated_operator, text, axis, *together(a, b), values)


def _apply(operator: Any, text: str, axis: int, *tensors: Tensor) -> Tensor:
    if is_compiling() or recorded(text, *tensors):
        return operator(*tensors, text, axis)
    if _transformed():
        x, values = tensors[0], tensors[-1]
        _checked(text, x, values)
        return composed(*tensors, text, axis).to(x.dtype)
    if not direct(*tensors):
        return operator(*tensors, text, axis)
    return _Learned.apply(text, axis, *tensors)


def _inside(bound: float, dtype: torch.dtype, up: bool) -> float:
    """A bound that stays one when it is rounded to a type: a step further in."""
    facts = torch.finfo(dtype)
    step = max(abs(bound) * facts.eps, facts.tiny if bound else 0.0)
    return bound + step if up else bound - step


class Above(nn.Module):
    """Keeps a parameter above a bound: ``low + softplus(raw)``, where `raw` is what is learned."""

    def __init__(self, low: float) -> None:
        super().__init__()
        self.low = low

    def forward(self, raw: Tensor) -> Tensor:
        return _inside(self.low, raw.dtype, True) + nn.functional.softplus(raw)

    def right_inverse(self, value: Tensor) -> Tensor:
        # A value at the bound itself has no such form: the nearest that has one.
        facts = torch.finfo(value.dtype)
        above = (value - _inside(self.low, value.dtype, True)).clamp(min=facts.eps)
        return above + torch.log(-torch.expm1(-above))

    def extra_repr(self) -> str:
        return f"{self.low:g}"


class Between(nn.Module):
    """Keeps a parameter between two bounds: ``low + (high - low) sigmoid(raw)``, where `raw` is what
    is learned."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.high = low, high

    def forward(self, raw: Tensor) -> Tensor:
        low, high = self._bounds(raw.dtype)
        return low + (high - low) * torch.sigmoid(raw)

    def _bounds(self, dtype: torch.dtype) -> tuple[float, float]:
        return _inside(self.low, dtype, True), _inside(self.high, dtype, False)

    def right_inverse(self, value: Tensor) -> Tensor:
        low, high = self._bounds(value.dtype)
        return torch.logit((value - low) / (high - low), eps=torch.finfo(value.dtype).eps)

    def extra_repr(self) -> str:
        return f"{self.low:g}, {self.high:g}"


class Exponential(nn.Module):
    """Keeps a parameter above 0: ``exp(raw)``, where `raw` is what is learned, clamped to bounds."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.high = low, high

    def forward(self, raw: Tensor) -> Tensor:
        facts = torch.finfo(raw.dtype)
        low, high = _inside(self.low, raw.dtype, True), min(self.high, facts.max)
        return raw.exp().clamp(max(low, facts.tiny), high)

    def right_inverse(self, value: Tensor) -> Tensor:
        return value.log()


#: The largest magnitude of a parameter without bounds.
_LIMIT = torch.finfo(torch.float32).max


def constraint(low: float, high: float) -> nn.Module | None:
    """What keeps a parameter within its bounds; `None` if it has none."""
    if low > -_LIMIT and high < _LIMIT:
        return Between(low, high)
    if low > -_LIMIT:
        return Above(low)
    if high < _LIMIT:
        raise NotImplementedError(f"a parameter with the one bound {high}, above it, is not learned")
    return None


def _chosen(
    argument: str, name: str, chosen: bool | str | Iterable[str], known: Iterable[str]
) -> tuple[str, ...]:
    """The parameters that an argument names, in the order of the function's."""
    known = tuple(known)
    if isinstance(chosen, bool):
        return known if chosen else ()
    chosen = (chosen,) if isinstance(chosen, str) else tuple(chosen)
    for p in chosen:
        if p not in known:
            all_ = ", ".join(known) or "none"
            which = "parameter" if argument == "learnable" else "learned parameter"
            raise ValueError(f"{argument}: {name} has no {which} `{p}`; its {which}s: {all_}")
    return tuple(p for p in known if p in chosen)


class Learnable(nn.Module):
    """An activation whose parameters are learned.

    ``Activation(..., learnable=True)`` makes one. The gradients by the parameters are computed in the
    same pass as that by the input, summed in float64 in an order that the shape alone determines.

    Parameters
    ----------
    name : str
        A function with parameters, or a formula of one tensor `x` or of two, `a` and `b` (a gated unit).
    learnable : bool or iterable of str, default True
        Which parameters are learned; the others are constants.
    num_parameters : int, default 1
        How many values each learned parameter has: 1, or one for each channel.
    groups : int, optional
        In place of `num_parameters`: channels are this many groups of neighbours, and each group has a
        value of each parameter.
    shared : iterable of str, optional
        Learned parameters that have one value whatever `num_parameters` and `groups` are.
    log_scale : bool or iterable of str, default False
        Which learned parameters are ``exp(raw)``, where `raw` is what is learned; True is all of them.
    axis : int, default 1
        The axis of channels, which a gated unit's operands have.
    layout : {"halves", "interleaved"}, default "halves"
        How a gated unit's operands are packed in one tensor; ``forward(a, b)`` takes them apart.
    dim : int, default -1
        The axis along which they are packed.
    device, dtype : optional
        Of the parameters.
    **params : float
        Where parameters start, or what they are if they are not learned.

    Notes
    -----
    Parameters are one-dimensional. One with bounds is kept within them by a parametrization
    (`torch.nn.utils.parametrize`): ``low + softplus(raw)`` or ``low + (high - low) sigmoid(raw)``, or
    with `log_scale` ``exp(raw)``, which is clamped to the bounds and has no gradient beyond them.

    First derivatives are those of nonlin's kernels. Second ones, of a backward with `create_graph`, and all
    under transforms of `torch.func` are computed by PyTorch's operators from the formula in float64, which is
    slower.

    Examples
    --------
    >>> import torch, nonlin.torch
    >>> f = nonlin.torch.Activation("elu", learnable=True, num_parameters=2)
    >>> y = f(torch.tensor([[-1.0, -1.0], [2.0, -2.0]]))
    >>> y.sum().backward()
    >>> f.alpha.grad
    tensor([-0.6321, -1.4968])

    Snake, as vocoders have it: frequencies and amplitudes of eight channels are learned as logarithms.

    >>> snake = "x + sin(alpha * x)^2 / beta; alpha = 1 in (0, inf), beta = 1 in (0, inf)"
    >>> nonlin.torch.Activation(snake, learnable=True, num_parameters=8, log_scale=True).alpha.shape
    torch.Size([8])

    A gated unit, of whose temperature four groups of channels have one each.

    >>> unit = nonlin.torch.Activation("a * sigmoid(beta * b); beta = 1", learnable=True, groups=4)
    >>> unit(torch.ones(2, 16)).shape, unit.beta.shape
    (torch.Size([2, 8]), torch.Size([4]))
    """

    def __init__(
        self,
        name: str,
        *,
        learnable: bool | Iterable[str] = True,
        num_parameters: int = 1,
        groups: int | None = None,
        shared: Iterable[str] = (),
        log_scale: bool | Iterable[str] = False,
        axis: int = 1,
        layout: str | None = None,
        dim: int = -1,
        device: Any = None,
        dtype: torch.dtype | None = None,
        **params: float,
    ) -> None:
        super().__init__()
        self.two = _kernel(name).operands() == 2
        if not self.two and (layout is not None or dim != -1):
            raise TypeError(f"{name} is elementwise: it has no layout and no dim")
        self.interleaved = self.two and interleaved(name, "halves" if layout is None else layout)
        self.dim = dim
        facts = {p: (start, low, high) for p, start, low, high in _kernel(name).params()}
        known = ", ".join(facts)
        for p in params:
            if p not in facts:
                raise TypeError(f"{name} has no parameter `{p}`; its parameters: {known}")
        learned = _chosen("learnable", name, learnable, facts)
        if num_parameters < 1:
            raise ValueError(f"num_parameters is {num_parameters}; it must be at least 1")
        if groups is not None:
            if groups < 1:
                raise ValueError(f"groups is {groups}; it must be at least 1")
            if num_parameters not in (1, groups):
                raise ValueError(f"groups is {groups} and num_parameters {num_parameters}: give one of them")
            num_parameters = groups
        self.name, self.num_parameters, self.groups, self.axis = name, num_parameters, groups, axis
        self._names = tuple(facts)
        self._learned = tuple(p for p in facts if p in learned)
        self._shared = _chosen("shared", name, shared, self._learned)
        self._log_scale = _chosen("log_scale", name, log_scale, self._learned)
        self._starts = {p: float(params.get(p, start)) for p, (start, _, _) in facts.items()}
        for p, (_, low, high) in facts.items():
            start = self._starts[p]
            if not low <= start <= high:
                raise ValueError(f"`{p}` of `{name}` is {start:g}; it must be from {low:g} to {high:g}")
            if p not in self._learned:
                continue
            size = 1 if p in self._shared else num_parameters
            setattr(self, p, nn.Parameter(torch.full((size,), start, device=device, dtype=dtype)))
            rule = constraint(low, high)
            if p in self._log_scale:
                if not start > 0:
                    raise ValueError(f"log_scale: `{p}` of `{name}` starts at {start:g}; exp is above 0")
                rule = Exponential(low, high)
            if rule is not None:
                parametrize.register_parametrization(self, p, rule)

    def __reduce_ex__(self, protocol: Any) -> Any:
        # PyTorch makes a class for a module with parametrizations, which pickle would not find.
        if not parametrize.is_parametrized(self):
            return super().__reduce_ex__(protocol)
        kind = parametrize.type_before_parametrizations(self)
        return _parametrized, (kind, tuple(self.parametrizations)), self.__dict__

    @property
    def params(self) -> dict[str, Any]:
        """The parameters: tensors of those that are learned, numbers of the others."""
        return {p: getattr(self, p) if p in self._learned else v for p, v in self._starts.items()}

    def reset_parameters(self) -> None:
        """Puts the parameters where they start."""
        with torch.no_grad():
            for p in self._learned:
                if parametrize.is_parametrized(self, p):
                    setattr(self, p, torch.full_like(getattr(self, p), self._starts[p]))
                else:
                    getattr(self, p).fill_(self._starts[p])

    def _values(self, input: Tensor) -> Tensor:
        """The values of all parameters: those of the first, then those of the second, and so on."""
        all_ = self.params
        if len(all_) == 1:
            (only,) = all_.values()
            return only if only.numel() == self.num_parameters else only.expand(self.num_parameters)
        learned = [all_[p] for p in self._learned]
        like = learned[0] if learned else input.new_empty(1)
        like = like if like.numel() == self.num_parameters else like.expand(self.num_parameters)
        tensors = (v if isinstance(v, Tensor) else torch.full_like(like, v) for v in all_.values())
        rows = [v if v.numel() == like.numel() else v.expand_as(like) for v in tensors]
        return torch.cat(rows)

    def forward(self, input: Tensor, other: Tensor | None = None) -> Tensor:
        """Apply the function."""
        operands: tuple[Tensor, ...] = (input,)
        if self.two:
            operands = halves(input, self.dim, self.interleaved) if other is None else together(input, other)
        elif other is not None:
            raise TypeError(f"{self.name} is elementwise: it takes one tensor")
        values = self._values(input)
        if self.groups is None:
            return self._computed(operands[0], values, self.axis, *operands[1:])
        # A group is an axis of its own: no value is copied for a channel.
        x = operands[0]
        axis = self.axis if self.axis < 0 else self.axis - x.dim()
        if not -x.dim() <= axis < 0 or x.shape[axis] % self.groups:
            raise ValueError(
                f"an input of shape {tuple(x.shape)}: axis {self.axis} must have a multiple of "
                f"{self.groups} channels, which is the number of groups"
            )
        first, *rest = (t.unflatten(axis, (self.groups, t.shape[axis] // self.groups)) for t in operands)
        return self._computed(first, values, axis - 1, *rest).flatten(axis - 1, axis)

    def _computed(self, input: Tensor, values: Tensor, axis: int, *rest: Tensor) -> Tensor:
        """The function with those values."""
        return (apply_gated if rest else apply)(self.name, input, *rest, values, axis)

    def _told(self, learnable: bool = True) -> list[str]:
        """What its representation says about parameters."""
        parts = []
        if learnable and self._learned != self._names:
            parts.append(f"learnable={list(self._learned)}")
        if self.groups is not None:
            parts.append(f"groups={self.groups}")
        elif self.num_parameters != 1:
            parts.append(f"num_parameters={self.num_parameters}")
        parts += [f"shared={list(self._shared)}"] if self._shared else []
        parts += [f"log_scale={list(self._log_scale)}"] if self._log_scale else []
        parts += [f"axis={self.axis}"] if self.axis != 1 else []
        parts += ["layout='interleaved'"] if self.interleaved else []
        parts += [f"dim={self.dim}"] if self.dim != -1 else []
        starts = {p: start for p, start, _, _ in _kernel(self.name).params()}
        return parts + [f"{p}={v:g}" for p, v in self._starts.items() if v != starts[p]]

    def extra_repr(self) -> str:
        return ", ".join([repr(self.name), *self._told()])


Learnable.__module__ = "nonlin.torch"


def _parametrized(kind: type[Learnable], names: Iterable[str]) -> Learnable:
    """A module of which these parameters are parametrized, to be given its state."""
    made = kind.__new__(kind)
    nn.Module.__init__(made)
    for p in names:
        setattr(made, p, nn.Parameter(torch.empty(0)))
        parametrize.register_parametrization(made, p, nn.Identity())
    return made


def parameter_groups(model: nn.Module, weight_decay: float = 0.01) -> list[dict[str, Any]]:
    """The parameters of a model in two groups for an optimizer: parameters of activations, biases and
    the like, which have one axis at most, do not decay.

    Parameters
    ----------
    model : torch.nn.Module
    weight_decay : float, default 0.01
        Of the others.

    Returns
    -------
    list of dict
        What optimizers of `torch.optim` take.

    Examples
    --------
    >>> import torch, nonlin.torch
    >>> model = torch.nn.Sequential(
    ...     torch.nn.Linear(4, 4), nonlin.torch.Activation("elu", learnable=True)
    ... )
    >>> groups = nonlin.torch.parameter_groups(model, weight_decay=0.1)
    >>> [(len(g["params"]), g["weight_decay"]) for g in groups]
    [(1, 0.1), (2, 0.0)]
    """
    own = {id(p) for m in model.modules() if isinstance(m, (Learnable, Mixture, nn.PReLU)) for p in m.parameters()}
    decay, rest = [], []
    for p in model.parameters():
        if p.requires_grad:
            (rest if id(p) in own or p.dim() <= 1 else decay).append(p)
    return [
        {"params": decay, "weight_decay": weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]


class GatedPolynomial(Learnable):
    r"""A mixture of relu and a polynomial that is learned:
    ``sigmoid(b) max(x, 0) + (1 - sigmoid(b)) a (x + x^2 / 2 + ... + x^n / n)``.

    Parameters
    ----------
    degree : int, default 3
        n.
    separate : bool, default False
        Whether each power has a factor of its own, a1 to an, in place of a.
    num_parameters : int, default 1
        How many values each parameter has: 1, or one for each channel.
    axis : int, default 1
        The axis of channels.
    device, dtype : optional
        Of the parameters.
    **params : float
        Where parameters start: a at 0.25, b at 0.

    Examples
    --------
    >>> import torch, nonlin.torch
    >>> f = nonlin.torch.GatedPolynomial()
    >>> f(torch.tensor([-1.0, 2.0])).detach()
    tensor([-0.1042,  1.8333])
    >>> f.regulariser()
    tensor(0.3125, grad_fn=<AddBackward0>)
    """

    def __init__(self, degree: int = 3, *, separate: bool = False, **kwargs: Any) -> None:
        if not 1 <= degree <= 16:
            raise ValueError(f"degree is {degree}; it must be between 1 and 16")
        powers = [f"x^{i} / {i}" for i in range(1, degree + 1)]
        if separate:
            sum_ = "(" + " + ".join(f"a{i} * {p}" for i, p in enumerate(powers, 1)) + ")"
            starts = ", ".join(f"a{i} = 0.25" for i in range(1, degree + 1))
        else:
            sum_, starts = "a * (" + " + ".join(powers) + ")", "a = 0.25"
        super().__init__(
            f"sigmoid(b) * max(x, 0) + (1 - sigmoid(b)) * {sum_}; {starts}, b = 0", **kwargs
        )

    def regulariser(self) -> Tensor:
        """What keeps it near half and half and the polynomial small: the mean of a² plus that of
        (b - 0.5)², to be added to a loss with a weight."""
        factors = torch.cat([v for p, v in self.params.items() if p != "b" and isinstance(v, Tensor)])
        b = torch.as_tensor(self.params["b"])
        return factors.square().mean() + (b - 0.5).square().mean()


GatedPolynomial.__module__ = "nonlin.torch"


class Mixture(nn.Module):
    """A weighted mean of activations, whose weights are learned.

    Parameters
    ----------
    *names : str
        Elementwise functions, at their defaults.
    num_parameters : int, default 1
        How many sets of weights there are: 1, or one for each channel.
    axis : int, default 1
        The axis of channels.
    device, dtype : optional
        Of the parameters.

    Notes
    -----
    Weights are the softmax of `logits`, which are learned and start at 0, so all weights are equal. The
    regulariser that a sparse mixture wants is a matter of the loss.

    Examples
    --------
    >>> import torch, nonlin.torch
    >>> f = nonlin.torch.Mixture("relu", "tanh")
    >>> f(torch.tensor([-1.0, 2.0])).detach()
    tensor([-0.3808,  1.4820])
    >>> f.weights
    {'relu': tensor([0.5000]), 'tanh': tensor([0.5000])}
    """

    def __init__(
        self,
        *names: str,
        num_parameters: int = 1,
        axis: int = 1,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if len(names) < 2:
            raise ValueError(f"a mixture takes two functions at least, not {len(names)}")
        if num_parameters < 1:
            raise ValueError(f"num_parameters is {num_parameters}; it must be at least 1")
        for name in names:
            if nonlin.info(name).kind != "elementwise":
                raise ValueError(f"`{name}` is not elementwise, which the parts of a mixture are")
        self.names, self.axis = tuple(nonlin.info(name).name for name in names), axis
        if len(set(self.names)) < len(names):
            raise ValueError(f"a function is in the mixture twice: {', '.join(self.names)}")
        terms = [f"w{i} * {name}(x)" for i, name in enumerate(self.names)]
        starts = [f"w{i} = {1 / len(names)!r}" for i in range(len(names))]
        self._text = f"{' + '.join(terms)}; {', '.join(starts)}"
        _kernel(self._text)
        self.logits = nn.Parameter(
            torch.zeros(len(names), num_parameters, device=device, dtype=dtype)
        )

    @property
    def weights(self) -> dict[str, Tensor]:
        """The weight of each function."""
        return dict(zip(self.names, self.logits.detach().softmax(0), strict=True))

    def _named(self) -> dict[str, Tensor]:
        """The weights by the names of the formula's parameters."""
        return {f"w{i}": w for i, w in enumerate(self.weights.values())}

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function."""
        return apply(self._text, input, self.logits.softmax(0).reshape(-1), self.axis)

    def extra_repr(self) -> str:
        parts = [repr(name) for name in self.names]
        if self.logits.shape[1] != 1:
            parts.append(f"num_parameters={self.logits.shape[1]}")
        parts += [f"axis={self.axis}"] if self.axis != 1 else []
        return ", ".join(parts)


Mixture.__module__ = "nonlin.torch"
