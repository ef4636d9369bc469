#!/usr/bin/env python3
"""Compares activations over many seeds, and says which differences chance does not explain.

    python examples/compare.py
    python examples/compare.py --out docs/training --page docs/training.md

Three tasks: digits with 20 hidden layers and with 2, and a picture that a network learns as a function
of place. Each activation has the learning rate, of a few, that is best on other seeds. All of them see
the same data, batches and random weights (times their gain) of a seed, so differences are paired. A
run that is stopped by Ctrl-C goes on when the command is given again.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import math
import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import common
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import nonlin.init

# --- What is compared ----------------------------------------------------------------------------

#: Of a task: activations, learning rates to choose from, steps, hidden layers.
SETTINGS: dict[str, dict[str, Any]] = {
    "deep": {
        "activations": ["relu", "relu, batch norm", "leaky_relu", "prelu", "elu", "selu", "gelu", "silu", "mish",
                        "tanh", "sigmoid"],
        "rates": [0.001, 0.003, 0.01, 0.03, 0.1], "steps": 600, "layers": 20, "width": 64, "batch": 64,
    },
    "shallow": {
        "activations": ["relu", "prelu", "elu", "selu", "gelu", "silu", "mish", "tanh", "sigmoid"],
        "rates": [0.001, 0.003, 0.01, 0.03, 0.1, 0.3], "steps": 600, "layers": 2, "width": 64, "batch": 64,
    },
    "image": {
        "activations": ["relu", "tanh", "sine"],
        "rates": [0.0003, 0.001, 0.003, 0.01, 0.03], "steps": 400, "layers": 3, "width": 64, "batch": 4096,
    },
}  # fmt: skip
#: Seeds on which learning rates are chosen; none of them counts in the comparison.
CHOICE = [1000, 1001, 1002]

TITLES = {
    "deep": "digits, 20 hidden layers",
    "shallow": "digits, 2 hidden layers",
    "image": "a picture of 64 × 64",
}
UNITS = {"deep": "test accuracy, %", "shallow": "test accuracy, %", "image": "PSNR, dB"}


@dataclass(frozen=True)
class Claim:
    """That one activation is better than another, and who reports it."""

    task: str
    better: str
    worse: str
    source: str


CLAIMS = [
    Claim("deep", "relu", "sigmoid", "Glorot et al. 2011"),
    Claim("deep", "prelu", "relu", "He et al. 2015"),
    Claim("deep", "elu", "relu", "Clevert et al. 2015"),
    Claim("deep", "selu", "relu", "Klambauer et al. 2017"),
    Claim("deep", "selu", "relu, batch norm", "Klambauer et al. 2017"),
    Claim("deep", "gelu", "relu", "Hendrycks and Gimpel 2016"),
    Claim("deep", "silu", "relu", "Ramachandran et al. 2017"),
    Claim("deep", "mish", "relu", "Misra 2019"),
    Claim("image", "sine", "relu", "Sitzmann et al. 2020"),
]

# --- One run -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """A training; `score` is what UNITS names, `valid` what rates are chosen by."""

    task: str
    activation: str
    rate: float
    seed: int
    score: float = math.nan
    valid: float = math.nan
    loss: float = math.nan

    @property
    def key(self) -> tuple:
        """Of what run these are the results."""
        return self.task, self.activation, self.rate, self.seed


def network(sizes: list[int], name: str) -> nn.Sequential:
    """Linear layers with the activation after each but the last; weights have its gain, biases are 0."""
    function, _, norm = name.partition(", ")
    gain = nonlin.init.gain(function)
    layers: list[nn.Module] = []
    for wide, next_wide in itertools.pairwise(sizes):
        linear = nn.Linear(wide, next_wide)
        # The first layer's inputs have the variance 1; no activation has been there.
        nn.init.normal_(linear.weight, std=(gain if layers else 1) / math.sqrt(wide))
        nn.init.zeros_(linear.bias)
        layers += [linear, *([nn.BatchNorm1d(next_wide)] if norm else [])]
        layers.append(common.activation("learnable:prelu" if function == "prelu" else function, next_wide))
    return nn.Sequential(*layers[: -2 if norm else -1])


class Sine(nn.Module):
    """sin(30 x), as SIREN has it."""

    def forward(self, x: Tensor) -> Tensor:
        """Of the same shape as its input."""
        return torch.sin(30 * x)


def siren(sizes: list[int]) -> nn.Sequential:
    """Linear layers with sines between, initialised as the article of SIREN says."""
    layers: list[nn.Module] = []
    for wide, next_wide in itertools.pairwise(sizes):
        linear = nn.Linear(wide, next_wide)
        bound = math.sqrt(6 / wide) / 30 if layers else 1 / wide
        nn.init.uniform_(linear.weight, -bound, bound)
        layers += [linear, Sine()]
    return nn.Sequential(*layers[:-1])


def train(
    model: nn.Module, optimizer: torch.optim.Optimizer, steps: int, loss: Callable[[int], Tensor]
) -> float:
    """The mean loss of the last tenth of the steps; infinite if it ceased to be a number."""
    last: list[float] = []
    model.train()
    for step in range(steps):
        optimizer.zero_grad()
        value = loss(step)
        value.backward()
        optimizer.step()
        if not math.isfinite(value.item()):
            return math.inf
        if step >= steps - max(1, steps // 10):
            last.append(value.item())
    model.eval()
    return sum(last) / len(last)


def digits(run: Run, settings: dict[str, Any]) -> Run:
    """Three fifths of the images are learned, a fifth each is for the choice of rates and the test."""
    x, labels = common.digits()
    x = x.flatten(1)
    rest, test = common.split(len(x), 0.2, run.seed)
    train_part, valid = rest[len(test) :], rest[: len(test)]
    x = (x - x[train_part].mean(0)) / x[train_part].std(0).clamp_min(0.01)
    torch.manual_seed(run.seed)
    model = network([64, *[settings["width"]] * settings["layers"], 10], run.activation)
    optimizer = torch.optim.SGD(model.parameters(), run.rate, momentum=0.9)
    batch = common.batches(
        argparse.Namespace(batch=settings["batch"], seed=run.seed), x[train_part], labels[train_part]
    )

    def loss(step: int) -> Tensor:
        images, wanted = batch(step)
        return F.cross_entropy(model(images), wanted)

    found = train(model, optimizer, settings["steps"], loss)
    right = [0.0, 0.0]
    if math.isfinite(found):
        right = [100 * common.accuracy(model, x[part], labels[part]) for part in (test, valid)]
    return Run(*run.key, *right, found)


def picture() -> Tensor:
    """A grey picture of 64 x 64 from -1 to 1, of one that scikit-learn has."""
    from sklearn.datasets import load_sample_image

    grey = torch.tensor(load_sample_image("china.jpg")).double().mean(-1)
    side = min(grey.shape) // 64 * 64
    return (F.avg_pool2d(grey[None, None, :side, :side], side // 64)[0, 0] / 127.5 - 1).float()


def image(run: Run, settings: dict[str, Any]) -> Run:
    """All pixels are learned; PSNR tells how near they come, of a signal from -1 to 1."""
    wanted = picture()
    line = torch.linspace(-1, 1, len(wanted))
    places = torch.cartesian_prod(line, line)
    torch.manual_seed(run.seed)
    sizes = [2, *[settings["width"]] * settings["layers"], 1]
    model = siren(sizes) if run.activation == "sine" else network(sizes, run.activation)
    optimizer = torch.optim.Adam(model.parameters(), run.rate)
    found = train(
        model, optimizer, settings["steps"], lambda _: F.mse_loss(model(places)[:, 0], wanted.flatten())
    )
    with torch.no_grad():
        error = F.mse_loss(model(places)[:, 0], wanted.flatten()).item()
    psnr = 10 * math.log10(4 / error) if math.isfinite(found) and error > 0 else 0.0
    return Run(*run.key, psnr, psnr, found)


def perform(work: tuple[Run, dict[str, Any]]) -> Run:
    """A run, in a process of its own with one thread."""
    run, settings = work
    torch.set_num_threads(1)
    return (image if run.task == "image" else digits)(run, settings)


# --- All runs ------------------------------------------------------------------------------------


def read(path: Path) -> dict[tuple, Run]:
    """The runs that have finished. The last line may be a part of one."""
    found: dict[tuple, Run] = {}
    if path.exists():
        for line in path.read_text().splitlines(keepends=True)[1:]:
            if line.endswith("\n"):
                task, activation, rate, seed, *rest = next(csv.reader([line]))
                run = Run(task, activation, float(rate), int(seed), *map(float, rest))
                found[run.key] = run
    return found


def write(path: Path, runs: dict[tuple, Run]) -> None:
    """All runs, in the order of the settings."""

    def place(run: Run) -> tuple:
        activations = SETTINGS[run.task]["activations"]
        return list(SETTINGS).index(run.task), activations.index(run.activation), run.seed, run.rate

    part = path.with_name(path.name + ".part")
    with part.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Run.__dataclass_fields__)
        writer.writerows(astuple(run) for run in sorted(runs.values(), key=place))
    part.replace(path)


def perform_all(wanted: list[Run], settings: dict, path: Path, jobs: int, what: str) -> dict[tuple, Run]:
    """Makes those runs that have not been made, and keeps each as soon as it has finished."""
    runs = read(path)
    write(path, runs)
    left = [(run, settings[run.task]) for run in wanted if run.key not in runs]
    if left:
        # The longest first, so that no process is left with one when the others have ended.
        left.sort(key=lambda work: -work[1]["layers"] * work[1]["steps"] * work[1]["batch"])
        context = multiprocessing.get_context("spawn")
        with (
            context.Pool(jobs, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)) as pool,
            path.open("a", newline="") as file,
            common.progress(what, 0, len(left), "run") as shown,
        ):
            writer = csv.writer(file, lineterminator="\n")
            for count, run in enumerate(pool.imap_unordered(perform, left), 1):
                writer.writerow(astuple(run))
                file.flush()
                runs[run.key] = run
                shown(count, run.loss, [])
        write(path, runs)
    return runs


def choose(runs: dict[tuple, Run], tasks: list[str], settings: dict) -> dict[tuple[str, str], float]:
    """Of each activation the rate with the best mean over the seeds of the choice."""
    best = {}
    for task in tasks:
        for activation in settings[task]["activations"]:

            def mean(rate: float, task=task, activation=activation) -> float:
                return sum(runs[task, activation, rate, seed].valid for seed in CHOICE)

            best[task, activation] = max(settings[task]["rates"], key=mean)
    return best


def of_all_seeds(
    runs: dict[tuple, Run], best: dict[tuple[str, str], float], seeds: int
) -> dict[tuple[str, str], np.ndarray]:
    """The scores of each task and activation with its rate."""
    return {
        (task, activation): np.array([runs[task, activation, rate, seed].score for seed in range(seeds)])
        for (task, activation), rate in best.items()
    }


# --- Significance --------------------------------------------------------------------------------


def sign_flips(differences: np.ndarray) -> float:
    """The exact two-sided p of a mean, where each difference might as well have the other sign."""
    signs = np.array(list(itertools.product((1, -1), repeat=len(differences))))
    means = np.abs(signs @ differences)
    return float(np.mean(means >= means[0] * (1 - 1e-9)))


def holm(p: list[float]) -> list[float]:
    """Holm's correction: each p times the number of those not below it, and none below a smaller one's."""
    corrected, least = [0.0] * len(p), 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        least = max(least, min(1.0, p[place] * (len(p) - rank)))
        corrected[place] = least
    return corrected


def interval(differences: np.ndarray) -> tuple[float, float]:
    """The interval of 95 % of a mean, by a bootstrap over seeds."""
    draw = np.random.default_rng(0).integers(len(differences), size=(10_000, len(differences)))
    low, high = np.quantile(differences[draw].mean(1), [0.025, 0.975])
    return float(low), float(high)


@dataclass(frozen=True)
class Finding:
    """What came of a claim."""

    claim: Claim
    mean: float
    low: float
    high: float
    p: float

    @property
    def verdict(self) -> str:
        """In a word or two."""
        if self.p >= 0.05:
            return "not decided"
        return "shown" if self.mean > 0 else "refuted"


def findings(scores: dict[tuple[str, str], np.ndarray]) -> list[Finding]:
    """All claims about what was trained, with their corrected p."""
    claims = [c for c in CLAIMS if (c.task, c.better) in scores]
    pairs = [scores[c.task, c.better] - scores[c.task, c.worse] for c in claims]
    corrected = holm([sign_flips(d) for d in pairs])
    return [
        Finding(c, float(d.mean()), *interval(d), p) for c, d, p in zip(claims, pairs, corrected, strict=True)
    ]


# --- The page ------------------------------------------------------------------------------------


def page(
    scores: dict[tuple[str, str], np.ndarray], best: dict[tuple[str, str], float],
    settings: dict, seeds: int, figure: str, command: str,
) -> Iterator[str]:  # fmt: skip
    """The lines of the document."""
    found = findings(scores)
    yield from (
        "# Activations compared by training",
        "",
        f"Generated by `{command}`; do not edit.",
        "",
        f"Each activation is trained with {seeds} seeds. Of a seed all of them see the same data, batches and random",
        "weights, so differences are paired. Weights have the gain that `nonlin.init.gain` gives for the function,",
        "biases are 0, and the learning rate is the best of a few on three other seeds. Sine is PyTorch's,",
        "sin(30 x), with SIREN's own initialisation; `prelu` learns a slope for each unit.",
        "",
        "## What others report",
        "",
        "The p is exact: of all ways to flip the signs of the differences, the share with a mean at least as far from",
        f"0, either way; then corrected by Holm for {len(found)} claims. The least that {seeds} seeds and so many claims",
        f"can have is {len(found) * 2 / 2**seeds:.3f}. *Shown* is a claim with p below 0.05, *refuted* one with the other sign and p",
        "below 0.05; *not decided* says that these runs do not tell, not that there is no difference. Intervals of",
        "95 % are of each mean difference by itself, by a bootstrap over seeds.",
        "",
        "| task | claim | reported by | mean difference | 95 % | p | |",
        "|---|---|---|---|---|---|---|",
    )
    for f in found:
        unit = "dB" if f.claim.task == "image" else "points"
        yield (
            f"| {TITLES[f.claim.task]} | {f.claim.better} over {f.claim.worse} | {f.claim.source} | {f.mean:+.2f} {unit} "
            f"| {f.low:+.2f} to {f.high:+.2f} | {f.p:.3f} | {f.verdict} |"
        )
    yield from ("", f"![Scores of all seeds]({figure})", "")
    for task in dict.fromkeys(task for task, _ in scores):
        s = settings[task]
        optimizer = "Adam, all pixels in each step" if task == "image" else f"SGD, momentum 0.9, batches of {s['batch']}"
        yield from (
            f"## {TITLES[task].capitalize()}",
            "",
            f"{s['layers']} hidden layers of {s['width']}, {s['steps']} steps, {optimizer}; rates "
            f"{', '.join(map(str, s['rates']))}. {UNITS[task][0].upper()}{UNITS[task][1:]}:",
            "",
            "| activation | mean | deviation | least | greatest | rate |",
            "|---|---|---|---|---|---|",
        )
        rows = [(activation, values) for (t, activation), values in scores.items() if t == task]
        for activation, values in sorted(rows, key=lambda row: -row[1].mean()):
            numbers = (values.mean(), values.std(ddof=1), values.min(), values.max())
            yield f"| {activation} | {' | '.join(f'{n:.2f}' for n in numbers)} | {best[task, activation]} |"
        yield ""
    yield from (
        "Networks and data are small, and steps few: what is shown here holds here. Deviations are those between",
        "seeds, which differ in weights and batches, and with the digits in which images are learned.",
    )


def draw(path: Path, scores: dict[tuple[str, str], np.ndarray]) -> None:
    """The score of each seed, activations in the order of their means."""
    import matplotlib
    from matplotlib.figure import Figure

    tasks = list(dict.fromkeys(task for task, _ in scores))
    figure = Figure(figsize=(4.5 * len(tasks), 4), layout="constrained")
    for axes, task in zip(figure.subplots(1, len(tasks), squeeze=False)[0], tasks, strict=True):
        rows = sorted(((a, v) for (t, a), v in scores.items() if t == task), key=lambda row: row[1].mean())
        for place, (_, values) in enumerate(rows):
            axes.plot(values, np.full(len(values), place), "o", color="C0", alpha=0.4, markersize=4, mew=0)
            axes.plot([values.mean()], [place], "|", color="C3", markersize=14, mew=2)
        axes.set_yticks(range(len(rows)), [activation for activation, _ in rows])
        axes.set(title=TITLES[task], xlabel=UNITS[task])
        axes.grid(axis="x", alpha=0.3)
    # The file depends on the numbers alone.
    with matplotlib.rc_context({"svg.hashsalt": "nonlin"}):
        figure.savefig(path, metadata={"Date": None})


# --- The command ---------------------------------------------------------------------------------


def number_of_seeds(text: str) -> int:
    """From 2, and few enough for all flips of signs."""
    number = int(text)
    if not 2 <= number <= 16:
        raise argparse.ArgumentTypeError(f"{number}: from 2 to 16")
    return number


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--tasks", default=",".join(SETTINGS), help="comma-separated")
    add("--seeds", type=number_of_seeds, default=10, help="trainings of each activation")
    add("--jobs", type=common.positive, default=2, help="processes, each with one thread")
    add("--out", type=Path, default=Path("runs/compare"), help="folder of the results; they are not made twice")
    add("--page", type=Path, help="document to write, and a figure beside it; by default in that folder")
    add("--quick", action="store_true", help="3 steps a training: to see that it runs")
    args = parser.parse_args()
    tasks = args.tasks.split(",")
    for task in tasks:
        if task not in SETTINGS:
            sys.exit(f"--tasks {task}: not one of {', '.join(SETTINGS)}")
    settings = json.loads(json.dumps(SETTINGS))
    if args.quick:
        for s in settings.values():
            s["steps"] = 3
    args.out.mkdir(parents=True, exist_ok=True)
    kept = args.out / "settings.json"
    if kept.exists() and json.loads(kept.read_text()) != settings:
        sys.exit(f"{args.out}: has results of other settings: give another --out, or remove it")
    kept.write_text(json.dumps(settings, indent=2) + "\n")
    results = args.out / "results.csv"

    def each(rates: Callable[[str, str], list[float]], seeds: Any) -> list[Run]:
        return [
            Run(task, activation, rate, seed)
            for task in tasks for activation in settings[task]["activations"]
            for rate in rates(task, activation) for seed in seeds
        ]  # fmt: skip

    try:
        trials = each(lambda task, _: settings[task]["rates"], CHOICE)
        runs = perform_all(trials, settings, results, args.jobs, "choice of rates")
        best = choose(runs, tasks, settings)
        trainings = each(lambda task, activation: [best[task, activation]], range(args.seeds))
        runs = perform_all(trainings, settings, results, args.jobs, "comparison")
    except KeyboardInterrupt:
        sys.exit(f"\nstopped; {results} has what has finished: give the command again to go on")
    scores = of_all_seeds(runs, best, args.seeds)
    document = args.page or args.out / "training.md"
    drawing = document.with_suffix(".svg")
    draw(drawing, scores)
    words = ["python examples/compare.py", *(["--quick"] if args.quick else [])]
    for name, value, usual in (("tasks", args.tasks, ",".join(SETTINGS)), ("seeds", args.seeds, 10)):
        words += [f"--{name} {value}"] if value != usual else []
    words += [f"--out {args.out}", *([f"--page {args.page}"] if args.page else [])]
    lines = page(scores, best, settings, args.seeds, drawing.name, " ".join(words))
    document.write_text("\n".join(lines) + "\n")
    for f in findings(scores):
        claim = f"{TITLES[f.claim.task]}: {f.claim.better} over {f.claim.worse}"
        print(f"{claim}: {f.mean:+.2f}, p {f.p:.3f}: {f.verdict}")
    print(document)


if __name__ == "__main__":
    main()
