#!/usr/bin/env python3
"""Derive every polynomial coefficient that nonlin's kernels use.

    python3 tools/coefficients.py            # rewrite crates/nonlin/src/math/coefficients.rs
    python3 tools/coefficients.py --check    # derive again and compare, exit 1 on a difference

Method: Remez exchange in 60-digit arithmetic (mpmath, the only dependency). Each
polynomial minimises the largest *relative* error of the function it stands for;
its coefficients are then rounded to f64, low degree first, each rounding followed
by a new minimax fit of the remaining ones, so that the rounding errors of the
leading coefficients are absorbed by the others.
"""
import struct
import sys
from pathlib import Path

from mpmath import mp, mpf, exp, expm1, erf, erfc, log, lu_solve, matrix, sqrt, atan, atanh, pi, sin, cos, fabs, floor

mp.dps = 60
OUT = Path(__file__).resolve().parent.parent / "crates/nonlin/src/math/coefficients.rs"


def remez(f, weight, a, b, powers, rounds=30):
    """Coefficients c with sum c_i x^powers[i] ~ f on [a, b], minimax in weight * error."""
    a, b, n = mpf(a), mpf(b), len(powers)
    nodes = [(a + b) / 2 - (b - a) / 2 * cos(pi * i / n) for i in range(n + 1)]
    grid = [(a + b) / 2 - (b - a) / 2 * cos(pi * i / (60 * n)) for i in range(60 * n + 1)]
    fg = [f(x) for x in grid]
    wg = [weight(x) for x in grid]
    best = None
    for _ in range(rounds):
        m, r = matrix(n + 1, n + 1), matrix(n + 1, 1)
        for i, x in enumerate(nodes):
            for j, p in enumerate(powers):
                m[i, j] = x**p
            m[i, n] = (-1) ** i / weight(x)
            r[i] = f(x)
        s = lu_solve(m, r)
        c = [s[j] for j in range(n)]
        err = []
        for x, v, w in zip(grid, fg, wg):
            err.append(w * (sum(cj * x**p for cj, p in zip(c, powers)) - v))
        ext, worst = extrema(err, n + 1)
        if best is None or worst < best[1]:
            best = (c, worst)
        if len(ext) < n + 1:
            break
        nodes = [grid[i] for i in ext]
        if fabs(worst / fabs(s[n]) - 1) < mpf("1e-4"):
            break
    return best


def remez_rational(f, m, k, end, rounds=40):
    """N / D of degrees m, k with D(0) = 1, minimax in the relative error of f on [0, end]."""
    n = m + k + 2
    at = lambda i, count: (lambda s: end * s / (1 + end / 4 * (1 - s)))((1 - cos(pi * i / (count - 1))) / 2)
    nodes = [at(i, n) for i in range(n)]
    grid = [at(i, 80 * n) for i in range(80 * n)]
    values = [f(x) for x in grid]
    level, den, best = mpf(0), [], None
    for _ in range(rounds):
        for _ in range(8):  # the levelled error enters as a product: iterate on its last value
            a, r = matrix(n, n), matrix(n, 1)
            for i, x in enumerate(nodes):
                v, sign = f(x), (-1) ** i
                for j in range(m + 1):
                    a[i, j] = x**j
                ve = v * (1 + sign * level)
                for j in range(1, k + 1):
                    a[i, m + j] = -ve * x**j
                d = 1 + sum(c * x ** (j + 1) for j, c in enumerate(den))
                a[i, n - 1] = -sign * v * d
                r[i] = ve - sign * v * d * level
            sol = lu_solve(a, r)
            num, den = [sol[j] for j in range(m + 1)], [sol[m + j] for j in range(1, k + 1)]
            done = fabs(sol[n - 1] - level) < fabs(sol[n - 1]) * mpf("1e-8")
            level = sol[n - 1]
            if done:
                break
        err = [sum(c * x**j for j, c in enumerate(num)) / (1 + sum(c * x ** (j + 1) for j, c in enumerate(den))) / v - 1
               for x, v in zip(grid, values)]
        ext, worst = extrema(err, n)
        if best is None or worst < best[2]:
            best = (num, [mpf(1)] + den, worst)
        if len(ext) < n or fabs(worst / fabs(level) - 1) < mpf("1e-3"):
            break
        nodes = [grid[i] for i in ext]
    return best


def extrema(err, count):
    """Indices of at most `count` alternating extrema of err, and the largest magnitude."""
    ext, run = [], [0]
    for i in range(1, len(err)):
        if err[i] * err[run[-1]] < 0:
            ext.append(max(run, key=lambda q: fabs(err[q])))
            run = []
        run.append(i)
    ext.append(max(run, key=lambda q: fabs(err[q])))
    while len(ext) > count:  # drop the smaller end
        ext.pop(0 if fabs(err[ext[0]]) < fabs(err[ext[-1]]) else -1)
    return ext, max(fabs(e) for e in err)


def fit(f, weight, a, b, degree, step=1, start=0, rounded=float):
    """Minimax polynomial with f64 (or `rounded`) coefficients (powers start, start+step, ...)."""
    powers = [start + step * i for i in range(degree + 1)]
    fixed = []
    g = f
    while powers:
        c, _ = remez(g, weight, a, b, powers)
        c0 = mpf(rounded(c[0]))
        fixed.append(float(c0))
        p0 = powers[0]
        g = (lambda g, c0, p0: lambda x: g(x) - c0 * x**p0)(g, c0, p0)
        powers = powers[1:]
    worst = max(fabs(weight(x) * g(x)) for x in
                [mpf(a) + (mpf(b) - mpf(a)) * i / 2000 for i in range(2001)])
    return fixed, worst


def taylor_safe(f, series, x, tiny):
    return series(x) if fabs(x) < tiny else f(x)


LN2 = log(mpf(2))
HALF = LN2 / 2 * mpf("1.0001")


def exp_rest(r):
    """(e^r - 1 - r) / r^2"""
    if fabs(r) < mpf("1e-8"):
        return mpf(1) / 2 + r / 6 + r * r / 24 + r**3 / 120
    return (expm1(r) - r) / (r * r)


def log_rest(v):
    """(atanh(s) - s) / s^3 with v = s^2"""
    if v < mpf("1e-12"):
        return mpf(1) / 3 + v / 5 + v * v / 7
    s = sqrt(v)
    return (atanh(s) - s) / (s * v)


def log_tail(v):
    """(2 atanh(t/2) - t - t^3 / 12) / t^5 with v = t^2"""
    if v < mpf("1e-9"):
        return mpf(1) / 80 + v / 448 + v * v / 2304 + v**3 / 11264 + v**4 / 53248
    t = sqrt(v)
    return (2 * atanh(t / 2) - t - t * v / 12) / (t * v * v)


def log_third(v):
    """(2 atanh(t/2) - t) / t^3 with v = t^2"""
    return mpf(1) / 12 + v * log_tail(v)


def atan_rest(v):
    """(atan(t) - t) / t^3 with v = t^2"""
    if v < mpf("1e-9"):
        return mpf(-1) / 3 + v / 5 - v * v / 7 + v**3 / 9 - v**4 / 11
    t = sqrt(v)
    return (atan(t) - t) / (t * v)


def sin_rest(v):
    """(sin(r) - r) / r^3 with v = r^2"""
    if v < mpf("1e-9"):
        return mpf(-1) / 6 + v / 120 - v * v / 5040 + v**3 / 362880
    r = sqrt(v)
    return (sin(r) - r) / (r * v)


def cos_rest(v):
    """(cos(r) - 1 + r^2 / 2) / r^4 with v = r^2"""
    if v < mpf("1e-9"):
        return mpf(1) / 24 - v / 720 + v * v / 40320 - v**3 / 3628800
    return (cos(sqrt(v)) - 1 + v / 2) / (v * v)


def erf_over(x):
    """erf(x) / x"""
    if fabs(x) < mpf("1e-12"):
        return 2 / sqrt(pi) * (1 - x * x / 3)
    return erf(x) / x


def interpolated(f, middle, half, degree):
    """The polynomial in x - middle through f at the Chebyshev nodes of [middle - half, middle + half]."""
    n = degree + 1
    m, r = matrix(n, n), matrix(n, 1)
    for i in range(n):
        u = half * cos(pi * (2 * i + 1) / (2 * n))
        for j in range(n):
            m[i, j] = u**j
        r[i] = f(middle + u)
    s = lu_solve(m, r)
    return [s[j] for j in range(n)]


def pieces(f, width, degree, low):
    """For 16 pieces of equal width from 0 the coefficients of f, in pairs as a register looks them up: with
    `low` the rest of the constant term first; and the largest relative error."""
    rows, worst = [], mpf(0)
    for i in range(16):
        middle = width * (2 * i + 1) / 2
        c = interpolated(f, middle, width / 2, degree)
        rounded = [float(v) for v in c]
        rest = float(c[0] - mpf(rounded[0]))
        rows.append(([rest] if low else []) + rounded)
        for k in range(201):
            u = width * (k - 100) / 200
            got = sum(mpf(v) * u**j for j, v in enumerate(rounded)) + (rest if low else 0)
            worst = max(worst, fabs(got / f(middle + u) - 1))
    count = len(rows[0])
    assert count % 2 == 0
    return [[(row[j], row[j + 1]) for row in rows] for j in range(0, count, 2)], worst


def leading(x, bits):
    """The first bits of x > 0."""
    unit = mpf(2) ** (floor(log(x, 2)) + 1 - bits)
    return floor(x / unit) * unit


def mills(t):
    """Phi(-t) e^(t^2/2)"""
    return erfc(t / sqrt(mpf(2))) * exp(t * t / 2) / 2


def split(x):
    hi = float(x)
    return hi, float(x - mpf(hi))


def ln2_parts():
    """ln 2 as a part with 32 trailing zero bits and the rest (Cody and Waite)"""
    hi = struct.unpack("<d", struct.pack("<Q", struct.unpack("<Q", struct.pack("<d", float(LN2)))[0] & ~0xFFFFFFFF))[0]
    return hi, float(LN2 - mpf(hi))



def tables():
    out = []
    one = lambda x: mpf(1)
    c, e = fit(exp_rest, lambda r: 1 / exp_rest(r), -HALF, HALF, 6)
    out.append(("EXP_NARROW", c, e, "(e^r - 1 - r) / r^2 on |r| <= ln2/2"))
    for name, degree in (("FULL", 11), ("NARROW", 6)):
        c, e = fit(log_rest, lambda v: 1 / log_rest(v), 0, mpf(1) / 9, degree)
        out.append((f"LOG_{name}", c, e, "(atanh s - s) / s^3 in s^2, 0 <= s <= 1/3"))
    end = (2 * (sqrt(mpf(2)) - 1) / (sqrt(mpf(2)) + 1) * mpf("1.00001")) ** 2
    c, e = fit(log_tail, lambda v: 1 / log_tail(v), 0, end, 7)
    out.append(("LN_FULL", c, e, "(2 atanh(t/2) - t - t^3 / 12) / t^5 in t^2, for m = (2 + t) / (2 - t) from sqrt(1/2) to sqrt(2)"))
    c, e = fit(log_third, lambda v: 1 / log_third(v), 0, end, 5)
    out.append(("LN_NARROW", c, e, "(2 atanh(t/2) - t) / t^3 in t^2, for m = (2 + t) / (2 - t) from sqrt(1/2) to sqrt(2)"))
    end = (mpf(1) / 31 * mpf("1.0001")) ** 2
    for name, degree in (("FULL", 4), ("NARROW", 2)):
        c, e = fit(atan_rest, lambda v: 1 / fabs(atan_rest(v)), 0, end, degree)
        out.append((f"ATAN_{name}", c, e, "(atan(t) - t) / t^3 in t^2, |t| <= 1/31"))
    end = (pi / 4 * mpf("1.0001")) ** 2
    for name, degree in (("FULL", 6), ("NARROW", 3)):
        c, e = fit(sin_rest, lambda v: 1 / fabs(sin_rest(v)), 0, end, degree)
        out.append((f"SIN_{name}", c, e, "(sin(r) - r) / r^3 in r^2, |r| <= pi/4"))
        c, e = fit(cos_rest, lambda v: 1 / fabs(cos_rest(v)), 0, end, degree)
        out.append((f"COS_{name}", c, e, "(cos(r) - 1 + r^2 / 2) / r^4 in r^2, |r| <= pi/4"))
    num, den, e = remez_rational(mills, 5, 6, mpf("14.6"))
    out.append(("CDF_NARROW_NUM", [float(v) for v in num], e, "Phi(-t) e^(t^2/2) as a quotient, 0 <= t <= 14.6: numerator"))
    out.append(("CDF_NARROW_DEN", [float(v) for v in den], e, "Phi(-t) e^(t^2/2) as a quotient, 0 <= t <= 14.6: denominator"))
    return out


CONSTANTS = {
    "INV_SQRT_2PI": (lambda: 1 / sqrt(2 * pi), "1/sqrt(2 pi), the standard normal density at 0"),
    "GELU_TANH_1": (lambda: 2 * sqrt(2 / pi), "2 sqrt(2/pi), the coefficient of x inside tanh-GELU's sigmoid"),
    "GELU_TANH_3": (lambda: 2 * sqrt(2 / pi) * mpf("0.044715"), "2 sqrt(2/pi) 0.044715, the coefficient of x^3"),
    "SELU_LAMBDA": (lambda: selu()[1], "SELU's scale"),
    "SELU_LAMBDA_ALPHA": (lambda: selu()[0] * selu()[1], "SELU's scale times its alpha"),
    "TWELFTH": (lambda: mpf(1) / 12, "1/12"),
    "HALF_PI": (lambda: pi / 2, "pi/2"),
    "SQRT_2": (lambda: sqrt(mpf(2)), "sqrt 2"),
    "TWO_OVER_SQRT_PI": (lambda: 2 / sqrt(pi), "2/sqrt(pi), the slope of erf at 0"),
    "SIXTH": (lambda: mpf(1) / 6, "1/6"),
}


def selu():
    """The fixed point of Klambauer et al. 2017, equation 14, for mean 0 and variance 1."""
    e = exp
    a = -sqrt(2 / pi) / (erfc(1 / sqrt(mpf(2))) * e(mpf(1) / 2) - 1)
    l = (1 - erfc(1 / sqrt(mpf(2))) * sqrt(e(mpf(1)))) * sqrt(2 * pi) / sqrt(
        2 * erfc(sqrt(mpf(2))) * e(mpf(2)) + pi * erfc(1 / sqrt(mpf(2))) ** 2 * e(mpf(1))
        - 2 * (2 + pi) * erfc(1 / sqrt(mpf(2))) * sqrt(e(mpf(1))) + pi + 2)
    return a, l


def two_over_pi_words(count):
    digits, mp.dps = mp.dps, 20 * count + 40
    bits = int(floor(2 / pi * mpf(2) ** (64 * count)))
    mp.dps = digits
    return [bits >> 64 * (count - 1 - i) & (1 << 64) - 1 for i in range(count)]


def render():
    hi, lo = ln2_parts()
    lines = [
        "// Generated by tools/coefficients.py; do not edit. `python3 tools/coefficients.py --check` derives them again.",
        "//! Coefficients and constants of the kernels, low degree first.",
        "",
        "/// log2(e).",
        f"pub const LOG2_E: f64 = {float(1 / LN2)!r};",
        "/// ln 2, high part: its last 32 bits are 0, so that k times it is exact for |k| < 2^31.",
        f"pub const LN2_HI: f64 = {hi!r};",
        "/// ln 2 minus `LN2_HI`.",
        f"pub const LN2_LO: f64 = {lo!r};",
        "/// ln 2.",
        f"pub const LN2: f64 = {float(LN2)!r};",
    ]
    for name, (value, text) in CONSTANTS.items():
        h, l = split(value())
        lines += [f"/// {text}: (nearest f64, the rest).", f"pub const {name}: (f64, f64) = ({h!r}, {l!r});"]
    lines += ["/// 2/pi.", f"pub const TWO_OVER_PI: f64 = {float(2 / pi)!r};"]
    parts, rest = [], pi / 2
    for _ in range(3):
        parts.append(leading(rest, 36))
        rest -= parts[-1]
    lines += ["/// pi/2 in four parts, of which the first three have 36 bits: times an integer below 2^17 they are exact.",
              "pub const HALF_PI_PARTS: [f64; 4] = ["]
    lines += [f"    {float(v)!r}," for v in [*parts, rest]] + ["];"]
    words = two_over_pi_words(22)
    lines += ["/// The binary digits of 2/pi after the point, 64 in a word, the first ones first.",
              f"pub const TWO_OVER_PI_BITS: [u64; {len(words)}] = ["]
    lines += [f"    0x{w:016x}," for w in words] + ["];"]
    lines += ["/// atan(i / 16) as a sum of two numbers.", "pub const ATAN_TABLE: [[f64; 2]; 16] = ["]
    lines += [f"    [{h!r}, {l!r}]," for h, l in (split(atan(mpf(i) / 16)) for i in range(16))] + ["];"]
    for name, degree, low, text in (
        ("ERF_FULL", 14, True, "the rest of the constant term, then coefficients"),
        ("ERF_NARROW", 9, False, "coefficients"),
    ):
        rows, e = pieces(erf_over, mpf(3) / 8, degree, low)
        lines += [f"/// erf(x) / x on 16 pieces of width 3/8, in x less the middle of the piece, two by two: {text};",
                  f"/// relative error 2^-{float(-log(e, 2)):.1f}.",
                  f"pub const {name}: [[[f64; 2]; 16]; {len(rows)}] = ["]
        for row in rows:
            lines += ["    ["] + [f"        [{a!r}, {b!r}]," for a, b in row] + ["    ],"]
        lines += ["];"]
        print(name, f"2^-{float(-log(e, 2)):.2f}", file=sys.stderr)
    for name, c, e, text in tables():
        bits = float(-log(e, 2))
        lines += [f"/// {text}; relative error 2^-{bits:.1f}.", f"pub const {name}: [f64; {len(c)}] = ["]
        lines += [f"    {v!r}," for v in c]
        lines += ["];"]
        print(name, f"2^-{bits:.2f}", file=sys.stderr)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    text = render()
    if "--check" in sys.argv:
        if OUT.read_text() != text:
            sys.exit(f"{OUT} differs from what this script derives")
        print("coefficients: as derived")
    else:
        OUT.parent.mkdir(parents=True, exist_ok=True)
        OUT.write_text(text)
