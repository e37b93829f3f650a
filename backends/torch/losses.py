"""The losses of a stack in PyTorch: those of `torch.nn.functional`, summed over members, rows and outputs."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from backends.torch.layers import activation
from harness import network
from harness.contract import Config

LOSS: dict[type[network.Loss], Callable[[Any, torch.Tensor, torch.Tensor], torch.Tensor]] = {
    network.CrossEntropy: lambda it, z, y: F.cross_entropy(z, y, reduction="sum"),
    network.BinaryCrossEntropy: lambda it, z, y: F.binary_cross_entropy_with_logits(z, y, reduction="sum"),
    network.MSE: lambda it, o, y: F.mse_loss(o, y, reduction="sum"),
    network.MAE: lambda it, o, y: F.l1_loss(o, y, reduction="sum"),
    network.Huber: lambda it, o, y: F.huber_loss(o, y, reduction="sum", delta=it.delta),
}
"""Loss -> what it computes from logits, or in a regression from outputs, and targets."""


def batch_loss(config: Config, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The sum over the members of the mean, or sum, over the rows of a row's loss, which is a mean over outputs."""
    rows = y.shape[-1] if config.reduction == "mean" else 1
    outputs = activation(config.loss.output)(logits) if config.task == "regression" else logits
    loss = LOSS[type(config.loss)](config.loss, outputs, y.expand(len(logits), *y.shape))
    return loss / (rows if config.task == "multiclass" else rows * config.network.n_outputs)
