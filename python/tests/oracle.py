"""Exact values: the textbook formula of a function in multiple precision, independent of the kernels."""

import re
from fractions import Fraction

import mpmath
import numpy as np

import nonlin

mp = mpmath.mp

# Digits: e^x - 1 and ln(1 + e^x) lose as many as the least number has zeros.
SINGLE, DOUBLE = 80, 400

# Beyond, the normal distribution is 0 or 1 to 200,000 digits.
FAR = 1000

WORDS = {
    "select": lambda c, a, b: a if c else b,
    "exp": mpmath.exp,
    "ln": mpmath.log,
    "log": mpmath.log,
    "tanh": mpmath.tanh,
    "sqrt": mpmath.sqrt,
    "abs": abs,
    "min": min,
    "max": max,
    "normal_cdf": lambda x: mpmath.ncdf(x) if abs(x) < FAR else mpmath.mpf(x > 0),
    "mpf": mpmath.mpf,
}


def compiled(formula):
    """The formula as Python code."""
    text = re.sub(r"\bif\(", "select(", formula).replace("^", "**")
    text = re.sub(r"(?<![\w.])(\d+(?:\.\d+)?)(?![\w.])", r"mpf('\1')", text)
    return compile(text, formula, "eval")


def parameters(about, single):
    """The exact values that arithmetic in float32 (or in float64) has for the defaults."""
    values = {}
    for name, p in about.parameters.items():
        if p.exact:
            fraction = Fraction(p.default).limit_denominator(1000)
            values[name] = mpmath.mpf(fraction.numerator) / fraction.denominator
        else:
            values[name] = mpmath.mpf(float(np.float32(p.default)) if single else p.default)
    return values


class Exact:
    """Value and derivative of an elementwise function."""

    def __init__(self, name, single):
        about = nonlin.info(name)
        self._code = compiled(about.formula)
        self._digits = SINGLE if single else DOUBLE
        with mpmath.workdps(self._digits + 60):
            self._words = {**WORDS, **parameters(about, single), "pi": mp.pi}

    def value(self, x):
        """f(x)."""
        with mpmath.workdps(self._digits):
            return eval(self._code, {"__builtins__": {}}, {**self._words, "x": mpmath.mpf(x)})

    def slope(self, x):
        """f'(x), by a central difference so narrow that 20 digits are right."""
        with mpmath.workdps(self._digits + 60):
            x = mpmath.mpf(x)
            h = max(abs(x), mpmath.mpf(1)) * mpmath.mpf(10) ** -40
            if abs(x) < 1e-30:
                h = mpmath.mpf(10) ** -60
            words = self._words
            f = lambda t: eval(self._code, {"__builtins__": {}}, {**words, "x": t})
            return (f(x + h) - f(x - h)) / (2 * h)


def ulps(y, exact, dtype):
    """The distance of y to the exact value, in units of the last place of the type."""
    y = float(y)
    about = np.finfo(dtype)
    digits = about.nmant
    if exact == 0:
        return 0.0 if y == 0 else mpmath.inf
    exponent = mpmath.floor(mpmath.log(abs(exact), 2))
    least = int(np.log2(float(about.smallest_normal))) if dtype != np.float64 else -1022
    unit = mpmath.mpf(2) ** (max(int(exponent), least) - digits)
    if np.isinf(y):
        largest = mpmath.mpf(float(about.max))
        return mpmath.mpf(0) if abs(exact) > largest else mpmath.inf
    return abs(mpmath.mpf(y) - exact) / unit
