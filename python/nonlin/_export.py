"""Functions in other languages."""

from typing import Any

from nonlin import _gradients, _nonlin, _rows


def export(f: Any, target: str, /, *, name: str | None = None) -> Any:
    """The function and its derivative in another language, in stable form.

    Parameters
    ----------
    f : numpy.ufunc or Function of nonlin, or str
        The function, or its name, or a formula.
    target : {"c", "rust", "python", "torch", "jax", "onnx", "latex"}
        The language: C99, Rust, Python with NumPy, a module of PyTorch, a function of JAX, an ONNX
        model, or LaTeX. Parameters are arguments, with their values as defaults.
    name : str, optional
        What the function is called there; its own name, or ``activation``, if absent.

    Returns
    -------
    str or bytes
        The text, which says how close its results are to those of `f`; of ``"onnx"`` the bytes of the
        model.

    Examples
    --------
    >>> import nonlin
    >>> nonlin.export("x / (1 + abs(x))", "latex", name="softsign").splitlines()[0]
    '% softsign: x / (abs(x) + 1)'
    >>> "double elu(double x, double alpha)" in nonlin.export(nonlin.Elu(alpha=0.5), "c")
    True
    >>> nonlin.export("gelu", "d")
    Traceback (most recent call last):
    ...
    ValueError: unknown target `d`; did you mean `c`?
    """
    f = _gradients._function(f)
    if isinstance(f, _rows.RowFunction):
        raise TypeError(f"`{f.name}` works on rows; frameworks have it themselves")
    return _nonlin.export(f, target, name)
