"""Swapping the activations of a built model."""

from __future__ import annotations

import ast
import copy
import inspect
import textwrap
from dataclasses import dataclass, field
from typing import Any, Mapping

import torch
from torch import nn
from torch.nn.utils import parametrize

import nonlin

from ._functional import FUNCTIONS
from ._modules import (
    OWN,
    Activation,
    callable_of_pytorch,
    name_of,
    of_callable,
    of_module,
    own_name,
    to_pytorch,
)

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
        (``torch.nn.SiLU``), values are names, modules (each place gets a copy), or classes of
        modules.
    to : {"nonlin", "torch"}, optional
        With ``"nonlin"`` every activation that nonlin has becomes nonlin's own operator, with its
        parameters; models under `torch.compile` then give the bits that they give without. With
        ``"torch"`` nonlin's become PyTorch's, where PyTorch has them.

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
        raise TypeError("convert takes a mapping, or to='nonlin', or to='torch'")
    if to not in (None, "nonlin", "torch"):
        raise ValueError(f"to={to!r}: targets are 'nonlin' and 'torch'")
    done = Conversion()
    if mapping is not None:
        for key, value in mapping.items():
            _check(key, value)
        _walk(model, _ByMapping(mapping), done)
    else:
        _walk(model, _ToNonlin() if to == "nonlin" else _ToPyTorch(), done)
    return done


def _check(key: Any, value: Any) -> None:
    if not (isinstance(key, str) or (isinstance(key, type) and issubclass(key, nn.Module))):
        raise TypeError(f"{key!r}: a key is the name of a function or a class of modules")
    if isinstance(key, str) and nonlin.info(key).kind == "rowwise":
        raise ValueError(f"`{key}` is row-wise: `convert` swaps elementwise functions and gated units")
    _make(value)


def _make(value: Any) -> nn.Module:
    """The module that a value of the mapping stands for."""
    if isinstance(value, str):
        return Activation(value)
    if isinstance(value, type) and issubclass(value, nn.Module):
        return value()
    if isinstance(value, nn.Module):
        return copy.deepcopy(value)
    raise TypeError(f"{value!r}: a value is the name of a function, a module, or its class")


#: What replaces a module or a function, with words for old and new.
_Change = tuple[Any, str, str]


class _ToNonlin:
    """PyTorch's activations become nonlin's."""

    def module(self, module: nn.Module) -> _Change | None:
        """What replaces a module; `None` if it stays."""
        new = of_module(module)
        return new and (new, f"torch {type(module).__name__}", f"nonlin {name_of(new)}")

    def function(self, function: Any) -> _Change | None:
        """What replaces a function that a module holds; `None` if it stays."""
        name = of_callable(function)
        if name is None or own_name(function):
            return None
        return FUNCTIONS[name], f"torch {name}", f"nonlin {name}"

    def reason(self, value: Any) -> str | None:
        """Why an activation stays; `None` if this is none."""
        kind = type(value)
        known = kind.__module__ in ("torch.nn.modules.activation", "transformers.activations")
        if not known or kind is nn.MultiheadAttention:
            return None
        return f"nonlin has no {kind.__name__} of these arguments"


class _ToPyTorch:
    """nonlin's activations become PyTorch's."""

    def module(self, module: nn.Module) -> _Change | None:
        """What replaces a module; `None` if it stays."""
        new = to_pytorch(module)
        return new and (new, f"nonlin {name_of(module)}", f"torch {type(new).__name__}")

    def function(self, function: Any) -> _Change | None:
        """What replaces a function that a module holds; `None` if it stays."""
        name = own_name(function)
        new = callable_of_pytorch(name) if name else None
        return new and (new, f"nonlin {name}", f"torch {name}")

    def reason(self, value: Any) -> str | None:
        """Why an activation stays; `None` if this is none."""
        if isinstance(value, OWN):
            return f"PyTorch has no {name_of(value)} of these arguments"
        name = own_name(value) if callable(value) else None
        return f"PyTorch has no {name}" if name else None


class _ByMapping:
    """What a mapping says."""

    def __init__(self, mapping: Mapping[Any, Any]) -> None:
        # Names of frameworks and formulas that are in the catalogue stand for its functions.
        self.mapping = {nonlin.info(k).name if isinstance(k, str) else k: v for k, v in mapping.items()}

    def module(self, module: nn.Module) -> _Change | None:
        """What replaces a module; `None` if it stays."""
        known = module if isinstance(module, OWN) else of_module(module)
        name = name_of(module if known is None else known)
        for key, value in self.mapping.items():
            if key == parametrize.type_before_parametrizations(module) or (known is not None and key == name):
                new = _make(value)
                if isinstance(new, Activation) and new.save == "input":
                    # What it keeps goes over where the new function can keep that, and so does inplace.
                    if (save := getattr(module, "save", "input")) in new.can_save():
                        new.save = save
                    if not new.two and new.save == "input":
                        new.inplace |= bool(getattr(module, "inplace", False))
                return new, name, name_of(new)
        return None

    def function(self, function: Any) -> _Change | None:
        """What replaces a function that a module holds; `None` if it stays."""
        name = of_callable(function)
        if name not in self.mapping:
            return None
        new: Any = _make(self.mapping[name])
        text = name_of(new)
        if isinstance(new, Activation) and new.name in FUNCTIONS and not any(new.params):
            new = FUNCTIONS[new.name]
        return new, str(name), text

    def reason(self, value: Any) -> str | None:
        """Why an activation stays: never told, since a mapping names what is to change."""
        return None


def _walk(model: nn.Module, rule: _ToNonlin | _ToPyTorch | _ByMapping, done: Conversion) -> None:
    whole = "(the model itself)"
    if rule.module(model):
        done.left.append((whole, "nothing holds it: replace it yourself"))
    # A module that stands in several places is replaced by one.
    changes: dict[int, _Change | None] = {}
    sources: dict[type, list[str]] = {}
    for path, module in list(model.named_modules(remove_duplicate=False)):
        if id(module) in changes:
            # What is replaced, or has been looked at, is not looked into.
            continue
        changes[id(module)] = None
        if isinstance(module, torch.jit.ScriptModule):
            changes.update((id(part), None) for part in module.modules())
            done.left.append((path or whole, "a program of TorchScript, which does not change"))
            continue
        for name, child in list(module._modules.items()):
            if child is None:
                continue
            where = f"{path}.{name}" if path else name
            change = changes.get(id(child)) or rule.module(child)
            if change is None:
                if reason := rule.reason(child):
                    changes[id(child)] = None
                    done.left.append((where, reason))
                continue
            changes[id(child)] = change
            new, old_text, new_text = change
            _take_over(new, child)
            module._modules[name] = new
            done.changed.append((where, old_text, new_text))
        _attributes(path, module, rule, done)
        for call in sources.setdefault(type(module), _functional_calls(type(module))):
            done.left.append((path or whole, f"forward calls {call}"))


def _take_over(new: nn.Module, old: nn.Module) -> None:
    """Mode and hooks of a module that is replaced."""
    new.train(old.training)
    for name, value in vars(old).items():
        if "_hook" in name and value:
            setattr(new, name, value)


def _attributes(
    path: str, module: nn.Module, rule: _ToNonlin | _ToPyTorch | _ByMapping, done: Conversion
) -> None:
    """Functions that a module holds, such as `torch.nn.TransformerEncoderLayer.activation`."""
    for attribute, value in list(vars(module).items()):
        if attribute.startswith("_") or not callable(value) or isinstance(value, type):
            continue
        where = f"{path}.{attribute}" if path else attribute
        change = rule.function(value)
        if change is None:
            if reason := rule.reason(value):
                done.left.append((where, reason))
            continue
        new, old_text, new_text = change
        if isinstance(new, nn.Module):
            delattr(module, attribute)
        setattr(module, attribute, new)
        if hasattr(module, "activation_relu_or_gelu") and attribute == "activation":
            # PyTorch's fused path knows relu and gelu by this number and would not call ours.
            module.activation_relu_or_gelu = _FUSED.get(new, 0)
        done.changed.append((where, old_text, new_text))


#: The numbers by which PyTorch's fused path knows functions.
_FUSED = {nn.functional.relu: 1, nn.functional.gelu: 2}


def _functional_calls(kind: type) -> list[str]:
    """The activations that the `forward` of a class calls, as they stand in its source."""
    if issubclass(kind, torch.jit.ScriptModule) or kind.__module__.startswith(("torch.nn.modules.", "nonlin.torch")):
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
