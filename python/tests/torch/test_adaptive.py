"""Activations whose parameters follow the statistics of their input."""

import copy
import io
import multiprocessing
import os
import pickle
import signal

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import fully_shard

import nonlin
import nonlin.torch as nt

SOFTPLUS = {"beta": lambda mean, deviation: 1 / deviation}


def inputs(shape, dtype=torch.float64, seed=0):
    g = torch.Generator().manual_seed(seed)
    return (3 + 2 * torch.randn(shape, generator=g, dtype=torch.float64)).to(dtype)


def composed(x, channels, eps=1e-5):
    """softplus at the temperature of the deviation, from PyTorch's own operators."""
    axes = [a for a in range(x.dim()) if a != 1] if channels else None
    var = x.var(axes, correction=0, keepdim=True) if channels else x.var(correction=0)
    s = (var + eps).sqrt()
    return s * nn.functional.softplus(x / s, threshold=1e9)


@pytest.mark.parametrize("channels", [None, 3])
def test_values_and_gradients(channels):
    f = nt.Adaptive("softplus", SOFTPLUS, num_features=channels)
    x = inputs((4, 3, 5)).requires_grad_()
    weight = inputs((4, 3, 5), seed=1)
    y = f(x)
    (dx,) = torch.autograd.grad(y, x, weight)
    wanted = composed(x, channels)
    assert torch.allclose(y, wanted, rtol=1e-13)
    # Through the statistics as well.
    assert torch.allclose(dx, torch.autograd.grad(wanted, x, weight)[0], rtol=1e-10, atol=1e-13)
    assert torch.autograd.gradcheck(f, (x,))


def test_running_statistics_are_those_of_batch_norm():
    f = nt.Adaptive("softplus", SOFTPLUS, num_features=3, running=True)
    mean_of_all = nt.Adaptive("softplus", SOFTPLUS, num_features=3, running=True, momentum=None)
    norm, whole = nn.BatchNorm1d(3), nn.BatchNorm1d(3, momentum=None)
    for seed in range(5):
        x = inputs((6, 3, 5), torch.float32, seed)
        for module in (f, mean_of_all, norm, whole):
            module(x)
    for mine, its in ((f, norm), (mean_of_all, whole)):
        assert torch.allclose(mine.running_mean, its.running_mean, rtol=1e-6)
        assert torch.allclose(mine.running_var, its.running_var, rtol=1e-6)
        assert mine.num_batches_tracked == 5
    f.eval()
    # Evaluation looks at no other element.
    x = inputs((6, 3, 5), torch.float32, 9)
    assert torch.equal(f(x)[:1], f(x[:1])) and f.num_batches_tracked == 5
    again = nt.Adaptive("softplus", SOFTPLUS, num_features=3, running=True).eval()
    again.load_state_dict(f.state_dict())
    assert torch.equal(again(x), f(x))


def test_workers_merge():
    """Two workers that saw half of the batches each have, merged, the mean of all."""
    make = lambda: nt.Adaptive("softplus", SOFTPLUS, num_features=2, running=True, momentum=None)
    one, two, both = make(), make(), make()
    for seed in range(6):
        x = inputs((50, 2), torch.float32, seed)
        both(x)
        (one if seed < 2 else two)(x)
    between = (one.running_mean - two.running_mean).square() * (2 * 4 / 36)
    one.merge(two)
    assert one.num_batches_tracked == 6
    assert torch.allclose(one.running_mean, both.running_mean, rtol=1e-6)
    assert torch.allclose(one.running_var, both.running_var + between, rtol=1e-5)
    with pytest.raises(ValueError, match="running statistics"):
        one.merge(nt.AdaptiveReLU())


def test_relu_by_slope_and_threshold():
    x = inputs((8, 3), torch.float32) - 3
    mean, deviation = x.mean(0), (x.var(0, correction=0) + 1e-5).sqrt()
    slope = torch.sigmoid(-mean / deviation)
    f = nt.AdaptiveReLU(num_features=3)
    assert torch.allclose(f(x), torch.where(x > 0, x, slope * x))
    f = nt.AdaptiveReLU("threshold", k=0.5, num_features=3)
    assert torch.allclose(f(x), (x - mean - deviation / 2).clamp(min=0), atol=1e-6)
    # What is negative altogether passes, so that nothing dies.
    dead = (-5 - x.abs()).requires_grad_()
    nt.AdaptiveReLU()(dead).sum().backward()
    assert dead.grad.abs().min() > 0.1


def _statistics(rank, x):
    """What one of two processes has of its part of a batch."""
    mine = x[:5] if rank == 0 else x[5:]  # of different sizes
    mine = mine.clone().requires_grad_()
    f = nt.Adaptive("softplus", SOFTPLUS, num_features=3, running=True, sync=True)
    y = f(mine)
    y.square().sum().backward()
    return y.detach(), mine.grad, f.state_dict()


def network():
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Linear(3, 6),
        nt.Activation("elu", learnable=True, num_parameters=6),
        nn.Linear(6, 6),
        nt.Adaptive("softplus", SOFTPLUS, num_features=6, running=True, sync=True),
        nn.Linear(6, 6),
        nt.Activation("x * sigmoid(beta * x); beta = 1", learnable=True),
        nn.Linear(6, 1),
    ).double()


def train(model, x, y):
    """The losses of some steps."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for _ in range(6):
        optimizer.zero_grad()
        loss = (model(x).squeeze(1) - y).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses)


def _training(rank, x):
    """Losses and state of one of two processes that train together, each with half of the batch."""
    part = slice(4 * rank, 4 * rank + 4)
    model = network()
    together = nn.parallel.DistributedDataParallel(model)
    losses = train(together, x[part], x[part].sum(1))
    return losses, model.state_dict()


def _sharded(rank, x):
    """Losses and state of one of two processes that hold half of the parameters each."""
    part = slice(4 * rank, 4 * rank + 4)
    model = network()
    fully_shard(model)
    losses = train(model, x[part], x[part].sum(1))
    whole = {k: v.full_tensor() if hasattr(v, "full_tensor") else v for k, v in model.state_dict().items()}
    return losses, whole


def _process(rank, address, work, x, pipe):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{address}", rank=rank, world_size=2)
    state = io.BytesIO()
    torch.save(work(rank, x), state)
    dist.destroy_process_group()
    pipe.send_bytes(state.getvalue())


def in_two_processes(work, x, folder):
    """What both give."""
    fork = multiprocessing.get_context("fork")
    pipes = [fork.Pipe(duplex=False) for _ in range(2)]
    arguments = [(rank, folder / "store", work, x, pipes[rank][1]) for rank in range(2)]
    workers = [fork.Process(target=_process, args=a) for a in arguments]
    for worker in workers:
        worker.start()
    results = []
    for reader, _ in pipes:
        assert reader.poll(60), "a process has not answered"
        results.append(torch.load(io.BytesIO(reader.recv_bytes())))
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    return results


def test_processes_have_one_statistic(tmp_path):
    """Two processes with parts of a batch give what one gives with all of it, and the gradients."""
    x = inputs((8, 3), seed=5)
    results = in_two_processes(_statistics, x, tmp_path)
    x = x.requires_grad_()
    f = nt.Adaptive("softplus", SOFTPLUS, num_features=3, running=True)
    y = f(x)
    y.square().sum().backward()
    assert torch.allclose(torch.cat([r[0] for r in results]), y, rtol=1e-12)
    assert torch.allclose(torch.cat([r[1] for r in results]), x.grad, rtol=1e-9, atol=1e-12)
    for _, _, state in results:
        for name, value in f.state_dict().items():
            assert torch.allclose(state[name], value, rtol=1e-6), name


@pytest.mark.parametrize("work", [_training, _sharded])
def test_processes_that_train_together(work, tmp_path):
    """Learned and adaptive activations under DistributedDataParallel and FSDP2: one model, and that of one
    process with the whole batch."""
    x = inputs((8, 3), seed=7)
    (one, state), (two, other) = in_two_processes(work, x, tmp_path)
    model = network()
    losses = train(model, x, x.sum(1))
    assert torch.allclose((one + two) / 2, losses, rtol=1e-10)
    assert losses[-1] < losses[0]
    for name, value in model.state_dict().items():
        assert torch.equal(state[name], other[name]), name
        assert torch.allclose(state[name], value, rtol=1e-9), name


def learned_network():
    """Every kind of learned module, with parameters in bounds, of groups and of logarithms."""
    torch.manual_seed(2)
    return nn.Sequential(
        nn.Linear(3, 6),
        nt.PAU("gelu", num_parameters=6),
        nn.Linear(6, 6),
        nt.PWLU("silu", segments=4, num_parameters=6),
        nt.Adaptive("softplus", SOFTPLUS, num_features=6, running=True, sync=True),
        nn.Linear(6, 6),
        nt.Activation("celu", learnable=True, groups=3),
        nt.Activation("silu", learnable=True, log_scale=True),
        nt.Mixture("relu", "tanh", num_parameters=6),
        nn.Linear(6, 1),
    )


def _resumable(rank, address, x, folder, die, pipe):
    """Steps 1 to 8 from the checkpoint, if there is one, which is written after each; the second process dies
    in the step told."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{address}", rank=rank, world_size=2)
    model = learned_network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    start, path = 0, folder / "checkpoint.pt"
    if path.exists():
        saved = torch.load(path)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        start = saved["step"]
    together = nn.parallel.DistributedDataParallel(model)
    part = slice(4 * rank, 4 * rank + 4)
    for step in range(start + 1, 9):
        optimizer.zero_grad()
        loss = (together(x[part] * step).squeeze(1) - x[part].sum(1)).square().mean()
        if rank == 1 and step == die:
            os.kill(os.getpid(), signal.SIGKILL)
        loss.backward()
        optimizer.step()
        if rank == 0:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
            torch.save(state, folder / "new.pt")
            os.replace(folder / "new.pt", path)
        dist.barrier()
    state = io.BytesIO()
    torch.save((start, model.state_dict()), state)
    pipe.send_bytes(state.getvalue())
    dist.destroy_process_group()


def _run(x, folder, die):
    """What both processes give, and how they ended."""
    fork = multiprocessing.get_context("fork")
    pipes = [fork.Pipe(duplex=False) for _ in range(2)]
    store = folder / f"store{die}"
    workers = [
        fork.Process(target=_resumable, args=(rank, store, x, folder, die, pipes[rank][1])) for rank in range(2)
    ]
    for worker in workers:
        worker.start()
    for _, writer in pipes:
        writer.close()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode is not None, "a process has not ended"
    codes = [worker.exitcode for worker in workers]
    results = [torch.load(io.BytesIO(reader.recv_bytes())) for reader, _ in pipes] if codes == [0, 0] else None
    return codes, results


def test_a_killed_process_changes_nothing(tmp_path):
    """Training of learned and adaptive modules, of whose two processes one is killed, resumed from its
    checkpoint: the weights are bit for bit those of a run that nothing disturbed."""
    x = inputs((8, 3), torch.float32, seed=11)
    start = learned_network().state_dict()  # fits are made before the processes are
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    codes, whole = _run(x, tmp_path / "whole", None)
    assert codes == [0, 0]
    codes, _ = _run(x, tmp_path / "killed", 6)
    assert codes[1] == -signal.SIGKILL and codes[0] != 0
    assert torch.load(tmp_path / "killed/checkpoint.pt")["step"] == 5
    codes, resumed = _run(x, tmp_path / "killed", None)
    assert codes == [0, 0]
    assert [r[0] for r in whole] == [0, 0] and [r[0] for r in resumed] == [5, 5]
    states = [state for _, state in (*whole, *resumed)]
    for name, value in states[0].items():
        if isinstance(value, torch.Tensor):
            assert all(torch.equal(other[name], value) for other in states[1:]), name
            assert not torch.equal(value, start[name]), f"{name} has not learned"


def test_half_types_copies_and_compilers():
    x = inputs((64, 3), torch.bfloat16)
    f = nt.AdaptiveReLU(num_features=3, running=True)
    assert f(x).dtype == torch.bfloat16 and f.running_mean.dtype == torch.float32
    for g in (copy.deepcopy(f), pickle.loads(pickle.dumps(f))):
        assert torch.equal(g.eval()(x), copy.deepcopy(f).eval()(x))
    g = nt.Adaptive("softplus", SOFTPLUS)
    x = inputs((16, 3), torch.float32)
    assert torch.allclose(torch.compile(g, fullgraph=True, backend="aot_eager")(x), g(x))
    assert "softplus" in repr(g) and "running=True" in repr(f)
    for g in (nt.AdaptiveReLU(), nt.AdaptiveReLU(running=True).eval()):
        program = torch.export.export(g, (x,), dynamic_shapes=({0: torch.export.Dim("batch", min=2)},))
        assert torch.allclose(program.module()(x[:5]), g(x[:5]))
    for momentum in (0.1, None):
        f = nt.AdaptiveReLU(running=True, momentum=momentum)
        g = copy.deepcopy(f)
        compiled = torch.compile(g, fullgraph=True)
        for scale in (1, 2, 4):
            assert torch.allclose(compiled(scale * x), f(scale * x))
        assert torch.allclose(g.running_var, f.running_var)


def test_gated_polynomial():
    """The articles' formula, with one factor or with one for each power, and its regulariser."""
    x = inputs((5, 2), seed=3) - 3
    for separate in (False, True):
        f = nt.GatedPolynomial(degree=4, separate=separate, num_parameters=2, dtype=torch.float64, b=0.5)
        names = ["a1", "a2", "a3", "a4"] if separate else ["a"]
        assert sorted(n for n, _ in f.named_parameters()) == [*names, "b"]
        gate = torch.sigmoid(torch.tensor(0.5))
        sum_ = sum(x**i / i for i in range(1, 5))
        assert torch.allclose(f(x), gate * x.clamp(min=0) + (1 - gate) * 0.25 * sum_)
        assert f.regulariser().item() == pytest.approx(0.0625)
        f.regulariser().backward()
        assert f.b.grad.tolist() == [0, 0]
    with pytest.raises(ValueError, match="degree is 0"):
        nt.GatedPolynomial(0)


def test_errors():
    with pytest.raises(TypeError, match="softplus has no parameter `alpha`; its parameters: beta"):
        nt.Adaptive("softplus", {"alpha": lambda m, s: s})
    with pytest.raises(TypeError, match="`beta` of softplus has a rule, and a value"):
        nt.Adaptive("softplus", SOFTPLUS, beta=1.0)
    with pytest.raises(ValueError, match="no parameter of softplus adapts"):
        nt.Adaptive("softplus", {})
    with pytest.raises(ValueError, match="has 4 channels; num_features is 3"):
        nt.Adaptive("softplus", SOFTPLUS, num_features=3)(torch.ones(2, 4))
    with pytest.raises(ValueError, match="mode is 'gain'"):
        nt.AdaptiveReLU("gain")
    with pytest.raises(ValueError, match="has no mean"):
        nt.AdaptiveReLU()(torch.empty(0))


def test_init_and_monitor_know_it():
    """It is one function to both, whose statistics they do not change."""
    pwlu, mixture = nt.PWLU(align=True), nt.Mixture("relu", "tanh")
    model = nn.Sequential(
        nn.Linear(8, 8), nt.AdaptiveReLU(num_features=8, running=True), nn.Linear(8, 8), mixture, nn.Linear(8, 8), pwlu
    )
    done = nt.init_(model, verbose=False)
    shown = [layer.activation for layer in done.layers]
    assert shown[0] == "adaptive leaky_relu(negative_slope=0.5)"
    assert shown[1] == "mixture of relu, tanh(w0=0.5, w1=0.5)" and shown[2].startswith("PWLU")
    halves = nonlin.init.gain("leaky_relu", negative_slope=0.5)
    assert model[0].weight.std().item() == pytest.approx(float(halves) / 8**0.5, rel=0.3)
    x, other = inputs((32, 8), torch.float32), copy.deepcopy(model)
    with nt.monitor(model, every=1) as monitor:
        model(x).square().sum().backward()
    other(x).square().sum().backward()
    assert sorted(monitor.layers) == ["1", "3", "5"]
    for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
        assert not isinstance(a, torch.Tensor) or torch.equal(a, b)
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(model.parameters(), other.parameters()) if b.grad is not None)
