"""nonlin's own operators: ``torch.ops.nonlin.*``, and the ways to call them.

Each kernel has two names. ``nonlin::silu`` has all that PyTorch's compiler, exporter and transforms
ask of an operator: an autograd formula, a shape function, a rule for vmap. ``nonlin::_silu`` is the
kernel and a shape function alone. Eager code calls that, inside an `autograd.Function` where a
gradient is wanted, since a formula registered with an operator costs a Python frame in every call.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.autograd.function import Function, once_differentiable

from .. import _nonlin

is_compiling = torch.compiler.is_compiling
is_grad_enabled = torch.is_grad_enabled
is_tracing = torch.jit.is_tracing
under_func = torch._C._are_functorch_transforms_active

#: The kernel of an operator, by the index of the operator, for plain tensors; `NotImplemented` if a
#: gradient is to be recorded, and `None` if the call is not so simple.
call = _nonlin.torch_call

_library = torch.library.Library("nonlin", "DEF")


def _transformed() -> bool:
    """Whether a transform of `torch.func` or forward-mode differentiation is under way."""
    return under_func() or forward_ad._current_level >= 0


def direct(*tensors: Tensor) -> bool:
    """Whether a kernel may be called without PyTorch's dispatcher: tensors are plain, and nothing looks at
    operators."""
    plain = all(type(t) is Tensor or type(t) is torch.nn.Parameter for t in tensors)
    return plain and not torch._C._len_torch_dispatch_stack() and not is_tracing()


def _called(operator: Any) -> Any:
    """An operator without the Python frame around PyTorch's own call."""
    return getattr(operator, "_op", operator)


def _kernel(name: str) -> Any:
    """The kernel of an operator alone, without a gradient."""
    index, raw = _INDEX[name], _called(getattr(torch.ops.nonlin, f"_{name}").default)

    def kernel(*arguments):
        result = call(index, *arguments)
        return raw(*arguments) if result is None or result is NotImplemented else result

    return kernel


def _apply(name: str, function: type[Function]) -> Any:
    """`Function.apply` without the Python frames that look after transforms, which callers rule out,
    and after functions that have a `vjp` instead of a `backward`."""
    back = function._backward_cls
    back.__name__ = "".join(part.capitalize() for part in name.split("_")) + "Backward"
    back.apply = function.backward
    back.p = ()
    return super(Function, function).apply


def no_tensor(name: str, x: Any) -> TypeError:
    """What to raise for an operand that is no tensor."""
    return TypeError(f"nonlin.torch.{name} takes tensors, not {type(x).__name__}")


def recorded(name: str, *operands: Any) -> bool:
    """Whether a program is recorded, for TorchScript or of proxies as `torch.fx` has them; an error for an
    operand that is neither a tensor nor stands for one."""
    others = [x for x in operands if not isinstance(x, Tensor)]
    for x in others:
        if not torch.overrides.has_torch_function((x,)):
            raise no_tensor(name, x)
    return bool(others) or is_tracing()


def _align(size: int, dims: tuple[int | None, ...], *tensors: Tensor) -> list[Tensor]:
    """Tensors of one shape under vmap, their batch first."""
    return [
        t.expand(size, *t.shape) if d is None else t.movedim(d, 0) for t, d in zip(tensors, dims)
    ]


class Unary:
    """The operators of one elementwise function."""

    def __init__(self, name: str) -> None:
        self.name = name
        ops = torch.ops.nonlin
        self.op = getattr(ops, name).default
        self.op_b = getattr(ops, f"{name}_backward").default
        self.op_s = getattr(ops, f"{name}_second").default
        self.index = _INDEX[name]
        self.raw = _kernel(name)
        self.raw_b = _kernel(f"{name}_backward")
        self.raw_s = _kernel(f"{name}_second")
        self.train = _apply(name, _unary_function(self))

    def __reduce__(self) -> Any:
        return unary, (self.name,)

    def forward(self, x: Tensor, *p: float) -> Tensor:
        """f(x)."""
        if is_compiling():
            return self.op(x, *p)
        y = call(self.index, x, *p)
        if y is NotImplemented:
            return self.train(x, *p)
        return self.involved(x, *p) if y is None else y

    def involved(self, x: Tensor, *p: float) -> Tensor:
        """f(x) where `call` says no more."""
        if recorded(self.name, x):
            return self.op(x, *p)
        if _transformed():
            return _UnaryT.apply(x, self, p)
        if x.requires_grad and is_grad_enabled():
            return self.train(x, *p)
        return self.raw(x, *p)

    def backward(self, grad: Tensor, x: Tensor, *p: float) -> Tensor:
        """``grad f'(x)``."""
        if is_compiling():
            return self.op_b(grad, x, *p)
        if _transformed():
            return _UnaryBackT.apply(grad, x, self, p)
        if is_grad_enabled() and (x.requires_grad or grad.requires_grad):
            return _UnaryBack.apply(grad, x, self, p)
        return self.raw_b(grad, x, *p)

    def second(self, g: Tensor, grad: Tensor, x: Tensor, *p: float) -> Tensor:
        """``g grad f''(x)``."""
        if is_compiling():
            return self.op_s(g, grad, x, *p)
        if _transformed():
            return _UnarySecondT.apply(g, grad, x, self, p)
        if is_grad_enabled() and (x.requires_grad or grad.requires_grad or g.requires_grad):
            return _UnarySecond.apply(g, grad, x, self, p)
        return self.raw_s(g, grad, x, *p)


def _unary_function(f: Unary) -> type[Function]:
    """What autograd keeps of a call of an elementwise function and does with it. One class for each
    function: what it knows costs no time."""
    raw, raw_b, index, index_b = f.raw, f.raw_b, f.index, _INDEX[f"{f.name}_backward"]
    none = (None,) * (len(f.op._schema.arguments) - 1)
    # Its slope is that at its output, which the next layer keeps as well.
    keeps_output = f.name == "relu"

    class Plain(Function):
        @staticmethod
        def forward(ctx, x, *p):
            if p:
                ctx.p = p
            y = call(index, x, *p)
            y = raw(x, *p) if y is None else y
            ctx.to_save = (y if keeps_output else x,)
            return y

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            if is_grad_enabled():
                return f.backward(grad, x, *ctx.p), *none
            dx = call(index_b, grad, x, *ctx.p)
            return raw_b(grad, x, *ctx.p) if dx is None else dx, *none

    return Plain


class _UnaryBack(Function):
    @staticmethod
    def forward(ctx, grad, x, f, p):
        ctx.save_for_backward(grad, x)
        ctx.f, ctx.p = f, p
        return f.raw_b(grad, x, *p)

    @staticmethod
    def backward(ctx, g):
        grad, x = ctx.saved_tensors
        f, p = ctx.f, ctx.p
        return f.backward(g, x, *p), f.second(g, grad, x, *p), None, None


class _UnarySecond(Function):
    @staticmethod
    def forward(ctx, g, grad, x, f, p):
        ctx.save_for_backward(g, grad, x)
        ctx.f, ctx.p = f, p
        return f.raw_s(g, grad, x, *p)

    @staticmethod
    @once_differentiable
    def backward(ctx, h):
        return _third(ctx, h)


def _third(ctx, h):
    """Gradients of ``g grad f''(x)`` by `g` and `grad`; that by `x` there is no kernel for."""
    g, grad, x = ctx.saved_tensors
    if ctx.needs_input_grad[2]:
        raise NotImplementedError(f"nonlin.torch.{ctx.f.name} has no third derivative")
    f, p = ctx.f, ctx.p
    by_g = f.raw_s(h, grad, x, *p) if ctx.needs_input_grad[0] else None
    by_grad = f.raw_s(h, g, x, *p) if ctx.needs_input_grad[1] else None
    return by_g, by_grad, None, None, None


class _UnaryT(Function):
    """`_Unary` under transforms."""

    @staticmethod
    def forward(x, f, p):
        return f.raw(x, *p)

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, ctx.f, ctx.p = inputs
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return ctx.f.backward(grad, x, *ctx.p), None, None

    @staticmethod
    def jvp(ctx, x_t, *_):
        (x,) = ctx.saved_tensors
        return ctx.f.backward(x_t, x, *ctx.p)

    @staticmethod
    def vmap(info, in_dims, x, f, p):
        return f.forward(x, *p), in_dims[0]


class _UnaryBackT(Function):
    """`_UnaryBack` under transforms."""

    @staticmethod
    def forward(grad, x, f, p):
        return f.raw_b(grad, x, *p)

    @staticmethod
    def setup_context(ctx, inputs, output):
        grad, x, ctx.f, ctx.p = inputs
        ctx.save_for_backward(grad, x)
        ctx.save_for_forward(grad, x)

    backward = _UnaryBack.backward

    @staticmethod
    def jvp(ctx, grad_t, x_t, *_):
        grad, x = ctx.saved_tensors
        f, p = ctx.f, ctx.p
        by_grad = None if grad_t is None else f.backward(grad_t, x, *p)
        by_x = None if x_t is None else f.second(x_t, grad, x, *p)
        return _sum(by_grad, by_x)

    @staticmethod
    def vmap(info, in_dims, grad, x, f, p):
        grad, x = _align(info.batch_size, in_dims, grad, x)
        return f.backward(grad, x, *p), 0


class _UnarySecondT(Function):
    """`_UnarySecond` under transforms."""

    @staticmethod
    def forward(g, grad, x, f, p):
        return f.raw_s(g, grad, x, *p)

    @staticmethod
    def setup_context(ctx, inputs, output):
        g, grad, x, ctx.f, ctx.p = inputs
        ctx.save_for_backward(g, grad, x)

    backward = _UnarySecond.backward

    @staticmethod
    def vmap(info, in_dims, g, grad, x, f, p):
        g, grad, x = _align(info.batch_size, in_dims, g, grad, x)
        return f.second(g, grad, x, *p), 0


def _sum(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    if a is None or b is None:
        return b if a is None else a
    return a + b


def together(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Two operands in one type and of one shape, as PyTorch's operators have them."""
    if a.dtype != b.dtype and a.is_floating_point() and b.is_floating_point():
        dtype = torch.promote_types(a.dtype, b.dtype)
        a, b = a.to(dtype), b.to(dtype)
    return (a, b) if a.shape == b.shape else torch.broadcast_tensors(a, b)


class Pair:
    """The operators of one function of two tensors."""

    def __init__(self, name: str) -> None:
        self.name = name
        ops = torch.ops.nonlin
        self.op = getattr(ops, name).default
        self.op_b = getattr(ops, f"{name}_backward").default
        self.index = _INDEX[name]
        self.raw = _kernel(name)
        self.raw_b = _kernel(f"{name}_backward")
        self.train = _apply(name, _pair_function(self))

    def __reduce__(self) -> Any:
        return pair, (self.name,)

    def forward(self, a: Tensor, b: Tensor, *p: Any) -> Tensor:
        """f(a, b)."""
        if is_compiling():
            return self.op(*together(a, b), *p)
        y = call(self.index, a, b, *p)
        if y is NotImplemented:
            return self.train(a, b, *p)
        return self.involved(a, b, *p) if y is None else y

    def involved(self, a: Tensor, b: Tensor, *p: Any) -> Tensor:
        """f(a, b) where `call` says no more."""
        if recorded(self.name, a, b):
            return self.op(a, b, *p)
        a, b = together(a, b)
        if _transformed():
            return _PairT.apply(a, b, self, p)
        if (a.requires_grad or b.requires_grad) and is_grad_enabled():
            return self.train(a, b, *p)
        return self.raw(a, b, *p)

    def backward(self, grad: Tensor, a: Tensor, b: Tensor, *p: Any) -> tuple[Tensor, Tensor]:
        """`grad` times the derivatives by both operands."""
        if is_compiling():
            return self.op_b(grad, a, b, *p)
        if _transformed():
            return _PairBackT.apply(grad, a, b, self, p)
        if is_grad_enabled() and (grad.requires_grad or a.requires_grad or b.requires_grad):
            return _PairBack.apply(grad, a, b, self, p)
        return self.raw_b(grad, a, b, *p)

    def second(self, ga: Tensor, gb: Tensor, grad: Tensor, a: Tensor, b: Tensor, *p: Any) -> Any:
        """Gradients of ``ga da + gb db`` by `grad`, `a` and `b`, where (da, db) is `backward`."""
        raise NotImplementedError

    def tangent(self, tangents: Any, grad: Tensor, a: Tensor, b: Tensor, *p: Any) -> Any:
        """How `backward` changes along these tangents of `grad`, `a` and `b`, each of them a tensor."""
        raise NotImplementedError


class Weighted(Pair):
    """PReLU of a tensor with a weight for each element."""

    def second(self, ga: Tensor, gb: Tensor, grad: Tensor, a: Tensor, b: Tensor) -> Any:
        above = a > 0
        by_grad = torch.where(above, ga, ga * b + gb * a)
        return by_grad, torch.where(above, 0, gb * grad), torch.where(above, 0, ga * grad)

    def tangent(self, tangents: Any, grad: Tensor, a: Tensor, b: Tensor) -> Any:
        above = a > 0
        grad_t, a_t, b_t = tangents
        da = torch.where(above, grad_t, grad_t * b + grad * b_t)
        return da, torch.where(above, 0, grad_t * a + grad * a_t)


#: Gated units as products u(a) v(b), by the names of u and v. Derivatives of their gradients follow.
_PRODUCTS = {
    "bilinear": ("identity", "identity"),
    "geglu": ("gelu", "identity"),
    "glu": ("identity", "sigmoid"),
    "reglu": ("relu", "identity"),
    "relu_glu": ("relu", "sigmoid"),
    "swiglu": ("silu", "identity"),
}


class Gated(Pair):
    """The operators of one gated unit."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        ops = torch.ops.nonlin
        self.op_p = getattr(ops, f"{name}_packed").default
        self.op_pb = getattr(ops, f"{name}_packed_backward").default
        self.index_p = _INDEX[f"{name}_packed"]
        self.raw_p = _kernel(f"{name}_packed")
        self.raw_pb = _kernel(f"{name}_packed_backward")
        self.train_p = _apply(name, _packed_function(self))

    def packed(self, x: Tensor, dim: int, interleaved: bool) -> Tensor:
        """f of both operands packed along an axis."""
        if is_compiling():
            return self.op_p(x, dim, interleaved)
        y = call(self.index_p, x, dim, interleaved)
        if y is NotImplemented:
            return self.train_p(x, dim, interleaved)
        if y is not None:
            return y
        if recorded(self.name, x):
            return self.op_p(x, dim, interleaved)
        if _transformed():
            return self.forward(*halves(x, dim, interleaved))
        if x.requires_grad and is_grad_enabled():
            return self.train_p(x, dim, interleaved)
        return self.raw_p(x, dim, interleaved)

    def packed_backward(self, grad: Tensor, x: Tensor, dim: int, interleaved: bool) -> Tensor:
        """`grad` times the derivatives by both operands, packed as they are."""
        if is_compiling():
            return self.op_pb(grad, x, dim, interleaved)
        if _transformed() or (is_grad_enabled() and (grad.requires_grad or x.requires_grad)):
            both = self.backward(grad, *halves(x, dim, interleaved))
            return pack(*both, dim, interleaved)
        return self.raw_pb(grad, x, dim, interleaved)

    def _factors(self) -> tuple[Unary, Unary]:
        u, v = _PRODUCTS[self.name]
        return unary(u), unary(v)

    def second(self, ga: Tensor, gb: Tensor, grad: Tensor, a: Tensor, b: Tensor) -> Any:
        u, v = self._factors()
        ua, vb = u.forward(a), v.forward(b)
        g_ua, g_vb = u.backward(ga, a), v.backward(gb, b)
        by_grad = g_ua * vb + ua * g_vb
        by_a = u.second(ga, grad, a) * vb + u.backward(grad, a) * g_vb
        by_b = ua * v.second(gb, grad, b) + g_ua * v.backward(grad, b)
        return by_grad, by_a, by_b

    def tangent(self, tangents: Any, grad: Tensor, a: Tensor, b: Tensor) -> Any:
        u, v = self._factors()
        grad_t, a_t, b_t = tangents
        ua, vb = u.forward(a), v.forward(b)
        ua_t, vb_t = u.backward(a_t, a), v.backward(b_t, b)
        da = (u.backward(grad_t, a) + u.second(a_t, grad, a)) * vb + u.backward(grad, a) * vb_t
        db = (v.backward(grad_t, b) + v.second(b_t, grad, b)) * ua + v.backward(grad, b) * ua_t
        return da, db


class GatedFormula(Pair):
    """The operators of all formulas of two tensors, whose text is an argument."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.op_s = getattr(torch.ops.nonlin, f"{name}_second").default
        self.raw_s = _kernel(f"{name}_second")

    def curvature(self, g: Tensor, a: Tensor, b: Tensor, text: str, operand: int) -> Any:
        """`g` times the derivatives by both operands of the derivative by one of them."""
        if is_compiling():
            return self.op_s(g, a, b, text, operand)
        if _transformed() or is_grad_enabled() and any(t.requires_grad for t in (g, a, b)):
            return _Curvature.apply(g, a, b, self, text, operand)
        return self.raw_s(g, a, b, text, operand)

    def packed(self, x: Tensor, dim: int, interleaved: bool, *p: Any) -> Tensor:
        """f of both operands packed along an axis."""
        if not isinstance(x, Tensor):
            raise no_tensor(self.name, x)
        return self.forward(*halves(x, dim, interleaved), *p)

    def second(self, ga: Tensor, gb: Tensor, grad: Tensor, a: Tensor, b: Tensor, *p: Any) -> Any:
        da, _ = self.backward(ga, a, b, *p)
        _, db = self.backward(gb, a, b, *p)
        aa, ab = self.curvature(ga * grad, a, b, *p, 0)
        ba, bb = self.curvature(gb * grad, a, b, *p, 1)
        return da + db, aa + ba, ab + bb

    def tangent(self, tangents: Any, grad: Tensor, a: Tensor, b: Tensor, *p: Any) -> Any:
        grad_t, a_t, b_t = tangents
        da, db = self.backward(grad_t, a, b, *p)
        aa, ab = self.curvature(grad, a, b, *p, 0)
        ba, bb = self.curvature(grad, a, b, *p, 1)
        return da + aa * a_t + ab * b_t, db + ba * a_t + bb * b_t


class _Curvature(Function):
    """Second derivatives of a formula of two tensors, which have no derivatives by these."""

    @staticmethod
    def forward(g, a, b, f, text, operand):
        return f.raw_s(g, a, b, text, operand)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.text = inputs[4]

    @staticmethod
    def backward(ctx, *_):
        raise NotImplementedError(f"nonlin.torch: `{ctx.text}` has no third derivative")

    @staticmethod
    def vmap(info, in_dims, g, a, b, f, text, operand):
        g, a, b = _align(info.batch_size, in_dims[:3], g, a, b)
        return f.curvature(g, a, b, text, operand), (0, 0)


def _pair_function(f: Pair) -> type[Function]:
    """What autograd keeps of a call of a function of two tensors and does with it."""
    raw, raw_b, index, index_b = f.raw, f.raw_b, f.index, _INDEX[f"{f.name}_backward"]

    class Plain(Function):
        @staticmethod
        def forward(ctx, a, b, *p):
            ctx.to_save = (a, b)
            if p:
                ctx.p = p
            y = call(index, a, b, *p)
            return raw(a, b, *p) if y is None else y

        @staticmethod
        def backward(ctx, grad):
            a, b = ctx.saved_tensors
            p = ctx.p
            if is_grad_enabled():
                both = f.backward(grad, a, b, *p)
            else:
                both = call(index_b, grad, a, b, *p)
                both = raw_b(grad, a, b, *p) if both is None else both
            return (*both, *(None for _ in p)) if p else both

    return Plain


class _PairBack(Function):
    @staticmethod
    def forward(ctx, grad, a, b, f, p):
        ctx.save_for_backward(grad, a, b)
        ctx.f, ctx.p = f, p
        return f.raw_b(grad, a, b, *p)

    @staticmethod
    def backward(ctx, ga, gb):
        return *ctx.f.second(ga, gb, *ctx.saved_tensors, *ctx.p), None, None


class _PairT(Function):
    """a function of two tensors under transforms."""

    @staticmethod
    def forward(a, b, f, p):
        return f.raw(a, b, *p)

    @staticmethod
    def setup_context(ctx, inputs, output):
        a, b, ctx.f, ctx.p = inputs
        ctx.save_for_backward(a, b)
        ctx.save_for_forward(a, b)

    @staticmethod
    def backward(ctx, grad):
        return *ctx.f.backward(grad, *ctx.saved_tensors, *ctx.p), None, None

    @staticmethod
    def jvp(ctx, a_t, b_t, *_):
        a, b = ctx.saved_tensors
        by_a, by_b = ctx.f.backward(torch.ones_like(a), a, b, *ctx.p)
        return _sum(
            None if a_t is None else by_a * a_t,
            None if b_t is None else by_b * b_t,
        )

    @staticmethod
    def vmap(info, in_dims, a, b, f, p):
        return f.forward(*_align(info.batch_size, in_dims, a, b), *p), 0


class _PairBackT(Function):
    """`_PairBack` under transforms."""

    @staticmethod
    def forward(grad, a, b, f, p):
        return f.raw_b(grad, a, b, *p)

    @staticmethod
    def setup_context(ctx, inputs, output):
        grad, a, b, ctx.f, ctx.p = inputs
        ctx.save_for_backward(grad, a, b)
        ctx.save_for_forward(grad, a, b)

    backward = _PairBack.backward

    @staticmethod
    def jvp(ctx, grad_t, a_t, b_t, *_):
        saved = ctx.saved_tensors
        tangents = (grad_t, a_t, b_t)
        zeros = (torch.zeros_like(x) if t is None else t for t, x in zip(tangents, saved))
        return ctx.f.tangent(zeros, *saved, *ctx.p)

    @staticmethod
    def vmap(info, in_dims, grad, a, b, f, p):
        return f.backward(*_align(info.batch_size, in_dims, grad, a, b), *p), (0, 0)


def _packed_function(f: Gated) -> type[Function]:
    """What autograd keeps of a call of a gated unit of packed operands and does with it."""
    raw, raw_b = f.raw_p, f.raw_pb

    class Plain(Function):
        @staticmethod
        def forward(ctx, x, dim, interleaved):
            ctx.to_save = (x,)
            ctx.layout = dim, interleaved
            return raw(x, dim, interleaved)

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            back = f.packed_backward if is_grad_enabled() else raw_b
            return back(grad, x, *ctx.layout), None, None

    return Plain


def halves(x: Tensor, dim: int, interleaved: bool) -> tuple[Tensor, Tensor]:
    """Views of the operands that are packed along an axis."""
    n = x.shape[dim]
    if n % 2:
        raise RuntimeError(
            f"axis {dim} has {n} elements; two operands packed along it have an even number"
        )
    if interleaved:
        pairs = x.unflatten(dim, (n // 2, 2))
        at = dim if dim < 0 else dim + 1
        return pairs.select(at, 0), pairs.select(at, 1)
    return x.narrow(dim, 0, n // 2), x.narrow(dim, n // 2, n // 2)


def pack(a: Tensor, b: Tensor, dim: int, interleaved: bool) -> Tensor:
    """The inverse of `halves`."""
    if not interleaved:
        return torch.cat((a, b), dim)
    at = dim if dim < 0 else dim + 1
    stacked = torch.stack((a, b), at)
    return stacked.flatten(at - 1, at)


_unary: dict[str, Unary] = {}
_gated: dict[str, Gated] = {}
_pairs: dict[str, Pair] = {}

#: The operators of formulas, whose text they are given where others are given parameters.
_formulas: dict[str, Any] = {}

#: Our operators by name: the index by which the compiled module knows each.
_INDEX: dict[str, int] = {}


def unary(name: str) -> Unary:
    """The operators of an elementwise function, or of formulas."""
    return _formulas[name] if name in _formulas else _unary[name]


def gated(name: str) -> Gated:
    """The operators of a gated unit."""
    return _gated[name]


def pair(name: str) -> Pair:
    """The operators of a function of two tensors, or of formulas of two."""
    return _formulas[name] if name in _formulas else _pairs[name]


def _define() -> None:
    """Defines all operators, and says of them what PyTorch asks."""
    tags = torch.Tag
    for index, (namespace, name, schema, _) in enumerate(_nonlin.torch_operators()):
        if namespace != "nonlin":
            continue
        _INDEX[name] = index
        text = schema.removeprefix("nonlin::")
        kind = [tags.pt2_compliant_tag]
        if "packed" not in name:
            kind.append(tags.pointwise)
        _library.define(text, tags=kind)
        _library.define("_" + text, tags=kind)
        # Called where no gradient is wanted: nothing is to look for one.
        _library.impl("_" + name, torch.library.fallthrough_kernel, "Autograd")
    _nonlin.torch_implement()
    _formulas["formula"] = Unary("formula")
    _describe_unary(_formulas["formula"])
    _formulas["gated_formula"] = GatedFormula("gated_formula")
    _describe_gated_formula(_formulas["gated_formula"])
    for name in _INDEX:
        if name in _formulas:
            continue
        if f"{name}_second" in _INDEX:
            _unary[name] = Unary(name)
            _describe_unary(_unary[name])
        elif f"{name}_packed" in _INDEX:
            _gated[name] = _pairs[name] = Gated(name)
            _describe_pair(_gated[name])
            _describe_packed(_gated[name])
    _pairs["weighted"] = Weighted("weighted")
    _describe_pair(_pairs["weighted"])


def _fake(name: str, function: Any) -> None:
    torch.library.register_fake(f"nonlin::{name}", function, lib=_library)
    # To register this one the same way would take a tenth of the time that the import of nonlin.torch takes.
    _library.impl(f"_{name}", function, "Meta")


def _autograd(name: str, backward: Any, setup: Any) -> None:
    torch.library.register_autograd(f"nonlin::{name}", backward, setup_context=setup, lib=_library)


def _vmap(name: str, rule: Any) -> None:
    torch.library.register_vmap(f"nonlin::{name}", rule, lib=_library)


def _one(x: Tensor) -> Tensor:
    # An elementwise result has the strides of PyTorch's own, which a copy tells.
    return torch.empty_like(x)


def _of_two(a: Tensor, b: Tensor) -> Tensor:
    return torch.add(a, b)


def _of_three(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return torch.addcmul(a, b, c)


def _describe_unary(f: Unary) -> None:
    name = f.name
    _fake(name, lambda x, *p: _one(x))
    _fake(f"{name}_backward", lambda grad, x, *p: _of_two(grad, x))
    _fake(f"{name}_second", lambda g, grad, x, *p: _of_three(g, grad, x))

    def setup(ctx, inputs, output):
        x, *ctx.p = inputs
        ctx.save_for_backward(x)

    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return f.op_b(grad, x, *ctx.p), *[None] * len(ctx.p)

    def setup_b(ctx, inputs, output):
        grad, x, *ctx.p = inputs
        ctx.save_for_backward(grad, x)

    def backward_b(ctx, g):
        grad, x = ctx.saved_tensors
        return f.op_b(g, x, *ctx.p), f.op_s(g, grad, x, *ctx.p), *[None] * len(ctx.p)

    def setup_s(ctx, inputs, output):
        ctx.count = len(inputs)

    def backward_s(ctx, h):
        raise NotImplementedError(f"nonlin.torch.{name} has no third derivative")

    _autograd(name, backward, setup)
    _autograd(f"{name}_backward", backward_b, setup_b)
    _autograd(f"{name}_second", backward_s, setup_s)
    _vmap(name, lambda info, dims, x, *p: (f.op(x, *p), dims[0]))
    _vmap(
        f"{name}_backward",
        lambda info, dims, grad, x, *p: (
            f.op_b(*_align(info.batch_size, dims, grad, x), *p),
            0,
        ),
    )
    _vmap(
        f"{name}_second",
        lambda info, dims, g, grad, x, *p: (
            f.op_s(*_align(info.batch_size, dims, g, grad, x), *p),
            0,
        ),
    )


def _describe_pair(f: Pair) -> None:
    name = f.name

    def fake_b(grad, a, b, *p):
        like = _of_three(a, b, grad)
        return like, torch.empty_like(like)

    _fake(name, lambda a, b, *p: _of_two(a, b))
    _fake(f"{name}_backward", fake_b)

    def setup(ctx, inputs, output):
        a, b, *ctx.p = inputs
        ctx.save_for_backward(a, b)

    def backward(ctx, grad):
        return *f.op_b(grad, *ctx.saved_tensors, *ctx.p), *[None] * len(ctx.p)

    def setup_b(ctx, inputs, output):
        grad, a, b, *ctx.p = inputs
        ctx.save_for_backward(grad, a, b)

    def backward_b(ctx, ga, gb):
        return *f.second(ga, gb, *ctx.saved_tensors, *ctx.p), *[None] * len(ctx.p)

    _autograd(name, backward, setup)
    _autograd(f"{name}_backward", backward_b, setup_b)

    def vmap(info, dims, a, b, *p):
        return f.op(*_align(info.batch_size, dims, a, b), *p), 0

    def vmap_b(info, dims, grad, a, b, *p):
        return f.op_b(*_align(info.batch_size, dims, grad, a, b), *p), (0, 0)

    _vmap(name, vmap)
    _vmap(f"{name}_backward", vmap_b)


def _describe_gated_formula(f: GatedFormula) -> None:
    _describe_pair(f)
    name = f"{f.name}_second"

    def fake(g, a, b, *p):
        like = _of_three(a, b, g)
        return like, torch.empty_like(like)

    def setup(ctx, inputs, output):
        ctx.text = inputs[3]

    def backward(ctx, *_):
        raise NotImplementedError(f"nonlin.torch: `{ctx.text}` has no third derivative")

    def vmap(info, dims, g, a, b, *p):
        return f.op_s(*_align(info.batch_size, dims, g, a, b), *p), (0, 0)

    _fake(name, fake)
    _autograd(name, backward, setup)
    _vmap(name, vmap)


def _describe_packed(f: Gated) -> None:
    name = f.name

    def fake(x, dim, interleaved):
        return _of_two(*halves(x, dim, interleaved))

    _fake(f"{name}_packed", fake)
    _fake(f"{name}_packed_backward", lambda grad, x, dim, interleaved: x.new_empty(x.shape))

    def setup(ctx, inputs, output):
        *tensors, ctx.dim, ctx.interleaved = inputs
        ctx.save_for_backward(*tensors)

    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return f.op_pb(grad, x, ctx.dim, ctx.interleaved), None, None

    def backward_b(ctx, g):
        grad, x = ctx.saved_tensors
        layout = ctx.dim, ctx.interleaved
        by_grad, by_a, by_b = f.second(*halves(g, *layout), grad, *halves(x, *layout))
        return by_grad, pack(by_a, by_b, *layout), None, None

    _autograd(f"{name}_packed", backward, setup)
    _autograd(f"{name}_packed_backward", backward_b, setup)

    def vmap(info, dims, x, dim, interleaved):
        dim = dim if dim < 0 else dim + 1
        return f.op_p(x.movedim(dims[0], 0), dim, interleaved), 0

    def vmap_b(info, dims, grad, x, dim, interleaved):
        dim = dim if dim < 0 else dim + 1
        grad, x = _align(info.batch_size, dims, grad, x)
        return f.op_pb(grad, x, dim, interleaved), 0

    _vmap(f"{name}_packed", vmap)
    _vmap(f"{name}_packed_backward", vmap_b)


_define()
