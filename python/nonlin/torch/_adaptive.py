"""Activations whose parameters follow the statistics of their input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ._learnable import _kernel, apply

#: A parameter from the mean and the deviation of the input.
Rule = Callable[[Tensor, Tensor], Tensor]


class _Sum(torch.autograd.Function):
    """The sum over all processes. Every process's loss depends on it, so gradients are added as well."""

    @staticmethod
    def forward(ctx, x):
        x = x.clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx, grad):
        grad = grad.contiguous().clone()
        dist.all_reduce(grad)
        return grad


class Adaptive(nn.Module):
    """An activation whose parameters are set from the mean and the deviation of its input.

    Parameters
    ----------
    base : str
        A function with parameters, or a formula.
    rule : mapping of str to callable
        For each parameter that adapts, what makes it of mean and deviation: tensors with an element for
        each channel, or with one.
    num_features : int, optional
        The number of channels, each with statistics of its own; without it they are those of the tensor.
    axis : int, default 1
        The axis of channels.
    running : bool, default False
        Whether, as in batch norm, training updates running statistics that evaluation uses. Otherwise
        they are always those of the present input.
    momentum : float or None, default 0.1
        The weight of the present input in running statistics; with None they are the mean of all.
    sync : bool, default False
        Whether statistics in training are those of all processes of `torch.distributed` together.
    eps : float, default 1e-5
        Added to the variance: the deviation is ``sqrt(variance + eps)``.
    **params : float
        Other parameters, which are constants.

    Notes
    -----
    Gradients flow through the statistics. These are computed in float32 at least; the variance is the mean
    square of what differs from the mean, and that of running statistics divides by one less, as in
    batch norm. A rule must give values within the bounds of its parameter.

    Examples
    --------
    >>> import torch, nonlin.torch
    >>> f = nonlin.torch.Adaptive("softplus", {"beta": lambda mean, deviation: 1 / deviation})
    >>> f(torch.tensor([[-10.0, 10.0]])).round(decimals=3)  # softplus at a temperature of 10
    tensor([[ 3.1330, 13.1330]])
    """

    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        base: str,
        rule: Mapping[str, Rule],
        *,
        num_features: int | None = None,
        axis: int = 1,
        running: bool = False,
        momentum: float | None = 0.1,
        sync: bool = False,
        eps: float = 1e-5,
        **params: float,
    ) -> None:
        super().__init__()
        facts = {p: start for p, start, _, _ in _kernel(base).params()}
        known = ", ".join(facts)
        for p in (*rule, *params):
            if p not in facts:
                raise TypeError(f"{base} has no parameter `{p}`; its parameters: {known}")
        if not rule:
            raise ValueError(f"no parameter of {base} adapts; its parameters: {known}")
        if both := sorted(set(rule) & set(params)):
            raise TypeError(f"`{both[0]}` of {base} has a rule, and a value")
        if num_features is not None and num_features < 1:
            raise ValueError(f"num_features is {num_features}; it must be at least 1")
        self.base, self.rule = base, dict(rule)
        self.num_features, self.axis = num_features, axis
        self.running, self.momentum, self.sync, self.eps = running, momentum, sync, eps
        self._constants = {p: float(params.get(p, start)) for p, start in facts.items()}
        n = num_features or 1
        self.register_buffer("running_mean", torch.zeros(n) if running else None)
        self.register_buffer("running_var", torch.ones(n) if running else None)
        tracked = torch.tensor(0, dtype=torch.long) if running else None
        self.register_buffer("num_batches_tracked", tracked)

    def statistics(self, input: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation that a call with this input uses in evaluation, or would use in training;
        running statistics are left as they are."""
        mean, var, _ = self._statistics(input)
        return mean, (var + self.eps).sqrt()

    def _statistics(self, input: Tensor, sync: bool = True) -> tuple[Tensor, Tensor, Tensor | None]:
        """Mean, variance, and how many elements they are of if they are those of the input."""
        if self.num_features is not None:
            found = input.shape[self.axis]
            if found != self.num_features:
                raise ValueError(
                    f"axis {self.axis} of shape {tuple(input.shape)} has {found} channels; "
                    f"num_features is {self.num_features}"
                )
        if self.running and not self.training:
            assert self.running_mean is not None and self.running_var is not None
            return self.running_mean, self.running_var, None
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        rows = x.reshape(1, -1) if self.num_features is None else x.movedim(self.axis, 0).flatten(1)
        count = x.new_full((), rows.shape[1])
        if sync and self.sync and self.training and dist.is_initialized():
            # The mean first: squares of large numbers would leave nothing of their difference.
            total = _Sum.apply(torch.cat([rows.sum(1), count[None]]))
            count = total[-1].detach()
            mean = total[:-1] / count
            var = _Sum.apply((rows - mean[:, None]).square().sum(1)) / count
        else:
            if rows.shape[1] == 0:
                raise ValueError(f"an input of shape {tuple(input.shape)} has no mean")
            var, mean = torch.var_mean(rows, 1, correction=0)
        return mean, var, count

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function."""
        mean, var, count = self._statistics(input)
        if self.running and self.training and count is not None:
            self._track(mean.detach(), var.detach() * (count / (count - 1).clamp(min=1)))
        return apply(self.base, input, torch.cat(self._parameters_at(mean, var)), self.axis)

    def _parameters_at(self, mean: Tensor, var: Tensor) -> list[Tensor]:
        """The parameters at a mean and a variance, each with a value for each channel."""
        deviation, like = (var + self.eps).sqrt(), torch.ones_like(mean)
        all_ = self._constants.items()
        return [(self.rule[p](mean, deviation) if p in self.rule else v * like).expand_as(like) for p, v in all_]

    def _usual(self) -> dict[str, Tensor]:
        """The parameters by name, of an input of mean 0 and deviation 1."""
        n = self.num_features or 1
        return dict(zip(self._constants, self._parameters_at(torch.zeros(n), torch.ones(n)), strict=True))

    def _held(self, input: Tensor) -> Callable[[Tensor], Tensor]:
        """The function with the parameters that it has for an input of this process; nothing is tracked."""
        mean, var, _ = self._statistics(input, sync=False)
        values = torch.cat(self._parameters_at(mean, var)).detach()
        return lambda x: apply(self.base, x, values, self.axis)

    @torch.no_grad()
    def _track(self, mean: Tensor, var: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        weight: Any = self.momentum
        if weight is None:
            # A tensor: compilers do not know the number.
            weight = self.num_batches_tracked.reciprocal().to(self.running_mean.dtype)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), weight)
        self.running_var.lerp_(var.to(self.running_var.dtype), weight)

    @torch.no_grad()
    def merge(self, other: Adaptive) -> None:
        """Takes in the running statistics of another one, as of a worker that saw other batches: means
        and variances are weighted by the number of batches that each has seen.

        Parameters
        ----------
        other : Adaptive
            With running statistics of as many channels.
        """
        if not (self.running and other.running) or self.num_features != other.num_features:
            raise ValueError("only running statistics of as many channels can be merged")
        n, m = int(self.num_batches_tracked), int(other.num_batches_tracked)
        if m == 0:
            return
        weight = m / (n + m)
        apart = (other.running_mean - self.running_mean).square() * (weight * (1 - weight))
        self.running_mean.lerp_(other.running_mean, weight)
        self.running_var.lerp_(other.running_var, weight).add_(apart)
        self.num_batches_tracked += m

    def extra_repr(self) -> str:
        parts = [repr(self.base), f"rule={sorted(self.rule)}"]
        parts += [f"num_features={self.num_features}"] if self.num_features is not None else []
        parts += [f"axis={self.axis}"] if self.axis != 1 else []
        parts += [f"running=True, momentum={self.momentum}"] if self.running else []
        parts += ["sync=True"] if self.sync else []
        return ", ".join(parts)


# Rules with a name, which pickle can write.
def _slope(mean: Tensor, deviation: Tensor) -> Tensor:
    return torch.sigmoid(-mean / deviation)


def _threshold(k: float, mean: Tensor, deviation: Tensor) -> Tensor:
    return mean + k * deviation


class AdaptiveReLU(Adaptive):
    """A relu whose slope or threshold follows the mean m and the deviation s of its input.

    Parameters
    ----------
    mode : {"slope", "threshold"}
        ``"slope"``: x above 0, and x times ``sigmoid(-m / s)`` below. The more inputs are negative, the
        more passes: no unit dies. ``"threshold"``: ``max(x - t, 0)`` with ``t = m + k s``.
    k : float, default 0
        How many deviations the threshold is above the mean.
    **kwargs
        `num_features`, `axis`, `running`, `momentum`, `sync` and `eps` of `Adaptive`.

    Examples
    --------
    >>> import torch, nonlin.torch
    >>> x = torch.tensor([[-3.0, -1.0]])
    >>> nonlin.torch.AdaptiveReLU()(x)  # sigmoid(2) = 0.8808
    tensor([[-2.6424, -0.8808]])
    >>> nonlin.torch.AdaptiveReLU("threshold")(x)
    tensor([[0., 1.]])
    """

    def __init__(self, mode: str = "slope", *, k: float = 0.0, **kwargs: Any) -> None:
        if mode == "slope":
            if k:
                raise TypeError("k is of the mode 'threshold'")
            super().__init__("leaky_relu", {"negative_slope": _slope}, **kwargs)
        elif mode == "threshold":
            super().__init__("where(x > t, x - t, 0); t = 0", {"t": partial(_threshold, k)}, **kwargs)
        else:
            raise ValueError(f"mode is {mode!r}; it must be 'slope' or 'threshold'")
        self.mode, self.k = mode, k

for _class in (Adaptive, AdaptiveReLU):
    _class.__module__ = "nonlin.torch"
