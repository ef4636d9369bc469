"""Functions in other languages: every export for PyTorch, JAX and ONNX runs, over the whole catalogue and
formulas of many shapes, and agrees with nonlin's kernels within what its text states."""

import os
import types

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.test_util
import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import nonlin

jax.config.update("jax_enable_x64", True)

FORMULAS = [
    "x * tanh(alpha * x); alpha = 1 in (0, 10)",
    "where(x > 0, x, alpha * (exp(x) - 1)) + beta * x; alpha = 0.5, beta = 0.1",
    "x / (1 + abs(x))",
    "x / sqrt(1 + alpha * x^2); alpha = 2 in [0.1, 4]",
    "(sqrt(x^2 + 1) - 1) / 2 - x",
    "x * atan(x)",
    "ln(cosh(x / 3))",
    "x * exp(-x^2)",
    "sin(x) * exp(-abs(x))",
    "x * cos(x) + erf(x)",
    "sinh(x) / cosh(x) - x^3 / 3",
    "min(max(alpha * x, -1), 1); alpha = 0.25",
    "where(x >= 1, ln(x), x - 1)",
    "round(x) - floor(x / 2) + sign(x)",
    "(1 + max(x, 0))^k; k = 0.3 in [0, 2]",
    "(x^3 + lambda * x) / (1 + x^2); lambda = 2",
    "log1mexp(-1 - abs(x))",
    "1 if x > 0 else 0",
    "3",
    "a * tanh(b)",
    "a * sigmoid(k * b); k = 2",
    "max(a, b) + min(a * b, 1)",
    "a * exp(-b^2)",
    "where(a > b, a, tanh(b))",
]

# What the texts state: relative to the result, and where that passes through 0.
FLOAT64 = (1e-12, 1e-15)
FLOAT32 = (1e-5, 1e-6)


def cases():
    """The functions with kernels, and formulas; whether each has two operands."""
    for name in nonlin._nonlin.NAMES["elementwise"]:
        yield name, False
    for name in nonlin._nonlin.NAMES["gated"]:
        yield name, True
    for text in FORMULAS:
        yield text, text.startswith(("a ", "max(a", "where(a"))


CASES = list(cases())
every = pytest.mark.parametrize("text, gated", CASES, ids=[text for text, _ in CASES])
NAMED = [(n, nonlin.get(n).nin == 2) for n in nonlin._nonlin.NAMES["formula"]]
whole = pytest.mark.parametrize("text, gated", CASES + NAMED, ids=[t for t, _ in CASES + NAMED])


def inputs(single):
    """Numbers of every exponent and far out, special ones, and a second operand for each."""
    rng = np.random.default_rng(0)
    far = [1e20, 1e30, 1e37] if single else [1e30, 1e100, 1e160, 1e300, 1e307]
    least = [1e-30] if single else [1e-300]
    a = np.concatenate(
        [
            [0.0, np.inf, np.nan, 0.5, 1, 2, 3, 4, 6, *far, *least],
            rng.uniform(1, 2, 400) * 2.0 ** rng.integers(-20, 12, 400),
            rng.uniform(0, 8, 300),
        ]
    )
    a = np.concatenate([a, -a]).astype(np.float32 if single else np.float64)
    return a, a[(np.arange(a.size) * 7 + 3) % a.size]


def expected(text, gated, a, b):
    """Value and derivatives of the kernels, in float64."""
    f = nonlin.get(text)
    a, b = a.astype(np.float64), b.astype(np.float64)
    if gated:
        return [f(a, b), *nonlin.vjp(f, a, b, np.ones_like(a))]
    return [f(a), nonlin.derivative(f)(a)]


def compare(text, gated, single, results):
    """Raises unless all results, value and derivatives, are as good as stated."""
    a, b = inputs(single)
    relative, absolute = FLOAT32 if single else FLOAT64
    with np.errstate(all="ignore"):
        wants = expected(text, gated, a, b)
        # Results a rounding of the input away, and a step away, tell corners and zeros.
        a, b = a.astype(np.float64), b.astype(np.float64)
        eps = 4 * np.finfo(np.float32 if single else np.float64).eps
        moved = [(a * (1 - eps), b), (a * (1 + eps), b), (a, b * (1 - eps)), (a, b * (1 + eps))]
        beside = [expected(text, gated, *at) for at in moved]
        step = 1 / 64
        ends = [
            (expected(text, gated, a - da, b - db), expected(text, gated, a + da, b + db))
            for da, db in ((step, 0), (0, step))
        ]
        assert len(wants) == len(results)
        for i, (y, want) in enumerate(zip(results, wants)):
            y = np.asarray(y)
            assert y.dtype == (np.float32 if single else np.float64) and y.shape == a.shape
            y = y.astype(np.float64)
            limit = 3.4e38 if single else np.inf
            want = np.where(np.abs(want) > limit, np.copysign(np.inf, want), want)
            sizes = np.maximum(1, np.abs(a)), np.maximum(1, np.abs(b)) if gated else 1.0
            size = np.maximum(*sizes) if gated else 1.0
            good = (y == want) | (np.abs(y - want) <= relative * np.abs(want))
            good |= np.isnan(y) & np.isnan(want)
            good |= np.abs(y - want) <= (1e-37 if single else 1e-300) * sizes[0] * sizes[1]
            good |= (np.abs(a) > 1e50) & (np.abs(y - want) <= 1e-150)
            zero = np.zeros_like(good)
            for left, right in ends:
                zero |= left[i] * right[i] <= 0
            # In the derivative of a formula terms may cancel anywhere; a sine is as good as its argument.
            recorded = nonlin.get(text) if isinstance(nonlin.get(text), nonlin.Function) else None
            zero |= (recorded is not None) & (i > 0)
            waves = any(word in text for word in ("sin", "cos", "snake"))
            good |= waves & (np.abs(y - want) <= (1e-4 if single else 2e-13) * np.abs(a))
            good |= zero & (np.abs(y - want) <= absolute * size)
            for other in beside:
                good |= np.abs(y - other[i]) <= relative * np.abs(other[i])
            # Where the kernels have no number, or infinite parts of a formula meet.
            good |= np.isnan(want) & (~np.isnan(a) | (gated & (i > 0)))
            good |= np.isnan(y) & (np.isnan(a) | np.isnan(b)) & gated & (i > 0)
            infinite = np.isinf(a) | (np.isinf(b) & gated)
            good |= np.isnan(y) & infinite & ((recorded is not None) | (gated & (i > 0)))
            bad = np.flatnonzero(~good)
            at = [(a[k].item(), b[k].item(), y[k].item(), want[k].item()) for k in bad[:3]]
            assert not bad.size, f"{text}: result {i} differs at {bad.size} inputs: {at}"


def module(text, target):
    """What the exported text defines."""
    made = types.ModuleType("exported")
    exec(compile(nonlin.export(text, target, name="f"), "exported.py", "exec"), made.__dict__)
    return made


@whole
@pytest.mark.parametrize("single", [False, True], ids=["float64", "float32"])
def test_torch(text, gated, single):
    operands = [torch.tensor(v, requires_grad=True) for v in inputs(single)[: 1 + gated]]
    y = module(text, "torch").f(*operands)
    y.backward(torch.ones_like(y))
    compare(text, gated, single, [y.detach(), *(x.grad for x in operands)])


@every
def test_torch_derivatives(text, gated):
    """Derivatives of derivatives, by parameters, batched; and none is NaN far out."""
    made = module(text, "torch")
    params = list(made.F().__dict__.keys() - torch.nn.Module().__dict__.keys())
    params = [p for p in params if not p.startswith("_")]
    values = [torch.tensor(float(getattr(made.F(), p)), dtype=torch.float64) for p in params]
    x = torch.tensor([-2.3, -0.7, 0.4, 1.9], dtype=torch.float64)
    operands = [x, torch.tensor([0.3, -1.2, 2.1, -0.4], dtype=torch.float64)][: 1 + gated]
    operands = [v.requires_grad_() for v in operands + values]

    def f(*given):
        n = 1 + gated
        return made.f(*given[:n], **dict(zip(params, given[n:])))

    assert torch.autograd.gradcheck(f, operands, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(f, operands, atol=1e-4)
    # The derivative of log1mexp has an exponential below the line, whose own derivative overflows.
    if "log1mexp" in text:
        return
    far = torch.tensor([-1000.0, 1000.0, 1e30], dtype=torch.float64, requires_grad=True)
    given = [far, torch.ones(3, dtype=torch.float64, requires_grad=True)][: 1 + gated]
    slope = torch.autograd.grad(made.f(*given).sum(), given, create_graph=True)
    total = sum(s.sum() for s in slope)
    if total.requires_grad:
        second = torch.autograd.grad(total, given, allow_unused=True)
        assert not any(s is not None and s.isnan().any() for s in second), second


def test_torch_constant_slopes():
    """The slope of `a` in `a + b` is a number, which all inputs have."""
    a, b = (torch.tensor([0.5, 2.0], requires_grad=True) for _ in range(2))
    module("2 * a + b", "torch").f(a, b).sum().backward()
    assert a.grad.tolist() == [2, 2] and b.grad.tolist() == [1, 1]


SMOOTH = ["gelu", "gelu_tanh", "mish", "silu", "tanh", "x * tanh(alpha * x); alpha = 2", "x^3 * exp(-x^2)"]


@pytest.mark.parametrize("text", SMOOTH)
def test_second_derivatives_at_0(text):
    """Where a factor passes through 0 rather than vanishes, what it is multiplied by counts."""
    want = nonlin.derivative(text, order=2)(0.0)
    x = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(module(text, "torch").f(x), x, create_graph=True)
    (second,) = torch.autograd.grad(slope, x)
    np.testing.assert_allclose(second.item(), want, rtol=1e-12, atol=1e-15)
    second = jax.grad(jax.grad(module(text, "jax").f))(0.0)
    np.testing.assert_allclose(second, want, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("text", ["gelu", "silu", "mish", "celu"])
def test_torch_half_types(text, dtype):
    """They are computed in float32, and rounded once."""
    x = torch.linspace(-4, 4, 101).to(dtype).requires_grad_()
    y = module(text, "torch").f(x)
    y.backward(torch.ones_like(y))
    wide = x.detach().double().numpy()
    with np.errstate(all="ignore"):
        wants = [nonlin.get(text)(wide), nonlin.derivative(text)(wide)]
    for got, want in zip((y.detach(), x.grad), wants):
        assert got.dtype == dtype
        want = torch.from_numpy(want)
        unit = torch.finfo(dtype).eps
        assert ((got.double() - want).abs() <= 0.501 * unit * want.abs() + 1e-5).all()


def test_torch_modules():
    made = module("elu", "torch")
    assert repr(made.F(alpha=0.5)) == "F(alpha=0.5)"
    x = torch.tensor([[-1.0, 2.0]])
    torch.testing.assert_close(made.F(0.5)(x), torch.nn.functional.elu(x, 0.5))
    # Parameters may be learned, for each channel, and the module compiled.
    alpha = torch.nn.Parameter(torch.tensor([0.5, 2.0]))
    made.F(alpha)(torch.tensor([[-1.0, -2.0], [-3.0, 4.0]])).sum().backward()
    want = [np.expm1(-1) + np.expm1(-3), np.expm1(-2)]
    np.testing.assert_allclose(alpha.grad, want, rtol=1e-6)
    compiled = torch.compile(made.F(0.5), backend="aot_eager", fullgraph=True)
    x = torch.randn(4, 3, requires_grad=True)
    slopes = [torch.autograd.grad(f(x).sum(), x)[0] for f in (compiled, made.F(0.5))]
    torch.testing.assert_close(*slopes)
    # Integers are numbers.
    assert made.f(torch.tensor([2])).dtype == torch.float32


def run_jax(text, gated, single):
    operands = inputs(single)[: 1 + gated]
    y, back = jax.vjp(jax.jit(module(text, "jax").f), *operands)
    compare(text, gated, single, [y, *back(np.ones_like(y))])


@whole
def test_jax(text, gated):
    run_jax(text, gated, False)


@every
def test_jax_float32(text, gated):
    run_jax(text, gated, True)


@every
def test_jax_derivatives(text, gated):
    """Of both orders; and the second one is not NaN far out."""
    f = module(text, "jax").f
    x, b = np.array([-2.3, -0.7, 0.4, 1.9]), np.array([0.3, -1.2, 2.1, -0.4])
    given = (x, b) if gated else (x,)
    jax.test_util.check_grads(f, given, order=2, modes=["rev"], atol=1e-5, rtol=1e-5)
    # As for PyTorch.
    if not gated and "log1mexp" not in text:
        far = np.array([-1000.0, 1000.0, 1e30])
        assert not np.isnan(jax.vmap(jax.grad(jax.grad(f)))(far)).any()


def test_jax_constant_slopes():
    a = np.array([0.5, 2.0])
    slopes = jax.grad(lambda a, b: module("2 * a + b", "jax").f(a, b).sum(), (0, 1))(a, a)
    assert [s.tolist() for s in slopes] == [[2, 2], [1, 1]]


def test_jax_parameters():
    f = module("elu", "jax").f
    alpha = np.array([0.5, 2.0])
    x = np.array([[-1.0, -2.0], [-3.0, 4.0]])
    slope = jax.grad(lambda alpha: f(x, alpha).sum())(alpha)
    np.testing.assert_allclose(slope, [np.expm1(-1) + np.expm1(-3), np.expm1(-2)], rtol=1e-12)
    half = f(jax.numpy.asarray([-1.0], jax.numpy.bfloat16))
    assert half.dtype == jax.numpy.bfloat16


@whole
def test_onnx(text, gated):
    model = onnx.load_model_from_string(nonlin.export(text, "onnx"))
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    operands = inputs(True)[: 1 + gated]
    names = ["a", "b"] if gated else ["x"]
    compare(text, gated, True, session.run(None, dict(zip(names, operands))))


def test_onnx_parameters():
    model = nonlin.export(nonlin.Elu(alpha=0.5), "onnx")
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    x = np.array([-1.0, 1.0], np.float32)
    y, slope = session.run(["y", "dy_dx"], {"x": x})
    np.testing.assert_allclose(y, nonlin.elu(x, alpha=0.5), rtol=1e-6)
    np.testing.assert_allclose(slope, nonlin.derivative(nonlin.elu)(x, alpha=0.5), rtol=1e-6)
    (y,) = session.run(["y"], {"x": x, "alpha": np.array(2, np.float32)})
    np.testing.assert_allclose(y, nonlin.elu(x, alpha=2), rtol=1e-6)


def test_what_is_exported():
    text = nonlin.export("gelu", "c")
    assert "double gelu(double x)" in text and "within 1e-12" in text
    assert nonlin.export(nonlin.gelu, "c") == text
    f = nonlin.Function("x * tanh(alpha * x); alpha = 1 in (0, 10)")
    assert f.export("c") == nonlin.export(f, "c")
    assert "double activation(double x, double alpha)" in f.export("c")
    assert "double gate(double x, double alpha)" in f.export("c", name="gate")
    assert "#define ACTIVATION_ALPHA 2.0" in f.bind(alpha=2).export("c")
    assert isinstance(nonlin.export("swiglu", "onnx"), bytes)
    with pytest.raises(ValueError, match="did you mean `c`"):
        f.export("d")
    with pytest.raises(TypeError, match="not of its derivative"):
        nonlin.export(nonlin.derivative(nonlin.gelu), "c")
    with pytest.raises(TypeError, match="works on rows"):
        nonlin.export("softmax", "c")
    with pytest.raises(TypeError, match="is no function of nonlin"):
        nonlin.export(np.sin, "c")
