"""Watching activations while a model trains."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, Callable, Mapping, TextIO

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from . import _report
from ._adaptive import Adaptive
from ._follow import activation_of
from ._functional import FUNCTIONS, UNITS
from ._graph import Node
from ._learnable import Learnable
from ._modules import of_callable
from ._piecewise import PWLU
from ._sketch import EDGES, LayerSketch, Sample, observe, slopes, squares, summary

__all__ = ["Monitor", "monitor"]

#: Functions that are watched where a forward calls them.
_CALLS = frozenset(
    "relu relu6 gelu silu mish sigmoid tanh selu elu celu leaky_relu softplus logsigmoid hardswish "
    "hardsigmoid hardtanh softsign tanhshrink hardshrink softshrink glu".split()
) | {*FUNCTIONS, *UNITS}


def monitor(
    model: nn.Module,
    *,
    every: int = 50,
    window: int = 200,
    jsonl: str | Path | None = None,
    tensorboard: Any = None,
    html: str | Path | None = None,
    channels: int | Mapping[str, int] | None = None,
    exploding: float = 1e3,
    functional: bool = True,
) -> "Monitor":
    """Watch the activations of a model while it trains.

    On one training step in `every` the inputs, outputs, slopes and gradients of all activation modules, and
    of activations that a forward calls as functions, are measured by channel. Other steps cost nothing.
    Results and weights do not change, and no random number is drawn.

    Parameters
    ----------
    model : torch.nn.Module
        Any model that is not compiled. A step is a call of it in training mode.
    every : int, default 50
        Measure one step in so many.
    window : int, default 200
        A unit is dead if its slope was 0 on every sample of so many steps.
    jsonl : path, optional
        A file of JSON lines, one for each layer and measured step; it is appended to.
    tensorboard : path or writer, optional
        Where to write scalars and histograms: a folder, or a `torch.utils.tensorboard.SummaryWriter`.
    html : path, optional
        A page with advice, a table and figures, written when the watch ends.
    channels : int or mapping, optional
        The axis of channels, for all layers or by name. By default 1 for inputs of 2, 4 and 5 axes, and the
        last one for others (tokens and features).
    exploding : float, default 1000
        Inputs of a greater absolute value are exploding.
    functional : bool, default True
        Whether activations that are called as functions are watched as well.

    Returns
    -------
    Monitor
        It watches from now on; ``with`` or `Monitor.close` ends that.

    Raises
    ------
    ValueError
        If a number is out of range, or the model is compiled.

    Examples
    --------
    >>> import torch, nonlin.torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))
    >>> with torch.no_grad():
    ...     _ = model[0].bias.copy_(torch.tensor([-100.0, -100, 9, 9]))  # two of four units never fire
    >>> with nonlin.torch.monitor(model, every=1, window=3) as watch:
    ...     for _ in range(3):
    ...         model(torch.rand(16, 8)).sum().backward()
    >>> print(watch)  # doctest: +NORMALIZE_WHITESPACE
    layer 1 (relu): 50 % of units dead for 3 steps; leaky_relu, smaller rate or He initialisation
    (nonlin.torch.init_)
    >>> watch.layers["1"].dead(3).tolist()[:2]
    [True, True]
    """
    return Monitor(
        model, every=every, window=window, jsonl=jsonl, tensorboard=tensorboard, html=html, channels=channels,
        exploding=exploding, functional=functional,
    )  # fmt: skip


class Monitor:
    """What `monitor` gives: statistics of activations, which go on while the model trains.

    Attributes
    ----------
    layers : dict of str to LayerSketch
        The statistics, by the name of the activation.
    step : int
        How many training steps there were.
    notes : list of str
        What could not be measured, and why.
    """

    def __init__(
        self, model: nn.Module, *, every: int, window: int, jsonl: Any, tensorboard: Any, html: Any, channels: Any,
        exploding: float, functional: bool,
    ) -> None:  # fmt: skip
        for word, value in (("every", every), ("window", window)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{word} is {value!r}; it must be a whole number of steps, and at least 1")
        if not exploding > 0:
            raise ValueError(f"exploding is {exploding}; it must be greater than 0")
        if any(hasattr(m, "_orig_mod") for m in model.modules()):
            raise ValueError("the model is compiled, and hooks do not run in it: watch it before torch.compile")
        self.every, self.window, self.exploding, self.functional = every, window, exploding, functional
        self.channels = channels
        self.layers: dict[str, LayerSketch] = {}
        self.step = 0
        self.notes: list[str] = []
        self._html = None if html is None else Path(html)
        self._model = model
        self._open: dict[str, Sample] = {}
        self._calls: dict[str, int] = {}
        self._hooks: list[Any] = []
        self._inside = self._depth = self._now = 0
        self._path: list[str] = []
        self._mode: _Calls | None = None
        self._lines: TextIO | None = None
        if jsonl is not None:
            self._lines = open(jsonl, "a", encoding="utf-8")
        self._board = _board(tensorboard)
        self._own_board = self._board is not tensorboard
        # Wherever a call ends, by an error too, the hooks of its step go.
        self._root = [
            model.register_forward_pre_hook(self._begin, prepend=True),
            model.register_forward_hook(self._end, always_call=True),
        ]

    def __enter__(self) -> "Monitor":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """End the watch, and write what is left to be written."""
        self.flush()
        for hook in self._root:
            hook.remove()
        self._root = []
        self._unhook()
        if self._lines is not None:
            self._lines.close()
            self._lines = None
        if self._board is not None and self._own_board:
            self._board.close()
        self._board = None
        if self._html is not None:
            self.save_html(self._html)
            self._html = None

    def flush(self) -> None:
        """Take the last measured step in, whose gradients are known once `backward` has run."""
        opened, self._open = self._open, {}
        for name, sample in opened.items():
            layer = self.layers[name]
            try:
                layer.add(sample)
            except ValueError as error:
                self._note(str(error))
                continue
            self._write(layer, sample)
        if opened and self._lines is not None:
            self._lines.flush()

    def advice(self) -> list[str]:
        """What is wrong, and what to do about it, in words; empty where nothing is."""
        self.flush()
        return _report.advice(self.layers.values(), self.window)

    def __str__(self) -> str:
        return "\n".join(self.advice() + self.notes) or "nothing is wrong with any layer"

    def html(self) -> str:
        """A page with advice, a table of all layers, and figures, in one piece."""
        told = self.advice()
        return _report.page(list(self.layers.values()), self.window, told, self.notes)

    def save_html(self, path: str | Path) -> None:
        """Write the page to a file."""
        Path(path).write_text(self.html(), encoding="utf-8")

    def state(self) -> dict[str, Any]:
        """All statistics, as numbers and arrays that can be sent to another process or stored."""
        self.flush()
        return {"step": self.step, "layers": [layer.state() for layer in self.layers.values()]}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from statistics that `state` gave, in place of those of this monitor."""
        self._open = {}
        self.step = state["step"]
        self.layers = {s["name"]: LayerSketch.of_state(s) for s in state["layers"]}

    def merge(self, other: "Monitor | Mapping[str, Any]") -> None:
        """Take in what another process has measured, or its `state`, of the same steps.

        A unit is dead where it is dead in all of them.
        """
        state = other.state() if isinstance(other, Monitor) else other
        self.flush()
        self.step = max(self.step, state["step"])
        for s in state["layers"]:
            layer = LayerSketch.of_state(s)
            mine = self.layers.setdefault(layer.name, LayerSketch(layer.name, layer.function, layer.every))
            mine.merge(layer)

    def gather(self) -> None:
        """Merge what all processes of `torch.distributed` have measured; each then has all of it."""
        states: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(states, self.state())
        self.load_state(states[0])
        for state in states[1:]:
            self.merge(state)

    def begin_step(self) -> None:
        """Begin a training step, where the model is not called as a whole; `end_step` ends its forward."""
        self._depth += 1
        if self._depth > 1:
            # The model calls itself, or a step has begun around its call.
            return
        self.flush()
        if not self._model.training:
            return
        now, self.step = self.step, self.step + 1
        if now % self.every:
            return
        self._now, self._calls = now, {}
        for path, m in self._model.named_modules():
            if activation_of(m) is not None:
                watch = _Watched(self, path or "(the model itself)")
                self._hooks.append(m.register_forward_pre_hook(watch.before))
                self._hooks.append(m.register_forward_hook(watch.after))
            elif self.functional and m is not self._model:
                self._hooks.append(m.register_forward_pre_hook(_push(self._path, path), prepend=True))
                self._hooks.append(m.register_forward_hook(_pop(self._path)))
        if self.functional and activation_of(self._model) is None:
            self._path.append("")
            self._mode = _Calls(self)
            self._mode.__enter__()

    def end_step(self) -> None:
        """End the forward of a step; nothing where none has begun."""
        self._depth = max(self._depth - 1, 0)
        if not self._depth:
            self._unhook()

    def _begin(self, module: nn.Module, args: Any) -> None:
        self.begin_step()

    def _end(self, *_: Any) -> None:
        self.end_step()

    def _unhook(self) -> None:
        if self._mode is not None:
            self._mode.__exit__(None, None, None)
            self._mode = None
        for hook in self._hooks:
            hook.remove()
        self._hooks, self._inside = [], 0
        self._path.clear()

    def _name(self, path: str) -> str:
        """The name of this call in the step."""
        count = self._calls[path] = self._calls.get(path, 0) + 1
        return path if count == 1 else f"{path}#{count}"

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def _measure(
        self, path: str, text: str, function: Callable[[Tensor], Tensor], call: "_Call", y: Tensor
    ) -> None:
        """Takes a call in whose output is y."""
        name = self._name(path)
        # What is called here is no part of the model.
        self._inside += 1
        with torch.no_grad():
            try:
                slope = slopes(function, call.x)
            except (RuntimeError, TypeError, NotImplementedError) as error:
                slope = None
                self._note(f"{name}: its slope cannot be computed: {str(error).splitlines()[0]}")
            call.sample = observe(self._now, call.x, y, slope, call.axis, self.exploding)
        self._inside -= 1
        # The tensor is needed no more, and would live until gradients come.
        call.x = call.x.new_empty(0)
        self.layers.setdefault(name, LayerSketch(name, text, self.every))
        self._open[name] = call.sample
        if y.requires_grad:
            y.register_hook(call.gradient(1))

    def _axis(self, name: str, x: Tensor) -> int:
        if x.dim() < 2:
            return -1
        if isinstance(self.channels, int):
            return self.channels
        if self.channels is not None and name.split("#")[0] in self.channels:
            return self.channels[name.split("#")[0]]
        return 1 if x.dim() in (2, 4, 5) else -1

    def _write(self, layer: LayerSketch, sample: Sample) -> None:
        """To the file of lines and to TensorBoard."""
        if self._lines is None and self._board is None:
            return
        dead = float(np.mean(layer.dead(self.window)))
        numbers = {"dead": dead, **summary(sample)}
        if self._lines is not None:
            line = {
                "step": sample.step, "layer": layer.name, "function": layer.function,
                "channels": len(sample.count), "dead_steps": min(self.window, layer.span), **numbers,
            }  # fmt: skip
            self._lines.write(json.dumps(line) + "\n")
        if self._board is not None:
            for key, value in numbers.items():
                if value is not None:
                    self._board.add_scalar(f"{key}/{layer.name}", value, sample.step)
            mean, square = float(numbers["mean"] or 0.0), float(numbers["deviation"] or 0.0)
            there = np.flatnonzero(sample.histogram)
            count = float(sample.histogram.sum())
            self._board.add_histogram_raw(
                f"inputs/{layer.name}", float(EDGES[there[0]]), float(EDGES[there[-1] + 1]), count, mean * count,
                (square**2 + mean**2) * count, EDGES[1:].tolist(), sample.histogram.tolist(), sample.step,
            )  # fmt: skip


def _board(given: Any) -> Any:
    """TensorBoard's writer."""
    if given is None or hasattr(given, "add_scalar"):
        return given
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ModuleNotFoundError("tensorboard=FOLDER needs TensorBoard: pip install tensorboard") from error
    return SummaryWriter(str(given))


def _push(path: list[str], name: str) -> Callable[..., None]:
    def hook(*_: Any) -> None:
        path.append(name)

    return hook


def _pop(path: list[str]) -> Callable[..., None]:
    def hook(*_: Any) -> None:
        if len(path) > 1:
            path.pop()

    return hook


class _Call:
    """A call of an activation, from before it until gradients have come."""

    def __init__(self, operands: Any, axis: int, inplace: bool) -> None:
        self.axis, self.count = axis, len(operands)
        self.sample: Sample | None = None
        #: The input as it is now, since a call in place changes it. Both operands of a gated unit are
        #: side by side, as in the packed form.
        if len(operands) > 1:
            self.x = torch.cat([t.detach() for t in operands], axis)
        else:
            self.x = operands[0].detach().clone() if inplace else operands[0].detach()
        for i, tensor in enumerate(operands):
            if tensor.requires_grad:
                # Before the call: afterwards the tensor of a call in place is the output.
                tensor.register_hook(self.gradient(0, i))

    def gradient(self, row: int, part: int | None = None) -> Callable[[Tensor], None]:
        """A hook that takes the gradient by an operand (row 0) or by the output (row 1)."""

        def hook(gradient: Tensor) -> None:
            if self.sample is None:
                return
            known = self.sample.gradients[row]
            if part is not None:
                size = len(known) // self.count
                known = known[part * size : (part + 1) * size]
            known[:] = np.nan_to_num(known) + squares(gradient, self.axis, len(known))

        return hook

    def of(self, function: Callable[..., Tensor]) -> Callable[[Tensor], Tensor]:
        """A function of the operands as one of what `x` is."""
        return function if self.count == 1 else lambda t: function(*t.chunk(self.count, self.axis))


def _operands(args: Any) -> Any:
    """The operands of a call that can be measured: one tensor, or two of one shape."""
    if not args or not all(isinstance(a, Tensor) and a.is_floating_point() and a.numel() for a in args):
        return None
    if len(args) == 1 or (len(args) == 2 and args[0].shape == args[1].shape and args[0].dim()):
        return args
    return None


class _Watched:
    """Hooks of an activation module for one step."""

    def __init__(self, monitor: Monitor, path: str) -> None:
        self.monitor, self.path = monitor, path
        self.calls: list[_Call | None] = []

    def before(self, module: nn.Module, args: Any) -> None:
        """Looks at the input."""
        self.monitor._inside += 1
        operands = _operands(args)
        call = None
        if operands is not None:
            axis = self.monitor._axis(self.path, operands[0])
            call = _Call(operands, axis, bool(getattr(module, "inplace", False)))
        self.calls.append(call)

    def after(self, module: nn.Module, args: Any, out: Any) -> None:
        """Measures."""
        call = self.calls.pop()
        try:
            if call is None:
                self.monitor._note(f"{self.path}: only calls with one tensor, or two of one shape, are measured")
            elif isinstance(out, Tensor):
                text, function = _of_module(module, call.x)
                self.monitor._measure(self.path, text, call.of(function), call, out)
        finally:
            self.monitor._inside -= 1


def _of_module(module: nn.Module, x: Tensor) -> tuple[str, Callable[[Tensor], Tensor]]:
    """What a module is, and its function: nonlin's where the tensor allows that, for its derivative.

    PyTorch's slope of tanh is 0 from 9.1 on, where the function's is 5e-8: saturated, and not dead.
    """
    following = activation_of(module)
    assert following is not None
    if isinstance(module, nn.RReLU):
        # At the mean slope: no number is drawn.
        return following.text, lambda t: nn.functional.leaky_relu(t, (module.lower + module.upper) / 2)
    if isinstance(module, Adaptive):
        return following.text, module._held(x)
    if isinstance(module, PWLU) and module.collecting:
        return following.text, module._started
    name = following.function
    if name in FUNCTIONS and not isinstance(module, (nn.PReLU, Learnable)) and _ours(x):
        params = dict(following.params)
        return following.text, lambda t: FUNCTIONS[name](t, **params)
    return following.text, module.forward


def _ours(x: Tensor) -> bool:
    """Whether nonlin's kernels take the tensor."""
    return x.device.type == "cpu" and type(x) is Tensor and x.is_floating_point()


class _Calls(TorchFunctionMode):
    """Sees activations that a forward calls as functions, in one step."""

    def __init__(self, monitor: Monitor) -> None:
        super().__init__()
        self.monitor = monitor

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.monitor._inside:
            return func(*args, **kwargs)
        word = _word(func)
        x = args[0] if args else kwargs.get("input")
        rest = args[1:]
        operands = None
        if word in _CALLS:
            # Of a gated unit both are operands; of others the further arguments are parameters.
            two = word in UNITS and bool(rest) and isinstance(rest[0], Tensor)
            operands, rest = _operands((x, *rest[:1]) if two else (x,)), rest[1:] if two else rest
        if operands is None:
            return func(*args, **kwargs)
        given = {k: v for k, v in kwargs.items() if k not in ("input", "inplace", "out")}
        raw = getattr(func, "__name__", "")
        path = self.monitor._path[-1]
        path = f"{path}.{word}" if path else word
        inplace = bool(kwargs.get("inplace")) or (raw.endswith("_") and not raw.startswith("__"))
        call = _Call(operands, self.monitor._axis(path, operands[0]), inplace)
        # What the function itself calls is part of it.
        self.monitor._inside += 1
        try:
            out = func(*args, **kwargs)
        finally:
            self.monitor._inside -= 1
        if isinstance(out, Tensor):
            text, function = _of_function(func, word, rest, given, call.x)
            self.monitor._measure(path, text, call.of(function), call, out)
        return out


@lru_cache(maxsize=4096)
def _word(func: Any) -> str:
    """The name of a function."""
    return Node("function", func).word


def _of_function(
    func: Any, word: str, rest: Any, given: dict[str, Any], x: Tensor
) -> tuple[str, Callable[[Tensor], Tensor]]:
    """As `_of_module`, of a function and its further arguments."""
    name = of_callable(func) or _CATALOGUE.get(word, word)
    # PyTorch gives its functions all arguments by name, those at their defaults too.
    usual = {"negative_slope": 0.01, "alpha": 1.0, "beta": 1.0, "threshold": 20.0, "approximate": "none"}
    numbers = [v for v in rest if isinstance(v, (int, float, str)) and not isinstance(v, bool)]
    numbers += [v for k, v in given.items() if k in usual and v != usual[k]]
    others = [v for k, v in given.items() if k not in usual and isinstance(v, float)]
    text = f"{name}({', '.join(str(v) for v in numbers + others)})" if numbers + others else name
    if name in FUNCTIONS and not (rest or numbers or others) and _ours(x):
        return text, FUNCTIONS[name]
    if name in UNITS and name != "glu" and _ours(x):
        # With a gradient, which the kernel alone has not.
        return text, UNITS[name]
    return text, lambda *t: func(*t, *rest, **given)


#: Names of the catalogue where PyTorch's differ.
_CATALOGUE = {"logsigmoid": "log_sigmoid", "hardswish": "hard_swish", "hardsigmoid": "hard_sigmoid"}
