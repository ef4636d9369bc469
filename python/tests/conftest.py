"""What holds for every test."""

import pytest

import nonlin


@pytest.fixture(autouse=True)
def one_thread():
    """Every test begins and ends with one thread."""
    nonlin.set_num_threads(1)
    yield
    nonlin.set_num_threads(1)
