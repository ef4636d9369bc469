"""Functions with parameters: numbers, arrays, bound forms, pickling, errors."""

import copy
import gc
import pickle
import resource

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import nonlin
from helpers import DTYPES, ELEMENTWISE, GATED, ROWWISE, dtype_of, same

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


def test_derivatives_of_derivatives():
    x = np.linspace(-3, 3, 11)
    for f in (nonlin.tanh, nonlin.elu, nonlin.Elu(alpha=0.5), nonlin.Elu(alpha=0.5).ufunc):
        same(nonlin.derivative(nonlin.derivative(f))(x), nonlin.derivative(f, order=2)(x))


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
    with pytest.raises(TypeError, match="derivative is of the function `elu`, not of its second"):
        nonlin.derivative(nonlin.derivative("elu", order=2))
    with pytest.raises(ValueError, match="`alpha` of `elu` is inf; it must be at most 3.4028235e38"):
        nonlin.elu(1.0, alpha=10**400)
    with pytest.raises(TypeError, match="`alpha` of `elu` must be a number or an array of numbers, not str"):
        nonlin.Elu(alpha="0.5")
    with pytest.raises(TypeError, match="`gelu` has no parameter `alpha`; it has approximate"):
        nonlin.gelu(1.0, alpha=1)
    with pytest.raises(TypeError, match="3 is no name of a function"):
        nonlin.get(3)
    with pytest.raises(TypeError, match="an array; a bound function takes numbers"):
        nonlin.Elu(alpha=[1.0, 2.0])


class Strange(Exception):
    """Raised by objects that were given."""


class Floats:
    def __init__(self, result):
        self.result = result

    def __float__(self):
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


class Arrays:
    def __array__(self, *_, **__):
        raise Strange


class Attributes:
    def __getattr__(self, name):
        raise Strange(name)


class Unequal:
    __hash__ = None

    def __eq__(self, other):
        raise Strange


ODD = [
    None, "text", b"bytes", object(), [], {}, (), [[1], [1, 2]], float("nan"), float("inf"),
    10**400, -(10**400), 1j, Floats(Strange()), Floats("text"), Floats(2.0), Arrays(), type,
    Attributes(), Unequal(), "\0", "\ud800", True, -1, 2**63, np.sin, nonlin, Ellipsis,
    np.array(["a"]), np.array([object()]), np.array([], "f"), np.datetime64("2020"), np.ma.masked,
    np.zeros(3, "f,i"), np.float64("nan"), np.longdouble(1), np.array(1j), np.ones((1,) * 40),
    lambda: 1, slice(None), memoryview(b"abc"), np.ones((0, 2)), range(3), nonlin.elu, nonlin.softmax,
]

CALLS = [
    lambda odd: nonlin.relu(odd), lambda odd: nonlin.elu(odd),
    lambda odd: nonlin.elu(1.0, alpha=odd), lambda odd: nonlin.elu(np.ones(3), alpha=odd),
    lambda odd: nonlin.elu(1.0, out=odd), lambda odd: nonlin.elu(1.0, where=odd),
    lambda odd: nonlin.elu(1.0, dtype=odd), lambda odd: nonlin.elu(1.0, casting=odd),
    lambda odd: nonlin.elu(1.0, order=odd), lambda odd: nonlin.elu(1.0, signature=odd),
    lambda odd: nonlin.gelu(1.0, approximate=odd), lambda odd: nonlin.Elu(alpha=odd),
    lambda odd: nonlin.get(odd), lambda odd: nonlin.get("elu", alpha=odd),
    lambda odd: nonlin.info(odd), lambda odd: nonlin.derivative(odd),
    lambda odd: nonlin.derivative("elu", order=odd), lambda odd: nonlin.vjp(odd, 1.0, 1.0),
    lambda odd: nonlin.vjp("elu", 1.0, odd), lambda odd: nonlin.swiglu(odd, 1.0),
    lambda odd: nonlin.softmax(odd), lambda odd: nonlin.softmax(np.ones(3), axis=odd),
    lambda odd: nonlin.softmax(np.ones(3), scale=odd), lambda odd: nonlin.softmax(np.ones(3), where=odd),
    lambda odd: nonlin.softmax(np.ones(3), empty=odd), lambda odd: nonlin.Softmax(axis=odd),
    lambda odd: nonlin.softmax(np.ones(3), out=odd), lambda odd: nonlin.RowFunction(odd),
    lambda odd: nonlin.elu.parametric(np.ones(3), odd), lambda odd: nonlin.elu.backward(odd, odd),
    lambda odd: nonlin.plot(odd), lambda odd: nonlin.plot("relu", ax=odd),
    lambda odd: nonlin._nonlin.rebuild(odd, odd, odd, odd),
    lambda odd: nonlin._nonlin.rebuild("elu", "forward", odd, [7]),
    lambda odd: nonlin._nonlin.rebuild("elu", "forward", [1.0], odd),
    lambda odd: nonlin._nonlin.recipe(odd), lambda odd: nonlin._nonlin.facts(odd),
    lambda odd: nonlin._nonlin.row_ufunc(odd, odd, odd, odd, odd), lambda odd: nonlin.set_num_threads(odd),
    lambda odd: nonlin.rrelu(np.ones(2), lower=odd, upper=odd), lambda odd: nonlin.elu == odd,
    lambda odd: nonlin.softmax == odd, lambda odd: nonlin.backward_from_output(odd, odd, odd),
    lambda odd: nonlin.elu(1.0, **{"x": odd}), lambda odd: nonlin.elu(odd, odd, odd),
    lambda odd: nonlin.elu.at(odd, odd), lambda odd: nonlin.swiglu.reduce(odd),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("odd", ODD, ids=lambda o: type(o).__name__)
def test_odd_objects(odd):
    """Whatever is given, a result comes back or an error about a type or a value."""
    for i, call in enumerate(CALLS):
        try:
            call(odd)
        except ModuleNotFoundError as error:
            # Where the tests run without matplotlib.
            assert error.name == "matplotlib"
        except (TypeError, ValueError, Strange, OverflowError, IndexError) as error:
            # NumPy says by the last two what is too large for its own arguments, and what no index.
            assert str(error) or isinstance(error, Strange), i


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_odd_calls(data):
    """Any function, any keywords with any objects, together."""
    # hypothesis prints what it draws, which one of the objects does not survive.
    objects = [o for o in ODD if not isinstance(o, Attributes)]
    odd = st.sampled_from(objects) | st.floats() | st.integers() | st.text(max_size=5) | hnp.arrays(
        hnp.scalar_dtypes() | st.just(np.dtype(object)), hnp.array_shapes(min_dims=0, max_side=3)
    )
    word = st.sampled_from([
        "alpha", "beta", "negative_slope", "lower", "upper", "approximate", "out", "where", "casting",
        "order", "dtype", "subok", "signature", "axis", "scale", "empty", "keepdims", "axes", "x",
    ])  # fmt: skip
    name = data.draw(st.sampled_from(ELEMENTWISE + GATED + ROWWISE))
    f = getattr(nonlin, name)
    how = data.draw(st.sampled_from(["call", "bind", "vjp", "derivative"]))
    args = data.draw(st.lists(odd, max_size=4))
    kwargs = data.draw(st.dictionaries(word, odd, max_size=3))
    try:
        if how == "call":
            f(*args, **kwargs)
        elif how == "bind":
            nonlin.get(name, **kwargs)(*args)
        elif how == "vjp":
            nonlin.vjp(f, *args, **kwargs)
        else:
            nonlin.derivative(f)(*args, **kwargs)
    except (TypeError, ValueError, Strange, OverflowError, IndexError):
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
