"""`monitor`: networks that die, saturate, explode or are well, and what is said of each."""

import copy
import json
import math
import pickle
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import nonlin.torch
from nonlin.torch import monitor
from nonlin.torch._report import dead_over_time
from nonlin.torch._sketch import summary


def network(activation=nn.ReLU, depth=3, width=64):
    layers = []
    for i in range(depth):
        layers += [nn.Linear(16 if i == 0 else width, width), activation()]
    return nn.Sequential(*layers, nn.Linear(width, 4))


def train(model, steps, rate=0.01, after=lambda step: None, seed=0):
    """Plain training on random labels."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(model.parameters(), rate)
    for step in range(steps):
        x = torch.randn(32, 16, generator=generator)
        loss = F.cross_entropy(model(x), torch.randint(4, (32,), generator=generator))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        after(step)


def test_a_network_that_dies():
    model = network()
    with torch.no_grad():
        # 26 of 64 units of the second layer get inputs far below 0.
        model[2].bias[:26] = -50
    with monitor(model, every=10, window=200) as watch:
        train(model, 211)
    dead = watch.layers["3"].dead(200)
    assert dead[:26].all() and dead[26:].mean() < 0.05
    told = watch.advice()
    assert len(told) == 1 and str(watch) == told[0]
    share = 100 * dead.mean()
    assert told[0] == (
        f"layer 3 (relu): {share:.0f} % of units dead for 200 steps; leaky_relu, smaller rate or He "
        "initialisation (nonlin.torch.init_)"
    )
    assert watch.step == 211 and len(watch.layers["3"].samples) == 22


def test_dying_takes_a_window():
    """Units that die in training count once a window has passed, and not before."""
    model = network()
    shares = []

    def after(step):
        shares.append(watch.layers["1"].dead(40)[:32].mean() if step else 0.0)
        if step == 40:
            with torch.no_grad():
                model[0].bias[:32] = -100

    with monitor(model, every=10, window=40) as watch:
        train(model, 102, after=after)
    # 32 of 64 units, and the few that died with them: dead in the samples from step 80 on.
    over_time = dead_over_time(watch.layers["1"], 40)
    assert max(over_time[:8]) < 0.3 and min(over_time[8:]) >= 0.5 and len(over_time) == 11
    assert [s.step for s in watch.layers["1"].samples][8] == 80
    assert watch.layers["1"].recent(40).count.sum() == 4 * 32 * 64
    # Alive at step 40; a step is taken in when the next one begins.
    assert max(shares[:80]) < 0.3 and shares[82:] == [1.0] * 20


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_a_network_that_saturates(name, own):
    """Far out PyTorch's slope of tanh is 0 in float32, and the function's own is not: nothing is dead."""
    kind = getattr(nonlin.torch if own else nn, name.capitalize())
    model = network(kind)
    with torch.no_grad():
        model[2].weight.normal_(0, 4)
    with monitor(model, every=2, window=20) as watch:
        train(model, 20, rate=1e-4)
    assert not watch.layers["3"].dead(20).any()
    (told,) = watch.advice()
    share = watch.layers["3"].channels()["saturated"].mean()
    assert share > 0.5
    assert told.startswith(f"layer 3 ({name}): {100 * share:.0f} % of slopes below 0.001 for 20 steps")
    assert "smaller weights" in told


@pytest.mark.parametrize("kind", [nn.ReLU, nn.Tanh, nn.GELU, nn.SiLU, nn.ELU, nonlin.torch.Mish])
def test_a_healthy_network(kind):
    model = network(kind)
    nonlin.torch.init_(model, verbose=False)
    with monitor(model, every=5, window=50) as watch:
        train(model, 60)
    assert watch.advice() == [] and str(watch) == "nothing is wrong with any layer"
    assert list(watch.layers) == ["1", "3", "5"] and not watch.notes


def test_inputs_that_explode_or_are_no_numbers():
    model = network(nn.GELU)
    with monitor(model, every=1, window=4) as watch:
        train(model, 2)
        with torch.no_grad():
            model[2].weight[:8] *= 1e5
        train(model, 3, rate=0)
        with torch.no_grad():
            model[0].bias[3] = math.nan
        train(model, 1, rate=0)
    told = watch.advice()
    assert any(t.startswith("layer 3 (gelu): ") and "of inputs beyond the limit for 4 steps" in t for t in told)
    assert any(t.startswith("layer 1 (gelu): ") and "NaN or infinite" in t for t in told)
    layer = watch.layers["1"].channels()
    assert layer["not_finite"][3] == pytest.approx(1 / 6) and np.isfinite(layer["mean"]).all()
    assert layer["not_finite"].sum() == layer["not_finite"][3]


def test_statistics_are_those_of_the_tensors():
    """Against sums over everything that passed, kept whole."""
    torch.manual_seed(3)
    model = nn.Sequential(nn.Conv2d(2, 5, 3), nn.LeakyReLU(0.1), nn.Conv2d(5, 3, 3), nn.Hardtanh())
    kept = {"1": [], "3": []}
    grads = {"1": [[], []], "3": [[], []]}

    def keep(name):
        def hook(module, args, out):
            kept[name].append((args[0].detach().clone(), out.detach().clone()))
            args[0].register_hook(lambda g: grads[name][0].append(g.clone()))
            out.register_hook(lambda g: grads[name][1].append(g.clone()))

        return hook

    for name in kept:
        model[int(name)].register_forward_hook(keep(name))
    with monitor(model, every=1, window=3, exploding=2.0) as watch:
        for _ in range(3):
            model(torch.randn(4, 2, 9, 9) * 2 + 1).square().sum().backward()
    for name, slope in (("1", lambda x: torch.where(x > 0, 1.0, 0.1)), ("3", lambda x: (x.abs() < 1) * 1.0)):
        x, y = (torch.cat(t).transpose(0, 1).flatten(1).double() for t in zip(*kept[name]))
        got = watch.layers[name].channels()
        np.testing.assert_allclose(got["mean"], x.mean(1), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(got["deviation"], x.std(1, correction=0), rtol=1e-4)
        np.testing.assert_allclose(got["exploding"], (x.abs() > 2).double().mean(1))
        np.testing.assert_allclose(got["zero_slope"], (slope(x) == 0).double().mean(1))
        np.testing.assert_allclose(got["saturated"], (slope(x) < 1e-3).double().mean(1))
        np.testing.assert_allclose(got["sparsity"], (y == 0).double().mean(1))
        for row, key in enumerate(("gradient_in", "gradient_out")):
            g = torch.stack(grads[name][row]).double().square().sum((1, 3, 4)).mean(0).sqrt()
            np.testing.assert_allclose(got[key], g, rtol=1e-5)
        assert watch.layers[name].total.histogram.sum() == x.numel()


@pytest.mark.parametrize("called", ["module", "function"])
def test_gated_units_of_two_tensors(called):
    """Measured like the packed form: channels of both operands side by side."""

    class Gated(nn.Module):
        def __init__(self, packed):
            super().__init__()
            self.unit, self.packed = nonlin.torch.ReGLU(), packed

        def forward(self, a, b):
            if self.packed:
                return self.unit(torch.cat([a, b], -1))
            return self.unit(a, b) if called == "module" else nonlin.torch.reglu(a, b)

    found = []
    a, b = torch.randn(2, 30, 3, requires_grad=True), torch.randn(2, 30, 3, requires_grad=True)
    for packed in (False, True):
        with monitor(Gated(packed), every=1) as watch:
            watch._model(a, b).square().sum().backward()
        (layer,) = watch.layers.values()
        assert not watch.notes and layer.function == "reglu"
        found.append(layer.channels())
    for key, value in found[1].items():
        if called == "module" or "gradient" not in key:
            np.testing.assert_allclose(found[0][key], value, err_msg=key)
    assert len(found[0]["mean"]) == 6 and np.all(found[0]["zero_slope"] > 0.2)


def test_formulas():
    model = nn.Sequential(nonlin.torch.Activation("max(x, 0) ** 2"), nonlin.torch.Activation("a * tanh(b)"))
    with monitor(model, every=1, window=1) as watch:
        for _ in range(2):
            model(torch.tensor([[-3.0, 1.0], [-4.0, 2.0]]))
    assert [x.function for x in watch.layers.values()] == ["max(x, 0) ** 2", "a * tanh(b)"]
    assert watch.layers["0"].dead(1).tolist() == [True, False] and not watch.notes
    assert watch.advice()[0].startswith("layer 0 (max(x, 0) ** 2): 50 % of units dead for 1 step;")


def test_outliers():
    model = nn.Sequential(nn.Tanh())
    x = torch.randn(1000, 2)
    x[7, 1] = 50.0
    with monitor(model, every=1) as watch:
        model(x)
    assert watch.layers["0"].channels()["outliers"].tolist() == [0.0, 1e-3]


class Mixed(nn.Module):
    """Functions, modules in place, one module in two places, tokens, a gated unit."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 8)
        self.act, self.unit = nn.ReLU(inplace=True), nonlin.torch.SwiGLU()
        self.block = nn.ModuleDict({"last": nn.Sequential(nn.Linear(4, 4), nn.RReLU())})

    def forward(self, x):
        x = self.act(self.b(self.act(self.a(x))))
        x = self.unit(self.c(F.leaky_relu(x, 0.2)))
        return self.block["last"](nonlin.torch.mish(torch.tanh_(x)))


def test_functions_and_modules_in_place():
    model = Mixed()
    with monitor(model, every=1) as watch:
        for _ in range(2):
            model(torch.randn(3, 5, 6)).sum().backward()
    assert {k: (v.function, len(v.last_alive)) for k, v in watch.layers.items()} == {
        "act": ("relu", 6), "act#2": ("relu", 6), "leaky_relu": ("leaky_relu(0.2)", 6), "unit": ("swiglu", 8),
        "tanh": ("tanh", 4), "mish": ("mish", 4), "block.last.1": ("rrelu(0.125, 0.3333)", 4),
    }  # fmt: skip
    assert not watch.notes
    # A call in place is measured by what it got.
    sparse = watch.layers["act"].channels()
    np.testing.assert_allclose(sparse["sparsity"], sparse["zero_slope"])
    assert 0.2 < sparse["zero_slope"].mean() < 0.8 and sparse["mean"].min() < 0
    with monitor(model, every=1, functional=False) as watch:
        model(torch.randn(3, 5, 6))
    assert list(watch.layers) == ["act", "act#2", "unit", "block.last.1"]


@pytest.mark.parametrize("kind", [Mixed, lambda: network(nn.RReLU)])
def test_training_does_not_change(kind):
    """Weights bit for bit, numbers drawn, modes and hooks."""
    model = kind()
    size = 6 if isinstance(model, Mixed) else 16
    twin = copy.deepcopy(model)

    def run(m):
        torch.manual_seed(1)
        optimizer = torch.optim.SGD(m.parameters(), 0.1)
        for _ in range(5):
            optimizer.zero_grad()
            m(torch.randn(8, size)).square().sum().backward()
            optimizer.step()
        return torch.rand(1)

    with monitor(model, every=2):
        end = run(model)
    assert torch.equal(end, run(twin))
    for a, b in zip(model.parameters(), twin.parameters()):
        assert torch.equal(a, b)
    for m in model.modules():
        assert not m._forward_hooks and not m._forward_pre_hooks


def test_long_runs_take_little_memory():
    """A kept sample takes a byte for each channel and 3,000 at most for the rest."""
    model = nn.Sequential(nn.Linear(2, 3000), nn.ReLU())
    with monitor(model, every=1, window=2) as watch:
        for _ in range(530):
            model(torch.zeros(1, 2))
    layer = watch.layers["1"]
    assert len(layer.samples) == 512 and layer.total.count[0] == 530
    size = len(pickle.dumps(watch.state()))
    assert size < 512 * (3000 + 3000) + 3000 * 8 * 20, size


def test_summaries_are_those_of_all_elements():
    model = nn.Sequential(nn.Tanh())
    x = torch.randn(50, 7) * torch.arange(1, 8) + torch.arange(7)
    with monitor(model, every=1) as watch:
        model(x)
    s = summary(watch.layers["0"].total)
    assert s["mean"] == pytest.approx(x.mean().item(), rel=1e-5)
    assert s["deviation"] == pytest.approx(x.std(correction=0).item(), rel=1e-5)
    assert s == pytest.approx(summary(watch.layers["0"].recent(1)))


def test_steps_and_evaluation():
    model = network()
    with monitor(model, every=3) as watch:
        for step in range(7):
            model.eval()
            model(torch.randn(2, 16))
            model.train()
            model(torch.randn(2, 16))
            hooked = bool(model[1]._forward_hooks)
            assert not hooked
    assert watch.step == 7 and [s.step for s in watch.layers["1"].samples] == [0, 3, 6]
    assert np.isnan(watch.layers["1"].channels()["gradient_in"]).all()


def test_an_error_in_forward_leaves_nothing_behind():
    class Fails(nn.Module):
        def forward(self, x):
            raise KeyError("no")

    model = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), Fails())
    with monitor(model, every=1):
        for _ in range(2):
            with pytest.raises(KeyError):
                model(torch.zeros(1, 2))
            assert torch.overrides._get_current_function_mode() is None
            assert not model[1]._forward_hooks


def test_merging_is_measuring_together():
    """Two processes that see half of each batch know together what one sees of the whole."""
    model = network(nn.ReLU, 2)
    with torch.no_grad():
        model[0].bias[:9] = -40
        model[0].weight[9] = 0
        model[0].weight[9, 0] = 1
    data = torch.randn(4, 20, 16)
    # Unit 9 is alive in the second half alone.
    data[:, :10, 0] = -data[:, :10, 0].abs()
    data[:, 10:, 0] = data[:, 10:, 0].abs()
    with torch.no_grad():
        model[0].bias[9] = 0

    def watched(half):
        m = copy.deepcopy(model)
        with monitor(m, every=1, window=4) as watch:
            for x in data:
                m(x[half]).sum().backward()
        return watch

    whole, first, second = watched(slice(None)), watched(slice(10)), watched(slice(10, None))
    assert first.layers["1"].dead(4)[9] and not second.layers["1"].dead(4)[9]
    first.merge(pickle.loads(pickle.dumps(second.state())))
    for name, layer in whole.layers.items():
        merged = first.layers[name]
        assert merged.dead(4).tolist() == layer.dead(4).tolist()
        for key, value in layer.channels().items():
            if key != "outliers":  # by the mean and deviation of each batch
                np.testing.assert_allclose(merged.channels()[key], value, rtol=1e-4, atol=1e-6, err_msg=key)
        assert [s.step for s in merged.samples] == [0, 1, 2, 3]
        for a, b in zip(merged.samples, layer.samples):
            np.testing.assert_array_equal(a.alive, b.alive)
        np.testing.assert_array_equal(merged.total.histogram, layer.total.histogram)
    assert first.advice() == whole.advice() and whole.advice()
    again = monitor(model)
    again.load_state(first.state())
    assert again.advice() and again.step == 4
    again.close()
    with pytest.raises(ValueError, match="1 has 64 channels here and 8 there"):
        other = network(nn.ReLU, 1, 8)
        with monitor(other, every=1) as watch:
            other(torch.zeros(1, 16))
        first.merge(watch)


def test_lines_of_json(tmp_path):
    path = tmp_path / "log.jsonl"
    model = network(nn.Tanh, 2)
    with monitor(model, every=5, window=10, jsonl=path):
        train(model, 11)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(x["step"], x["layer"]) for x in lines] == [(s, n) for s in (0, 5, 10) for n in ("1", "3")]
    for x in lines:
        assert x["function"] == "tanh" and x["channels"] == 64 and x["dead"] == 0
        assert 0 < x["gradient_in"] <= x["gradient_out"] and 0.1 < x["deviation"] < 2
    assert [x["dead_steps"] for x in lines] == [5, 5, 10, 10, 10, 10]


class Board:
    """What a writer of TensorBoard is given."""

    def __init__(self):
        self.scalars, self.histograms, self.closed = {}, [], False

    def add_scalar(self, tag, value, step):
        self.scalars[tag, step] = value

    def add_histogram_raw(self, tag, min, max, num, sum, sum_squares, limits, counts, step):
        self.histograms.append((tag, step, np.sum(counts) == num, min <= max, len(limits) == len(counts)))

    def close(self):
        self.closed = True


def test_tensorboard():
    board = Board()
    model = network(nn.SiLU, 1)
    with monitor(model, every=2, tensorboard=board):
        train(model, 3)
    assert board.histograms == [("inputs/1", s, True, True, True) for s in (0, 2)]
    assert {t for t, _ in board.scalars} == {
        f"{k}/1" for k in ("dead", "zero_slope", "saturated", "exploding", "outliers", "sparsity", "not_finite",
                           "mean", "deviation", "gradient_in", "gradient_out")
    }  # fmt: skip
    assert not board.closed  # it is the caller's


def test_tensorboard_files(tmp_path):
    """With TensorBoard itself, where it is; else its absence is told."""
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        with pytest.raises(ModuleNotFoundError, match="pip install tensorboard"):
            monitor(network(), tensorboard=tmp_path)
        return
    with monitor(model := network(), every=1, tensorboard=tmp_path):
        train(model, 2)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert "dead/1" in events.Tags()["scalars"] and "inputs/1" in events.Tags()["histograms"]


def test_page(tmp_path):
    path = tmp_path / "report.html"
    model = network()
    with torch.no_grad():
        model[0].bias[:32] = -50
    with monitor(model, every=2, window=10, html=path) as watch:
        train(model, 21)
    text = path.read_text()
    (told,) = watch.advice()
    assert told in text and "http" not in text and "<script" not in text
    body = text.removeprefix("<!doctype html>").replace("<meta charset='utf-8'>", "")
    tree = ElementTree.fromstring(body)
    assert len(tree.findall(".//svg")) == 3 * 5
    dead = tree.find(".//table").findall("tr")[1].findall("td")
    assert dead[0].text == "1" and dead[3].get("class") == "bad"
    # The curve of dead units in the first figure lies at their share.
    share = watch.layers["1"].dead(10).mean()
    points = tree.find(".//polyline").get("points").split()
    assert len(points) == 11
    assert float(points[-1].split(",")[1]) == pytest.approx(130 - 106 * share, abs=0.1)


def test_channels_are_where_they_are_said_to_be():
    model = nn.Sequential(nn.Conv1d(2, 5, 3), nn.ReLU())
    for given, count in ((None, 7), (1, 5), ({"1": 1}, 5), ({"2": 1}, 7)):
        with monitor(model, every=1, channels=given) as watch:
            model(torch.randn(3, 2, 9))
        assert len(watch.layers["1"].last_alive) == count
    with monitor(model, every=1) as watch:
        model(torch.randn(3, 2, 9))
        model(torch.randn(3, 2, 10))
    assert watch.notes == ["1 had 7 channels and has 8 at step 1: name the axis of channels by `channels`"]


class FakeTrainer:
    """What the callbacks ask of a trainer, or of its state."""

    def __init__(self, first):
        self.is_global_zero = self.is_world_process_zero = first


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("framework", ["transformers", "lightning"])
def test_callbacks(framework, first, tmp_path, capsys, monkeypatch):
    """Called in the order in which the frameworks call them."""
    path = tmp_path / "page.html"
    options = dict(every=2, window=8, jsonl=tmp_path / "log.jsonl", html=path)
    trainer, model = FakeTrainer(first), network()
    with torch.no_grad():
        model[0].bias[:32] = -50
    whole = nn.ModuleDict({"net": model})  # which is never called itself
    if framework == "transformers":
        transformers = pytest.importorskip("transformers")
        callback = nonlin.torch.trainer_monitor(**options)
        assert isinstance(callback, transformers.TrainerCallback)
        callback.on_train_begin(None, trainer, None, model=model, optimizer=None)
        train(model, 9)
        callback.on_train_end(None, trainer, None, model=model)
        name = "1"
    else:
        base = type("Callback", (), {})
        package = type(nonlin)("lightning.pytorch")
        package.Callback = base
        monkeypatch.setitem(__import__("sys").modules, "lightning", type(nonlin)("lightning"))
        monkeypatch.setitem(__import__("sys").modules, "lightning.pytorch", package)
        callback = nonlin.torch.lightning_monitor(**options)
        assert isinstance(callback, base)
        callback.on_train_start(trainer, whole)
        for batch in range(9):
            callback.on_train_batch_start(trainer, whole, None, batch)
            loss = F.cross_entropy(model(torch.randn(32, 16)), torch.randint(4, (32,)))
            callback.on_before_backward(trainer, whole, loss)
            assert torch.overrides._get_current_function_mode() is None and not model[1]._forward_hooks
            loss.backward()
            callback.on_train_batch_end(trainer, whole, None, None, batch)
        callback.on_train_end(trainer, whole)
        name = "net.1"
    watch = callback.watch.monitor
    assert watch.step == 9 and [s.step for s in watch.layers[name].samples] == [0, 2, 4, 6, 8]
    assert not np.isnan(watch.layers[name].channels()["gradient_in"]).any()
    printed = capsys.readouterr().out
    assert (f"layer {name} (relu): " in printed and "dead for 8 steps" in printed) == first
    assert path.exists() == (tmp_path / "log.jsonl").exists() == first


def test_a_framework_that_is_missing(monkeypatch):
    for name in ("lightning", "lightning.pytorch", "pytorch_lightning", "transformers"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(ModuleNotFoundError, match="pip install lightning"):
        nonlin.torch.lightning_monitor()
    with pytest.raises(ModuleNotFoundError, match="pip install transformers"):
        nonlin.torch.trainer_monitor()


def test_gathering_is_merging(monkeypatch):
    model = network()

    def watched(seed):
        with monitor(model, every=1, window=4) as watch:
            train(model, 4, rate=0, seed=seed)
        return watch

    one, two, both = watched(1), watched(2), watched(1)
    both.merge(two)
    states = [one.state(), two.state()]
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "all_gather_object", lambda out, mine: out.__setitem__(slice(None), states))
    two.gather()
    for name, layer in both.layers.items():
        np.testing.assert_array_equal(two.layers[name].total.count, 2 * one.layers[name].total.count)
        np.testing.assert_array_equal(two.layers[name].total.sums, layer.total.sums)
        np.testing.assert_array_equal(two.layers[name].last_alive, layer.last_alive)


def test_errors():
    model = network()
    for wrong, text in (
        ({"every": 0}, "every is 0; it must be a whole number of steps, and at least 1"),
        ({"window": 1.5}, "window is 1.5"),
        ({"exploding": -1.0}, "exploding is -1.0; it must be greater than 0"),
    ):
        with pytest.raises(ValueError, match=text):
            monitor(model, **wrong)
    with pytest.raises(ValueError, match="compiled"):
        monitor(torch.compile(model, backend="eager"))
    assert not model._forward_hooks and not model._forward_pre_hooks
