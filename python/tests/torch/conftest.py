"""What the tests of nonlin.torch share."""

import os

# Before torch is imported: the threads that a test asks for are there, however few the machine has.
os.environ.setdefault("OMP_NUM_THREADS", "2")
# On a machine that does other things as well, threads that spin while they wait hold each other up.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import pytest

try:
    import torch
except ImportError:
    # The package is for NumPy alone as well.
    collect_ignore_glob = ["test_*.py"]
else:
    import nonlin.torch

    # It makes a device, which stays: a process of its own runs it (test_decompositions.py). Looking for examples
    # in documentation would import it.
    collect_ignore = ["other_device.py"]


@pytest.fixture
def enabled():
    """nonlin's kernels are under PyTorch's operators during the test."""
    with nonlin.torch.enable():
        yield
    assert not nonlin.torch.is_enabled()


@pytest.fixture(autouse=True)
def seeded():
    """Each test draws the same numbers."""
    torch.manual_seed(0)
