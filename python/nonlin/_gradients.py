"""Derivatives and gradients: ufuncs, or objects with parameters."""

from typing import Any

from nonlin import _catalog, _nonlin, _rows


def _function(f: Any) -> Any:
    return _catalog.get(f) if isinstance(f, str) else f


def derivative(f: Any, order: int = 1) -> Any:
    """The derivative of an elementwise function, again a ufunc or an object with parameters.

    Parameters
    ----------
    f : numpy.ufunc or Function of nonlin, or str
        The function, or its name; of a derivative the derivative is the second one.
    order : {1, 2}
        Which derivative.

    Returns
    -------
    numpy.ufunc or Function
        It takes what `f` takes.

    Examples
    --------
    >>> import nonlin
    >>> nonlin.derivative(nonlin.sigmoid)([0.0, 1.0]).tolist()
    [0.25, 0.19661193324148185]
    >>> nonlin.derivative("elu", order=2)(-1.0, alpha=2.0).item()
    0.7357588823428847
    """
    if order not in (1, 2):
        raise ValueError(f"order is {order!r}; it must be 1 or 2")
    f = _function(f)
    if isinstance(f, _rows.RowFunction):
        raise TypeError(f"`{f.name}` is not elementwise; nonlin.vjp has its gradient")
    return _nonlin.related(f, "derivative" if order == 1 else "second_derivative")


def vjp(f: Any, /, *operands: Any, **kwargs: Any) -> Any:
    """The gradient by the input, given the gradient by the output.

    Called as ``vjp(f, x, g)``, or ``vjp(f, a, b, g)`` for a gated function.

    Parameters
    ----------
    f : numpy.ufunc, Function or RowFunction of nonlin, or str
        The function, or its name.
    *operands : array_like
        The inputs of `f`, then the gradient by its output.
    **kwargs
        Parameters of `f`, `axis` of a row-wise function, and what every `numpy.ufunc` takes.

    Returns
    -------
    ndarray or scalar
        ``g * f'(x)``, in one pass; of a gated function a tuple of two.

    Examples
    --------
    >>> import nonlin
    >>> nonlin.vjp(nonlin.relu, [-1.0, 2.0], [10.0, 10.0]).tolist()
    [0.0, 10.0]
    >>> da, db = nonlin.vjp(nonlin.bilinear, 2.0, 3.0, 10.0)
    >>> da.item(), db.item()
    (30.0, 20.0)
    """
    f = _function(f)
    if isinstance(f, _rows.RowFunction):
        return f.backward(*operands, **kwargs)
    return _nonlin.related(f, "backward")(*operands, **kwargs)


def backward_from_output(f: Any, y: Any, g: Any, /, **kwargs: Any) -> Any:
    """The gradient by the input from the saved output.

    Parameters
    ----------
    f : numpy.ufunc, Function or RowFunction of nonlin, or str
        The function, or its name.
    y : array_like
        Its output.
    g : array_like
        The gradient by the output.
    **kwargs
        Parameters of `f`, `axis` of a row-wise function, and what every `numpy.ufunc` takes.

    Returns
    -------
    ndarray or scalar
        ``g * f'(x)`` where ``y = f(x)``.

    Raises
    ------
    ValueError
        If the output does not determine the derivative.

    Examples
    --------
    >>> import nonlin
    >>> nonlin.backward_from_output(nonlin.tanh, [0.5], [4.0]).tolist()
    [3.0]
    """
    f = _function(f)
    if isinstance(f, _rows.RowFunction):
        return f.backward_from_output(y, g, **kwargs)
    return _nonlin.related(f, "backward_from_output")(y, g, **kwargs)
