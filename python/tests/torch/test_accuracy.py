"""The errors that the library promises, measured through PyTorch's operators."""

import mpmath
import pytest
import torch
import torch.nn.functional as F

import nonlin.torch
from functions import FROM_OUTPUT, OPERATORS
from oracle import Exact, ulps

INF = float("inf")

#: Zeros of slopes, near which errors count absolutely.
ZEROS = {name: nonlin.info(name).slope_zeros for name in OPERATORS}

each_operator = pytest.mark.parametrize("name", OPERATORS)


def unit(exact, dtype):
    """The last place of a type at exact values."""
    about = torch.finfo(dtype)
    least = torch.frexp(torch.tensor(about.smallest_normal, dtype=torch.float64))[1] - 1
    exponent = torch.frexp(exact)[1] - 1
    exponent = torch.where(exact == 0, least, exponent.clamp(min=least))
    return torch.ldexp(torch.full_like(exact, about.eps), exponent)


def compare(name, x, y, exact, bound, tiny, zeros=()):
    """`y` is within `bound` units of the last place of `exact`, or within `tiny` near zeros."""
    assert torch.equal(y.isnan(), exact.isnan()), name
    there = ~exact.isnan()
    x, y, exact = x[there].double(), y[there], exact[there]
    last = unit(exact, y.dtype)
    error = (y.double() - exact).abs()
    allowed = bound * last
    for zero in zeros:
        allowed = torch.where((x - zero).abs() <= 0.5, allowed + tiny, allowed)
    over = y.isinf() & (exact.abs() >= torch.finfo(y.dtype).max) & (y.sign() == exact.sign())
    fine = (error <= allowed) | (y.double() == exact) | over
    assert fine.all(), (name, x[~fine][:3], y[~fine][:3], exact[~fine][:3])


@each_operator
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["float16", "bfloat16"])
def test_all_halves(name, dtype, enabled):
    """All 65,536 inputs are rounded once, forward and backward."""
    x = torch.arange(-32768, 32768, dtype=torch.int32).to(torch.int16).view(dtype)
    forward, backward = OPERATORS[name]
    y = forward(x)
    compare(name, x, y, forward(x.double()), 0.501, 0)
    if backward is None:
        return
    kept = y if name in FROM_OUTPUT else x
    one = torch.ones_like(x)
    wanted = backward(one.double(), kept.double())
    compare(name, x, backward(one, kept), wanted, 0.501, 2**-24, ZEROS[name])


@each_operator
def test_dense_float32(name, enabled):
    """4 million numbers of every exponent, and those around 0."""
    bits = torch.arange(-(2**31), 2**31, 1021, dtype=torch.int64).to(torch.int32)
    x = torch.cat([bits.view(torch.float32), torch.linspace(-25, 25, 1_000_001)])
    forward, backward = OPERATORS[name]
    y = forward(x)
    compare(name, x, y, forward(x.double()), 1.0, 0)
    if backward is None:
        return
    one = torch.ones_like(x)
    if name in FROM_OUTPUT:
        # The slope of sigmoid at an output near 1 and of tanh at one near 1 or -1 is a difference
        # that the rounding of the output has made: what counts is the slope at this output.
        compare(name, y, backward(one, y), backward(one.double(), y.double()), 2.0, 2**-24, (-1, 1))
    else:
        wanted = backward(one.double(), x.double())
        compare(name, x, backward(one, x), wanted, 2.0, 2**-24, ZEROS[name])


@each_operator
def test_float64(name, enabled):
    """Against multiple precision."""
    exact = Exact(name, False)
    x = torch.cat([torch.randn(150) * 4, torch.tensor([-700.0, -40.0, -1e-12, 1e-300, 35.0])])
    x = x.double() + torch.randn(x.shape, dtype=torch.float64) * 1e-9
    forward, _ = OPERATORS[name]
    for a, b in zip(x.tolist(), forward(x).tolist()):
        wanted = exact.value(a)
        if mpmath.isinf(wanted) or abs(wanted) < 1e-290:
            continue
        # From 20 on PyTorch's softplus is the identity, and at most 2.1e-9 off.
        assert ulps(b, wanted, "float64") <= 2, (a, b)


@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("log", [False, True])
def test_softmax(dim, log, enabled):
    """Of f32 and the half types, against float64, with inputs of all sizes."""
    function = F.log_softmax if log else F.softmax
    for scale in (0.1, 1, 30, 1000):
        x = torch.randn(200, 60) * scale
        for dtype, bound in ((torch.float32, 4), (torch.float16, 0.51), (torch.bfloat16, 0.51)):
            y, wanted = function(x.to(dtype), dim), function(x.to(dtype).double(), dim)
            error = (y.double() - wanted).abs()
            assert (error <= bound * unit(wanted, dtype)).all(), (dtype, scale)


def test_special_values(enabled):
    """Limits, zeros with their sign, and NaN, forward and backward."""
    x = torch.tensor([-INF, -0.0, 0.0, INF, float("nan")])
    limits = {
        "gelu": [-0.0, -0.0, 0.0, INF],
        "gelu_tanh": [-0.0, -0.0, 0.0, INF],
        "silu": [-0.0, -0.0, 0.0, INF],
        "mish": [-0.0, -0.0, 0.0, INF],
        "sigmoid": [0.0, 0.5, 0.5, 1.0],
        "tanh": [-1.0, -0.0, 0.0, 1.0],
        "elu": [-1.0, -0.0, 0.0, INF],
        "hard_sigmoid": [0.0, 0.5, 0.5, 1.0],
        "log_sigmoid": [-INF, -0.6931471805599453, -0.6931471805599453, -0.0],
        "softplus": [0.0, 0.6931471805599453, 0.6931471805599453, INF],
    }
    for dtype in (torch.float32, torch.float64):
        for name, wanted in limits.items():
            y = OPERATORS[name][0](x.to(dtype))
            assert y[-1].isnan(), name
            wanted = torch.tensor(wanted, dtype=torch.float64).to(dtype)
            assert torch.equal(y[:-1], wanted), name
            zero = wanted == 0
            if name in ("tanh", "gelu", "silu", "elu"):
                assert torch.equal(y[1:3].signbit(), torch.tensor([True, False])), name
            assert not y[:-1][zero].abs().any()
    slopes = {"gelu": [0, 1], "silu": [0, 1], "mish": [0, 1], "elu": [0, 1], "softplus": [0, 1]}
    ends = torch.tensor([-INF, INF])
    for name, wanted in slopes.items():
        assert OPERATORS[name][1](torch.ones(2), ends).tolist() == wanted, name
    # Tails that formulas as written round to 0.
    tails = {"gelu": -10.0, "gelu_tanh": -9.0, "silu": -80.0, "mish": -80.0, "softplus": -80.0}
    for name, at in tails.items():
        y = OPERATORS[name][0](torch.tensor([at]))
        assert ulps(y.item(), Exact(name, True).value(at), "float32") <= 1


def test_the_measure():
    """The measure sees PyTorch's own errors, and one of an ulp."""
    x = torch.linspace(-5, 5, 10_001)
    exact = torch.tanh(x.double())
    y = torch.tanh(x)
    compare("tanh", x, y, exact, 1.5, 0)
    with pytest.raises(AssertionError):
        compare("tanh", x, y.nextafter(torch.tensor(INF)), exact, 1.0, 0)
    with pytest.raises(AssertionError):
        compare("gelu", x, F.gelu(x), F.gelu(x.double()), 1.0, 0)
