"""What activations keep for backward: how much, how exact gradients are, and what is refused."""

import copy

import mpmath
import numpy as np
import pytest
import torch
from torch import nn

import nonlin
import nonlin.torch as nt
from nonlin.torch import _saving

KINDS = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
FROM_OUTPUT = [
    ("celu", {"alpha": 0.5}),
    ("elu", {"alpha": 1.5}),
    ("identity", {}),
    ("leaky_relu", {"negative_slope": 0.25}),
    ("log_sigmoid", {}),
    ("relu", {}),
    ("selu", {}),
    ("sigmoid", {}),
    ("softplus", {"beta": 2.0}),
    ("tanh", {}),
]
ONE_MINIMUM = ["silu", "gelu", "gelu_tanh", "mish"]
GATED = ["swiglu", "geglu", "a * tanh(b)"]


def inputs(dtype, shape=None):
    """Numbers of all sizes, or random ones of a shape."""
    if shape is not None:
        return (2 * torch.randn(shape, dtype=torch.float64)).to(dtype)
    some = [torch.linspace(-12, 12, 2001), torch.linspace(-2, 1, 2001), torch.tensor([-80.0, -1e3, 1e3, 3e4, 0.0])]
    return torch.cat(some).to(dtype)


def slopes(f, x, grad=None):
    x = x.detach().requires_grad_()
    y = f(x)
    (dx,) = torch.autograd.grad(y, x, torch.ones_like(y) if grad is None else grad)
    return y.detach(), dx


def kept(f, *operands):
    """The bytes that autograd keeps after a call, each memory once."""
    seen = {}

    def pack(t):
        seen[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        y = f(*operands)
    return seen, y


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize(("name", "params"), FROM_OUTPUT)
def test_output(name, params, dtype):
    """The slope from the output is within three roundings of 1 or its factor, and is that of the output: a
    value near the end of a range, rounded, has the slope of what it is rounded to."""
    x = inputs(dtype)
    f, plain = nt.Activation(name, save="output", **params), nt.Activation(name, **params)
    y, dx = slopes(f, x)
    assert torch.equal(y, plain(x)) and dx.dtype == dtype
    size = max([1.0, *params.values(), 1.76 if name == "selu" else 1])
    wanted = nonlin.derivative(name)(x.double().numpy(), **params)
    assert np.abs(dx.double().numpy() - wanted).max() <= 3 * torch.finfo(dtype).eps * size
    seen, y = kept(f, x.requires_grad_())
    assert list(seen) == [y.untyped_storage().data_ptr()], "the output and nothing else"


def test_relu_keeps_its_output():
    """As PyTorch's does: the next layer keeps it as well."""
    for call in (nt.relu, nt.ReLU(), nt.ReLU(save="output")):
        x = torch.randn(4, 5, requires_grad=True)
        seen, y = kept(call, x)
        assert list(seen) == [y.untyped_storage().data_ptr()]
    with pytest.raises(ValueError, match="`relu` takes 'input', 'output': its output"):
        nt.ReLU(save="recompute")


@pytest.mark.parametrize(("name", "params"), FROM_OUTPUT)
def test_output_has_derivatives_of_second_order(name, params):
    f = nt.Activation(name, save="output", **params)
    x = inputs(torch.float64, (4, 5))
    x = (x + 0.1 * x.sign()).requires_grad_()
    assert torch.autograd.gradcheck(f, (x,)) and torch.autograd.gradgradcheck(f, (x,))


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("name", ONE_MINIMUM)
def test_bit(name, dtype):
    """The slope is within the declared error, on both sides of the minimum and at it."""
    x = torch.cat([inputs(dtype), torch.linspace(-1.5, -0.5, 4001).to(dtype)])
    f = nt.Activation(name, save="bit")
    y, dx = slopes(f, x)
    assert torch.equal(y, nt.Activation(name)(x)) and dx.dtype == dtype
    wanted = nonlin.derivative(name)(x.double().numpy())
    assert np.abs(dx.double().numpy() - wanted).max() <= _saving.BIT_ERRORS[dtype]
    seen, y = kept(f, x.requires_grad_())
    assert list(seen) == [y.untyped_storage().data_ptr()]
    assert y.grad_fn.bits.nbytes == -(-x.numel() // 8)
    grad = torch.randn(x.shape).to(dtype)
    assert torch.allclose(slopes(f, x, grad)[1], dx * grad, rtol=4 * torch.finfo(dtype).eps, atol=1e-6)
    assert slopes(f, torch.tensor([float("nan")], dtype=dtype))[1].isnan()


@pytest.mark.parametrize("name", ["silu", "mish"])
def test_bit_against_multiple_precision(name):
    with mpmath.workdps(50):
        f = {
            "silu": lambda x: x / (1 + mpmath.exp(-x)),
            "mish": lambda x: x * mpmath.tanh(mpmath.log1p(mpmath.exp(x))),
        }[name]
        x = torch.linspace(-9, 9, 60, dtype=torch.float64)
        for at, slope in zip(x.tolist(), slopes(nt.Activation(name, save="bit"), x)[1].tolist(), strict=True):
            h = mpmath.mpf(10) ** -20
            wanted = (f(mpmath.mpf(at) + h) - f(mpmath.mpf(at) - h)) / (2 * h)
            assert abs(slope - wanted) <= _saving.BIT_ERRORS[torch.float64]


def test_bit_has_no_second_derivative():
    x = torch.ones(3, requires_grad=True)
    with pytest.raises(NotImplementedError, match="silu with save='bit' has no second derivative"):
        torch.autograd.grad(nt.SiLU(save="bit")(x).sum(), x, create_graph=True)


def network(save, name="silu", hidden=(64, 64)):
    torch.manual_seed(0)
    make = lambda: nt.Activation(name, save=save)
    half = 2 if name in GATED else 1
    first, second = hidden
    return nn.Sequential(
        nn.Linear(8, first * half), make(), nn.Linear(first, second * half), make(), nn.Linear(second, 1)
    )


@pytest.mark.parametrize("name", ["silu", "gelu", "mish", "tanh", "x * tanh(x)", *GATED])
def test_recompute_has_the_bits(name):
    """Losses and gradients are those of "input", and outputs of activations are not kept."""
    x, results, sizes = torch.randn(32, 8), [], []
    for save in ("input", "recompute"):
        model = network(save, name)
        with nt.recompute():
            held = _held(lambda: results.append(model(x).square().mean()))
        results[-1].backward()
        results[-1] = [results[-1].detach(), *(p.grad for p in model.parameters())]
        sizes.append(held)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    # Two outputs of 32 x 64 floats.
    assert sizes[0] - sizes[1] == 2 * 32 * 64 * 4


def _held(call):
    """The bytes that are held after a call and were not before it."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        call()
    events = [e for e in profiled.profiler.kineto_results.events() if e.name() == "[memory]"]
    return sum(e.nbytes() for e in events)


def test_recompute_of_views_and_chains():
    """A view of an output is computed again in its place; of a chain of activations the first input is kept.
    What is changed in place after it was computed is kept as it is."""
    torch.manual_seed(0)
    weight = torch.randn(6, 5, requires_grad=True)
    silu, tanh = (nt.Activation(n, save="recompute") for n in ("silu", "tanh"))

    def run(inside):
        x = torch.linspace(-2, 2, 48).reshape(2, 4, 6).requires_grad_()
        y = tanh(silu(x)) if inside else torch.tanh(nn.functional.silu(x))
        out = (y.reshape(8, 6) @ weight).square().sum() + (y[1, 1:3, ::2].exp() * y[1, :2, ::2]).sum()
        return torch.autograd.grad(out, [x, weight])

    with nt.recompute():
        got = run(True)
    assert all(torch.allclose(a, b, rtol=1e-5, atol=1e-6) for a, b in zip(got, run(False), strict=True))
    with nt.recompute():
        x = torch.ones(64, requires_grad=True)
        results = []
        held = _held(lambda: results.append(tanh(silu(x)).exp()))
    assert held == 64 * 4, "the result of exp, which exp keeps, and nothing else"
    # The change counts for what comes after it.
    with nt.recompute():
        x = torch.ones(3, requires_grad=True)
        y = silu(x)
        with torch.no_grad():
            y.mul_(2)
        (dx,) = torch.autograd.grad((y * y).sum(), x)
    slope = nn.functional.silu(torch.ones(3)) * 2
    assert torch.allclose(dx, 2 * slope * torch.tensor(nonlin.derivative("silu")(1.0).item()), rtol=1e-5)


def test_what_is_kept_may_not_change():
    """Backward says so where something has changed in place what it needs."""
    x = torch.randn(4, requires_grad=True)
    y = nt.Tanh(save="output")(x)
    y.detach().add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
    y = nt.SiLU(save="bit")(x)
    y.detach().add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
    silu = nt.SiLU(save="recompute")
    for what in ("operand", "other"):
        with nt.recompute():
            z = x * 1
            w = torch.exp(z)
            y = silu(z)
            out = (y * y).sum() + w.square().sum()
        (z if what == "operand" else w).detach().add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation.* version 1; expected version 0"):
            out.backward()


def test_recompute_wants_its_context():
    silu = nt.SiLU(save="recompute")
    x = torch.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="with nonlin.torch.recompute"):
        silu(x)
    # Where nothing is kept it does not matter.
    assert torch.equal(silu(x.detach()), nt.silu(x.detach()))
    with torch.no_grad():
        silu(x)
    with nt.recompute():
        with pytest.raises(ZeroDivisionError), nt.recompute():
            1 / 0
        silu(x).sum().backward()
    with pytest.raises(RuntimeError, match="with nonlin.torch.recompute"):
        silu(x)
    twice = torch.randn(3, dtype=torch.float64, requires_grad=True)
    with nt.recompute():
        assert torch.autograd.gradgradcheck(lambda x: silu(x).square(), (twice,))


@pytest.mark.parametrize("save", ["output", "bit", "recompute"])
def test_as_a_module(save):
    name = "tanh" if save == "output" else "silu"
    f = nt.Activation(name, save=save)
    assert f"save='{save}'" in repr(f) and copy.deepcopy(f).save == save
    x = torch.randn(5, 3).T.requires_grad_()
    with nt.recompute():
        y = f(x)
        assert y.stride() == x.stride()
        y.sum().backward()
        assert torch.allclose(x.grad, slopes(nt.Activation(name), x)[1], atol=1e-3)
        for t in (torch.tensor(1.0), torch.empty(0, 3)):
            slopes(f, t)
        assert f(torch.ones(3, device="meta", requires_grad=True)).shape == (3,)
    model = nn.Sequential(nn.Linear(3, 3), f)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    compiled(torch.ones(2, 3)).sum().backward()
    (_, slope), ones = slopes(nt.Activation(name), torch.ones(3)), torch.ones(3)
    assert torch.allclose(torch.func.grad(lambda x: f(x).sum())(ones), slope)


def test_gated_units_keep_their_operands():
    for name in ("swiglu", "geglu", "a * tanh(b)"):
        for save in ("input", "recompute"):
            f = nt.Activation(name, save=save)
            a, b = (torch.randn(4, 6, requires_grad=True) for _ in range(2))
            packed = torch.randn(4, 12, requires_grad=True)
            for operands in ((a, b), (packed,)):
                with nt.recompute():
                    seen, _ = kept(f, *operands)
                assert set(seen) == {t.data_ptr() for t in operands}, (name, save)


def test_conversion_takes_it_along():
    """Where the new function can keep what the old one did; what is told of the new one counts."""
    model = nn.Sequential(nt.SiLU(save="bit"), nt.Tanh(save="output"), nn.ReLU(inplace=True))
    mapping = {"silu": "mish", "tanh": "gelu", "relu": nt.SiLU(save="recompute")}
    nt.convert(model, mapping)
    assert [(m.name, m.save, m.inplace) for m in model] == [
        ("mish", "bit", False),
        ("gelu", "input", False),
        ("silu", "recompute", False),
    ]
    inplace = nn.Sequential(nn.ReLU(inplace=True))
    nt.convert(inplace, {"relu": "elu"})
    assert inplace[0].inplace and inplace[0].can_save() == ["input"]


def test_what_is_refused():
    for words, name, kw in (
        ("`gelu` takes 'input', 'bit', 'recompute': its output does not", "gelu", {"save": "output"}),
        ("a negative parameter", "elu", {"save": "output", "alpha": -1.0}),
        ("functions with one minimum", "silu", {"save": "bit", "beta": 2.0}),
        ("functions with one minimum", "relu", {"save": "bit"}),
        ("`swiglu` takes 'input', 'recompute'", "swiglu", {"save": "output"}),
        ("save is 'all'", "relu", {"save": "all"}),
        ("inplace=True: backward needs", "relu", {"save": "output", "inplace": True}),
        ("inplace=True: backward needs", "silu", {"save": "bit", "inplace": True}),
    ):
        with pytest.raises(ValueError, match=words):
            nt.Activation(name, **kw)
