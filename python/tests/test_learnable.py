"""Parameters that are learned, in NumPy."""

import copy
import pickle

import numpy as np
import pytest

import nonlin

TEXTS = ["elu", "softplus", "rrelu", "x * sigmoid(beta * x); beta = 1.5"]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_against_ufuncs(text, dtype, order):
    """Values are those of the ufunc with the parameters as arrays; gradients are differences'."""
    f = nonlin.Learnable(text)
    rng = np.random.default_rng(0)
    x = np.asarray(2 * rng.standard_normal((4, 3, 5)), dtype=dtype, order=order)
    grad = rng.standard_normal(x.shape).astype(dtype)
    values = {p: v * np.array([1, 1.25, 1.5]) for p, v in f.params.items()}
    # As the arithmetic of the type sees them.
    seen = {p: v.astype(np.float32 if dtype != np.float64 else dtype) for p, v in values.items()}
    ufunc = nonlin.get(text) if text.isidentifier() else nonlin.Function(text)
    y = f.forward(x, **values)
    assert y.dtype == dtype and y.shape == x.shape
    spread = {p: v.astype(dtype)[:, None] for p, v in seen.items()}
    if dtype != np.float16:  # whose arrays round parameters to float16
        np.testing.assert_array_equal(y, ufunc(x, **spread))
    dx, by = f.backward(x, grad, **values)
    wide = {p: v.astype(np.float64) for p, v in seen.items()}
    x64, g64 = x.astype(np.float64), grad.astype(np.float64)
    unit = np.finfo(dtype).eps
    for p in f.params:
        up, down = ({**wide, p: wide[p] + h} for h in (1e-6, -1e-6))
        wanted = (f.forward(x64, **up) - f.forward(x64, **down)) / 2e-6 * g64
        size = np.abs(wanted).sum((0, 2)) + 1
        assert by[p].shape == (3,) and by[p].dtype == np.float64
        assert (np.abs(by[p] - wanted.sum((0, 2))) <= 1e-7 * size).all()
        # One value for all: the sum over channels.
        both = (1.25 * f.params[p], np.full(3, 1.25 * f.params[p]))
        one, three = (f.backward(x, grad, **{**values, p: v})[1][p] for v in both)
        assert np.shape(one) == () and np.shape(three) == (3,)
        assert one == pytest.approx(three.sum(), rel=1e-12, abs=1e-12)
    slope = (f.forward(x64 + 1e-6, **wide) - f.forward(x64 - 1e-6, **wide)) / 2e-6
    near = np.abs(x64) > 1e-5
    assert (np.abs(dx - slope * g64)[near] <= (2 * unit + 1e-6) * (1 + np.abs(g64[near]))).all()


def test_threads_and_axes():
    x = np.random.default_rng(1).standard_normal((300, 3, 100))
    f, alpha = nonlin.Learnable("elu"), [0.5, 1.0, 1.5]
    one = f.backward(x, x, alpha=alpha)
    try:
        nonlin.set_num_threads(2)
        two = f.backward(x, x, alpha=alpha)
    finally:
        nonlin.set_num_threads(1)
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1]["alpha"], two[1]["alpha"])
    last = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    np.testing.assert_array_equal(
        f.forward(last, axis=-1, alpha=alpha), np.moveaxis(f.forward(x, alpha=alpha), 1, -1)
    )


def test_starts_and_copies():
    f = nonlin.Learnable(nonlin.Elu(alpha=0.25))
    assert f.params == {"alpha": 0.25} and f.forward(np.array(-1e9)) == -0.25
    for g in (copy.deepcopy(f), pickle.loads(pickle.dumps(f))):
        assert g.params == f.params and repr(g) == repr(f)
    assert nonlin.Learnable("celu").bounds["alpha"][0] == 1e-6
    assert f.forward([[-1, 0]]).dtype == np.float64
    assert f.backward(np.empty((0, 3)), np.empty((0, 3)), alpha=np.ones(3))[1]["alpha"].tolist() == [0] * 3


def test_errors():
    f = nonlin.Learnable("elu")
    x = np.ones((2, 3))
    for call, error, words in (
        (lambda: nonlin.Learnable("gelu"), ValueError, "no parameters"),
        (lambda: nonlin.Learnable("elo"), ValueError, "did you mean `elu`"),
        (lambda: nonlin.Learnable(np.exp), TypeError, "takes a function of nonlin"),
        (lambda: f.forward(x, beta=1), TypeError, "no parameter `beta`; it has alpha"),
        (lambda: f.forward(x, alpha=[1, 2]), ValueError, "3 channels, but there are 2 values"),
        (lambda: f.forward(x, alpha=np.ones((2, 2))), ValueError, r"shape \(2, 2\)"),
        (lambda: f.forward(x, alpha=np.nan), ValueError, "NaN"),
        (lambda: f.forward(x, axis=2, alpha=[1, 2, 3]), ValueError, "axis 2 is out of range"),
        (lambda: f.forward(x.astype(complex)), TypeError, "complex128"),
        (lambda: f.backward(x, x[:1]), ValueError, r"shapes .*\(1, 3\)"),
    ):
        with pytest.raises(error, match=words):
            call()


def test_types_and_byte_orders():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    f, x = nonlin.Learnable("elu"), np.linspace(-4, 4, 10).reshape(5, 2)
    half = x.astype(ml_dtypes.bfloat16)
    y = f.forward(half, alpha=[0.5, 2])
    assert y.dtype == half.dtype
    assert np.array_equal(y, nonlin.elu(half, alpha=np.array([0.5, 2], half.dtype)))
    dx, by = f.backward(half, np.ones_like(half), alpha=[0.5, 2])
    assert dx.dtype == half.dtype and np.allclose(by["alpha"], np.expm1(np.minimum(half.astype(float), 0)).sum(0))
    swapped = x.astype(np.dtype("f8").newbyteorder())
    assert np.array_equal(f.forward(swapped), f.forward(x))
    dx, _ = f.backward(swapped, np.ones_like(swapped))
    assert np.array_equal(dx, f.backward(x, np.ones_like(x))[0])
