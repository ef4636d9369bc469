"""Errors of activation functions in f32: nonlin and other libraries on the same inputs.

    python bench/accuracy/peers.py --nonlin target/release/nonlin -o bench/accuracy/record.json

`cargo xtask accuracy --peers` runs it in an environment of its own. The sample is every 4099th
f32 bit pattern that is finite. The reference is x87 long double arithmetic over formulas
without cancellation, and mpmath near the zeros of derivatives; mpmath evaluates the textbook
definitions at 2,000 points of the sample, and the two must agree to 1e-12. Neither shares code
with nonlin. Each library runs in a process of its own, on one thread.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import numpy as np

STRIDE = 4099
SEED = 20240601
CHECKED = 2000
AGREEMENT = 1e-12
SPECIAL = ["nan", "inf", "-inf", "0", "-0", "3.4028235e+38", "-3.4028235e+38"]
# A result at a special value is wrong beyond this error.
TOLERANCE = 16.0

FUNCTIONS = [
    "relu", "leaky_relu", "elu", "selu", "celu", "sigmoid", "log_sigmoid", "tanh", "softplus",
    "silu", "mish", "gelu", "gelu_tanh", "hard_sigmoid", "hard_swish",
]  # fmt: skip
# Where the derivative is a convention; these points are left out of it.
KINKS = {
    "relu": [0.0], "leaky_relu": [0.0], "selu": [0.0],
    "hard_sigmoid": [-3.0, 3.0], "hard_swish": [-3.0, 3.0],
}  # fmt: skip
# Zeros of derivatives between the kinks; mpmath is the reference around them.
ZEROS = {"silu": -1.2784645, "mish": -1.1924312, "gelu": -0.7517916, "gelu_tanh": -0.7524614}
SLOPE_ZEROS = {**ZEROS, "hard_swish": -1.5}
NEAR = 0.01
# Cancellation at such a zero: within this distance of it a slope counts as right, for every
# library alike, if it is off by no more than this absolute error. Those are recorded apart.
ABOUT, ABSOLUTE = 0.5, 2.0**-24

# The parameters, as f32 has them; what is not a parameter is exact.
LEAK = float(np.float32(0.01))
SELU = "1.0507009873554804934193349852946"
SELU_ALPHA = "1.6732632423543772848170429916717"


def sample():
    """The inputs: sample first, special values last."""
    x = np.arange(0, 2**32, STRIDE, dtype=np.uint64).astype(np.uint32).view(np.float32)
    return np.concatenate([x[np.isfinite(x)], np.array(SPECIAL, np.float32)])


# The reference.


def limits():
    """Values and derivatives at +inf and -inf."""
    inf = np.inf
    scale = float(SELU) * float(SELU_ALPHA)
    gate = (inf, 0.0), (1.0, 0.0)
    return {
        "relu": gate, "leaky_relu": ((inf, -inf), (1.0, LEAK)), "elu": ((inf, -1.0), (1.0, 0.0)),
        "selu": ((inf, -scale), (float(SELU), 0.0)), "celu": ((inf, -1.0), (1.0, 0.0)),
        "sigmoid": ((1.0, 0.0), (0.0, 0.0)), "log_sigmoid": ((0.0, -inf), (0.0, 1.0)),
        "tanh": ((1.0, -1.0), (0.0, 0.0)), "softplus": gate, "silu": gate, "mish": gate,
        "gelu": gate, "gelu_tanh": gate, "hard_sigmoid": ((1.0, 0.0), (0.0, 0.0)),
        "hard_swish": gate,
    }  # fmt: skip


def exact(name, x):
    """The function and its derivative at finite x, as long doubles."""
    from scipy.special import erfc, erfcx

    real = np.longdouble
    x = x.astype(real)
    one, two = real(1), real(2)
    left = x <= 0

    def sigmoid(x):
        return one / (one + np.exp(-x))

    def softplus(x):
        return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))

    def clipped(inside, below, above):
        return np.where(x <= -3, below, np.where(x >= 3, above, inside))

    if name == "relu":
        return np.where(left, 0, x), np.where(left, 0, one)
    if name == "leaky_relu":
        return np.where(left, real(LEAK) * x, x), np.where(left, real(LEAK), one)
    if name in ("elu", "celu", "selu"):
        low = np.minimum(x, 0)
        scale, alpha = (real(SELU), real(SELU_ALPHA)) if name == "selu" else (one, one)
        value = np.where(left, scale * alpha * np.expm1(low), scale * x)
        return value, np.where(left, scale * alpha * np.exp(low), scale)
    if name == "sigmoid":
        return sigmoid(x), sigmoid(x) * sigmoid(-x)
    if name == "log_sigmoid":
        return -softplus(-x), sigmoid(-x)
    if name == "softplus":
        return softplus(x), sigmoid(x)
    if name == "tanh":
        e = np.exp(-two * np.abs(x))
        return np.tanh(x), 4 * e / (one + e) ** 2
    if name == "silu":
        return x * sigmoid(x), sigmoid(x) * (one + x * sigmoid(-x))
    if name == "mish":
        e = np.exp(-np.abs(x))
        # tanh(softplus(x)) as a quotient, by e^x on the left and e^-x on the right.
        below = np.where(left, e * e + 2 * e + 2, one + 2 * e + 2 * e * e)
        gate = np.where(left, e * (e + 2), one + 2 * e) / below
        steep = np.where(left, 4 * e * (one + e), 4 * e * e * (one + e)) / below**2
        return x * gate, gate + x * steep
    if name == "gelu":
        root = real("0.70710678118654752440084436210485")
        density = real("0.39894228040143267793994605993438")
        bell = np.exp(-x * x / 2)
        z = (-x * root).astype(np.float64)
        near = np.maximum(z, 0)
        tail = erfcx(near).astype(real) / 2
        cdf = np.where(left, bell * tail, erfc(np.minimum(z, 0)).astype(real) / 2)
        slope = np.where(left, bell * (tail + density * x), cdf + density * x * bell)
        return x * cdf, slope
    if name == "gelu_tanh":
        twice = two * real("0.79788456080286535587989211986876")
        cubic = real("0.044715")
        s = sigmoid(twice * (x + cubic * x**3))
        t = sigmoid(-twice * (x + cubic * x**3))
        return x * s, s + x * s * t * twice * (one + 3 * cubic * x * x)
    if name == "hard_sigmoid":
        return clipped((x + 3) / 6, 0, one), clipped(one / 6, 0, 0)
    if name == "hard_swish":
        return clipped(x * (x + 3) / 6, 0, x), clipped((2 * x + 3) / 6, 0, one)
    raise KeyError(name)


def textbook(name, x):
    """The function and its derivative by their definitions, with mpmath."""
    from mpmath import mp, mpf

    x = mpf(float(x))
    if name in ("relu", "leaky_relu"):
        slope = mpf(0) if name == "relu" else mpf(LEAK)
        return (x, mpf(1)) if x > 0 else (slope * x, slope)
    if name in ("elu", "celu", "selu"):
        scale, alpha = (mpf(SELU), mpf(SELU_ALPHA)) if name == "selu" else (mpf(1), mpf(1))
        if x > 0:
            return scale * x, scale
        return scale * alpha * (mp.exp(x) - 1), scale * alpha * mp.exp(x)
    if name in ("hard_sigmoid", "hard_swish"):
        inside = -3 < x < 3
        gate = min(max(x / 6 + mpf(1) / 2, mpf(0)), mpf(1))
        steep = mpf(1) / 6 if inside else mpf(0)
        return (gate, steep) if name == "hard_sigmoid" else (x * gate, gate + x * steep)
    # Beyond this all is 0, 1 or x to hundreds of digits.
    y = min(max(x, mpf(-2000)), mpf(2000))
    e = mp.exp(y)
    s = e / (1 + e)
    if name == "sigmoid":
        return s, s / (1 + e)
    if name == "log_sigmoid":
        return x - y - mp.log(1 + 1 / e) if x < 0 else -mp.log(1 + 1 / e), 1 / (1 + e)
    if name == "softplus":
        return x - y + mp.log(1 + e) if x > 0 else mp.log(1 + e), s
    if name == "tanh":
        t = mp.tanh(y)
        return t, mp.sech(y) ** 2
    if name == "silu":
        return x * s, s + x * s / (1 + e)
    if name == "mish":
        t = mp.tanh(mp.log(1 + e))
        return x * t, t + x * mp.sech(mp.log(1 + e)) ** 2 * s
    y = min(max(x, mpf(-60)), mpf(60))
    if name == "gelu":
        cdf = mp.erfc(-y / mp.sqrt(2)) / 2
        return x * cdf, cdf + x * mp.exp(-y * y / 2) / mp.sqrt(2 * mp.pi)
    if name == "gelu_tanh":
        c, k = mp.sqrt(2 / mp.pi), mpf("0.044715")
        u = c * (y + k * y**3)
        gate = 1 / (1 + mp.exp(-2 * u))
        return x * gate, gate + x * mp.sech(u) ** 2 * c * (1 + 3 * k * y * y) / 2
    raise KeyError(name)


def reference(name, x):
    """Values and derivatives at the whole sample; mpmath has checked them."""
    from mpmath import mp

    finite = np.isfinite(x)
    out = []
    with np.errstate(all="ignore"):
        for values in exact(name, np.where(finite, x, 0).astype(np.float32)):
            values = np.array(np.broadcast_to(values, x.shape), np.longdouble)
            values[np.isnan(x)] = np.nan
            out.append(values)
    for values, (right, left) in zip(out, limits()[name]):
        values[x == np.inf], values[x == -np.inf] = right, left

    def both(points):
        def rounded(v):
            # Below the long doubles is 0.
            return np.longdouble(mp.nstr(v, 30) if abs(v) > mp.mpf("1e-4000") else 0)

        with mp.workdps(160):
            pairs = [textbook(name, v) for v in points]
            return [np.array([rounded(p[k]) for p in pairs]) for k in (0, 1)]

    if name in ZEROS:
        around = np.flatnonzero(np.abs(x - ZEROS[name]) <= NEAR)
        out[1][around] = both(x[around])[1]

    # Half of the points anywhere, half where functions are curved.
    draw = np.random.default_rng(SEED)
    curved = np.flatnonzero(finite & (np.abs(x) >= 2.0**-20) & (np.abs(x) <= 128))
    points = draw.choice(np.flatnonzero(finite), CHECKED // 2, replace=False)
    points = np.concatenate([points, draw.choice(curved, CHECKED // 2, replace=False)])
    apart = 0.0
    for values, right in zip(out, both(x[points])):
        # Far below the least f32 it does not matter.
        scale = np.maximum(np.abs(right), np.longdouble(1e-60))
        apart = max(apart, float(np.max(np.abs(values[points] - right) / scale)))
    assert apart <= AGREEMENT, f"{name}: the references differ by {apart} of the value"
    return out, apart


# Errors.


def ulps(got, right):
    """|got - right| in units of the last place of f32 at `right`."""
    _, exponent = np.frexp(right)
    unit = np.maximum(exponent - 1, -126) - 23
    with np.errstate(all="ignore"):
        apart = np.abs(got.astype(np.longdouble) - right)
        errors = np.ldexp(apart, -unit).astype(np.float64)
        greatest = np.longdouble(2) ** 128 - np.longdouble(2) ** 103
        over = np.abs(right) >= greatest
        same = np.isinf(got) & (np.sign(got) == np.sign(right))
    errors = np.where(over, np.where(same, 0.0, np.inf), errors)
    errors[~over & ~np.isfinite(got)] = np.inf
    errors[np.isnan(right)] = np.where(np.isnan(got[np.isnan(right)]), 0.0, np.inf)
    return errors


def number(v):
    v = float(v)
    return v if np.isfinite(v) else str(v)


def short(v):
    return str(np.float32(v)) if np.isfinite(v) else str(float(v))


def worst_of(errors, x, where):
    """The largest error, where it is, and among how many inputs."""
    if not where.any():
        return {"max": None, "at": None, "inputs": 0}
    at = np.flatnonzero(where)
    # Of several, the one nearest to 0.
    i = at[np.lexsort((np.abs(x[at]), -errors[at]))[0]]
    return {"max": number(errors[i]), "at": short(x[i]), "inputs": int(where.sum())}


def summary(name, k, x, got, right):
    """What was found of one direction."""
    errors = ulps(got, right)
    count = len(x) - len(SPECIAL)
    use = np.arange(len(x)) < count
    kink = np.zeros(len(x), bool)
    if k == 1:
        for at in KINKS.get(name, []):
            kink |= x == np.float32(at)
    use &= ~kink
    excused = np.zeros(len(x), bool)
    if k == 1 and name in SLOPE_ZEROS:
        with np.errstate(all="ignore"):
            close = np.abs(got.astype(np.longdouble) - right) <= ABSOLUTE
        excused = use & close & (np.abs(x - SLOPE_ZEROS[name]) <= ABOUT) & (errors > 0.5)
    raw = worst_of(errors, x, excused)
    errors[excused] = 0.0
    normal = use & (np.abs(right) >= np.float32(2.0**-126))
    tiny = use & ~normal
    curved = normal & (np.abs(x) >= 2.0**-20) & (np.abs(x) <= 8)

    special = []
    for i in np.flatnonzero(~use & ~kink):
        if errors[i] > TOLERANCE:
            special.append({"x": SPECIAL[i - count], "got": short(got[i]), "exact": short(right[i])})
    broken = use & ~np.isfinite(got) & (np.abs(right) < np.float32(3.4e38))
    return {
        "normal": worst_of(errors, x, normal),
        "curved": worst_of(errors, x, curved),
        "subnormal": worst_of(errors, x, tiny),
        "near_zero": raw,
        "over_1_ulp": float(np.mean(errors[use] > 1.0)),
        "not_finite": int(broken.sum()),
        "special": special,
    }


# The peers: each function maps f32 arrays to f32 arrays; None where there is no such function.


def torch_peer(x, write):
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(1)
    table = {
        "relu": F.relu, "leaky_relu": F.leaky_relu, "elu": F.elu, "selu": F.selu, "celu": F.celu,
        "sigmoid": torch.sigmoid, "log_sigmoid": F.logsigmoid, "tanh": torch.tanh,
        "softplus": F.softplus, "silu": F.silu, "mish": F.mish, "gelu": F.gelu,
        "gelu_tanh": lambda t: F.gelu(t, approximate="tanh"),
        "hard_sigmoid": F.hardsigmoid, "hard_swish": F.hardswish,
    }  # fmt: skip
    for name, f in table.items():
        t = torch.from_numpy(x.copy()).requires_grad_()
        y = f(t)
        write(name, 0, y.detach().numpy())
        (slope,) = torch.autograd.grad(y, t, torch.ones_like(y))
        write(name, 1, slope.numpy())


def jax_peer(x, write):
    import jax
    import jax.numpy as jnp

    table = {
        "relu": jax.nn.relu, "leaky_relu": jax.nn.leaky_relu, "elu": jax.nn.elu,
        "selu": jax.nn.selu, "celu": jax.nn.celu, "sigmoid": jax.nn.sigmoid,
        "log_sigmoid": jax.nn.log_sigmoid, "tanh": jnp.tanh, "softplus": jax.nn.softplus,
        "silu": jax.nn.silu, "mish": jax.nn.mish,
        "gelu": lambda t: jax.nn.gelu(t, approximate=False),
        "gelu_tanh": lambda t: jax.nn.gelu(t, approximate=True),
        "hard_sigmoid": jax.nn.hard_sigmoid, "hard_swish": jax.nn.hard_silu,
    }  # fmt: skip
    t = jnp.asarray(x)
    for name, f in table.items():
        write(name, 0, np.asarray(jax.jit(f)(t)))
        slope = jax.jit(lambda t, g, f=f: jax.vjp(f, t)[1](g)[0])
        write(name, 1, np.asarray(slope(t, jnp.ones_like(t))))


def onnxruntime_peer(x, write):
    import onnxruntime as ort
    from onnx import TensorProto, helper

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    sixth = {"alpha": 1 / 6}
    table = {
        "relu": [("Relu", {})], "leaky_relu": [("LeakyRelu", {})], "elu": [("Elu", {})],
        "selu": [("Selu", {})], "celu": [("Celu", {})], "sigmoid": [("Sigmoid", {})],
        "log_sigmoid": [("Sigmoid", {}), ("Log", {})], "tanh": [("Tanh", {})],
        "softplus": [("Softplus", {})], "silu": [("Sigmoid", {}), ("Mul", {})],
        "mish": [("Mish", {})], "gelu": [("Gelu", {})],
        "gelu_tanh": [("Gelu", {"approximate": "tanh"})], "hard_sigmoid": [("HardSigmoid", sixth)],
        "hard_swish": [("HardSwish", {})],
    }  # fmt: skip
    for name, operators in table.items():
        nodes, last = [], "x"
        for i, (operator, attributes) in enumerate(operators):
            inputs = [last, "x"] if operator == "Mul" else [last]
            last = "y" if i + 1 == len(operators) else f"t{i}"
            nodes.append(helper.make_node(operator, inputs, [last], **attributes))
        ports = [helper.make_tensor_value_info(p, TensorProto.FLOAT, ["n"]) for p in "xy"]
        graph = helper.make_graph(nodes, name, ports[:1], ports[1:])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
        session = ort.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        write(name, 0, session.run(None, {"x": x})[0])


def numpy_peer(x, write):
    from scipy.special import expit, log_expit, ndtr

    f = np.float32
    cubic = f(0.044715)
    root = f(np.sqrt(2 / np.pi))
    scale, alpha = f(float(SELU)), f(float(SELU_ALPHA))
    table = {
        "relu": lambda x: np.maximum(x, 0),
        "leaky_relu": lambda x: np.where(x > 0, x, f(0.01) * x),
        "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
        "selu": lambda x: scale * np.where(x > 0, x, alpha * np.expm1(x)),
        "celu": lambda x: np.maximum(x, 0) + np.minimum(0, np.expm1(x)),
        "sigmoid": expit,
        "log_sigmoid": log_expit,
        "tanh": np.tanh,
        "softplus": lambda x: np.logaddexp(x, f(0)),
        "silu": lambda x: x * expit(x),
        "mish": lambda x: x * np.tanh(np.logaddexp(x, f(0))),
        "gelu": lambda x: x * ndtr(x),
        "gelu_tanh": lambda x: f(0.5) * x * (f(1) + np.tanh(root * (x + cubic * x**3))),
        "hard_sigmoid": lambda x: np.clip(x + f(3), 0, f(6)) / f(6),
        "hard_swish": lambda x: x * np.clip(x + f(3), 0, f(6)) / f(6),
    }
    with np.errstate(all="ignore"):
        for name, function in table.items():
            write(name, 0, function(x))


PEERS = {
    "torch": ("PyTorch", torch_peer, ["torch"]),
    "jax": ("JAX", jax_peer, ["jax", "jaxlib"]),
    "onnxruntime": ("ONNX Runtime", onnxruntime_peer, ["onnxruntime", "onnx"]),
    "numpy": ("NumPy and SciPy", numpy_peer, ["numpy", "scipy"]),
}


def machine():
    """The processor, in words that do not name the machine."""
    model, flags = platform.machine(), []
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                model = value.strip()
            if key.strip() == "flags":
                known = ("sse4_2", "avx", "fma", "avx2", "avx512f", "avx512bw", "avx512dq", "avx512vl")
                flags = [flag for flag in known if flag in value.split()]
                break
    except OSError:
        pass
    return {"cpu": model, "instructions": flags, "system": platform.system(),
            "python": platform.python_version()}  # fmt: skip


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise RuntimeError(said)
    return done.stdout


def nonlin_columns(program, x_path, folder):
    """nonlin's results at its best level and with AVX2, and what it calls them."""
    probe = run([program, "verify", "relu", "--dtype", "f16", "--json"])
    best = json.loads(probe)[0]["level"]
    version = run([program, "--version"]).split()[-1]
    columns = []
    for level in dict.fromkeys([best, "avx2"]):
        key = f"nonlin-{level}"
        try:
            for name in FUNCTIONS:
                for k, flags in enumerate(([], ["--derivative"])):
                    out = folder / f"{key}.{name}.{k}.npy"
                    command = [program, "apply", name, x_path, "-o", out, "--level", level, *flags]
                    run([str(word) for word in command])
        except RuntimeError as e:
            print(f"nonlin at level {level} is left out: {e}")
            continue
        columns.append({"key": key, "name": f"nonlin, {level}", "versions": {"nonlin": version}})
    return columns


def candle_columns(program, x, folder):
    """Candle's results: a program reads and writes bare f32 numbers."""
    x.tofile(folder / "x.f32")
    version = run([str(program), str(folder / "x.f32"), str(folder)]).strip()
    for file in folder.glob("candle.*.f32"):
        np.save(file.with_suffix(".npy"), np.fromfile(file, np.float32))
    return [{"key": "candle", "name": "Candle", "versions": {"candle": version}}]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nonlin", default="target/release/nonlin", help="the command")
    parser.add_argument("--candle", help="the program in bench/accuracy/candle")
    parser.add_argument("--date", default=datetime.date.today().isoformat())
    parser.add_argument("-o", "--output", default="bench/accuracy/record.json")
    parser.add_argument("--peer", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()

    if args.peer:
        peer, inputs, folder = args.peer
        x = np.load(inputs)

        def write(name, k, values):
            values = np.asarray(values)
            assert values.dtype == np.float32 and values.shape == x.shape, (name, values.dtype)
            np.save(pathlib.Path(folder) / f"{peer}.{name}.{k}.npy", values)

        PEERS[peer][1](x, write)
        return

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        x = sample()
        np.save(folder / "x.npy", x)
        columns = nonlin_columns(args.nonlin, folder / "x.npy", folder)
        left_out = {}
        for peer, (title, _, packages) in PEERS.items():
            try:
                versions = {p: importlib.metadata.version(p) for p in packages}
                run([sys.executable, __file__, "--peer", peer, str(folder / "x.npy"), str(folder)])
            except (RuntimeError, importlib.metadata.PackageNotFoundError) as e:
                left_out[title] = str(e)
                print(f"{title} is left out: {e}")
                continue
            columns.append({"key": peer, "name": title, "versions": versions})
            print(f"{title}: done", flush=True)
        try:
            columns += candle_columns(args.candle, x, folder)
            print("Candle: done", flush=True)
        except (OSError, RuntimeError, TypeError) as e:
            left_out["Candle"] = str(e) if args.candle else "its program was not built"

        results, apart = [], {}
        for name in FUNCTIONS:
            right, apart[name] = reference(name, x)
            for k, what in enumerate(("f", "f'")):
                for column in columns:
                    file = folder / f"{column['key']}.{name}.{k}.npy"
                    if file.exists():
                        found = summary(name, k, x, np.load(file), right[k])
                        row = {"function": name, "what": what, "peer": column["key"]}
                        results.append(row | found)
            print(f"{name}: measured", flush=True)

    record = {
        "date": args.date,
        "machine": machine(),
        "stride": STRIDE,
        "inputs": len(x) - len(SPECIAL),
        "special": SPECIAL,
        "tolerance": TOLERANCE,
        "kinks": KINKS,
        "near_zero": {"zeros": SLOPE_ZEROS, "about": ABOUT, "absolute": ABSOLUTE},
        "checked": {"points": CHECKED, "seed": SEED, "bound": AGREEMENT, "apart": apart},
        "peers": columns,
        "left_out": left_out,
        "results": results,
    }
    path = pathlib.Path(args.output)
    path.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
