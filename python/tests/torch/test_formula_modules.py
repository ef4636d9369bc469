"""Formulas as modules: values, derivatives of both orders, transforms, compiled models."""

import copy
import pickle

import pytest
import torch
from torch import nn

import nonlin.torch

GATE = "x * tanh(alpha * x); alpha = 1 in (0, 10)"
TWO = "a * tanh(k * b) + a**2 * b; k = 1 in [0, 4]"


def gate(x, alpha=1.0):
    return x * torch.tanh(alpha * x)


def two(a, b, k=1.0):
    return a * torch.tanh(k * b) + a**2 * b


def drawn(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, requires_grad=True)


@pytest.mark.parametrize("alpha", [1.0, 0.3])
def test_elementwise(alpha):
    f = nonlin.torch.Activation(GATE, alpha=alpha)
    x = drawn(4, 3)
    torch.testing.assert_close(f(x), gate(x, alpha))
    assert torch.autograd.gradcheck(f, (x,), check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(f, (x,), check_fwd_over_rev=True)
    g = torch.randn_like(x)
    ours = torch.autograd.grad(f(x), x, g)[0]
    torch.testing.assert_close(ours, torch.autograd.grad(gate(x, alpha), x, g)[0])


def test_two_operands():
    f = nonlin.torch.Activation(TWO, k=2)
    a, b = drawn(4, 3), drawn(4, 3)
    torch.testing.assert_close(f(a, b), two(a, b, 2))
    assert torch.autograd.gradcheck(f, (a, b), check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(f, (a, b), check_fwd_over_rev=True)
    y = f(a[:, :1], b[0])
    torch.testing.assert_close(y, two(a[:, :1], b[0], 2))
    once = torch.autograd.grad(f(a, b).sum(), a, create_graph=True)[0]
    twice = torch.autograd.grad(once.sum(), b, create_graph=True)[0]
    with pytest.raises(NotImplementedError, match="no third derivative"):
        torch.autograd.grad(twice.sum(), b)


@pytest.mark.parametrize("layout, dim", [("halves", -1), ("interleaved", -1), ("halves", 0)])
def test_packed(layout, dim):
    f = nonlin.torch.Activation(TWO, layout=layout, dim=dim)
    x = drawn(4, 6)
    a, b = (x[:, ::2], x[:, 1::2]) if layout == "interleaved" else x.chunk(2, dim)
    torch.testing.assert_close(f(x), two(a, b))
    assert torch.autograd.gradcheck(f, (x,), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(f, (x,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_kernels_are_those_of_the_library(dtype):
    """The bits of the NumPy face, at any strides."""
    f = nonlin.torch.Activation(GATE, alpha=0.3)
    x = torch.randn(33, 40).to(dtype).t()
    bits = f(x)
    if dtype != torch.bfloat16:
        wanted = torch.from_numpy(nonlin.Function(GATE, alpha=0.3)(x.numpy()))
        assert bits.dtype == dtype and torch.equal(bits, wanted)
    assert torch.equal(bits, f(x.contiguous())) and bits.stride() == x.stride()
    with torch.no_grad():
        assert torch.equal(bits, f(x.requires_grad_()))


def test_an_expression_as_default_keeps_its_digits():
    x = torch.randn(1000)
    f = nonlin.torch.Activation("x * sigmoid(alpha * x) + beta * x; alpha = 1, beta = 1/3", alpha=1.5)
    same = nonlin.torch.Activation("x * sigmoid(1.5 * x) + x / 3")
    numpys = nonlin.Function("x * sigmoid(alpha * x) + beta * x; alpha = 1, beta = 1/3", alpha=1.5)
    assert torch.equal(f(x), torch.from_numpy(numpys(x.numpy())))
    torch.testing.assert_close(f(x), same(x), rtol=2e-7, atol=1e-9)


def test_built_in_ones_are_found():
    x, y = torch.randn(50), torch.randn(50)
    f = nonlin.torch.Activation("x / (1 + exp(-x))")
    assert f.name == "silu" and torch.equal(f(x), nonlin.torch.silu(x))
    f = nonlin.torch.Activation("where(x > 0, x, alpha * (exp(x) - 1)); alpha = 1", alpha=0.5)
    assert repr(f) == "Activation('elu', alpha=0.5)" and torch.equal(f(x), nonlin.torch.elu(x, 0.5))
    assert nonlin.torch.Activation("swish").name == "silu"
    unit = nonlin.torch.Activation("b * a * sigmoid(a)")
    assert torch.equal(unit(x, y), nonlin.torch.swiglu(x, y))


def test_modules():
    x = torch.randn(3, 4)
    for module in (nonlin.torch.Activation(GATE, alpha=2), nonlin.torch.Activation(TWO)):
        for twin in (pickle.loads(pickle.dumps(module)), copy.deepcopy(module)):
            assert repr(twin) == repr(module) and torch.equal(twin(x), module(x))
            assert twin.params == module.params
        assert not module.state_dict()
    module = nonlin.torch.Activation(GATE, alpha=2)
    assert repr(module) == f"Activation('{GATE}', alpha=2)" and module.params == {"alpha": 2.0}
    kept = x.clone()
    inplace = nonlin.torch.Activation(GATE, alpha=2, inplace=True)
    assert inplace(x) is x and torch.equal(x, module(kept))
    model = nn.Sequential(nn.Linear(4, 4), nn.GELU())
    said = str(nonlin.torch.convert(model, {"gelu": GATE}))
    assert said == f"1: gelu -> {GATE}"
    assert torch.equal(model[1](x), nonlin.torch.Activation(GATE)(x))


def test_errors():
    with pytest.raises(ValueError) as error:
        nonlin.torch.Activation("x * tnah(x)")
    assert str(error.value).endswith("\n  x * tnah(x)\n      ^^^^")
    with pytest.raises(ValueError, match=r"is 11; it must be between"):
        nonlin.torch.Activation(GATE, alpha=11)
    with pytest.raises(TypeError, match="has no parameter `beta`; it has alpha"):
        nonlin.torch.Activation(GATE, beta=1)
    with pytest.raises(TypeError, match="elementwise"):
        nonlin.torch.Activation(GATE, dim=0)
    with pytest.raises(TypeError, match="gated"):
        nonlin.torch.Activation(TWO, inplace=True)
    with pytest.raises(TypeError, match="takes tensors, not list"):
        nonlin.torch.Activation(GATE)([1.0])
    with pytest.raises(RuntimeError, match="one type"):
        torch.ops.nonlin.gated_formula(torch.ones(2), torch.ones(2).double(), TWO)
    with pytest.raises(RuntimeError, match="did you mean `tanh`"):
        torch.ops.nonlin.formula(torch.ones(2), "tnah(x)")
    with pytest.raises(RuntimeError, match="operand 2; there are 0 and 1"):
        torch.ops.nonlin.gated_formula_second(*[torch.ones(2)] * 3, TWO, 2)


@pytest.mark.parametrize(
    "name, tensors, rest",
    [
        ("formula", 1, (GATE,)),
        ("formula_backward", 2, (GATE,)),
        ("formula_second", 3, (GATE,)),
        ("gated_formula", 2, (TWO,)),
        ("gated_formula_backward", 3, (TWO,)),
        ("gated_formula_second", 3, (TWO, 1)),
    ],
)
def test_all_operators_are_checked(name, tensors, rest):
    grad = not name.endswith("second")
    operands = [torch.randn(4, 6, requires_grad=grad) for _ in range(tensors)]
    torch.library.opcheck(getattr(torch.ops.nonlin, name).default, (*operands, *rest))


@pytest.mark.parametrize("text", [GATE, TWO])
def test_compile_without_graph_break(text):
    """Forward and backward have the bits of eager calls, at several shapes."""
    torch._dynamo.reset()
    module = nonlin.torch.Activation(text)
    compiled = torch.compile(lambda x: module(x) + 1, fullgraph=True, dynamic=True)
    for shape in [(4, 6), (7, 8), (3, 2)]:
        x = torch.randn(shape, requires_grad=True)
        y, z = compiled(x), module(x) + 1
        assert torch.equal(y, z)
        g = torch.randn(z.shape)
        assert torch.equal(torch.autograd.grad(y, x, g)[0], torch.autograd.grad(z, x, g)[0])


def test_transforms():
    f = nonlin.torch.Activation(GATE)
    unit = nonlin.torch.Activation(TWO)
    x, z = torch.randn(5, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    hessian = torch.func.vmap(torch.func.hessian(lambda v: f(v).sum()))
    torch.testing.assert_close(
        hessian(x), torch.func.vmap(torch.func.hessian(lambda v: gate(v).sum()))(x)
    )
    rows = torch.func.vmap(unit, in_dims=(0, 0))(x, z)
    assert torch.equal(rows, unit(x, z))
    rows = torch.func.vmap(torch.func.jacrev(lambda a, b: unit(a, b).sum(), argnums=(0, 1)))
    wanted = torch.func.vmap(torch.func.jacrev(lambda a, b: two(a, b).sum(), argnums=(0, 1)))
    torch.testing.assert_close(rows(x, z), wanted(x, z))


def test_many_formulas():
    """More than are kept: each text is its own function all the same."""
    x = torch.ones(3, dtype=torch.float64)
    for i in range(600):
        assert nonlin.torch.Activation(f"x**2 + {i} * x")(x)[0] == 1 + i


def test_init_and_monitor_know_them():
    """Layers before a formula are initialised by its gain, and a monitor watches it."""
    for formula in (nonlin.torch.Activation(GATE, alpha=2), nonlin.torch.Activation("x / (1 + exp(-x))")):
        model = nn.Sequential(nn.Linear(64, 4096), formula, nn.Linear(4096, 8))
        nonlin.torch.init_(model)
        gain = float(nonlin.init.gain(formula.name, **formula.params))
        assert abs(model[0].weight.std() * 64**0.5 / gain - 1) < 0.02
    model = nn.Sequential(nn.Linear(8, 16), nonlin.torch.Activation(GATE, alpha=2), nn.Linear(16, 2))
    with nonlin.torch.monitor(model, every=1) as watch:
        for _ in range(3):
            model(torch.randn(32, 8)).sum().backward()
    (layer,) = watch.layers.values()
    assert layer.samples and layer.function == f"{GATE} at alpha=2"
