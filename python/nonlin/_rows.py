"""Row-wise functions: generalised ufuncs along one axis or several."""

from functools import lru_cache
from typing import Any

import numpy as np

from nonlin import _labelled, _nonlin


@lru_cache(maxsize=64)
def _gufunc(name, operation, scale, zero_empty, masked):
    return _nonlin.row_ufunc(name, operation, scale, zero_empty, masked)


def _axes(axis, rank):
    return np.lib.array_utils.normalize_axis_tuple(axis, rank, "axis")


def _together(array, axes):
    """`array` with these axes as one, the last; and how to undo that."""
    rank = np.ndim(array)
    axes = _axes(axes, rank)
    ends = range(rank - len(axes), rank)
    moved = np.moveaxis(array, axes, ends)
    flat = np.reshape(moved, (*moved.shape[: rank - len(axes)], -1))
    return flat, lambda y: np.moveaxis(np.reshape(y, moved.shape), ends, axes)


def _whole_rows(operands, axes):
    """dask's arrays with each row in one chunk."""
    x, *others = operands
    x = x.rechunk(dict.fromkeys(axes, -1))
    alike = lambda o: np.broadcast_to(o, x.shape).rechunk(x.chunks) if hasattr(o, "rechunk") else o
    return (x, *map(alike, others))


class _AsBound:
    """Stands for the value that a function was bound to."""

    def __repr__(self):
        return "<as bound>"


_AS_BOUND: Any = _AsBound()


class RowFunction:
    __module__ = "nonlin"

    # A function of rows, such as softmax: each result depends on all elements along `axis`. Each
    # has a docstring of its own.

    __slots__ = ("_name", "_scale", "_axis", "_empty", "__weakref__")

    def __init__(
        self, name: str, scale: Any = 1.0, axis: Any = -1, empty: str = "nan"
    ) -> None:
        self._name = name
        self._scale = _number(name, scale)
        self._axis = axis
        self._empty = _word(name, empty)

    @property
    def name(self) -> str:
        """The name of the function in the catalogue."""
        return self._name

    @property
    def __name__(self) -> str:
        return self._name

    @property
    def params(self) -> dict[str, Any]:
        """The values that hold unless a call gives others, by name."""
        return {"scale": self._scale, "axis": self._axis, "empty": self._empty}

    @property
    def ufunc(self) -> np.ufunc:
        """The generalised ufunc, which works along the last axis."""
        return _gufunc(self._name, "forward", self._scale, self._empty == "zero", False)

    def bind(self, **params: Any) -> "RowFunction":
        """This function with other values: ``nonlin.softmax.bind(axis=0)``."""
        for word in params:
            if word not in self.params:
                known = ", ".join(self.params)
                raise TypeError(f"`{self._name}` has no parameter `{word}`; it has {known}")
        return RowFunction(self._name, **{**self.params, **params})

    def __call__(
        self,
        x: Any,
        /,
        *,
        axis: Any = _AS_BOUND,
        scale: Any = _AS_BOUND,
        where: Any = None,
        empty: Any = _AS_BOUND,
        **kwargs: Any,
    ) -> Any:
        masked = where is not None and where is not True
        gufunc = self._made("forward", scale, empty, masked)
        operands = (x, where) if masked else (x,)
        return self._along(gufunc, operands, axis, kwargs)

    def backward(
        self,
        x: Any,
        g: Any,
        /,
        *,
        axis: Any = _AS_BOUND,
        scale: Any = _AS_BOUND,
        where: Any = None,
        empty: Any = _AS_BOUND,
        **kwargs: Any,
    ) -> Any:
        """The gradient by `x`, given the gradient `g` by the output."""
        types = {k: v for k, v in kwargs.items() if k in ("dtype", "casting", "signature")}
        y = self(x, axis=axis, scale=scale, where=where, empty=empty, **types)
        return self.backward_from_output(y, g, axis=axis, scale=scale, **kwargs)

    def backward_from_output(
        self, y: Any, g: Any, /, *, axis: Any = _AS_BOUND, scale: Any = _AS_BOUND, **kwargs: Any
    ) -> Any:
        """The gradient by the input from the output `y`, which alone need be saved."""
        return self._along(self._made(_FROM_OUTPUT, scale, _AS_BOUND, False), (y, g), axis, kwargs)

    def _made(self, operation, scale, empty, masked):
        scale = self._scale if scale is _AS_BOUND else _number(self._name, scale)
        empty = self._empty if empty is _AS_BOUND else _word(self._name, empty)
        return _gufunc(self._name, operation, scale, empty == "zero", masked)

    def _along(self, gufunc, operands, axis, kwargs):
        axis = self._axis if axis is _AS_BOUND else axis
        for word in ("axes", "keepdims"):
            if word in kwargs:
                raise TypeError(f"{self._name}() takes axis, not {word}: the shape stays")
        if any(map(_labelled.is_labelled, operands)):
            along = lambda *arrays, axis: self._along(gufunc, arrays, axis, kwargs)
            return _labelled.along(self._name, along, operands, axis, "out" in kwargs)
        rank = np.ndim(operands[0])
        if rank == 0:
            raise ValueError(f"{self._name}() needs an array with an axis, not a scalar")
        if axis is None:
            axis = tuple(range(rank))
        if hasattr(operands[0], "rechunk"):
            operands = _whole_rows(operands, _axes(axis, rank))
        if not isinstance(axis, tuple):
            return gufunc(*operands, axis=axis, **kwargs)
        if len(axis) == 1:
            return gufunc(*operands, axis=axis[0], **kwargs)
        out = kwargs.pop("out", None)
        first, back = _together(operands[0], axis)
        shape = np.shape(operands[0])
        others = [_together(np.broadcast_to(o, shape), axis)[0] for o in operands[1:]]
        y = back(gufunc(first, *others, **kwargs))
        if out is None:
            return y
        (out,) = out if isinstance(out, tuple) else (out,)
        np.copyto(out, y, casting=kwargs.get("casting", "same_kind"))
        return out

    def __repr__(self) -> str:
        said = ", ".join(f"{k}={v!r}" for k, v in self.params.items())
        return f"nonlin.{''.join(p.title() for p in self._name.split('_'))}({said})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RowFunction):
            return NotImplemented
        return (self._name, self.params) == (other._name, other.params)

    def __hash__(self) -> int:
        return hash((self._name, self._scale, self._axis, self._empty))

    def __reduce__(self) -> Any:
        if self is _NAMED.get(self._name):
            return self._name
        return RowFunction, (self._name, *self.params.values())

_FROM_OUTPUT = "backward_from_output"


def _number(name, scale):
    try:
        value = float(scale) if not isinstance(scale, (str, bytes)) else None
    except TypeError:
        value = None
    except OverflowError:
        # Out of bounds, like infinity, of which the library tells.
        value = np.inf if scale > 0 else -np.inf
    if value is None:
        kind = type(scale).__name__
        raise TypeError(f"`scale` of `{name}` must be a number, not {kind}")
    _gufunc(name, "forward", value, False, False)
    return value


def _word(name, empty):
    if empty not in ("nan", "zero"):
        raise ValueError(f"`empty` of `{name}` is {empty!r}; it must be 'nan' or 'zero'")
    return empty


def _document(function):
    name = function.name
    facts = _nonlin.facts(name)
    y = function([0.0, 1.0]).tolist()
    aliases = ", ".join(facts["aliases"])
    return f"""{name}(x, /, *, axis=-1, scale=1.0, where=None, empty='nan', out=None, dtype=None)

`{facts["formula"]}`, along an axis.

Parameters
----------
x : array_like
    Of float16, float32, float64 or bfloat16; integers as of `numpy.sin`.
axis : int, tuple of int or None, default -1
    The axis of the sum; several are taken as one, None is all of them. Of an xarray object also
    names of dimensions.
scale : float, default 1.0
    Factor of x.
where : array_like of bool, optional
    Which elements take part; the others are as if x were -inf there.
empty : {{'nan', 'zero'}}, default 'nan'
    What a row gives in which no element takes part.
out, casting, order, dtype, subok
    As of every `numpy.ufunc`.

Returns
-------
ndarray
    Of the shape of x.

Notes
-----
Also called {aliases}. With `nonlin.vjp` and `nonlin.backward_from_output` it has gradients.

Examples
--------
>>> import nonlin
>>> nonlin.{name}([0.0, 1.0]).tolist()
{y!r}
>>> nonlin.{name}([[0.0, 5.0], [1.0, 5.0]], axis=0)[:, 0].tolist()
{y!r}
"""


setattr(RowFunction, "__doc__", property(_document))

_NAMED = {name: RowFunction(name) for name in _nonlin.NAMES["rowwise"]}


def named(name):
    """The one function of that name with its default parameters."""
    return _NAMED[name]
