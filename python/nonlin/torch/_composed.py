"""Formulas computed by PyTorch's operators, which may be differentiated as often as one likes."""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from typing import Any, Callable

import torch
from torch import Tensor
from torch.nn import functional as F

import nonlin

#: Functions whose textbook form overflows where the function does not.
_STABLE = {"silu": "x * sigmoid(beta * x)", "softplus": "softplus(beta * x) / beta"}

_CALLS: dict[str, Callable[..., Tensor]] = {
    "abs": torch.abs,
    "atan": torch.atan,
    "cos": torch.cos,
    "cosh": torch.cosh,
    "erf": torch.erf,
    "erfc": torch.erfc,
    "exp": torch.exp,
    "expm1": torch.expm1,
    "floor": torch.floor,
    "ln": torch.log,
    "log": torch.log,
    "log1mexp": lambda x: torch.log(-torch.expm1(x)),
    "log1p": torch.log1p,
    "logcosh": lambda x: x.abs() + F.softplus(-2 * x.abs(), threshold=700) - 0.6931471805599453,
    # A kink has the slope of what lies left of it, as relu has at 0.
    "max": lambda a, b: torch.where(a > b, a, b),
    "min": lambda a, b: torch.where(a < b, a, b),
    "normal_cdf": lambda x: torch.special.ndtr(x),
    "round": torch.round,
    "sigmoid": torch.sigmoid,
    "sign": torch.sign,
    "sin": torch.sin,
    "sinh": torch.sinh,
    "softplus": lambda x: F.softplus(x, threshold=700),
    "sqrt": torch.sqrt,
    "tanh": torch.tanh,
    "tanh_softplus": lambda x: torch.tanh(F.softplus(x, threshold=700)),
}

_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Pow: lambda a, b: a**b,
}

_TESTS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Gt: lambda a, b: a > b,
    ast.GtE: lambda a, b: a >= b,
    ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b,
}


@lru_cache(maxsize=256)
def _parsed(text: str) -> ast.expr:
    """The tree of a function's formula, where each name is `_` and what the formula has."""
    formula = _STABLE.get(text) or nonlin.info(text).formula
    # A parameter may be called what is a word of Python's.
    text = re.sub(r"(?<![\w.])([A-Za-z_]\w*)", r"_\1", formula.replace("^", "**"))
    return ast.parse(text, mode="eval").body


class _Unknown(NotImplementedError):
    def __init__(self, node: ast.AST) -> None:
        super().__init__(f"no second derivative: `{ast.unparse(node)}` is not known to PyTorch")


def _evaluate(node: ast.expr, of: dict[str, Tensor]) -> Any:
    """The value of a tree, given equally many values of each name."""
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return float(node.value)
    if isinstance(node, ast.Name) and node.id[1:] in of:
        return of[node.id[1:]]
    if isinstance(node, ast.Name) and node.id in ("_pi", "_e"):
        return {"_pi": torch.pi, "_e": torch.e}[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        value = _evaluate(node.operand, of)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        return _BINARY[type(node.op)](_evaluate(node.left, of), _evaluate(node.right, of))
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _TESTS:
        left, right = _evaluate(node.left, of), _evaluate(node.comparators[0], of)
        return _TESTS[type(node.ops[0])](left, right)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        name = node.func.id[1:]
        if name in ("where", "if") and len(node.args) == 3:
            return _pieces(*node.args, of)
        if name in _CALLS:
            like = next(iter(of.values()))
            values = (_evaluate(a, of) for a in node.args)
            return _CALLS[name](*(torch.as_tensor(v, dtype=like.dtype) for v in values))
    raise _Unknown(node)


def _pieces(test: ast.expr, then: ast.expr, otherwise: ast.expr, of: dict[str, Tensor]) -> Tensor:
    """A function of two pieces, each computed where it counts: what overflows elsewhere has no
    gradient that is no number."""
    like = next(iter(of.values()))
    chosen = torch.as_tensor(_evaluate(test, of)).expand_as(like)
    result = torch.zeros_like(like)
    for where, piece in ((chosen, then), (~chosen, otherwise)):
        value = _evaluate(piece, {name: v[where] for name, v in of.items()})
        value = torch.as_tensor(value, dtype=like.dtype)
        result = result.masked_scatter(where, value.expand(int(where.sum())))
    return result


def composed(x: Tensor, values: Tensor, text: str, axis: int) -> Tensor:
    """f(x) with values of the parameters, as `_learnable.apply` has it, in float64."""
    names = list(nonlin.Learnable(text).params)
    rows = values.double().reshape(len(names), -1)
    shape = [1] * x.dim()
    if rows.shape[1] > 1:
        shape[axis] = -1
    of = {"x": x.double().reshape(-1)}
    for name, row in zip(names, rows, strict=True):
        of[name] = row.reshape(shape).expand(x.shape).reshape(-1)
    y = _evaluate(_parsed(text), of)
    return torch.as_tensor(y, dtype=torch.float64).expand_as(of["x"]).reshape(x.shape)
