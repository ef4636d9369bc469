"""Rational functions fitted to activations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nonlin import _catalog

#: Where a fit is sampled, and where its error is taken.
_SAMPLES, _TESTED = 1001, 20_001


@dataclass(frozen=True)
class RationalFit:
    """A rational function ``P(x) / (1 + |Q(x)|)``, which `fit_rational` has made.

    Attributes
    ----------
    numerator : tuple of float
        The coefficients of P: that of 1, that of x, and so on.
    denominator : tuple of float
        Those of Q: that of x, that of x², and so on.
    interval : (float, float)
        Where it was fitted.
    error : float
        Its greatest distance from the function there, on 20,001 points.
    """

    numerator: tuple[float, ...]
    denominator: tuple[float, ...]
    interval: tuple[float, float]
    error: float

    @property
    def formula(self) -> str:
        """The function as a formula with the parameters a0, a1, ... and b1, b2, ..., for `nonlin.Function`
        and `nonlin.Learnable`."""
        a, b = ([repr(float(c)) for c in of] for of in (self.numerator, self.denominator))
        starts = [f"a{i} = {c}" for i, c in enumerate(a)] + [f"b{i} = {c}" for i, c in enumerate(b, 1)]
        return f"{rational(len(a) - 1, len(b))}; {', '.join(starts)}"

    def __call__(self, x: Any) -> np.ndarray:
        x = np.asarray(x, dtype=float)
        return _value(x, np.array(self.numerator), np.array(self.denominator))[0]


def rational(n: int, m: int) -> str:
    """The formula of degrees n and m.

    Beyond 1 it is one of 1 / x, so that no power overflows: of a large x it is the ratio of what counts.
    """

    def horner(names: list[str], z: str) -> str:
        text = names[-1]
        for name in reversed(names[:-1]):
            text = f"{name} + {z} * ({text})"
        return text

    a, b = [f"a{i}" for i in range(n + 1)], [f"b{i}" for i in range(1, m + 1)]
    near = f"({horner(a, 'x')}) / (1 + abs(x * ({horner(b, 'x')})))"
    # |x|^m and x^n are taken out.
    far = f"({horner(a[::-1], '(1 / x)')}) / (abs(1 / x)^{m} + abs({horner(b[::-1], '(1 / x)')}))"
    power = f"x^{n - m} * " if n >= m else f"(1 / x)^{m - n} * "
    sign = "" if m % 2 == 0 else "sign(x) * "
    return f"where(abs(x) > 1, {power if n != m else ''}{sign}{far}, {near})"


def fit_rational(
    f: str | Callable[[np.ndarray], Any],
    *,
    degrees: tuple[int, int] = (5, 4),
    interval: tuple[float, float] = (-3.0, 3.0),
) -> RationalFit:
    """Fit a rational function without poles, ``P(x) / (1 + |Q(x)|)``, to an activation.

    Parameters
    ----------
    f : str or callable
        A function of nonlin by name, a formula, or a function of arrays.
    degrees : (int, int), default (5, 4)
        Of P and of Q.
    interval : (float, float), default (-3, 3)
        Where it is fitted.

    Returns
    -------
    RationalFit
        The coefficients, and the greatest error.

    Raises
    ------
    ValueError
        If degrees or interval are out of range, or the function is not finite in the interval.

    Notes
    -----
    The sum of squares at 1,001 Chebyshev points is made small, by the method of Levenberg and Marquardt;
    it starts from the linear problem ``P - f Q = f`` with all powers in Q, with the even or odd ones and with
    none, and the best wins.
    The units of Molina, Schramowski and Kersting 2020 (arXiv:1907.06732) have this form.

    Examples
    --------
    >>> import nonlin
    >>> fit = nonlin.fit_rational("gelu")
    >>> bool(fit.error < 2e-3)
    True
    >>> learned = nonlin.Learnable(fit.formula)
    >>> len(learned.params)
    10
    """
    n, m = degrees
    low, high = map(float, interval)
    for word, degree in (("numerator", n), ("denominator", m)):
        if not 1 <= degree <= 12:
            raise ValueError(f"the degree of the {word} is {degree}; it must be from 1 to 12")
    if not (np.isfinite([low, high]).all() and low < high):
        raise ValueError(f"interval is {interval}; it must be two finite numbers, the lesser first")
    function = _catalog.get(f) if isinstance(f, str) else f
    points = np.cos(np.pi * (np.arange(_SAMPLES) + 0.5) / _SAMPLES)
    x = (low + high) / 2 + (high - low) / 2 * points
    y = np.asarray(function(x), dtype=float)
    if y.shape != x.shape or not np.isfinite(y).all():
        raise ValueError(f"{f!r} is not finite between {low:g} and {high:g}, or not elementwise")
    # Powers of x over the greatest: the problem is the same, and well conditioned.
    scale = max(abs(low), abs(high))
    u = x / scale
    tries = [_descend(u, y, *_linear(u, y, n, m, step)) for step in (m + 1, 1, 2)]
    # Of those that are exact but for roundings, the first: a polynomial has no denominator.
    _, a, b = min(tries, key=lambda t: max(t[0], 1e-24))
    a, b = a / scale ** np.arange(n + 1.0), b / scale ** np.arange(1.0, m + 1)
    tested = np.linspace(low, high, _TESTED)
    error = float(np.abs(_value(tested, a, b)[0] - np.asarray(function(tested))).max())
    return RationalFit(tuple(map(float, a)), tuple(map(float, b)), (low, high), error)


def _value(x: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The value, the sign of Q and the denominator."""
    p = np.polynomial.polynomial.polyval(x, a)
    q = x * np.polynomial.polynomial.polyval(x, b)
    return p / (1 + np.abs(q)), np.sign(q), 1 + np.abs(q)


def _linear(x: np.ndarray, y: np.ndarray, n: int, m: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    """P and Q that solve ``P - y Q = y``, weighted by the denominator of the round before; Q has each
    `step`-th power, from the last one down."""
    kept = np.arange(m, 0, -step) if step <= m else np.arange(0)
    above, below = np.vander(x, n + 1, increasing=True), x[:, None] ** kept
    b, weight = np.zeros(m), np.ones_like(x)
    for _ in range(10):
        columns = np.hstack([above, -y[:, None] * below]) / weight[:, None]
        solved = np.linalg.lstsq(columns, y / weight, rcond=None)[0]
        b[kept - 1] = solved[n + 1 :]
        weight = np.maximum(np.abs(1 + below @ solved[n + 1 :]), 1e-2)
    # Where the denominator is not above 1 it becomes so: the descent goes on from there.
    return solved[: n + 1], b


def _descend(
    x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """The sum of squares, P and Q where it is least nearby (Levenberg and Marquardt)."""
    above, below = np.vander(x, len(a), increasing=True), x[:, None] ** np.arange(1, len(b) + 1)
    solved, damping = np.concatenate([a, b]), 1e-3

    def residual(c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        value, sign, under = _value(x, c[: len(a)], c[len(a) :])
        slopes = np.hstack([above, -(value * sign)[:, None] * below]) / under[:, None]
        return value - y, slopes

    r, slopes = residual(solved)
    for _ in range(300):
        normal, right = slopes.T @ slopes, slopes.T @ r
        step = np.linalg.lstsq(normal + damping * np.diag(np.diag(normal)), right, rcond=None)[0]
        next_r, next_slopes = residual(solved - step)
        better = r @ r - next_r @ next_r
        if better > 0:
            solved, r, slopes, damping = solved - step, next_r, next_slopes, damping / 3
            if better < 1e-6 * (r @ r):
                break
        else:
            damping *= 4
            if damping > 1e12:
                break
    return float(r @ r), solved[: len(a)], solved[len(a) :]
