"""Neural-network activation functions as NumPy ufuncs: float32 within one unit in the last place.

>>> import numpy as np
>>> import nonlin
>>> x = np.array([-1.0, 0.0, 1.0], dtype=np.float32)
>>> nonlin.gelu(x)
array([-0.15865526,  0.        ,  0.8413447 ], dtype=float32)
>>> nonlin.elu(x, alpha=0.5)
array([-0.31606027,  0.        ,  1.        ], dtype=float32)
>>> nonlin.softmax(x, axis=0)
array([0.09003057, 0.24472848, 0.66524094], dtype=float32)
>>> nonlin.vjp(nonlin.gelu, x, np.ones_like(x))
array([-0.08331547,  0.5       ,  1.0833155 ], dtype=float32)
"""

from nonlin import _nonlin
from nonlin._catalog import Info, catalog, get, info, load
from nonlin._export import export
from nonlin._gradients import backward_from_output, derivative, vjp
from nonlin._learnable import Learnable
from nonlin._nonlin import Function, __version__, get_num_threads, set_num_threads
from nonlin._plot import plot
from nonlin._rational import RationalFit, fit_rational
from nonlin._rows import RowFunction
from nonlin import _catalog, _factories, _formulas, _pickling, init

_pickling.register()
_formulas.describe()

__all__ = [
    "Function",
    "Info",
    "Learnable",
    "RationalFit",
    "RowFunction",
    "backward_from_output",
    "catalog",
    "derivative",
    "export",
    "fit_rational",
    "get",
    "get_num_threads",
    "info",
    "init",
    "load",
    "plot",
    "set_num_threads",
    "vjp",
]

for _kind in ("elementwise", "gated", "rowwise"):
    for _name in _nonlin.NAMES[_kind]:
        globals()[_name] = _catalog.get(_name)
        _factory = _factories.factory(_name)
        globals()[_factory.__name__] = _factory
        __all__ += [_name, _factory.__name__]

del _factory, _kind, _name
__all__.sort()

#: What makes functions that are formulas with other parameters, and their names.
_makers = {_factories.camel(name): name for name in _nonlin.NAMES["formula"]}


def __getattr__(name):
    # Functions that are formulas are made when they are asked for.
    if name in _makers.values():
        made = _catalog.get(name)
    elif name in _makers:
        made = _factories.factory(_makers[name])
    else:
        raise AttributeError(f"module 'nonlin' has no attribute {name!r}")
    globals()[name] = made
    return made


def __dir__():
    return [*__all__, "__version__", *_makers, *_makers.values()]
