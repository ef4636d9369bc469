"""Arrays of other libraries come back as themselves."""

import subprocess
import sys

import numpy as np
import pytest

import nonlin
from helpers import same

X = np.linspace(-2, 2, 12).reshape(3, 4)


def test_xarray():
    xr = pytest.importorskip("xarray")
    a = xr.DataArray(X, dims=("row", "column"), coords={"row": [1, 2, 3]}, name="x")
    for f in (nonlin.relu, nonlin.gelu, nonlin.Elu(alpha=0.5), nonlin.derivative("tanh")):
        y = f(a)
        assert isinstance(y, xr.DataArray) and y.dims == a.dims and "row" in y.coords
        same(y.values, f(X))
    y = nonlin.elu(a, alpha=xr.DataArray([1.0, 2.0, 3.0, 4.0], dims="column"))
    assert isinstance(y, xr.DataArray)
    same(y.values, nonlin.elu(X, alpha=np.array([1.0, 2.0, 3.0, 4.0])))
    assert isinstance(nonlin.swiglu(a, a), xr.DataArray)
    assert isinstance(nonlin.relu(xr.Dataset({"x": a})), xr.Dataset)


@pytest.mark.parametrize("axis, number", [
    (-1, -1), (None, (0, 1, 2)), (0, 0), (-2, 1), ("column", 1), (("depth", "row"), (2, 0)), ((0, -1), (0, 2)),
])
def test_xarray_rows(axis, number):
    """Axes by number or by name; dimensions, coordinates and attributes stay."""
    xr = pytest.importorskip("xarray")
    x = np.random.default_rng(10).standard_normal((3, 4, 5))
    a = xr.DataArray(
        x, dims=("row", "column", "depth"), coords={"row": [1, 2, 3]}, name="x", attrs={"unit": "V"}
    )
    wanted = nonlin.softmax(x, axis=number)
    y = nonlin.softmax(a, axis=axis)
    assert y.dims == a.dims and y.attrs == a.attrs and "row" in y.coords
    same(y.values, wanted)
    same(nonlin.softmax(a.variable, axis=axis).values, wanted)
    same(nonlin.softmax(a.chunk({"row": 1, "column": 3}), axis=axis).values, wanted)
    g = a[::-1].assign_coords(a.coords)
    same(nonlin.vjp("softmax", a, g, axis=axis).values, nonlin.vjp("softmax", x, x[::-1], axis=number))
    for keep in (a > 0, (a > 0).isel(row=0, drop=True), x > 0, x[0] > 0):
        plain = np.broadcast_to(getattr(keep, "values", keep), x.shape)
        got = nonlin.softmax(a, axis=axis, where=keep, empty="zero")
        same(got.values, nonlin.softmax(x, axis=number, where=plain, empty="zero"))


def test_xarray_datasets_and_errors():
    xr = pytest.importorskip("xarray")
    a = xr.DataArray(X, dims=("row", "column"))
    y = nonlin.log_softmax(xr.Dataset({"x": a, "y": 2 * a}), axis="column")
    assert isinstance(y, xr.Dataset)
    same(y.y.values, nonlin.log_softmax(2 * X))
    wrong = [
        (ValueError, "axis of softmax.. is 'line'; the dimensions are 'row', 'column'",
         lambda: nonlin.softmax(a, axis="line")),
        (ValueError, "axis of softmax.. is -1", lambda: nonlin.softmax(xr.Dataset({"x": a}))),
        (np.exceptions.AxisError, "axis 2 is out of bounds", lambda: nonlin.softmax(a, axis=2)),
        (TypeError, "takes no `out`", lambda: nonlin.softmax(a, out=X.copy())),
        (TypeError, "make both xarray's", lambda: nonlin.softmax(X, where=a > 0)),
    ]
    for kind, text, call in wrong:
        with pytest.raises(kind, match=text):
            call()


def test_dask():
    da = pytest.importorskip("dask.array")
    a = da.from_array(X, chunks=(2, 2))
    for f in (nonlin.relu, nonlin.gelu, nonlin.Elu(alpha=0.5), nonlin.derivative("tanh")):
        y = f(a)
        assert isinstance(y, da.Array)
        same(y.compute(), f(X))
        same(y.compute(scheduler="processes", num_workers=1), f(X))
    y = nonlin.elu(a, alpha=da.from_array(X[:1] ** 2, chunks=(1, 2)))
    assert isinstance(y, da.Array)
    same(y.compute(), nonlin.elu(X, alpha=X[:1] ** 2))
    for axis in (-1, 0, (0, 1)):
        # Whatever the chunks are.
        y = nonlin.softmax(a, axis=axis)
        assert isinstance(y, da.Array)
        same(y.compute(), nonlin.softmax(X, axis=axis))
    y = nonlin.vjp("softmax", a, a[::-1], axis=0)
    same(y.compute(), nonlin.vjp("softmax", X, X[::-1], axis=0))


def test_pandas():
    pd = pytest.importorskip("pandas")
    s = pd.Series(X[0], index=list("abcd"), name="x")
    y = nonlin.elu(s, alpha=0.5)
    assert isinstance(y, pd.Series) and y.index.equals(s.index)
    same(y.to_numpy(), nonlin.elu(X[0], alpha=0.5))
    frame = pd.DataFrame(X, columns=list("abcd"))
    for axis in (0, 1):
        y = nonlin.softmax(frame, axis=axis)
        assert isinstance(y, pd.DataFrame) and list(y.columns) == list("abcd")
        same(y.to_numpy(), nonlin.softmax(X, axis=axis))
    assert isinstance(nonlin.softmax(s), pd.Series)
    frame = nonlin.gelu(pd.DataFrame(X, columns=list("abcd")))
    assert isinstance(frame, pd.DataFrame) and list(frame.columns) == list("abcd")


def test_own_array_types():
    class Mine:
        def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
            return ufunc, method, inputs, kwargs

    mine = Mine()
    ufunc, method, inputs, kwargs = nonlin.elu(mine, alpha=0.5, out=None)
    assert isinstance(ufunc, np.ufunc) and method == "__call__" and inputs == (mine,)
    same(ufunc(-1.0), nonlin.elu(-1.0, alpha=0.5))


def test_bfloat16_with_floats():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = np.array([-1.0, 1.0], ml_dtypes.bfloat16)
    assert nonlin.elu(x, alpha=0.5).dtype == x.dtype
    assert nonlin.elu(x, alpha=x).dtype == x.dtype
    assert nonlin.swiglu(x, x.astype("f")).dtype == np.float32
    assert nonlin.softmax(x).dtype == x.dtype
    assert nonlin.relu(x.astype("f"), out=x, casting="unsafe").dtype == x.dtype


def test_without_ml_dtypes():
    code = (
        "import sys; sys.modules['ml_dtypes'] = None\n"
        "import numpy as np, nonlin\n"
        "assert nonlin.relu(np.ones(3, 'f')).sum() == 3"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_import_is_light():
    """What is large is imported where it is used."""
    code = (
        "import sys, numpy, nonlin\n"
        "large = {'torch', 'matplotlib', 'xarray', 'dask', 'pandas', 'scipy'} & set(sys.modules)\n"
        "assert not large, large"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
