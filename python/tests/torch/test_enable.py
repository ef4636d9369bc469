"""nonlin's kernels under PyTorch's operators: what OpInfo's samples do not reach."""

import subprocess
import sys
import threading
import warnings

import pytest
import torch
import torch.nn.functional as F

import nonlin.torch
from functions import FROM_OUTPUT, FUNCTIONS

INF = float("inf")

FLOATS = [torch.float32, torch.float64, torch.bfloat16, torch.float16]

each_function = pytest.mark.parametrize("name", FUNCTIONS)
each_float = pytest.mark.parametrize("dtype", FLOATS, ids=lambda d: str(d).removeprefix("torch."))


def inputs(dtype):
    x = torch.cat([torch.linspace(-30, 30, 4001), torch.randn(2000) * 3])
    special = [0.0, -0.0, 1e-30, -1e-30, 100.0, -100.0, INF, -INF, float("nan")]
    return torch.cat([x, torch.tensor(special)]).to(dtype)


@each_function
@each_float
def test_bits_are_the_librarys(name, dtype, enabled):
    """Value and gradient have the bits of nonlin's own operators."""
    x = inputs(dtype).requires_grad_()
    own = getattr(nonlin.torch, name)
    y, z = FUNCTIONS[name](x), own(x)
    assert torch.equal(y.nan_to_num(7.0), z.nan_to_num(7.0))
    assert (y.isnan() == x.isnan()).all()
    if name in (*FROM_OUTPUT, "relu"):
        return  # PyTorch saves the output, from which the slope is another rounding, or compares.
    g = torch.randn(x.shape).to(dtype)
    dy, dz = (torch.autograd.grad(v, x, g)[0] for v in (y, z))
    assert torch.equal(dy.nan_to_num(7.0), dz.nan_to_num(7.0))


def test_parameters(enabled):
    """Parameters other than the default reach the kernels, forward and backward, in all types."""
    for dtype in FLOATS:
        slope = torch.tensor(0.1, dtype=dtype)
        for pytorch, own in [
            (lambda x: F.leaky_relu(x, 0.2), lambda x: nonlin.torch.leaky_relu(x, 0.2)),
            (lambda x: F.elu(x, 0.7), lambda x: nonlin.torch.elu(x, 0.7)),
            (lambda x: F.celu(x, 0.7), lambda x: nonlin.torch.celu(x, 0.7)),
            (lambda x: F.softplus(x, 2.5), lambda x: nonlin.torch.softplus(x, 2.5)),
            (lambda x: F.prelu(x, slope), lambda x: nonlin.torch.prelu(x, slope.item())),
        ]:
            x = inputs(dtype)[:-1].requires_grad_()
            y, z = pytorch(x), own(x)
            assert torch.equal(y, z)
            g = torch.randn(x.shape).to(dtype)
            assert torch.equal(*(torch.autograd.grad(v, x, g)[0] for v in (y, z)))


def test_limits(enabled):
    """Values at both ends, where formulas as written give NaN or 0."""
    x = torch.tensor([-INF, INF])
    assert F.gelu(x).tolist() == [0, INF]
    assert F.gelu(x, approximate="tanh").tolist() == [0, INF]
    assert F.silu(x).tolist() == [0, INF]
    assert F.mish(x).tolist() == [0, INF]
    assert F.hardswish(x).tolist() == [0, INF]
    torch.testing.assert_close(
        F.gelu(torch.tensor([-10.0], dtype=torch.float64)),
        torch.tensor([-7.619853024160525e-23], dtype=torch.float64),
        rtol=1e-14,
        atol=0,
    )
    torch.testing.assert_close(
        F.gelu(torch.tensor([-10.0])), torch.tensor([-7.619853e-23]), rtol=2e-7, atol=0
    )


@each_function
@pytest.mark.parametrize("threads", [1, 2])
def test_lengths_and_threads(name, threads, enabled):
    """An element's bits depend neither on the length, nor on the position, nor on threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        x = torch.randn(200_003) * 4
        y = FUNCTIONS[name](x)
        for start, end in [(0, 0), (0, 1), (5, 12), (1, 1000), (3, 70_001), (150_000, 200_003)]:
            assert torch.equal(FUNCTIONS[name](x[start:end]), y[start:end])
            assert torch.equal(FUNCTIONS[name](x[start:end].clone()), y[start:end])
        strided = torch.empty(x.numel(), 3)[:, 1].copy_(x)
        assert torch.equal(FUNCTIONS[name](strided), y)
        number = FUNCTIONS[name](x[7].clone())
        assert number.shape == () and number == y[7]
        grid = x[:200_000].view(8, 25, 10, 100)
        last = grid.to(memory_format=torch.channels_last)
        out = FUNCTIONS[name](last)
        if name != "log_sigmoid":  # whose results PyTorch lays out in C order
            assert out.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(out, y[:200_000].view_as(grid))
    finally:
        torch.set_num_threads(before)


@each_float
@pytest.mark.parametrize("dim", range(4))
def test_softmax_of_any_axis_and_layout(dtype, dim, enabled):
    x = torch.randn(6, 7, 40, 9, dtype=torch.float64).to(dtype)
    g = torch.randn(6, 7, 40, 9, dtype=torch.float64).to(dtype)
    epsilon = torch.finfo(dtype).eps
    for function in (F.softmax, F.log_softmax):
        exact = x.double().requires_grad_()
        wanted = function(exact, dim)
        slope = torch.autograd.grad(wanted, exact, g.double())[0]
        for view in (
            x,
            x.to(memory_format=torch.channels_last),
            x.permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0),
            torch.stack([x, x], -1)[..., 0],
        ):
            view = view.detach().requires_grad_()
            y = function(view, dim)
            assert y.is_contiguous()
            torch.testing.assert_close(y.double(), wanted, rtol=1.5 * epsilon, atol=1e-7)
            dx = torch.autograd.grad(y, view, g)[0]
            torch.testing.assert_close(dx.double(), slope, rtol=8 * epsilon, atol=4 * epsilon)


def test_state():
    """The context manager brings back what was before; calls may be repeated."""
    x = torch.tensor([-10.0])
    native = F.gelu(x)
    assert not nonlin.torch.is_enabled()
    with nonlin.torch.enable():
        with nonlin.torch.enable():
            assert F.gelu(x) != native
        assert nonlin.torch.is_enabled() and F.gelu(x) != native
    assert not nonlin.torch.is_enabled() and F.gelu(x) == native
    nonlin.torch.enable()
    nonlin.torch.enable()
    assert F.gelu(x) != native
    nonlin.torch.disable()
    nonlin.torch.disable()
    assert F.gelu(x) == native


def test_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with nonlin.torch.enable():
            F.gelu(torch.randn(3))
    code = "import nonlin.torch as n; n.enable(); import torch; torch.nn.functional.elu(torch.ones(2))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "" and done.stderr == ""


def test_report():
    rows = {o.name: o for o in nonlin.torch.report()}
    assert {o.kernel for o in rows.values()} == {"PyTorch"}
    with nonlin.torch.enable():
        report = nonlin.torch.report()
        rows = {o.name: o for o in report}
        assert "torch.compile" in str(report)
        for name in ("gelu", "gelu.out", "gelu_", "gelu_backward", "elu", "_softmax", "silu_"):
            assert rows[f"aten::{name}"].kernel == "nonlin"
        for name in ("threshold_backward", "hardtanh", "softshrink"):
            assert rows[f"aten::{name}"].kernel == "PyTorch" and rows[f"aten::{name}"].note


def test_backward_outlives_disable():
    """A graph that was built with nonlin's kernels is walked with PyTorch's, and the reverse."""
    for name, function in FUNCTIONS.items():
        x = torch.randn(50, requires_grad=True)
        wanted = torch.autograd.grad(function(x).sum(), x)[0]
        with nonlin.torch.enable():
            y = function(x).sum()
        torch.testing.assert_close(torch.autograd.grad(y, x)[0], wanted, msg=name)
        y = function(x).sum()
        with nonlin.torch.enable():
            torch.testing.assert_close(torch.autograd.grad(y, x)[0], wanted, msg=name)


def test_handed_on(enabled):
    """What nonlin does not cover is PyTorch's, with PyTorch's results."""
    assert F.relu(torch.arange(-2, 3)).tolist() == [0, 0, 0, 1, 2]
    assert torch.sigmoid(torch.tensor([0])).tolist() == [0.5]
    torch.testing.assert_close(torch.tanh(torch.tensor([1j])), torch.tensor([1.5574j]), atol=1e-4, rtol=0)
    assert F.softplus(torch.tensor([3.0]), threshold=2).tolist() == [3.0]
    x = torch.randn(4)
    torch.testing.assert_close(torch.ops.aten.elu(x, 1.0, 2.0, 3.0), torch.where(x > 0, 2 * x, 2 * (torch.exp(3 * x) - 1)))
    out = torch.empty(0)
    assert torch.tanh(x, out=out) is out and out.shape == (4,)
    with pytest.raises(RuntimeError, match="can't be cast|dtype"):
        torch.tanh(x, out=torch.empty(4, dtype=torch.int64))
    base = torch.randn(9)
    with pytest.raises(RuntimeError, match="overlap|memory location"):
        torch.tanh(base[:8], out=base[1:])
    with pytest.raises(RuntimeError, match="single memory location"):
        torch.tanh_(torch.zeros(1).expand(4))
    with pytest.raises(RuntimeError, match="out of range"):
        F.softmax(x, 3)
    with pytest.raises(RuntimeError, match="even"):
        F.glu(torch.randn(3))
    with pytest.raises(RuntimeError, match="none or tanh"):
        F.gelu(x, approximate="x")
    mixed = torch.ops.aten.silu_backward(torch.ones(4, dtype=torch.bfloat16), x)
    assert mixed.dtype == torch.float32
    assert torch.ops.aten.silu_backward(torch.ones(4, 1), x).shape == (4, 4)
    with pytest.raises(RuntimeError, match="size"):
        torch.ops.aten.silu_backward(torch.ones(3), x)


@pytest.mark.parametrize("odd", [None, 1, "x", [1.0], object(), b"", {}])
def test_odd_objects(odd, enabled):
    for function in FUNCTIONS.values():
        with pytest.raises((TypeError, AttributeError)):
            function(odd)
    x = torch.ones(3)
    if odd != 1:
        for call in (F.leaky_relu, F.elu, F.softplus):
            with pytest.raises((TypeError, RuntimeError)):
                call(x, odd if odd is not None else "y")


def test_odd_numbers(enabled):
    """Parameters that nonlin does not take go on to PyTorch."""
    x = torch.tensor([-1.0, 2.0])
    assert F.leaky_relu(x, INF).tolist() == [-INF, 2.0]
    assert F.leaky_relu(x, float("nan")).isnan().tolist() == [True, False]
    assert F.elu(x, alpha=-2.0)[1] == 2
    assert F.leaky_relu(x, True).tolist() == [-1.0, 2.0]
    with pytest.raises(RuntimeError):
        F.leaky_relu(x, 1j)


def test_beyond_two_to_the_31(enabled):
    """Offsets have 64 bits: elements past 2^31 are computed, by a view that repeats few."""
    n = (1 << 31) + 100
    x = torch.empty(n, dtype=torch.bfloat16)
    x[:8], x[-8:] = 1.0, -1.0
    F.silu(x, inplace=True)
    assert x[0].item() == pytest.approx(0.7311, abs=4e-3)
    assert x[-1].item() == pytest.approx(-0.2689, abs=2e-3)


def test_python_threads(enabled):
    """Calls from several threads at once, each with forward and backward."""
    x = torch.randn(40_000)
    leaf = x.clone().requires_grad_()
    y = F.elu(F.gelu(leaf))
    (g,) = torch.autograd.grad(y.sum(), leaf)
    wrong = []

    def work():
        for _ in range(30):
            leaf = x.clone().requires_grad_()
            z = F.elu(F.gelu(leaf))
            if not torch.equal(z, y) or not torch.equal(torch.autograd.grad(z.sum(), leaf)[0], g):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


class Rows(torch.utils.data.Dataset):
    """Rows that a worker computes."""

    def __len__(self):
        return 8

    def __getitem__(self, i):
        if torch.utils.data.get_worker_info() is not None:
            nonlin.torch.enable()
        return F.softmax(F.elu(F.gelu(torch.arange(-40_000.0, 40_000.0) / 4000 - i)), -1)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_data_loader(method):
    with nonlin.torch.enable():
        wanted = torch.stack([Rows()[i] for i in range(8)])
        loader = torch.utils.data.DataLoader(
            Rows(), batch_size=4, num_workers=2, multiprocessing_context=method
        )
        assert torch.equal(torch.cat(list(loader)), wanted)


def test_autocast_and_func(enabled):
    x = torch.randn(5, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = F.gelu(F.linear(x, torch.eye(4)))
    assert y.dtype == torch.bfloat16
    for function in FUNCTIONS.values():
        slope = torch.func.vmap(torch.func.vmap(torch.func.grad(function)))(x)
        leaf = x.clone().requires_grad_()
        torch.testing.assert_close(slope, torch.autograd.grad(function(leaf).sum(), leaf)[0])
        if function is not F.hardsigmoid:  # of which PyTorch has no second derivative
            torch.func.vmap(torch.func.vmap(torch.func.grad(torch.func.grad(function))))(x)
        torch.func.jvp(function, (x,), (x,))


def test_export_and_compile(enabled):
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.GELU(), torch.nn.ELU())
    x = torch.randn(3, 4)
    exported = torch.export.export(model, (x,))
    torch.testing.assert_close(exported.module()(x), model(x))
    torch.testing.assert_close(torch.compile(model, backend="eager")(x), model(x), rtol=0, atol=0)
