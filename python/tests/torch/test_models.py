"""Models trained and run with and without nonlin's kernels."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import nonlin.torch


class Transformer(nn.Module):
    """A language model of two blocks."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(50, 32)
        layer = nn.TransformerEncoderLayer(
            32, 4, 64, dropout=0.0, batch_first=True, activation="gelu"
        )
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(32, 50)

    def forward(self, x):
        return self.head(self.body(self.embed(x)))


class Convolutions(nn.Module):
    """An image classifier with most activations of PyTorch, its channels last."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.SiLU(inplace=True), nn.Conv2d(8, 16, 3), nn.GLU(1),
            nn.BatchNorm2d(8), nn.Hardswish(), nn.Conv2d(8, 8, 3), nn.Mish(), nn.LeakyReLU(),
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 16), nn.ELU(), nn.Tanh(),
            nn.Softplus(), nn.Linear(16, 10),
        )  # fmt: skip

    def forward(self, x):
        return self.body(x.contiguous(memory_format=torch.channels_last))


def train(kind, seed):
    torch.manual_seed(seed)
    model = kind()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(25):
        if kind is Transformer:
            x = torch.randint(50, (8, 12))
            loss = F.cross_entropy(model(x).flatten(0, 1), x.roll(1, 1).flatten())
        else:
            x = torch.randn(8, 3, 14, 14)
            loss = F.cross_entropy(model(x), x.mean((1, 2, 3)).gt(0).long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", [Transformer, Convolutions])
def test_training(kind, seed):
    """Losses of 25 steps agree to what rounding of f32 leaves."""
    native = train(kind, seed)
    with nonlin.torch.enable():
        ours = train(kind, seed)
    assert ours != native
    assert native[-1] < native[0]
    torch.testing.assert_close(torch.tensor(ours), torch.tensor(native), rtol=2e-4, atol=1e-5)


def hugging_face(name):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    if name == "gpt2":
        config = transformers.GPT2Config(
            vocab_size=100, n_positions=64, n_embd=32, n_layer=2, n_head=4
        )
        return transformers.GPT2LMHeadModel(config).eval()
    if name == "bert":
        config = transformers.BertConfig(
            vocab_size=100, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
            intermediate_size=64,
        )  # fmt: skip
        return transformers.BertForMaskedLM(config).eval()
    config = transformers.LlamaConfig(
        vocab_size=100, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, intermediate_size=64,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config).eval()


@pytest.mark.parametrize("name", ["gpt2", "bert", "llama"])
@pytest.mark.parametrize("way", ["enable", "convert"])
def test_hugging_face(name, way):
    """Logits agree to 1e-5, and greedy generation is the same."""
    model = hugging_face(name)
    tokens = torch.randint(100, (2, 20))

    def run():
        with torch.no_grad():
            logits = model(tokens).logits
            if name == "bert":
                return logits, logits.argmax(-1)
            mask = torch.ones_like(tokens)
            made = model.generate(
                tokens, attention_mask=mask, max_new_tokens=20, do_sample=False, pad_token_id=0
            )
            return logits, made

    logits, made = run()
    if way == "enable":
        with nonlin.torch.enable():
            ours, again = run()
    else:
        done = nonlin.torch.convert(model, to="nonlin")
        assert done.changed
        ours, again = run()
    torch.testing.assert_close(ours, logits, rtol=1e-5, atol=1e-5)
    assert torch.equal(again, made)
