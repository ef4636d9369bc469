"""Row-wise functions: axes, masks, layouts, gradients."""

import numpy as np
import pytest

import nonlin
from helpers import DTYPES, ROWWISE, dtype_of, same


def moved(f, x, axis, **kwargs):
    """The function along an axis, by way of contiguous rows along the last."""
    y = f(np.ascontiguousarray(np.moveaxis(x, axis, -1)), **kwargs)
    return np.moveaxis(y, -1, axis)


def data(shape, dtype):
    return (np.random.default_rng(5).standard_normal(shape) * 3).astype(dtype)


@pytest.mark.parametrize("name", ROWWISE)
@pytest.mark.parametrize("dtype", DTYPES)
def test_axes_and_layouts(name, dtype):
    f = getattr(nonlin, name)
    x = data((3, 21, 40), dtype_of(dtype))
    for axis in (0, 1, 2, -1, -2, -3):
        wanted = moved(f, x, axis)
        same(f(x, axis=axis), wanted)
        same(f(x[::-1, ::2, ::3], axis=axis), moved(f, x[::-1, ::2, ::3], axis))
        same(f(np.asfortranarray(x), axis=axis), wanted)
        out = np.empty_like(x)
        assert f(x, axis=axis, out=out) is out
        same(out, wanted)
        mine = x.copy()
        same(f(mine, axis=axis, out=mine), wanted)
        same(f(x, axis=(axis,)), wanted)
    flat = f(x.reshape(3, -1)).reshape(x.shape)
    same(f(x, axis=(1, 2)), flat)
    same(f(x, axis=(-1, -2)), f(x.transpose(0, 2, 1), axis=(1, 2)).transpose(0, 2, 1))
    same(f(x, axis=(0, 1, 2)), f(x.reshape(-1)).reshape(x.shape))
    same(f(x, axis=None), f(x, axis=(0, 1, 2)))
    same(f(x, where=True), f(x))
    same(f(x, axis=(1, 2), out=np.empty_like(x)), flat)


def test_values():
    x = data((5, 7), np.float64)
    e = np.exp(x - x.max(-1, keepdims=True))
    p = e / e.sum(-1, keepdims=True)
    np.testing.assert_allclose(nonlin.softmax(x), p, rtol=1e-14)
    np.testing.assert_allclose(nonlin.log_softmax(x), np.log(p), rtol=1e-13)
    np.testing.assert_allclose(nonlin.softmax(x, scale=2.0), nonlin.softmax(2 * x), rtol=1e-14)
    same(nonlin.Softmax(scale=2.0, axis=0)(x), nonlin.softmax(x, scale=2.0, axis=0))
    same(nonlin.softmin(x, axis=0), nonlin.softmax(x, scale=-1.0, axis=0))
    np.testing.assert_allclose(nonlin.softmin(x), nonlin.softmax(-x), rtol=1e-14)
    assert nonlin.softmax(np.arange(3, dtype=np.int8)).dtype == np.float16
    assert nonlin.softmax(np.empty((0, 3))).shape == (0, 3)
    assert nonlin.softmax(np.empty((3, 0))).shape == (3, 0)


def test_masks():
    x = data((4, 9), np.float32)
    keep = np.random.default_rng(6).random((4, 9)) < 0.5
    keep[0] = False
    shut = np.where(keep, x, -np.inf).astype(np.float32)
    got = nonlin.softmax(x, where=keep)
    assert np.isnan(got[0]).all()
    np.testing.assert_allclose(got[1:], nonlin.softmax(shut[1:]), rtol=1e-6)
    assert (nonlin.softmax(x, where=keep, empty="zero")[0] == 0).all()
    same(nonlin.softmax(x, where=keep[1]), nonlin.softmax(x, where=np.stack([keep[1]] * 4)))
    same(nonlin.softmax(x.T, axis=0, where=keep.T), got.T)
    odd = np.where(keep, np.uint8(2), np.uint8(0)).view(bool)
    same(nonlin.softmax(x, where=odd), got)


@pytest.mark.parametrize("name", ROWWISE)
@pytest.mark.parametrize("axis", [0, 1, (0, 1)])
def test_gradients(name, axis):
    f = getattr(nonlin, name)
    x, g = data((3, 5), np.float64), data((3, 5), np.float64)[::-1]
    dx = nonlin.vjp(f, x, g, axis=axis)
    step = 1e-6
    for i in np.ndindex(x.shape):
        e = np.zeros_like(x)
        e[i] = step
        slope = ((f(x + e, axis=axis) - f(x - e, axis=axis)) / (2 * step) * g).sum()
        np.testing.assert_allclose(dx[i], slope, rtol=1e-5, atol=1e-8)
    same(nonlin.backward_from_output(f, f(x, axis=axis), g, axis=axis), dx)


def test_errors():
    x = np.ones((2, 3))
    with pytest.raises(np.exceptions.AxisError):
        nonlin.softmax(x, axis=2)
    with pytest.raises(np.exceptions.AxisError):
        nonlin.softmax(x, axis=(0, 2))
    with pytest.raises(ValueError):
        nonlin.softmax(x, axis=(0, 0))
    with pytest.raises(TypeError, match="takes axis, not keepdims"):
        nonlin.softmax(x, keepdims=True)
    with pytest.raises(ValueError, match="needs an array with an axis"):
        nonlin.softmax(1.0)
    with pytest.raises(TypeError, match="`softmax` has no parameter `dim`"):
        nonlin.Softmax(dim=1)
    with pytest.raises(ValueError, match="`scale` of `softmax` is NaN; it must be between"):
        nonlin.softmax(x, scale=np.nan)
    with pytest.raises(ValueError, match="`scale` of `softmax` is inf; it must be at most"):
        nonlin.Softmax(scale=10**400)
    with pytest.raises(TypeError, match="`scale` of `softmax` must be a number, not str"):
        nonlin.softmax(x, scale="1")
    with pytest.raises(TypeError, match="is not elementwise"):
        nonlin.derivative("softmax")


def test_no_flags():
    x = np.array([[1e308, -1e308, np.inf], [np.nan, 5e-324, 0], [-np.inf] * 3])
    for dtype in (np.float64, np.float32, np.float16):
        with np.errstate(all="ignore"):
            v = x.astype(dtype)
        with np.errstate(all="raise"):
            nonlin.softmax(v)
            nonlin.log_softmax(v, axis=0)
            nonlin.vjp("softmax", v, v)
