"""Neural-network activation functions as NumPy ufuncs: exact, vectorised, with gradients."""

from ._nonlin import *  # noqa: F403
from ._nonlin import __version__ as __version__
