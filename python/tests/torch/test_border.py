"""What crosses between Python, PyTorch and Rust: threads, processes, odd objects, errors."""

import subprocess
import sys
import textwrap

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nonlin.torch
from nonlin.torch._functional import FUNCTIONS, UNITS

quiet = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

#: Runs in a process of its own, which is ended if it hangs.
THREADS = """
import contextlib, faulthandler, os, threading, time, traceback
faulthandler.dump_traceback_later(90, exit=True)
import torch, torch.nn.functional as F, nonlin.torch
torch.set_num_threads(2)
nonlin.torch.enable()
start = time.monotonic()
counts = [0] * 6
# Operators change hands while no thread is inside one: PyTorch changes its table without a lock.
calling, free = [threading.Lock() for _ in range(4)], threading.Event()
free.set()

def goes_on():
    # Two seconds at least, and until every thread has come round three times.
    return time.monotonic() < start + 2 or min(counts) < 3

class Back(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()
    @staticmethod
    def backward(ctx, g):
        return g * torch.relu(torch.arange(-3, 3)).sum()

def declined(i):
    # Whole numbers, complex ones, results to be resized: PyTorch's kernels, reached through Python
    # from an operator that runs without the GIL.
    whole, z = torch.arange(-50_000, 50_000), torch.ones(20_000, dtype=torch.complex64)
    while goes_on():
        free.wait()
        with calling[i]:
            assert torch.relu(whole).sum() == 1_249_975_000
            torch.tanh(z); torch.sigmoid(z)
            torch.tanh(torch.ones(10), out=torch.empty(0))
        counts[i] += 1

def ours(i):
    while goes_on():
        free.wait()
        with calling[i]:
            x = torch.randn(70_000, requires_grad=True)
            y = F.elu(Back.apply(F.gelu(x)))
            y.register_hook(lambda g: F.leaky_relu(g))
            y.sum().backward()
        counts[i] += 1

def python(i):
    while goes_on():
        sum(range(2000))
        counts[i] += 1

def switching(i):
    while goes_on():
        free.clear()
        with contextlib.ExitStack() as all_out:
            for lock in calling:
                all_out.enter_context(lock)
            nonlin.torch.disable(); nonlin.torch.enable()
        free.set()
        counts[i] += 1
        time.sleep(0.01)

def run(f, i):
    try:
        f(i)
    except BaseException:
        # The others would wait for this thread to come round.
        traceback.print_exc()
        os._exit(1)

kinds = (declined, declined, ours, ours, python, switching)
threads = [threading.Thread(target=run, args=(f, i)) for i, f in enumerate(kinds)]
[t.start() for t in threads]
[t.join() for t in threads]
print("done")
"""

FORKS = """
import faulthandler
faulthandler.dump_traceback_later(90, exit=True)
import torch, nonlin.torch
nonlin.torch.enable()

# Threads of PyTorch's own, which have never seen Python, call operators that go on to PyTorch.
@torch.jit.script
def declined(x):
    return torch.relu(x).sum()

@torch.jit.script
def many(x):
    futures = [torch.jit.fork(declined, x) for _ in range(20)]
    total = declined(x)
    for f in futures:
        total = total + torch.jit.wait(f)
    return total

whole = torch.arange(-5, 5)
for _ in range(20):
    assert many(whole).item() == 21 * 10
print("done")
"""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("code", [THREADS, FORKS], ids=["python_threads", "pytorch_threads"])
def test_no_deadlock(code, tmp_path):
    # A file, since PyTorch compiles what it finds the source of.
    script = tmp_path / "calls.py"
    script.write_text(code)
    words = [sys.executable, "-W", "ignore", script]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == "done\n", done.stderr[-3000:]


odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=3),
    st.binary(max_size=3),
    st.lists(st.floats(), max_size=2),
    st.just(object()),
    st.just(int),
    st.just(torch.float32),
    st.just(torch.device("cpu")),
    st.just(torch.Size([2])),
)
shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)
kinds = st.sampled_from([
    torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.bool,
    torch.complex64, torch.uint8,
])  # fmt: skip
tensors = st.builds(lambda shape, kind: torch.ones(shape).to(kind), shapes, kinds)
views = st.one_of(
    tensors,
    tensors.map(lambda t: t.to("meta")),
    tensors.filter(lambda t: t.dim() > 0).map(lambda t: t.transpose(0, -1)),
    tensors.map(lambda t: t.expand(2, *t.shape)),
    tensors.filter(lambda t: t.is_floating_point()).map(lambda t: t.to_sparse() if t.dim() else t),
    tensors.filter(lambda t: t.is_floating_point()).map(lambda t: t.clone().requires_grad_()),
    tensors.map(lambda t: torch.nn.Parameter(t, requires_grad=False)),
)
anything = st.one_of(odd, views)
#: What a call may raise: never a panic, which is no `Exception`.
REFUSALS = (TypeError, ValueError, RuntimeError, IndexError, AttributeError)


def tried(call, native=None):
    """The result of a call that may refuse its arguments; `native` is how PyTorch's own kernel refuses them."""
    try:
        return call()
    except REFUSALS as e:
        assert "panicked" not in str(e), e
        # Some of PyTorch's own kernels do not look at what they are given (hardsigmoid_backward of None).
        assert "please report" not in str(e) or "please report" in str(native), e
        return None


@quiet
@given(st.sampled_from([*FUNCTIONS]), anything, st.lists(anything, max_size=2), odd)
def test_functions_take_anything(name, x, rest, parameter):
    function = FUNCTIONS[name]
    tried(lambda: function(x, *rest))
    tried(lambda: function(x, inplace=parameter))
    tried(lambda: function(x, **{next(iter(nonlin.torch._functional.PARAMETERS[name]), "z"): parameter}))
    y = tried(lambda: function(x))
    if isinstance(x, torch.Tensor) and y is not None:
        assert y.shape == x.shape and y.dtype == x.dtype and y.device == x.device


@quiet
@given(st.sampled_from([*UNITS]), anything, anything, odd, odd)
def test_units_take_anything(name, a, b, layout, dim):
    unit = UNITS[name]
    y = tried(lambda: unit(a, b))
    if y is not None:
        assert y.shape == torch.broadcast_shapes(a.shape, b.shape)
    tried(lambda: unit(a, layout=layout, dim=dim))
    tried(lambda: unit(a, layout="halves", dim=dim))
    tried(lambda: unit(a, layout="interleaved", dim=dim))
    tried(lambda: nonlin.torch.Activation(name, layout=layout, dim=dim)(a))


@quiet
@given(st.sampled_from([n for n in dir(torch.ops.nonlin)]), st.lists(anything, max_size=4))
def test_operators_take_anything(name, arguments):
    tried(lambda: getattr(torch.ops.nonlin, name)(*arguments))


ATEN = [
    name
    for namespace, name, _, _ in nonlin._nonlin.torch_operators()
    if namespace == "aten" and "." not in name
]


@quiet
@given(st.sampled_from(ATEN), st.lists(anything, min_size=1, max_size=5))
def test_enabled_operators_take_anything(name, arguments):
    """What PyTorch's own kernel takes, ours takes, with a result of that type and shape."""

    def copies():
        return [a.clone() if isinstance(a, torch.Tensor) else a for a in arguments]

    operator = getattr(torch.ops.aten, name).default
    native = refusal = None
    try:
        native = operator(*copies())
    except REFUSALS as e:
        refusal = e
    with nonlin.torch.enable():
        ours = tried(lambda: operator(*copies()), refusal)
    assert (native is None) == (ours is None)
    for a, b in zip(*(r if isinstance(r, tuple) else (r,) for r in (native, ours))):
        if isinstance(a, torch.Tensor):
            assert (a.dtype, a.shape, a.layout, a.device) == (b.dtype, b.shape, b.layout, b.device)


@quiet
@given(st.one_of(anything, st.dictionaries(anything.filter(callable) | st.text(max_size=4), odd, max_size=2)))
def test_convert_takes_anything(mapping):
    model = torch.nn.Sequential(torch.nn.GELU())
    tried(lambda: nonlin.torch.convert(model, mapping))
    tried(lambda: nonlin.torch.convert(mapping, to="nonlin"))
    tried(lambda: nonlin.torch.convert(model, to=mapping))


def test_errors_have_rusts_words():
    x = torch.ones(2, 3)
    for call, words in [
        (lambda: nonlin.torch.swiglu(x, layout="halves"), "axis -1 has 3 elements"),
        (lambda: nonlin.torch.swiglu(x, layout="halves", dim=7), "axis 7 is out of range"),
        (lambda: nonlin.torch.elu(x, alpha=float("inf")), "`alpha` of `elu` is inf"),
        (lambda: nonlin.torch.silu(x.long()), "float32, float64, float16 or bfloat16"),
        (lambda: torch.ops.nonlin.swiglu(x, x[0]), "sizes that fit"),
        (lambda: torch.ops.nonlin.silu_backward(x, x.double()), "one type"),
    ]:
        with pytest.raises(RuntimeError, match=words):
            call()


@pytest.mark.parametrize("enabled_too", [False, True])
def test_nothing_is_kept(enabled_too):
    """Calls, declined calls and errors give back all memory."""
    code = f"""
        import gc, resource, torch, torch.nn.functional as F, nonlin.torch
        if {enabled_too}:
            nonlin.torch.enable()
        x, whole = torch.ones(1000), torch.arange(1000)
        leaf = x.clone().requires_grad_()
        def work():
            nonlin.torch.swiglu(x, x); nonlin.torch.elu(x, alpha=0.5); F.elu(x); F.gelu(x)
            nonlin.torch.swiglu(leaf, leaf).sum().backward()
            F.relu(whole); torch.tanh(x, out=torch.empty(0))
            try:
                nonlin.torch.silu(whole)
            except RuntimeError:
                pass
        for _ in range(200):
            work()
        def held():
            with open("/proc/self/statm") as file:
                return int(file.read().split()[1]) * resource.getpagesize()
        before = held()
        for _ in range(4000):
            work()
        # A kilobyte of each call would be 4 MB.
        assert held() - before < 3_000_000, held() - before
    """
    if not sys.platform.startswith("linux"):
        pytest.skip("memory is read from /proc")
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
