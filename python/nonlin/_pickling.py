"""Pickling of ufuncs.

NumPy pickles a ufunc by its name, which finds those that are an attribute of a module. Derivatives
and functions bound to values are not: for them, and for no other ufunc, what they were made from
is pickled.
"""

import copyreg

import numpy as np

from nonlin import _nonlin


def register():
    """Puts that before NumPy's own way."""
    numpys = copyreg.dispatch_table.get(np.ufunc, lambda ufunc: ufunc.__name__)

    def reduce(ufunc):
        recipe = _nonlin.recipe(ufunc)
        if recipe is None:
            return numpys(ufunc)
        return _nonlin.rebuild, recipe

    copyreg.pickle(np.ufunc, reduce)
