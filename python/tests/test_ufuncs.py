"""Every function is a ufunc: any shape, strides, type, byte order and overlap give the same bits."""

import itertools
import warnings

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import nonlin
from helpers import DTYPES, ELEMENTWISE, GATED, NAMES, dtype_of, same, special

OPERATIONS = ["forward", "derivative", "second_derivative", "backward", "backward_from_output"]


def operations(name):
    """The ufuncs of a function, with the number of their operands."""
    f = getattr(nonlin, name)
    for operation in OPERATIONS:
        try:
            related = f if operation == "forward" else nonlin._nonlin.related(f, operation)
        except ValueError:
            assert operation != "backward"
            continue
        yield operation, related


ALL = [(name, op) for name in ELEMENTWISE + GATED for op, _ in operations(name)]


def the(name, operation):
    return dict(operations(name))[operation]


def test_every_function_is_there():
    assert len(ALL) > 80
    for name in ELEMENTWISE:
        f = getattr(nonlin, name)
        plain = isinstance(f, np.ufunc)
        assert plain == (not nonlin.info(name).parameters and name != "gelu")
        assert isinstance(f if plain else f.ufunc, np.ufunc)
        assert f.nin == 1 and f.nout == 1 and f.types == ["e->e", "f->f", "d->d"]
    for name in GATED:
        f = getattr(nonlin, name)
        assert isinstance(f, np.ufunc) and f.nin == 2
    # Those that are formulas are attributes too, which a star import leaves.
    listed = sum((names for kind, names in NAMES.items() if kind != "formula"), [])
    assert set(listed) <= set(nonlin.__all__) <= set(dir(nonlin))


@pytest.mark.parametrize("name, operation", ALL)
def test_types_and_promotion(name, operation):
    f = the(name, operation)
    for dtype in DTYPES:
        dtype = dtype_of(dtype)
        y = f(*[np.ones(3, dtype)] * f.nin)
        assert {np.asarray(v).dtype for v in (y if f.nout > 1 else [y])} == {dtype}
    for dtype in ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"]:
        y = f(*[np.ones(3, dtype)] * f.nin)
        assert np.asarray(y[0] if f.nout > 1 else y).dtype == np.sin(np.ones(3, dtype)).dtype
    for dtype in ["c8", "O", "S3"]:
        with pytest.raises(TypeError):
            f(*[np.zeros(3, dtype)] * f.nin)


@pytest.mark.parametrize("name, operation", ALL)
@pytest.mark.parametrize("dtype", DTYPES)
def test_no_flags(name, operation, dtype):
    """Kernels leave no floating-point flag, whatever the values are."""
    dtype = dtype_of(dtype)
    f = the(name, operation)
    x = special(dtype)
    with np.errstate(all="ignore"):
        more = (np.random.default_rng(1).standard_normal(997) * 50).astype(dtype)
    operands = [np.concatenate([np.roll(x, i), more]) for i in range(f.nin)]
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("error")
        f(*operands)
        f(*[x[::-2] for x in operands])
        f(*[x[:1] for x in operands])


def test_flags_of_others_stay():
    """A flag that is set before a call is not lost, and the mode of rounding is put back."""
    x = np.ones(3)
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        nonlin.relu(x)
        np.divide(x, 0.0)


@pytest.mark.parametrize("name, operation", ALL)
@pytest.mark.parametrize("dtype", DTYPES)
def test_layout_does_not_matter(name, operation, dtype):
    dtype = dtype_of(dtype)
    f = the(name, operation)
    rng = np.random.default_rng(2)
    with np.errstate(all="ignore"):
        plain = [
            np.concatenate([special(dtype), (rng.standard_normal(3000) * 4).astype(dtype)])
            for _ in range(f.nin)
        ]
    wanted = f(*plain)
    wanted = wanted if f.nout > 1 else (wanted,)
    n = len(plain[0])

    def check(*operands, **kwargs):
        got = f(*operands, **kwargs)
        for g, w in zip(got if f.nout > 1 else (got,), wanted):
            same(g, w)

    wide = [np.repeat(x, 3)[::3] for x in plain]
    check(*wide)
    check(*[np.ascontiguousarray(x[::-1])[::-1] for x in plain])
    check(*[np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(dtype) for x in plain])
    if dtype.kind == "f":
        check(*[x.astype(x.dtype.newbyteorder()) for x in plain])
    out = tuple(np.zeros((n, 2), dtype)[:, 1] for _ in range(f.nout))
    check(*plain, out=out)
    rows = f(*[np.broadcast_to(x, (2, n)) for x in plain])
    for g, w in zip(rows if f.nout > 1 else (rows,), wanted):
        same(g, np.stack([w, w]))
    # Onto the last operand, then onto the first.
    for place in {f.nin - 1, 0}:
        for strided in (False, True):
            copies = [np.repeat(x, 2)[::2] if strided else x.copy() for x in plain]
            outs = (copies[place], *[np.empty(n, dtype) for _ in range(f.nout - 1)])
            check(*copies, out=outs)


@pytest.mark.parametrize("name, operation", ALL)
def test_neighbours_do_not_matter(name, operation):
    """What stands beside an infinity or a very large number does not change its result."""
    f = the(name, operation)
    ends = [np.inf, -np.inf, 3e38, -3e38, np.nan, 0.0]
    beside = [0, -4, -20, 20, -100, 100, -1000, 1000, 1e-40]
    for dtype in (np.float16, np.float32, np.float64):
        for case in itertools.product(ends, repeat=f.nin):
            results = []
            for neighbour in beside:
                operands = []
                with np.errstate(all="ignore"):
                    for end in case:
                        operands.append(np.array([end] + [neighbour] * 15).astype(dtype))
                got = f(*operands)
                results.append(np.array([y[0] for y in (got if f.nout > 1 else (got,))]))
            for other in results[1:]:
                same(other, results[0])


FLOATS = st.sampled_from([np.float16, np.float32, np.float64])


@st.composite
def overlapping(draw, operands):
    """A buffer, and views of it of one length: operands, then a result."""
    size = draw(st.integers(1, 1500))
    dtype = draw(FLOATS)
    n = draw(st.integers(0, size))
    views = []
    for _ in range(operands + 1):
        step = draw(st.sampled_from([1, 1, 1, 2, 3, -1, -2]))
        if (n - 1) * abs(step) >= size:
            step = 1 if step > 0 else -1
        span = max((n - 1) * abs(step) + 1, 1)
        start = draw(st.integers(0, size - span)) if n else 0
        views.append((start if step > 0 else start + span - 1, step))
    return size, dtype, n, views


@pytest.mark.parametrize("name, operation", [
    ("gelu", "forward"), ("relu", "forward"), ("tanh", "derivative"), ("silu", "backward"),
    ("swiglu", "forward"), ("sigmoid", "backward_from_output"), ("mish", "second_derivative"),
])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_overlap(name, operation, data):
    f = the(name, operation)
    size, dtype, n, views = data.draw(overlapping(f.nin))
    buffer = np.random.default_rng(3).standard_normal(size).astype(dtype)

    def view(i):
        start, step = views[i]
        return np.lib.stride_tricks.as_strided(
            buffer[start:], (n,), (step * buffer.itemsize,)
        ) if n else buffer[:0]

    operands = [view(i) for i in range(f.nin)]
    wanted = f(*[x.copy() for x in operands])
    before = buffer.copy()
    out = view(f.nin)
    untouched = np.ones(size, bool)
    start, step = views[-1]
    untouched[[start + step * i for i in range(n)]] = False
    f(*operands, out=out)
    same(out, wanted)
    same(buffer[untouched], before[untouched])


@settings(max_examples=200, deadline=None)
@given(data=st.data(), name=st.sampled_from(ELEMENTWISE + GATED))
def test_any_arrays(data, name):
    """Shapes that broadcast, any float type and byte order, `where` and `dtype`."""
    f = getattr(nonlin, name)
    shapes = data.draw(hnp.mutually_broadcastable_shapes(num_shapes=f.nin, max_dims=4, max_side=5))
    kinds = hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64))
    operands = [
        data.draw(hnp.arrays(data.draw(kinds), shape)) for shape in shapes.input_shapes
    ]
    with np.errstate(all="ignore"):
        got = f(*operands)
        common = np.result_type(*operands)
        assert got.dtype == common.newbyteorder("=")
        flat = [np.broadcast_to(x, shapes.result_shape).astype(common).ravel() for x in operands]
        same(got, f(*flat).reshape(shapes.result_shape))
        where = data.draw(hnp.arrays(bool, shapes.result_shape))
        out = np.full(shapes.result_shape, 7, got.dtype)
        f(*operands, out=out, where=where)
        same(out, np.where(where, got, np.array(7, got.dtype)))
        same(f(*operands, dtype=np.float64), f(*[x.astype(np.float64) for x in operands]))


def test_scalars_and_no_dimensions():
    assert isinstance(nonlin.gelu(1.0), np.float64)
    assert isinstance(nonlin.elu(np.float32(1), alpha=0.5), np.float32)
    assert nonlin.relu(np.array(-1.0)).shape == ()
    assert nonlin.relu(np.empty((0, 3), "f")).shape == (0, 3)


def test_methods():
    x = np.array([-1.0, 2.0, -3.0])
    nonlin.relu.at(x, [0, 0])
    assert x.tolist() == [0, 2, -3]
    nonlin.elu.at(x, [2])
    assert x[2] == np.expm1(-3)
    assert nonlin.swiglu.outer([1.0, 2.0], [1.0, 2.0, 3.0]).shape == (2, 3)
    with pytest.raises(ValueError):
        nonlin.relu.reduce(x)


def test_order_and_subclass():
    x = np.asfortranarray(np.ones((3, 4), "f"))
    assert nonlin.gelu(x).flags.f_contiguous
    assert nonlin.elu(x, alpha=0.5, order="C").flags.c_contiguous
    masked = np.ma.array([1.0, -1.0], mask=[False, True])
    assert isinstance(nonlin.relu(masked), np.ma.MaskedArray)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_special_values(name):
    about = nonlin.info(name)
    for dtype in DTYPES:
        dtype = dtype_of(dtype)
        f = getattr(nonlin, name)
        y = f(np.array([-np.inf, np.inf, np.nan], dtype))
        assert y[:2].tolist() == np.array(about.limits, dtype).tolist() and np.isnan(y[2])
        slopes = nonlin.derivative(f)(np.array([-np.inf, np.inf, np.nan], dtype))
        with np.errstate(all="ignore"):
            limits = np.array(about.slope_limits, dtype)
        assert (slopes[:2] == limits).all() or name == "rrelu" and np.allclose(
            slopes[:2].astype(float), limits.astype(float), rtol=1e-2)
        assert np.isnan(slopes[2])
