#!/usr/bin/env python3
"""Derive the tables of the f32 kernels: piecewise polynomials that fit into registers.

    python3 tools/tables.py            # rewrite crates/nonlin/src/math/tables.rs
    python3 tools/tables.py --check    # derive again and compare, exit 1 on a difference

A table has 16 pieces. Piece k stands for the numbers t with |t - k step| <= step / 2, and lies
at k mod 16, which is what the low bits of a rounded t / step say. Its value is `base + rest(r)`,
where `rest` is a polynomial of f32 numbers in the distance r from a centre. Of the kinds, a
`Table` has bases of few bits, which a kernel can multiply or subtract exactly, and a rest that
begins with what the base lacks; a `Centred` table has centres near k step at which the function
is an f32 number to 2^-31 (Gal 1991), so that the rest begins with r. `Octaves` has pieces that
grow with t + 1, four to an octave, and otherwise is a `Table`. The rest is a least-squares
fit at Chebyshev nodes, relative to the function, in 40-digit arithmetic (mpmath, the only
dependency); coefficients are rounded low degree first, each rounding followed by a new fit of
those that are left.
"""
import struct
import sys
from pathlib import Path

from coefficients import selu
from mpmath import mp, mpf, cos, erfc, exp, expm1, fabs, floor, frexp, log, log1p, lu_solve, matrix, pi, sqrt, tanh

mp.dps = 40
PIECES = 16
OUT = Path(__file__).resolve().parent.parent / "crates/nonlin/src/math/tables.rs"


def single(x):
    """The nearest f32."""
    return struct.unpack("<f", struct.pack("<f", float(x)))[0]


def tanh_ratio(t):
    """tanh(t) / t"""
    return tanh(t) / t if t else mpf(1)


def tanh_slope(t):
    """4 e^-2t / (1 + e^-2t)^2, the derivative of tanh"""
    w = exp(-2 * t)
    return 4 * w / (1 + w) ** 2


def rise(t):
    """1 / (1 + e^-t) - 1/2, by which the sigmoid is above a half"""
    return tanh(t / 2) / 2


def logistic_tail(t):
    """1 / (1 + e^t), the sigmoid of -t"""
    return 1 / (1 + exp(t))


def silu(t):
    """t / (1 + e^t), minus SiLU at -t"""
    return t * logistic_tail(t)


def silu_slope(t):
    """(1 - t s) / (1 + e^t) with s = 1 / (1 + e^-t), the slope of SiLU at -t"""
    return (1 - t * logistic_tail(-t)) * logistic_tail(t)


def expm1_ratio(t):
    """(1 - e^-t) / t"""
    return -expm1(-t) / t if t else mpf(1)


def selu_left(t):
    """lambda alpha (e^-t - 1), SELU at -t"""
    alpha, scale = selu()
    return alpha * scale * expm1(-t)


def softplus_tail(t):
    """ln(1 + e^-t)"""
    return log1p(exp(-t))


def tanh_softplus(x):
    """tanh(ln(1 + e^x)), the gate of Mish"""
    n = exp(x) * (exp(x) + 2)
    return n / (n + 2)


def mish_slope(x):
    """g + 4 x w (1 + w) / (w^2 + 2 w + 2)^2 with w = e^x and Mish's gate g, the slope of Mish"""
    w = exp(x)
    return tanh_softplus(x) + 4 * x * w * (1 + w) / (w * w + 2 * w + 2) ** 2


def mills(t):
    """Phi(-t) e^(t^2/2), the tail of the normal distribution over its density"""
    return erfc(t / sqrt(mpf(2))) * exp(t * t / 2) / 2


def gelu_slope(t):
    """Phi(-t) e^(t^2/2) - t / sqrt(2 pi), the slope of GELU at -t without its exponential"""
    return mills(t) - t / sqrt(2 * pi)


def cubic(t, factor=1):
    """2 sqrt(2/pi) (t + 0.044715 t^3)"""
    return 2 * sqrt(2 / pi) * (t + factor * mpf("0.044715") * t**3)


def cubic_gate(t):
    """1 / (1 + e^-z) with z = 2 sqrt(2/pi) (t + 0.044715 t^3), the gate of GELU by tanh"""
    return logistic_tail(-cubic(t))


def cubic_slope(t):
    """s - t z' s^2 with s = 1 / (1 + e^-z), the slope of GELU by tanh at -t without its exponential"""
    s = cubic_gate(t)
    return s - cubic(t, 3) * s * s


def bits(count):
    """Rounds to so many significant bits."""
    def rounded(v):
        m, e = frexp(v)
        return mpf(int(floor(m * 2**count + mpf(1) / 2))) * mpf(2) ** (e - count)
    return rounded


def multiple(exponent):
    """Rounds to a multiple of 2^-exponent."""
    return lambda v: mpf(int(floor(v * 2**exponent + mpf(1) / 2))) / 2**exponent


def fit(f, base, low, high, centre, degree, start=0, size=None):
    """Coefficients of rest(r) from r^start on, as f32, and the largest error of base + rest.

    Relative to the function (or to `size`), but where it is below 0.05 near a zero within |t| < 2, to that."""
    count = 3 * (degree + 1)
    at = lambda i, n: (low + high) / 2 - (high - low) / 2 * cos(pi * (2 * i + 1) / (2 * n))
    points = [at(i, count) for i in range(count)]
    values = [f(x) for x in points]
    sizes = [size(x) for x in points] if size else [
        max(fabs(v), mpf("0.05")) if fabs(x) < 2 else v for x, v in zip(points, values)
    ]
    rest = [v - base for v in values]
    r = [x - centre for x in points]
    fixed = []
    for first in range(start, degree + 1):
        n = degree + 1 - first
        a, b = matrix(n, n), matrix(n, 1)
        for x, y, v in zip(r, rest, sizes):
            w = 1 / (v * v)
            p = [x ** (first + i) for i in range(n)]
            for i in range(n):
                b[i] += w * p[i] * y
                for j in range(n):
                    a[i, j] += w * p[i] * p[j]
        c = mpf(single(lu_solve(a, b)[0]))
        fixed.append(float(c))
        rest = [y - c * x**first for x, y in zip(r, rest)]
    return fixed, max(fabs(y / v) for y, v in zip(rest, sizes))


def single_bits(v):
    return mpf(single(v))


class Table:
    """Bases rounded by `rounded`; a rest that begins with a constant."""
    kind, head = "Table", ["base"]

    def __init__(self, name, f, step, degree, rounded=None, first=0):
        self.name, self.f, self.step, self.degree = name, f, mpf(step), degree
        self.low = mpf(0) if first == 0 else (first - mpf(1) / 2) * self.step
        self.high = (first + PIECES - mpf(1) / 2) * self.step
        self.error = mpf(0)
        self.rows = [[0.0] * PIECES for _ in range(degree + 2)]
        for k in range(first, first + PIECES):
            middle = k * self.step
            low, high = max(middle - self.step / 2, self.low), middle + self.step / 2
            values, error = self.piece(middle, low, high, rounded)
            self.error = max(self.error, error)
            for row, v in zip(self.rows, values):
                row[k % PIECES] = float(v)

    def piece(self, middle, low, high, rounded):
        base = rounded(self.f(middle))
        if base == self.f(middle):  # so that the rest is 0 in the middle
            c, error = fit(self.f, base, low, high, middle, self.degree, 1)
            return [base, 0] + c, error
        c, error = fit(self.f, base, low, high, middle, self.degree)
        return [base] + c, error


class Centred(Table):
    """Centres at which the function is an f32 number; a rest that begins with r."""
    kind, head, lean, from_zero, even, size = "Centred", ["centre", "base"], False, False, False, None

    def piece(self, middle, low, high, _):
        if low == 0 and self.from_zero:
            centre, base = mpf(0), self.f(mpf(0))
        else:
            centre, base = self.centre(low, high)
        if low == 0 and self.even:
            c, error = fit(self.f, base, low, high, centre, self.degree, 2, self.size)
            return [centre, base, 0.0] + c, error
        c, error = fit(self.f, base, low, high, centre, self.degree, 1, self.size)
        return [centre, base] + c, error

    def centre(self, low, high):
        """Where the function is an f32 number, and its slope nearly one; else where it is nearest one."""
        h = mpf(2) ** -40
        rounded = single_bits
        off = lambda v: fabs(rounded(v) / v - 1)
        middle = (low + high) / 2
        slope = lambda c: (self.f(c + h) - self.f(c - h)) / (2 * h)
        if self.lean and self.f(low) * self.f(high) < 0:
            # The sum of base and linear term is exact only if no base is finer than that term.
            rounded = multiple(24 - frexp(fabs(slope(middle)) * (high - low) / 2)[1])
        elif self.lean:  # towards the smaller values, for which the rest counts most: as its square does
            first, last = (sqrt(max(fabs(self.f(x)), mpf("1e-12"))) for x in (low, high))
            middle = low + (high - low) * first / (first + last)
        scale = mpf(2) ** (24 - frexp(middle)[1])
        near = [(floor(middle * scale) + i // 2 * (-1) ** i) / scale for i in range(6000)]
        for c in near:
            if off(self.f(c)) < mpf(2) ** -31 and fabs(single_bits(slope(c)) / slope(c) - 1) < mpf(2) ** -27:
                return c, rounded(self.f(c))
        # Where it varies too little for that, or passes through 0: where both together cost least.
        lost = lambda v: fabs(single_bits(v) - v)
        spread = [single_bits(middle + (high - low) * i / 60000) for i in range(-3000, 3001)]
        best = min(spread, key=lambda c: lost(self.f(c)) + lost(slope(c)) * (high - low) / 2)
        return best, single_bits(self.f(best))


class Leaning(Centred):
    """Centres off the middle, where a function varies much within a piece."""
    lean = True


class Rise(Table):
    """Bases that 1/2 plus or minus them is exact; errors relative to 1/2 less the function."""

    def piece(self, middle, low, high, rounded):
        tail = lambda t: mpf(1) / 2 - self.f(t)
        base = rounded(self.f(middle))
        start = 1 if base == self.f(middle) else 0
        c, error = fit(self.f, base, low, high, middle, self.degree, start, tail)
        return [base] + [0] * start + c, error


class Even(Centred):
    """The first piece from 0, where the slope is 0: so the rest is 0 there and not -0."""
    from_zero = even = True


class EvenLeaning(Leaning):
    """Both."""
    from_zero = even = True


class FromZero(Leaning):
    """The first piece from 0, where the function is 0: errors relative to it."""
    from_zero = True

    def size(self, t):
        return self.f(t)


class BothSides(FromZero):
    """The same where t less the function matters too: errors relative to the root of their product."""

    def size(self, t):
        return sqrt(self.f(t) * (t - self.f(t)))


class Octaves(Table):
    """Pieces as wide as a quarter of the power of two below t + 1."""
    kind, head = "Octaves", ["centre", "base"]

    def __init__(self, name, f, degree, rounded):
        self.name, self.f, self.degree, self.step = name, f, degree, None
        self.low, self.high, self.error = mpf(0), mpf(15), mpf(0)
        self.rows = [[0.0] * PIECES for _ in range(degree + 3)]
        for m in range(PIECES):
            width = mpf(2) ** (m // 4) / 4
            low = mpf(2) ** (m // 4) + m % 4 * width - 1
            values, error = self.piece(low + width / 2, low, low + width, rounded)
            self.error = max(self.error, error)
            for row, v in zip(self.rows, [low + width / 2] + values):
                row[(127 * 4 + m) % PIECES] = float(v)


def tables():
    yield Even("TANH", tanh_ratio, "0.583984375", 6)
    yield EvenLeaning("TANH_SLOPE", tanh_slope, "0.646484375", 8)
    yield Rise("SIGMOID", rise, "0.646484375", 6, multiple(24))
    yield BothSides("SILU", silu, "0.646484375", 6)
    yield Centred("SILU_SLOPE", silu_slope, "0.646484375", 7)
    yield Centred("EXPM1", expm1_ratio, "1.125", 6)
    yield FromZero("SELU", selu_left, "1.125", 7)
    yield Centred("SOFTPLUS", softplus_tail, "0.646484375", 6)
    yield Leaning("TANH_SOFTPLUS", tanh_softplus, "1.21875", 8, first=-8)
    yield Leaning("MISH_SLOPE", mish_slope, "1.3359375", 10, first=-7)
    yield Octaves("MILLS", mills, 6, bits(12))
    yield Octaves("MILLS_SLOPE", gelu_slope, 6, bits(12))
    yield Table("CUBIC_GATE", cubic_gate, "0.3515625", 5, bits(12))
    yield Table("CUBIC_SLOPE", cubic_slope, "0.640625", 8, bits(12))


def powers():
    """2^(j/16) with 12 bits, its bits less j 2^19; the logarithm of the factor that is left; 24 bits."""
    exact = [mpf(2) ** (mpf(j) / 16) for j in range(16)]
    short = [bits(12)(v) for v in exact]
    less = lambda v, j: struct.unpack("<I", struct.pack("<f", float(v)))[0] - (j << 19)
    patterns = lambda values: [struct.unpack("<f", struct.pack("<I", less(v, j)))[0] for j, v in enumerate(values)]
    rest = [single(log(v / s)) for v, s in zip(exact, short)]
    return patterns(short), rest, patterns([single(v) for v in exact])


def render():
    sixteenth = log(mpf(2)) / 16
    hi = single(round(sixteenth * 2**17) / mpf(2) ** 17)
    lo = single(sixteenth - mpf(hi))
    lines = [
        "// Generated by tools/tables.py; do not edit. `python3 tools/tables.py --check` derives them again.",
        "//! Tables of the f32 kernels: 16 pieces, each a base and a polynomial of what is beyond it.",
        "",
        "use super::table::{Centred, Octaves, Table, Table16};",
        "",
    ]
    pattern, rest, roots = powers()
    row = lambda values: "[" + ", ".join(repr(v) for v in values) + "]"
    lines += [
        "/// 16 / ln 2.",
        f"pub const PER_LN2: f32 = {single(1 / sixteenth)!r};",
        "/// ln 2 / 16 in 13 bits, so that k times it is exact for |k| < 2^11.",
        f"pub const LN2_16_HI: f32 = {hi!r};",
        "/// ln 2 / 16 minus `LN2_16_HI`.",
        f"pub const LN2_16_LO: f32 = {lo!r};",
        "/// `2^(j/16)` in 12 bits: its representation less `j 2^19`.",
        "#[rustfmt::skip]",
        f"pub const POWER: Table16 = Table16({row(pattern)});",
        "/// The logarithm of what `POWER` lacks as a factor.",
        "#[rustfmt::skip]",
        f"pub const POWER_REST: Table16 = Table16({row(rest)});",
        "/// `2^(j/16)` rounded to f32: its representation less `j 2^19`.",
        "#[rustfmt::skip]",
        f"pub const ROOT: Table16 = Table16({row(roots)});",
    ]
    h = sixteenth / 2 * mpf("1.01")
    g = lambda r: (expm1(r) / r - 1) / r if r else mpf(1) / 2
    c, e = fit(g, mpf(0), -h, h, mpf(0), 1)
    lines += [
        f"/// `(e^r - 1 - r) / r^2` on |r| <= ln 2 / 32; relative error 2^-{float(-log(e, 2)):.1f}.",
        f"pub const EXP_REST: [f32; 2] = {c!r};",
    ]
    for t in tables():
        error = float(-log(t.error, 2))
        print(f"{t.name:20} degree {t.degree}, {float(t.low):.3f} to {float(t.high):.3f}: 2^-{error:.2f}", file=sys.stderr)
        head = len(t.head)
        sizes = f"{len(t.rows) - head}, {-(-len(t.rows) // 4)}"
        lines += [
            f"/// {t.f.__doc__}, from {float(t.low)!r} to {float(t.high)!r}; relative error 2^-{error:.1f}.",
            "#[rustfmt::skip]",
            f"pub const {t.name}: {t.kind}<{sizes}> = {t.kind}::new(",
        ]
        if t.step is not None:
            lines += [f"    {float(t.step)!r},"]
        lines += [f"    {row(r)}," for r in t.rows[:head]]
        lines += ["    ["] + [f"        {row(r)}," for r in t.rows[head:]] + ["    ],", ");"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    text = render()
    if "--check" in sys.argv:
        if OUT.read_text() != text:
            sys.exit(f"{OUT} differs from what this script derives")
        print("tables: as derived")
    else:
        OUT.write_text(text)
