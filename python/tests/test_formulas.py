"""Functions of formulas: `nonlin.Function("x * tanh(x)")` is what a function of the catalogue is."""

import copy
import inspect
import pickle

import hypothesis.strategies as st
import mpmath
import numpy as np
import pytest
from hypothesis import example, given, settings

import nonlin
from helpers import DTYPES, ELEMENTWISE, GATED, dtype_of, same
from test_docs import run

GATE = "x * tanh(alpha * x); alpha = 1 in (0, 10)"
TWO = "a * tanh(k * b) + c; k = 1 in [0, 4], c = 0.5"


def exact(f, x):
    """Values of a function of mpmath."""
    with mpmath.workdps(40):
        return np.array([float(f(mpmath.mpf(float(v)))) for v in np.ravel(x)]).reshape(np.shape(x))


def close(y, wanted, dtype):
    """Within two units in the last place of a type, or of its least number."""
    kind = dtype_of(dtype)
    digits = {"float16": 10, "bfloat16": 7, "float32": 23, "float64": 52}[dtype]
    assert y.dtype == kind
    least = 2.0**-24 if dtype == "float16" else 1e-30
    np.testing.assert_allclose(y.astype(float), wanted, rtol=2.0**-digits * 2, atol=least)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("alpha", [1.0, 0.25, 8.0])
def test_values_and_derivatives(dtype, alpha):
    f = nonlin.Function(GATE)
    # More than a block, in a shape with strides.
    x = (np.random.default_rng(3).standard_normal((3, 700)) * 2).astype(dtype_of(dtype)).T
    z = x.astype(float)
    with_alpha = lambda v: v * mpmath.tanh(alpha * v)  # noqa: E731
    slope = lambda v: mpmath.tanh(alpha * v) + alpha * v * mpmath.sech(alpha * v) ** 2  # noqa: E731
    curvature = lambda v: 2 * alpha * mpmath.sech(alpha * v) ** 2 * (  # noqa: E731
        1 - alpha * v * mpmath.tanh(alpha * v)
    )
    close(f(x, alpha=alpha), exact(with_alpha, z), dtype)
    close(nonlin.derivative(f)(x, alpha=alpha), exact(slope, z), dtype)
    if dtype == "float64":
        y = nonlin.derivative(f, order=2)(x, alpha=alpha)
        np.testing.assert_allclose(y, exact(curvature, z), rtol=1e-13, atol=1e-14)
    bound = nonlin.Function(GATE, alpha=alpha)
    same(bound(x), f(x, alpha=alpha))
    same(f.bind(alpha=alpha)(x), bound(x))
    same(f(x, alpha=np.full(3, alpha, x.dtype)), bound(x))
    g = np.ones_like(x)
    same(nonlin.vjp(f, x, g, alpha=alpha), nonlin.derivative(bound)(x))
    same(bound.backward(x, g), nonlin.derivative(bound)(x))


@pytest.mark.parametrize("dtype", DTYPES)
def test_two_operands(dtype):
    kind = dtype_of(dtype)
    rng = np.random.default_rng(4)
    a, b, g = (rng.standard_normal((3, 1000)).astype(kind) for _ in range(3))
    f = nonlin.Function(TWO, k=2)
    assert f.nin == 2 and f.params == {"k": 2.0, "c": 0.5} and f.k == 2.0
    x, z, w = (v.astype(float) for v in (a, b, g))
    rest = 2.0 ** -{"float16": 9, "bfloat16": 6, "float32": 22, "float64": 50}[dtype]
    near = dict(rtol=rest, atol=rest)
    np.testing.assert_allclose(f(a, b).astype(float), x * np.tanh(2 * z) + 0.5, **near)
    da, db = nonlin.vjp(f, a, b, g)
    np.testing.assert_allclose(da.astype(float), w * np.tanh(2 * z), **near)
    np.testing.assert_allclose(db.astype(float), w * x * 2 / np.cosh(2 * z) ** 2, **near)
    for one, other in zip(f.backward(a, b, g), (da, db)):
        same(one, other)
    same(nonlin.Function(TWO)(a, b, k=2), f(a, b))
    same(nonlin.Function(TWO)(a, b, k=2.0, c=0.25), nonlin.Function(TWO, k=2, c=0.25)(a, b))
    same(f(a[:, :1], b), f(np.repeat(a[:, :1], 1000, 1), b))
    with pytest.raises(TypeError, match="takes no arrays"):
        f(a, b, k=np.ones(3))
    with pytest.raises(ValueError, match="between 0 and 4"):
        f(a, b, k=5)
    with pytest.raises(ValueError, match="has two operands"):
        nonlin.derivative(f)


@pytest.mark.parametrize("name", ELEMENTWISE + GATED)
def test_built_in_ones_are_found(name):
    """A function of the catalogue typed as a formula has its bits."""
    known = getattr(nonlin, name)
    f = nonlin.Function(name)
    assert f.name == name
    x = [np.linspace(-6, 6, 1001), np.linspace(3, -5, 1001)][: known.nin]
    same(f(*x), known(*x))
    same(nonlin.vjp(f, *x, x[0]), nonlin.vjp(known, *x, x[0]))
    if not nonlin.info(name).parameters:
        typed = nonlin.Function(nonlin.info(name).formula)
        assert typed.name == name
        same(typed(*x), known(*x))


def test_it_is_found_however_it_is_written():
    assert nonlin.Function("x * tanh(ln(1 + exp(x)))").name == "mish"
    assert nonlin.Function("where(x > 0, x, alpha * (exp(x) - 1)); alpha = 0.5") == nonlin.Elu(alpha=0.5)
    assert nonlin.Function("gelu", approximate="tanh").name == "gelu_tanh"
    assert nonlin.get("x / (1 + exp(-x))") is nonlin.silu
    a, b = np.linspace(-2, 2, 9), np.linspace(1, 3, 9)
    same(nonlin.Function("b * sigmoid(b) * a")(a, b), nonlin.swiglu(b, a))


def test_where_names_go():
    x = np.linspace(-2, 2, 101)
    text = "x * tanh(x)"
    f = nonlin.Function(text)
    assert nonlin.get(text) == f and nonlin.get(GATE, alpha=2) == nonlin.Function(GATE, alpha=2)
    same(nonlin.derivative(text)(x), nonlin.derivative(f)(x))
    same(nonlin.vjp(text, x, x), nonlin.vjp(f, x, x))
    about = nonlin.info(GATE)
    assert (about.name, about.kind, about.range) == (GATE, "elementwise", None)
    assert about.parameters["alpha"].default == 1.0 and about.parameters["alpha"].low > 0
    assert nonlin.info(nonlin.Function(GATE, alpha=2)) == about
    assert pickle.loads(pickle.dumps(about)) == about
    assert nonlin.info(TWO).kind == "gated" and set(nonlin.info(TWO).parameters) == {"k", "c"}
    assert nonlin.info("x / (1 + exp(-x))").name == "silu"
    gain = nonlin.init.gain(text)
    rng = np.random.default_rng(0).standard_normal(400_000)
    assert abs(float(gain) - 1 / np.sqrt(np.mean(f(rng) ** 2))) < 0.01 * float(gain)


def test_plot():
    pytest.importorskip("matplotlib").use("Agg")
    from matplotlib import pyplot

    _, ax = pyplot.subplots()
    nonlin.plot("x * tanh(x)", nonlin.Function(GATE, alpha=2), ax=ax, derivative=True)
    labels = [line.get_label() for line in ax.get_lines()]
    assert labels == ["x * tanh(x)", "(x * tanh(x))'", f"{GATE}(alpha=2)", f"({GATE})'(alpha=2)"]
    pyplot.close("all")


def test_it_is_a_ufunc():
    f = nonlin.Function("x**2 - x")
    assert isinstance(f.ufunc, np.ufunc) and f.nin == 1 and f.types == nonlin.relu.types
    x = np.linspace(-3, 3, 5000)
    out = np.empty(5000, np.float32)
    assert f(x, out=out, casting="unsafe") is out
    np.testing.assert_allclose(out, x * x - x, rtol=1e-6, atol=1e-6)
    where = x > 0
    y = f(x, where=where, out=np.zeros(5000))
    same(y, np.where(where, f(x), 0))
    same(f(x.astype(">f8")), f(x))
    assert f(3) == 6.0 and f(np.float32(3)).dtype == np.float32
    nonlin.set_num_threads(2)
    same(f(np.tile(x, 100)), np.tile(f(x), 100))
    assert nonlin.Function(GATE).parametric.nin == 2
    same(nonlin.Function(GATE).parametric(x, 2.0), nonlin.Function(GATE)(x, alpha=2))


def everything():
    f = nonlin.Function(GATE)
    yield from (f, nonlin.Function(GATE, alpha=2), f.ufunc, f.parametric)
    yield from (nonlin.derivative(f), nonlin.derivative(f, order=2), nonlin.derivative(f.ufunc))
    yield from (nonlin.Function(TWO), nonlin.Function(TWO, k=2), nonlin.Function(TWO, k=2).ufunc)
    yield from (nonlin.Function("a * sigmoid(b)"), nonlin.Function("b * a * sigmoid(a)"))
    yield from (nonlin.Function("tanh"), nonlin.Function("elu"), nonlin.Function("gelu"))
    yield nonlin._nonlin.related(f, "backward")
    yield nonlin._nonlin.related(nonlin.Function(TWO), "backward")


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickling(protocol):
    for f in everything():
        for g in (pickle.loads(pickle.dumps(f, protocol)), copy.deepcopy(f), copy.copy(f)):
            assert type(g) is type(f)
            if isinstance(f, np.ufunc):
                assert nonlin._nonlin.recipe(g) == nonlin._nonlin.recipe(f)
            else:
                assert f == g and hash(f) == hash(g) and repr(f) == repr(g)
            x = [np.linspace(0.1, 1, 5)] * f.nin
            for y, z in zip(np.atleast_2d(f(*x)), np.atleast_2d(g(*x))):
                same(y, z)


def test_repr_and_equality():
    f = nonlin.Function(GATE)
    assert repr(f) == f"nonlin.Function('{GATE}', alpha=1.0)"
    assert repr(nonlin.Function(TWO, k=2)) == f"nonlin.Function('{TWO}', k=2.0, c=0.5)"
    assert repr(nonlin.derivative(nonlin.Function("x*tanh(x)"))) == (
        "nonlin.derivative(nonlin.Function('x*tanh(x)'))"
    )
    for f in everything():
        if not isinstance(f, np.ufunc) and f.operation != "backward":
            assert eval(repr(f)) == f
    assert nonlin.Function(GATE, alpha=1) == nonlin.Function(GATE) != nonlin.Function(GATE, alpha=2)
    assert f.name != GATE and nonlin.Function(GATE).name == GATE


@pytest.mark.parametrize("operation", ["forward", "derivative", "second_derivative", "backward"])
@pytest.mark.parametrize(
    "f", [nonlin.Function("x * tanh(x)"), nonlin.Function(GATE, alpha=2), nonlin.Elu(alpha=0.5)], ids=repr
)
def test_docstrings(f, operation):
    f = f if operation == "forward" else nonlin._nonlin.related(f, operation)
    run(f.__doc__, repr(f))
    inspect.signature(f)


@pytest.mark.parametrize("f", [nonlin.Function(TWO, k=2), nonlin.Function("b * silu(a)")], ids=repr)
def test_docstrings_of_two_operands(f):
    assert str(inspect.signature(f)).startswith("(a, b, /, *,")
    run(f.__doc__, repr(f))
    run(nonlin._nonlin.related(f, "backward").__doc__, repr(f))


def test_the_class_tells():
    assert "Raises" in nonlin.Function.__doc__
    assert str(inspect.signature(nonlin.Function)) == "(formula: str, /, **params: float)"
    f = nonlin.Function("lambda * x + g; lambda = 2, g = 1")
    assert f(3.0) == 7.0 and f(3.0, **{"lambda": 1.0}) == 4.0
    assert str(inspect.signature(f)).startswith("(x, /, *, g=1.0, out=None")
    backward = nonlin._nonlin.related(f, "backward")
    assert str(inspect.signature(backward)).startswith("(x, g_, /, *, g=1.0, out=None")


def test_errors():
    with pytest.raises(ValueError) as error:
        nonlin.Function("x * tnah(x)")
    assert str(error.value) == (
        "unknown function `tnah`; did you mean `tanh`?\n  x * tnah(x)\n      ^^^^"
    )
    with pytest.raises(ValueError, match="unknown function `sillu`; did you mean `silu`?"):
        nonlin.Function("sillu")
    with pytest.raises(ValueError, match=r"\^"):
        nonlin.get("x * (2 + ")
    with pytest.raises(ValueError, match=r"`alpha` of .* is 11; it must be between"):
        nonlin.Function(GATE, alpha=11)
    with pytest.raises(ValueError, match=r"`alpha` of .* is 11; it must be between"):
        nonlin.Function(GATE)(1.0, alpha=11)
    with pytest.raises(TypeError, match="has no parameter `beta`; it has alpha"):
        nonlin.Function(GATE, beta=11)
    with pytest.raises(TypeError, match="has no parameter `beta`; it has k, c"):
        nonlin.Function(TWO)(1.0, 2.0, beta=11)
    with pytest.raises(TypeError, match="an array; a bound function takes numbers"):
        nonlin.Function(GATE, alpha=[1.0])
    with pytest.raises(TypeError, match="3 is no formula; it must be a str"):
        nonlin.Function(3)
    with pytest.raises(TypeError, match="`softmax` is row-wise; nonlin.softmax has it"):
        nonlin.Function("softmax")
    with pytest.raises(TypeError, match="takes 1 positional argument"):
        nonlin.Function("x + 1")(1.0, 2.0)
    with pytest.raises(ValueError, match="does not determine its slope"):
        nonlin.Function("x + 1").backward_from_output(1.0, 2.0)
    with pytest.raises(ValueError, match="has the name of an argument of every ufunc"):
        nonlin.Function("order * x; order = 2")
    for hostile in ["(" * 10**6, "x" * 10**6, "x^" * 400 + "x", "1e999999999 * x", "\0", "x\0"]:
        with pytest.raises(ValueError):
            nonlin.Function(hostile)


def terms():
    """Formulas whose values and slopes stay moderate, with what Python makes of them."""
    leaf = st.sampled_from(["x", "0.5", "alpha", "3"])
    calls = ["tanh({})", "sigmoid({})", "sin({})", "erf({})", "atan({})", "cos({})"]
    one = lambda inner: st.builds(str.format, st.sampled_from(calls), inner)  # noqa: E731
    two = lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from("+-*"), inner)  # noqa: E731
    return st.recursive(leaf, lambda inner: one(inner) | two(inner), max_leaves=8)


@settings(max_examples=150, deadline=None)
@example(term="sigmoid(x) * sigmoid(x)", alpha=1.0, seed=0)
@given(term=terms(), alpha=st.sampled_from([0.25, 1.0, 2.0]), seed=st.integers(0, 2**32 - 1))
def test_any_formula(term, alpha, seed):
    """Values and slopes against multiple precision; the bits wherever an element is."""
    words = {
        "tanh": mpmath.tanh, "sin": mpmath.sin, "cos": mpmath.cos, "erf": mpmath.erf,
        "atan": mpmath.atan, "sigmoid": lambda v: 1 / (1 + mpmath.exp(-v)), "alpha": mpmath.mpf(alpha),
    }  # fmt: skip
    f = nonlin.Function(f"{term} + 0*x; alpha = {alpha}")
    code = compile(term.replace("0.5", "(mpf(1)/2)"), "formula", "eval")
    at = lambda v: eval(code, {**words, "x": v, "mpf": mpmath.mpf})  # noqa: E731
    x = np.random.default_rng(seed).uniform(-2, 2, 20)
    with mpmath.workdps(50):
        wanted = np.array([float(at(mpmath.mpf(v))) for v in x])
        # Differences of 50 digits have 20 left.
        h = mpmath.mpf(10) ** -15
        slope = [(at(mpmath.mpf(v) + h) - at(mpmath.mpf(v) - h)) / (2 * h) for v in x]
    size = 1e-12 * max(1.0, np.abs(wanted).max())
    np.testing.assert_allclose(f(x), wanted, rtol=1e-11, atol=size)
    slope = np.array([float(v) for v in slope])
    size = 1e-11 * max(1.0, np.abs(slope).max())
    np.testing.assert_allclose(nonlin.derivative(f)(x), slope, rtol=1e-10, atol=size)
    # Results do not depend on where an element is: blocks have 512, and ends of the range among them.
    wide = np.concatenate([x, [30, -30, 800, -800, 1e30, -1e30, 0, np.inf, -np.inf, np.nan]])
    for dtype in (np.float32, np.float64):
        few, many = wide.astype(dtype), np.tile(wide.astype(dtype), 40)
        for g in (f, nonlin.derivative(f), lambda v: nonlin.vjp(f, v, np.full_like(v, 3))):
            same(g(many), np.tile(g(few), 40))
    single = x.astype(np.float32)
    y = f(single.astype(float))
    np.testing.assert_allclose(f(single), y, rtol=2e-7, atol=1e-7 * max(1.0, np.abs(y).max()))
