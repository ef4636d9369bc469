"""Curves of functions on matplotlib's axes."""

from typing import Any

import numpy as np

from nonlin import _gradients, _nonlin, _rows


def plot(
    *functions: Any,
    ax: Any = None,
    derivative: bool = False,
    range: tuple[float, float] = (-6.0, 6.0),
    points: int = 1001,
) -> Any:
    """Draws elementwise functions.

    Parameters
    ----------
    *functions : numpy.ufunc or Function of nonlin, or str
        Functions, their names, or formulas, at least one.
    ax : matplotlib.axes.Axes, optional
        Where to draw; new axes otherwise.
    derivative : bool
        Draws the derivatives as well, dashed, in the colours of their functions.
    range : tuple of float
        The least and the greatest x.
    points : int
        At how many x.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import nonlin
    >>> ax = nonlin.plot("gelu", nonlin.Elu(alpha=0.5), derivative=True)
    >>> [line.get_label() for line in ax.get_lines()]
    ['gelu', "gelu'", 'elu(alpha=0.5)', "elu'(alpha=0.5)"]
    """
    if not functions:
        raise TypeError("plot() needs at least one function")
    if ax is not None and not hasattr(ax, "plot"):
        raise TypeError(f"ax is {ax!r}; it must be matplotlib's axes")
    low, high = range
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ValueError(f"range is {range}; it must be two finite numbers, the lesser first")
    curves = [_curve(f) for f in functions]
    if ax is None:
        try:
            from matplotlib import pyplot
        except ModuleNotFoundError as missing:
            text = "nonlin.plot needs matplotlib, which `pip install matplotlib` installs"
            raise ModuleNotFoundError(text, name=missing.name) from missing
        _, ax = pyplot.subplots()
    x = np.linspace(low, high, points)
    for f, name, values in curves:
        (line,) = ax.plot(x, f(x), label=name + values)
        if derivative:
            slope = _gradients.derivative(f)(x)
            ax.plot(x, slope, "--", color=line.get_color(), label=f"{_one(name)}'{values}")
    ax.set_xlabel("x")
    ax.legend()
    return ax


def _curve(f: Any) -> tuple[Any, str, str]:
    """The function, its name, and its parameters where they are not the defaults."""
    f = _gradients._function(f)
    recipe = None if isinstance(f, _rows.RowFunction) else _nonlin.recipe(f)
    if recipe is None or getattr(f, "nin", 0) != 1:
        raise TypeError(f"{f!r} is no elementwise function of nonlin")
    name, operation, _, _ = recipe
    marks = {"forward": "", "derivative": "'", "second_derivative": "''"}
    params = getattr(f, "params", {})
    defaults = _nonlin.facts(name)["parameters"]
    said = [f"{k}={v:g}" for k, v in params.items() if v != defaults[k][0]]
    if marks[operation]:
        name = _one(name) + marks[operation]
    return f, name, f"({', '.join(said)})" if said else ""


def _one(name: str) -> str:
    """A name, or a formula in parentheses."""
    return name if name.rstrip("'").isidentifier() else f"({name})"
