"""Gains, moments and variance maps against multiple precision."""

import math
import pickle

import mpmath
import numpy as np
import pytest

import nonlin
from helpers import ELEMENTWISE, GATED
from nonlin import init
from oracle import Exact

DIGITS = 25


def mean(g, breaks=()):
    """The mean of g(z) with z standard normal, by multiple precision."""
    points = sorted({-12, -6, -3, -1, 0, 1, 3, 6, 12, *(b for b in breaks if abs(b) < 12)})
    with mpmath.workdps(DIGITS):
        return mpmath.quad(lambda z: g(z) * mpmath.npdf(z), points)


class Slow(Exact):
    """The formula, with no more digits than an integral needs."""

    def __init__(self, name, **params):
        super().__init__(name, False)
        self._digits = DIGITS
        self._words.update({k: mpmath.mpf(v) for k, v in params.items()})

    def slope(self, x):
        """f'(x) by a difference, away from kinks."""
        with mpmath.workdps(3 * DIGITS):
            h = mpmath.mpf(10) ** -DIGITS
            self._digits = 3 * DIGITS
            try:
                return (self.value(x + h) - self.value(x - h)) / (2 * h)
            finally:
                self._digits = DIGITS


def close(estimate, exact, least=1e-12):
    """The error bound holds, and is a small one."""
    assert abs(mpmath.mpf(float(estimate)) - exact) <= estimate.error
    assert estimate.error <= least * abs(exact)


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize("variance", [1.0, 4.0])
def test_gains_of_the_catalogue(name, variance):
    f, s = Slow(name), mpmath.sqrt(variance)
    kinks = [k[0] / float(s) for k in nonlin.info(name).kinks]
    square = mean(lambda z: f.value(s * z) ** 2, kinks)
    slope = mean(lambda z: f.slope(s * z) ** 2, kinks)
    forward, backward = mpmath.sqrt(variance / square), 1 / mpmath.sqrt(slope)
    close(init.gain(name, variance=variance), forward)
    close(init.gain(name, mode="backward", variance=variance), backward)
    close(init.gain(name, mode="mean", variance=variance), mpmath.sqrt(forward * backward))
    close(init.variance_map(name, variance, gain=2.0, bias=0.25), 4 * square + 0.25)
    by_q = mean(lambda z: f.value(s * z) * f.slope(s * z) * z, kinks) / s
    close(init.variance_map(name, variance, gain=2.0, derivative=True), 4 * by_q)


def test_he_and_glorot_and_selu():
    close(init.gain("relu"), mpmath.sqrt(2))
    close(init.gain("relu", mode="backward"), mpmath.sqrt(2))
    for slope in (0.0, 0.01, 0.2, -1.0):
        with mpmath.workdps(DIGITS):
            exact = mpmath.sqrt(2 / (1 + mpmath.mpf(slope) ** 2))
        for mode in ("forward", "backward", "mean"):
            close(init.gain("leaky_relu", mode=mode, negative_slope=slope), exact)
        close(init.gain(nonlin.LeakyRelu(negative_slope=slope)), exact)
        close(init.gain(nonlin.leaky_relu, negative_slope=slope), exact)
    assert init.gain("identity") == 1
    selu = init.moments("selu")
    assert abs(selu.mean) <= selu.mean.error < 1e-13
    assert abs(selu.variance - 1) <= selu.variance.error < 1e-13
    # Its slope there: 0.7827 of the variance.
    point = init.fixed_point("selu")
    assert point.variance == 1 and point.stable is True


def test_moments_off_centre():
    f = Slow("gelu")
    first = mean(lambda z: f.value(mpmath.mpf("0.5") + 2 * z))
    square = mean(lambda z: f.value(mpmath.mpf("0.5") + 2 * z) ** 2)
    out = init.moments(nonlin.gelu, mean=0.5, variance=4.0)
    close(out.mean, first)
    close(out.square, square)
    close(out.variance, square - first**2)


@pytest.mark.parametrize("name", GATED)
def test_gated_units(name):
    """Each is a product of two functions of independent inputs."""
    parts = {"bilinear": ("identity", "identity"), "geglu": ("gelu", "identity"),
             "glu": ("identity", "sigmoid"), "reglu": ("relu", "identity"),
             "relu_glu": ("relu", "sigmoid"), "swiglu": ("silu", "identity")}[name]  # fmt: skip
    squares = [mean(lambda z, f=Slow(part): f.value(z) ** 2) for part in parts]
    close(init.gain(name), 1 / mpmath.sqrt(squares[0] * squares[1]), 1e-11)
    with pytest.raises(ValueError, match="gain is forward alone"):
        init.gain(name, mode="backward")


def test_callables_whose_kinks_nobody_told():
    cdf, pdf = mpmath.ncdf, mpmath.npdf
    with mpmath.workdps(DIGITS):
        # relu(x - a): E = (1 + a^2)(1 - cdf(a)) - a pdf(a), slope 1 above a.
        a = mpmath.mpf("0.3")
        shifted = (1 + a * a) * (1 - cdf(a)) - a * pdf(a)
        inside = cdf(1) - cdf(-1)
        clipped = inside - 2 * pdf(1) + 2 * (1 - cdf(1))
    kinked = lambda x: np.maximum(x - 0.3, 0)
    close(init.gain(kinked), 1 / mpmath.sqrt(shifted))
    close(init.gain(kinked, mode="backward"), 1 / mpmath.sqrt(1 - cdf(a)), 1e-10)
    clip = lambda x: np.clip(x, -1, 1)
    close(init.gain(clip), 1 / mpmath.sqrt(clipped))
    close(init.gain(clip, mode="backward"), 1 / mpmath.sqrt(inside), 1e-10)
    # Slopes of the polynomials, where there is a derivative to compare with.
    close(init.gain(lambda x: np.tanh(x), mode="backward"), float(init.gain("tanh", mode="backward")), 1e-10)


def test_slopes_without_bound():
    moment = lambda p: mpmath.mpf(2) ** (mpmath.mpf(p) / 2) * mpmath.gamma((mpmath.mpf(p) + 1) / 2) / mpmath.sqrt(mpmath.pi)
    root = lambda x: np.sqrt(np.abs(x))
    close(init.gain(root), 1 / mpmath.sqrt(moment(1)))
    # (|x|^0.75)'^2 = 0.5625 |x|^-0.5 has a mean, though no bound; of sqrt|x| it is 1/|x|: none.
    close(init.gain(lambda x: np.abs(x) ** 0.75, mode="backward"), 1 / mpmath.sqrt(0.5625 * moment(-0.5)), 1e-5)
    with pytest.raises(ValueError, match="slope .* no finite mean square"):
        init.gain(root, mode="backward")
    close(init.gain(np.exp), mpmath.exp(-1))
    close(init.gain(lambda x: np.exp(x * x / 8)), mpmath.mpf(2) ** -0.25)
    with pytest.raises(ValueError, match="no finite mean square"):
        init.gain(lambda x: np.exp(x * x / 3))
    for jump in (np.sign, lambda x: np.where(x > 0.7, 1.0, 0.5)):
        assert init.gain(jump) >= 1
        with pytest.raises(ValueError, match="slope .* no finite mean square"):
            init.gain(jump, mode="backward")


def test_variances_far_from_one():
    # tanh is nearly linear, or nearly a sign.
    assert init.gain("tanh", variance=1e-6) == pytest.approx(1 + 1e-6, abs=1e-11)
    wide = init.gain("tanh", variance=1e6)
    with mpmath.workdps(DIGITS):
        exact = 1 - mpmath.quad(lambda x: mpmath.sech(x) ** 2 * mpmath.npdf(x, 0, 1000), [-60, -4, 0, 4, 60])
    close(wide, 1000 / mpmath.sqrt(exact), 1e-11)


def test_fixed_points():
    """dV/dq of those that are unstable, and where variances go."""
    for name, slope in [("gelu", 1.144), ("silu", 1.173), ("mish", 1.076)]:
        point = init.fixed_point(name)
        assert point.stable is False and round(point.slope, 3) == slope
    for name in ("tanh", "selu", "elu"):
        assert init.fixed_point(name).stable is True
    assert init.fixed_point("relu").stable is None
    point = init.fixed_point("tanh", gain=1.5)
    assert abs(init.variance_map("tanh", point.variance, gain=1.5) - point.variance) < 1e-13
    q = 5.0
    for _ in range(60):
        q = init.variance_map("tanh", q, gain=1.5)
    assert q == pytest.approx(point.variance, abs=1e-12)
    # Two of them: the nearest to the start is given.
    biased = init.fixed_point("relu", gain=1.0, bias=0.5)
    assert biased.variance == pytest.approx(1.0, abs=1e-12) and biased.slope == pytest.approx(0.5)
    with pytest.raises(ValueError, match=r"no fixed point .* it falls, by the factor 0\.5"):
        init.fixed_point("relu", gain=1.0)
    with pytest.raises(ValueError, match="it grows"):
        init.fixed_point("relu", gain=2.0)


def test_estimates_are_numbers():
    g = init.gain("relu")
    back = pickle.loads(pickle.dumps(g))
    assert back == g and back.error == g.error
    assert str(g) == repr(float(g)) and f"{g:.3f}" == "1.414"
    assert repr(init.Estimate(2.0, 3.1e-14)) == "2.0 (error at most 4e-14)"
    assert repr(init.Estimate(2.0, 9.9e-14)) == "2.0 (error at most 1e-13)"
    assert isinstance(math.sqrt(g), float)


def test_errors_say_what_is_wrong():
    with pytest.raises(ValueError, match="did you mean `relu`"):
        init.gain("relo")
    with pytest.raises(ValueError, match="mode is 'fan_in'; it must be 'forward'"):
        init.gain("relu", mode="fan_in")
    for bad in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="variance is"):
            init.gain("relu", variance=bad)
    with pytest.raises(ValueError, match="q is 0"):
        init.variance_map("relu", 0.0)
    with pytest.raises(ValueError, match="bias is -1"):
        init.variance_map("relu", 1.0, bias=-1.0)
    with pytest.raises(TypeError, match="not elementwise"):
        init.gain("softmax")
    with pytest.raises(TypeError, match="is no function"):
        init.gain(3)
    with pytest.raises(TypeError, match="parameter `alpha`"):
        init.gain(np.tanh, alpha=1.0)
    with pytest.raises(TypeError, match="element by element"):
        init.gain(lambda x: x.sum())
    with pytest.raises(ValueError, match="log is NaN"):
        init.gain(np.log)
    with pytest.raises(ValueError, match="no gain makes up"):
        init.gain(lambda x: 0 * x)
    with pytest.raises(ValueError, match="no gain makes up"):
        init.gain(lambda x: 0 * x + 1, mode="backward")
