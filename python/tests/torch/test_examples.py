"""The examples run, stop, resume, and share their work as their README says."""

import csv
import os
import signal
import struct
import subprocess
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


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Python compiles modules once, not in each process."""
    environment = dict(os.environ, PYTHONPYCACHEPREFIX=str(tmp_path_factory.mktemp("pyc")))
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONUNBUFFERED"] = "1"
    return environment


def command(name, out, *words):
    return [sys.executable, str(EXAMPLES / f"{name}.py"), *SMALL, "--out", str(out), *words]


def start(words, environment):
    return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(words, environment):
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


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
def test_run_and_resume(name, tmp_path, environment):
    """A run in two parts gives the losses of a run in one; a figure is drawn."""
    whole, parts, first = tmp_path / "whole", tmp_path / "parts", FIRST.get(name, "run")
    finish(command(name, whole), environment)
    assert len(losses(whole, first)) == 12
    assert "<svg" in (whole / f"{name}.svg").read_text()
    assert not list(whole.glob("*.part"))
    finish(command(name, parts, "--steps", "7"), environment)
    assert len(losses(parts, first)) == 7
    finish(command(name, parts, "--resume"), environment)
    assert losses(parts, first) == losses(whole, first)


def test_interrupted_run_is_saved(tmp_path, environment):
    """Ctrl-C finishes the step and saves it. Killed and resumed, a run is as if nothing had been."""
    out, whole = tmp_path / "out", tmp_path / "whole"
    checkpoint = out / "run.checkpoint"
    rare = ["--activation", "learnable", "--steps", "1000000", "--save-every", "1000000"]
    run = start(command("simple_net", out, *rare), environment)
    # The bar is on the screen once steps are being made.
    assert any("loss" in line for line in iter(lambda: run.stdout.read(64), ""))
    assert not checkpoint.exists()
    run.send_signal(signal.SIGINT)
    text, _ = run.communicate(timeout=LIMIT)
    assert run.returncode == 128 + signal.SIGINT, text
    assert "go on with --resume" in text
    interrupted = len(losses(out))
    assert interrupted > 0

    often = ["--activation", "learnable", "--steps", "1000000", "--save-every", "2", "--resume"]
    before = checkpoint.stat().st_mtime_ns
    run = start(command("simple_net", out, *often), environment)
    wait_for(lambda: checkpoint.stat().st_mtime_ns != before, "a checkpoint")
    run.kill()
    run.communicate(timeout=LIMIT)
    state = torch.load(checkpoint, weights_only=True)
    killed = len(state["history"]["loss"])
    assert killed > interrupted

    steps = ["--activation", "learnable", "--steps", str(killed + 10)]
    finish(command("simple_net", out, *steps, "--resume"), environment)
    finish(command("simple_net", whole, *steps), environment)
    assert len(losses(whole)) == killed + 10
    assert losses(out) == losses(whole)


def children(process):
    """The processes that one has started."""
    path = Path(f"/proc/{process}/task/{process}/children")
    return [int(word) for word in path.read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes in /proc")
def test_two_processes_one_killed(tmp_path, environment):
    """Two processes of torchrun, of which one is killed, start again and give the losses of one."""
    single, double = tmp_path / "single", tmp_path / "double"
    words = ["--steps", "300", "--save-every", "1", "--resume"]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", "1"]
    run = start([sys.executable, *torchrun, "--monitor-interval", "0.1",
                 *command("simple_net", double, *words)[1:]], environment)  # fmt: skip
    wait_for(lambda: (double / "run.checkpoint").exists() or run.poll() is not None, "a checkpoint")
    workers = [p for p in children(run.pid) if b"simple_net.py" in Path(f"/proc/{p}/cmdline").read_bytes()]
    assert len(workers) == 2
    os.kill(workers[1], signal.SIGKILL)
    text, _ = run.communicate(timeout=LIMIT)
    assert run.returncode == 0, text
    assert "steps are done" in text, text
    finish(command("simple_net", single, *words), environment)
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
    assert common.activation("learnable", 6).weight.shape == (6,)
    with pytest.raises(common.argparse.ArgumentTypeError, match="did you mean `silu`"):
        common.known("sillu")
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
    path.write_text("1,2,0\n3,1\n")
    with pytest.raises(SystemExit, match="row 2 has 2 columns, the first one 3"):
        common.table(path)
