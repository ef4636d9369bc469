"""PyTorch's own samples and references for every operator that nonlin's kernels are put under."""

import itertools

import pytest
import torch
from torch.testing._internal.common_methods_invocations import op_db

import nonlin.torch

NAMES = """
    nn.functional.relu sigmoid tanh nn.functional.silu nn.functional.mish nn.functional.gelu
    nn.functional.hardswish nn.functional.hardsigmoid nn.functional.logsigmoid nn.functional.glu
    softmax log_softmax nn.functional.softmin nn.functional.leaky_relu nn.functional.elu
    nn.functional.celu nn.functional.selu nn.functional.softplus nn.functional.prelu
""".split()
FLOATS = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
OPS = [op for op in op_db if op.name in NAMES]


def test_all_are_there():
    assert {op.name for op in OPS} == set(NAMES)


def pairs(dtypes, wanted=lambda op: True):
    """Operators, of those wanted, with each of the types that they take."""
    found = []
    for op, dtype in itertools.product(filter(wanted, OPS), dtypes):
        if op.supports_dtype(dtype, "cpu"):
            name = "_".join(filter(None, [op.name, op.variant_test_name]))
            found.append(pytest.param(op, dtype, id=f"{name}-{str(dtype).removeprefix('torch.')}"))
    return found


def calls(op, dtype, samples):
    for sample in samples:
        yield sample.input, sample.args, sample.kwargs


def close(got, wanted, dtype):
    """As near to the exact result as rounding allows. What PyTorch computes in a half type loses
    more than one rounding, so both are compared with results of float64."""
    if dtype in (torch.float16, torch.bfloat16):
        epsilon = torch.finfo(dtype).eps
        torch.testing.assert_close(
            got.double(), wanted.double(), rtol=epsilon, atol=4 * epsilon, equal_nan=True
        )
    else:
        torch.testing.assert_close(got, wanted, equal_nan=True)


def widened(x, args, kwargs):
    """The arguments of a call in float64."""

    def wide(a):
        return a.double() if isinstance(a, torch.Tensor) and a.is_floating_point() else a

    return wide(x), tuple(map(wide, args)), {name: wide(a) for name, a in kwargs.items()}


@pytest.mark.parametrize("op, dtype", pairs([*FLOATS, torch.int64, torch.complex64]))
def test_values(op, dtype):
    """Results are those of PyTorch's kernels, of half types those of float64."""
    half = dtype in (torch.float16, torch.bfloat16)
    count = 0
    for x, args, kwargs in calls(op, dtype, op.reference_inputs("cpu", dtype)):
        y, rest, named = widened(x, args, kwargs) if half else (x, args, kwargs)
        wanted = op(y, *rest, **named)
        with nonlin.torch.enable():
            got = op(x, *args, **kwargs)
        if "dtype" in kwargs:
            assert got.dtype == wanted.dtype
        else:
            assert got.dtype == (dtype if half else wanted.dtype)
        if got.shape == x.shape and not x.is_complex():
            # x f(x) of PyTorch is NaN at -inf for silu and mish: the limit is 0.
            limits = x.isinf() & wanted.isnan()
            assert (got[limits] == 0).all()
            got, wanted = got.masked_fill(limits, 0), wanted.masked_fill(limits, 0)
        if got.is_complex() or not got.is_floating_point():
            torch.testing.assert_close(got, wanted, equal_nan=True)
        else:
            close(got, wanted, got.dtype)
        count += 1
    assert count > 0


@pytest.mark.parametrize(
    "op, dtype", pairs([torch.float64, torch.float32], lambda op: op.ref is not None)
)
def test_numpy_reference(op, dtype, enabled):
    """Results are those of the references in NumPy that PyTorch's tests have."""
    for sample in op.sample_inputs("cpu", dtype):
        numpy_sample = sample.numpy()
        try:
            wanted = op.ref(numpy_sample.input, *numpy_sample.args, **numpy_sample.kwargs)
        except (TypeError, NotImplementedError):
            pytest.skip("the reference takes other arguments")
        got = op(sample.input, *sample.args, **sample.kwargs)
        torch.testing.assert_close(
            got, torch.as_tensor(wanted).to(got.dtype), equal_nan=True, rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("op, dtype", pairs(FLOATS))
def test_strides(op, dtype):
    """Operands of any strides give the results of contiguous ones, laid out as PyTorch's own."""
    for x, args, kwargs in calls(op, dtype, op.sample_inputs("cpu", dtype)):
        wide = torch.empty(*x.shape, 2, dtype=dtype).fill_(float("nan"))
        wide[..., 0] = x
        views = [wide[..., 0], x.mT.contiguous().mT if x.dim() > 1 else x]
        if x.dim() == 4:
            views.append(x.to(memory_format=torch.channels_last))
        if x.dim() == 5:
            views.append(x.to(memory_format=torch.channels_last_3d))
        for view in views:
            like = op(view, *args, **kwargs)
            with nonlin.torch.enable():
                got = op(view, *args, **kwargs)
                wanted = op(x, *args, **kwargs)
            assert got.stride() == like.stride()
            assert torch.equal(got, wanted) or (got.isnan() == wanted.isnan()).all()


@pytest.mark.parametrize("op, dtype", pairs(FLOATS, lambda op: op.supports_autograd))
def test_gradients(op, dtype):
    """Gradients are those of PyTorch's kernels, of half types those of float64."""
    half = dtype in (torch.float16, torch.bfloat16)

    def gradient(x, args, kwargs, g):
        x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
        y = op(x, *args, **kwargs)
        return torch.autograd.grad(y, x, g(y))[0]

    for x, args, kwargs in calls(op, dtype, op.sample_inputs("cpu", dtype)):
        if "dtype" in kwargs:
            continue

        def g(y):
            torch.manual_seed(1)
            return torch.rand(y.shape, dtype=torch.float64).add(0.5).to(dtype).to(y.dtype)

        wanted = gradient(*(widened(x, args, kwargs) if half else (x, args, kwargs)), g)
        with nonlin.torch.enable():
            got = gradient(x, args, kwargs, g)
        assert got.dtype == dtype
        close(got, wanted, dtype)


@pytest.mark.parametrize("op, dtype", pairs([torch.float64]))
def test_gradcheck(op, dtype, enabled):
    """First and second derivatives agree with differences of values."""
    for sample in itertools.islice(op.sample_inputs("cpu", dtype, requires_grad=True), 3):
        if sample.kwargs.get("dtype", dtype) != dtype:
            continue

        def function(x, sample=sample):
            return op(x, *sample.args, **sample.kwargs)

        assert torch.autograd.gradcheck(function, (sample.input,), check_batched_grad=True)
        if op.supports_gradgrad:
            assert torch.autograd.gradgradcheck(function, (sample.input,))


@pytest.mark.parametrize("op, dtype", pairs([torch.float32, torch.bfloat16]))
def test_out_and_inplace(op, dtype):
    """``out=`` and in-place forms write what the plain form returns."""
    for x, args, kwargs in calls(op, dtype, op.sample_inputs("cpu", dtype)):
        with nonlin.torch.enable():
            wanted = op(x, *args, **kwargs)
            if op.supports_out:
                strided = torch.empty(*wanted.shape, 3, dtype=wanted.dtype)[..., 1]
                # PyTorch's kernel computes log-sigmoid with out=, since it resizes a buffer.
                near = {"rtol": 2 * torch.finfo(wanted.dtype).eps, "atol": 4e-8, "equal_nan": True}
                same = {"rtol": 0, "atol": 0, "equal_nan": True}
                exact = near if op.name == "nn.functional.logsigmoid" else same
                for out in (torch.empty_like(wanted), strided):
                    assert op(x, *args, **kwargs, out=out) is out
                    torch.testing.assert_close(out, wanted, **exact)
                # What must be resized is for PyTorch's kernel.
                resized = torch.empty(0, dtype=wanted.dtype)
                op(x, *args, **kwargs, out=resized)
                epsilon = torch.finfo(wanted.dtype).eps
                torch.testing.assert_close(
                    resized, wanted, rtol=4 * epsilon, atol=16 * epsilon, equal_nan=True
                )
            if op.inplace_variant is not None and "dtype" not in kwargs:
                copy = x.clone()
                assert op.inplace_variant(copy, *args, **kwargs) is copy
                torch.testing.assert_close(copy, wanted, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(
    "op, dtype", pairs([torch.float32], lambda op: op.error_inputs_func is not None)
)
def test_errors(op, dtype):
    """Calls that PyTorch refuses are refused in its words."""
    for case in op.error_inputs("cpu"):
        sample = case.sample_input
        with pytest.raises(case.error_type, match=case.error_regex):
            op(sample.input, *sample.args, **sample.kwargs)
        with (
            nonlin.torch.enable(),
            pytest.raises((RuntimeError, case.error_type), match=case.error_regex),
        ):
            op(sample.input, *sample.args, **sample.kwargs)
