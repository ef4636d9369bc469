"""Threads of ours and of the caller, processes that fork, processes that spawn."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import nonlin
from helpers import same

N = 300_001


def data(dtype=np.float32):
    return (np.random.default_rng(7).standard_normal(N) * 3).astype(dtype)


def test_number():
    assert nonlin.get_num_threads() == 1
    nonlin.set_num_threads(3)
    assert nonlin.get_num_threads() == 3
    for wrong in (0, -1, 1025):
        with pytest.raises(ValueError, match=f"the number of threads is {wrong}; it must be between"):
            nonlin.set_num_threads(wrong)
    with pytest.raises(ValueError, match="the number of threads is 1000000.*; it must be between"):
        nonlin.set_num_threads(10**30)
    with pytest.raises(TypeError):
        nonlin.set_num_threads(2.0)
    assert nonlin.get_num_threads() == 3


@pytest.mark.parametrize("value, wanted", [("2", "2"), (" 4 ", "4"), ("", None), ("many", None), ("0", None)])
def test_environment(value, wanted):
    code = "import nonlin; print(nonlin.get_num_threads())"
    environment = {**os.environ, "NONLIN_NUM_THREADS": value}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    if wanted is None:
        assert "NONLIN_NUM_THREADS" in done.stderr.splitlines()[-1]
        assert done.stderr.splitlines()[-1].startswith("ValueError")
    else:
        assert done.stdout.strip() == wanted


@pytest.mark.parametrize("threads", [2, 5])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_bits_do_not_depend_on_threads(threads, dtype):
    x = data(dtype)
    calls = [
        lambda: nonlin.gelu(x), lambda: nonlin.derivative("mish", order=2)(x),
        lambda: nonlin.vjp("silu", x, x[::-1]), lambda: nonlin.swiglu(x, x[::-1].copy()),
        lambda: nonlin.elu(x, alpha=0.5), lambda: nonlin.elu(x, alpha=np.abs(x[:1])),
        lambda: nonlin.softmax(x[:300_000].reshape(-1, 100)), lambda: nonlin.softmax(x),
        lambda: nonlin.tanh(x, out=x.copy()), lambda: nonlin.vjp("swiglu", x, x, x.copy())[1],
    ]
    alone = [call() for call in calls]
    nonlin.set_num_threads(threads)
    for call, wanted in zip(calls, alone):
        same(call(), wanted)


def test_many_python_threads():
    x = data()
    wanted = [nonlin.elu(x, alpha=a / 7) for a in range(8)]
    nonlin.set_num_threads(2)
    failed = []

    def work(seed):
        try:
            for a in np.random.default_rng(seed).permutation(8):
                same(nonlin.elu(x, alpha=a / 7), wanted[a])
                nonlin.set_num_threads(int(a) % 3 + 1)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed


def test_gil_is_released():
    """A thread of Python runs in the middle of a call; on a busy machine one of several calls."""
    x = np.ones(1 << 24)
    y = np.empty_like(x)
    times = []
    stop = threading.Event()

    def note():
        while not stop.is_set():
            times.append(time.perf_counter())
            time.sleep(1e-4)

    def seen():
        start = time.perf_counter()
        nonlin.gelu(x, out=y)
        took = time.perf_counter() - start
        return any(start + took / 4 < t < start + took * 3 / 4 for t in times)

    thread = threading.Thread(target=note)
    thread.start()
    try:
        assert any(seen() for _ in range(50))
    finally:
        stop.set()
        thread.join()


def child(queue):
    queue.put(nonlin.gelu(data()).tobytes())


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_processes(method):
    nonlin.set_num_threads(2)
    wanted = nonlin.gelu(data()).tobytes()
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=child, args=(queue,))
    process.start()
    got = queue.get(timeout=60)
    process.join(timeout=60)
    assert process.exitcode == 0 and got == wanted
    same(nonlin.gelu(data()).view(np.uint32), np.frombuffer(wanted, np.uint32))


def square(f):
    return f(np.array([-1.0, 1.0])).tolist()


def test_functions_go_to_other_processes():
    functions = [nonlin.relu, nonlin.Elu(alpha=0.5), nonlin.derivative("gelu"), nonlin.Softmax(scale=2)]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(square, functions) == [square(f) for f in functions]
