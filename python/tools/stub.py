"""Writes `nonlin/__init__.pyi`, which lists every function of the catalogue.

    python tools/stub.py [--check]
"""

import sys
from pathlib import Path

import nonlin
from nonlin import _nonlin
from nonlin._factories import camel

STUB = Path(__file__).parent.parent / "nonlin" / "__init__.pyi"

HEAD = '''"""Neural-network activation functions as NumPy ufuncs. Written by `tools/stub.py`."""

from typing import Any

import numpy as np

from nonlin import init as init
from nonlin._catalog import Info as Info
from nonlin._catalog import catalog as catalog
from nonlin._catalog import get as get
from nonlin._catalog import info as info
from nonlin._catalog import load as load
from nonlin._export import export as export
from nonlin._gradients import backward_from_output as backward_from_output
from nonlin._gradients import derivative as derivative
from nonlin._gradients import vjp as vjp
from nonlin._learnable import Learnable as Learnable
from nonlin._nonlin import Function as Function
from nonlin._nonlin import __version__ as __version__
from nonlin._nonlin import get_num_threads as get_num_threads
from nonlin._nonlin import set_num_threads as set_num_threads
from nonlin._plot import plot as plot
from nonlin._rational import RationalFit as RationalFit
from nonlin._rational import fit_rational as fit_rational
from nonlin._rows import RowFunction as RowFunction

def __dir__() -> list[str]: ...
'''


def text():
    lines = [HEAD]
    for names in _nonlin.NAMES.values():
        for name in names:
            lines.append(f"{name}: {_kind(getattr(nonlin, name))}\n")
    lines.append("\n")
    for names in _nonlin.NAMES.values():
        for name in names:
            kind = _kind(getattr(nonlin, name))
            lines.append(f"def {camel(name)}(**params: Any) -> {kind}: ...\n")
    lines.append("\n__all__ = [\n")
    lines += [f'    "{name}",\n' for name in nonlin.__all__]
    lines.append("]\n")
    return "".join(lines)


def _kind(function):
    kind = type(function).__name__
    return "np.ufunc" if kind == "ufunc" else kind


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        if STUB.read_text() != text():
            sys.exit(f"{STUB} is stale: run {' '.join(['python', *sys.argv[:1]])}")
    else:
        STUB.write_text(text())
