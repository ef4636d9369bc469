"""`init_`: what follows each layer, the rules, and the variances that come of them."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import nonlin
import nonlin.torch
from nonlin.torch import init_

DEPTH, WIDTH, BATCH, SEEDS = 50, 1024, 64, 3


def quiet(model, **options):
    return init_(model, verbose=False, **options)


def rows(model, **options):
    done = quiet(model, **options)
    return {x.name: x for x in done.layers}, dict(done.left)


@pytest.fixture(scope="module")
def deep():
    """The linear maps of a deep network, of which each test draws the weights."""
    return [nn.Linear(WIDTH, WIDTH, device="meta").to_empty(device="cpu") for _ in range(DEPTH)]


def measured(deep, function, **options):
    """Mean squares of inputs and of outputs of all activations, as geometric means over seeds, and
    what `init_` says of one of the networks."""
    before, after = np.zeros((SEEDS, DEPTH)), np.zeros((SEEDS, DEPTH))
    model = nn.Sequential(*(m for layer in deep for m in (layer, nonlin.torch.Activation(function))))
    for seed in range(SEEDS):
        generator = torch.Generator().manual_seed(seed)
        done = quiet(model, generator=generator, **options)
        x = torch.randn(BATCH, WIDTH, generator=generator)
        with torch.no_grad():
            for i in range(DEPTH):
                z = model[2 * i](x)
                x = model[2 * i + 1](z)
                before[seed, i], after[seed, i] = z.square().mean(), x.square().mean()
    return np.exp(np.log(before).mean(0)), np.exp(np.log(after).mean(0)), done


@pytest.mark.parametrize("function", ["relu", "tanh", "selu", "elu"])
def test_variance_stays_within_a_factor_of_2(deep, function):
    before, after, done = measured(deep, function)
    assert after.max() / after.min() < 2, after
    predicted = np.array([x.variance for x in done.layers])
    assert np.abs(np.log(before / predicted)).max() < math.log(2)
    assert not done.notes
    assert {x.rule for x in done.layers} == {"LeCun normal" if function == "selu" else "He"}


@pytest.mark.parametrize("function", ["gelu", "silu", "mish"])
def test_growth_is_that_of_the_variance_map(deep, function, capsys):
    before, _, done = measured(deep, function)
    q, gain = 1.0, float(nonlin.init.gain(function))
    predicted = [gain**2]
    while len(predicted) < DEPTH:
        predicted.append(float(nonlin.init.variance_map(function, predicted[-1])))
    np.testing.assert_allclose([x.variance for x in done.layers], predicted, rtol=1e-9)
    assert predicted[-1] / predicted[0] > 20
    # One network scatters by about 0.5 in the logarithm at layer 50.
    assert np.abs(np.log(before / predicted)).max() < math.log(2)
    slope = nonlin.init.fixed_point(function).slope
    (note,) = done.notes
    assert f"does not hold: dV/dq = {slope:.4g}" in note
    assert f"it comes to {predicted[-1]:.3g} at 98" in note
    assert note in str(done)


def test_unit_variance_from_the_first_layer_on(deep):
    before, _, done = measured(deep[:1] * 1 + deep[1:], "gelu", first_gain=1.0)
    assert done.layers[0].rule == "first_gain"
    assert done.layers[0].std == pytest.approx(WIDTH**-0.5)
    np.testing.assert_allclose([x.variance for x in done.layers], 1.0, rtol=1e-9)
    assert 0.8 < before[0] < 1.25


@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg"])
@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_weights_have_the_deviation_that_is_told(mode, distribution):
    model = nn.Sequential(nn.Linear(300, 700), nn.SiLU(), nn.Conv1d(64, 32, 5, groups=4), nn.ELU(0.5))
    done = quiet(model, mode=mode, distribution=distribution)
    fans = {"fan_in": (300, 80), "fan_out": (700, 40), "fan_avg": (500, 60)}[mode]
    kept = {"fan_in": "forward", "fan_out": "backward", "fan_avg": "mean"}[mode]
    for x, fan, function, params in zip(done.layers, fans, ("silu", "elu"), ({}, {"alpha": 0.5})):
        gain = nonlin.init.gain(function, mode=kept, **params)
        assert (x.fan, x.gain) == (fan, pytest.approx(float(gain), rel=1e-12))
        assert x.std == pytest.approx(x.gain / fan**0.5)
        w = model[int(x.name)].weight
        assert w.std().item() == pytest.approx(x.std, rel=0.03)
        assert abs(w.mean().item()) < 4 * x.std / w.numel() ** 0.5
        if distribution == "uniform":
            assert 0.97 < w.abs().max().item() / (3**0.5 * x.std) <= 1
        else:
            assert w.abs().max().item() > 2.5 * x.std


def test_rules_of_the_literature():
    model = nn.Sequential(
        nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 32), nn.SELU(), nn.Linear(32, 48), nn.Softmax(-1)
    )
    first, second, third = quiet(model, mode="fan_out", distribution="uniform").layers
    assert (first.rule, first.std) == ("He", pytest.approx((2 / 96) ** 0.5))
    assert (second.rule, second.std) == ("LeCun normal", pytest.approx(96**-0.5))
    assert model[2].weight.abs().max() > 3**0.5 * 96**-0.5
    assert (third.rule, third.std) == ("Xavier", pytest.approx((2 / 80) ** 0.5))
    assert third.notes == ("softmax follows",)


class Sine(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return torch.sin(self.factor * x)


@pytest.mark.parametrize("factor", [30.0, torch.tensor(30.0), 1.0])
def test_siren(factor):
    layers = [nn.Linear(2, 256), Sine(factor), nn.Linear(256, 256), Sine(factor), nn.Linear(256, 1)]
    if isinstance(factor, torch.Tensor):
        for m in layers[1::2]:
            del m.factor
            m.register_buffer("factor", factor)
    model = nn.Sequential(*layers)
    done = quiet(model)
    a, b, last = done.layers
    assert (a.rule, b.rule, last.rule) == ("SIREN first", "SIREN", "Xavier")
    assert 0.99 < model[0].weight.abs().max() / (1 / 2) <= 1
    limit = (6 / 256) ** 0.5 / float(factor)
    assert 0.99 < model[2].weight.abs().max() / limit <= 1
    assert b.std == pytest.approx(limit / 3**0.5)
    assert a.bias is None and model[2].bias.abs().max() <= 1 / 16
    if factor == 1:
        assert "SIREN multiplies by 30 before its first sine, this model by 1" in done.notes[0]
    else:
        # The input of a sine with its factor has a mean square of 1, as in the article.
        assert not done.notes and b.variance * 30**2 == pytest.approx(1, rel=0.01)


def test_biases():
    def model():
        return nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4, bias=False))

    def biases(**options):
        m = model()
        done = quiet(m, **options)
        values = [m[0].bias.unique().tolist(), m[2].bias.unique().tolist()]
        assert [x.bias for x in done.layers[:2]] == pytest.approx(sum(values, []))
        assert done.layers[2].bias is None
        return sum(values, [])

    assert biases() == [0.0, 0.0]
    assert biases(bias=0.1) == pytest.approx([0.1, 0.0])
    assert biases(bias={"tanh": 0.25}) == [0.0, 0.25]
    m = model()
    old = m[0].bias.clone()
    assert quiet(m, bias=None).layers[0].bias is None
    assert torch.equal(m[0].bias, old)


class Functional(nn.Module):
    """Activations that a forward calls, in several spellings."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(6, 6) for _ in range(9))

    def forward(self, x):
        a, b, c, d, e, f, g, h, i = self.layers
        x = torch.relu_(a(x))
        x = F.leaky_relu(b(x), 0.3)
        x = c(x).tanh()
        y = d(x)
        x = y * torch.sigmoid(y)
        x = F.dropout(nonlin.torch.mish(e(x)), 0.1, self.training)
        x = F.gelu(f(x).reshape(-1, 2, 3), approximate="tanh").flatten(1)
        x = torch.where((y := g(x)) > 0, y, torch.expm1(y))
        return i(x + torch.clamp(h(x), -1, 1))


def branching(model):
    """Code that cannot be traced, around a model."""

    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, x):
            return self.inner(x if x.sum() > -1e9 else -x)

    return Branching()


def nested(done, prefix):
    return {x.name.removeprefix(prefix): (x.activation, x.gain, x.rule) for x in done.layers}


def test_functional_activations():
    model = Functional()
    done = quiet(model)
    assert done.way == "traced" and not done.left
    assert [x.activation for x in done.layers] == [
        "relu", "leaky_relu(x, 0.3)", "tanh", "silu", "mish", "gelu_tanh", "elu", "clamp(x, -1, 1)", "identity",
    ]  # fmt: skip
    gains = [x.gain for x in done.layers]
    for i, name in enumerate(["relu", None, "tanh", "silu", "mish", "gelu_tanh", "elu"]):
        if name:
            assert gains[i] == pytest.approx(float(nonlin.init.gain(name)), rel=1e-9)
    assert gains[1] == pytest.approx((2 / 1.09) ** 0.5, rel=1e-9)
    assert gains[7] == pytest.approx(float(nonlin.init.gain(lambda x: np.clip(x, -1, 1))), rel=1e-9)
    # An example shows what tracing shows.
    ran = quiet(branching(model), example=torch.randn(5, 6))
    assert ran.way.startswith("run on the example")
    assert nested(ran, "inner.") == nested(done, "")
    # Without one, the parts that can be traced; only what leaves them is unknown.
    parts = quiet(branching(model))
    assert parts.way.startswith("traced in parts")
    known = nested(parts, "inner.")
    assert known == {k: v for k, v in nested(done, "").items() if k != "layers.8"}
    assert parts.left == [
        ("inner.layers.8", "its output leaves the part of the model that can be traced")
    ]


def test_the_order_of_a_sequential_holds_where_a_part_cannot_be_traced():
    class Untraceable(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(), nn.ELU(), Untraceable(), nn.Linear(3, 3), nn.Tanh())
    done, left = rows(model)
    assert {k: v.activation for k, v in done.items()} == {"0": "elu", "4": "tanh"}
    assert not left


class Residual(nn.Module):
    def __init__(self, after):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.a, self.b = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.after = after

    def forward(self, x):
        x = self.stem(x)
        y = self.norm(self.b(F.relu(self.a(x))))
        return F.silu(x + y) if self.after else x + y


class Stream(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = (nn.Linear(8, 8) for _ in range(3))

    def forward(self, x):
        x = x + self.b(F.relu(self.a(x)))
        return x + torch.tanh(self.c(F.elu(x)))


def test_residual_branches():
    done, _ = rows(Stream())
    assert {k: v.activation for k, v in done.items()} == {"a": "relu", "b": "identity", "c": "tanh"}
    assert (done["b"].variance, done["c"].variance) == (pytest.approx(1), None)
    done, _ = rows(Residual(True))
    assert done["a"].activation == "relu"
    assert done["b"].activation == "silu"
    assert done["b"].notes == ("BatchNorm2d in between", "added to another branch")
    assert done["stem"].activation == "silu"  # by way of the sum
    report = quiet(Residual(False))
    of = {x.name: x for x in report.layers}
    assert of["b"].activation == "identity" and of["b"].rule == "Xavier"
    assert "added to another branch" in of["b"].notes
    assert "variances of the sum add up" in report.notes[-1]


def test_predicted_variances_know_norms_and_pools():
    def last(*between, **options):
        done, _ = rows(nn.Sequential(nn.Linear(64, 64), *between, nn.Linear(16, 16)), **options)
        *_, x = done.values()
        return x.variance

    square = float(nonlin.init.moments("gelu").square)
    tail = nn.GELU(), nn.Unflatten(-1, (4, 16)), nn.Dropout()
    assert last(nn.LayerNorm(64), *tail) == pytest.approx(square)
    assert last(nn.Identity(), nn.LayerNorm(64), *tail) == pytest.approx(square)
    gain = float(nonlin.init.gain("gelu"))
    assert last(*tail) == pytest.approx(float(nonlin.init.moments("gelu", variance=gain**2).square))
    assert last(*tail, nn.LayerNorm(16)) == pytest.approx(1)
    assert last(nn.AvgPool1d(2, 1, 1), *tail) is None
    assert last(*tail, nn.AvgPool1d(2, 1, 1)) is None
    assert last(*tail, first_gain=2.0) == pytest.approx(float(nonlin.init.moments("gelu", variance=4.0).square))


def test_gated_units():
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate, self.up, self.packed = nn.Linear(8, 16), nn.Linear(8, 16), nn.Linear(16, 32)
            self.by_hand, self.glu, self.a, self.b = (nn.Linear(16, 32) for _ in range(4))
            self.unit = nonlin.torch.SwiGLU()
            self.down = nn.Linear(32, 4)

        def forward(self, x):
            x = self.unit(self.packed(F.silu(self.gate(x)) * self.up(x)))
            a, b = self.by_hand(x).chunk(2, -1)
            x = F.glu(self.glu(torch.sigmoid(a) * b))
            return self.down(nonlin.torch.geglu(self.a(x), self.b(x)))

    done, left = rows(Gated())
    assert not left
    gains = {n: float(nonlin.init.gain(n)) for n in ("swiglu", "glu", "geglu")}
    want = {"gate": "swiglu", "up": "swiglu", "packed": "swiglu", "by_hand": "glu", "glu": "glu",
            "a": "geglu", "b": "geglu"}  # fmt: skip
    for name, unit in want.items():
        assert done[name].gain == pytest.approx(gains[unit], rel=1e-9), name
    assert done["gate"].activation == done["up"].activation == "silu * identity"
    assert done["down"].rule == "Xavier"
    ran, _ = rows(branching(Gated()), example=torch.randn(2, 8))
    assert {k.removeprefix("inner."): v.gain for k, v in ran.items()} == {k: v.gain for k, v in done.items()}
    note = "a gated unit has a gain forward alone"
    assert note in rows(Gated(), mode="fan_out")[0]["packed"].notes


def test_shared_weights():
    class Tied(nn.Module):
        def __init__(self, other):
            super().__init__()
            self.embed = nn.Embedding(7, 5)
            self.body, self.again = nn.Linear(5, 5), nn.Linear(5, 5)
            self.again.weight = self.body.weight
            self.head = nn.Linear(5, 7, bias=False)
            self.head.weight = self.embed.weight
            self.other = other

        def forward(self, i):
            x = torch.relu(self.body(self.embed(i)))
            return self.head(self.other(self.again(torch.relu(self.body(x)))))

    model = Tied(nn.ReLU())
    embedded = model.embed.weight.clone()
    done, left = rows(model)
    assert list(done) == ["body"] and done["body"].notes == ("used 3 times",)
    assert left["embed"] == "Embedding and Linear share this weight"
    assert torch.equal(model.embed.weight, embedded)
    before = Tied(nn.Tanh())
    kept = before.body.weight.clone()
    done, left = rows(before)
    assert left["body"] == "relu and tanh follow" and not done
    assert torch.equal(before.body.weight, kept)


def test_what_is_left_is_listed():
    class Odd(nn.Module):
        def forward(self, x):
            return x.sort().values

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.lstm = nn.Linear(4, 4), nn.Linear(4, 4), nn.LSTM(4, 4)
            self.lazy, self.meta = nn.LazyLinear(3), nn.Linear(3, 3, device="meta")
            self.normed = nn.utils.parametrizations.weight_norm(nn.Linear(3, 3))
            self.odd, self.unused = Odd(), nn.Linear(2, 2)
            self.norm = nn.LayerNorm((2, 2))

        def forward(self, x):
            x = torch.relu(self.b(self.lstm(self.odd(self.a(x)))[0]))
            return torch.relu(self.meta(torch.relu(self.normed(self.lazy(x)))))

    done, left = rows(Model())
    assert {k: v.notes for k, v in done.items()} == {"a": ("sort follows",), "b": ()}
    assert "weight is parametrised" in left["normed"]
    assert "run the model once" in left["lazy"]
    assert "device meta" in left["meta"]
    assert left["lstm.weight_ih_l0"].startswith("LSTM: neither")
    assert "norm" not in left
    assert "does not call" in left["unused"]


def test_formulas():
    sharp = nonlin.torch.Activation("x * tanh(alpha * x); alpha = 1 in (0, 10)", alpha=2)
    gate = nonlin.torch.Activation("a * max(b, 0)")
    model = nn.Sequential(nn.Linear(6, 6), sharp, nn.Linear(6, 6), gate, nn.Linear(3, 6), nn.ReLU())
    a, b, _ = quiet(model).layers
    assert a.gain == pytest.approx(float(nonlin.init.gain(lambda x: x * np.tanh(2 * x))), rel=1e-9)
    assert a.activation.endswith(" at alpha=2")
    # E a^2 max(b, 0)^2 is 1/2.
    assert b.gain == pytest.approx(2**0.5, rel=1e-9)
    done, _ = rows(branching(nn.Linear(3, 3)), activations={"inner": "x * tanh(x)"})
    assert done["inner"].gain == pytest.approx(float(nonlin.init.gain(lambda x: x * np.tanh(x))), rel=1e-9)


def test_what_a_caller_tells_counts():
    model = branching(nn.Linear(3, 3))
    assert rows(model)[1] == {"inner": "its output leaves the part of the model that can be traced"}
    done, left = rows(model, activations={"inner": "swish"})
    assert not left and done["inner"].activation == "silu"
    done, _ = rows(model, activations={"inner": np.cos})
    assert done["inner"].gain == pytest.approx(float(nonlin.init.gain(np.cos)), rel=1e-12)
    with pytest.raises(ValueError, match="there is no layer `innr`; layers: "):
        quiet(model, activations={"innr": "relu"})
    with pytest.raises(TypeError, match="3 is no function"):
        quiet(model, activations={"inner": 3})


def test_pytorch_transformer():
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, activation="gelu")
    mode = layer.training
    done, left = rows(layer, example=torch.randn(2, 5, 16))
    assert {k: v.activation for k, v in done.items()} == {"linear1": "gelu", "linear2": "identity"}
    assert set(left) == {"self_attn.in_proj_weight", "self_attn.out_proj"}
    assert layer.training == mode
    state = nn.BatchNorm1d(4)
    model = branching(nn.Sequential(nn.Linear(4, 4), state, nn.ReLU()))
    quiet(model, example=torch.randn(8, 4) + 5)
    assert state.num_batches_tracked == 0 and torch.equal(state.running_mean, torch.zeros(4))


def test_hugging_face():
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=50, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config)
    done, left = rows(model, example={"input_ids": torch.arange(6)[None], "use_cache": False})
    of = {k.split(".")[-1]: v for k, v in done.items()}
    assert of["gate_proj"].activation == of["up_proj"].activation == "silu * identity"
    assert {k for k, v in of.items() if v.rule == "Xavier"} == {
        "q_proj", "k_proj", "v_proj", "o_proj", "down_proj", "lm_head"
    }  # fmt: skip
    assert list(left) == ["model.embed_tokens"]


def test_generators_types_and_wrappers():
    def drawn(seed, dtype=torch.float32, wrap=lambda m: m):
        model = nn.Sequential(nn.Linear(8, 8), nn.ReLU()).to(dtype)
        quiet(wrap(model), generator=torch.Generator().manual_seed(seed))
        return model[0].weight.detach()

    torch.manual_seed(5)
    state = torch.get_rng_state()
    a = drawn(1)
    assert torch.equal(a, drawn(1)) and not torch.equal(a, drawn(2))
    assert torch.equal(a.bfloat16(), drawn(1, torch.bfloat16))
    assert torch.equal(a, drawn(1, wrap=lambda m: torch.compile(m, backend="eager")))
    assert torch.equal(a, drawn(1, wrap=nn.DataParallel))
    m = nn.Linear(8, 8)
    torch.set_rng_state(state)
    quiet(m)
    other = m.weight.clone()
    torch.set_rng_state(state)
    quiet(m)
    assert torch.equal(m.weight, other)
    assert m.weight.requires_grad and m.weight.grad_fn is None


def test_transposed_convolutions_keep_the_variance():
    model = nn.Sequential(nn.ConvTranspose2d(64, 128, 4, stride=2, padding=1), nn.ReLU())
    (x,) = quiet(model).layers
    assert (x.fan, x.variance) == (64 * 16 / 4, pytest.approx(2))
    with torch.no_grad():
        y = model[0](torch.randn(4, 64, 12, 12))[..., 2:-2, 2:-2]
    assert y.square().mean().item() == pytest.approx(2, rel=0.1)


def test_fans_of_grouped_transposed_convolutions():
    model = nn.Sequential(nn.ConvTranspose1d(12, 20, 5, groups=4), nn.ReLU())
    assert quiet(model).layers[0].fan == 3 * 5
    assert quiet(model, mode="fan_out").layers[0].fan == 5 * 5
    assert quiet(branching(model), example=torch.zeros(1, 12, 9)).layers[0].fan == 3 * 5

    class Called(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.empty(12, 5, 5))

        def forward(self, x):
            return F.relu(F.conv_transpose1d(x, self.weight, None, 1, 0, 0, 4))

    (x,) = quiet(Called()).layers
    assert (x.name, x.fan, x.activation) == ("(the model itself)", 3 * 5, "relu")


def test_errors_and_the_table(capsys):
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    for wrong, text in (
        ({"mode": "fan"}, "mode is 'fan'; it must be 'fan_in', 'fan_out' or 'fan_avg'"),
        ({"distribution": "cauchy"}, "it must be 'normal' or 'uniform'"),
        ({"bias": math.nan}, "the bias of bias is nan"),
        ({"bias": {"relu": math.inf}}, "the bias of relu is inf"),
        ({"first_gain": 0.0}, "first_gain is 0.0; it must be finite and greater than 0"),
    ):
        with pytest.raises(ValueError, match=text):
            init_(model, **wrong)
    done = init_(model, bias=0.1)
    assert capsys.readouterr().out == f"{done}\n"
    assert str(done).splitlines()[1:] == [
        "layer  activation  rule  fan  gain    std     bias  variance",
        "0      relu        He    3    1.4142  0.8165  0.1   2.01",
    ]
