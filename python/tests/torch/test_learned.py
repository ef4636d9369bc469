"""Rational and piecewise linear functions that are learned, groups of channels, parameters on a log scale."""

import copy
import pickle

import mpmath
import numpy as np
import pytest
import torch
from torch import nn

import nonlin
import nonlin.torch as nt

MAKERS = {
    "pau": lambda **kw: nt.PAU("gelu", **kw),
    "pau odd": lambda **kw: nt.PAU("tanh", degrees=(2, 3), **kw),
    "pau least": lambda **kw: nt.PAU("relu", degrees=(1, 1), **kw),
    "pwlu": lambda **kw: nt.PWLU("silu", segments=6, bounds=(-2, 3), **kw),
    "apl": lambda **kw: nt.APL(3, a1=0.25, a2=-0.5, a3=0.125, **kw),
}


def inputs(shape, dtype=torch.float64, seed=0):
    g = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(shape, generator=g, dtype=torch.float64)).to(dtype)


def made(kind, **kw):
    """A module with values that differ between channels and are no round numbers."""
    f = MAKERS[kind](**kw)
    with torch.no_grad():
        for i, p in enumerate(f.parameters()):
            p.add_(0.01 + 0.05 * torch.sin(torch.arange(p.numel()) + float(i)))
    return f


def exact(f, x, values):
    """The function's value to many digits, by another way than the module's."""
    at, zero = mpmath.mpf(x), mpmath.mpf(0)
    if isinstance(f, nt.PAU):
        p = sum(values[f"a{i}"] * at**i for i in range(len(f.fit.numerator)))
        return p / (1 + abs(sum(values[f"b{i}"] * at**i for i in range(1, len(f.fit.denominator) + 1))))
    if isinstance(f, nt.APL):
        hinges = (values[f"a{i}"] * max(values[f"b{i}"] - at, zero) for i in range(1, f.hinges + 1))
        return max(at, zero) + sum(hinges)
    n, left, width = f.segments, values["left"], values["width"]
    if at < left:
        return values["y0"] + values["kl"] * (at - left)
    if at >= left + width:
        return values[f"y{n}"] + values["kr"] * (at - left - width)
    i = int(mpmath.floor((at - left) * n / width))
    low, high = values[f"y{i}"], values[f"y{i + 1}"]
    return low + (high - low) * ((at - left) * n / width - i)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", MAKERS)
def test_against_multiple_precision(kind, dtype):
    """Value, and gradients by the input and by each parameter, against difference quotients of 100 digits.
    Errors are relative to the size of what is added."""
    f = made(kind, num_parameters=2, dtype=torch.float64 if dtype == torch.float64 else torch.float32)
    x, grad = inputs((6, 2, 3), dtype).requires_grad_(), inputs((6, 2, 3), dtype, seed=1)
    y = f(x)
    y.backward(grad)
    unit = torch.finfo(dtype).eps
    own = torch.finfo(torch.float64 if dtype == torch.float64 else torch.float32).eps
    names, total = list(f.params), {}
    with mpmath.workdps(100):
        h = mpmath.mpf(10) ** -40
        for c in range(2):
            values = {p: mpmath.mpf(v[c].item()) for p, v in f.params.items()}
            for i in range(6):
                for j in range(3):
                    at, g = (mpmath.mpf(t[i, c, j].item()) for t in (x, grad))
                    wanted = exact(f, at, values)
                    slope = (exact(f, at + h, values) - exact(f, at - h, values)) / (2 * h)
                    assert abs(y[i, c, j].item() - wanted) <= unit * abs(wanted) + 40 * own
                    assert abs(x.grad[i, c, j].item() - g * slope) <= unit * abs(g * slope) + 80 * own * abs(g)
                    for p in names:
                        up, down = ({**values, p: values[p] + s * h} for s in (1, -1))
                        term = g * (exact(f, at, up) - exact(f, at, down)) / (2 * h)
                        old = total.get((p, c), (0, 0))
                        total[p, c] = old[0] + term, old[1] + abs(term)
    got = dict(zip(names, _gradients(f, x, grad), strict=True))
    for (p, c), (wanted, size) in total.items():
        assert abs(got[p][c].item() - wanted) <= 100 * own * (size + 1), (p, c)


def _gradients(f, x, grad):
    """The gradients by the values of all parameters, before what keeps them in their bounds."""
    values = f._values(x).detach().requires_grad_()
    (by,) = torch.autograd.grad(f._computed(x.detach(), values, f.axis), values, grad)
    return by.reshape(len(f.params), -1)


@pytest.mark.parametrize("kind", MAKERS)
def test_derivatives_of_both_orders(kind):
    f = made(kind, num_parameters=3, dtype=torch.float64)
    x, values = inputs((4, 3, 2)).requires_grad_(), f._values(torch.empty(0)).detach().requires_grad_()

    def call(x, values):
        return f._computed(x, values, 1)

    assert torch.autograd.gradcheck(call, (x, values))
    assert torch.autograd.gradgradcheck(call, (x, values))
    last = lambda x, values: f._computed(x.movedim(1, -1), values, -1)
    assert torch.autograd.gradgradcheck(last, (x, values))


@pytest.mark.parametrize("kind", MAKERS)
def test_layouts_and_types(kind):
    f = made(kind, num_parameters=3, dtype=torch.float64)
    x = inputs((2, 3, 5, 4))
    wanted, grad = f(x), inputs((2, 3, 5, 4), seed=2)
    by = _gradients(f, x, grad)
    gaps = torch.stack([x, x], -1)[..., 0]
    for t in (x.contiguous(memory_format=torch.channels_last), x.mT.contiguous().mT, gaps):
        got = f(t)
        assert torch.allclose(got, wanted, rtol=1e-14)
        assert got.stride() == torch.empty_like(t).stride()
        t = t.requires_grad_()
        (dx,) = torch.autograd.grad(f(t), t, grad)
        assert torch.allclose(dx, torch.autograd.grad(f(x.requires_grad_()), x, grad)[0], rtol=1e-12, atol=1e-14)
        assert torch.allclose(_gradients(f, t.detach(), grad), by, rtol=1e-12, atol=1e-13)
        x = x.detach()
    last = MAKERS[kind](num_parameters=4, axis=-1, dtype=torch.float64)
    assert torch.allclose(last(x), MAKERS[kind](dtype=torch.float64)(x))
    one = MAKERS[kind]()
    assert one(torch.tensor(-1.0)).shape == () and one(torch.empty(0, 3)).shape == (0, 3)
    empty = torch.empty(0, 3, requires_grad=True)
    one(empty).sum().backward()
    assert empty.grad.shape == (0, 3)
    with pytest.raises(ValueError, match="3 channels, but there are 2 values"):
        MAKERS[kind](num_parameters=2)(torch.ones(2, 3))
    with pytest.raises(TypeError, match="torch.int64"):
        one(torch.ones(3, dtype=torch.int64))
    with pytest.raises(RuntimeError, match="the input is on meta, the parameters are on cpu"):
        one(torch.ones(3, device="meta"))


@pytest.mark.parametrize("kind", MAKERS)
def test_threads_do_not_show(kind):
    f = made(kind, num_parameters=2)
    x = inputs((300, 2, 300), torch.float32).requires_grad_()
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            y = f(x)
            results.append((y, *torch.autograd.grad(y.sum(), [x, *f.parameters()])))
            one = MAKERS[kind]()
            results[-1] += torch.autograd.grad(one(x).sum(), list(one.parameters()))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("kind", MAKERS)
def test_compiled_and_autocast(kind):
    model = nn.Sequential(nn.Linear(4, 3), made(kind, num_parameters=3), nn.Linear(3, 1))
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    x = inputs((8, 4), torch.float32)
    compiled(x).sum().backward()
    got = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    model(x).sum().backward()
    for a, p in zip(got, model.parameters(), strict=True):
        assert torch.allclose(a, p.grad, rtol=1e-4, atol=1e-5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = model[1](model[0](x))
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert all(p.grad.dtype == torch.float32 for p in model[1].parameters())


@pytest.mark.parametrize("kind", MAKERS)
def test_state(kind):
    f = made(kind, num_parameters=2)
    x = inputs((3, 2), torch.float32)
    for g in (copy.deepcopy(f), MAKERS[kind](num_parameters=2)):
        g.load_state_dict(f.state_dict())
        assert torch.equal(g(x), f(x))
    assert "num_parameters=2" in repr(f) and all(p.shape == (2,) for p in f.parameters())
    decay, rest = nt.parameter_groups(nn.Sequential(nn.Linear(2, 2), f))
    assert len(decay["params"]) == 1 and len(rest["params"]) == 1 + len(list(f.parameters()))
    f.reset_parameters()
    assert torch.allclose(f(x), MAKERS[kind]()(x), rtol=1e-4, atol=1e-5)
    if kind != "pwlu":  # a class that `parametrize` makes has no name to pickle it by
        assert torch.equal(pickle.loads(pickle.dumps(f))(x), f(x))


def test_by_name():
    for name, kind in (
        ("pau", nt.PAU),
        ("group_rational", nt.GroupRational),
        ("pwlu", nt.PWLU),
        ("gated_polynomial", nt.GatedPolynomial),
    ):
        assert isinstance(nt.Activation(name, learnable=True), kind)
        if name == "gated_polynomial":
            # The catalogue has its formula.
            assert not list(nt.Activation(name).parameters())
            continue
        with pytest.raises(ValueError, match="is learned: Activation"):
            nt.Activation(name)
    f = nt.Activation("pau", approximate="silu", learnable=["a0", "a1"], num_parameters=4)
    assert [n for n, _ in f.named_parameters()] == ["a0", "a1"]
    assert repr(f) == "PAU('silu', learnable=['a0', 'a1'], num_parameters=4)"


@pytest.mark.parametrize(
    ("name", "bound"),
    [("gelu", 6e-4), ("silu", 5e-7), ("tanh", 2e-6), ("sigmoid", 2e-9), ("mish", 2e-4), ("leaky_relu", 0.04)],
)
def test_fit(name, bound):
    """The error that a fit tells is its own, and no more than what five and four degrees allow."""
    fit = nonlin.fit_rational(name)
    x = np.linspace(-3, 3, 4001)
    found = np.abs(fit(x) - nonlin.get(name)(x)).max()
    assert 0.9 * fit.error <= found <= fit.error * (1 + 1e-6) + 1e-15
    assert fit.error <= bound
    assert np.allclose(nonlin.Function(fit.formula)(x), fit(x), rtol=1e-12, atol=1e-13)
    f = nt.PAU(name, dtype=torch.float64)
    assert np.abs(f(torch.from_numpy(x)).detach().numpy() - fit(x)).max() < 1e-12
    assert f.fit == fit


def test_fits_of_what_is_rational():
    """A polynomial and a rational function are found again."""
    fit = nonlin.fit_rational("identity")
    assert fit.error < 1e-14 and fit.denominator == (0, 0, 0, 0)
    assert np.allclose(fit.numerator, [0, 1, 0, 0, 0, 0], atol=1e-12)
    fit = nonlin.fit_rational(lambda x: (1 + x) / (1 + x**2), degrees=(1, 2), interval=(-5, 4))
    assert fit.error < 1e-10 and np.allclose(fit.denominator, [0, 1], atol=1e-6)
    for words, kw in (
        ("degree of the denominator is 0", {"degrees": (3, 0)}),
        ("degree of the numerator is 13", {"degrees": (13, 2)}),
        ("interval is", {"interval": (1, 1)}),
        ("not finite between -1 and 1", {"interval": (-1, 1), "f": "1 / x - ln(x)"}),
    ):
        with pytest.raises(ValueError, match=words):
            nonlin.fit_rational(kw.pop("f", "gelu"), **kw)


def test_far_out():
    """Powers of large inputs do not overflow; at infinity there are limits."""
    x = torch.tensor([1e5, 1e7, 1e30, -3e38, float("inf"), -float("inf"), 0.0]).requires_grad_()
    f = nt.PAU("silu")
    ratio = f.a5 / f.b4.abs()
    y = f(x)
    assert torch.allclose(y[1:4], (x * ratio)[1:4], rtol=1e-5)
    assert y[4:6].tolist() == [float("inf"), -float("inf")] and f(torch.tensor(float("nan"))).isnan()
    y[:4].sum().backward()
    assert torch.allclose(x.grad[:4], ratio, rtol=1e-4)
    wide = torch.tensor([1e60, -1e300], dtype=torch.float64)
    assert torch.allclose(f.double()(wide), wide * f.a5 / f.b4.abs(), rtol=1e-12)
    for odd in (nt.PAU("tanh", degrees=(3, 3)), nt.PAU("tanh", degrees=(2, 3))):
        limit = odd.params["a3"] / odd.b3.abs() if "a3" in odd.params else torch.zeros(1)
        for at in (1e30, float("inf")):
            assert torch.allclose(odd(torch.tensor([at])), limit, rtol=1e-5)
    p = nt.PWLU()
    ends = torch.tensor([float("inf"), -float("inf"), float("nan")])
    assert p(ends)[:2].tolist() == [float("inf"), 0] and p(ends)[2].isnan()


def test_groups_are_channels_that_share():
    x = inputs((3, 12, 4), torch.float32).requires_grad_()
    grad = inputs((3, 12, 4), torch.float32, seed=3)
    for axis in (1, -2):
        f = nt.Activation("elu", learnable=True, groups=4, axis=axis)
        each = nt.Activation("elu", learnable=True, num_parameters=12, axis=axis)
        with torch.no_grad():
            f.alpha.copy_(torch.tensor([0.5, 1.0, 1.5, 2.0]))
            each.alpha.copy_(f.alpha.repeat_interleave(3))
        ours, theirs = (torch.autograd.grad(h(x), [x, h.alpha], grad) for h in (f, each))
        assert torch.equal(f(x), each(x)) and torch.equal(ours[0], theirs[0])
        assert torch.allclose(ours[1], theirs[1].reshape(4, 3).sum(1), rtol=1e-6)
    image = inputs((2, 12, 5, 5), torch.float32).contiguous(memory_format=torch.channels_last)
    f = nt.Activation("elu", learnable=True, groups=4)
    assert f(image).stride() == image.stride() and "groups=4" in repr(f) and f.alpha.shape == (4,)
    compiled = torch.compile(f, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(image), f(image))
    with pytest.raises(ValueError, match="multiple of 4 channels"):
        f(torch.ones(2, 10))
    with pytest.raises(ValueError, match="multiple of 4 channels"):
        f(torch.ones(4))
    with pytest.raises(ValueError, match="groups is 4 and num_parameters 3"):
        nt.Activation("elu", learnable=True, groups=4, num_parameters=3)
    with pytest.raises(ValueError, match="groups is 0"):
        nt.Activation("elu", learnable=True, groups=0)


def test_group_rational_shares_its_numerator():
    f = nt.GroupRational("gelu", groups=4, dtype=torch.float64)
    assert f.a5.shape == (1,) and f.b4.shape == (4,)
    x = inputs((5, 3, 8)).requires_grad_()
    with torch.no_grad():
        for i in range(1, 5):
            getattr(f, f"b{i}").add_(torch.arange(4) / 50)
    parts = []
    for g in range(4):
        at = x[..., 2 * g : 2 * g + 2]
        p = sum(getattr(f, f"a{i}") * at**i for i in range(6))
        parts.append(p / (1 + sum(getattr(f, f"b{i}")[g] * at**i for i in range(1, 5)).abs()))
    wanted, weight = torch.cat(parts, -1), inputs((5, 3, 8), seed=1)
    leaves = [x, *f.parameters()]
    assert torch.allclose(f(x), wanted)
    got, its = (torch.autograd.grad(y, leaves, weight) for y in (f(x), wanted))
    assert all(torch.allclose(a, b, rtol=1e-9) for a, b in zip(got, its, strict=True))
    own = nt.GroupRational("gelu", groups=4, share_numerator=False)
    assert own.a0.shape == (4,)
    with pytest.raises(ValueError, match="shared: .* no learned parameter `c`"):
        nt.PAU("gelu", shared=["c"])


SNAKE = "x + sin(alpha * x)^2 / beta; alpha = 1 in (0, inf), beta = 1 in (0, inf)"


def test_log_scale():
    """BigVGAN's form: what is learned is the logarithm, and starts at 0."""
    f = nt.Activation(SNAKE, learnable=True, num_parameters=3, log_scale=True, dtype=torch.float64)
    raw = dict(f.named_parameters())
    assert sorted(raw) == [f"parametrizations.{p}.original" for p in ("alpha", "beta")]
    assert all(torch.equal(p.detach(), torch.zeros(3, dtype=torch.float64)) for p in raw.values())
    logs = list(raw.values())
    with torch.no_grad():
        logs[0].copy_(torch.tensor([-0.5, 0.0, 0.5]))
        logs[1].copy_(torch.tensor([1.0, -1.0, 0.25]))
    x, weight = inputs((4, 3)).requires_grad_(), inputs((4, 3), seed=1)
    alpha, beta = (log.exp() for log in logs)
    wanted = x + torch.sin(alpha * x).square() / beta
    assert torch.allclose(f(x), wanted)
    got, its = (torch.autograd.grad(y, [x, *logs], weight) for y in (f(x), wanted))
    assert all(torch.allclose(a, b) for a, b in zip(got, its, strict=True))
    for far in (-1e4, 1e4):
        with torch.no_grad():
            logs[0].fill_(far)
        assert torch.isfinite(f(torch.zeros(1, 3, dtype=torch.float64))).all()
    only = nt.Activation(SNAKE, learnable=True, log_scale=["beta"])
    assert "log_scale=['beta']" in repr(only)
    with pytest.raises(ValueError, match="log_scale: `b` .* starts at 0"):
        nt.Activation("x * sigmoid(x + b); b = 0", learnable=True, log_scale=True)


def test_pwlu_aligns_itself():
    """The first phase is relu and collects statistics; the second has bounds at three deviations."""
    f = nt.PWLU(align=True, num_parameters=2)
    x = torch.stack([5 + 2 * torch.randn(4000), -3 + 0.5 * torch.randn(4000)], 1)
    for part in x.split(100):
        assert torch.equal(f(part), part.relu())
    assert f.num_batches_tracked == 40
    other = nt.PWLU(align=True, num_parameters=2)
    other.load_state_dict(f.state_dict())
    assert "align=True" in repr(other)
    f.eval()(x + 100)  # evaluation does not count
    for g in (f, other):
        g.align_()
    left, right = f.bounds()
    assert torch.allclose(left, torch.tensor([-1.0, -4.5]), atol=0.5)
    assert torch.allclose(right, torch.tensor([11.0, -1.5]), atol=0.5)
    # It goes on as what it was: but for the segment of the kink, which is a chord.
    assert (f(x) - x.relu()).abs().max() < (right - left).max() / 16 / 2
    assert (f(x) - x.relu()).abs().mean() < 0.02
    assert torch.equal(other(x), f(x)) and "align=True" not in repr(f)
    again = nt.PWLU(align=True, num_parameters=2)
    again.load_state_dict(f.state_dict())
    assert torch.equal(again(x), f(x)) and not again.collecting
    f(x).sum().backward()
    assert all(p.grad is not None for p in f.parameters())
    for words, call in (
        ("aligned already", f.align_),
        ("nothing has come in", nt.PWLU(align=True).align_),
    ):
        with pytest.raises(RuntimeError, match=words):
            call()


def test_pwlu_starts_as_another_function():
    x = torch.linspace(-6, 6, 1000)
    for start, distance in (("relu", 1e-6), ("gelu", 0.02), ("leaky_relu", 1e-6), ("x * tanh(x)", 0.05)):
        wanted = nt.Activation(start)(x)
        assert (nt.PWLU(start)(x) - wanted).abs().max() < distance
    few = nt.PWLU("silu", segments=3, learn_bounds=False, bounds=(-1, 2))
    assert sorted(n for n, _ in few.named_parameters()) == ["kl", "kr", "y0", "y1", "y2", "y3"]
    assert repr(few) == "PWLU('silu', segments=3, bounds=(-1.0, 2.0), learn_bounds=False)"
    for words, kw in (
        ("segments is 0", {"segments": 0}),
        ("bounds are", {"bounds": (1, 1)}),
        ("momentum is 0", {"momentum": 0}),
        ("cannot be given", {"align": True, "learn_bounds": False}),
    ):
        with pytest.raises(ValueError, match=words):
            nt.PWLU(**kw)


@pytest.mark.parametrize("kind", MAKERS)
def test_init_and_monitor_know_them(kind):
    model = nn.Sequential(nn.Linear(8, 8), MAKERS[kind](num_parameters=8), nn.Linear(8, 1))
    report = nt.init_(model, verbose=False)
    assert report.layers[0].gain > 0
    with nt.monitor(model, every=1, window=1) as watch:
        model(inputs((16, 8), torch.float32)).sum().backward()
    assert "1" in watch.layers and not watch.notes


def test_they_learn():
    """What each of them can be is learned to a tenth of the first error."""
    x = torch.linspace(-3, 3, 500)
    wave = torch.sin(2 * x) + 0.5 * x
    for f, wanted in ((nt.PAU("identity"), wave), (nt.PWLU(), wave), (nt.APL(), (x - 0.25).abs())):
        optimizer = torch.optim.Adam(f.parameters(), lr=0.02)
        losses = []
        for _ in range(300):
            optimizer.zero_grad()
            loss = (f(x) - wanted).square().mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < losses[0] / 10, f
