"""nonlin's own operators, functions and modules."""

import copy
import itertools
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
@pytest.mark.parametrize(
    "packed, dim", [(None, -1), *itertools.product(["halves", "interleaved"], [-1, 0, 1])]
)
def test_gated(name, packed, dim):
    """Values by formula, derivatives by differences, in two tensors or one."""
    unit = getattr(nonlin.torch, name)
    if packed is None:
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
            assert torch.equal(twin.eval()(x), module.eval()(x))
        assert list(module.state_dict()) == (["weight"] if name == "PReLU" else [])
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
        self.soft = nn.Softmax(-1)

    def forward(self, x):
        return F.mish(self.last(self.act(self.encoder(self.first(x)))))


def test_convert_to_nonlin():
    torch.manual_seed(0)
    model, x = Model().eval(), torch.randn(2, 3, 4)
    weights = {k: v.clone() for k, v in model.state_dict().items()}
    wanted = model(x)
    done = nonlin.torch.convert(model, to="nonlin")
    changed = {"first.1", "first.2", "encoder.activation", "act", "last"}
    assert {c[0] for c in done.changed} == changed
    assert ("soft", "nonlin has no Softmax of these arguments") in done.left
    assert ("(the model itself)", "forward calls F.mish") in done.left
    assert model.first[2].params == {"alpha": 0.5} and model.first[2].inplace
    assert all(torch.equal(v, weights[k]) for k, v in model.state_dict().items())
    torch.testing.assert_close(model(x), wanted)
    twin = pickle.loads(pickle.dumps(model))
    assert torch.equal(twin(x), model(x))
    # And back.
    done = nonlin.torch.convert(model, to="torch")
    assert {c[0] for c in done.changed} == changed
    assert type(model.first[1]) is nn.GELU and model.act is F.silu
    assert model.first[2].alpha == 0.5 and model.first[2].inplace
    assert model.encoder.activation is F.gelu and type(model.last) is nn.PReLU
    assert torch.equal(model(x), wanted)
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
    # Other names of functions, functions that are formulas, and classes of learned modules.
    bounded = nonlin.torch.Activation("softplus", learnable=True)
    model = nn.Sequential(nn.SiLU(), nn.ReLU6(), nn.GELU(), bounded)
    mapping = {"swish": "mish", "relu6": "relu", "x * normal_cdf(x)": nonlin.torch.PAU("tanh")}
    done = nonlin.torch.convert(model, {**mapping, nonlin.torch.Learnable: "elu"})
    assert str(done).split("\n") == ["0: silu -> mish", "1: relu6 -> relu", "2: gelu -> PAU", "3: softplus -> elu"]
    with pytest.raises(ValueError, match="did you mean `silu`"):
        nonlin.torch.convert(model, {"sillu": "gelu"})
    with pytest.raises(ValueError, match="`softmax` is row-wise"):
        nonlin.torch.convert(model, {"softmax": "gelu"})
    with pytest.raises(TypeError):
        nonlin.torch.convert(model)
    with pytest.raises(ValueError, match="targets are"):
        nonlin.torch.convert(model, to="x")


@pytest.mark.filterwarnings("ignore")
def test_convert_leaves_programs():
    model = nn.Sequential(nn.GELU(), torch.jit.script(nn.Sequential(nn.Linear(3, 3), nn.ReLU())))
    done = nonlin.torch.convert(model, to="nonlin")
    assert [c[0] for c in done.changed] == ["0"]
    assert done.left == [("1", "a program of TorchScript, which does not change")]
    assert model(torch.ones(2, 3)).shape == (2, 3)


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


def test_convert_keeps_what_a_model_is():
    """Modules that stand in several places, hooks, slopes that are learned, training mode."""
    act, slopes = nn.SiLU(), nn.PReLU(3)
    model = nn.Sequential(act, nn.Sequential(act, slopes), nn.RReLU(0.2, 0.3)).eval()
    seen, gradients = [], []
    act.register_forward_hook(lambda *_: seen.append(1))
    act.register_full_backward_hook(lambda *_: gradients.append(1))
    parameters = list(model.parameters())
    x = torch.randn(4, 3)
    wanted = model(x)
    seen.clear()
    nonlin.torch.convert(model, to="nonlin")
    assert model[0] is model[1][0] and isinstance(model[0], nonlin.torch.Activation)
    torch.testing.assert_close(model(x), wanted)
    assert len(seen) == 2 and not model[2].training
    model(x.requires_grad_()).sum().backward()
    assert len(gradients) == 2
    assert [id(p) for p in model.parameters()] == [id(p) for p in parameters]
    # What PyTorch lacks stays, with the reason.
    model = nn.Sequential(nonlin.torch.SwiGLU(), nonlin.torch.ELU(2.0), nonlin.torch.GELU())
    model.act = nonlin.torch.gelu_tanh
    done = nonlin.torch.convert(model, to="torch")
    assert repr(model[1]) == "ELU(alpha=2.0)" and repr(model[2]) == repr(nn.GELU())
    assert done.left == [
        ("0", "PyTorch has no swiglu of these arguments"),
        ("act", "PyTorch has no gelu_tanh"),
    ]
    # A module that is given is copied to each place.
    model = nn.Sequential(nn.ReLU(), nn.ReLU())
    nonlin.torch.convert(model, {"relu": nn.PReLU()})
    assert model[0] is not model[1] and len(list(model.parameters())) == 2


@pytest.mark.parametrize("shape, count", [((5,), 1), ((4, 3), 3), ((2, 3, 4, 2), 3), ((2, 3), 1)])
def test_learned_slopes(shape, count):
    """Values and gradients of all orders by input and slopes, as those of PyTorch's PReLU."""
    x, weight = smooth(*shape), torch.rand(count, dtype=torch.float64, requires_grad=True)
    y, wanted = nonlin.torch.prelu(x, weight), F.prelu(x, weight)
    assert torch.equal(y, wanted)
    g = torch.randn(shape, dtype=torch.float64)
    for a, b in zip(*(torch.autograd.grad(v, (x, weight), g) for v in (y, wanted))):
        torch.testing.assert_close(a, b)
    operands = x, weight
    assert torch.autograd.gradcheck(
        nonlin.torch.prelu, operands, check_forward_ad=True, check_batched_grad=True
    )
    assert torch.autograd.gradgradcheck(nonlin.torch.prelu, operands, check_fwd_over_rev=True)
    with pytest.raises(RuntimeError, match="takes 1 weight or as many"):
        nonlin.torch.prelu(x, torch.ones(7, dtype=torch.float64))
    torch._dynamo.reset()
    compiled = torch.compile(nonlin.torch.prelu, fullgraph=True, dynamic=True)
    assert torch.equal(compiled(x, weight), y)


def test_prelu_learns():
    """A step of training moves the slopes as PyTorch's PReLU does, in place too."""
    ours, theirs = nonlin.torch.PReLU(3), nn.PReLU(3)
    x = torch.randn(6, 3)
    for module in (ours, theirs):
        optimizer = torch.optim.SGD(module.parameters(), 0.1)
        module(x).square().mean().backward()
        optimizer.step()
    torch.testing.assert_close(ours.weight, theirs.weight)
    theirs.load_state_dict(ours.state_dict())
    assert torch.equal(ours(x), theirs(x))
    copy = x.clone()
    assert nonlin.torch.prelu(copy, ours.weight.detach(), inplace=True) is copy
    assert torch.equal(copy, ours(x))


def test_random_slopes():
    """In training each element has a slope of its own; afterwards the mean of the bounds."""
    x = torch.full((10_000,), -1.0, requires_grad=True)
    module = nonlin.torch.RReLU(0.25, 0.75)
    y = module(x)
    assert -0.75 <= y.min() < -0.74 and -0.26 < y.max() <= -0.25
    assert abs(y.mean() + 0.5) < 0.01 and y.unique().numel() > 9000
    assert torch.equal(torch.autograd.grad(y.sum(), x)[0], -y)
    torch.manual_seed(3)
    first = module(x)
    torch.manual_seed(3)
    assert torch.equal(module(x), first)
    assert module.eval()(x).eq(-0.5).all()
    z = torch.tensor([2.0, -2.0])
    assert nonlin.torch.rrelu(z, training=True, inplace=True) is z and z[0] == 2 and z[1] > -1
    with pytest.raises(RuntimeError, match="must not exceed"):
        nonlin.torch.rrelu(z, 0.5, 0.25, training=True)


class Seen(torch.utils._python_dispatch.TorchDispatchMode):
    """Notes the operators that are called."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.append(str(function))
        return function(*args, **kwargs or {})


class Marked(torch.Tensor):
    """A subclass, which results are of."""


CALLS = [
    (lambda x: nonlin.torch.gelu(x), "gelu"),
    (lambda x: nonlin.torch.elu(x, alpha=0.5), "elu"),
    (lambda x: nonlin.torch.swiglu(x, x), "swiglu"),
    (lambda x: nonlin.torch.swiglu(x, layout="halves"), "swiglu_packed"),
    (lambda x: nonlin.torch.prelu(x, x[0]), "weighted"),
    (lambda x: nonlin.torch.SiLU()(x), "silu"),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("function, name", CALLS, ids=[name for _, name in CALLS])
def test_calls_are_operators(function, name):
    """The short way of calling is seen by all that looks at operators."""
    x = torch.randn(3, 4)
    wanted = function(x)
    with Seen() as seen:
        assert torch.equal(function(x), wanted)
    assert any(name in n for n in seen.names)
    with torch.profiler.profile() as profile:
        function(x)
    assert any(name in event.name for event in profile.events())
    traced = torch.jit.trace(function, (torch.ones(3, 4),))
    assert torch.equal(traced(x), wanted)
    graph = torch.fx.experimental.proxy_tensor.make_fx(function)(torch.ones(3, 4))
    assert torch.equal(graph(x), wanted)
    assert type(function(x.as_subclass(Marked))) is Marked
    with torch._subclasses.FakeTensorMode() as fake:
        assert function(fake.from_tensor(x)).shape == wanted.shape
    # A view that is negated when it is read, which a kernel would miss.
    negated = torch._neg_view(-x)
    assert negated.is_neg() and torch.equal(function(negated), wanted)
    with torch.inference_mode():
        assert torch.equal(function(x), wanted)
    leaf = x.clone().requires_grad_()
    assert function(leaf).requires_grad
    with torch.no_grad():
        assert not function(leaf).requires_grad
    assert function(x.to("meta")).device.type == "meta"
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, torch.ones_like(x))
        assert torch.autograd.forward_ad.unpack_dual(function(dual)).tangent is not None
    exported = torch.export.export(Call(function), (x,))
    assert torch.equal(exported.module()(x), wanted)


class Call(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def test_autocast():
    """Types are those of the operands: what follows a linear layer computes in its type."""
    x = torch.randn(5, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = F.linear(x, torch.eye(4))
        assert nonlin.torch.gelu(y).dtype == torch.bfloat16
        assert nonlin.torch.swiglu(y, y).dtype == torch.bfloat16
        assert nonlin.torch.gelu(x).dtype == torch.float32
        # Operands of two types.
        for grad in (False, True):
            a, b = y.detach().requires_grad_(grad), x.clone().requires_grad_(grad)
            for f in (nonlin.torch.swiglu, nonlin.torch.Activation("a * tanh(b)")):
                for operands in ((a, b), (b, a), (a, b[:1])):
                    z = f(*operands)
                    assert z.dtype == torch.float32 and z.requires_grad == grad
                    assert torch.equal(z, f(*(t.float() for t in operands)))
            compiled = torch.compile(nonlin.torch.swiglu, fullgraph=True, backend="aot_eager")
            assert torch.equal(compiled(a, b), nonlin.torch.swiglu(a, b))
        slopes = nonlin.torch.PReLU(4)
        z = slopes(y)
        assert z.dtype == torch.bfloat16
        z.float().sum().backward()
        assert slopes.weight.grad.dtype == torch.float32
        assert torch.equal(z, nn.PReLU(4)(y))
