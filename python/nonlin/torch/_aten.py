"""nonlin's kernels under PyTorch's own operators."""

from __future__ import annotations

import os
import threading
from typing import NamedTuple

import torch

from .. import _nonlin
from ._slower import SLOWER

__all__ = ["Operator", "Report", "disable", "enable", "is_enabled", "report"]


def _library() -> str:
    """The path of the library that holds PyTorch's C interface."""
    suffix = "dylib" if torch.__file__ and os.uname().sysname == "Darwin" else "so"
    return os.path.join(os.path.dirname(torch.__file__), "lib", f"libtorch_cpu.{suffix}")


_nonlin.torch_open(_library())


class Operator(NamedTuple):
    """An operator of PyTorch in the `report`."""

    name: str
    """With its overload: ``aten::gelu.out``."""
    kernel: str
    """Whose kernel runs on the CPU: ``"nonlin"`` or ``"PyTorch"``."""
    note: str
    """What is handed on to PyTorch's kernel, or why that is the one."""


class Report(list[Operator]):
    """A list of `Operator` that prints as a table."""

    def __str__(self) -> str:
        width = max(len(o.name) for o in self)
        lines = [f"{o.name:{width}}  {o.kernel:7}  {o.note}".rstrip() for o in self]
        state = "enabled" if is_enabled() else "not enabled: call nonlin.torch.enable()"
        head = (
            f"nonlin {_nonlin.__version__} under PyTorch {torch.__version__}, {state}. Types float32,\n"
            "float64, bfloat16 and float16; all others, and results that must be resized or that\n"
            "overlap operands, go on to PyTorch's kernels. Models under torch.compile run Inductor's\n"
            "code, which enable() does not change: nonlin.torch.convert(model, to='nonlin') does.\n"
            "nonlin's own operators run its kernels on the CPU, and on other devices operators of PyTorch's\n"
            "by the text that nonlin.export(f, 'torch') prints, which has not been run on a GPU yet."
        )
        return "\n".join([head, "", *lines])


#: Operators that stay PyTorch's, with the reason.
_LEFT = {
    "threshold_backward": "relu's backward is a comparison: nothing to be more exact at",
    "relu.out": "calls relu",
    "celu": "calls elu",
    "selu": "calls elu",
    "log_sigmoid_forward.output": "log-sigmoid with out=: PyTorch's kernel resizes a buffer",
    "hardtanh": "a formula in nonlin, which `convert` puts in place of the module",
    "hardshrink": "a formula in nonlin, which `convert` puts in place of the module",
    "softshrink": "a formula in nonlin, which `convert` puts in place of the module",
    "threshold": "a formula in nonlin, which `convert` puts in place of the module",
    "rrelu_with_noise": "draws random numbers from PyTorch's generator",
}

#: What else goes on to PyTorch's kernel, by the name without overload.
_HANDED_ON = {
    "softplus": "a threshold below 20 goes on to PyTorch",
    "softplus_backward": "a threshold below 20 goes on to PyTorch",
    "elu": "elu, celu and selu; other scales go on to PyTorch",
    "elu_backward": "elu, celu and selu; other scales go on to PyTorch",
    "_softmax": "half_to_float goes on to PyTorch",
    "_log_softmax": "half_to_float goes on to PyTorch",
}

_lock = threading.RLock()

#: The kernels called through Python of every `enable` so far. PyTorch frees such a kernel as soon as it is
#: taken back, though a call in another thread may have looked it up and be waiting for the GIL: that call
#: would then run whatever lies at its place. So each `enable` keeps some memory for good.
_kept: list[object] = []


class _Placed:
    """Kernels of nonlin that are under PyTorch's operators, until `remove`."""

    def __init__(self) -> None:
        self.skipped: dict[str, str] = {}
        before = {}
        through_python = []
        for namespace, name, schema, scalar in _nonlin.torch_operators():
            if namespace != "aten":
                continue
            found = _overload(name)
            if found is None or str(found._schema) != schema:
                self.skipped[name] = f"PyTorch {torch.__version__} has another schema"
                continue
            before[name] = torch.library.get_kernel(f"aten::{name}", "CPU").call_boxed
            if scalar:
                through_python.append(name)
        keys = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)
        _nonlin.torch_enable(before, keys)
        # Scalars cannot be passed through the C interface: these are called through Python.
        self.library = torch.library.Library("aten", "IMPL")
        for name in through_python:
            self.library.impl(name, _nonlin.torch_kernel("aten", name), "CPU")
        _kept.extend(torch.library.get_kernel(f"aten::{name}", "CPU") for name in through_python)
        self.names = before.keys()

    def remove(self) -> None:
        self.library._destroy()
        _nonlin.torch_disable()


_placed: _Placed | None = None


def _overload(name: str) -> torch._ops.OpOverload | None:
    packet, _, overload = name.partition(".")
    return getattr(getattr(torch.ops.aten, packet, None), overload or "default", None)


class _Enabled:
    """What `enable` returns: leaving its context brings the state before it back."""

    def __init__(self, before: bool) -> None:
        self._before = before

    def __enter__(self) -> _Enabled:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._before:
            disable()

    def __repr__(self) -> str:
        return "<nonlin.torch.enable()>"


def enable() -> _Enabled:
    """Put nonlin's CPU kernels under PyTorch's own operators.

    From then on `torch.nn.functional.gelu` and all others in `report`, their ``out=`` and in-place
    forms and their backwards run nonlin's kernels, for all tensors on the CPU of type float32,
    float64, bfloat16 and float16, in all threads of the process. Everything above the kernels is as
    it was, because the operators are PyTorch's: autograd, double backward, `torch.func`, autocast,
    hooks. Calling it twice is calling it once.

    Models under `torch.compile` run Inductor's own code, which this does not change; `convert` does.

    Call it, and `disable`, while no other thread is inside one of PyTorch's operators: PyTorch changes
    its table of operators without a lock.

    Returns
    -------
    object
        A context manager: at its end the state before the call is back.

    Examples
    --------
    >>> import torch, nonlin.torch
    >>> x = torch.tensor([-6.0, -float("inf")])
    >>> with nonlin.torch.enable():
    ...     print(torch.nn.functional.gelu(x))
    tensor([-5.9195e-09, -0.0000e+00])
    """
    global _placed
    with _lock:
        before = _placed is not None
        if _placed is None:
            _placed = _Placed()
        return _Enabled(before)


def disable() -> None:
    """Give PyTorch's operators their own kernels back.

    Examples
    --------
    >>> import nonlin.torch
    >>> _ = nonlin.torch.enable()
    >>> nonlin.torch.disable()
    >>> nonlin.torch.is_enabled()
    False
    """
    global _placed
    with _lock:
        if _placed is not None:
            _placed.remove()
            _placed = None


def is_enabled() -> bool:
    """Whether nonlin's kernels are under PyTorch's operators."""
    return _placed is not None


def report() -> Report:
    """Say for each operator of an activation function whose kernels run on the CPU.

    Returns
    -------
    Report
        A list of `Operator` that prints as a table.

    Examples
    --------
    >>> import nonlin.torch
    >>> with nonlin.torch.enable():
    ...     [o.kernel for o in nonlin.torch.report() if o.name == "aten::gelu"]
    ['nonlin']
    """
    with _lock:
        placed = _placed
        rows = Report()
        for namespace, name, _, scalar in _nonlin.torch_operators():
            if namespace != "aten":
                continue
            packet = name.partition(".")[0]
            packet = packet if packet.startswith("_") else packet.removesuffix("_")
            through = "called through Python" if scalar else ""
            notes = [through, _HANDED_ON.get(packet, ""), SLOWER.get(packet, "")]
            note = "; ".join(filter(None, notes))
            if placed is None:
                rows.append(Operator(f"aten::{name}", "PyTorch", "not enabled"))
            elif name in placed.skipped:
                rows.append(Operator(f"aten::{name}", "PyTorch", placed.skipped[name]))
            else:
                rows.append(Operator(f"aten::{name}", "nonlin", note))
        rows.extend(Operator(f"aten::{name}", "PyTorch", why) for name, why in _LEFT.items())
        return rows
