"""What several test files share."""

import numpy as np
import pytest

import nonlin

NAMES = nonlin._nonlin.NAMES
ELEMENTWISE = NAMES["elementwise"]
GATED = NAMES["gated"]
ROWWISE = NAMES["rowwise"]
DTYPES = ["float16", "float32", "float64", "bfloat16"]


def dtype_of(name):
    """A dtype by name, bfloat16 too."""
    if name == "bfloat16":
        return np.dtype(pytest.importorskip("ml_dtypes").bfloat16)
    return np.dtype(name)


def bits(array):
    """The bits of an array of any float type."""
    array = np.asarray(array)
    return np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}")


def same(a, b):
    """Asserts that two arrays have one dtype, one shape and the same bits, NaN equal to NaN."""
    a, b = np.asarray(a), np.asarray(b)
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    nan = np.isnan(a) & np.isnan(b)
    assert (nan | (bits(a).reshape(a.shape) == bits(b).reshape(b.shape))).all()


SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 1.0, -1.0, 88.0, -104.0, 710.0,
           -745.2, 6e4, -6e4, 3e38, -3e38, 1e308, -1e308, 5e-324]


def special(dtype):
    """Values where things change, in a type."""
    with np.errstate(all="ignore"):
        return np.array(SPECIAL).astype(dtype)
