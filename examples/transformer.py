#!/usr/bin/env python3
"""A small transformer that learns to write text, letter by letter, with gated feed-forward layers.

    python examples/transformer.py --activation swiglu
    python examples/transformer.py --activation mish --text book.txt

A gated unit such as swiglu is taken as it is; of any other function f the unit is f(a) b. What is
recorded is the perplexity of the last tenth of the text: of how many letters, equally likely, the
next one might be. The default text is the language reference that Python has for `help()`.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import common
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class GatedFeedForward(nn.Module):
    """Two projections, a gated unit of them, and a projection back."""

    def __init__(self, width: int, hidden: int, activation: str) -> None:
        super().__init__()
        self.gate = nn.Linear(width, hidden, bias=False)
        self.value = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)
        self.gated = common.is_gated(activation)
        self.activation = common.activation(activation, gated=self.gated)

    def forward(self, x: Tensor) -> Tensor:
        """Of the same shape as its input."""
        gate, value = self.gate(x), self.value(x)
        unit = self.activation(gate, value) if self.gated else self.activation(gate) * value
        return self.down(unit)


class Attention(nn.Module):
    """Causal attention with several heads."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Of the same shape as its input."""
        batch, length, width = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(batch, length, width))


class Block(nn.Module):
    """Attention and feed-forward layer, each normalised before and added to what it was given."""

    def __init__(self, width: int, heads: int, activation: str) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.feed_forward = GatedFeedForward(width, 8 * width // 3, activation)

    def forward(self, x: Tensor) -> Tensor:
        """Of the same shape as its input."""
        x = x + self.attention(self.norm1(x))
        return x + self.feed_forward(self.norm2(x))


class Transformer(nn.Module):
    """Of each letter, the scores of what comes next."""

    def __init__(
        self, letters: int, context: int, width: int, heads: int, layers: int, activation: str
    ) -> None:
        super().__init__()
        self.context = context
        self.letter = nn.Embedding(letters, width)
        self.place = nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Block(width, heads, activation) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, letters, bias=False)
        nn.init.normal_(self.letter.weight, std=0.02)
        nn.init.normal_(self.place.weight, std=0.02)

    def forward(self, text: Tensor) -> Tensor:
        """Scores of the shape batch x length x letters."""
        place = torch.arange(text.shape[1], device=text.device)
        x = self.letter(text) + self.place(place)
        return self.head(self.norm(self.blocks(x)))


def read(path: Path | None) -> str:
    """The text of a file, or that of Python's own help."""
    if path is not None:
        return path.read_text(encoding="utf-8", errors="replace")
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name] for name in sorted(topics))


@torch.no_grad()
def write(model: Transformer, start: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """A text, one letter drawn after the other."""
    text = start[None]
    for _ in range(count):
        scores = model(text[:, -model.context :])[0, -1]
        chosen = torch.multinomial(scores.softmax(-1), 1, generator=generator)
        text = torch.cat([text, chosen[None]], 1)
    return text[0]


def main() -> None:
    parser = common.arguments(__doc__.splitlines()[0], activation="swiglu", steps=1000, batch=32, rate=0.002)
    add = parser.add_argument
    add("--text", type=common.file, help="file to learn; by default the text of Python's help()")
    add("--context", type=common.positive, default=64, help="letters that are looked back on")
    add("--width", type=common.positive, default=96, help="numbers of a letter")
    add("--heads", type=common.positive, default=4, help="of attention; a divisor of the width")
    add("--layers", type=common.positive, default=2, help="blocks")
    args = common.parse(parser)
    if args.width % args.heads:
        sys.exit(f"--heads {args.heads}: not a divisor of --width {args.width}")
    if args.quick:
        args.width, args.heads, args.context = 24, 2, 16
    with common.processes():
        text = read(args.text)
        letters = sorted(set(text))
        number = {letter: i for i, letter in enumerate(letters)}
        codes = torch.tensor([number[letter] for letter in text])
        border = len(codes) - len(codes) // 10
        train, test = codes[:border], codes[border:]
        if len(test) <= args.context:
            sys.exit(f"{len(text)} letters: with --context {args.context} a text has more than {10 * args.context}")
        model = Transformer(len(letters), args.context, args.width, args.heads, args.layers, args.activation)

        def windows(source: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
            places = starts[:, None] + torch.arange(args.context + 1)
            return source[places[:, :-1]], source[places[:, 1:]]

        def batch(step: int) -> tuple[Tensor, Tensor]:
            draw = common.generator(args.seed, step)
            starts = torch.randint(len(train) - args.context, (args.batch,), generator=draw)
            return windows(train, starts)

        def loss(model: nn.Module, given: Tensor, wanted: Tensor) -> Tensor:
            return F.cross_entropy(model(given).flatten(0, 1), wanted.flatten())

        # At most 128 windows without overlap.
        starts = torch.arange(0, len(test) - args.context, args.context)
        given, wanted = windows(test, starts[:: -(-len(starts) // 128)])

        def perplexity() -> float:
            return math.exp(loss(model, given, wanted).item())

        history = common.fit(
            args, model, torch.optim.AdamW(model.parameters(), args.rate, weight_decay=0.01),
            batch, loss, clip=1.0, evaluate=perplexity,
        )  # fmt: skip
        common.say(f"perplexity {history['valid'][-1][1]:.3f} of {len(letters)} letters; it writes:\n")
        written = write(model, test[: args.context], 20 if args.quick else 300, common.generator(args.seed, 1))
        common.say("".join(letters[code] for code in written[args.context :]))

        def draw(figure) -> None:
            common.curves(figure.subplots(), history, "training", "perplexity")

        common.figure(args.out / "transformer.svg", draw)


if __name__ == "__main__":
    main()
