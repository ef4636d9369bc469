"""Times activation functions of Python's libraries on demand.

    python bench/speed/rivals.py LIBRARY FOLDER THREADS

obeys lines on standard input; `xtask/src/peers/rival.rs` tells the lines and what they are
answered with. `FOLDER` holds the inputs. `rivals.py reference FOLDER` writes the exact results
there, and `rivals.py machine` prints what it ran on. `cargo xtask bench-peers` runs all of them.
"""

import datetime
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import sys
import time
import warnings

THREADS = sys.argv[3] if len(sys.argv) > 3 else "1"
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = THREADS
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_ENABLE_X64"] = "1"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np

ROW = 1024
GATED = {"glu", "swiglu", "geglu"}
SELU, SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717


class Absent(Exception):
    """The library has no such function for this type."""


def read(folder, name, dtype, n):
    """n inputs; they are numbers of the type, those of bf16 as f32."""
    base = np.fromfile(folder / f"{name}.{dtype}", np.float64)
    return np.resize(base.astype(np.float64 if dtype == "f64" else np.float32), n)


class Torch:
    """Eager calls as users write them; gradients by the operators that autograd calls."""

    packages = ["torch"]

    def __init__(self):
        import torch

        self.torch = torch
        torch.set_num_threads(int(THREADS))
        self.types = {"f32": torch.float32, "f64": torch.float64, "bf16": torch.bfloat16}
        self.compiled = {}

    def array(self, values, dtype):
        # Of torch's own allocator, as a tensor in a model is.
        return self.torch.tensor(values, dtype=self.types[dtype])

    def numbers(self, y, most):
        return y.reshape(-1)[:most].double().numpy()

    def around(self):
        return self.torch.inference_mode()

    def forward(self, function):
        torch, F = self.torch, self.torch.nn.functional
        return {
            "relu": F.relu, "leaky_relu": F.leaky_relu, "elu": F.elu, "selu": F.selu,
            "celu": F.celu, "sigmoid": torch.sigmoid, "log_sigmoid": F.logsigmoid,
            "tanh": torch.tanh, "softplus": F.softplus, "silu": F.silu, "mish": F.mish,
            "gelu": F.gelu, "gelu_tanh": lambda t: F.gelu(t, approximate="tanh"),
            "hard_sigmoid": F.hardsigmoid, "hard_swish": F.hardswish,
            "softmax": lambda t: torch.softmax(t, -1),
            "log_softmax": lambda t: torch.log_softmax(t, -1),
            "swiglu": lambda a, b: F.silu(a) * b, "geglu": lambda a, b: F.gelu(a) * b,
        }.get(function)  # fmt: skip

    def own(self, function):
        """The function with a code object of its own, by which compiled code is looked up."""
        f = self.forward(function)

        def call(*operands):
            return f(*operands)

        call.__code__ = call.__code__.replace(co_name=function)
        return call

    def backward(self, function, x, g):
        a = self.torch.ops.aten
        if function == "log_sigmoid":
            _, buffer = a.log_sigmoid_forward(x)
            return lambda: a.log_sigmoid_backward(g, x, buffer)
        if function == "prelu":
            weight = self.torch.full((1,), 0.25, dtype=x.dtype)
            return lambda: a._prelu_kernel_backward(g, x, weight)[0]
        return {
            "relu": lambda: a.threshold_backward(g, x, 0),
            "leaky_relu": lambda: a.leaky_relu_backward(g, x, 0.01, False),
            "elu": lambda: a.elu_backward(g, 1.0, 1.0, 1.0, False, x),
            "celu": lambda: a.elu_backward(g, 1.0, 1.0, 1.0, False, x),
            "selu": lambda: a.elu_backward(g, SELU_ALPHA, SELU, 1.0, False, x),
            "softplus": lambda: a.softplus_backward(g, x, 1.0, 20.0),
            "silu": lambda: a.silu_backward(g, x),
            "mish": lambda: a.mish_backward(g, x),
            "gelu": lambda: a.gelu_backward(g, x),
            "gelu_tanh": lambda: a.gelu_backward(g, x, approximate="tanh"),
            "hard_sigmoid": lambda: a.hardsigmoid_backward(g, x),
            "hard_swish": lambda: a.hardswish_backward(g, x),
        }.get(function)  # fmt: skip

    def from_output(self, function, x, g):
        a = self.torch.ops.aten
        forward = self.forward(function)
        if forward is None or function in GATED:
            return None
        y = forward(x)
        return {
            "relu": lambda: a.threshold_backward(g, y, 0),
            "leaky_relu": lambda: a.leaky_relu_backward(g, y, 0.01, True),
            "elu": lambda: a.elu_backward(g, 1.0, 1.0, 1.0, True, y),
            "celu": lambda: a.elu_backward(g, 1.0, 1.0, 1.0, True, y),
            "selu": lambda: a.elu_backward(g, SELU_ALPHA, SELU, 1.0, True, y),
            "sigmoid": lambda: a.sigmoid_backward(g, y),
            "tanh": lambda: a.tanh_backward(g, y),
            "softmax": lambda: a._softmax_backward_data(g, y, -1, x.dtype),
            "log_softmax": lambda: a._log_softmax_backward_data(g, y, -1, x.dtype),
        }.get(function)

    def call(self, who, what, function, dtype, x, g):
        torch = self.torch
        if what == "yardstick" and who == "torch":
            y = torch.empty_like(x)
            return lambda: y.copy_(x)
        if who == "torch_compile":
            if what != "forward" or dtype != "f32" or self.forward(function) is None:
                return None
            if function not in self.compiled:
                # Of any length: one compilation for all.
                self.compiled[function] = torch.compile(self.own(function), dynamic=True)
            f = self.compiled[function]
            return (lambda: f(x, g)) if function in GATED else (lambda: f(x))
        if what == "backward":
            return self.backward(function, x, g)
        if what == "from_output":
            return self.from_output(function, x, g)
        if what == "strided":
            x = x[::2]
        if function == "prelu":
            weight = torch.full((1,), 0.25, dtype=x.dtype)
            return lambda: torch.nn.functional.prelu(x, weight)
        if function == "glu":
            # It takes both halves in one tensor.
            both = torch.stack([x, g])
            return lambda: torch.nn.functional.glu(both, 0)
        f = self.forward(function)
        if f is None:
            return None
        return (lambda: f(x, g)) if function in GATED else (lambda: f(x))


class Jax:
    """Calls of jitted functions, each waited for."""

    packages = ["jax", "jaxlib"]

    def __init__(self):
        import contextlib

        import jax
        import jax.numpy as jnp

        # Without a thread in between, which only costs where each result is waited for.
        jax.config.update("jax_cpu_enable_async_dispatch", False)
        self.jax, self.jnp, self.around = jax, jnp, contextlib.nullcontext
        self.types = {"f32": jnp.float32, "f64": jnp.float64, "bf16": jnp.bfloat16}

    def array(self, values, dtype):
        return self.jnp.asarray(values).astype(self.types[dtype]).block_until_ready()

    def numbers(self, y, most):
        return np.asarray(y.reshape(-1)[:most].astype(self.jnp.float64))

    def forward(self, function):
        jax, jnp, nn = self.jax, self.jnp, self.jax.nn
        return {
            "relu": nn.relu, "leaky_relu": nn.leaky_relu, "elu": nn.elu, "selu": nn.selu,
            "celu": nn.celu, "sigmoid": nn.sigmoid, "log_sigmoid": nn.log_sigmoid,
            "tanh": jnp.tanh, "softplus": nn.softplus, "silu": nn.silu, "mish": nn.mish,
            "gelu": lambda t: nn.gelu(t, approximate=False),
            "gelu_tanh": lambda t: nn.gelu(t, approximate=True),
            "hard_sigmoid": nn.hard_sigmoid, "hard_swish": nn.hard_silu,
            "prelu": lambda t: jnp.where(t > 0, t, jnp.asarray(0.25, t.dtype) * t),
            "softmax": lambda t: nn.softmax(t, -1), "log_softmax": lambda t: nn.log_softmax(t, -1),
            "glu": lambda a, b: a * nn.sigmoid(b), "swiglu": lambda a, b: nn.silu(a) * b,
            "geglu": lambda a, b: nn.gelu(a, approximate=False) * b,
        }.get(function)  # fmt: skip

    def call(self, who, what, function, dtype, x, g):
        jax = self.jax
        f = self.forward(function)
        if f is None or what not in ("forward", "backward"):
            return None
        if what == "backward":
            if function in GATED or function.endswith("softmax"):
                return None
            slope = jax.jit(lambda t, g: jax.vjp(f, t)[1](g)[0])
            return lambda: slope(x, g).block_until_ready()
        f = jax.jit(f)
        if function in GATED:
            return lambda: f(x, g).block_until_ready()
        return lambda: f(x).block_until_ready()


class OnnxRuntime:
    """A session of one function, its input and output bound to buffers."""

    packages = ["onnxruntime", "onnx"]

    def __init__(self):
        import contextlib

        import onnxruntime

        self.ort, self.around = onnxruntime, contextlib.nullcontext

    def array(self, values, dtype):
        if dtype == "bf16":
            raise Absent
        return values.astype({"f32": np.float32, "f64": np.float64}[dtype])

    def numbers(self, y, most):
        return y.numpy().reshape(-1)[:most].astype(np.float64)

    def call(self, who, what, function, dtype, x, g):
        from onnx import TensorProto, helper, numpy_helper

        sixth = {"alpha": 1 / 6}
        nodes = {
            "relu": [("Relu", "x", {})], "leaky_relu": [("LeakyRelu", "x", {})],
            "elu": [("Elu", "x", {})], "selu": [("Selu", "x", {})], "celu": [("Celu", "x", {})],
            "prelu": [("PRelu", "xw", {})], "sigmoid": [("Sigmoid", "x", {})],
            "log_sigmoid": [("Sigmoid", "x", {}), ("Log", "0", {})], "tanh": [("Tanh", "x", {})],
            "softplus": [("Softplus", "x", {})], "silu": [("Sigmoid", "x", {}), ("Mul", "0x", {})],
            "mish": [("Mish", "x", {})], "gelu": [("Gelu", "x", {})],
            "gelu_tanh": [("Gelu", "x", {"approximate": "tanh"})],
            "hard_sigmoid": [("HardSigmoid", "x", sixth)], "hard_swish": [("HardSwish", "x", {})],
            "softmax": [("Softmax", "x", {"axis": -1})],
            "log_softmax": [("LogSoftmax", "x", {"axis": -1})],
            "glu": [("Sigmoid", "g", {}), ("Mul", "0x", {})],
            "swiglu": [("Sigmoid", "x", {}), ("Mul", "0x", {}), ("Mul", "1g", {})],
            "geglu": [("Gelu", "x", {}), ("Mul", "0g", {})],
        }.get(function)  # fmt: skip
        if nodes is None or what != "forward":
            return None
        kind = TensorProto.FLOAT if dtype == "f32" else TensorProto.DOUBLE
        last = len(nodes) - 1
        graph = [
            helper.make_node(op, list(ins), ["y" if i == last else str(i)], **attributes)
            for i, (op, ins, attributes) in enumerate(nodes)
        ]
        feeds = {"x": x, "g": g} if function in GATED else {"x": x}
        ports = [helper.make_tensor_value_info(p, kind, x.shape) for p in [*feeds, "y"]]
        weight = numpy_helper.from_array(np.array([0.25], x.dtype), "w")
        graph = helper.make_graph(
            graph, function, ports[:-1], ports[-1:], [weight] if function == "prelu" else []
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
        options = self.ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = int(THREADS), 1
        options.log_severity_level = 4
        # Threads that spin on would disturb whoever is measured next.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = self.ort.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as e:
            if "NOT_IMPLEMENTED" in str(e) or "INVALID_GRAPH" in str(e):
                raise Absent from e
            raise
        y, binding = np.empty_like(x), session.io_binding()
        keep = {name: self.ort.OrtValue.ortvalue_from_numpy(v) for name, v in feeds.items()}
        for name, value in keep.items():
            binding.bind_ortvalue_input(name, value)
        out = self.ort.OrtValue.ortvalue_from_numpy(y)
        binding.bind_ortvalue_output("y", out)

        def run():
            session.run_with_iobinding(binding)
            return out

        return run


class Numpy:
    """NumPy's and SciPy's functions, with an output where one call does it all."""

    packages = ["numpy", "scipy"]

    def __init__(self):
        self.around = lambda: np.errstate(all="ignore")

    def array(self, values, dtype):
        if dtype == "bf16":
            raise Absent
        return values.astype({"f32": np.float32, "f64": np.float64}[dtype])

    def numbers(self, y, most):
        return y.reshape(-1)[:most].astype(np.float64)

    def call(self, who, what, function, dtype, x, g):
        from scipy import special

        t, y = x.dtype.type, np.empty_like(x)
        if what == "yardstick":

            def copy():
                np.copyto(y, x)
                return y

            return copy
        if what == "strided":
            x, y = x[::2], y[: len(x[::2])]
        elif what != "forward":
            return None
        zero, one, three, six = t(0), t(1), t(3), t(6)
        expit, scale, alpha = special.expit, t(SELU), t(SELU_ALPHA)
        root, cubic = t(np.sqrt(2 / np.pi)), t(0.044715)

        def elu():
            return np.where(x > 0, x, np.expm1(np.minimum(x, zero)))

        def gate():
            return np.clip(x + three, zero, six) / six

        return {
            "relu": lambda: np.maximum(x, zero, out=y),
            "leaky_relu": lambda: np.where(x > 0, x, t(0.01) * x),
            "prelu": lambda: np.where(x > 0, x, t(0.25) * x),
            "elu": elu,
            "celu": elu,
            "selu": lambda: scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, zero))),
            "sigmoid": lambda: expit(x, out=y),
            "log_sigmoid": lambda: special.log_expit(x, out=y),
            "tanh": lambda: np.tanh(x, out=y),
            "softplus": lambda: np.logaddexp(x, zero, out=y),
            "silu": lambda: np.multiply(x, expit(x), out=y),
            "mish": lambda: np.multiply(x, np.tanh(np.logaddexp(x, zero)), out=y),
            "gelu": lambda: np.multiply(x, special.ndtr(x), out=y),
            "gelu_tanh": lambda: t(0.5) * x * (one + np.tanh(root * (x + cubic * (x * x * x)))),
            "hard_sigmoid": gate,
            "hard_swish": lambda: x * gate(),
            "softmax": lambda: special.softmax(x, axis=-1),
            "log_softmax": lambda: special.log_softmax(x, axis=-1),
            "glu": lambda: np.multiply(x, expit(g), out=y),
            "swiglu": lambda: x * expit(x) * g,
            "geglu": lambda: x * special.ndtr(x) * g,
        }.get(function)


LIBRARIES = {"torch": Torch, "jax": Jax, "onnxruntime": OnnxRuntime, "numpy": Numpy}


class Case:
    """A call, its last result, and how often it runs in a slice."""

    def __init__(self, call, slice_ns):
        self.call, self.calls = call, 1
        # Until the pages are there that results go to in turns; if calls are long, once will do.
        start = time.perf_counter()
        for _ in range(4):
            self.y = None
            self.y = call()
            if time.perf_counter() - start > 0.3:
                break
        # The second estimate is of warm calls.
        for _ in range(2):
            self.calls = max(1, min(1_000_000, int(float(slice_ns) / self.time())))
            if self.calls == 1:
                break

    def time(self):
        # The last result is given back first, as where a result is used and dropped.
        self.y = None
        f, calls = self.call, self.calls
        # Others have had the caches; a slice of many calls is not to pay for that.
        for _ in range(calls // 4):
            f()
        start = time.perf_counter_ns()
        for _ in range(calls - 1):
            f()
        self.y = f()
        return (time.perf_counter_ns() - start) / calls


class Server:
    """Obeys lines."""

    def __init__(self, library, folder):
        self.rival, self.folder = LIBRARIES[library](), pathlib.Path(folder)
        self.held, self.arrays = None, {}
        self.cases = {}

    def operand(self, name, dtype, n):
        if self.held != (dtype, n):
            self.held, self.arrays = (dtype, n), {}
        if name not in self.arrays:
            self.arrays[name] = self.rival.array(read(self.folder, name, dtype, n), dtype)
        return self.arrays[name]

    def open(self, who, what, function, dtype, n, slice_ns):
        n = int(n)
        x = self.operand("x", dtype, n)
        second = what in ("backward", "from_output") or function in GATED
        g = self.operand("g", dtype, n) if second else None
        if function.endswith("softmax"):
            row = min(ROW, n)
            x = x.reshape(-1, row)
            g = g.reshape(-1, row) if second else None
        call = self.rival.call(who, what, function, dtype, x, g)
        if call is None:
            return "no"
        self.cases[who] = Case(call, slice_ns)
        return "ok"

    def check(self, who, file, most):
        self.rival.numbers(self.cases[who].y, int(most)).tofile(file)
        return "ok"

    def time(self, who):
        return self.cases[who].time()

    def close(self):
        self.cases = {}
        return "ok"


def serve(library, folder):
    # What libraries print must not get between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    server = Server(library, folder)
    versions = {p: importlib.metadata.version(p) for p in server.rival.packages}
    print("ready", json.dumps(versions), file=answers, flush=True)
    with server.rival.around():
        for line in sys.stdin:
            verb, *words = line.split()
            try:
                answer = getattr(server, verb)(*words)
            except Absent:
                answer = "no"
            except Exception as e:
                answer = "failed " + (str(e).strip().splitlines() or [type(e).__name__])[-1]
            print(answer, file=answers, flush=True)


def accuracy():
    """The formulas without cancellation of bench/accuracy."""
    file = pathlib.Path(__file__).parent.parent / "accuracy" / "peers.py"
    spec = importlib.util.spec_from_file_location("accuracy_peers", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def reference(folder):
    """FOLDER/FUNCTION.WHAT.TYPE: exact results, NaN where a slope is a convention."""
    module, real = accuracy(), np.longdouble
    folder = pathlib.Path(folder)
    # f64 has a slope of its own.
    leaks = {"f32": module.LEAK, "bf16": module.LEAK, "f64": 0.01}
    for dtype, leak in leaks.items():
        module.LEAK = leak
        x, g = (np.fromfile(folder / f"{name}.{dtype}", np.float64) for name in "xg")

        def write(function, what, values):
            np.asarray(values, np.float64).tofile(folder / f"{function}.{what}.{dtype}")

        def both(function, points):
            if function == "prelu":
                left = points <= 0
                quarter = real(0.25)
                return np.where(left, quarter * points, points), np.where(left, quarter, real(1))
            return module.exact(function, points)

        with np.errstate(all="ignore"):
            for function in [*module.FUNCTIONS, "prelu"]:
                value, slope = both(function, x)
                slope = np.array(np.broadcast_to(slope, x.shape), real)
                for at in module.KINKS.get(function, [0.0] if function == "prelu" else []):
                    slope[x == at] = np.nan
                write(function, "forward", value)
                write(function, "strided", value[::2])
                for what in ("backward", "from_output"):
                    write(function, what, slope * g)
            for function, gate in (("swiglu", "silu"), ("geglu", "gelu")):
                write(function, "forward", module.exact(gate, x)[0] * g)
            write("glu", "forward", x * module.exact("sigmoid", g)[0])
            rows, grads = x.astype(real).reshape(-1, ROW), g.astype(real).reshape(-1, ROW)
            e = np.exp(rows - rows.max(1, keepdims=True))
            total = e.sum(1, keepdims=True)
            y = e / total
            write("softmax", "forward", y)
            write("softmax", "from_output", y * (grads - (y * grads).sum(1, keepdims=True)))
            write("log_softmax", "forward", rows - rows.max(1, keepdims=True) - np.log(total))
            write("log_softmax", "from_output", grads - y * grads.sum(1, keepdims=True))
            write("memcpy", "yardstick", x)


def machine():
    """The processor, its caches, the system, and the date."""
    found = accuracy().machine()
    caches = []
    for index in sorted(pathlib.Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((index / f).read_text().strip() for f in ("level", "type", "size"))
        if kind != "Instruction":
            unit = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}[size[-1]]
            caches.append({"level": int(level), "bytes": int(size[:-1]) * unit})
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return found | {"caches": caches, "cores": cores, "date": datetime.date.today().isoformat()}


if __name__ == "__main__":
    if sys.argv[1] == "reference":
        reference(sys.argv[2])
    elif sys.argv[1] == "machine":
        print(json.dumps(machine()))
    else:
        serve(sys.argv[1], sys.argv[2])
