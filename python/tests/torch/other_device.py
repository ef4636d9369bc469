"""Tensors on a device that is not the CPU: run by test_decompositions.py in a process of its own, which this
device then belongs to.

The device is made in Python: its tensors have theirs on the CPU behind them. It has none of nonlin's kernels, so
that PyTorch runs what is registered for every device, and every operator of PyTorch's that this calls comes by
here.
"""

from functools import partial

import pytest
import torch
from torch.utils import backend_registration as registration
from torch.utils._pytree import tree_map

import nonlin
import nonlin.torch as nt


class Module(registration._DummyBackendModule):
    """What PyTorch asks of a device."""

    def get_amp_supported_dtype(self):
        return [torch.bfloat16]


registration._setup_privateuseone_for_python_backend("elsewhere", backend_module=Module())


#: By the storage of a tensor on the device, which copies that autograd makes share: that tensor, which is kept,
#: and the one on the CPU.
tensors = {}
seen = set()


def elsewhere(x):
    """A tensor on the device with these numbers."""
    made = torch._C._acc.create_empty_tensor(x.shape, x.dtype)
    tensors[made.untyped_storage()._cdata] = made, x.contiguous()
    return made


def here(x):
    """The numbers of a tensor on the device."""
    return tensors[x.untyped_storage()._cdata][1]


def run(operator, *args, **kwargs):
    """An operator of PyTorch's on what lies behind tensors."""
    if operator.namespace == "nonlin":
        raise NotImplementedError(f"{operator} is not registered for every device")
    seen.add(str(operator))

    def behind(value):
        if isinstance(value, torch.Tensor) and value.device.type != "cpu":
            return here(value)
        return torch.device("cpu") if isinstance(value, torch.device) else value

    if operator is torch.ops.aten._copy_from.default:
        behind(args[1]).copy_(behind(args[0]))
        return args[1]
    found = operator(*tree_map(behind, args), **tree_map(behind, kwargs))
    return tree_map(lambda t: elsewhere(t) if isinstance(t, torch.Tensor) else t, found)


every = torch.library.Library("_", "IMPL")
every.fallback(run, "PrivateUse1")


cast = torch.library.Library("_", "IMPL")
cast.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
own = torch.library.Library("aten", "IMPL")
# Those for which PyTorch has something that all devices share, but which would not find what lies behind.
for name in (
    "abs", "alias", "cat", "clone", "detach", "empty.memory_format", "expand", "floor", "full", "full_like", "ne.Scalar",
    "ones_like", "permute", "round", "select.int", "select_backward", "sign", "slice.Tensor", "slice_backward", "stack",
    "transpose.int", "unsqueeze", "view", "zeros_like", "_to_copy", "_unsafe_view", "unbind.int", "squeeze.dim", "zeros",
):  # fmt: skip
    packet, _, overload = name.partition(".")
    operator = getattr(getattr(torch.ops.aten, packet), overload or "default")
    own.impl(operator, partial(run, operator), "PrivateUse1")


def near(x, want, tolerance=1e-11):
    assert x.device.type == "elsewhere" and x.dtype == want.dtype
    torch.testing.assert_close(here(x), want.detach(), rtol=tolerance, atol=tolerance)


def pairs(*shape, dtype=torch.float64):
    """A tensor on the CPU, and the one elsewhere with its numbers."""
    x = torch.randn(shape, dtype=dtype) * 3
    return x.clone().requires_grad_(), elsewhere(x).requires_grad_()


NAMES = nonlin._nonlin.NAMES
ONE = [*NAMES["elementwise"], "x * tanh(alpha * x); alpha = 2", "snake", "lisht", "squareplus"]
TWO = [*NAMES["gated"], "a * sigmoid(2 * b)", "geglu_tanh"]


@pytest.mark.parametrize("name", ONE + TWO)
def test_gradients(name):
    f = nt.Activation(name)
    n = 2 if name in TWO else 1
    near_by, there = zip(*(pairs(5, 4) for _ in range(n)))
    y, want = f(*there), f(*near_by)
    near(y, want)
    slopes, wanted = (torch.autograd.grad(v.square().sum(), t, create_graph=True) for v, t in ((y, there), (want, near_by)))
    seconds, last = (
        torch.autograd.grad(sum(s.square().sum() for s in g), t) for g, t in ((slopes, there), (wanted, near_by))
    )
    for a, b in zip((*slopes, *seconds), (*wanted, *last)):
        near(a, b)


@pytest.mark.parametrize("layout", ["halves", "interleaved"])
@pytest.mark.parametrize("name", TWO)
def test_packed(name, layout):
    if layout == "interleaved" and name not in NAMES["gated"]:
        return  # Views of views: too much for this device.
    f = nt.Activation(name, layout=layout)
    x, there = pairs(3, 8)
    near(f(there), f(x))
    if layout == "halves":
        near(*(torch.autograd.grad(f(t).square().sum(), t)[0] for t in (there, x)))


def test_transforms():
    x, there = (t.detach() for t in pairs(6))
    near(torch.func.vmap(nt.gelu)(there), nt.gelu(x))
    slope = torch.func.grad(lambda t: nt.gelu(t).sum())
    near(slope(there), slope(x))
    # Of elements there are no views on this device.
    near(torch.func.vmap(torch.func.grad(nt.silu))(there), torch.func.vmap(torch.func.grad(nt.silu))(x))
    near(*(torch.func.jvp(nt.mish, (t,), (t,))[1] for t in (there, x)))


def test_types():
    x, there = pairs(40, dtype=torch.bfloat16)
    near(nt.gelu(there), nt.gelu(x), 2.0**-8)
    with pytest.raises(RuntimeError, match="one type, float32"):
        nt.gelu(elsewhere(torch.ones(3, dtype=torch.int32)))
    with pytest.raises(RuntimeError, match="`beta` of `softplus` is -1; it must be at least"):
        nt.softplus(there, beta=-1)


def test_autocast():
    x, there = pairs(4, 6, dtype=torch.float32)
    with torch.autocast("elsewhere", dtype=torch.bfloat16):
        assert nt.swiglu(there, layout="halves").dtype == torch.float32
        near(nt.gelu(there), nt.gelu(x), 1e-5)


@pytest.mark.parametrize("kind", ["elu", "snake", "pau", "pwlu"])
def test_learned(kind):
    cpu = nt.Activation(kind, learnable=True, dtype=torch.float64, num_parameters=4)
    there = nt.Activation(kind, learnable=True, dtype=torch.float64, num_parameters=4)
    for module in there.modules():
        for p, v in module._parameters.items():
            module._parameters[p] = elsewhere(v.detach().clone()).requires_grad_()
    x, x_there = pairs(5, 4)
    near(there(x_there), cpu(x), 1e-9)
    if kind in ("elu", "snake"):
        seconds = []
        for f, t in ((there, x_there), (cpu, x)):
            (slope,) = torch.autograd.grad(f(t).square().sum(), t, create_graph=True)
            seconds.append(torch.autograd.grad(slope.square().sum(), t)[0])
        near(*seconds, 1e-9)
        there(x_there).square().sum().backward()
        cpu(x).square().sum().backward()
        near(x_there.grad, x.grad, 1e-9)
        for a, b in zip(there.modules(), cpu.modules()):
            for p, v in a._parameters.items():
                near(v.grad, b._parameters[p].grad, 1e-9)


def test_mixed_devices():
    f = nt.Activation("elu", learnable=True)
    with pytest.raises(RuntimeError, match="the input is on elsewhere:0, the parameters are on cpu"):
        f(elsewhere(torch.ones(3)))


def test_what_ran():
    """Operators of PyTorch, on this device."""
    nt.gelu(pairs(3)[1])
    assert {"aten.exp.out", "aten.where.self"} <= seen
