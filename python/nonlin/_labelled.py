"""Row-wise functions of arrays whose axes have names, those of xarray.

xarray takes no generalised ufunc by itself: `xarray.apply_ufunc` must be told along which axes.
"""

import operator
import sys

import numpy as np


def is_labelled(array):
    """Whether it is one of xarray's, which has been imported where there is such an array."""
    xarray = sys.modules.get("xarray")
    kinds = xarray and (xarray.DataArray, xarray.Dataset, xarray.Variable)
    return bool(kinds) and isinstance(array, kinds)


def along(name, function, operands, axis, has_out):
    """`function(*arrays, axis=axes)` of labelled operands, along axes that are numbers or names."""
    import xarray

    x, *others = operands
    if not is_labelled(x):
        raise TypeError(f"{name}() of an array and an xarray object: make both xarray's")
    if has_out:
        raise TypeError(f"{name}() of an xarray object takes no `out`")
    if axis is None:
        axis = tuple(x.dims)
    dims = [_dimension(name, x, a) for a in (axis if isinstance(axis, tuple) else (axis,))]
    y = xarray.apply_ufunc(
        lambda *arrays: function(*arrays, axis=tuple(range(-len(dims), 0))),
        x,
        *(_like(name, x, other) for other in others),
        input_core_dims=[dims] * len(operands),
        output_core_dims=[dims],
        dask="allowed",
        keep_attrs=True,
    )
    return y.transpose(*x.dims)


def _dimension(name, x, axis):
    dims = tuple(x.dims)
    if axis in dims:
        return axis
    if isinstance(axis, str) or hasattr(x, "data_vars"):
        raise ValueError(f"axis of {name}() is {axis!r}; the dimensions are {', '.join(map(repr, dims))}")
    try:
        return dims[operator.index(axis)]
    except IndexError:
        raise np.exceptions.AxisError(axis, len(dims)) from None


def _like(name, x, other):
    """`other`, repeated to the dimensions of `x`."""
    if hasattr(other, "broadcast_like") and hasattr(x, "coords"):
        return other.broadcast_like(x)
    if hasattr(other, "set_dims"):
        return other.set_dims(x.sizes)
    if hasattr(x, "data_vars"):
        raise TypeError(f"{name}() of a Dataset and an array: make both xarray's")
    import xarray

    return xarray.Variable(x.dims, np.broadcast_to(other, x.shape))
