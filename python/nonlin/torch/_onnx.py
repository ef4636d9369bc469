"""nonlin's operators in ONNX: the nodes that ``nonlin.export(f, "onnx")`` writes, in the graph of a model."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import torch

from .. import _catalog, _nonlin
from . import _ops
from ._decompositions import text


@lru_cache(maxsize=256)
def _graph(of: str) -> Any:
    """The graph that is written for a function, given by name or as a formula."""
    import onnx

    return onnx.load_model_from_string(_nonlin.export(_catalog.get(of), "onnx", "f")).graph


def _value(of: str, operands: tuple[Any, ...], parameters: tuple[Any, ...]) -> Any:
    """The function of values in a graph, computed as floats and of the type of the first."""
    import onnx
    from onnxscript import opset18 as op

    graph, first = _graph(of), operands[0]
    single = [op.Cast(v, to=onnx.TensorProto.FLOAT) for v in operands]
    defaults = {i.name: onnx.numpy_helper.to_array(i).item() for i in graph.initializer}
    names = [i.name for i in graph.input]
    known = dict(zip(names, (*single, *parameters)))
    wanted, nodes = {"y"}, []
    for node in reversed(graph.node):
        if node.output[0] in wanted:
            wanted.update(node.input)
            nodes.append(node)
    for name in sorted(wanted & defaults.keys() - known.keys()):
        known[name] = op.Constant(value_float=defaults[name])
    for node in reversed(nodes):
        known[node.output[0]] = getattr(op, node.op_type)(*(known[i] for i in node.input))
    return op.CastLike(known["y"], first)


def _plain(name: str, two: bool, *arguments: Any) -> Any:
    """An operator, whose arguments are operands and numbers, or the text of a formula."""
    from onnxscript import opset18 as op

    operands, p = arguments[: 1 + two], arguments[1 + two :]
    if name in _ops._formulas:
        return _value(p[0], operands, ())
    if name == "weighted":
        return _value("prelu", operands[:1], (op.Cast(operands[1], to=1),))
    return _value(name, operands, tuple(op.Constant(value_float=float(v)) for v in p))


def _packed(name: str, x: Any, dim: int, interleaved: bool) -> Any:
    from onnxscript import opset18 as op

    if not interleaved:
        return _value(name, op.Split(x, axis=dim, num_outputs=2), ())
    whole = torch.iinfo(torch.int64).max
    return _value(name, tuple(op.Slice(x, [start], [whole], [dim], [2]) for start in (0, 1)), ())


def _learnable(*arguments: Any) -> Any:
    from onnxscript import opset18 as op

    *operands, values, of, axis = arguments
    x = operands[0]
    count = len(text(of).defaults)
    each = values.shape[0] // count
    after = len(x.shape) - 1 - axis % len(x.shape) if each > 1 else 0
    single = op.Cast(values, to=1)
    rows = (op.Slice(single, [i * each], [(i + 1) * each], [0]) for i in range(count))
    return _value(of, tuple(operands), tuple(op.Reshape(r, [each, *[1] * after]) for r in rows))


def _signed(op: torch._ops.OpOverload, f: Callable[..., Any]) -> Callable[..., Any]:
    """A translation with the operator's signature, which the exporter asks for."""
    kind = inspect.Parameter
    arguments = op._schema.arguments
    signature = inspect.Signature(
        [
            kind(a.name, kind.POSITIONAL_OR_KEYWORD, default=a.default_value if a.has_default_value() else kind.empty)
            for a in arguments
        ]
    )
    types = {"float": float, "int": int, "bool": bool, "str": str}
    told = {a.name: types[str(a.type)] for a in arguments if str(a.type) in types}

    def translation(*args: Any, **kwargs: Any) -> Any:
        return f(*signature.bind(*args, **kwargs).args)

    translation.__name__ = op._schema.name.removeprefix("nonlin::")
    translation.__signature__, translation.__annotations__ = signature, told  # type: ignore[attr-defined]
    return translation


def onnx_translations() -> dict[torch._ops.OpOverload, Callable[..., Any]]:
    """What each of nonlin's operators is in ONNX, for `torch.onnx.export`.

    It needs the package onnxscript, as that exporter does.

    Returns
    -------
    dict
        What the argument `custom_translation_table` takes.

    Notes
    -----
    Each is the nodes that ``nonlin.export(f, "onnx")`` writes, within 1e-5 of the result, and 1e-6 where its
    terms cancel. They compute in float32: other types are converted to it, and the result back. PyTorch's own
    translation of what `decompositions` gives is NaN in the tails of gelu, and infinite in that of log_sigmoid.

    Examples
    --------
    >>> import torch, nonlin.torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 4), nonlin.torch.GELU()).eval()
    >>> table = nonlin.torch.onnx_translations()
    >>> program = torch.onnx.export(
    ...     model, (torch.ones(1, 4),), dynamo=True, verbose=False, custom_translation_table=table
    ... )
    >>> "Erf" in [node.op_type for node in program.model_proto.graph.node]
    True
    """
    made: dict[str, Callable[..., Any]] = {"learnable": _learnable, "learnable_gated": _learnable}
    for two, names in ((False, ("formula", *_ops._unary)), (True, ("gated_formula", *_ops._pairs))):
        made |= {n: partial(_plain, n, two) for n in names}
    made |= {f"{n}_packed": partial(_packed, n) for n in _ops._gated}
    return {(op := getattr(torch.ops.nonlin, n).default): _signed(op, f) for n, f in made.items()}


onnx_translations.__module__ = "nonlin.torch"
