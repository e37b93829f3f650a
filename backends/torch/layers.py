"""The layers of a stack in PyTorch: modules with a member axis, for `nn.Sequential`.

A module that has weights gives them under the contract's names by `tensors()`: matrices are `(members, n_out, n_in)`,
vectors `(members, n_out, 1)`. What runs through is `(members, units, rows)`; the inputs of the network, which all
members share, are `(units, rows)`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from backends.torch.native import own_tensor
from backends.torch.optimizers import column
from harness import network
from harness.contract import Config


class Linear(nn.Module):
    """`nn.Linear` for every member: `W x + b`."""

    def __init__(self, members: int, n_in: int, n_out: int, bias: bool, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(members, n_out, n_in, dtype=dtype))
        self.bias = nn.Parameter(torch.empty(members, n_out, 1, dtype=dtype)) if bias else None

    def tensors(self) -> dict[str, torch.Tensor]:
        """Its tensors under the contract's names."""
        return {"W": self.weight} | ({} if self.bias is None else {"b": self.bias})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(members, n_out, rows)` from `(members, n_in, rows)`, or from the `(n_in, rows)` that all members share."""
        return product(self.weight, x, self.bias)


def apart(x: torch.Tensor, members: int) -> torch.Tensor:
    """The inputs of each member, where all have the same, `(units, rows)`."""
    return x.expand(members, -1, -1) if x.ndim == 2 else x


def product(weight: torch.Tensor, x: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """`W x + b` of every member, in one product where all members share `x`, `(n_in, rows)`."""
    if x.ndim == 3:
        return torch.bmm(weight, x) if bias is None else torch.baddbmm(bias, weight, x)
    members, n_out, n_in = weight.shape
    wide = weight.view(members * n_out, n_in)
    z = torch.mm(wide, x) if bias is None else torch.addmm(bias.view(-1, 1), wide, x)
    return z.view(members, n_out, x.shape[1])


class Dropout(nn.Module):
    """`nn.Dropout` with a mask that is set before each step, not drawn, and a rate for every member."""

    def __init__(self, rates: Sequence[float], dtype: torch.dtype) -> None:
        super().__init__()
        self.register_buffer("kept", 1 - column(rates, torch.float64))
        self.dtype = dtype

    def set_mask(self, mask: np.ndarray) -> None:
        """`mask` is `(members, rows, units)`."""
        self.mask = (own_tensor(mask, self.dtype).transpose(1, 2) / self.kept.to(self.dtype)).contiguous()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`x * mask / (1 - rate)` in training, else `x`."""
        return x * self.mask if self.training else x


class BatchNorm(nn.Module):
    """`nn.BatchNorm1d` for every member, with the biased variance in the running one, too, and for one row."""

    def __init__(self, members: int, units: int, momentum: float, eps: float, dtype: torch.dtype) -> None:
        super().__init__()
        self.new, self.eps = 1 - momentum, eps  # PyTorch's `momentum` is the share of what is new
        for name in ("weight", "bias"):
            self.register_parameter(name, nn.Parameter(torch.empty(members, units, 1, dtype=dtype)))
        for name in ("running_mean", "running_var"):
            self.register_buffer(name, torch.empty(members, units, 1, dtype=dtype))

    def tensors(self) -> dict[str, torch.Tensor]:
        """Its tensors under the contract's names."""
        running = {"mean": self.running_mean, "variance": self.running_var}
        return {"gamma": self.weight, "beta": self.bias, **running}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise by the batch's own moments in training, else by the running ones."""
        x = apart(x, len(self.weight))
        if self.training:
            x, mean, variance = centred(x)
            self.follow(mean, variance)
            moments = (None, None)
        else:
            moments = (self.running_mean.view(-1), self.running_var.view(-1))
        channels = x.reshape(1, -1, x.shape[2])  # a unit of a member is a channel
        scale, shift = self.weight.view(-1), self.bias.view(-1)
        # what `F.batch_norm` calls once it has refused a batch of one row
        result = torch.batch_norm(channels, scale, shift, *moments, self.training, 0.0, self.eps, False)
        return result.view_as(x)

    @torch.no_grad()
    def follow(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        """`running = momentum * running + (1 - momentum) * batch`."""
        self.running_mean.lerp_(mean, self.new)
        self.running_var.lerp_(variance, self.new)


def centred(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`x` less its mean over the rows, that mean, and the biased variance.

    `torch.batch_norm` computes `x * scale + (beta - mean * scale)`, whose rounding a small variance enlarges: it is
    given what has been centred before.
    """
    mean = x.mean(dim=2, keepdim=True)
    x = x - mean
    return x, mean, x.detach().square().mean(dim=2, keepdim=True)


# `Softplus` turns linear above its threshold, by default 20, where it is still 2e-9 away from that; from 37 on the two
# are the same number. Much higher its `exp` would overflow.
ACTIVATION: dict[type[network.Layer], Callable[[Any], nn.Module]] = {
    network.Identity: lambda it: nn.Identity(),
    network.Sigmoid: lambda it: nn.Sigmoid(),
    network.Tanh: lambda it: nn.Tanh(),
    network.ReLU: lambda it: nn.ReLU(),
    network.LeakyReLU: lambda it: nn.LeakyReLU(it.slope),
    network.ELU: lambda it: nn.ELU(it.alpha),
    network.SELU: lambda it: nn.SELU(),
    network.Softplus: lambda it: nn.Softplus(threshold=40),
}
"""Activation -> its module, with every constant handed over."""

LAYER: dict[type[network.Layer], Callable[[Sequence[Any], network.Shape, torch.dtype], nn.Module]] = {
    network.Dense: lambda same, shape, dtype: Linear(len(same), shape[-1], same[0].units, same[0].use_bias, dtype),
    network.BatchNorm: lambda same, shape, dtype: BatchNorm(
        len(same), shape[-1], same[0].momentum, same[0].epsilon, dtype
    ),
    network.Dropout: lambda same, shape, dtype: Dropout([layer.rate for layer in same], dtype),
    **{kind: lambda same, shape, dtype, make=make: make(same[0]) for kind, make in ACTIVATION.items()},
}
"""Layer -> its module, from that layer of every member and the shape of a row before it."""


def activation(layer: network.Activation) -> nn.Module:
    """The module of an activation."""
    return ACTIVATION[type(layer)](layer)


def build(configs: Sequence[Config], dtype: torch.dtype) -> nn.Sequential:
    """One module a layer; the last gives the logits."""
    shapes = [before for _, before, _ in configs[0].network.shapes()]
    members = zip(*(config.network.layers for config in configs), strict=True)
    pairs = zip(members, shapes, strict=True)
    return nn.Sequential(*(_module(same, shape, dtype) for same, shape in pairs))


def _module(same: Sequence[network.Layer], shape: network.Shape, dtype: torch.dtype) -> nn.Module:
    return (LAYER.get(type(same[0])) or network.part_of(same[0], "torch"))(same, shape, dtype)


def named_tensors(model: nn.Sequential) -> list[dict[str, torch.Tensor]]:
    """The model's own tensors, owner by owner, under the contract's names."""
    return [module.tensors() for module in model if hasattr(module, "tensors")]


def outward(tensor: torch.Tensor, parameter: network.Parameter) -> torch.Tensor:
    """In the contract's shape: `(members, n_in, n_out)` or `(members, n_out)`."""
    return tensor.transpose(1, 2).contiguous() if len(parameter.shape) == 2 else tensor.squeeze(2)


def inward(tensor: torch.Tensor) -> torch.Tensor:
    """In the model's shape: `(members, n_out, n_in)` or `(members, n_out, 1)`."""
    return tensor.transpose(1, 2).contiguous() if tensor.ndim == 3 else tensor.unsqueeze(2)
