"""Functions with parameters: numbers, arrays, bound forms, pickling, errors."""

import copy
import gc
import pickle
import resource

import numpy as np
import pytest

import nonlin
from helpers import DTYPES, ELEMENTWISE, GATED, ROWWISE, dtype_of, same, special

WITH_PARAMETERS = [n for n in ELEMENTWISE if nonlin.info(n).parameters]


def inside(p, fraction):
    """A value between the bounds of a parameter."""
    low, high = max(p.low, p.default - 0.1), min(p.high, p.default + 0.1)
    return low + (high - low) * fraction


@pytest.mark.parametrize("name", WITH_PARAMETERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_and_arrays_agree(name, dtype):
    """A parameter per element, per row and per column gives what numbers give."""
    dtype = dtype_of(dtype)
    f = getattr(nonlin, name)
    about = nonlin.info(name).parameters
    rng = np.random.default_rng(4)
    x = (rng.standard_normal((4, 37)) * 3).astype(dtype)
    for words in [[w] for w in about] + [list(about)]:
        values = {}
        for i, w in enumerate(words):
            # Joint constraints hold: later parameters are greater.
            low = [inside(about[w], 0.1 + 0.4 * i + 0.03 * k) for k in range(4)]
            values[w] = np.array(low).astype(dtype)
        rows = {w: v[:, None] for w, v in values.items()}
        wanted = np.stack([f(x[i], **{w: float(v[i]) for w, v in values.items()}) for i in range(4)])
        assert f.__name__ == name
        same(f(x, **rows), wanted)
        same(f(x.T.copy(), **values), wanted.T)
        same(f(x.T, **values), wanted.T)
        g = np.ones_like(x)
        slopes = nonlin.derivative(f)(x, **rows)
        for i in range(4):
            one = {w: float(v[i]) for w, v in values.items()}
            same(slopes[i], nonlin.derivative(f)(x[i], **one))
            same(f.backward(x, g, **rows)[i], f.backward(x[i], g[i], **one))
            same(f.backward(x[i], g[i], **one), nonlin.vjp(f, x[i], g[i], **one))


def test_the_ufuncs_behind():
    assert isinstance(nonlin.elu.ufunc, np.ufunc)
    assert nonlin.elu.parametric.nin == 2
    assert nonlin.rrelu.parametric.nin == 3
    same(nonlin.elu.parametric(-1.0, 0.5), nonlin.elu(-1.0, alpha=0.5))
    assert nonlin.elu.alpha == 1.0 and nonlin.Elu(alpha=0.5).params == {"alpha": 0.5}
    assert nonlin.elu.types == nonlin.elu.ufunc.types
    for word in ["at", "nin", "types", "alpha", "backward", "ufunc"]:
        assert word in dir(nonlin.elu)


def test_exact_defaults_stay_exact():
    """A default such as 1/6 is no number of float32: giving another parameter keeps it."""
    x = np.linspace(-4, 4, 1001).astype(np.float32)
    arrays = nonlin.hard_sigmoid(x, beta=np.full(1, 0.5, np.float32))
    same(arrays, nonlin.hard_sigmoid(x))


def test_ways_to_say_a_number():
    wanted = nonlin.elu(-1.0, alpha=2.0)
    for value in [2, True + True, np.float32(2), np.int8(2), np.array(2.0), np.float64(2)]:
        same(nonlin.elu(-1.0, alpha=value), wanted)
    same(nonlin.elu(np.array([-1.0]), alpha=[2.0]), np.array([wanted]))
    assert nonlin.elu(np.float32(-1), alpha=np.float64(2)).dtype == np.float32
    assert nonlin.elu(np.ones(2, "f"), alpha=np.ones(2)).dtype == np.float64


def test_forms():
    x = np.linspace(-3, 3, 11)
    same(nonlin.gelu(x, approximate="tanh"), nonlin.gelu_tanh(x))
    same(nonlin.gelu(x, approximate="none"), nonlin.gelu(x))
    same(nonlin.Gelu(approximate="tanh")(x), nonlin.gelu_tanh(x))
    same(nonlin.get("gelu", approximate="tanh")(x), nonlin.gelu_tanh(x))
    same(
        nonlin.derivative("gelu")(x, approximate="tanh"), nonlin.derivative("gelu_tanh")(x)
    )
    out = np.empty(11)
    assert nonlin.gelu(x, approximate="tanh", out=out) is out


def test_errors():
    with pytest.raises(ValueError, match="unknown function `sillu`; did you mean `silu`?"):
        nonlin.get("sillu")
    with pytest.raises(TypeError, match="`elu` has no parameter `alfa`; it has alpha"):
        nonlin.elu(1.0, alfa=2)
    with pytest.raises(TypeError, match="`elu` has no parameter `alfa`; it has alpha"):
        nonlin.get("elu", alfa=2)
    with pytest.raises(TypeError, match="`relu` has no parameter `alpha`; it has none"):
        nonlin.Relu(alpha=2)
    with pytest.raises(ValueError, match="`alpha` of `elu` is NaN; it must be between"):
        nonlin.elu(1.0, alpha=float("nan"))
    with pytest.raises(ValueError, match="`alpha` of `elu` is NaN"):
        nonlin.elu([1.0, 2.0], alpha=[1.0, np.nan])
    with pytest.raises(ValueError, match="`alpha` of `elu` is NaN"):
        nonlin.elu.parametric(np.ones(9000, "f"), np.full(9000, np.nan, "f"))
    with pytest.raises(ValueError, match="`alpha` of `elu` is NaN"):
        nonlin.elu(np.ones(9000, ">f4"), alpha=np.full(9000, np.nan, "f"))
    with pytest.raises(ValueError, match="`approximate` of `gelu` is 'tan'; it must be 'none' or"):
        nonlin.gelu(1.0, approximate="tan")
    with pytest.raises(TypeError, match="`alpha` of `elu` must be a number or an array"):
        nonlin.elu(1.0, alpha="0.5")
    with pytest.raises(TypeError, match="takes 1 positional argument"):
        nonlin.elu(np.ones(3), np.ones(3))
    with pytest.raises(ValueError, match="does not determine its slope"):
        nonlin.backward_from_output("gelu", 1.0, 1.0)
    with pytest.raises(ValueError, match="needs at least 0"):
        nonlin.backward_from_output("leaky_relu", [1.0], [1.0], negative_slope=[-1.0])
    with pytest.raises(ValueError, match="has two operands"):
        nonlin.derivative("swiglu")
    with pytest.raises(ValueError, match="order is 3"):
        nonlin.derivative("elu", order=3)
    with pytest.raises(TypeError, match="is no function of nonlin"):
        nonlin.derivative(np.sin)
    with pytest.raises(TypeError, match="not of its derivative"):
        nonlin.vjp(nonlin.derivative("relu"), 1.0, 1.0)
    with pytest.raises(TypeError, match="an array; a bound function takes numbers"):
        nonlin.Elu(alpha=[1.0, 2.0])


class Floats:
    def __init__(self, result):
        self.result = result

    def __float__(self):
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


class Arrays:
    def __array__(self, *_, **__):
        raise RuntimeError("no array today")


ODD = [
    None, "text", b"bytes", object(), [], {}, (), [[1], [1, 2]], float("nan"), float("inf"),
    10**400, -(10**400), 1j, Floats(ValueError("no")), Floats("text"), Floats(2.0), Arrays(), type,
    np.array(["a"]), np.array([object()]), np.array([], "f"), np.datetime64("2020"), np.ma.masked,
    lambda: 1, ..., slice(None), memoryview(b"abc"), np.ones((0, 2)), range(3),
]


@pytest.mark.parametrize("odd", ODD, ids=lambda o: type(o).__name__)
def test_odd_objects(odd):
    """Whatever is given, an exception of Python comes back or a result."""
    calls = [
        lambda: nonlin.relu(odd), lambda: nonlin.elu(odd), lambda: nonlin.elu(1.0, alpha=odd),
        lambda: nonlin.elu(np.ones(3), alpha=odd), lambda: nonlin.elu(1.0, out=odd),
        lambda: nonlin.elu(1.0, where=odd), lambda: nonlin.gelu(1.0, approximate=odd),
        lambda: nonlin.Elu(alpha=odd), lambda: nonlin.get(odd), lambda: nonlin.get("elu", alpha=odd),
        lambda: nonlin.info(odd), lambda: nonlin.derivative(odd), lambda: nonlin.vjp(odd, 1.0, 1.0),
        lambda: nonlin.derivative("elu", order=odd), lambda: nonlin.swiglu(odd, 1.0),
        lambda: nonlin.softmax(odd), lambda: nonlin.softmax(np.ones(3), axis=odd),
        lambda: nonlin.softmax(np.ones(3), scale=odd), lambda: nonlin.softmax(np.ones(3), where=odd),
        lambda: nonlin.softmax(np.ones(3), empty=odd), lambda: nonlin.set_num_threads(odd),
        lambda: nonlin.elu.parametric(np.ones(3), odd), lambda: nonlin.elu.backward(odd, odd),
        lambda: nonlin.plot(odd), lambda: nonlin._nonlin.rebuild(odd, odd, odd, odd),
        lambda: nonlin._nonlin.rebuild("elu", "forward", [1.0], [7]),
        lambda: nonlin.rrelu(np.ones(2), lower=odd, upper=odd), lambda: nonlin.elu == odd,
        lambda: nonlin.backward_from_output(odd, odd, odd), lambda: nonlin.elu(1.0, **{"x": odd}),
    ]
    for call in calls:
        try:
            call()
        except Exception:
            pass


def test_no_panic_crosses():
    f = nonlin._nonlin._panicking()
    # The last ones are buffered: NumPy calls the loop more than once.
    for x in [np.ones(3), np.ones(9000), np.ones(9000, "f")[::2], np.ones(5, ">f4"),
              np.ones(9000, ">f4"), np.ones(20000, ">f8")]:
        with pytest.raises(RuntimeError, match="nonlin failed: .* elements were too many"):
            f(x)
    assert nonlin.relu(-1.0) == 0


def everything():
    yield from (getattr(nonlin, n) for n in ELEMENTWISE + GATED + ROWWISE)
    yield from (nonlin.derivative(n) for n in ELEMENTWISE)
    yield from (nonlin.derivative(n, order=2) for n in ELEMENTWISE)
    yield from (nonlin._nonlin.related(getattr(nonlin, n), "backward") for n in ELEMENTWISE + GATED)
    yield from (nonlin.Elu(alpha=0.5), nonlin.Elu(alpha=0.5).ufunc, nonlin.elu.parametric)
    yield from (nonlin.Gelu(approximate="tanh"), nonlin.Softmax(axis=0, scale=0.5))
    yield from (nonlin.Elu, nonlin.Relu, nonlin.softmax.ufunc, nonlin.info("elu"))
    yield nonlin.derivative(nonlin.Elu(alpha=0.25))


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickling(protocol):
    for f in everything():
        for g in (pickle.loads(pickle.dumps(f, protocol)), copy.deepcopy(f), copy.copy(f)):
            assert type(g) is type(f)
            if isinstance(f, np.ufunc):
                assert nonlin._nonlin.recipe(g) == nonlin._nonlin.recipe(f)
                x = [np.linspace(-1, 1, 5)] * f.nin
                assert np.array_equal(f(*x), g(*x))
            else:
                assert f == g and hash(f) == hash(g)
    assert pickle.loads(pickle.dumps(nonlin.elu)) is nonlin.elu
    assert pickle.loads(pickle.dumps(np.sin)) is np.sin


def test_equality():
    assert nonlin.Elu(alpha=0.5) == nonlin.Elu(alpha=0.5) != nonlin.Elu(alpha=0.25)
    assert nonlin.derivative(nonlin.elu) != nonlin.elu
    assert nonlin.get("elu") is nonlin.elu and nonlin.Relu() is nonlin.relu
    assert repr(nonlin.Elu(alpha=0.5)) == "nonlin.Elu(alpha=0.5)"
    assert eval(repr(nonlin.derivative(nonlin.Elu(alpha=2)))) == nonlin.derivative(nonlin.Elu(alpha=2))


def test_many_values_leak_nothing():
    """A million different values of a parameter: memory stays, and the cache with it."""
    x = np.ones(1)

    def run(first, count):
        for i in range(first, first + count):
            nonlin.elu(x, alpha=i * 1e-3)

    def resident():
        gc.collect()
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()

    run(0, 50_000)
    before = resident()
    run(50_000, 1_000_000)
    assert resident() - before < 4 << 20
