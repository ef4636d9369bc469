"""The errors that the library promises, measured through the ufuncs against multiple precision."""

import numpy as np
import pytest

import nonlin
from helpers import ELEMENTWISE, bits, dtype_of
from oracle import Exact, ulps


def samples(dtype):
    """Numbers of all exponents (of every other one in float64) and both signs, more around 0."""
    about = np.finfo(dtype)
    whole = np.dtype(f"u{np.dtype(dtype).itemsize}")
    digits = about.nmant
    rng = np.random.default_rng(8)
    step, each = (1, 6) if dtype == np.float32 else (2, 1)
    exponents = np.repeat(np.arange(0, 2**about.nexp - 1, step, dtype=np.uint64), each)
    found = exponents << np.uint64(digits) | rng.integers(0, 2**digits, len(exponents), np.uint64)
    middle = rng.uniform(-12, 12, 1500 if dtype == np.float32 else 400).astype(dtype)
    x = found.astype(whole).view(dtype)
    return np.concatenate([x, -x, middle])


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize("dtype, value_bound, slope_bound, tiny", [
    (np.float32, 1.0, 2.0, 2.0**-24), (np.float64, 2.0, 4.0, 2.0**-53),
])
def test_against_multiple_precision(name, dtype, value_bound, slope_bound, tiny):
    exact = Exact(name, dtype == np.float32)
    about = nonlin.info(name)
    x = samples(dtype)
    y = getattr(nonlin, name)(x)
    worst = max((ulps(b, exact.value(float(a)), dtype), float(a)) for a, b in zip(x, y))
    assert worst[0] <= value_bound * (1 + 1e-9), worst
    kinks = [k[0] for k in about.kinks]
    x = x[:: 4 if dtype == np.float32 else 3]
    slopes = nonlin.derivative(name)(x)
    for a, b in zip(x.tolist(), slopes.tolist()):
        if any(abs(a - k) <= 1e-30 for k in kinks):
            continue
        wanted = exact.slope(a)
        near = any(abs(a - z) <= 0.5 for z in about.slope_zeros)
        error = ulps(b, wanted, dtype)
        assert error <= slope_bound or near and abs(b - wanted) <= tiny, (a, b, float(error))


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize("half", ["float16", "bfloat16"])
@pytest.mark.parametrize("operation", ["forward", "derivative"])
def test_all_halves(name, half, operation):
    """All 65,536 inputs, against float64 with the parameters of float32."""
    dtype = dtype_of(half)
    x = np.arange(65536, dtype=np.uint16).view(dtype)
    f = getattr(nonlin, name)
    params = nonlin.info(name).parameters
    single = {n: float(np.float32(p.default)) for n, p in params.items() if not p.exact}
    g = f.bind(**single) if single else f
    if operation == "derivative":
        f, g = nonlin.derivative(f), nonlin.derivative(g)
    y, wanted = f(x), g(x.astype(np.float64))
    assert y.dtype == dtype
    nan = np.isnan(wanted)
    assert (np.isnan(y) == nan).all()
    digits, least = (10, -14) if half == "float16" else (7, -126)
    y, wanted = y[~nan].astype(np.float64), wanted[~nan]
    with np.errstate(all="ignore"):
        exponent = np.maximum(np.frexp(wanted)[1] - 1, least)
        unit = np.ldexp(1.0, exponent - digits)
        error = np.abs(y - wanted) / unit
    largest = 65504.0 if half == "float16" else 3.3895313892515355e38
    over = np.isinf(y) & (np.abs(wanted) >= largest) & (np.sign(y) == np.sign(wanted))
    near = np.zeros(len(y), bool)
    for zero in nonlin.info(name).slope_zeros if operation == "derivative" else ():
        near |= np.abs(x[~nan].astype(float) - zero) <= 0.5
    with np.errstate(invalid="ignore"):
        close = np.abs(y - wanted) <= 0.501 * unit + 2.0**-24
    fine = (error <= 0.501) | over | (y == wanted) | near & close
    assert fine.all(), (x[~nan][~fine][:3], y[~fine][:3], wanted[~fine][:3])


def test_the_measure():
    """The measure sees an error of one unit in the last place."""
    exact = Exact("tanh", True)
    y = np.tanh(np.float32(0.5))
    assert ulps(y, exact.value(0.5), np.float32) <= 1.5
    assert ulps(np.nextafter(y, np.float32(2)) + np.spacing(y), exact.value(0.5), np.float32) > 1.4
    assert abs(float(exact.slope(0.5)) - (1 - np.tanh(0.5) ** 2)) < 1e-15
