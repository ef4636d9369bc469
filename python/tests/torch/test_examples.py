"""The examples run, stop, resume, and share their work as their README says."""

import csv
import multiprocessing
import math
import os
import runpy
import signal
import struct
import sys
import time
from pathlib import Path

import pytest
import torch

EXAMPLES = Path(__file__).parents[3] / "examples"
NAMES = ["simple_net", "softmax_regression", "lenet", "mlp", "transformer"]
#: Arguments that make a run small. `--threads 1`: processes do not wait for each other's threads.
SMALL = ["--quick", "--threads", "1", "--batch", "16"]
#: What `mlp` names its checkpoint and losses after.
FIRST = {"mlp": "fold-1"}
#: Seconds after which a run has failed.
LIMIT = 60


#: Imported once, in a process whose copies run the examples: each import of PyTorch takes seconds.
IMPORTS = ["nonlin.torch", "torch._dynamo", "torch.distributed.run", "torch.nn.parallel", "tqdm",
           "sklearn.datasets", "matplotlib.figure", "matplotlib.backends.backend_svg"]  # fmt: skip


@pytest.fixture(scope="module")
def processes():
    """Starts processes that have imported what the examples import."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTS)
    return context


def main(words, output, environment):
    """What a process does: a script, or with `-m` a module, as the command line runs it."""
    with open(output, "wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.update(environment)
    sys.path.insert(0, str(EXAMPLES))
    if words[0] == "-m":
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")


def command(name, out, *words):
    return [str(EXAMPLES / f"{name}.py"), *SMALL, "--out", str(out), *words]


def start(processes, words, output, environment=None):
    process = processes.Process(target=main, args=(words, str(output), environment or {}))
    process.start()
    return process


def end(process):
    process.join(LIMIT)
    assert process.exitcode is not None, f"runs for more than {LIMIT} s"
    return process.exitcode


def finish(processes, words, output):
    code = end(start(processes, words, output))
    assert code == 0, output.read_text()


def losses(out, name="run"):
    """The text of each loss: equal if and only if the numbers are, bit for bit."""
    with (out / f"{name}.losses.csv").open(newline="") as file:
        return [row["loss"] for row in csv.DictReader(file)]


def wait_for(condition, what):
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {LIMIT} s"
        time.sleep(0.005)


@pytest.mark.parametrize("name", NAMES)
def test_run_and_resume(name, tmp_path, processes):
    """A run in two parts gives the losses of a run in one; a figure is drawn."""
    whole, parts, first = tmp_path / "whole", tmp_path / "parts", FIRST.get(name, "run")
    finish(processes, command(name, whole), tmp_path / "output")
    assert len(losses(whole, first)) == 12
    assert "<svg" in (whole / f"{name}.svg").read_text()
    assert not list(whole.glob("*.part"))
    finish(processes, command(name, parts, "--steps", "7"), tmp_path / "output")
    assert len(losses(parts, first)) == 7
    finish(processes, command(name, parts, "--resume"), tmp_path / "output")
    assert losses(parts, first) == losses(whole, first)


def test_interrupted_run_is_saved(tmp_path, processes):
    """Ctrl-C finishes the step and saves it. Killed and resumed, a run is as if nothing had been."""
    out, whole, output = tmp_path / "out", tmp_path / "whole", tmp_path / "output"
    checkpoint = out / "run.checkpoint"
    learnable = ["--activation", "learnable"]
    rare = [*learnable, "--steps", "1000000", "--save-every", "1000000"]
    run = start(processes, command("simple_net", out, *rare), output)
    # The bar shows a loss once steps are being made.
    wait_for(lambda: output.exists() and "loss" in output.read_text(), "a step")
    assert not checkpoint.exists()
    os.kill(run.pid, signal.SIGINT)
    assert end(run) == 128 + signal.SIGINT, output.read_text()
    assert "go on with --resume" in output.read_text()
    interrupted = len(losses(out))
    assert interrupted > 0

    often = [*learnable, "--steps", "1000000", "--save-every", "2", "--resume"]
    before = checkpoint.stat().st_mtime_ns
    run = start(processes, command("simple_net", out, *often), output)
    wait_for(lambda: checkpoint.stat().st_mtime_ns != before, "a checkpoint")
    run.kill()
    assert end(run) == -signal.SIGKILL
    killed = len(torch.load(checkpoint, weights_only=True)["history"]["loss"])
    assert killed > interrupted

    steps = [*learnable, "--steps", str(killed + 10)]
    finish(processes, command("simple_net", out, *steps, "--resume"), output)
    finish(processes, command("simple_net", whole, *steps), output)
    assert len(losses(whole)) == killed + 10
    assert losses(out) == losses(whole)


def children(process):
    """The processes that one has started."""
    path = Path(f"/proc/{process}/task/{process}/children")
    return [int(word) for word in path.read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes in /proc")
def test_two_processes_one_killed(tmp_path, processes):
    """Two processes of torchrun, of which one is killed, start again and give the losses of one."""
    single, double, output = tmp_path / "single", tmp_path / "double", tmp_path / "output"
    # A file of data: each process that starts would take seconds to import scikit-learn.
    table = tmp_path / "table.csv"
    table.write_text("".join(f"{','.join(map(str, row))}\n" for row in torch.randn(64, 11).tolist()))
    words = ["--csv", str(table), "--steps", "300", "--save-every", "1", "--resume"]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", "1"]
    environment = {
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
        # Python keeps the modules that it has compiled, of which PyTorch has thousands.
        "PYTHONDONTWRITEBYTECODE": "",
    }
    run = start(
        processes, [*torchrun, "--monitor-interval", "0.1", *command("simple_net", double, *words)],
        output, environment,
    )  # fmt: skip
    wait_for(lambda: (double / "run.checkpoint").exists() or not run.is_alive(), "a checkpoint")
    workers = [p for p in children(run.pid) if b"simple_net.py" in Path(f"/proc/{p}/cmdline").read_bytes()]
    assert len(workers) == 2, output.read_text()
    os.kill(workers[1], signal.SIGKILL)
    assert end(run) == 0, output.read_text()
    assert "steps are done" in output.read_text()
    finish(processes, command("simple_net", single, *words), output)
    one, two = ([float(loss) for loss in losses(out)] for out in (single, double))
    assert len(two) == len(one) == 300
    assert two == pytest.approx(one, rel=1e-4)


@pytest.fixture
def examples(monkeypatch):
    """The modules of the examples can be imported."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import common
    import lenet

    return common, lenet


def test_shapes_of_lenet(examples):
    """The layers are of the sizes that LeNet has."""
    _, lenet = examples
    x, shapes = torch.zeros(1, 1, 28, 28), []
    for layer in lenet.LeNet("relu"):
        x = layer(x)
        shapes.append(tuple(x.shape[1:]))
    wanted = [(6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5), (400,), (120,), (84,), (10,)]
    assert list(dict.fromkeys(shapes)) == wanted


def test_activations(examples, capsys):
    """Names and aliases are known, what is not gets the nearest name; gated units are refused."""
    common, _ = examples
    assert common.known("swish") == "silu"
    assert common.known("learnable") == "learnable:prelu"
    assert common.activation(common.known("learnable:pau"), 6).a0.shape == (6,)
    with pytest.raises(common.argparse.ArgumentTypeError, match="above 0"):
        common.above_zero("nan")
    assert common.activation("learnable:prelu", 6).weight.shape == (6,)
    formula = "x * tanh(k * x); k = 1"
    assert common.known(formula) == formula
    assert common.activation(formula)(torch.tensor(2.0)) == pytest.approx(2 * math.tanh(2))
    assert common.activation(common.known(f"learnable:{formula}"), 3).k.shape == (3,)
    with pytest.raises(common.argparse.ArgumentTypeError, match="no parameters"):
        common.known("learnable:gelu")
    with pytest.raises(common.argparse.ArgumentTypeError, match="did you mean `silu`"):
        common.known("sillu")
    unit = "a * sigmoid(beta * b); beta = 1"
    assert common.is_gated("learnable:" + unit) and not common.is_gated("learnable:pau")
    assert common.activation(common.known("learnable:" + unit), gated=True).beta.shape == (1,)
    with pytest.raises(SystemExit, match="swiglu: a gated function"):
        common.activation("swiglu")


def test_files(examples, tmp_path):
    """IDX and CSV files are read; what is wrong with one is told."""
    common, _ = examples
    path = tmp_path / "file"
    path.write_bytes(struct.pack(">BBBBII", 0, 0, 8, 2, 2, 3) + bytes(range(6)))
    assert common.idx(path).tolist() == [[0, 1, 2], [3, 4, 5]]
    path.write_bytes(common.gzip.compress(struct.pack(">BBBBIh", 0, 0, 11, 1, 1, -2)))
    assert common.idx(path).tolist() == [-2]
    for content, message in [
        (b"\x89PNG", "starts with 89504e47"),
        (struct.pack(">BBBBI", 0, 0, 8, 1, 3) + b"ab", "2 bytes of data for"),
        (struct.pack(">BBBBI", 0, 0, 8, 2, 3), "ends within its head"),
    ]:
        path.write_bytes(content)
        with pytest.raises(SystemExit, match=message):
            common.idx(path)
    path.write_text("a,b,class\n1,2,0\n3,4.5,1\n")
    x, y = common.table(path)
    assert x.tolist() == [[1, 2], [3, 4.5]] and common.classes(y).tolist() == [0, 1]
    with pytest.raises(common.argparse.ArgumentTypeError, match="there is no file .*nothing"):
        common.file(str(tmp_path / "nothing"))
    path.write_text("1,2,0\n3,1\n")
    with pytest.raises(SystemExit, match="row 2 has 2 columns, the first one 3"):
        common.table(path)
