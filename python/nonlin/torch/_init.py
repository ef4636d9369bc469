"""Initialising the layers of a model by what follows them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Mapping, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

import nonlin

from ._follow import (
    IDENTITY,
    Branch,
    Following,
    branches,
    decide,
    follows_by_name,
    is_layer,
    norms,
    shapes_only,
)
from ._graph import Graph, Node, graph

__all__ = ["Initialisation", "InitialisedLayer", "init_"]

#: What is kept, by the mode: activations, gradients, or both by halves.
_MODES = {"fan_in": "forward", "fan_out": "backward", "fan_avg": "mean"}

#: Functions whose slope is 0 below 0. With a bias above 0 their units start where the slope is not 0.
_RECTIFIERS = ("relu", "relu6", "reglu", "relu_glu")


class InitialisedLayer(NamedTuple):
    """What `init_` did to a layer."""

    name: str
    """Where it stands in the model."""
    activation: str
    """The function that follows."""
    rule: str
    """``"He"``, ``"Xavier"``, ``"LeCun normal"``, ``"SIREN"`` or ``"SIREN first"``."""
    fan: float
    """The number of inputs, of outputs, or their mean, that the deviation is divided by the root of."""
    gain: float
    """The factor that makes up for the function."""
    std: float
    """The deviation of the weights."""
    bias: float | None
    """What its bias is now; `None` where it has none, or it was left, or drawn (SIREN)."""
    variance: float | None
    """The mean square of its outputs that `nonlin.init` predicts where the model's inputs have a mean
    square of 1; `None` where a layer's input does not come from one layer before."""
    notes: tuple[str, ...] = ()
    """What else is on the way to the function."""


@dataclass
class Initialisation:
    """What `init_` did.

    Attributes
    ----------
    way : str
        How the model was read: traced, run on an example, or traced in parts.
    mode : str
        As it was asked for.
    layers : list of InitialisedLayer
        What was initialised.
    left : list of (str, str)
        What has weights and stays as it was, and why.
    notes : list of str
        What to know about the functions: which variances do not hold.
    """

    way: str
    mode: str
    layers: list[InitialisedLayer] = field(default_factory=list)
    left: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        rows = [("layer", "activation", "rule", "fan", "gain", "std", "bias", "variance", "")]
        for x in self.layers:
            bias = "" if x.bias is None else f"{x.bias:g}"
            variance = "" if x.variance is None else f"{x.variance:.3g}"
            rows.append((x.name, x.activation, x.rule, f"{x.fan:g}", f"{x.gain:.4f}", f"{x.std:.4g}",
                         bias, variance, "; ".join(x.notes)))  # fmt: skip
        widths = [max(len(r[i]) for r in rows) for i in range(9)]
        lines = [f"{self.mode}, model {self.way}"]
        lines += ["  ".join(c.ljust(w) for c, w in zip(r, widths)).rstrip() for r in rows if self.layers]
        lines += [f"{path}: left: {why}" for path, why in self.left]
        return "\n".join([*lines, *self.notes])


def init_(
    model: nn.Module,
    *,
    mode: str = "fan_in",
    bias: float | Mapping[str, float] | None = 0.0,
    distribution: str = "normal",
    activations: Mapping[str, Any] | None = None,
    example: Any = None,
    first_gain: float | None = None,
    generator: torch.Generator | None = None,
    verbose: bool = True,
) -> Initialisation:
    """Initialise the linear and convolutional layers of a model by the function that follows each.

    Weights get mean 0 and the deviation ``gain / sqrt(fan)``, with the gain of the function
    (`nonlin.init.gain`): He's rule for relu, and the same for every other function, composed ones too.
    Where nothing follows, they get Glorot's (Xavier) ``sqrt(2 / (fan_in + fan_out))``; before selu
    a normal distribution of deviation ``1 / sqrt(fan_in)`` (LeCun); before a sine SIREN's uniform one,
    up to ``1 / fan_in`` in layers that the model's input comes to, else up to ``sqrt(6 / fan_in) / w0``
    with the factor w0 that the model multiplies by.

    Parameters
    ----------
    model : torch.nn.Module
        Any model. Its weights change in place; layers that share one are initialised once.
    mode : {"fan_in", "fan_out", "fan_avg"}
        What is kept: the variance of activations, that of gradients, or half of each, with the gain
        forward, backward, or the geometric mean of both.
    bias : float, mapping or None, default 0
        A number is the bias of layers that a rectifier follows (0.1 has all units of relu begin alive);
        all others get 0. A mapping has biases by names of activations. `None` leaves biases as they
        are. SIREN draws its biases, uniformly up to ``1 / sqrt(fan_in)``.
    distribution : {"normal", "uniform"}
        Of the weights.
    activations : mapping, optional
        What follows a layer, by its path, where the model does not tell: a name of nonlin's or a
        function of a float64 array.
    example : tensor, tuple or dict, optional
        Arguments of the model. It is run on them, in evaluation, if `torch.fx` cannot trace it.
    first_gain : float, optional
        The gain of layers that the model's input comes to: 1 keeps the variance of standardised inputs.
        By default it is that of all others, as with He et al.
    generator : torch.Generator, optional
        Where numbers come from.
    verbose : bool, default True
        Whether to print what is returned.

    Returns
    -------
    Initialisation
        What was done to each layer, what was left and why, and which variances do not hold.

    Raises
    ------
    ValueError
        If an argument is none of those above, or `activations` names no layer.

    Notes
    -----
    A layer with several functions behind it, or with code that nobody has seen, is left and listed. So
    are weights that are computed (parametrisations), shared with other modules such as embeddings, or
    not there yet (lazy modules, the device "meta"). Other modules with weights are listed too.

    A branch that is added to others keeps its own variance: that of the sum adds up, which the notes
    tell. Zeros around an image, which lower the variance at its rim, are not counted.

    Examples
    --------
    >>> import torch, nonlin.torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.GELU(), torch.nn.Linear(8, 2))
    >>> done = nonlin.torch.init_(model)  # doctest: +NORMALIZE_WHITESPACE
    fan_in, model traced
    layer  activation  rule    fan  gain    std     bias  variance
    0      gelu        He      4    1.5335  0.7668  0     2.35
    2      identity    Xavier  5    1.0000  0.4472  0     1.76
    gelu: a variance of 1 is kept but does not hold: dV/dq = 1.144, so what differs from 1 grows
    1.144-fold a layer
    >>> done.layers[0].activation
    'gelu'
    """
    if mode not in _MODES:
        raise ValueError(f"mode is {mode!r}; it must be 'fan_in', 'fan_out' or 'fan_avg'")
    if distribution not in ("normal", "uniform"):
        raise ValueError(f"distribution is {distribution!r}; it must be 'normal' or 'uniform'")
    for what, number in (("bias", bias), *(bias.items() if isinstance(bias, Mapping) else ())):
        if isinstance(number, (int, float)) and not math.isfinite(number):
            raise ValueError(f"the bias of {what} is {number}; it must be finite")
    if first_gain is not None and not (math.isfinite(first_gain) and first_gain > 0):
        raise ValueError(f"first_gain is {first_gain}; it must be finite and greater than 0")
    while isinstance(model, _WRAPPERS) or hasattr(model, "_orig_mod"):
        # `torch.compile` keeps the model as `_orig_mod`.
        model = next(model.children())
    seen = graph(model, example)
    plan = _Plan(model, seen, dict(activations or {}))
    done = Initialisation(seen.way, mode, left=plan.left)
    drawn = _Draw(mode, bias, distribution, first_gain, generator)
    with torch.no_grad():
        for layer in plan.layers:
            try:
                done.layers.append(drawn.layer(layer))
            except ValueError as error:
                done.left.append((layer.name, str(error)))
    plan.predict(done)
    done.notes += _held(done, plan)
    if verbose:
        print(done)
    return done


@dataclass
class _Layer:
    """A weight to be drawn, and where its numbers go."""

    name: str
    weight: Tensor
    bias: Tensor | None
    fan_in: float
    fan_out: float
    nodes: list[Node]
    first: bool
    branch: Branch
    following: Following


class _Plan:
    """All layers of a model, each with the function that follows it."""

    def __init__(self, model: nn.Module, seen: Graph, given: dict[str, Any]) -> None:
        self.layers: list[_Layer] = []
        self.left: list[tuple[str, str]] = []
        #: For each node that has the output of a function: the layer before it.
        self.exits: dict[int, _Layer] = {}
        owners = _owners(model)
        places: dict[int, list[Node]] = {}
        for node in seen.nodes:
            if is_layer(node) and (weight := _weight(node)) is not None:
                places.setdefault(id(weight), []).append(node)
        told: set[str] = set()
        factors: dict[int, list[tuple[_Layer, Following]]] = {}
        for path, module in model.named_modules():
            for name, weight in module._parameters.items():
                if weight is None or id(weight) in told or not _is_weight(module, name, weight):
                    continue
                told.add(id(weight))
                where = path or "(the model itself)"
                nodes = places.get(id(weight), [])
                why = _untouchable(module, name, weight, owners[id(weight)])
                if not nodes and not why and not isinstance(module, _KINDS):
                    why = f"{type(module).__name__}: neither a linear nor a convolutional layer"
                if why:
                    self.left.append((where if name == "weight" else f"{where}.{name}", why))
                    continue
                if path in given:
                    found = [Branch(follows_by_name(given.pop(path)), n) for n in nodes[:1]]
                    found = found or [Branch(IDENTITY, Node("output", "output"), why="the model does not call it")]
                else:
                    found = [b for n in nodes for b in branches(n)]
                branch = decide(found)
                if not nodes:
                    branch = Branch(IDENTITY, branch.exit, why=_unseen(seen))
                if branch.why:
                    self.left.append((where, branch.why))
                    continue
                fan_in, fan_out = _fans(weight, nodes[0])
                first = any(_source(n) == "input" for n in nodes)
                layer = _Layer(where, weight, _bias(nodes[0]), fan_in, fan_out, nodes, first, branch,
                               branch.following)  # fmt: skip
                self.layers.append(layer)
                for b in found:
                    self.exits.setdefault(id(b.exit), layer)
                    if b.factor is not None:
                        factors.setdefault(id(b.factor), []).append((layer, b.following))
            if parametrize.is_parametrized(module, "weight") and not isinstance(module, nn.Embedding):
                self.left.append((path or "(the model itself)", "its weight is parametrised: set what it is computed from"))
        for product in factors.values():
            if len(product) == 2 and not all(f.linear for _, f in product):
                a, b = sorted((f for _, f in product), key=lambda f: f.linear)
                both = Following(None, f"{a.text} * {b.text}", parts=(a, b), gated=True)
                for layer, _ in product:
                    layer.following = both
        if given:
            known = ", ".join(x.name for x in self.layers)
            raise ValueError(f"activations: there is no layer `{next(iter(given))}`; layers: {known}")

    def predict(self, done: Initialisation) -> None:
        """Put the variances in, layer after layer."""
        known: dict[int, float | None] = {}
        rows = {x.name: i for i, x in enumerate(done.layers)}

        def square(node: Node) -> float | None:
            """The mean square of a node's value."""
            if node.kind == "input":
                return 1.0
            if norms(node):
                return 1.0
            if (layer := self.exits.get(id(node))) is not None:
                q: float | None = 1.0 if layer.branch.normed else variance(layer)
                if not layer.branch.plain:
                    q = None
                return None if q is None or layer.name not in rows else _square(layer.branch.following, q)
            if shapes_only(node) and len(node.tensors) == 1:
                return square(node.tensors[0])
            return None

        def variance(layer: _Layer) -> float | None:
            if id(layer) not in known:
                known[id(layer)] = None
                if layer.name in rows and len(layer.nodes) == 1:
                    x = done.layers[rows[layer.name]]
                    q = square(layer.nodes[0].tensors[0])
                    if q is not None:
                        known[id(layer)] = x.std**2 * layer.fan_in * q + (x.bias or 0.0) ** 2
            return known[id(layer)]

        for layer in self.layers:
            if layer.name in rows:
                i = rows[layer.name]
                done.layers[i] = done.layers[i]._replace(variance=variance(layer))


#: Modules that hold a model and are none themselves.
_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)

_KINDS = (nn.Linear, nn.modules.conv._ConvNd)


def _is_weight(module: nn.Module, name: str, weight: Tensor) -> bool:
    """Whether a parameter is a matrix or a kernel: not a bias, a slope, or a scale."""
    if nn.parameter.is_lazy(weight):
        return name == "weight"
    return weight.dim() >= 2 and "Norm" not in type(module).__name__


def _owners(model: nn.Module) -> dict[int, list[nn.Module]]:
    """For each parameter the modules that have it."""
    owners: dict[int, list[nn.Module]] = {}
    for module in model.modules():
        for p in module._parameters.values():
            if p is not None:
                owners.setdefault(id(p), []).append(module)
    return owners


def _untouchable(module: nn.Module, name: str, weight: Tensor, owners: list[nn.Module]) -> str:
    if nn.parameter.is_lazy(weight):
        return "its shape is not known yet: run the model once"
    if weight.is_meta:
        return "it is on the device meta: give it memory first"
    if not weight.is_floating_point():
        return f"its type is {weight.dtype}"
    other = [m for m in owners if not isinstance(m, _KINDS)]
    if other and len(owners) > 1:
        names = " and ".join(sorted({type(m).__name__ for m in owners}))
        return f"{names} share this weight"
    if isinstance(module, nn.MultiheadAttention) or type(module).__name__ == "NonDynamicallyQuantizableLinear":
        return "part of a MultiheadAttention, which draws its own by Xavier"
    return ""


def _unseen(seen: Graph) -> str:
    return "the model does not call it" if seen.way != "traced" else "its forward does not call it"


def _weight(node: Node) -> Tensor | None:
    """The parameter that a layer multiplies by."""
    if node.kind == "module":
        found = node.target._parameters.get("weight")
        return found
    given = node.args[1] if len(node.args) > 1 else node.kwargs.get("weight")
    if isinstance(given, Node) and isinstance(given.target, nn.Parameter):
        return given.target
    return None


def _bias(node: Node) -> Tensor | None:
    if node.kind == "module":
        return node.target._parameters.get("bias")
    given = node.args[2] if len(node.args) > 2 else node.kwargs.get("bias")
    if isinstance(given, Node) and isinstance(given.target, nn.Parameter):
        return given.target
    return None


def _fans(weight: Tensor, node: Node) -> tuple[float, float]:
    """How many numbers each output is a sum of, and to how many outputs each input goes.

    Of a transposed convolution each output has as many as the stride leaves, on the average.
    """
    size = math.prod(weight.shape[2:])
    if node.kind == "module":
        groups, stride = getattr(node.target, "groups", 1), getattr(node.target, "stride", 1)
        transposed = bool(getattr(node.target, "transposed", False))
    else:
        transposed = node.word.startswith("conv_transpose")
        stride = node.kwargs.get("stride", node.args[3] if len(node.args) > 3 else 1)
        groups = node.kwargs.get("groups", node.args[6] if len(node.args) > 6 else 1)
    if transposed:
        steps = math.prod(stride) if isinstance(stride, (tuple, list)) else stride ** (weight.dim() - 2)
        return weight.shape[0] // groups * size / steps, float(weight.shape[1] * size)
    return float(weight.shape[1] * size), weight.shape[0] // groups * size


def _source(node: Node) -> str:
    """What a layer's input comes from, before shapes and norms: the kind of that node."""
    tensors = node.tensors
    while len(tensors) == 1 and (shapes_only(tensors[0]) or norms(tensors[0])):
        tensors = tensors[0].tensors
    return tensors[0].kind if len(tensors) == 1 else ""


def _square(following: Following, q: float) -> float | None:
    """The mean square of a function's output, for an input of variance q."""
    if following.parts or q <= 0:
        return None
    try:
        return float(nonlin.init.moments(following.function, variance=q, **dict(following.params)).square)
    except ValueError:
        return None


class _Draw:
    """The rules."""

    def __init__(self, mode: str, bias: Any, distribution: str, first_gain: float | None,
                 generator: torch.Generator | None) -> None:  # fmt: skip
        self.mode, self.bias, self.distribution = mode, bias, distribution
        self.first_gain, self.generator = first_gain, generator
        self.gains: dict[Any, float] = {}

    def layer(self, x: _Layer) -> InitialisedLayer:
        """Draws weights and sets the bias."""
        f = x.following
        uniform = self.distribution == "uniform"
        fan = {"fan_in": x.fan_in, "fan_out": x.fan_out, "fan_avg": (x.fan_in + x.fan_out) / 2}[self.mode]
        gain, notes = 1.0, list(x.branch.notes)
        if f.omega is not None:
            rule, fan, uniform = "SIREN first" if x.first else "SIREN", x.fan_in, True
            limit = 1 / fan if x.first else math.sqrt(6 / fan) / f.omega
            gain = limit / math.sqrt(3) * math.sqrt(fan)
        elif f.function == "selu":
            rule, fan, uniform = "LeCun normal", x.fan_in, False
        elif f.linear:
            rule, fan = "Xavier", (x.fan_in + x.fan_out) / 2
        else:
            rule, gain = "He", self.gain(f, notes)
        if x.first and self.first_gain is not None and f.omega is None:
            rule, fan, gain = "first_gain", x.fan_in, float(self.first_gain)
        std = gain / math.sqrt(fan)
        self.fill(x.weight, std * math.sqrt(3) if uniform else None, std)
        if len(x.nodes) > 1:
            notes.append(f"used {len(x.nodes)} times")
        return InitialisedLayer(x.name, f.text, rule, fan, gain, std, self.set_bias(x), None, tuple(notes))

    def gain(self, f: Following, notes: list[str]) -> float:
        """The gain of a function by the mode; of gated ones, and of jumps, the one forward."""
        key = (f.text, f.params, f.function if callable(f.function) else None)
        if key not in self.gains:
            if f.parts:
                squares = (nonlin.init.moments(p.function, **dict(p.params)).square for p in f.parts)
                self.gains[key] = 1 / math.sqrt(math.prod(squares))
            else:
                kept = "forward" if f.gated else _MODES[self.mode]
                self.gains[key] = float(nonlin.init.gain(f.function, mode=kept, **dict(f.params)))
        if f.gated and self.mode != "fan_in":
            notes.append("a gated unit has a gain forward alone")
        return self.gains[key]

    def fill(self, weight: Tensor, limit: float | None, std: float) -> None:
        """Draws in float32 at least, so that half types have each value rounded once."""
        device = weight.device if self.generator is None else self.generator.device
        kind = weight.dtype if weight.dtype in (torch.float32, torch.float64) else torch.float32
        new = torch.empty(weight.shape, dtype=kind, device=device)
        if limit is None:
            new.normal_(0.0, std, generator=self.generator)
        else:
            new.uniform_(-limit, limit, generator=self.generator)
        weight.copy_(new)

    def set_bias(self, x: _Layer) -> float | None:
        """Sets the bias; gives the number."""
        if x.bias is None or self.bias is None:
            return None
        f = x.following
        if f.omega is not None:
            self.fill(x.bias, 1 / math.sqrt(x.fan_in), 0.0)
            return None
        name = f.function if isinstance(f.function, str) else f.text
        if isinstance(self.bias, Mapping):
            value = float(self.bias.get(name, 0.0))
        else:
            value = float(self.bias) if name in _RECTIFIERS else 0.0
        x.bias.fill_(value)
        return value


def _held(done: Initialisation, plan: _Plan) -> list[str]:
    """Notes on variances: of functions that do not hold them, and of sums."""
    notes = []
    of = {x.name: x.following for x in plan.layers}
    told: dict[str, list[InitialisedLayer]] = {}
    for x in done.layers:
        if x.rule == "He":
            told.setdefault(x.activation, []).append(x)
    for text, layers in told.items():
        f = of[layers[0].name]
        if f.gated:
            continue
        point = nonlin.init.fixed_point(f.function, **dict(f.params))
        if point.stable is not False:
            continue
        note = (
            f"{text}: a variance of 1 is kept but does not hold: dV/dq = {point.slope:.4g}, so what differs "
            f"from 1\ngrows {point.slope:.4g}-fold a layer"
        )
        ends = [x for x in layers if x.variance is not None]
        if len(ends) > 1:
            a, b = ends[0], ends[-1]
            note += f"; from {a.variance:.3g} at {a.name} it comes to {b.variance:.3g} at {b.name}"
        notes.append(note)
    for x in done.layers:
        omega = of[x.name].omega
        if x.rule == "SIREN first" and omega is not None and omega < 5:
            notes.append(
                f"{x.name}: SIREN multiplies by 30 before its first sine, this model by {omega:.4g}: that sine "
                "sees a small\npart of a period, and is nearly linear"
            )
    sums = sum("added to another branch" in x.notes for x in done.layers)
    if sums:
        notes.append(f"{sums} layers end a branch that is added to another: variances of the sum add up")
    return notes
