"""What the examples share: arguments, activations, data files, the training loop, figures.

A run writes to one folder (`--out`): the checkpoint, `NAME.losses.csv`, figures. Batches and random
numbers of a step depend on the seed and the step alone, so a run that is resumed gives the losses of
one that never stopped, bit for bit.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import gzip
import itertools
import math
import os
import signal
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import nonlin
import nonlin.torch

try:
    from tqdm import tqdm
except ImportError:
    tqdm = None

# --- Arguments -----------------------------------------------------------------------------------

#: Arguments that do not change what a step computes: a run may be resumed with other values.
FREE = {"steps", "out", "resume", "save_every", "threads"}


def arguments(
    description: str, *, activation: str, steps: int, batch: int, rate: float
) -> argparse.ArgumentParser:
    """A parser with the arguments of all examples, and the defaults of one of them."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--activation", default=activation, metavar="NAME|FORMULA", type=known,
        help="a function of nonlin's catalogue or a formula in x; `learnable:` before it trains its "
        "parameters, `learnable` alone is a PReLU")  # fmt: skip
    add("--steps", type=positive, default=steps, help="batches to train on, in all")
    add("--batch", type=positive, default=batch, help="samples of a batch, of all processes together")
    add("--rate", type=above_zero, default=rate, help="learning rate")
    add("--seed", type=int, default=0, help="of weights, batches and dropout")
    name = Path(sys.argv[0]).stem
    add("--out", type=Path, default=Path("runs") / name, help="folder of checkpoint, losses and figures")
    add("--resume", action="store_true", help="go on from the checkpoint in that folder, if there is one")
    add("--save-every", type=positive, default=200, metavar="STEPS", help="between checkpoints")
    add("--threads", type=positive, help="of PyTorch in each process; its own choice by default")
    add("--quick", action="store_true", help="a small network and 12 steps: to see that it runs")
    return parser


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The arguments of the command line; PyTorch is set up by them."""
    quick = "--quick" in sys.argv
    if quick:
        parser.set_defaults(steps=12)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    return args


def positive(text: str) -> int:
    """A whole number from 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number}: the least is 1")
    return number


def above_zero(text: str) -> float:
    """A finite number above 0."""
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: it must be a finite number above 0")
    return number


def file(text: str) -> Path:
    """The path of a file that is there."""
    path = Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text}")
    return path


#: What stands before an activation whose parameters are trained.
LEARNABLE = "learnable:"

#: Activations that are always trained, which the catalogue does not have.
LEARNED = ("pau", "pwlu")


def known(text: str) -> str:
    """The name of an activation, or a formula; of a name that there is not, what comes nearest."""
    if text == "learnable":
        return "learnable:prelu"
    if text.startswith(LEARNABLE):
        name = text.removeprefix(LEARNABLE)
        if name in LEARNED:
            return text
        name = known(name)
        try:
            nonlin.Learnable(name)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        return LEARNABLE + name
    try:
        return nonlin.info(text).name
    except (TypeError, ValueError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def is_gated(text: str) -> bool:
    """Whether an activation takes two operands, such as swiglu."""
    name = text.removeprefix(LEARNABLE)
    return name not in LEARNED and nonlin.info(name).kind == "gated"


def activation(text: str, features: int = 1, *, gated: bool = False) -> nn.Module:
    """The module of `--activation`.

    Parameters
    ----------
    text : str
        A name of the catalogue or a formula, after ``"learnable:"`` if its parameters are trained.
    features : int, default 1
        How many channels (axis 1) have parameters of their own, if they are trained.
    gated : bool, default False
        Whether a unit of two operands is what is wanted.
    """
    name = text.removeprefix(LEARNABLE)
    kind = "elementwise" if name in LEARNED else nonlin.info(name).kind
    if kind != ("gated" if gated else "elementwise"):
        wanted = "a gated one is needed, such as swiglu" if gated else "an elementwise one is needed, such as silu"
        sys.exit(f"--activation {text}: a {kind} function; here {wanted}")
    if name != text:
        return nonlin.torch.Activation(name, learnable=True, num_parameters=features)
    return nonlin.torch.Activation(text)


# --- Data ----------------------------------------------------------------------------------------


def digits() -> tuple[Tensor, Tensor]:
    """scikit-learn's digits: 1,797 images of 8 x 8 from 0 to 1, and what they show."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return torch.tensor(data.images / 16, dtype=torch.float32), torch.tensor(data.target)


def idx(path: Path) -> Tensor:
    """The array of an IDX file, the format of MNIST, compressed by gzip or not."""
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    types = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in types:
        sys.exit(f"{path}: not an IDX file: it starts with {content[:4].hex()}, not 00 00, a type, a rank")
    rank, dtype = content[3], np.dtype(types[content[2]])
    head = 4 + 4 * rank
    if len(content) < head:
        sys.exit(f"{path}: ends within its head: {len(content)} bytes, the head has {head}")
    shape = struct.unpack(f">{rank}I", content[4:head])
    if len(content) - head != math.prod(shape) * dtype.itemsize:
        sys.exit(f"{path}: {len(content) - head} bytes of data for {shape} elements of {dtype.itemsize} bytes")
    values = np.frombuffer(content, dtype, offset=head).reshape(shape)
    return torch.from_numpy(values.astype(dtype.newbyteorder("="), copy=True))


def table(path: Path) -> tuple[Tensor, Tensor]:
    """A CSV file of numbers: all columns but the last, and the last. A first line may name them."""
    with path.open(newline="") as file:
        rows = [row for row in csv.reader(file) if row]
    try:
        [float(word) for word in rows[0]]
    except (ValueError, IndexError):
        rows = rows[1:]
    if not rows or len(rows[0]) < 2:
        sys.exit(f"{path}: no rows of two numbers or more")
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            sys.exit(f"{path}: row {number} has {len(row)} columns, the first one {len(rows[0])}")
    try:
        values = torch.tensor([[float(word) for word in row] for row in rows], dtype=torch.float64)
    except ValueError as error:
        sys.exit(f"{path}: {error}")
    return values[:, :-1].float(), values[:, -1]


def classes(labels: Tensor) -> Tensor:
    """Labels as whole numbers from 0."""
    whole = labels.long()
    if (whole != labels).any() or whole.min() < 0:
        sys.exit("the labels must be whole numbers from 0")
    return whole


def rows(path: Path | None) -> tuple[Tensor, Tensor]:
    """Inputs and classes, a row a sample: of a CSV file, or the digits."""
    if path is None:
        images, labels = digits()
        return images.flatten(1), labels
    x, labels = table(path)
    return x, classes(labels)


def split(count: int, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """The indices of samples to train on, and of a share to test on."""
    order = torch.randperm(count, generator=generator(seed, 0))
    held = max(1, round(share * count))
    return order[held:], order[:held]


def generator(seed: int, number: int) -> torch.Generator:
    """Random numbers that depend on the two numbers alone."""
    return torch.Generator().manual_seed(seed * 1_000_003 + number)


def batches(args: argparse.Namespace, *tensors: Tensor) -> Callable[[int], tuple[Tensor, ...]]:
    """The batch of a step: all samples are seen once, in random order, before one is seen again."""
    count = len(tensors[0])
    if args.batch > count:
        sys.exit(f"--batch {args.batch}: there are {count} samples to train on")
    per_epoch = count // args.batch

    def batch(step: int) -> tuple[Tensor, ...]:
        nonlocal current, order
        epoch, place = divmod(step, per_epoch)
        if epoch != current:
            current, order = epoch, torch.randperm(count, generator=generator(args.seed, epoch))
        chosen = order[place * args.batch : (place + 1) * args.batch]
        return tuple(t[chosen] for t in tensors)

    current, order = -1, torch.empty(0)
    return batch


# --- Processes -----------------------------------------------------------------------------------


@contextlib.contextmanager
def processes() -> Iterator[None]:
    """Joins the processes of `torchrun`; does nothing in a process that was started by itself."""
    if "RANK" not in os.environ:
        yield
        return
    dist.init_process_group("gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def world() -> tuple[int, int]:
    """The number of this process, and how many there are."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def say(*words: Any) -> None:
    """Prints, in one of the processes."""
    if world()[0] == 0:
        print(*words, flush=True)


# --- Checkpoints ---------------------------------------------------------------------------------


def save(path: Path, state: dict[str, Any]) -> None:
    """Writes a checkpoint that appears whole or not at all, whatever happens meanwhile."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def load(path: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Reads a checkpoint of a run with these settings."""
    state = torch.load(path, weights_only=True)
    for name, value in settings.items():
        if state["settings"].get(name) != value:
            option = "--" + name.replace("_", "-")
            sys.exit(f"{path}: was made with {option} {state['settings'].get(name)}, not {value}: "
                     "give that, or another --out, or leave out --resume")  # fmt: skip
    return state


# --- Training ------------------------------------------------------------------------------------


def fit(
    args: argparse.Namespace,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Callable[[int], tuple[Tensor, ...]],
    loss: Callable[..., Tensor],
    *,
    name: str = "run",
    clip: float | None = None,
    evaluate: Callable[[], float] | None = None,
    every: int = 100,
) -> dict[str, list]:
    """Trains a model to step `args.steps`, from a checkpoint if `args.resume` is set.

    Parameters
    ----------
    args : argparse.Namespace
        What `parse` gave.
    model, optimizer
        What is trained, and by what.
    batch : callable
        The tensors of a step's batch. Under `torchrun` each process takes its share of them.
    loss : callable
        The mean loss of such tensors, called as ``loss(model, *tensors)``.
    name : str
        Of the checkpoint and the file of losses.
    clip : float, optional
        The greatest norm of the gradient; a longer one is scaled down to it.
    evaluate : callable, optional
        What to record every `every` steps and at the end: a number.

    Returns
    -------
    dict
        ``loss``, one for each step, and ``valid``, pairs of step and value.
    """
    rank, count = world()
    if args.batch % count:
        sys.exit(f"--batch {args.batch}: {count} processes have equal shares of a multiple of {count} only")
    path = args.out / f"{name}.checkpoint"
    settings = {k: str(v) for k, v in vars(args).items() if k not in FREE}
    history: dict[str, list] = {"loss": [], "valid": []}
    # One process reads, so that the others need not reach its disk.
    state = load(path, settings) if args.resume and rank == 0 and path.exists() else None
    if count > 1:
        shared = [state]
        dist.broadcast_object_list(shared)
        state = shared[0]
    if state is not None:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        history = state["history"]
        say(f"{path}: {len(history['loss'])} steps are done")
    elif args.resume:
        say(f"{path}: not there yet, so this starts at the first step")
    start = len(history["loss"])
    trained = DistributedDataParallel(model) if count > 1 else model

    def keep() -> None:
        if rank == 0:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            save(path, state | {"history": history, "settings": settings})
            write_losses(args.out / f"{name}.losses.csv", history["loss"])
        if count > 1:
            # Nobody ends, and has the others ended, before it is written.
            dist.barrier()

    with signals() as received, progress(name, start, args.steps) as shown:
        for step in range(start, args.steps):
            model.train()
            # Dropout draws numbers that depend on the seed, the step and the process alone.
            torch.default_generator.manual_seed(args.seed * 1_000_003 + step * count + rank)
            part = tuple(t[rank::count] for t in batch(step))
            optimizer.zero_grad()
            value = loss(trained, *part)
            value.backward()
            if clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
            # All processes learn the mean loss, and whether one of them has a signal to stop.
            sums = torch.tensor([value.item(), max(received, default=0)], dtype=torch.float64)
            if count > 1:
                dist.all_reduce(sums)
            mean, stop = sums[0].item() / count, int(sums[1])
            if not math.isfinite(mean):
                sys.exit(f"the loss of step {step} is {mean}: try a smaller --rate than {args.rate}")
            history["loss"].append(mean)
            done = step + 1
            if evaluate is not None and done % every == 0:
                history["valid"].append((done, evaluated(model, evaluate)))
            shown(done, mean, history["valid"])
            if stop or done == args.steps or done % args.save_every == 0:
                keep()
            if stop:
                say(f"\nstopped after step {done}; {path} has it: go on with --resume")
                sys.exit(128 + max(received, default=signal.SIGTERM))
    model.eval()
    done = len(history["loss"])
    if evaluate is not None and (not history["valid"] or history["valid"][-1][0] != done):
        history["valid"].append((done, evaluated(model, evaluate)))
    return history


def evaluated(model: nn.Module, evaluate: Callable[[], float]) -> float:
    """What an example wants recorded, of the model as it is used after training."""
    model.eval()
    with torch.no_grad():
        return evaluate()


@contextlib.contextmanager
def signals() -> Iterator[list[int]]:
    """The signals to stop (Ctrl-C, and the one that schedulers send) that have come so far."""
    received: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: received.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def progress(name: str, start: int, steps: int, unit: str = "step") -> Iterator[Callable[[int, float, list], None]]:
    """A progress bar, or a line now and then without tqdm; of the first process only."""
    if world()[0] != 0:
        yield lambda done, loss, valid: None
        return

    def text(loss: float, valid: list) -> str:
        return f"loss {loss:.4g}" + (f", validation {valid[-1][1]:.4g}" if valid else "")

    if tqdm is None:
        lines = max(1, steps // 20)

        def plain(done: int, loss: float, valid: list) -> None:
            if done % lines == 0 or done == steps:
                print(f"{name}: {done}/{steps}, {text(loss, valid)}", file=sys.stderr, flush=True)

        yield plain
        return
    with tqdm(initial=start, total=steps, desc=name, unit=unit, dynamic_ncols=True) as bar:

        def shown(done: int, loss: float, valid: list) -> None:
            if bar.update(done - bar.n):
                bar.set_postfix_str(text(loss, valid), refresh=False)

        yield shown


def write_losses(path: Path, losses: list[float]) -> None:
    """One line a step, with all digits."""
    part = path.with_name(path.name + ".part")
    lines = (f"{step},{loss!r}\n" for step, loss in enumerate(losses, 1))
    part.write_text("".join(itertools.chain(["step,loss\n"], lines)))
    os.replace(part, path)


def accuracy(model: nn.Module, x: Tensor, labels: Tensor) -> float:
    """The share of samples whose class is predicted."""
    with torch.no_grad():
        predicted = torch.cat([model(part).argmax(-1) for part in x.split(1000)])
    return (predicted == labels).double().mean().item()


# --- Figures -------------------------------------------------------------------------------------


def figure(path: Path, draw: Callable[[Any], None], *, width: float = 7, height: float = 4) -> None:
    """Draws to a file, in the first process. `draw` gets matplotlib's figure."""
    if world()[0] != 0:
        return
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print(f"{path}: not drawn: matplotlib is not installed")
        return
    drawn = Figure(figsize=(width, height), layout="constrained")
    draw(drawn)
    drawn.savefig(path)
    print(path)


def curves(axes: Any, history: dict[str, list], label: str, valid: str = "") -> None:
    """The losses of a training, and what was recorded in between."""
    loss = np.array(history["loss"])
    axes.plot(np.arange(1, len(loss) + 1), loss, linewidth=0.8, alpha=0.5, label=f"{label}: each batch")
    width = max(1, len(loss) // 50)
    smooth = np.convolve(loss, np.ones(width) / width, "valid")
    axes.plot(np.arange(width, len(loss) + 1), smooth, label=f"{label}: mean of {width}")
    axes.set(xlabel="step", ylabel="loss", yscale="log")
    if valid and history["valid"]:
        other = axes.twinx()
        other.plot(*zip(*history["valid"]), "k.-", linewidth=0.8, label=valid)
        other.set_ylabel(valid)
    axes.legend(loc="best")
