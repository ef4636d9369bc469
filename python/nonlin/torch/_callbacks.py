"""The monitor as a callback of training frameworks, which are imported when one is made."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import nn

from ._monitor import Monitor, monitor

__all__ = ["lightning_monitor", "trainer_monitor"]

#: What one process of several writes.
_FILES = ("jsonl", "tensorboard", "html")


class _Watch:
    """What both callbacks do: begin, end, and say what was found."""

    def __init__(self, options: dict[str, Any], verbose: bool) -> None:
        self.options, self.verbose = options, verbose
        self.monitor: Monitor | None = None

    def begin(self, model: nn.Module, first: bool) -> None:
        """Watches a model; files are the first process's."""
        given = {k: v for k, v in self.options.items() if first or k not in _FILES}
        self.monitor = monitor(model, **given)

    def end(self, first: bool) -> None:
        """Takes all processes together, writes and prints."""
        watch = self.monitor
        if watch is None:
            return
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            watch.gather()
        watch.close()
        if self.verbose and first:
            print(watch)


def _base(names: tuple[str, ...], attribute: str, package: str) -> Any:
    """The class of callbacks of the first of these modules that is there."""
    for name in names:
        try:
            return getattr(importlib.import_module(name), attribute)
        except ImportError:
            continue
    raise ModuleNotFoundError(f"{' and '.join(names)} cannot be imported: pip install {package}")


def lightning_monitor(*, verbose: bool = True, **options: Any) -> Any:
    """`monitor` as a callback of Lightning: ``Trainer(callbacks=[lightning_monitor()])``.

    Parameters
    ----------
    verbose : bool, default True
        Whether to print the advice when training ends.
    **options
        Those of `monitor`. A step is a training batch. Files are written by the first process.

    Returns
    -------
    lightning.pytorch.Callback
        Its attribute `watch.monitor` is the `Monitor` while and after it trains.

    Raises
    ------
    ModuleNotFoundError
        If neither ``lightning`` nor ``pytorch_lightning`` is installed.
    """
    base = _base(("lightning.pytorch", "pytorch_lightning"), "Callback", "lightning")

    class ActivationMonitor(base):
        """Watches activations; the forward of a batch ends where its backward begins."""

        def __init__(self) -> None:
            super().__init__()
            self.watch = _Watch(options, verbose)

        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            self.watch.begin(pl_module, trainer.is_global_zero)

        def on_train_batch_start(self, trainer: Any, pl_module: Any, *args: Any) -> None:
            # Lightning calls `training_step`, and not the module.
            self.watch.monitor.begin_step()

        def on_before_backward(self, trainer: Any, pl_module: Any, loss: Any) -> None:
            self.watch.monitor.end_step()

        def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
            self.watch.monitor.end_step()

        def on_train_end(self, trainer: Any, pl_module: Any) -> None:
            self.watch.end(trainer.is_global_zero)

    return ActivationMonitor()


def trainer_monitor(*, verbose: bool = True, **options: Any) -> Any:
    """`monitor` as a callback of Transformers: ``Trainer(..., callbacks=[trainer_monitor()])``.

    Parameters
    ----------
    verbose : bool, default True
        Whether to print the advice when training ends.
    **options
        Those of `monitor`. A step is a call of the model in training: with gradient accumulation, part
        of an optimiser's step. Files are written by the first process.

    Returns
    -------
    transformers.TrainerCallback
        Its attribute `watch.monitor` is the `Monitor` while and after it trains.

    Raises
    ------
    ModuleNotFoundError
        If ``transformers`` is not installed.

    Examples
    --------
    >>> import transformers, nonlin.torch
    >>> callback = nonlin.torch.trainer_monitor(every=100, html="activations.html")
    >>> isinstance(callback, transformers.TrainerCallback)
    True
    """
    base = _base(("transformers",), "TrainerCallback", "transformers")

    class ActivationMonitor(base):
        """Watches activations."""

        def __init__(self) -> None:
            super().__init__()
            self.watch = _Watch(options, verbose)

        def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            self.watch.begin(model, state.is_world_process_zero)

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.watch.end(state.is_world_process_zero)

    return ActivationMonitor()
