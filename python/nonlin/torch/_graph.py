"""What a model computes, as a graph of calls: traced, or seen on an example."""

from __future__ import annotations

import contextlib
import math
import sys
from dataclasses import dataclass, field
from typing import Any, Iterator

import torch
import torch.nn.utils.parametrize
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode

from ._adaptive import Adaptive
from ._functional import FUNCTIONS, UNITS
from ._learnable import Mixture
from ._modules import OWN


@dataclass(eq=False)
class Node:
    """A call in a graph.

    `target` is a module, a function, or the name of a method; of a constant it is the tensor, and of
    inputs and outputs the word itself. `args` and `kwargs` have nodes where the call has tensors.
    """

    kind: str
    target: Any
    path: str = ""
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    users: list["Node"] = field(default_factory=list)
    #: Of an output: whether it is that of the whole model.
    last: bool = True

    def __post_init__(self) -> None:
        for source in self.sources():
            source.users.append(self)

    def sources(self) -> list["Node"]:
        """The nodes among the arguments, each once, in order."""
        found: list[Node] = []

        def look(value: Any) -> None:
            if isinstance(value, Node) and not any(value is f for f in found):
                found.append(value)
            elif isinstance(value, (tuple, list)):
                for v in value:
                    look(v)
            elif isinstance(value, dict):
                look(list(value.values()))

        look(self.args)
        look(self.kwargs)
        return found

    @property
    def tensors(self) -> list["Node"]:
        """The nodes among the arguments that are no constants."""
        return [s for s in self.sources() if s.kind != "constant"]

    @property
    def word(self) -> str:
        """The name of the operation, without what tells functions from methods: ``mul``, ``relu``."""
        if self.kind == "module":
            return type(self.target).__name__
        if self.kind in ("function", "method"):
            name = self.target if isinstance(self.target, str) else getattr(self.target, "__name__", "")
            name = name.split(".")[0].strip("_")
            return _SAME.get(name, name)
        return self.kind


#: Names of Python's operators where they differ from PyTorch's functions.
_SAME = {
    "iadd": "add", "radd": "add", "isub": "sub", "imul": "mul", "rmul": "mul", "multiply": "mul",
    "truediv": "div", "itruediv": "div", "idiv": "div", "divide": "div", "true_divide": "div",
    "subtract": "sub", "negative": "neg", "clip": "clamp", "matmul": "matmul", "rmatmul": "matmul",
    "special_expit": "sigmoid", "expit": "sigmoid", "hard_sigmoid": "hardsigmoid",
    "hard_swish": "hardswish", "log_sigmoid": "logsigmoid", "greater": "gt", "less": "lt",
    "greater_equal": "ge", "less_equal": "le", "absolute": "abs", "arctan": "atan",
}  # fmt: skip


@dataclass
class Graph:
    """The calls of a model, in order, and how they were found."""

    nodes: list[Node]
    way: str


def graph(model: nn.Module, example: Any = None) -> Graph:
    """The graph of a model: traced as a whole, or run on the example, or traced in parts."""
    try:
        return Graph(_traced(model, "", True), "traced")
    except Exception as error:  # Whatever a model's own code may raise when no tensor comes.
        # What cannot be traced is told by its first line.
        why = f"{type(error).__name__}: {error}".split("\n")[0]
    if example is not None:
        return Graph(_run(model, example), f"run on the example, since it cannot be traced ({why})")
    return Graph(
        _parts(model, "", True),
        f"traced in parts, since the whole cannot be ({why}); an example shows the whole",
    )


def is_leaf(module: nn.Module) -> bool:
    """Whether a module is one call: an activation, a normalisation, one of PyTorch's own."""
    kind = type(module)
    if isinstance(module, (*OWN, Mixture, Adaptive, nn.MultiheadAttention)) or "Norm" in kind.__name__:
        return True
    if isinstance(module, nn.Sequential) or next(module.children(), None) is not None:
        # PyTorch's transformer layers have linear maps and activations of their own.
        return torch.nn.utils.parametrize.is_parametrized(module)
    return kind.__module__.startswith(("torch.nn.", "torch.ao.nn.", "transformers.activations"))


class _Tracer(fx.Tracer):
    """Takes activations as they are, and functions of nonlin as calls."""

    def __init__(self) -> None:
        super().__init__(
            autowrap_modules=(math, sys.modules["nonlin.torch"]),
            autowrap_functions=(*FUNCTIONS.values(), *UNITS.values()),
        )

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return is_leaf(m)


def _traced(module: nn.Module, path: str, last: bool) -> list[Node]:
    """The graph of a module that stands at a path; raises whatever tracing does."""
    if is_leaf(module):
        inner = Node("input", "input")
        node = Node("module", module, path, (inner,))
        return [inner, node, Node("output", "output", args=(node,), last=last)]
    # Tracing runs the code of modules: what that does to their attributes and to gradients is theirs.
    traced = _Tracer().trace(module)
    nodes: dict[fx.Node, Node] = {}
    for n in traced.nodes:
        args = fx.node.map_arg(n.args, lambda a: nodes[a])
        kwargs = fx.node.map_arg(n.kwargs, lambda a: nodes[a])
        where = f"{path}.{n.target}" if path else str(n.target)
        if n.op == "placeholder":
            nodes[n] = Node("input", "input")
        elif n.op == "get_attr":
            value: Any = module
            for part in str(n.target).split("."):
                value = getattr(value, part)
            nodes[n] = Node("constant", value, where)
        elif n.op == "call_module":
            nodes[n] = Node("module", module.get_submodule(str(n.target)), where, args, kwargs)
        elif n.op == "output":
            nodes[n] = Node("output", "output", args=args, last=last)
        else:
            kind = "method" if n.op == "call_method" else "function"
            nodes[n] = Node(kind, n.target, args=args, kwargs=kwargs)
    return list(nodes.values())


def _parts(module: nn.Module, path: str, last: bool) -> list[Node]:
    """Graphs of the largest parts that can be traced. In a Sequential one part follows the other."""
    found: list[Node] = []
    before: Node | None = None
    children = list(module._modules.items())
    for i, (name, child) in enumerate(children):
        if child is None:
            continue
        where = f"{path}.{name}" if path else name
        end = last and isinstance(module, nn.Sequential) and i + 1 == len(children)
        try:
            part = _traced(child, where, end)
        except Exception:  # As in `graph`.
            found += _parts(child, where, end)
            before = None
            continue
        inputs = [n for n in part if n.kind == "input"]
        output = part[-1]
        if isinstance(module, nn.Sequential):
            if before is not None and len(inputs) == 1:
                _join(before, inputs[0])
                found.remove(before)
                part.remove(inputs[0])
            before = output if len(output.sources()) == 1 else None
        found += part
    return found


def _join(output: Node, start: Node) -> None:
    """What `output` has had goes to the users of `start`."""
    (source,) = output.sources()
    source.users.remove(output)
    for user in start.users:
        swap = {id(start): source}

        def put(value: Any) -> Any:
            if isinstance(value, Node):
                return swap.get(id(value), value)
            if isinstance(value, (tuple, list)):
                return type(value)(put(v) for v in value)
            if isinstance(value, dict):
                return {k: put(v) for k, v in value.items()}
            return value

        user.args, user.kwargs = put(user.args), put(user.kwargs)
        source.users.append(user)


class _Recorder(TorchFunctionMode):
    """Writes down PyTorch's functions as they are called, and calls of modules that are one call."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.nodes: list[Node] = []
        self.of: dict[int, Node] = {}
        #: Tensors that have been seen are kept: another one of that number would take their place.
        self.kept: list[Any] = []
        self.inside = 0
        self.paths = {id(p): n for n, p in model.named_parameters(remove_duplicate=False)}

    def node(self, value: Any) -> Any:
        """Arguments with nodes in place of tensors."""
        if isinstance(value, Tensor):
            if id(value) not in self.of:
                self.seen(value, Node("constant", value, self.paths.get(id(value), "")))
            return self.of[id(value)]
        if isinstance(value, (tuple, list)):
            return tuple(self.node(v) for v in value)
        if isinstance(value, dict):
            return {k: self.node(v) for k, v in value.items()}
        return value

    def seen(self, value: Any, node: Node) -> None:
        """A tensor, or several, comes from this node."""
        if isinstance(value, Tensor):
            self.of[id(value)] = node
            self.kept.append(value)
        elif isinstance(value, (tuple, list)):
            for i, v in enumerate(value):
                if isinstance(v, (Tensor, tuple, list)):
                    part = Node("function", "getitem", args=(node, i))
                    self.nodes.append(part)
                    self.seen(v, part)
        elif isinstance(value, dict):
            self.seen(list(value.values()), node)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if self.inside:
            return func(*args, **kwargs)
        # Arguments are looked up first: an operation in place gives one of them back.
        before = (self.node(args), self.node(kwargs))
        out = func(*args, **kwargs)
        if isinstance(out, (Tensor, tuple, list)) and _has_tensor(out):
            node = Node("function", func, args=before[0], kwargs=before[1])
            self.nodes.append(node)
            self.seen(out, node)
        return out


def _has_tensor(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return any(map(_has_tensor, value))
    return isinstance(value, Tensor)


@contextlib.contextmanager
def _as_in_use(model: nn.Module) -> Iterator[None]:
    """Evaluation without gradients; the modes of all modules come back."""
    modes = [(m, m.training) for m in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for m, training in modes:
            m.training = training


def _run(model: nn.Module, example: Any) -> list[Node]:
    """The graph of one call."""
    recorder = _Recorder(model)
    args, kwargs = example if isinstance(example, tuple) else (example,), {}
    if isinstance(example, dict):
        args, kwargs = (), example

    def enter(_: nn.Module, args: Any) -> None:
        recorder.inside += 1

    def leave(path: str) -> Any:
        def hook(module: nn.Module, args: Any, kwargs: Any, out: Any) -> None:
            recorder.inside -= 1
            if not recorder.inside:
                node = Node("module", module, path, recorder.node(args), recorder.node(kwargs))
                recorder.nodes.append(node)
                recorder.seen(out, node)

        return hook

    hooks = []
    for path, module in model.named_modules():
        # A linear map is seen as a function; a leaf with parts of its own is one call.
        if is_leaf(module) and module is not model:
            hooks.append(module.register_forward_pre_hook(enter))
            hooks.append(module.register_forward_hook(leave(path), with_kwargs=True))
    try:
        with _as_in_use(model):
            start = Node("input", "input")
            for value in (*args, *kwargs.values()):
                recorder.seen(value, start)
            with recorder:
                out = model(*args, **kwargs)
            if not isinstance(out, (Tensor, tuple, list)):
                out = list(out.values()) if hasattr(out, "values") else []
            end = recorder.node(out)
            recorder.nodes.append(Node("output", "output", args=(end,)))
    finally:
        for hook in hooks:
            hook.remove()
    return [start, *recorder.nodes]
