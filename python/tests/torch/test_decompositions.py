"""nonlin's operators made of PyTorch's own: what they compute, where they run, what exporters make of them."""

import os
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
import torch
from test_export import CASES, NAMED, compare, inputs
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

import nonlin
import nonlin.torch as nt
from nonlin.torch import _decompositions

OPS = torch.ops.nonlin
TABLE = nt.decompositions()
NAMES = nonlin._nonlin.NAMES
EVERY = pytest.mark.parametrize("text, gated", CASES + NAMED, ids=[t for t, _ in CASES + NAMED])
KERNELS = [*NAMES["elementwise"], *NAMES["gated"]]


def called(text, gated):
    """The name of a function's operator, and what it takes besides operands."""
    if text in KERNELS:
        return text, ()
    return ("gated_formula" if gated else "formula"), nt.Activation(text)._values


def made(name):
    return TABLE[getattr(OPS, name).default]


def kernel(name):
    return getattr(OPS, name)


@EVERY
@pytest.mark.parametrize("single", [False, True], ids=["float64", "float32"])
def test_values_and_gradients(text, gated, single):
    name, p = called(text, gated)
    operands = [torch.tensor(v) for v in inputs(single)[: 1 + gated]]
    slopes = made(f"{name}_backward")(torch.ones_like(operands[0]), *operands, *p)
    compare(text, gated, single, [made(name)(*operands, *p), *(slopes if gated else [slopes])])


@EVERY
def test_second_derivatives(text, gated):
    name, p = called(text, gated)
    if gated and text in KERNELS:
        return  # They are made of operators of one operand.
    x = torch.cat([torch.linspace(-9.7, 9.3, 401, dtype=torch.float64), torch.tensor([0.0, 1e-9, 1e-3, 40, -40])])
    g, grad, size = torch.randn_like(x), torch.randn_like(x), x.abs().clamp(min=1)
    if gated:
        b = x.flip(0).roll(7)
        size = size.maximum(b.abs())
        pairs = [f(g, x, b, *p, i) for f in (made(f"{name}_second"), kernel(f"{name}_second")) for i in (0, 1)]
        found, wanted = pairs[0] + pairs[1], pairs[2] + pairs[3]
    else:
        found, wanted = ([f(f"{name}_second")(g, grad, x, *p)] for f in (made, kernel))
        g = g * grad
    relative, absolute = (1e-9, 1e-9) if "sin" in text or "cos" in text or "snake" in text else (2e-12, 1e-15)
    for y, want in zip(found, wanted):
        # Outside its domain a function has no number; inside one, none is missed.
        known = ~want.isnan()
        assert known.any() and not y[known].isnan().any()
        assert ((y == want) | ((y - want).abs() <= relative * want.abs() + absolute * size * g.abs()))[known].all()


def test_second_derivatives_at_the_ends():
    x = torch.tensor([np.nan, np.inf, -np.inf], dtype=torch.float64)
    one = torch.ones_like(x)
    for name in NAMES["elementwise"]:
        torch.testing.assert_close(
            made(f"{name}_second")(one, one, x), kernel(f"{name}_second")(one, one, x), equal_nan=True
        )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_types(dtype):
    """They are computed in float32, and rounded once: to the nearest, or the other one where both are as near."""
    x = torch.linspace(-6, 6, 301).to(dtype)
    g = torch.randn(301).to(dtype)
    for name in NAMES["elementwise"]:
        y, slope = made(name)(x), made(f"{name}_backward")(g, x)
        exact = kernel(name)(x.double()), kernel(f"{name}_backward")(g.double(), x.double())
        for got, want in zip((y, slope), exact):
            assert got.dtype == dtype
            least = torch.finfo(dtype).smallest_normal * torch.finfo(dtype).eps
            assert ((got.double() - want).abs() <= 0.5005 * torch.finfo(dtype).eps * want.abs() + least).all(), name


def layouts():
    x = torch.randn(4, 6, 8)
    yield x
    yield x.permute(2, 0, 1)
    yield x[:, ::2]
    yield x[:1].expand(4, 6, 8)
    yield torch.randn(2, 4, 4, 4).to(memory_format=torch.channels_last)
    yield x[0, 0, 0]
    yield x[:0]


@pytest.mark.parametrize("interleaved", [False, True])
def test_packed(interleaved):
    x = torch.randn(4, 6, 8)
    for name in NAMES["gated"]:
        for dim in (-1, 1, -3):
            y = made(f"{name}_packed")(x, dim, interleaved)
            torch.testing.assert_close(y, kernel(f"{name}_packed")(x, dim, interleaved), rtol=1e-5, atol=1e-6)
            grad = torch.randn_like(y)
            torch.testing.assert_close(
                made(f"{name}_packed_backward")(grad, x, dim, interleaved),
                kernel(f"{name}_packed_backward")(grad, x, dim, interleaved),
                rtol=1e-5,
                atol=1e-6,
            )


def test_parameters():
    x, g = torch.linspace(-5, 5, 41, dtype=torch.float64), torch.randn(41, dtype=torch.float64)
    for name, p in (("elu", (0.5,)), ("softplus", (3.0,)), ("rrelu", (0.25,)), ("hard_sigmoid", (0.2, 0.4))):
        torch.testing.assert_close(made(name)(x, *p), kernel(name)(x, *p), rtol=1e-12, atol=1e-15)
        slopes = (f(f"{name}_backward")(g, x, *p) for f in (made, kernel))
        torch.testing.assert_close(*slopes, rtol=1e-12, atol=1e-15)
    w = torch.rand_like(x)
    torch.testing.assert_close(made("weighted")(x, w), kernel("weighted")(x, w), rtol=1e-12, atol=0)
    slopes = (f("weighted_backward")(g, x, w) for f in (made, kernel))
    torch.testing.assert_close(*slopes, rtol=1e-12, atol=0)


@pytest.mark.parametrize("text", ["elu", "snake_beta", "x * tanh(alpha * x) + beta; alpha = 2, beta = 1"])
@pytest.mark.parametrize("each, axis", [(1, 1), (4, 0), (6, 1), (6, -2), (3, -1)])
def test_learned(text, each, axis):
    x, g = torch.randn(4, 6, 3), torch.randn(4, 6, 3)
    values = torch.rand(each * len(_decompositions.text(text).defaults)) + 0.5
    y = made("learnable")(x, values, text, axis)
    torch.testing.assert_close(y, OPS.learnable(x, values, text, axis), rtol=1e-5, atol=1e-6)
    slopes = (f(g, x, values, text, axis) for f in (made("learnable_backward"), OPS.learnable_backward))
    torch.testing.assert_close(*slopes, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=f"{x.shape[axis]} channels, but there are {5 * each}"):
        made("learnable")(x, values.repeat(5), text, axis)


def test_what_is_refused():
    x = torch.ones(3)
    for bad in (x.int(), x.cfloat()):
        with pytest.raises(RuntimeError, match="gelu: all tensors must have one type, float32, float64, float16"):
            made("gelu")(bad)
    with pytest.raises(RuntimeError, match="swiglu: all tensors must have one type"):
        made("swiglu")(x, x.double())
    with pytest.raises(RuntimeError, match="swiglu: all tensors .* sizes that fit"):
        made("swiglu")(x, x[:2])
    with pytest.raises(RuntimeError, match="`beta` of `softplus` is -1; it must be at least 0.000001"):
        made("softplus")(x, -1.0)
    with pytest.raises(NotImplementedError, match="gelu: a tensor is torch.sparse_coo; nonlin takes strided"):
        nt.gelu(x.to_sparse())


def modules():
    """Every function as a module, of an input with an even number of channels."""
    named = [n for n in NAMES["formula"] if n not in ("logit",)]
    made = [nt.Activation(name) for name in (*KERNELS, *named)]
    made += [nt.Activation("elu", alpha=0.5), nt.Activation("x * tanh(alpha * x); alpha = 1", alpha=2)]
    made += [nt.SwiGLU(layout="interleaved"), nt.PReLU(6, init=0.6), nt.Activation("elu", learnable=True, num_parameters=6)]
    made += [nt.Activation("a * sigmoid(beta * b); beta = 1.5", learnable=True, num_parameters=6)]
    made += [nt.Activation("snake", learnable=True), nt.RReLU().eval(), nt.PAU(), nt.PWLU()]
    return torch.nn.ModuleList(made)


class Every(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.functions = modules()

    def forward(self, x):
        return [f(x) for f in self.functions]


def left(graph):
    """nonlin's operators in a graph."""
    return {str(n.target) for n in graph.nodes if "nonlin" in str(n.target)}


def close(found, wanted, relative, absolute):
    for y, want in zip(found, wanted, strict=True):
        torch.testing.assert_close(y, want, rtol=relative, atol=absolute)


def close_every(found, model, x):
    """What a model of every function gives; a sine is as good as its argument, which is rounded."""
    for f, y, want in zip(model.functions, found, model(x), strict=True):
        wave = 1e-4 if getattr(f, "name", "").startswith(("sine", "snake", "gcu")) else 4e-6
        torch.testing.assert_close(y, want, rtol=2e-5, atol=wave, msg=lambda m: f"{f}: {m}")  # noqa: B023


def test_export():
    """No operator is left in an exported program, with this table alone and beside PyTorch's own."""
    model, x = Every(), torch.randn(3, 6, 4) * 4
    program = torch.export.export(model, (x,))
    assert len(left(program.graph)) > 25
    for table in (TABLE, {**torch.export.default_decompositions(), **TABLE}):
        decomposed = program.run_decompositions(table)
        assert not left(decomposed.graph)
        close_every(decomposed.module()(x), model, x)


def test_backward_graph():
    """Nor is one in a graph of gradients, or of gradients of gradients."""
    functions = [nt.Activation(n).forward for n in ("elu", "gelu_tanh", "snake", "swiglu", "geglu_tanh", "reglu")]

    def gradients(x):
        x = x.detach().requires_grad_()
        every = []
        for f in functions:
            (g,) = torch.autograd.grad(f(x).square().sum(), x, create_graph=True)
            every += [g, *torch.autograd.grad(g.square().sum(), x)]
        return every

    x = torch.randn(5, 6, dtype=torch.float64)
    assert left(make_fx(gradients)(x).graph)
    graph = make_fx(gradients, decomposition_table=TABLE)(x)
    assert not left(graph.graph)
    close(graph(x), gradients(x), 1e-11, 1e-13)


@pytest.mark.parametrize("name", [*KERNELS, "snake", "geglu_tanh"])
def test_placement(name):
    """Type, shape, strides and device of tensors on a GPU, for which none is needed."""
    gated = name in NAMES["gated"] or name == "geglu_tanh"
    f, (operator, p) = nt.Activation(name), called(name, gated)
    with FakeTensorMode(allow_non_fake_inputs=True):
        for x in layouts():
            x = x.to("cuda", torch.bfloat16)
            operands = [x] * (1 + gated)
            y, direct = f(*operands), made(operator)(*operands, *p)
            slopes = made(f"{operator}_backward")(x, *operands, *p)
            told = kernel(f"{operator}_backward")(x, *operands, *p)
            for t, like in ((y, y), (direct, y), *(zip(slopes, told) if gated else [(slopes, told)])):
                assert t.device.type == "cuda" and t.dtype == torch.bfloat16
                assert t.shape == x.shape and t.stride() == like.stride(), (x.stride(), t.stride(), like.stride())


def test_compiled_elsewhere():
    """A compiler sees one operator, whose shape it knows on any device."""
    seen = []

    def backend(graph, inputs):
        seen.append(left(graph.graph))
        return graph

    f = torch.compile(nt.GELU(), backend=backend, fullgraph=True)
    assert f(torch.ones(3, device="meta")).device.type == "meta"
    assert seen == [{"nonlin.gelu.default"}]


def test_other_device():
    """Gradients, second ones and transforms on a device that has no kernels of nonlin's."""
    here = os.path.dirname(__file__)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "other_device.py"]
    ran = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=240)
    assert ran.returncode == 0, ran.stdout[-4000:]
    assert " passed" in ran.stdout and "skipped" not in ran.stdout


def test_onnx():
    model, x = Every().eval(), torch.randn(3, 6, 4) * 4
    program = torch.onnx.export(
        model, (x,), dynamo=True, verbose=False, custom_translation_table=nt.onnx_translations()
    )
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    found = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    close_every(map(torch.from_numpy, found), model, x)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_onnx_types(dtype):
    """Other types than float are converted and back."""
    x = torch.tensor([-12.0, -5.5, -1e-3, 0.0, 2.0], dtype=dtype)
    program = torch.onnx.export(
        nt.GELU().eval(), (x,), dynamo=True, verbose=False, custom_translation_table=nt.onnx_translations()
    )
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    (y,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(y), nt.gelu(x), rtol=1e-5 if dtype == torch.float64 else 1e-3, atol=0)
