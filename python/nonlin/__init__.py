"""Neural-network activation functions as NumPy ufuncs: float32 within one unit in the last place."""

from ._nonlin import *  # noqa: F403
from ._nonlin import __version__ as __version__
