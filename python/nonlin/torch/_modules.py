"""Modules that apply a function of the catalogue."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ._functional import FUNCTIONS, PARAMETERS, UNITS, interleaved, put, values
from ._ops import gated, unary

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
    "prelu": "FixedPReLU",
    "reglu": "ReGLU",
    "relu": "ReLU",
    "relu_glu": "ReLUGLU",
    "rrelu": "FixedRReLU",
    "selu": "SELU",
    "silu": "SiLU",
    "swiglu": "SwiGLU",
}


def module_name(name: str) -> str:
    """The name of the module of a function."""
    return _NAMES.get(name, "".join(part.capitalize() for part in name.split("_")))


class Activation(nn.Module):
    """A module that applies a function of the catalogue.

    Parameters
    ----------
    name : str
        The function: an elementwise one, or a gated unit.
    inplace : bool, default False
        Whether the result replaces the input (elementwise functions).
    layout : {"halves", "interleaved"}, default "halves"
        How a gated unit's operands are packed in one tensor; ``forward(a, b)`` takes them apart.
    dim : int, default -1
        The axis along which they are packed.
    **params : float
        The function's parameters.

    Examples
    --------
    >>> import torch, nonlin.torch
    >>> nonlin.torch.Activation("elu", alpha=0.5)
    Activation('elu', alpha=0.5)
    >>> unit = nonlin.torch.Activation("swiglu", layout="halves")
    >>> unit(torch.ones(2, 8)).shape
    torch.Size([2, 4])
    """

    def __init__(
        self,
        name: str,
        *,
        inplace: bool = False,
        layout: str | None = None,
        dim: int = -1,
        **params: float,
    ) -> None:
        super().__init__()
        if name in UNITS:
            if inplace or params:
                raise TypeError(f"{name} is a gated unit: it takes layout and dim")
            self._layout = interleaved(name, "halves" if layout is None else layout)
            self._f: Any = gated(name)
            self._values: tuple[float, ...] = ()
        elif name in FUNCTIONS:
            if layout is not None or dim != -1:
                raise TypeError(f"{name} is elementwise: it has no layout and no dim")
            self._f = unary(name)
            self._values = values(name, params)
        else:
            # The library knows aliases, and says what comes nearest.
            raise ValueError(f"unknown function `{name}`; known: {', '.join([*FUNCTIONS, *UNITS])}")
        self.name = name
        self.inplace = inplace
        self.dim = dim

    @property
    def params(self) -> dict[str, float]:
        """The function's parameters."""
        return dict(zip(PARAMETERS.get(self.name, ()), self._values))

    def forward(self, input: Tensor, other: Tensor | None = None) -> Tensor:
        """Apply the function."""
        if self.name in UNITS:
            if other is not None:
                return self._f.forward(input, other)
            return self._f.packed(input, self.dim, self._layout)
        if self.inplace:
            return put(input, self._f.forward, *self._values)
        return self._f.forward(input, *self._values)

    def extra_repr(self) -> str:
        named = type(self) is not Activation
        parts = [] if named else [repr(self.name)]
        parts += [
            f"{k}={v:g}" for k, v in self.params.items() if v != PARAMETERS[self.name][k]
        ]
        if self.name in UNITS:
            parts += ["layout='interleaved'"] if self._layout else []
            parts += [f"dim={self.dim}"] if self.dim != -1 else []
        parts += ["inplace=True"] if self.inplace else []
        return ", ".join(parts)


def _class(name: str) -> type[Activation]:
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


MODULES: dict[str, type[Activation]] = {
    module_name(name): _class(name) for name in (*FUNCTIONS, *UNITS)
}


def of_module(module: nn.Module) -> Activation | None:
    """What a module of PyTorch or of Transformers computes, as one of nonlin; `None` if there is
    no such function, or it learns."""
    kind = type(module)
    inplace = bool(getattr(module, "inplace", False))
    plain = {
        nn.ReLU: "relu",
        nn.Sigmoid: "sigmoid",
        nn.Tanh: "tanh",
        nn.SiLU: "silu",
        nn.Mish: "mish",
        nn.Hardswish: "hard_swish",
        nn.Hardsigmoid: "hard_sigmoid",
        nn.LogSigmoid: "log_sigmoid",
        nn.SELU: "selu",
    }
    if kind in plain:
        return Activation(plain[kind], inplace=inplace)
    if kind is nn.GELU:
        return Activation("gelu_tanh" if module.approximate == "tanh" else "gelu")
    if kind in (nn.ELU, nn.CELU):
        name = "elu" if kind is nn.ELU else "celu"
        return Activation(name, alpha=module.alpha, inplace=inplace)
    if kind is nn.LeakyReLU:
        slope = module.negative_slope
        return Activation("leaky_relu", negative_slope=slope, inplace=inplace)
    if kind is nn.Softplus and module.threshold >= 20:
        return Activation("softplus", beta=module.beta)
    if kind is nn.GLU:
        return Activation("glu", dim=module.dim, layout="halves")
    if kind.__module__ == "transformers.activations":
        name = {
            "GELUActivation": "gelu",
            "NewGELUActivation": "gelu_tanh",
            "FastGELUActivation": "gelu_tanh",
            "AccurateGELUActivation": "gelu_tanh",
            "GELUTanh": "gelu_tanh",
            "PytorchGELUTanh": "gelu_tanh",
            "SiLUActivation": "silu",
            "MishActivation": "mish",
        }.get(kind.__name__)
        return Activation(name) if name else None
    return None


#: Functions of PyTorch that models hold as attributes.
_CALLABLES: dict[Any, str] = {
    torch.relu: "relu",
    torch.sigmoid: "sigmoid",
    torch.tanh: "tanh",
    torch.selu: "selu",
    nn.functional.relu: "relu",
    nn.functional.gelu: "gelu",
    nn.functional.silu: "silu",
    nn.functional.mish: "mish",
    nn.functional.sigmoid: "sigmoid",
    nn.functional.tanh: "tanh",
    nn.functional.selu: "selu",
    nn.functional.elu: "elu",
    nn.functional.celu: "celu",
    nn.functional.leaky_relu: "leaky_relu",
    nn.functional.softplus: "softplus",
    nn.functional.logsigmoid: "log_sigmoid",
    nn.functional.hardswish: "hard_swish",
    nn.functional.hardsigmoid: "hard_sigmoid",
}


def of_callable(function: Any) -> str | None:
    """The name of what a function computes at its defaults."""
    try:
        found = _CALLABLES.get(function)
    except TypeError:
        return None
    if found is None and getattr(function, "__module__", None) == "nonlin.torch":
        name = getattr(function, "__name__", "")
        return name if FUNCTIONS.get(name) is function else None
    return found
