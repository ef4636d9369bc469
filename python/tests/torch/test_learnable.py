"""Activations whose parameters are learned: gradients against multiple precision, states, training."""

import copy
import pickle

import mpmath
import pytest
import torch
from torch import nn

import nonlin
import nonlin.torch as nt

FORMULAS = [
    "x * sigmoid(beta * x); beta = 1",
    "where(x > 0, a / b * x, a * (exp(x / b) - 1)); a = 1 in [0.001, 1000], b = 1 in [0.001, 1000]",
    "x + sin(alpha * x)^2 / alpha; alpha = 1 in [0.001, 1000]",
    "(p1 - p2) * x * sigmoid(beta * (p1 - p2) * x) + p2 * x; p1 = 1, p2 = 0.25, beta = 1",
    "gamma * tanh(alpha * x) + beta; alpha = 0.5, gamma = 1, beta = 0.125",
    "sigmoid(b) * max(x, 0) + (1 - sigmoid(b)) * a * (x + x^2 / 2 + x^3 / 3); a = 0.25, b = 0",
]

NAMES = [*nt.LEARNABLE, *FORMULAS]

KINDS = [torch.float32, torch.float64, torch.float16, torch.bfloat16]


def test_there_are_functions():
    assert {"prelu", "elu", "celu", "softplus", "leaky_relu"} <= set(NAMES)


def inputs(shape, dtype=torch.float64, seed=0):
    g = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(shape, generator=g, dtype=torch.float64)).to(dtype)


@pytest.mark.parametrize("name", NAMES)
def test_gradcheck(name):
    """Gradients by the input and by each parameter against differences, with a value per channel."""
    f = nt.Activation(name, learnable=True, num_parameters=3, dtype=torch.float64)
    x = inputs((4, 3, 2)).requires_grad_()
    # Away from kinks, which differences do not see.
    with torch.no_grad():
        x += 0.05 * x.sign()
    values = [v.detach().clone().requires_grad_() for v in f.params.values()]
    shifts = [1 + 0.1 * torch.arange(3, dtype=torch.float64) for _ in values]
    low_high = nonlin.Learnable(name).bounds.values()
    values = [
        (v.detach() * s).clamp(*b).requires_grad_() for v, s, b in zip(values, shifts, low_high)
    ]

    def call(x, *values):
        return nonlin.torch._learnable.apply(name, x, torch.cat(values), 1)

    assert torch.autograd.gradcheck(call, (x, *values), eps=1e-7, atol=1e-6)
    assert torch.autograd.gradgradcheck(call, (x, *values), eps=1e-7, atol=1e-6)


def test_derivatives_of_second_order():
    """They are of modules as a whole; first ones are those of the kernels, whether or not a graph is made;
    far from 0, where a textbook form overflows, there is no NaN; third ones exist."""
    mixture = nt.Mixture("relu", "tanh", "gelu", num_parameters=2, dtype=torch.float64)
    swish = nt.Activation("silu", learnable=True, groups=2, dtype=torch.float64)
    for f in (mixture, swish):
        x = inputs((3, 4, 2) if f is swish else (4, 2)).requires_grad_()
        assert torch.autograd.gradgradcheck(lambda x, p, f=f: f(x) + 0 * p.sum(), (x, *f.parameters()))
        leaves = [x, *f.parameters()]
        plain, graphed = (torch.autograd.grad(f(x).sum(), leaves, create_graph=c) for c in (False, True))
        assert all(torch.equal(a, b) for a, b in zip(plain, graphed, strict=True))
    elu = nt.Activation("elu", learnable=True)
    x = torch.tensor([800.0, -1.0, -800.0], requires_grad=True)
    (dx,) = torch.autograd.grad(elu(x).sum(), x, create_graph=True)
    again = torch.autograd.grad(dx.sum(), [x, elu.alpha], create_graph=True)
    assert torch.allclose(again[0], torch.tensor([0, 0.36787944, 0]))
    assert again[1].item() == pytest.approx(0.36787944)
    (third,) = torch.autograd.grad(again[0].sum(), x)
    assert torch.allclose(third, torch.tensor([0, 0.36787944, 0]))
    half = torch.tensor([-1.0], dtype=torch.bfloat16, requires_grad=True)
    (dx,) = torch.autograd.grad(elu(half), half, create_graph=True)
    (again,) = torch.autograd.grad(dx, half)
    assert again.dtype == torch.bfloat16 and again.item() == pytest.approx(0.368, rel=1e-2)


@pytest.mark.parametrize("dtype", KINDS)
def test_against_multiple_precision(dtype):
    """elu: y, dx and dalpha of every element and channel, to 50 digits."""
    x, grad = inputs((5, 2, 7), dtype), inputs((5, 2, 7), dtype, seed=1)
    f = nt.Activation("elu", learnable=True, num_parameters=2, alpha=0.75)
    x.requires_grad_()
    y = f(x)
    y.backward(grad)
    unit = torch.finfo(dtype).eps
    with mpmath.workdps(50):
        for c in range(2):
            total, size = mpmath.mpf(0), mpmath.mpf(0)
            for i in range(5):
                for j in range(7):
                    at, g = (mpmath.mpf(t[i, c, j].item()) for t in (x, grad))
                    by = mpmath.expm1(at) if at < 0 else mpmath.mpf(0)
                    wanted = 0.75 * by if at < 0 else at
                    slope = 0.75 * mpmath.exp(at) if at < 0 else mpmath.mpf(1)
                    assert abs(y[i, c, j].item() - wanted) <= unit * abs(wanted)
                    assert abs(x.grad[i, c, j].item() - g * slope) <= unit * abs(g * slope)
                    total, size = total + g * by, size + abs(g * by)
            assert abs(f.alpha.grad[c].item() - total) <= 2.0**-23 * size


def test_any_memory_format_and_axis():
    f = nt.Activation("prelu", learnable=True, num_parameters=3, dtype=torch.float64)
    with torch.no_grad():
        f.weight.copy_(torch.tensor([0.1, 0.2, 0.3]))
    x = inputs((2, 3, 5, 4))
    wanted = torch.prelu(x, f.weight)
    for x_ in (x, x.contiguous(memory_format=torch.channels_last), x.mT.contiguous().mT):
        y = f(x_)
        assert torch.equal(y, wanted) and y.stride() == torch.empty_like(x_).stride()
    last = nt.Activation("prelu", learnable=True, num_parameters=4, axis=-1, dtype=torch.float64)
    assert torch.equal(last(x), torch.prelu(x.movedim(-1, 1), last.weight).movedim(1, -1))
    one = nt.Activation("elu", learnable=True)
    assert one(torch.tensor(-1.0)).shape == () and one(torch.empty(0, 3)).shape == (0, 3)


def test_bounds_hold_in_training():
    """celu's alpha must stay above 0, whatever the optimizer does to it."""
    f = nt.Activation("celu", learnable=True, alpha=0.5)
    assert f.alpha.item() == pytest.approx(0.5, rel=1e-6)
    optimizer = torch.optim.SGD(f.parameters(), lr=50.0)
    x = inputs((64,), torch.float32)
    for _ in range(20):
        optimizer.zero_grad()
        f(x).square().sum().backward()
        optimizer.step()
        assert f.alpha.item() >= 1e-6 and torch.isfinite(f(x)).all()
    f.reset_parameters()
    assert f.alpha.item() == pytest.approx(0.5, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_bounds_hold_far_out(dtype):
    """Whatever is learned, the value is one that the function takes."""
    for text in ("celu", "softplus", "x * tanh(k * x); k = 0.25 in (0, 1)", "max(x, k * x); k = 0.3 in [0.1, 2]"):
        f = nt.Activation(text, learnable=True, dtype=dtype)
        (name,) = nonlin.Learnable(text).params
        assert getattr(f, name).item() == pytest.approx(f.params[name].item(), rel=1e-2)
        for raw in (-1e4, 0.0, 1e4):
            with torch.no_grad():
                getattr(f.parametrizations, name).original.fill_(raw)
            assert torch.isfinite(f(torch.ones(3, dtype=dtype))).all()


def test_learns_what_it_was_made_of():
    torch.manual_seed(0)
    x = torch.linspace(-4, 4, 400)
    wanted = nn.functional.elu(x, alpha=0.3)
    f = nt.Activation("elu", learnable=True)
    optimizer = torch.optim.Adam(f.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        (f(x) - wanted).square().mean().backward()
        optimizer.step()
    assert f.alpha.item() == pytest.approx(0.3, abs=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_state(name):
    f = nt.Activation(name, learnable=True, num_parameters=2)
    with torch.no_grad():
        for p in f.parameters():
            p.mul_(1.25)
    x = inputs((3, 2), torch.float32)
    for g in (copy.deepcopy(f), nt.Activation(name, learnable=True, num_parameters=2)):
        g.load_state_dict(f.state_dict())
        assert torch.equal(g(x), f(x))
    assert all(p.shape == (2,) for p in f.parameters())
    assert repr(name) in repr(f) and "num_parameters=2" in repr(f)
    again = pickle.loads(pickle.dumps(nt.Activation("elu", learnable=True)))
    assert torch.equal(again(x), nt.elu(x))


def test_some_parameters_are_constants():
    f = nt.Activation("rrelu", learnable=["lower"], num_parameters=2)
    assert [n for n, _ in f.named_parameters()] == ["lower"]
    f(inputs((3, 2), torch.float32)).sum().backward()
    assert f.lower.grad.abs().min() > 0
    assert "learnable=['lower']" in repr(f)


def test_autocast_and_half():
    f = nt.Activation("elu", learnable=True, alpha=0.1)
    x = inputs((700,), torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = f(x)
    assert y.dtype == torch.bfloat16 and f.alpha.dtype == torch.float32
    y.float().sum().backward()
    wanted = x.double().clamp(max=0).expm1().sum()
    assert f.alpha.grad.item() == pytest.approx(wanted.item(), rel=1e-6)


def test_compiled():
    f = nt.Activation("elu", learnable=True, num_parameters=3)
    model = nn.Sequential(nn.Linear(4, 3), f, nn.Linear(3, 1))
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    x = inputs((8, 4), torch.float32)
    compiled(x).sum().backward()
    got = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    model(x).sum().backward()
    assert all(torch.allclose(a, p.grad) for a, p in zip(got, model.parameters(), strict=True))
    torch.library.opcheck(
        torch.ops.nonlin.learnable.default, (x.requires_grad_(), torch.ones(1), "elu", 1)
    )


def test_threads_do_not_show():
    f = nt.Activation("softplus", learnable=True, num_parameters=2)
    x = inputs((512, 2, 100), torch.float32)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            f.zero_grad()
            y = f(x)
            y.sum().backward()
            results.append((y, [p.grad.clone() for p in f.parameters()]))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(results[0][0], results[1][0])
    assert all(torch.equal(a, b) for a, b in zip(results[0][1], results[1][1], strict=True))


def test_no_weight_decay():
    own = [nt.Activation("elu", learnable=True), nn.PReLU(), nt.Mixture("relu", "tanh")]
    model = nn.Sequential(nn.Linear(4, 4), *own)
    decay, rest = nt.parameter_groups(model, weight_decay=0.3)
    assert [p.dim() for p in decay["params"]] == [2] and decay["weight_decay"] == 0.3
    assert len(rest["params"]) == 4 and rest["weight_decay"] == 0


def test_mixture():
    """A weighted mean of functions; gradients by weights and input are PyTorch's."""
    f = nt.Mixture("relu", "tanh", "swish", num_parameters=3, dtype=torch.float64)
    x = inputs((5, 3)).requires_grad_()
    with torch.no_grad():
        f.logits.copy_(inputs((3, 3), seed=4))
    parts = torch.stack([x.relu(), x.tanh(), nn.functional.silu(x)])
    wanted = (f.logits.softmax(0)[:, None] * parts).sum(0)
    assert torch.allclose(f(x), wanted)
    leaves, weight = (x, f.logits), inputs((5, 3), seed=5)
    got, its = (torch.autograd.grad(y, leaves, weight) for y in (f(x), wanted))
    assert all(torch.allclose(a, b) for a, b in zip(got, its, strict=True))
    assert list(f.weights) == ["relu", "tanh", "silu"] and "num_parameters=3" in repr(f)
    for names, words in (
        (["relu"], "two functions at least"),
        (["silu", "swish"], "twice"),
        (["relu", "swiglu"], "not elementwise"),
        (["relu", "tnah"], "did you mean `tanh`"),
    ):
        with pytest.raises(ValueError, match=words):
            nt.Mixture(*names)


def test_init_and_monitor_know_it():
    """He's gain is that of the values that are learned; the monitor takes the slope of each channel's."""
    act = nt.Activation("elu", learnable=True, num_parameters=8)
    model = nn.Sequential(nn.Linear(4, 8), act, nn.Linear(8, 1))
    with torch.no_grad():
        act.alpha.copy_(torch.tensor([0.0, *[0.5] * 7]))
        model[0].bias.fill_(-50.0)  # far on the left: the slope of channel 0 is 0, others are saturated
    report = nt.init_(model, bias=None, verbose=False)
    assert report.layers[0].activation == "elu(alpha=0.4375)"
    assert report.layers[0].gain == pytest.approx(float(nonlin.init.gain("elu", alpha=0.4375)))
    with nt.monitor(model, every=1, window=1) as watch:
        for _ in range(3):
            model(inputs((16, 4), torch.float32)).square().mean().backward()
    layer = watch.layers["1"]
    assert layer.dead(1).tolist() == [True, *[False] * 7]
    assert (layer.channels()["saturated"] == 1).all()


def test_errors():
    with pytest.raises(ValueError, match="gelu.* no parameters"):
        nt.Activation("gelu", learnable=True)
    with pytest.raises(TypeError, match="elu has no parameter `beta`; its parameters: alpha"):
        nt.Activation("elu", learnable=True, beta=1.0)
    with pytest.raises(ValueError, match="learnable: elu has no parameter `beta`"):
        nt.Activation("elu", learnable=["beta"])
    with pytest.raises(ValueError, match="`alpha` of `celu` is -1"):
        nt.Activation("celu", learnable=True, alpha=-1.0)
    with pytest.raises(ValueError, match="num_parameters is 0"):
        nt.Activation("elu", learnable=True, num_parameters=0)
    with pytest.raises(ValueError, match="3 channels, but there are 2 values"):
        nt.Activation("elu", learnable=True, num_parameters=2)(torch.ones(2, 3))
    with pytest.raises(TypeError, match="torch.int64"):
        nt.Activation("elu", learnable=True)(torch.ones(3, dtype=torch.int64))
    with pytest.raises(RuntimeError, match="the input is on meta, the parameters are on cpu"):
        nt.Activation("elu", learnable=True)(torch.ones(3, device="meta"))
