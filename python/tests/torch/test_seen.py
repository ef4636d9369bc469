"""Modules under what PyTorch does with functions and programs: transforms, modes, records, copies."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, jvp, vmap

import nonlin.torch as nt

LEARNED = {
    "elu": lambda: nt.Activation("elu", learnable=True, num_parameters=8),
    "formula": lambda: nt.Activation("x * sigmoid(beta * x); beta = 1", learnable=True),
    "groups": lambda: nt.Activation("snake", learnable=True, groups=2, log_scale=True),
    "bounds": lambda: nt.Activation("softplus", learnable=True, num_parameters=8),
    "polynomial": nt.GatedPolynomial,
    "mixture": lambda: nt.Mixture("relu", "tanh"),
    "apl": nt.APL,
    "pwlu": nt.PWLU,
    "pau": nt.PAU,
    "rational": lambda: nt.GroupRational(groups=2),
    "adaptive": nt.AdaptiveReLU,
    "running": lambda: nt.AdaptiveReLU("threshold", k=0.5, running=True).eval(),
}

#: What has an operator that TorchScript and torch.fx can name.
PLAIN = {
    "silu": nt.SiLU,
    "elu": lambda: nt.ELU(0.5),
    "swiglu": nt.SwiGLU,
    "formula": lambda: nt.Activation("x * tanh(x)"),
}


def inputs(*shape):
    return 2 * torch.randn(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("make", LEARNED.values(), ids=LEARNED)
def test_transforms(make):
    f, x = make(), inputs(5, 4, 8)
    named = dict(f.named_parameters())

    def loss(named, x):
        return functional_call(f, named, (x,)).square().sum()

    by, by_x = grad(loss, argnums=(0, 1))(named, x[0])
    per_sample = vmap(grad(loss), in_dims=(None, 0))(named, x)
    y, tangent = jvp(f, (x[0],), (torch.ones(4, 8),))
    rows = vmap(f)(x)
    leaf = x[0].clone().requires_grad_()
    plain = f(leaf)
    wanted = torch.autograd.grad(plain.square().sum(), [leaf, *named.values()])
    assert torch.allclose(y, plain, atol=1e-6)
    assert torch.allclose(rows[0], plain, atol=1e-6)
    assert torch.allclose(by_x, wanted[0], rtol=1e-4, atol=1e-5)
    for p, its in zip(named, wanted[1:], strict=True):
        assert torch.allclose(by[p], its, rtol=1e-4, atol=1e-4)
        assert torch.allclose(per_sample[p][0], its, rtol=1e-4, atol=1e-4)
    step = 1e-3
    by_step = (f(x[0] + step) - f(x[0] - step)) / (2 * step)
    assert torch.allclose(tangent, by_step, atol=0.02)


def test_higher_derivatives_under_transforms():
    x, alpha = inputs(6).double(), torch.tensor([0.5], dtype=torch.float64)

    def f(x, alpha):
        return nt._learnable.apply("softplus", x, alpha, 1).sum()

    third = grad(lambda x: grad(lambda x: grad(f)(x, alpha).sum())(x).sum())(x)
    s = torch.sigmoid(alpha * x)
    assert torch.allclose(third, alpha**2 * s * (1 - s) * (1 - 2 * s))


@pytest.mark.parametrize("make", LEARNED.values(), ids=LEARNED)
def test_fake_tensors(make):
    with torch._subclasses.FakeTensorMode():
        f, x = make(), torch.randn(3, 8, requires_grad=True)
        y = f(x)
        y.sum().backward()
    assert y.shape == x.shape and x.grad.shape == x.shape
    assert all(p.grad.shape == p.shape for p in f.parameters())


def test_modes_see_the_operator():
    seen = []

    class Mode(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
            seen.append(operator)
            return operator(*args, **kwargs or {})

    f, x = LEARNED["elu"](), inputs(3, 8)
    with Mode():
        y = f(x)
    assert torch.ops.nonlin.learnable.default in seen
    assert torch.equal(y, f(x))


@pytest.mark.parametrize("make", LEARNED.values(), ids=LEARNED)
def test_copies(make):
    """The whole module, with its types, mode, hooks and whatever a user has put on it."""
    f = make().double()
    f.note = "mine"
    f.register_forward_hook(print)
    f.requires_grad_(False)
    file = io.BytesIO()
    torch.save(f, file)
    file.seek(0)
    for g in (copy.deepcopy(f), pickle.loads(pickle.dumps(f)), torch.load(file, weights_only=False)):
        assert type(g).__mro__[-3:] == type(f).__mro__[-3:] and repr(g) == repr(f)
        assert g.note == "mine" and len(g._forward_hooks) == 1 and g.training == f.training
        assert not any(p.requires_grad for p in g.parameters())
        assert list(g.state_dict()) == list(f.state_dict())
        for p, q in zip([*f.parameters(), *f.buffers()], [*g.parameters(), *g.buffers()], strict=True):
            assert p.dtype == q.dtype and torch.equal(p, q) and p is not q
        g._forward_hooks.clear()
        x = inputs(3, 8).double()
        assert torch.equal(g(x), f.forward(x))
        if any(True for _ in g.parameters()):
            g.requires_grad_()
            g(x).sum().backward()


@pytest.mark.parametrize("make", PLAIN.values(), ids=PLAIN)
@pytest.mark.filterwarnings("ignore")
def test_torchscript_and_fx_record_the_operator(make):
    model = nn.Sequential(nn.Linear(4, 6), make())
    x, other = inputs(3, 4), inputs(5, 4)
    file = io.BytesIO()
    torch.jit.save(torch.jit.trace(model, x), file)
    file.seek(0)
    records = [torch.jit.load(file)]
    if not isinstance(model[1], nt.SwiGLU):
        records.append(torch.fx.symbolic_trace(model))
    for record in records:
        assert torch.equal(record(other), model(other))
        record(other).sum().backward()


def test_fx_records_gated_units():
    f = torch.fx.symbolic_trace(lambda a, b: nt.swiglu(a, b))
    a, b = inputs(3, 4), inputs(3, 4)
    assert torch.equal(f(a, b), nt.swiglu(a, b))
    with pytest.raises(TypeError, match="takes tensors, not str"):
        nt.swiglu(a, "b")
