"""How wide to draw weights: gains of activation functions under a normal input, by quadrature.

A layer of `n` inputs whose weights have the deviation ``gain(f) / sqrt(n)`` hands on the variance that
it gets, where its inputs are what `f` makes of numbers from a normal distribution. `gain` has the
factors of He and Glorot, and those of every other function; `variance_map` tells what becomes of other
variances, layer after layer, and `fixed_point` whether they return.

>>> import nonlin
>>> g = nonlin.init.gain("relu")
>>> round(g, 12), g.error < 1e-13
(1.414213562373, True)
>>> nonlin.init.fixed_point("gelu").stable
False
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Callable, NamedTuple

import numpy as np

from nonlin import _catalog, _nonlin, _rows

__all__ = ["Estimate", "FixedPoint", "Moments", "fixed_point", "gain", "moments", "variance_map"]

#: The deviations up to which the normal distribution is integrated: its density there is the least
#: normal number of float64.
_FAR = 37.5

#: Rounding: of the function (squares of slopes that are 4 units off), of the density, and of sums.
_ROUNDING = 32 * np.finfo(float).eps

#: An integral with a greater error, relative to it, is none.
_LOST = 1e-6


class Estimate(float):
    """A number, and how far off it is at most.

    Attributes
    ----------
    error : float
        The bound of the absolute error. It adds up, over all pieces of the integral, by how much two
        rules of different order differ, which bounds the error of the better one wherever they see the
        function at all; then what is left out beyond 37.5 deviations, and rounding.

    Examples
    --------
    >>> import nonlin
    >>> g = nonlin.init.gain("relu")
    >>> abs(g - 2**0.5) <= g.error < 1e-13
    True
    """

    error: float

    def __new__(cls, value: float, error: float) -> "Estimate":
        self = super().__new__(cls, value)
        self.error = float(error)
        return self

    def __repr__(self) -> str:
        return f"{float(self)!r} (error at most {_up(self.error)})"

    def __str__(self) -> str:
        return repr(float(self))

    def __format__(self, spec: str) -> str:
        return format(float(self), spec)

    def __reduce__(self) -> Any:
        return Estimate, (float(self), self.error)


@dataclass(frozen=True)
class Moments:
    """What a function makes of a normal input.

    Attributes
    ----------
    mean, variance : Estimate
        Of the output.
    square : Estimate
        The mean of the squared output, which the next layer's variance is proportional to.
    """

    mean: Estimate
    variance: Estimate
    square: Estimate


@dataclass(frozen=True)
class FixedPoint:
    """A variance that layers hand on unchanged.

    Attributes
    ----------
    variance : Estimate
        The variance.
    slope : Estimate
        The derivative of the variance map there: by what a small deviation is multiplied in each layer.
    """

    variance: Estimate
    slope: Estimate

    @property
    def stable(self) -> bool | None:
        """Whether small deviations die out; `None` where they stay, as with relu."""
        if abs(self.slope - 1) <= max(self.slope.error, 1e-12):
            return None
        return self.slope < 1


def gain(
    function: Any, *, mode: str = "forward", variance: float = 1.0, **params: float
) -> Estimate:
    """The factor by which weights make up for what a function does to a normal input.

    Parameters
    ----------
    function : str, function of nonlin, or callable
        A name, an elementwise or gated function, or anything that maps an array of float64 to one of
        the same shape, element by element.
    mode : {"forward", "backward", "mean"}
        What is kept: the variance of activations, that of gradients, or the geometric mean of both.
    variance : float, default 1
        The variance of the input, whose mean is 0.
    **params : float
        Parameters of a function of nonlin.

    Returns
    -------
    Estimate
        With z of that variance, ``sqrt(variance / E f(z)**2)`` forward and ``1 / sqrt(E f'(z)**2)``
        backward. A gated function has two independent inputs, and a gain forward alone.

    Raises
    ------
    ValueError
        If the mean is infinite (a jump has no gain backward), or 0, or the function is NaN somewhere.
    TypeError
        If the function is not elementwise.

    Notes
    -----
    The integral is split at 0 and at the function's kinks, and halved where the two rules of a piece
    differ, so that corners, jumps and slopes without bound that nobody has told of are closed in.
    Slopes of functions of nonlin are their derivatives; slopes of other callables are those of the
    polynomials that the pieces are integrated with.

    Examples
    --------
    >>> import nonlin, numpy as np
    >>> round(nonlin.init.gain("leaky_relu", negative_slope=0.5), 12) == round((2 / 1.25) ** 0.5, 12)
    True
    >>> round(nonlin.init.gain("gelu", mode="backward"), 6)
    1.481114
    >>> round(nonlin.init.gain(lambda x: np.clip(x, -1, 1), mode="backward"), 9)
    1.210287062
    """
    if mode not in ("forward", "backward", "mean"):
        raise ValueError(f"mode is {mode!r}; it must be 'forward', 'backward' or 'mean'")
    f = _Function(function, params)
    variance = _positive("variance", variance)
    if mode == "forward":
        return _root(variance, f.square(variance), f)
    backward = _root(1.0, f.slope_square(variance), f)
    if mode == "backward":
        return backward
    forward = _root(variance, f.square(variance), f)
    value = math.sqrt(forward * backward)
    return Estimate(value, value / 2 * (forward.error / forward + backward.error / backward))


def moments(
    function: Any, *, mean: float = 0.0, variance: float = 1.0, **params: float
) -> Moments:
    """Mean and variance of what a function makes of a normal input.

    Parameters
    ----------
    function : str, function of nonlin, or callable
        As for `gain`.
    mean, variance : float
        Of the input; of a gated function, of both inputs.
    **params : float
        Parameters of a function of nonlin.

    Returns
    -------
    Moments

    Examples
    --------
    >>> import nonlin
    >>> out = nonlin.init.moments("selu")
    >>> abs(out.mean) <= 1e-14, abs(out.variance - 1) <= 1e-13
    (True, True)
    """
    f = _Function(function, params)
    variance = _positive("variance", variance)
    if not math.isfinite(mean):
        raise ValueError(f"mean is {mean}; it must be finite")
    first = f.expect(lambda y, z: y, variance, mean)
    square = f.expect(lambda y, z: y * y, variance, mean)
    spread = Estimate(
        max(square - first * first, 0.0), square.error + (2 * abs(first) + first.error) * first.error
    )
    return Moments(first, spread, square)


def variance_map(
    function: Any,
    q: float,
    *,
    gain: float | None = None,
    bias: float = 0.0,
    derivative: bool = False,
    **params: float,
) -> Estimate:
    """The variance of the next layer, by that of this one.

    Parameters
    ----------
    function : str, function of nonlin, or callable
        As for `gain`.
    q : float
        The variance of the function's input.
    gain : float, optional
        The deviation of weights times the root of the number of inputs; by default
        ``gain(function)``, so that 1 is mapped to 1.
    bias : float, default 0
        The variance of biases.
    derivative : bool, default False
        Whether to give the derivative by `q` instead.
    **params : float
        Parameters of a function of nonlin.

    Returns
    -------
    Estimate
        ``gain**2 * E f(z)**2 + bias`` with z of variance `q`.

    Examples
    --------
    How silu multiplies small deviations from a variance of 1, and what 20 layers make of 2:

    >>> import nonlin
    >>> round(nonlin.init.variance_map("silu", 1.0, derivative=True), 4)
    1.1726
    >>> q = 2.0
    >>> for _ in range(20):
    ...     q = nonlin.init.variance_map("silu", q)
    >>> round(q)
    446
    """
    f = _Function(function, params)
    q = _positive("q", q)
    if not (math.isfinite(bias) and bias >= 0):
        raise ValueError(f"bias is {bias}; it is a variance, and at least 0")
    return f.map(q, f.gain() if gain is None else _positive("gain", gain), bias, derivative)


def fixed_point(
    function: Any,
    *,
    gain: float | None = None,
    bias: float = 0.0,
    start: float = 1.0,
    **params: float,
) -> FixedPoint:
    """The variance that `variance_map` leaves as it is, and whether others come to it.

    Parameters
    ----------
    function : str, function of nonlin, or callable
        As for `gain`.
    gain, bias : float
        As for `variance_map`.
    start : float, default 1
        Of several, the nearest to this is given, by ratio.
    **params : float
        Parameters of a function of nonlin.

    Returns
    -------
    FixedPoint

    Raises
    ------
    ValueError
        If there is none between 1e-6 and 1e6 times `start`; the message says where variances go.

    Examples
    --------
    >>> import nonlin
    >>> point = nonlin.init.fixed_point("tanh", gain=1.5)
    >>> round(point.variance, 6), round(point.slope, 6), point.stable
    (0.793354, 0.504678, True)
    """
    f = _Function(function, params)
    start = _positive("start", start)
    g = f.gain() if gain is None else Estimate(_positive("gain", gain), 0.0)
    if not (math.isfinite(bias) and bias >= 0):
        raise ValueError(f"bias is {bias}; it is a variance, and at least 0")

    def excess(q: float) -> Estimate:
        v = f.map(q, g, bias, False)
        return Estimate(v / q - 1, v.error / q)

    def found(q: float) -> FixedPoint:
        slope = f.map(q, g, bias, True)
        # How far off the root is that a difference of this error has.
        steep = max(abs(slope - 1), 1e-300)
        off = min((excess(q).error * q + abs(excess(q)) * q) / steep, q)
        return FixedPoint(Estimate(q, 0.0 if off == q else off), slope)

    at = excess(start)
    if abs(at) <= max(2 * at.error, 1e-14):
        return FixedPoint(Estimate(start, 0.0), f.map(start, g, bias, True))
    below, above = (start, at), (start, at)
    for step in range(1, 41):
        ratio = 10 ** (0.15 * step)
        lower, upper = start / ratio, start * ratio
        for inner, q in ((below, lower), (above, upper)):
            e = excess(q)
            if (e > 0) != (inner[1] > 0):
                return found(_bisect(excess, inner[0], q))
            if inner is below:
                below = (q, e)
            else:
                above = (q, e)
    way = "grows" if at > 0 else "falls"
    raise ValueError(
        f"the variance of {f.name} has no fixed point between {below[0]:.3g} and {above[0]:.3g}: "
        f"from {start:g} it {way}, by the factor {1 + at:.6g} in the first layer"
    )


class _Function:
    """A function whose means are wanted: values, slopes if they are known, kinks."""

    def __init__(self, function: Any, params: dict[str, float]) -> None:
        f = _catalog.get(function, **params) if isinstance(function, str) else function
        if isinstance(f, _rows.RowFunction):
            raise TypeError(f"`{f.name}` is not elementwise: it has no gain")
        recipe = _nonlin.recipe(f)
        if recipe is not None and params and not isinstance(function, str):
            f = f.bind(**params) if isinstance(f, _nonlin.Function) else _catalog.get(recipe[0], **params)
        if recipe is None and params:
            word = next(iter(params))
            raise TypeError(f"parameter `{word}`: only functions of nonlin have parameters by name")
        if not callable(f):
            raise TypeError(f"{function!r} is no function")
        self.f = f
        self.name = recipe[0] if recipe is not None else getattr(f, "__name__", repr(f))
        self.gated = recipe is not None and getattr(f, "nin", 1) == 2
        self.kinks: tuple[float, ...] = ()
        self.slope: Callable[..., Any] | None = None
        if recipe is not None and not self.gated:
            about = _nonlin.facts(self.name)
            self.kinks = tuple(k[0] for k in about.get("kinks", ()))
            self.kinks += tuple(about.get("slope_zeros", ()))
            try:
                self.slope = _nonlin.related(f, "derivative")
            except (TypeError, ValueError):
                pass

    def values(self, x: Any) -> Any:
        """f(x), checked."""
        with np.errstate(all="ignore"):
            y = np.asarray(self.f(x))
        if y.shape != x.shape or not np.issubdtype(y.dtype, np.number) or np.iscomplexobj(y):
            raise TypeError(
                f"{self.name} gave {y.dtype} of shape {y.shape} for float64 of shape {x.shape}; "
                "it must map an array to real numbers, element by element"
            )
        return y.astype(float)

    def expect(
        self, of: Callable[[Any, Any], Any], variance: float, mean: float = 0.0
    ) -> Estimate:
        """The mean of ``of(f(x), z)`` with x = mean + deviation z."""
        scale = math.sqrt(variance)
        if self.gated:
            return _square_rule(lambda a, b: of(self.f(a, b), a), scale, mean)
        return _adaptive(
            lambda z, _: of(self.values(mean + scale * z), z), self._breaks(scale, mean), self.name
        )

    def square(self, variance: float) -> Estimate:
        """The mean of f(x)**2."""
        return self.expect(lambda y, z: y * y, variance)

    def slope_square(self, variance: float) -> Estimate:
        """The mean of f'(x)**2."""
        scale = math.sqrt(variance)
        if self.gated:
            raise ValueError(f"{self.name} has two inputs and a slope by each: its gain is forward alone")
        if self.slope is not None:
            slope = self.slope
            return _adaptive(
                lambda z, _: slope(scale * z) ** 2, self._breaks(scale, 0.0), f"the slope of {self.name}"
            )
        differences = _rules().differences.T

        def slopes(z: Any, half: Any) -> Any:
            """Those of the polynomials through the nodes of each piece."""
            y = self.values(scale * z)
            return (y - y[:, 7:8]) @ differences / (scale * half[:, None])

        # No piece may begin at a jump, which its polynomials would not see.
        breaks = self._breaks(scale, 0.0)
        breaks = breaks[:-1] + 0.3819 * np.diff(breaks)
        return _adaptive(
            lambda z, half: slopes(z, half) ** 2,
            breaks,
            f"the slope of {self.name}",
            least=1e-12,
            noise=1e-13,
        )

    def gain(self) -> Estimate:
        """The gain forward at a variance of 1."""
        return _root(1.0, self.square(1.0), self)

    def map(self, q: float, gain: float, bias: float, derivative: bool) -> Estimate:
        """What `variance_map` gives."""
        off = 2 * getattr(gain, "error", 0.0) / gain
        if derivative:
            # Of the normal density by its variance: no slope is needed, and a jump does no harm.
            if self.gated:
                raise ValueError(f"{self.name} has two inputs: its variance map has no derivative here")
            e = self.expect(lambda y, z: y * y * (z * z - 1) / 2, q)
            value = gain * gain * e / q
            return Estimate(value, gain * gain * e.error / q + abs(value) * off)
        e = self.square(q)
        value = gain * gain * e
        return Estimate(value + bias, gain * gain * e.error + value * off)

    def _breaks(self, scale: float, mean: float) -> Any:
        """Where pieces begin: at whole deviations, at kinks, at 0 and around it on the scale of 1."""
        powers = 2.0 ** np.arange(-4, 7)
        marks = np.concatenate([[0.0], powers, -powers, self.kinks])
        near = (marks - mean) / scale
        whole = np.append(np.arange(-37.0, 38.0), [-_FAR, _FAR])
        points = np.unique(np.concatenate([whole, near[np.abs(near) < _FAR]]))
        return points


def _positive(what: str, value: float) -> float:
    number = float(value)
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"{what} is {value}; it must be finite and greater than 0")
    return value if isinstance(value, Estimate) else number


def _root(scale: float, square: Estimate, f: _Function) -> Estimate:
    """``sqrt(scale / square)``."""
    if square <= square.error:
        raise ValueError(f"{f.name} is 0, or its slope is: no gain makes up for that")
    value = math.sqrt(scale / square)
    return Estimate(value, value * (square.error / (square - square.error) / 2 + 4e-16))


def _up(error: float) -> str:
    """An error with one digit, rounded up."""
    if error == 0:
        return "0"
    exponent = math.floor(math.log10(error))
    digit = math.ceil(error / 10.0**exponent - 1e-9)
    return f"{digit}e{exponent:+03d}" if digit < 10 else f"1e{exponent + 1:+03d}"


def _bisect(excess: Callable[[float], Estimate], a: float, b: float) -> float:
    """Where a function of one sign at `a` and another at `b` passes through 0."""
    sign = excess(a) > 0
    for _ in range(60):
        middle = math.sqrt(a * b)
        if middle in (a, b):
            break
        if (excess(middle) > 0) == sign:
            a = middle
        else:
            b = middle
    return math.sqrt(a * b)


class _Rules(NamedTuple):
    """A pair of rules on [-1, 1], and how to take slopes at their nodes."""

    nodes: Any
    weights: Any
    lower: Any
    differences: Any


@lru_cache(maxsize=None)
def _rules() -> _Rules:
    """Nodes of the Gauss rule of 7 points and the 8 that Kronrod adds, weights of all, and weights of
    Gauss's alone.

    Kronrod's nodes are the zeros of the polynomial of degree 8 that is orthogonal to all lower ones
    with Legendre's of degree 7 as the weight; weights are those that integrate Legendre polynomials.
    """
    from numpy.polynomial import legendre

    gauss, gauss_weights = legendre.leggauss(7)
    p7 = legendre.Legendre.basis(7)
    x, w = legendre.leggauss(32)
    table = np.array([[np.sum(w * p7(x) * legendre.Legendre.basis(i)(x) * legendre.Legendre.basis(j)(x))
                       for j in range(9)] for i in range(8)])  # fmt: skip
    series = np.append(np.linalg.lstsq(table[:, :8], -table[:, 8], rcond=None)[0], 1.0)
    polynomial = legendre.Legendre(series)
    added = np.real(polynomial.roots())
    slope = polynomial.deriv()
    for _ in range(3):
        added = added - polynomial(added) / slope(added)
    nodes = np.concatenate([gauss, added])
    order = np.argsort(nodes)
    nodes = nodes[order]
    nodes = (nodes - nodes[::-1]) / 2
    matrix = legendre.legvander(nodes, 14).T
    integrals = np.zeros(15)
    integrals[0] = 2.0
    weights = np.linalg.solve(matrix, integrals)
    lower = np.concatenate([gauss_weights, np.zeros(8)])[order]
    return _Rules(nodes, (weights + weights[::-1]) / 2, lower, _differences(nodes))


def _differences(nodes: Any) -> Any:
    """The matrix that makes slopes at the nodes of values there, by the polynomial through them."""
    gaps = nodes[:, None] - nodes[None, :] + np.eye(len(nodes))
    weights = 1 / gaps.prod(axis=1)
    matrix = weights[None, :] / weights[:, None] / gaps
    np.fill_diagonal(matrix, 0)
    np.fill_diagonal(matrix, -matrix.sum(axis=1))
    return matrix


def _density(z: Any) -> Any:
    return np.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def _adaptive(
    g: Callable[[Any, Any], Any],
    breaks: Any,
    name: str,
    least: float = 0.0,
    noise: float = 1e-17,
) -> Estimate:
    """The integral of g(z, half) times the normal density; `half` is the half width of a piece.

    No piece is halved that is narrower than `least`, or where both rules agree up to `noise` times the
    whole.
    """
    rules = _rules()
    low, high = breaks[:-1], breaks[1:]
    value = error = size = 0.0
    outer = 0.0
    for _ in range(1100):
        half = (high - low) / 2
        z = (low + half)[:, None] + half[:, None] * rules.nodes
        with np.errstate(all="ignore"):
            y = g(z, half)
            y = y * _density(z)
            better, lower = (y @ rules.weights) * half, (y @ rules.lower) * half
            scale = (np.abs(y) @ rules.weights) * half
        difference = np.abs(better - lower)
        finite = np.isfinite(difference)
        hole = ~np.isfinite(y).any(axis=1)
        if hole.any():
            raise _no_mean(name, z[hole][0, 7], y[hole][0])
        # A piece is good if the rules differ by no more than rounding does, the density's too.
        total = size + np.sum(scale[finite])
        good = finite & (difference <= np.maximum(4e-16 * (1 + z[:, 7] ** 2) * scale, noise * total))
        middle = low + half
        stuck = ~good & ((middle <= low) | (middle >= high) | (high - low < least))
        if np.any(stuck & ~finite):
            raise _no_mean(name, z[stuck & ~finite][0, 7], y[stuck & ~finite][0])
        done = good | stuck
        value += float(np.sum(better[done]))
        error += float(np.sum(difference[good]))
        # Of what cannot be halved both rules may be wrong alike.
        error += float(np.sum(np.maximum(difference, scale)[stuck]))
        size += float(np.sum(scale[done]))
        outer += float(np.sum(scale[done & (np.abs(middle) > _FAR - 0.5)]))
        if np.all(done):
            break
        left = ~done
        low, high = (
            np.concatenate([low[left], middle[left]]),
            np.concatenate([middle[left], high[left]]),
        )
        if len(low) > 200_000:
            raise ValueError(f"{name} varies too fast to be integrated: {len(low)} pieces are open")
    error += 4 * outer + (_ROUNDING + 10 * noise) * size
    if not (error <= _LOST * size or size == 0):
        raise ValueError(
            f"{name} has no finite mean square under a normal input, or none that can be found: "
            f"{value:.6g}, uncertain by {error:.2g}"
        )
    return Estimate(value, error)


def _no_mean(name: str, z: float, y: Any) -> ValueError:
    if np.isnan(y).any():
        return ValueError(f"{name} is NaN around {z:.6g} deviations from the mean of its input")
    return ValueError(
        f"{name} has no finite mean square under a normal input, or none that float64 holds: it is "
        f"infinite around {z:.6g} deviations from the mean"
    )


def _square_rule(g: Callable[[Any, Any], Any], scale: float, mean: float) -> Estimate:
    """The mean of g(a, b) of two independent normal inputs, by a product of fixed rules."""
    rules = _rules()
    powers = 2.0 ** np.arange(-2, 5)
    near = (np.concatenate([[0.0], powers, -powers]) - mean) / scale
    far = 12.0
    points = np.unique(np.concatenate([np.arange(-far, far + 1), near[np.abs(near) < far]]))
    half = np.diff(points) / 2
    z = ((points[:-1] + half)[:, None] + half[:, None] * rules.nodes).ravel()
    better = (half[:, None] * rules.weights).ravel() * _density(z)
    lower = (half[:, None] * rules.lower).ravel() * _density(z)
    x = mean + scale * z
    y = g(x[:, None], x[None, :])
    value = float(better @ y @ better)
    size = float(better @ np.abs(y) @ better)
    edge = np.abs(z) > far - 1
    weight = np.where(edge[:, None] | edge[None, :], np.abs(y), 0.0)
    outer = float(better @ weight @ better)
    error = abs(value - float(lower @ y @ lower)) + 4 * outer + _ROUNDING * size
    return Estimate(value, error)
