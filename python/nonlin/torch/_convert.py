"""Swapping the activations of a built model."""

from __future__ import annotations

import ast
import inspect
import textwrap
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping

from torch import nn

from ._functional import FUNCTIONS, UNITS
from ._modules import Activation, of_callable, of_module

#: Calls in the source of a `forward` that apply an activation to a tensor.
_CALLS = frozenset(
    "relu relu_ relu6 gelu silu mish sigmoid sigmoid_ tanh tanh_ selu selu_ elu elu_ celu celu_ "
    "leaky_relu leaky_relu_ softplus logsigmoid hardswish hardsigmoid hardtanh softmax log_softmax "
    "glu prelu rrelu softsign tanhshrink hardshrink softshrink threshold".split()
)


@dataclass
class Conversion:
    """What `convert` did.

    Attributes
    ----------
    changed : list of (str, str, str)
        Where in the model, what was there, what is there now.
    left : list of (str, str)
        Where an activation stays as it was, and why.
    """

    changed: list[tuple[str, str, str]] = field(default_factory=list)
    left: list[tuple[str, str]] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{path}: {old} -> {new}" for path, old, new in self.changed]
        lines += [f"{path}: left: {why}" for path, why in self.left]
        return "\n".join(lines) or "nothing to convert"


def convert(
    model: nn.Module,
    mapping: Mapping[Any, Any] | None = None,
    *,
    to: str | None = None,
) -> Conversion:
    """Swap the activations of a model, in place; weights stay as they are.

    Parameters
    ----------
    model : torch.nn.Module
        Any model.
    mapping : dict, optional
        What becomes what. Keys are names of functions (``"gelu"``) or classes of modules
        (``torch.nn.SiLU``), values are names, modules, or classes of modules.
    to : {"nonlin"}, optional
        Every activation that nonlin has becomes nonlin's own operator, with its parameters. Models
        under `torch.compile` then give the bits that they give without.

    Returns
    -------
    Conversion
        What was changed, and what could not be: activations that a `forward` calls as functions
        are found in its source and listed.

    Examples
    --------
    >>> import torch, nonlin.torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.GELU())
    >>> print(nonlin.torch.convert(model, {"gelu": "gelu_tanh"}))
    1: gelu -> gelu_tanh
    """
    if (mapping is None) == (to is None):
        raise TypeError("convert takes a mapping, or to='nonlin'")
    if to not in (None, "nonlin"):
        raise ValueError(f"to={to!r}: the only target is 'nonlin'")
    if mapping is not None:
        for key, value in mapping.items():
            _check(key, value)
    done = Conversion()
    _modules(model, mapping, done)
    return done


def _check(key: Any, value: Any) -> None:
    if not (isinstance(key, str) or (isinstance(key, type) and issubclass(key, nn.Module))):
        raise TypeError(f"{key!r}: a key is the name of a function or a class of modules")
    if isinstance(key, str) and key not in FUNCTIONS and key not in UNITS:
        raise ValueError(f"unknown function `{key}`; known: {', '.join([*FUNCTIONS, *UNITS])}")
    _make(value)


def _make(value: Any) -> nn.Module:
    """The module that a value of the mapping stands for."""
    if isinstance(value, str):
        return Activation(value)
    if isinstance(value, type) and issubclass(value, nn.Module):
        return value()
    if isinstance(value, nn.Module):
        return value
    raise TypeError(f"{value!r}: a value is the name of a function, a module, or its class")


def _modules(model: nn.Module, mapping: Mapping[Any, Any] | None, done: Conversion) -> None:
    seen: set[int] = set()
    sources: dict[type, list[str]] = {}
    for path, module in list(model.named_modules(remove_duplicate=False)):
        if isinstance(module, Activation) or of_module(module) is not None:
            if path == "" and _target(module, mapping) is not None:
                done.left.append(("(the model itself)", "nothing holds it: replace it yourself"))
            continue
        for name, child in list(module._modules.items()):
            if child is None:
                continue
            where = f"{path}.{name}" if path else name
            target = _target(child, mapping)
            if target is None:
                if _unknown(child) and mapping is None:
                    text = f"nonlin has no {type(child).__name__} of these arguments"
                    done.left.append((where, text))
                continue
            new, old_text, new_text = target
            if hasattr(child, "inplace") and isinstance(new, Activation) and mapping is not None:
                new.inplace = bool(child.inplace) and new.name in FUNCTIONS
            new.train(child.training)
            module._modules[name] = new
            done.changed.append((where, old_text, new_text))
        if id(module) in seen:
            continue
        seen.add(id(module))
        _attributes(path, module, mapping, done)
        for call in sources.setdefault(type(module), _functional_calls(type(module))):
            done.left.append((path or "(the model itself)", f"forward calls {call}"))


def _target(
    module: nn.Module, mapping: Mapping[Any, Any] | None
) -> tuple[nn.Module, str, str] | None:
    """What replaces a module, with words for both; `None` if it stays."""
    known = module if isinstance(module, Activation) else of_module(module)
    name = known.name if known is not None else type(module).__name__
    if mapping is None:
        if known is None or isinstance(module, Activation):
            return None
        return known, f"torch {type(module).__name__}", f"nonlin {name}"
    for key, value in mapping.items():
        if key == type(module) or (known is not None and key == known.name):
            new = _make(value)
            return new, name, new.name if isinstance(new, Activation) else type(new).__name__
    return None


def _unknown(module: nn.Module) -> bool:
    """Whether this is an activation of PyTorch or Transformers that nonlin cannot replace."""
    kind = type(module)
    return (
        kind.__module__ in ("torch.nn.modules.activation", "transformers.activations")
        and kind is not nn.MultiheadAttention
        and not isinstance(module, Activation)
    )


def _attributes(
    path: str, module: nn.Module, mapping: Mapping[Any, Any] | None, done: Conversion
) -> None:
    """Functions that a module holds, such as `torch.nn.TransformerEncoderLayer.activation`."""
    for attribute, value in list(vars(module).items()):
        if attribute.startswith("_") or not callable(value) or isinstance(value, type):
            continue
        name = of_callable(value)
        if name is None:
            continue
        own: Callable[..., Any]
        if mapping is None:
            own, text = FUNCTIONS[name], f"nonlin {name}"
            if own is value:
                continue
        elif name in mapping:
            new = _make(mapping[name])
            if isinstance(new, Activation) and new.name in FUNCTIONS and not any(new.params):
                own, text = FUNCTIONS[new.name], new.name
            else:
                own, text = new, getattr(new, "name", type(new).__name__)
        else:
            continue
        if isinstance(own, nn.Module):
            delattr(module, attribute)
        setattr(module, attribute, own)
        if hasattr(module, "activation_relu_or_gelu") and attribute == "activation":
            # PyTorch's fused path knows relu and gelu by this number and would not call ours.
            module.activation_relu_or_gelu = 0
        where = f"{path}.{attribute}" if path else attribute
        done.changed.append((where, f"torch {name}" if mapping is None else name, text))


def _functional_calls(kind: type) -> list[str]:
    """The activations that the `forward` of a class calls, as they stand in its source."""
    if kind.__module__.startswith(("torch.nn.modules.", "nonlin.torch")):
        return []
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(kind.forward)))
    except (OSError, TypeError, SyntaxError):
        return []
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            own = (
                isinstance(called, ast.Attribute)
                and isinstance(called.value, ast.Name)
                and called.value.id == "self"
            )
            if name in _CALLS and not own:
                found.append(ast.unparse(called))
    return found
