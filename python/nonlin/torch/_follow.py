"""Which function follows a layer: what a model's graph makes of the layer's output."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn

import nonlin

from ._adaptive import Adaptive
from ._functional import FUNCTIONS, UNITS
from ._graph import Node
from ._learnable import Learnable, Mixture
from ._modules import OWN, Activation, name_of, of_module

#: Operations on single elements, whose results are functions of one input as long as all other
#: operands are constants.
_ELEMENTWISE = frozenset(
    "relu relu6 gelu gelu_tanh silu mish sigmoid tanh selu elu celu leaky_relu prelu softplus logsigmoid "
    "hardswish hardsigmoid hardtanh softsign tanhshrink hardshrink softshrink threshold sin cos tan exp "
    "expm1 log log1p erf erfc sinh cosh asinh atan abs square sqrt rsqrt reciprocal pow sign floor round "
    "clamp clamp_min clamp_max minimum maximum where gt lt ge le neg add sub rsub mul div".split()
)

#: Operations that leave numbers as they are, or that treat all alike: the function that comes after
#: them follows the layer.
_PASSED = frozenset(
    "dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout batch_norm layer_norm "
    "group_norm instance_norm rms_norm normalize reshape view view_as flatten unflatten permute transpose "
    "contiguous squeeze unsqueeze to float half bfloat16 double type clone detach expand chunk split "
    "getitem cat stack pad roll movedim moveaxis swapaxes t get narrow mean max_pool1d max_pool2d "
    "max_pool3d avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d "
    "adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d interpolate "
    "pixel_shuffle unbind repeat tensor_split select index_select".split()
)

#: Modules that do such things, by the file of PyTorch that they are in.
_PASSED_HOMES = tuple(
    f"torch.nn.modules.{home}"
    for home in "dropout batchnorm normalization instancenorm pooling flatten padding upsampling pixelshuffle "
    "channelshuffle".split()
)

#: Operations that are linear in what a layer gives them.
_PRODUCTS = frozenset(
    "add sub mul div matmul bmm baddbmm mm einsum scaled_dot_product_attention sum dot".split()
)

LINEAR = (nn.Linear,)
CONVOLUTIONS = (nn.modules.conv._ConvNd,)

_GRID = np.concatenate([np.linspace(-6, 6, 49), [-20.0, 20.0]])


@dataclass(frozen=True)
class Following:
    """The function that follows a layer.

    `function` is a name of the catalogue or a formula, or maps an array of float64; `params` are the
    parameters of either. `text` tells about it. `gated` functions have two inputs. Where it is a sine,
    `omega` is its factor.
    """

    function: Any
    text: str
    params: tuple[tuple[str, float], ...] = ()
    gated: bool = False
    omega: float | None = None
    #: Of a product of two branches: the functions of both.
    parts: tuple["Following", ...] = ()

    @property
    def linear(self) -> bool:
        """Whether nothing follows, or a factor."""
        return self.function == "identity"


IDENTITY = Following("identity", "identity")


@dataclass(frozen=True)
class Branch:
    """What becomes of a layer's output in one place.

    `exit` is the node that has the function's value, `factor` the product with another branch that
    takes it; `why` tells why the function cannot be known. `normed` is whether the function's input has
    been normalised, `plain` whether it is the layer's output itself otherwise.
    """

    following: Following
    exit: Node
    factor: Node | None = None
    notes: tuple[str, ...] = ()
    why: str = ""
    normed: bool = False
    plain: bool = True

    def after(self, note: str = "", normed: bool = False, plain: bool = True) -> "Branch":
        """The branch by way of an operation before it."""
        return replace(
            self,
            notes=(note, *self.notes) if note else self.notes,
            normed=self.normed or normed,
            plain=self.plain and (plain or self.normed),
        )


def is_layer(node: Node) -> bool:
    """Whether a node multiplies by a weight: a linear map or a convolution."""
    if node.kind == "module":
        return isinstance(node.target, (*LINEAR, *CONVOLUTIONS))
    return node.kind == "function" and node.word in _LAYER_WORDS


_LAYER_WORDS = frozenset(
    "linear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d".split()
)


def passes(node: Node) -> bool:
    """Whether what comes after a node counts as following what came before."""
    if node.kind == "module":
        kind = type(node.target)
        return (
            isinstance(node.target, nn.Identity)
            or kind.__module__.startswith(_PASSED_HOMES)
            or "Norm" in kind.__name__
        )
    return node.kind in ("function", "method") and node.word in _PASSED


def norms(node: Node) -> bool:
    """Whether a node gives what passes it a mean square of 1."""
    return "norm" in node.word.lower()


def shapes_only(node: Node) -> bool:
    """Whether a node moves numbers without changing any, in evaluation."""
    word = node.word.lower()
    return passes(node) and not norms(node) and not any(
        w in word for w in ("pool", "mean", "interpolate", "upsample", "pad", "cat", "stack")
    )


def _constant(node: Node) -> bool:
    """Whether a node is one number."""
    return node.kind == "constant" and isinstance(node.target, Tensor) and node.target.numel() == 1


def _elementwise(node: Node) -> bool:
    if node.kind == "module":
        return activation_of(node.target) is not None
    if node.kind not in ("function", "method"):
        return False
    return node.word in _ELEMENTWISE or node.word in UNITS


def activation_of(module: nn.Module) -> Following | None:
    """The function of an activation module; `None` if it is none, or not elementwise."""
    if isinstance(module, Mixture):
        return _at_means(module._text, f"mixture of {', '.join(module.names)}", module._named())
    if isinstance(module, Adaptive):
        # Of an input of mean 0 and deviation 1.
        return _at_means(module.base, f"adaptive {module.base}", module._usual())
    known = module if isinstance(module, OWN) else of_module(module)
    if isinstance(known, Learnable) and known.name != "prelu":
        return replace(_at_means(known.name, name_of(known), known.params), gated=known.two)
    if isinstance(known, (nn.PReLU, Learnable)):
        slope = float(known.weight.detach().float().square().mean().sqrt())
        return Following("prelu", f"prelu(weight={slope:.4g})", (("weight", slope),))
    if isinstance(known, nn.RReLU):
        low, high = known.lower, known.upper
        slope = ((low * low + low * high + high * high) / 3) ** 0.5
        return Following(
            "leaky_relu", f"rrelu({low:.4g}, {high:.4g})", (("negative_slope", slope),)
        )
    if isinstance(known, Activation):
        params = tuple(known.params.items())
        shown = ", ".join(f"{k}={v:g}" for k, v in params if v != known.defaults[k])
        text = f"{known.name}({shown})" if known.name.isidentifier() else f"{known.name} at {shown}"
        return Following(known.name, text if shown else known.name, params, known.two)
    if known is not None or type(module).__module__ != "torch.nn.modules.activation":
        return None
    if isinstance(module, (nn.MultiheadAttention, *_ROWS)):
        return None
    return _named(lambda x: module.forward(x.clone()), type(module).__name__.lower())


def _at_means(function: str, name: str, params: Mapping[str, Any]) -> Following:
    """A function with parameters, of which one value stands for those of all channels: their mean."""
    means = tuple((k, float(torch.as_tensor(v).detach().float().mean())) for k, v in params.items())
    name = name if len(name) <= 48 else name[:45] + "..."
    text = f"{name}({', '.join(f'{k}={v:.4g}' for k, v in means)})" if len(means) <= 4 else name
    return Following(function, text, means)


_ROWS = (nn.Softmax, nn.LogSoftmax, nn.Softmin, nn.Softmax2d)


def _named(call: Callable[[Tensor], Tensor], text: str) -> Following:
    """A function of tensors by its name in the catalogue, as a sine, or as it is."""

    def function(x: Any) -> Any:
        with torch.no_grad():
            return call(torch.from_numpy(np.ascontiguousarray(x, dtype=float))).double().numpy()

    with np.errstate(all="ignore"):
        y = function(_GRID)
        slope = float((function(np.array([1e-6])) - function(np.array([-1e-6])))[0] / 2e-6)
        if np.allclose(y, slope * _GRID, rtol=1e-6, atol=1e-12):
            return Following("identity", "identity")
        if np.allclose(y, np.sin(slope * _GRID), rtol=0, atol=1e-4) and "sin" in text:
            return Following(function, f"sin({slope:.4g} x)" if abs(slope - 1) > 1e-6 else "sin(x)",
                             omega=abs(slope))  # fmt: skip
        # Of two that agree at their defaults, elu and celu, the shorter name.
        for name in sorted(FUNCTIONS, key=len):
            # To float32: models write factors such as 0.7978845608.
            if np.allclose(y, getattr(nonlin, name)(_GRID), rtol=1e-6, atol=1e-7):
                return Following(name, name)
    return Following(function, text if len(text) <= 48 else text[:45] + "...")


def _evaluate(exit: Node, start: Node) -> Callable[[Tensor], Tensor]:
    """The value of a node as a function of that of another one."""

    def call(x: Tensor) -> Tensor:
        done: dict[int, Any] = {id(start): x}

        def value(a: Any) -> Any:
            if isinstance(a, Node):
                if id(a) not in done:
                    done[id(a)] = of(a)
                return done[id(a)]
            if isinstance(a, (tuple, list)):
                return type(a)(value(v) for v in a)
            return a

        def of(node: Node) -> Any:
            if node.kind == "constant":
                return node.target.detach().to(x.dtype if node.target.is_floating_point() else None).cpu()
            args = value(node.args)
            kwargs = {k: value(v) for k, v in node.kwargs.items() if k not in ("inplace", "out")}
            # Operations in place write into copies.
            args = tuple(a.clone() if isinstance(a, Tensor) else a for a in args)
            if node.kind == "module":
                return node.target(*args, **kwargs)
            if node.kind == "method":
                return getattr(args[0], node.target)(*args[1:], **kwargs)
            return node.target(*args, **kwargs)

        return value(exit)

    return call


def _text(exit: Node, start: Node) -> str:
    """The value of a node as a formula in x."""
    if exit is start:
        return "x"

    def shown(a: Any) -> str:
        if isinstance(a, Node):
            return f"{float(a.target):.6g}" if _constant(a) else _text(a, start)
        return f"{a:.6g}" if isinstance(a, float) else str(a)

    args = [shown(a) for a in exit.args]
    args += [shown(v) for k, v in exit.kwargs.items() if k != "inplace" and v is not None]
    return f"{exit.word}({', '.join(args)})"


def _region(start: Node) -> list[Node]:
    """All nodes that are functions of one alone, by operations on single elements, in order."""
    found: list[Node] = []
    inside = {id(start)}
    queue = list(start.users)
    while queue:
        node = queue.pop(0)
        if id(node) in inside or not _elementwise(node):
            continue
        if all(id(s) in inside or _constant(s) for s in node.sources()):
            found.append(node)
            inside.add(id(node))
            # Nodes that waited for this one come round again as its users.
            queue += node.users
    return found


def _function(exit: Node, start: Node, region: list[Node]) -> Following:
    if len(region) == 1 and exit.kind == "module" and (known := activation_of(exit.target)) is not None:
        return known
    if len(region) == 1 and (unit := _unit(exit)):
        return unit
    if any(map(_unit, region)):
        raise ValueError("a gated unit is one step of several")
    return _named(_evaluate(exit, start), _text(exit, start))


def _unit(node: Node) -> Following | None:
    """The gated unit that a node applies."""
    if node.kind == "module":
        known = activation_of(node.target)
        return known if known is not None and known.gated else None
    word = node.word
    return Following(word, word, gated=True) if word in UNITS else None


def branches(start: Node, seen: frozenset[int] = frozenset()) -> Iterator[Branch]:
    """What becomes of a node's value: one branch for each place that it comes to."""
    region = _region(start)
    inside = {id(n) for n in (start, *region)}
    for exit in (start, *region):
        outside = [u for u in exit.users if id(u) not in inside]
        if not outside:
            continue
        try:
            what = IDENTITY if exit is start else _function(exit, start, region)
        except Exception as error:  # Of code that is not ours, run on float64.
            yield Branch(IDENTITY, exit, why=f"`{_text(exit, start)[:60]}` cannot be evaluated: {error}")
            continue
        for user in outside:
            product = user if user.word == "mul" and len(user.tensors) == 2 else None
            if not what.linear or product is not None:
                yield Branch(what, exit, product)
                continue
            yield from _beyond(exit, user, seen)


def _beyond(exit: Node, user: Node, seen: frozenset[int]) -> Iterator[Branch]:
    """What comes after a node that has had no function yet, by way of a user of it."""
    if id(user) in seen:
        return
    if (unit := _unit(user)) is not None:
        # Of two operands that come from different layers.
        yield Branch(unit, user)
        return
    joined = user.word in ("add", "sub", "cat", "stack") and len(user.tensors) > 1
    if joined and user.word in ("add", "sub"):
        note = "added to another branch"
        if len(user.users) > 1:
            yield Branch(IDENTITY, exit, notes=(note,), plain=False)
            return
        for b in branches(user, seen | {id(user)}):
            yield b.after(note, plain=False)
    elif joined or passes(user) or (user.word in ("add", "sub", "mul", "div") and len(user.tensors) == 1):
        normed = norms(user)
        for b in branches(user, seen | {id(user)}):
            yield b.after(f"{user.word} in between" if normed else "", normed, normed or shapes_only(user))
    elif user.kind == "output" and not user.last:
        yield Branch(IDENTITY, exit, why="its output leaves the part of the model that can be traced")
    elif user.kind == "module" and not is_layer(user) and not isinstance(user.target, (*_ROWS, nn.GLU)):
        known = isinstance(user.target, nn.MultiheadAttention)
        if known or type(user.target).__module__.startswith("torch.nn.modules.loss"):
            yield Branch(IDENTITY, exit)
        else:
            yield Branch(IDENTITY, exit, why=f"{user.word} follows, which is not known")
    else:
        plain = user.kind == "output" or is_layer(user) or user.word in _PRODUCTS
        yield Branch(IDENTITY, exit, notes=() if plain else (f"{user.word.lower()} follows",))


def decide(found: list[Branch]) -> Branch:
    """The branch that counts; with a reason why none does, if so."""
    if not found:
        return Branch(IDENTITY, Node("output", "output"), why="nothing uses its output")
    curved = _distinct([b for b in found if not b.following.linear])
    bad = [b for b in found if b.why]
    if len(curved) == 1 and not bad:
        (one,) = curved
        others = len(found) > 1 and not all(b.factor is one.factor for b in found)
        return replace(one, notes=(*one.notes, "used elsewhere too")) if others else one
    if curved and not bad:
        names = " and ".join(b.following.text for b in curved)
        return Branch(IDENTITY, found[0].exit, why=f"{names} follow")
    return (bad or found)[0]


def _distinct(found: list[Branch]) -> list[Branch]:
    kept: list[Branch] = []
    for b in found:
        if not any(b.following.text == k.following.text for k in kept):
            kept.append(b)
    return kept


def follows_by_name(function: Any) -> Following:
    """What a caller says that follows."""
    if isinstance(function, str):
        name = nonlin.info(function).name
        return Following(name, name, gated=name in UNITS)
    if not callable(function):
        raise TypeError(f"{function!r} is no function: give a name, or a callable of float64 arrays")
    return Following(function, getattr(function, "__name__", "function"))
