"""Gated units whose parameters are learned."""

import copy
import pickle

import mpmath
import pytest
import torch
from torch import nn

import nonlin
import nonlin.torch as nt

UNITS = [
    "a * sigmoid(beta * b); beta = 1",
    "a * tanh(alpha * b) + gamma * b; alpha = 0.5, gamma = 0.25",
    "softplus(beta * a) / beta * b; beta = 1 in [0.01, 100]",
]

KINDS = [torch.float32, torch.float64, torch.float16, torch.bfloat16]


def inputs(*shape, seed=0, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(shape, generator=g, dtype=torch.float64)).to(dtype)


def made(unit, dtype=torch.float64, **kwargs):
    """A module whose parameters differ between channels."""
    f = nt.Activation(unit, learnable=True, dtype=dtype, **kwargs)
    with torch.no_grad():
        for p in f.parameters():
            p.mul_(1 + 0.25 * torch.arange(len(p)))
    return f


@pytest.mark.parametrize("unit", UNITS)
def test_derivatives_of_both_orders(unit):
    start = nt.Activation(unit, learnable=True, num_parameters=3, dtype=torch.float64).params.values()
    values = torch.cat([v.detach() * (1 + 0.1 * torch.arange(3)) for v in start]).requires_grad_()
    operands = [inputs(4, 3, 2, seed=s).requires_grad_() for s in (1, 2)]

    def call(a, b, values):
        return nt._learnable.apply_gated(unit, a, b, values, 1)

    assert torch.autograd.gradcheck(call, (*operands, values), eps=1e-7, atol=1e-6)
    assert torch.autograd.gradgradcheck(call, (*operands, values), eps=1e-7, atol=1e-6)


@pytest.mark.parametrize("dtype", KINDS)
def test_against_multiple_precision(dtype):
    """Sums over each of two groups of neighbouring channels, by differences of 50 digits."""
    f = nt.Activation(UNITS[0], learnable=True, groups=2, dtype=torch.float64)
    with torch.no_grad():
        f.beta.copy_(torch.tensor([0.5, 1.75]))
    a, b, grad = (inputs(5, 4, 3, seed=s, dtype=dtype) for s in (3, 4, 5))
    f(a, b).backward(grad)
    with mpmath.workdps(50):
        for group in range(2):
            of = [t[:, 2 * group : 2 * group + 2].double().flatten().tolist() for t in (a, b, grad)]

            def loss(beta):
                return sum(g * u / (1 + mpmath.exp(-beta * v)) for u, v, g in zip(*of, strict=True))

            beta, h = mpmath.mpf(f.beta[group].item()), mpmath.mpf(10) ** -15
            wanted = float((loss(beta + h) - loss(beta - h)) / (2 * h))
            # Arrays of float32 and of half types take f64 kernels of fewer digits.
            rel = 1e-12 if dtype == torch.float64 else 1e-10
            assert f.beta.grad[group].item() == pytest.approx(wanted, rel=rel)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("dtype", KINDS)
def test_layouts(unit, dtype):
    """Packed or apart, in any memory format, in groups or channels: one function."""
    f = made(unit, num_parameters=4)
    g = copy.deepcopy(f)
    a, b, grad = (inputs(3, 4, 5, 2, seed=s, dtype=dtype) for s in (6, 7, 8))
    leaves = [t.clone().requires_grad_() for t in (a, b)]
    y = f(*leaves)
    y.backward(grad)
    assert y.dtype == dtype and all(t.grad.dtype == dtype for t in leaves)
    last = torch.channels_last
    packed = torch.cat([a, b], -1)
    for operands in (
        [a.to(memory_format=last), b.to(memory_format=last)],
        [a.to(memory_format=last), b],
        [packed[..., :2], packed[..., 2:]],
        [packed],
    ):
        g.zero_grad()
        others = [t.detach().clone().requires_grad_() for t in operands]
        z = g(*others)
        z.backward(grad.to(memory_format=last))
        assert torch.equal(z, y)
        by = torch.cat([t.grad for t in others], -1)
        assert torch.equal(by, torch.cat([t.grad for t in leaves], -1))
        for p, q in zip(f.parameters(), g.parameters(), strict=True):
            assert torch.allclose(p.grad, q.grad, rtol=1e-12)
    assert f(a.to(memory_format=last), b).is_contiguous(memory_format=last)
    h = nt.Activation(unit, learnable=True, groups=4, dtype=torch.float64, layout="interleaved", dim=1)
    h.load_state_dict(f.state_dict())
    wide = torch.stack([t.repeat_interleave(2, 1) for t in (a, b)], 2).flatten(1, 2)
    assert torch.equal(h(wide)[:, ::2], y)
    assert "layout='interleaved'" in repr(h) and "groups=4" in repr(h) and "dim=1" in repr(h)


@pytest.mark.parametrize("unit", UNITS)
def test_operators_compilers_and_states(unit):
    f = made(unit, torch.float32, num_parameters=3)
    model = nn.Sequential(nn.Linear(4, 6), f, nn.Linear(3, 1))
    x = inputs(8, 4, dtype=torch.float32)
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend="aot_eager")
    compiled(x).sum().backward()
    got = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    model(x).sum().backward()
    assert all(torch.allclose(p, q.grad) for p, q in zip(got, model.parameters(), strict=True))
    values = torch.cat([v.detach() for v in f.params.values()]).requires_grad_()
    operands = [inputs(2, 3, 2, seed=s, dtype=torch.float32).requires_grad_() for s in (1, 2)]
    torch.library.opcheck(torch.ops.nonlin.learnable_gated.default, (*operands, values, unit, 1))
    for g in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(g(x), model(x))
    program = torch.export.export(model.eval(), (x,)).run_decompositions(nt.decompositions())
    assert not any("nonlin" in str(node.target) for node in program.graph.nodes)
    assert torch.allclose(program.module()(x), model(x), atol=1e-6)
    rows = torch.func.vmap(model)(x.reshape(4, 2, 4))
    assert torch.allclose(rows.reshape(8, 1), model(x), atol=1e-6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model[1](model[0](x)).dtype == torch.bfloat16
        assert model[1](model[0](x)[:, :3], x[:, :3]).dtype == torch.float32
    assert f.to("meta")(torch.empty(2, 6, device="meta")).shape == (2, 3)


def test_learns_init_and_monitor():
    torch.manual_seed(0)
    unit = nt.Activation(UNITS[0], learnable=True)
    model = nn.Sequential(nn.Linear(4, 16), unit, nn.Linear(8, 1))
    done = nt.init_(model, verbose=False)
    assert done.layers[0].activation == "a * sigmoid(beta * b); beta = 1(beta=1)"
    a, b = inputs(64, 8, seed=1, dtype=torch.float32), inputs(64, 8, seed=2, dtype=torch.float32)
    wanted = a * torch.sigmoid(2.5 * b)
    optimizer = torch.optim.Adam(unit.parameters(), 0.1)
    for _ in range(200):
        optimizer.zero_grad()
        (unit(a, b) - wanted).square().mean().backward()
        optimizer.step()
    assert unit.beta.item() == pytest.approx(2.5, abs=0.01)
    with nt.monitor(model, every=1) as monitor:
        model(inputs(16, 4, dtype=torch.float32)).sum().backward()
    assert list(monitor.layers) == ["1"]
    assert any(p is unit.beta for p in nt.parameter_groups(model)[1]["params"])


def test_threads_do_not_show():
    unit = nt.Activation(UNITS[1], learnable=True, num_parameters=2)
    a, b = (inputs(512, 2, 100, seed=s, dtype=torch.float32) for s in (1, 2))
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            unit.zero_grad()
            unit(a, b).sum().backward()
            results.append([p.grad.clone() for p in unit.parameters()])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(p, q) for p, q in zip(*results, strict=True))


def test_in_numpy():
    f = nonlin.Learnable(UNITS[0])
    a, b, grad = (inputs(4, 3, seed=s).numpy() for s in (1, 2, 3))
    unit = nt.Activation(UNITS[0], learnable=True, num_parameters=3, dtype=torch.float64)
    leaves = [torch.from_numpy(t).requires_grad_() for t in (a, b)]
    y = unit(*leaves)
    y.backward(torch.from_numpy(grad))
    assert f.forward(a, b, beta=[1, 1, 1]).tolist() == y.tolist()
    (da, db), by = f.backward(a, b, grad, beta=[1, 1, 1])
    assert [da.tolist(), db.tolist()] == [t.grad.tolist() for t in leaves]
    assert by["beta"].tolist() == unit.beta.grad.tolist()
    assert pickle.loads(pickle.dumps(f)).forward(a, b).tolist() == y.tolist()
    with pytest.raises(TypeError, match="takes 2 arrays, not 1"):
        f.forward(a)
    with pytest.raises(TypeError, match="backward of `elu` takes 2 arrays, not 3"):
        nonlin.Learnable("elu").backward(a, b, grad)


def test_errors():
    f = nt.Activation(UNITS[0], learnable=True, num_parameters=3)
    with pytest.raises(RuntimeError, match="have an even number"):
        f(torch.ones(2, 3))
    with pytest.raises(ValueError, match="2 channels, but there are 3 values"):
        f(torch.ones(2, 4))
    with pytest.raises(ValueError, match="multiple of 3 channels"):
        nt.Activation(UNITS[0], learnable=True, groups=3)(torch.ones(2, 8))
    with pytest.raises(TypeError, match="elu is elementwise: it takes one tensor"):
        nt.Activation("elu", learnable=True)(torch.ones(2), torch.ones(2))
    with pytest.raises(TypeError, match="elu is elementwise: it has no layout"):
        nt.Activation("elu", learnable=True, layout="halves")
    with pytest.raises(ValueError, match="`swiglu` has no parameters"):
        nt.Activation("swiglu", learnable=True)
    with pytest.raises(ValueError, match="layout"):
        nt.Activation(UNITS[0], learnable=True, layout="thirds")
