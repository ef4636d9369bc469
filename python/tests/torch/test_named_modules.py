"""Functions of the catalogue that are formulas, under PyTorch."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import nonlin.torch
from nonlin import _nonlin

NAMES = _nonlin.NAMES["formula"]
TWO = [name for name in NAMES if _nonlin.facts(name)["kind"] == "gated"]
ONE = [name for name in NAMES if name not in TWO]
#: What PyTorch has itself.
PEERS = {
    "hard_shrink": F.hardshrink,
    "hard_tanh": F.hardtanh,
    "relu6": F.relu6,
    "soft_shrink": F.softshrink,
    "softsign": F.softsign,
    "tanhshrink": F.tanhshrink,
    "erf": torch.erf,
    "arctan": torch.atan,
    "logit": torch.logit,
    "sign": torch.sign,
    "abs": torch.abs,
}
#: Modules with second derivatives of kinks are none of gradgradcheck's.
SMOOTH = ["aglu", "arctan", "dyt", "golu", "isru", "lisht", "snake", "softsign", "squareplus", "tanhshrink"]


@pytest.mark.parametrize("name", sorted(PEERS))
def test_peers(name):
    x = torch.tensor([-6.5, -6.0, -1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0, 6.0, 6.5]).double()
    if name == "logit":
        x = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    y, wanted = getattr(nonlin.torch, name)(ours), PEERS[name](theirs)
    torch.testing.assert_close(y, wanted, rtol=1e-14, atol=1e-15)
    y.sum().backward()
    wanted.sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", ONE)
def test_elementwise(name):
    f = getattr(nonlin.torch, name)
    x = torch.randn(64).clamp(0.01, 0.99) if name == "logit" else torch.randn(64)
    y = f(x)
    assert torch.equal(y, torch.from_numpy(getattr(nonlin, name)(x.numpy())))
    kind = getattr(nonlin.torch, nonlin.torch._named.module_name(name))
    # The articles' own has a module that learns; without learning it is the formula.
    learns = kind is nonlin.torch.GatedPolynomial
    module = nonlin.torch.Activation(name) if learns else kind()
    assert torch.equal(module(x), y)
    assert torch.equal(pickle.loads(pickle.dumps(module))(x), y)
    assert torch.equal(copy.deepcopy(module)(x), y)
    z = x.clone()
    assert f(z, inplace=True) is z and torch.equal(z, y)


@pytest.mark.parametrize("name", TWO)
def test_gated(name):
    a, b = torch.randn(2, 8, dtype=torch.float64)
    f = getattr(nonlin.torch, name)
    y = f(a, b)
    assert torch.equal(f(torch.cat([a, b]), layout="halves"), y)
    module = getattr(nonlin.torch, nonlin.torch._named.module_name(name))()
    assert torch.equal(module(torch.cat([a, b])), y)
    with pytest.raises(TypeError, match="layout"):
        f(a)


@pytest.mark.parametrize("name", SMOOTH)
def test_derivatives(name):
    x = torch.randn(6, dtype=torch.float64, requires_grad=True)
    module = nonlin.torch.Activation(name)
    assert torch.autograd.gradcheck(module, (x,))
    assert torch.autograd.gradgradcheck(module, (x,))


def test_parameters():
    x = torch.randn(32)
    torch.testing.assert_close(nonlin.torch.snake(x, 2.0), x + torch.sin(2 * x) ** 2 / 2)
    torch.testing.assert_close(nonlin.torch.snake(x, alpha=2.0), nonlin.torch.Snake(alpha=2.0)(x))
    with pytest.raises(TypeError, match="twice"):
        nonlin.torch.snake(x, 2.0, alpha=2.0)
    with pytest.raises(AttributeError, match="snake"):
        nonlin.torch.snaek
    model = nn.Sequential(nn.Linear(4, 4), nonlin.torch.Activation("snake", learnable=True))
    model(torch.randn(3, 4)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_compiled():
    softsign = nonlin.torch.Softsign()
    f = torch.compile(lambda x: nonlin.torch.golu(x) + softsign(x), fullgraph=True)
    x = torch.randn(64)
    assert torch.equal(f(x), nonlin.torch.golu(x) + nonlin.torch.softsign(x))


@pytest.mark.parametrize(
    "theirs",
    [
        nn.ReLU6(inplace=True),
        nn.Softsign(),
        nn.Tanhshrink(),
        nn.Hardtanh(-2.0, 0.5),
        nn.Hardshrink(0.75),
        nn.Softshrink(0.25),
        nn.Threshold(0.1, -3.0),
    ],
)
def test_converted(theirs):
    x = torch.randn(64) * 4
    wanted = theirs(x.clone())
    model = nn.Sequential(theirs)
    nonlin.torch.convert(model, to="nonlin")
    assert isinstance(model[0], nonlin.torch.Activation)
    torch.testing.assert_close(model(x.clone()), wanted, rtol=3e-7, atol=1e-7)
    nonlin.torch.convert(model, to="torch")
    assert type(model[0]) is type(theirs)
    assert torch.equal(model(x.clone()), wanted)
