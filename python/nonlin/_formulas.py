"""What the class `Function` says about itself, and each function about itself."""

import inspect

from nonlin import _nonlin

CLASS = """The function of a formula in `x`, or in `a` and `b`, or of a name.

It is called as a ufunc is, with parameters by name besides, and has a ufunc's attributes.

Parameters
----------
formula : str
    Such as ``"x * tanh(alpha * x); alpha = 1 in (0, 10)"``: a formula, then its parameters with their
    defaults and, if there are any, bounds. Powers are `**` or `^`; there are `where(x > 0, x, 0)` and
    `x if x > 0 else 0`, `and`, `or`, `not`, the functions of NumPy by name, those of nonlin, `pi`
    and `e`. Textbook forms that cancel or overflow are replaced by stable ones, and a function
    of nonlin is found however it is written.
**params : float
    Values of parameters; others keep their defaults.

Raises
------
ValueError
    If the text is no formula: the message shows where. If a value is out of bounds.
TypeError
    If there is no parameter of that name.

Examples
--------
>>> import nonlin
>>> f = nonlin.Function("x * tanh(alpha * x); alpha = 1 in (0, 10)")
>>> f([-2.0, 0.0, 2.0]).tolist()
[1.9280551601516338, 0.0, 1.9280551601516338]
>>> f(2.0, alpha=0.5).item()
1.5231883119115297
>>> nonlin.derivative(f)(1.0, alpha=0.5).item()
0.8553410237429735
>>> nonlin.Function("x / (1 + exp(-x))").name
'silu'
>>> nonlin.Function("a * tanh(b)")([1.0, 2.0], [0.0, 1.0]).tolist()
[0.0, 1.5231883119115297]
>>> nonlin.Function("x * tnah(x)")
Traceback (most recent call last):
...
ValueError: unknown function `tnah`; did you mean `tanh`?
  x * tnah(x)
      ^^^^
"""

SIGNATURE = inspect.Signature(
    [
        inspect.Parameter("formula", inspect.Parameter.POSITIONAL_ONLY, annotation=str),
        inspect.Parameter("params", inspect.Parameter.VAR_KEYWORD, annotation=float),
    ]
)


class _Told:
    """An attribute that the class has one value of, and each function its own."""

    def __init__(self, of_class, name):
        self.of_class, self.name = of_class, name

    def __get__(self, function, owner):
        return self.of_class if function is None else getattr(function, self.name)


def describe():
    """Gives the class and its functions docstrings and signatures."""
    _nonlin.Function.__doc__ = _Told(CLASS, "_doc")
    _nonlin.Function.__signature__ = _Told(SIGNATURE, "_signature")
