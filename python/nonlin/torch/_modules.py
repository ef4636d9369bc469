"""Modules that apply a function of the catalogue."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from .. import _nonlin
from ._functional import FUNCTIONS, PARAMETERS, UNITS, interleaved, prelu, put, rrelu, values
from ._learnable import GatedPolynomial, Learnable
from . import _saving
from ._ops import _transformed, gated, is_compiling, is_grad_enabled, pair, unary
from ._piecewise import PWLU
from ._rational import PAU, GroupRational

#: Names of modules where the name of the function does not make them.
_NAMES = {
    "bilinear": "BilinearGLU",
    "celu": "CELU",
    "elu": "ELU",
    "geglu": "GEGLU",
    "gelu": "GELU",
    "gelu_tanh": "GELUTanh",
    "glu": "GLU",
    "leaky_relu": "LeakyReLU",
    "reglu": "ReGLU",
    "relu": "ReLU",
    "relu_glu": "ReLUGLU",
    "selu": "SELU",
    "silu": "SiLU",
    "swiglu": "SwiGLU",
}


def module_name(name: str) -> str:
    """The name of the module of a function."""
    return _NAMES.get(name, "".join(part.capitalize() for part in name.split("_")))


#: Functions that are learned and have arguments of their own, by the names that `Activation` knows.
LEARNED: dict[str, type[Learnable]] = {
    "gated_polynomial": GatedPolynomial,
    "group_rational": GroupRational,
    "pau": PAU,
    "pwlu": PWLU,
}


class Activation(nn.Module):
    """A module that applies a function of the catalogue, or a formula.

    Parameters
    ----------
    name : str
        The function: an elementwise one, or a gated unit; or a formula in `x`, or in `a` and `b`, as
        `nonlin.Function` takes it.
    inplace : bool, default False
        Whether the result replaces the input (elementwise functions).
    layout : {"halves", "interleaved"}, default "halves"
        How a gated unit's operands are packed in one tensor; ``forward(a, b)`` takes them apart.
    dim : int, default -1
        The axis along which they are packed.
    learnable : bool or iterable of str, default False
        Which parameters are learned: all, or those named. Then this is a `Learnable`, which has
        arguments of its own; ``"pau"``, ``"group_rational"``, ``"pwlu"`` and ``"gated_polynomial"`` are
        `PAU`, `GroupRational`, `PWLU` and `GatedPolynomial`.
    save : {"input", "output", "bit", "recompute"}, default "input"
        What is kept for backward: the input, or both operands; the output, which the next layer may keep
        anyway; the output and one bit an element; or the input while the next layer need not keep the
        output, within `recompute`.
    **params : float
        The function's parameters.

    Notes
    -----
    "output" is for relu, leaky_relu, elu, celu, selu, sigmoid, tanh, softplus, log_sigmoid and identity with
    parameters that are not negative; slopes are within three roundings of 1, or of their factor where that is
    greater. "bit" is for silu, gelu, gelu_tanh and mish at their defaults, which have one minimum: the bit
    tells the side. Slopes are within 3e-4, 1e-2 in float16 and 3e-2 in bfloat16, and
    have no derivative. With "recompute" all bits are those of "input". relu keeps its output with "input" as
    well, and gated units never keep more than their operands. Compiled, and under transforms of `torch.func`, PyTorch decides what
    is kept.

    Examples
    --------
    >>> import torch, nonlin.torch
    >>> nonlin.torch.Activation("elu", alpha=0.5)
    Activation('elu', alpha=0.5)
    >>> unit = nonlin.torch.Activation("swiglu", layout="halves")
    >>> unit(torch.ones(2, 8)).shape
    torch.Size([2, 4])
    >>> f = nonlin.torch.Activation("x * tanh(alpha * x); alpha = 1 in (0, 10)", alpha=2)
    >>> f(torch.tensor([-1.0, 0.5]))
    tensor([0.9640, 0.3808])
    """

    def __new__(cls, *args: Any, learnable: bool | Iterable[str] = False, **kwargs: Any) -> Any:
        if cls is Activation and learnable is not False:
            name = args[0] if args else kwargs.get("name")
            if name in LEARNED:
                kwargs.pop("name", None)
                if learnable is not True:
                    kwargs["learnable"] = learnable
                return LEARNED[name](*args[1:], **kwargs)
            return Learnable(*args, learnable=learnable, **kwargs)
        return super().__new__(cls)

    def __init__(
        self,
        name: str,
        *,
        learnable: bool = False,
        inplace: bool = False,
        layout: str | None = None,
        dim: int = -1,
        save: str = "input",
        **params: float,
    ) -> None:
        super().__init__()
        if name in LEARNED and name not in _nonlin.NAMES["formula"]:
            raise ValueError(f"`{name}` is learned: Activation({name!r}, learnable=True)")
        formula = None
        if name not in UNITS and name not in FUNCTIONS:
            # The library knows aliases and formulas, and says what comes nearest.
            known, two, formula, given = _nonlin.torch_formula(name, list(params.items()))
            if known is not None:
                name, formula = known, None
                params = {k: v for k, v, _ in given}
        self.two = name in UNITS if formula is None else two
        if self.two:
            if inplace or params and formula is None:
                raise TypeError(f"{name} is a gated unit: it takes layout and dim")
            self.interleaved = interleaved(name, "halves" if layout is None else layout)
        elif layout is not None or dim != -1:
            raise TypeError(f"{name} is elementwise: it has no layout and no dim")
        if formula is not None:
            self._f: Any = pair("gated_formula") if two else unary("formula")
            # Parameters are constants of the text.
            self._values: tuple[Any, ...] = (formula,)
            self._params = {k: v for k, v, _ in given}
            self.defaults = {k: default for k, _, default in given}
        else:
            self._f = gated(name) if self.two else unary(name)
            self._values = () if self.two else values(name, params)
            self.defaults = PARAMETERS.get(name, {})
            self._params = dict(zip(self.defaults, self._values))
        self.name = name
        self.inplace = inplace
        self.dim = dim
        self.save = save
        if save != "input":
            _saving.check(save, name, self.can_save(), inplace)

    @property
    def params(self) -> dict[str, float]:
        """The function's parameters."""
        return dict(self._params)

    def can_save(self) -> list[str]:
        """What `save` may be for this function and its parameters."""
        return ["input"] if self.inplace else _saving.allowed(self.name, self.two, self._params, self.defaults)

    def forward(self, input: Tensor, other: Tensor | None = None) -> Tensor:
        """Apply the function."""
        if self.save != "input" and not is_compiling() and is_grad_enabled() and not _transformed():
            operands = (input,) if other is None else (input, other)
            if any(isinstance(t, Tensor) and t.requires_grad for t in operands):
                return self._saving(*operands)
        return self._plain(input, other)

    def _saving(self, *operands: Tensor) -> Tensor:
        """Apply the function, and keep what `save` says."""
        if any(t.device.type != "cpu" for t in operands):
            return self._plain(*operands)
        if self.save == "output":
            return _saving.from_output(self.name, *operands, self._values, self._params)
        if self.save == "bit":
            return _saving.with_bit(self.name, *operands)
        saving = _saving.current()
        if saving is None:
            raise RuntimeError(
                "an activation with save='recompute' is called where a gradient is recorded, but not within "
                "`with nonlin.torch.recompute():`, which keeps its output from being kept"
            )
        return saving.result(self._plain, *operands)

    def _plain(self, input: Tensor, other: Tensor | None = None) -> Tensor:
        if self.two:
            if other is not None:
                return self._f.forward(input, other, *self._values)
            return self._f.packed(input, self.dim, self.interleaved, *self._values)
        if self.inplace:
            return put(input, self._f.forward, *self._values)
        return self._f.forward(input, *self._values)

    def extra_repr(self) -> str:
        named = type(self) is not Activation
        parts = [] if named else [repr(self.name)]
        parts += [f"{k}={v:g}" for k, v in self.params.items() if v != self.defaults[k]]
        if self.two:
            parts += ["layout='interleaved'"] if self.interleaved else []
            parts += [f"dim={self.dim}"] if self.dim != -1 else []
        parts += ["inplace=True"] if self.inplace else []
        parts += [f"save={self.save!r}"] if self.save != "input" else []
        return ", ".join(parts)


def class_of(name: str) -> type[Activation]:
    """A module of its own for a function."""

    def __init__(self: Activation, *args: float, **kwargs: Any) -> None:
        positional = dict(zip(PARAMETERS.get(name, ()), args, strict=False))
        if len(positional) < len(args):
            raise TypeError(f"{type(self).__name__} takes at most {len(positional)} parameters")
        for key in positional:
            if key in kwargs:
                raise TypeError(f"{type(self).__name__} got `{key}` twice")
        Activation.__init__(self, name, **positional, **kwargs)

    doc = f"""`{name}` as a module; see `Activation` for its arguments."""
    body = {"__init__": __init__, "__doc__": doc, "__module__": "nonlin.torch"}
    return type(module_name(name), (Activation,), body)


class PReLU(nn.PReLU):
    """`prelu` with slopes that are learned: arguments and state are those of `torch.nn.PReLU`.

    Examples
    --------
    >>> import torch, nonlin.torch
    >>> nonlin.torch.PReLU(2)(torch.tensor([[-1.0, 4.0]]))
    tensor([[-0.2500,  4.0000]], grad_fn=<WeightedBackward>)
    """

    name = "prelu"

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function."""
        return prelu(input, self.weight)


class RReLU(nn.RReLU):
    """`rrelu`, with random slopes in training: arguments are those of `torch.nn.RReLU`.

    Examples
    --------
    >>> import torch, nonlin.torch
    >>> nonlin.torch.RReLU(0.25, 0.75).eval()(torch.tensor([-1.0, 4.0]))
    tensor([-0.5000,  4.0000])
    """

    name = "rrelu"

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function."""
        return rrelu(input, self.lower, self.upper, self.training, inplace=self.inplace)


#: Those that learn, or differ in training.
_MORE: dict[str, type[nn.Module]] = {"prelu": PReLU, "rrelu": RReLU}
for _module in _MORE.values():
    _module.__module__ = "nonlin.torch"

#: The classes that all modules of nonlin's are of.
OWN = (Activation, Learnable, PReLU, RReLU)

def name_of(module: nn.Module) -> str:
    """The name of a module's function if it is one of nonlin's with a name or a formula, or of its class."""
    kind = parametrize.type_before_parametrizations(module)
    learns = issubclass(kind, Learnable) and kind is not Learnable
    return module.name if isinstance(module, OWN) and not learns else kind.__name__


MODULES: dict[str, type[nn.Module]] = {
    (_MORE[name].__name__ if name in _MORE else module_name(name)): _MORE.get(name) or class_of(name)
    for name in (*FUNCTIONS, *UNITS)
}


#: PyTorch's modules of functions without parameters.
_PLAIN: dict[type[nn.Module], str] = {
    nn.Hardsigmoid: "hard_sigmoid",
    nn.Hardswish: "hard_swish",
    nn.Identity: "identity",
    nn.LogSigmoid: "log_sigmoid",
    nn.Mish: "mish",
    nn.ReLU: "relu",
    nn.ReLU6: "relu6",
    nn.SELU: "selu",
    nn.Sigmoid: "sigmoid",
    nn.SiLU: "silu",
    nn.Softsign: "softsign",
    nn.Tanh: "tanh",
    nn.Tanhshrink: "tanhshrink",
}

#: PyTorch's modules of functions with parameters, and their names.
_WITH: dict[type[nn.Module], tuple[str, tuple[str, ...]]] = {
    nn.CELU: ("celu", ("alpha",)),
    nn.ELU: ("elu", ("alpha",)),
    nn.Hardshrink: ("hard_shrink", ("lambd",)),
    nn.Hardtanh: ("hard_tanh", ("min_val", "max_val")),
    nn.LeakyReLU: ("leaky_relu", ("negative_slope",)),
    nn.Softplus: ("softplus", ("beta",)),
    nn.Softshrink: ("soft_shrink", ("lambd",)),
    nn.Threshold: ("threshold", ("threshold", "value")),
}

#: The modules of Transformers, by the names of their classes.
_TRANSFORMERS = {
    "AccurateGELUActivation": "gelu_tanh",
    "FastGELUActivation": "gelu_tanh",
    "GELUActivation": "gelu",
    "GELUTanh": "gelu_tanh",
    "MishActivation": "mish",
    "NewGELUActivation": "gelu_tanh",
    "PytorchGELUTanh": "gelu_tanh",
    "SiLUActivation": "silu",
}


def _learned(kind: type[nn.PReLU], module: nn.PReLU) -> nn.PReLU:
    """A module of another class with the slopes of that one, which both then share."""
    new = kind(module.num_parameters, device="meta")
    new.weight = module.weight
    return new


def of_module(module: nn.Module) -> nn.Module | None:
    """What a module of PyTorch or of Transformers computes, as one of nonlin; `None` if there is
    no such function."""
    kind = type(module)
    inplace = bool(getattr(module, "inplace", False))
    if kind in _PLAIN and kind is not nn.Identity:
        return Activation(_PLAIN[kind], inplace=inplace)
    # From its threshold on PyTorch's softplus is the identity.
    if kind in _WITH and not (kind is nn.Softplus and module.threshold < 20):
        name, parameters = _WITH[kind]
        return Activation(name, inplace=inplace, **{p: getattr(module, p) for p in parameters})
    if kind is nn.GELU:
        return Activation("gelu_tanh" if module.approximate == "tanh" else "gelu")
    if kind is nn.GLU:
        return Activation("glu", dim=module.dim)
    if kind is nn.PReLU:
        return _learned(PReLU, module)
    if kind is nn.RReLU:
        return RReLU(module.lower, module.upper, inplace)
    if kind.__module__ == "transformers.activations" and kind.__name__ in _TRANSFORMERS:
        return Activation(_TRANSFORMERS[kind.__name__])
    return None


def to_pytorch(module: nn.Module) -> nn.Module | None:
    """What one of nonlin's modules computes, as one of PyTorch; `None` if there is none."""
    if isinstance(module, PReLU):
        return _learned(nn.PReLU, module)
    if isinstance(module, RReLU):
        return nn.RReLU(module.lower, module.upper, module.inplace)
    if not isinstance(module, Activation):
        return None
    new: nn.Module | None = None
    for kind, name in _PLAIN.items():
        if name == module.name and module.params == module.defaults:
            new = kind()
    for kind, (name, _) in _WITH.items():
        if name == module.name:
            new = kind(**module.params)
    if module.name in ("gelu", "gelu_tanh"):
        new = nn.GELU("tanh" if module.name == "gelu_tanh" else "none")
    if module.name == "glu" and not module.interleaved:
        new = nn.GLU(module.dim)
    if module.inplace:
        if not hasattr(new, "inplace"):
            return None
        new.inplace = True
    return new


#: PyTorch's functions that models hold as attributes.
_CALLABLES: dict[Any, str] = {
    torch.relu: "relu",
    torch.selu: "selu",
    torch.sigmoid: "sigmoid",
    torch.tanh: "tanh",
    nn.functional.celu: "celu",
    nn.functional.elu: "elu",
    nn.functional.gelu: "gelu",
    nn.functional.hardsigmoid: "hard_sigmoid",
    nn.functional.hardswish: "hard_swish",
    nn.functional.leaky_relu: "leaky_relu",
    nn.functional.logsigmoid: "log_sigmoid",
    nn.functional.mish: "mish",
    nn.functional.relu: "relu",
    nn.functional.selu: "selu",
    nn.functional.sigmoid: "sigmoid",
    nn.functional.silu: "silu",
    nn.functional.softplus: "softplus",
    nn.functional.tanh: "tanh",
}

#: The other way round. Of two that compute one function the later counts.
_BACK = {name: function for function, name in _CALLABLES.items()}


def of_callable(function: Any) -> str | None:
    """The name of what a function of PyTorch or of nonlin computes at its defaults."""
    try:
        found = _CALLABLES.get(function)
    except TypeError:
        return None
    return found or (own_name(function) if callable(function) else None)


def own_name(function: Any) -> str | None:
    """The name of a function of nonlin's."""
    name = getattr(function, "__name__", "")
    return name if FUNCTIONS.get(name) is function else None


def callable_of_pytorch(name: str) -> Any:
    """PyTorch's function of that name, at its defaults; `None` if there is none."""
    return _BACK.get(name)
