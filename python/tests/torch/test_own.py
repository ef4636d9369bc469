"""nonlin's own operators, functions and modules."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import nonlin.torch
from nonlin.torch._functional import FUNCTIONS, UNITS
from nonlin.torch._modules import MODULES

UNIT_FORMULAS = {
    "bilinear": lambda a, b: a * b,
    "geglu": lambda a, b: F.gelu(a) * b,
    "glu": lambda a, b: a * torch.sigmoid(b),
    "reglu": lambda a, b: F.relu(a) * b,
    "relu_glu": lambda a, b: F.relu(a) * torch.sigmoid(b),
    "swiglu": lambda a, b: F.silu(a) * b,
}


def smooth(*shape):
    """Numbers away from kinks."""
    x = torch.rand(*shape, dtype=torch.float64) * 2 + 0.2
    return (x * torch.where(torch.rand(*shape) < 0.5, -1.0, 1.0)).requires_grad_()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_elementwise_derivatives(name):
    """Gradients of first and second order, forward mode, batches."""
    function = getattr(nonlin.torch, name)
    x = smooth(4, 3)
    assert torch.autograd.gradcheck(function, (x,), check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(function, (x,), check_fwd_over_rev=True)


@pytest.mark.parametrize("name", UNITS)
@pytest.mark.parametrize("packed", [None, "halves", "interleaved"])
@pytest.mark.parametrize("dim", [-1, 0, 1])
def test_gated(name, packed, dim):
    """Values by formula, derivatives by differences, in two tensors or one."""
    unit = getattr(nonlin.torch, name)
    if packed is None:
        if dim != -1:
            pytest.skip("two tensors have no axis")
        operands = smooth(4, 6), smooth(4, 6)
        a, b = operands

        def function(a, b):
            return unit(a, b)
    else:
        x = smooth(4, 6)
        operands = (x,)
        parts = x.chunk(2, dim)
        if packed == "interleaved":
            at = [slice(None)] * 2
            at[dim] = slice(0, None, 2)
            rest = list(at)
            rest[dim] = slice(1, None, 2)
            parts = x[tuple(at)], x[tuple(rest)]
        a, b = parts

        def function(x):
            return unit(x, layout=packed, dim=dim)

    torch.testing.assert_close(function(*operands), UNIT_FORMULAS[name](a, b))
    assert torch.autograd.gradcheck(
        function, operands, check_forward_ad=True, check_batched_grad=True
    )
    assert torch.autograd.gradgradcheck(function, operands, check_fwd_over_rev=True)


def test_broadcast():
    a, b = torch.randn(3, 1, requires_grad=True), torch.randn(4, requires_grad=True)
    y = nonlin.torch.swiglu(a, b)
    torch.testing.assert_close(y, F.silu(a) * b)
    g = torch.autograd.grad(y.sum(), (a, b))
    wanted = torch.autograd.grad((F.silu(a) * b).sum(), (a, b))
    torch.testing.assert_close(g, wanted)


def test_parameters():
    x = torch.randn(50, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(nonlin.torch.elu(x, alpha=0.5), F.elu(x, 0.5))
    torch.testing.assert_close(nonlin.torch.elu(x, 0.5), F.elu(x, 0.5))
    assert torch.autograd.gradcheck(lambda x: nonlin.torch.celu(x, alpha=0.3), (x,))
    assert torch.autograd.gradgradcheck(lambda x: nonlin.torch.softplus(x, beta=2.0), (x,))
    with pytest.raises(TypeError, match="no parameter `beta`; its parameters: alpha"):
        nonlin.torch.elu(x, beta=1)
    with pytest.raises(TypeError, match="at most 1"):
        nonlin.torch.elu(x, 1.0, 2.0)
    with pytest.raises(TypeError, match="twice"):
        nonlin.torch.elu(x, 1.0, alpha=2.0)
    with pytest.raises(RuntimeError, match="alpha"):
        nonlin.torch.elu(x, alpha=float("nan"))


def _check(name):
    operator = getattr(torch.ops.nonlin, name).default
    arguments = []
    for a in operator._schema.arguments:
        kind = str(a.type)
        if kind == "Tensor":
            arguments.append(torch.randn(4, 6, requires_grad=not name.endswith("second")))
        elif kind == "int":
            arguments.append(-1)
        elif kind == "bool":
            arguments.append(False)
    if name.endswith("packed_backward"):
        arguments[0] = torch.randn(4, 3, requires_grad=True)
    torch.library.opcheck(operator, tuple(arguments))


@pytest.mark.parametrize("name", [*FUNCTIONS, *UNITS])
def test_all_operators_are_checked(name):
    _check(name)
    _check(f"{name}_backward")
    if name in UNITS:
        _check(f"{name}_packed")
        _check(f"{name}_packed_backward")
    else:
        _check(f"{name}_second")


@pytest.mark.parametrize("name", ["silu", "elu", "swiglu"])
def test_compile_without_graph_break(name):
    """Forward and backward have the bits of eager calls, at several shapes."""
    torch._dynamo.reset()
    unit = getattr(nonlin.torch, name)
    call = (lambda x: unit(x, layout="halves") + 1) if name in UNITS else (lambda x: unit(x) + 1)
    compiled = torch.compile(call, fullgraph=True, dynamic=True)
    for shape in [(4, 6), (7, 8), (3, 2)]:
        x = torch.randn(shape, requires_grad=True)
        y, z = compiled(x), call(x)
        assert torch.equal(y, z)
        g = torch.randn(z.shape)
        assert torch.equal(torch.autograd.grad(y, x, g)[0], torch.autograd.grad(z, x, g)[0])


def test_modules():
    for name, kind in MODULES.items():
        module = kind()
        for twin in (pickle.loads(pickle.dumps(module)), copy.deepcopy(module)):
            assert type(twin) is kind and repr(twin) == repr(module)
            x = torch.randn(3, 4)
            assert torch.equal(twin(x), module(x))
        assert module.state_dict() == {}
        assert repr(module).startswith(name)
    assert repr(nonlin.torch.Activation("elu", alpha=0.5)) == "Activation('elu', alpha=0.5)"
    assert repr(nonlin.torch.SwiGLU(layout="interleaved")) == "SwiGLU(layout='interleaved')"
    x = torch.randn(5)
    kept = x.clone()
    module = nonlin.torch.ELU(0.5, inplace=True)
    assert module(x) is x
    torch.testing.assert_close(x, F.elu(kept, 0.5))
    leaf = torch.randn(5, requires_grad=True)
    y = module(leaf * 1)
    torch.testing.assert_close(
        torch.autograd.grad(y.sum(), leaf)[0],
        torch.autograd.grad(F.elu(leaf, 0.5).sum(), leaf)[0],
    )
    with pytest.raises(ValueError, match="unknown function `sillu`"):
        nonlin.torch.Activation("sillu")
    with pytest.raises(TypeError, match="elementwise"):
        nonlin.torch.Activation("silu", dim=0)
    with pytest.raises(TypeError, match="gated"):
        nonlin.torch.Activation("swiglu", inplace=True)


def test_refusals():
    x = torch.randn(3, 4)
    with pytest.raises(TypeError, match="takes tensors, not list"):
        nonlin.torch.silu([1.0])
    with pytest.raises(TypeError, match="takes tensors, not int"):
        nonlin.torch.swiglu(x, 1)
    with pytest.raises(TypeError, match="layout"):
        nonlin.torch.swiglu(x)
    with pytest.raises(ValueError, match="layout"):
        nonlin.torch.swiglu(x, layout="other")
    with pytest.raises(RuntimeError, match="even"):
        nonlin.torch.swiglu(x, layout="halves", dim=0)
    with pytest.raises(RuntimeError, match="out of range"):
        nonlin.torch.swiglu(x, layout="halves", dim=5)
    with pytest.raises(RuntimeError, match="float32, float64, float16 or bfloat16"):
        nonlin.torch.silu(torch.ones(3, dtype=torch.int64))
    with pytest.raises(AttributeError, match="no function `sillu`"):
        nonlin.torch.sillu  # noqa: B018
    assert nonlin.torch.silu(torch.ones(3, device="meta")).device.type == "meta"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_low_precision(dtype):
    """Gated units round once, where a product of two operators rounds twice."""
    a, b = torch.randn(2, 3000).to(dtype)
    exact = F.silu(a.double()) * b.double()
    got = nonlin.torch.swiglu(a, b).double()
    epsilon = torch.finfo(dtype).eps
    assert ((got - exact).abs() <= 0.51 * epsilon * exact.abs() + 1e-7).all()


class Model(nn.Module):
    """Modules, attributes and functional calls."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.ELU(0.5, inplace=True))
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu")
        self.act = F.silu
        self.last = nn.PReLU()

    def forward(self, x):
        return F.mish(self.last(self.act(self.encoder(self.first(x)))))


def test_convert_to_nonlin():
    torch.manual_seed(0)
    model, x = Model().eval(), torch.randn(2, 3, 4)
    weights = {k: v.clone() for k, v in model.state_dict().items()}
    wanted = model(x)
    done = nonlin.torch.convert(model, to="nonlin")
    assert {c[0] for c in done.changed} == {"first.1", "first.2", "encoder.activation", "act"}
    assert ("last", "nonlin has no PReLU of these arguments") in done.left
    assert ("(the model itself)", "forward calls F.mish") in done.left
    assert model.first[2].params == {"alpha": 0.5} and model.first[2].inplace
    assert all(torch.equal(v, weights[k]) for k, v in model.state_dict().items())
    torch.testing.assert_close(model(x), wanted)
    twin = pickle.loads(pickle.dumps(model))
    assert torch.equal(twin(x), model(x))
    # Opaque operators keep their bits under the compiler: only the linear layers are its own.
    chain = nn.Sequential(nn.GELU(), nn.SiLU(), nn.Tanh())
    nonlin.torch.convert(chain, to="nonlin")
    torch._dynamo.reset()
    y = torch.randn(1000)
    assert torch.equal(torch.compile(chain, fullgraph=True)(y), chain(y))


def test_convert_by_mapping():
    model = Model()
    done = nonlin.torch.convert(model, {"gelu": "gelu_tanh", nn.ELU: "mish", "silu": nn.Tanh})
    assert [(c[1], c[2]) for c in done.changed if c[0] == "first.1"] == [("gelu", "gelu_tanh")]
    x = torch.randn(2, 3, 4)
    torch.testing.assert_close(
        model.first(x), F.mish(F.gelu(model.first[0](x), approximate="tanh"))
    )
    assert model.encoder.activation is nonlin.torch.gelu_tanh
    assert isinstance(model.act, nn.Tanh)
    with pytest.raises(ValueError, match="unknown function"):
        nonlin.torch.convert(model, {"sillu": "gelu"})
    with pytest.raises(TypeError):
        nonlin.torch.convert(model)
    with pytest.raises(ValueError, match="only target"):
        nonlin.torch.convert(model, to="x")


def test_fused_encoder_is_not_bypassed():
    """PyTorch's fused inference path knows relu and gelu by number and would skip ours."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="relu").eval()
    x = torch.randn(1, 3, 8)
    nonlin.torch.convert(layer, {"relu": "mish"})
    with torch.inference_mode():
        fused = layer(x)
    assert layer.training is False
    plain = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation=F.mish).eval()
    plain.load_state_dict(layer.state_dict())
    torch.testing.assert_close(fused, plain(x))
