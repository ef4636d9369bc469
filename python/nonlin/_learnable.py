"""Functions whose parameters are learned: values for each channel, and gradients by them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nonlin import _nonlin

_KINDS = ("float16", "bfloat16", "float32", "float64")


class Learnable:
    """A function whose parameters are learned.

    Parameters
    ----------
    f : str or Function of nonlin
        A function with parameters: its name, or the function itself; or a formula of one operand, `x`, or of
        two, `a` and `b` (a gated unit).

    Attributes
    ----------
    params : dict of str to float
        The parameters, and the values that they start from.
    bounds : dict of str to (float, float)
        Between which values each of them must stay.

    Examples
    --------
    >>> import numpy as np, nonlin
    >>> elu = nonlin.Learnable("elu")
    >>> x = np.array([[-1.0, -1.0], [2.0, -2.0]])
    >>> alpha = np.array([1.0, 0.5])  # one for each channel
    >>> elu.forward(x, alpha=alpha).round(4).tolist()
    [[-0.6321, -0.3161], [2.0, -0.4323]]
    >>> dx, dparams = elu.backward(x, np.ones_like(x), alpha=alpha)
    >>> dparams["alpha"].round(4).tolist()
    [-0.6321, -1.4968]

    A gated unit has two operands.

    >>> unit = nonlin.Learnable("a * sigmoid(beta * b); beta = 1")
    >>> (da, db), dparams = unit.backward(x, x, np.ones_like(x), beta=alpha)
    >>> dparams["beta"].round(4).tolist()
    [0.6166, 1.0215]
    """

    __slots__ = ("_kernel", "bounds", "name", "params")

    def __init__(self, f: Any) -> None:
        if isinstance(f, str):
            name, start = f, {}
        else:
            recipe = _nonlin.recipe(f)
            if recipe is None or recipe[1] != "forward":
                raise TypeError(f"nonlin.Learnable takes a function of nonlin or its name, not {f!r}")
            name, start = recipe[0], dict(getattr(f, "params", {}))
        self._kernel = _nonlin.LearnableKernel(name)
        self.name = name
        params = self._kernel.params()
        self.params: dict[str, float] = {p: start.get(p, v) for p, v, _, _ in params}
        self.bounds: dict[str, tuple[float, float]] = {p: (lo, hi) for p, _, lo, hi in params}

    def __reduce__(self) -> Any:
        return _rebuilt, (self.name, self.params)

    def __repr__(self) -> str:
        return f"nonlin.Learnable({self.name!r})"

    def _values(self, given: Mapping[str, Any]) -> tuple[np.ndarray, dict[str, int]]:
        """The values of all parameters, one after the other, and how many of each were given."""
        for p in given:
            if p not in self.params:
                known = ", ".join(self.params)
                raise TypeError(f"`{self.name}` has no parameter `{p}`; it has {known}")
        all_ = {p: np.asarray(given.get(p, v), dtype=np.float64) for p, v in self.params.items()}
        for p, v in all_.items():
            if v.ndim > 1:
                raise ValueError(
                    f"`{p}` has shape {v.shape}; it must be a number, or an array of one axis with a "
                    "number for each channel"
                )
        sizes = {p: v.size for p, v in all_.items()}
        each = max(sizes.values(), key=lambda n: (n != 1, n))
        for p, n in sizes.items():
            if n not in (1, each):
                raise ValueError(f"`{p}` has {n} values, another parameter has {each}")
        return np.concatenate([np.broadcast_to(v.ravel(), each) for v in all_.values()]), sizes

    def _given(self, what: str, given: tuple[Any, ...], wanted: int) -> None:
        if len(given) != wanted:
            raise TypeError(f"{what} of `{self.name}` takes {wanted} arrays, not {len(given)}")

    def forward(self, *operands: Any, axis: int = 1, **params: Any) -> np.ndarray:
        """f(x), or f(a, b).

        Parameters
        ----------
        *operands : array_like
            The operand, or both of one shape. float16, float32, float64, or bfloat16 of ml_dtypes; integers
            become float64.
        axis : int, default 1
            The axis of channels; it matters where a parameter has more values than one.
        **params : float or array_like
            Values of parameters: a number, or one for each channel. Others are as they start.

        Returns
        -------
        ndarray
            Of the shape and type of the operands.
        """
        self._given("forward", operands, self._kernel.operands())
        arrays = _arrays(*operands)
        x = arrays[0]
        values, _ = self._values(params)
        y = np.empty_like(x)
        self._kernel.forward(
            _kind(x), [_flat(t) for t in arrays], _flat(y), values, list(x.shape), axis, None
        )
        return y

    def backward(self, *operands: Any, axis: int = 1, **params: Any) -> tuple[Any, dict[str, Any]]:
        """The gradients by the operands and by the parameters, in one pass.

        Parameters
        ----------
        *operands : array_like
            The operand, or both; then the gradient by the output, of their shape and type.
        axis : int, default 1
            The axis of channels.
        **params : float or array_like
            Values of parameters, as of `forward`.

        Returns
        -------
        dx : ndarray, or two
            ``grad f'(x)``; of a gated unit by either operand.
        dparams : dict of str to ndarray
            The sum of `grad` times the derivative by each parameter: float64, of the shape of its
            values. The order of the sums depends on the shape alone.
        """
        n = self._kernel.operands()
        self._given("backward", operands, n + 1)
        *arrays, grad = _arrays(*operands)
        x = arrays[0]
        values, sizes = self._values(params)
        results, dvalues = [np.empty_like(x) for _ in arrays], np.empty_like(values)
        self._kernel.backward(
            _kind(x),
            [_flat(t) for t in arrays],
            _flat(grad),
            [_flat(t) for t in results],
            values,
            dvalues,
            list(x.shape),
            axis,
            None,
        )
        by = dict(zip(self.params, dvalues.reshape(len(sizes), -1), strict=True))
        shapes = {p: np.shape(params.get(p, 0.0)) for p in self.params}
        return results[0] if n == 1 else tuple(results), {
            p: np.asarray(d.sum() if sizes[p] == 1 else d).reshape(shapes[p]) for p, d in by.items()
        }


def _rebuilt(name: str, params: dict[str, float]) -> Learnable:
    made = Learnable(name)
    made.params = params
    return made


def _arrays(*arrays: Any) -> list[np.ndarray]:
    """The arrays in one type, C-contiguous."""
    shapes = [np.shape(a) for a in arrays]
    if len(set(shapes)) > 1:
        raise ValueError(f"the arrays have shapes {', '.join(map(str, shapes))}: they must be equal")
    kind = np.result_type(*(np.asarray(a) for a in arrays)).newbyteorder("=")
    if kind.name not in _KINDS:
        if not np.issubdtype(kind, np.integer) and kind != np.bool_:
            raise TypeError(f"the type is {kind}; it must be float16, bfloat16, float32 or float64")
        kind = np.dtype(np.float64)
    return [np.ascontiguousarray(a, dtype=kind).reshape(np.shape(a)) for a in arrays]


def _kind(x: np.ndarray) -> str:
    return x.dtype.name


def _flat(x: np.ndarray) -> np.ndarray:
    """The elements in one axis; of a half type their bits."""
    return x.reshape(-1).view(np.uint16) if x.itemsize == 2 else x.reshape(-1)
