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
    same(nonlin.softmax(a.rechunk((2, 4))).compute(), nonlin.softmax(X))


def test_pandas():
    pd = pytest.importorskip("pandas")
    s = pd.Series(X[0], index=list("abcd"), name="x")
    y = nonlin.elu(s, alpha=0.5)
    assert isinstance(y, pd.Series) and y.index.equals(s.index)
    same(y.to_numpy(), nonlin.elu(X[0], alpha=0.5))
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
    code = (
        "import sys, time, numpy\n"
        "start = time.process_time()\n"
        "import nonlin\n"
        "took = time.process_time() - start\n"
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules\n"
        "print(took)"
    )
    times = [
        float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)
        for _ in range(9)
    ]
    assert min(times) <= 0.025, times
