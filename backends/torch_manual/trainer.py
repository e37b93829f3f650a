"""PyTorch's tensors with gradients written by hand: the stack of `backends/torch/trainer.py` without autograd.

Modules, optimizers and the loop over batches are those of that backend. Only what leaves a gradient in `.grad` is
written out here: beside it, the time of a training tells what autograd costs.
"""

from collections.abc import Callable
from typing import Any

import torch

from backends.torch.layers import BatchNorm, Linear, activation, apart, centred
from backends.torch.optimizers import OPTIMIZERS
from backends.torch.trainer import TorchTrainer
from harness import network
from harness.contract import Config, Trainer
from harness.network import SELU_ALPHA, SELU_SCALE


class TorchManualTrainer(TorchTrainer):
    """The same stack, back propagation by hand. The way of PyTorch itself, native mode, is that of backend `torch`."""

    name = "torch-manual"
    arithmetic = ("torch.addmm", "torch.baddbmm", "torch.bmm", "torch.softmax")

    fit_native = Trainer.fit_native

    @torch.no_grad()
    def back_propagate(self, X: torch.Tensor, y: torch.Tensor) -> None:
        passed, a = [], X
        for layer, module in zip(self.config.network.layers, self.model, strict=True):
            x, a = a, module(a)
            passed.append((layer, module, x, a))
        delta = output_error(self.config, a, y)
        first = next(k for k, module in enumerate(self.model) if hasattr(module, "tensors"))
        for layer, module, x, a in passed[:first:-1]:
            delta = BACK[type(layer)](module, delta, x, a)
        layer, module, x, a = passed[first]
        if isinstance(module, Linear):  # nothing before it has weights
            linear_gradients(module, x, delta)
        else:
            BACK[type(layer)](module, delta, x, a)


def output_error(config: Config, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The derivative of the batch's loss by the logits, `(members, n_outputs, rows)`."""
    rows, loss = y.shape[-1] if config.reduction == "mean" else 1, config.loss
    if isinstance(loss, network.CrossEntropy):
        certain = torch.eye(config.network.n_outputs, dtype=logits.dtype)[:, y]
        return torch.softmax(logits, dim=1).sub_(certain).div_(rows)
    if isinstance(loss, network.BinaryCrossEntropy):
        e = torch.sigmoid(logits).sub_(y)  # the loss cancels the derivative of the logistic unit
    else:
        output = activation(loss.output)
        o = output(logits)
        e = BACK[type(loss.output)](output, ERROR[type(loss)](loss, o - y), logits, o)
    return e.div_(config.network.n_outputs * rows)


ERROR: dict[type[network.Loss], Callable[[Any, torch.Tensor], torch.Tensor]] = {
    network.MSE: lambda it, e: 2 * e,
    network.MAE: lambda it, e: e.sign(),
    network.Huber: lambda it, e: e.clamp(-it.delta, it.delta),
}
"""The derivative of a regression's loss by the output, from `e = o - y`."""


def linear_gradients(layer: Linear, x: torch.Tensor, delta: torch.Tensor) -> None:
    """Leave the gradients of weight and bias: `delta x^T`, and the sum of `delta` over the rows."""
    members, n_out, rows = delta.shape
    if x.ndim == 2:  # shared by all members: one wide product
        layer.weight.grad = torch.mm(delta.view(members * n_out, rows), x.T).view_as(layer.weight)
    else:
        layer.weight.grad = torch.bmm(delta, x.transpose(1, 2))
    if layer.bias is not None:
        layer.bias.grad = delta.sum(dim=2, keepdim=True)


def linear_back(layer: Linear, delta: torch.Tensor, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """Leave the gradients; the error of the inputs is `W^T delta`."""
    linear_gradients(layer, x, delta)
    return torch.bmm(layer.weight.transpose(1, 2), delta)


def batch_norm_back(layer: BatchNorm, delta: torch.Tensor, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """The batch's moments depend on every row, so each row's error spreads."""
    x, _, variance = centred(apart(x, len(layer.weight)))
    deviation = (variance + layer.eps).sqrt_()
    normalised = x / deviation
    layer.weight.grad = (delta * normalised).sum(dim=2, keepdim=True)
    layer.bias.grad = delta.sum(dim=2, keepdim=True)
    delta = delta * layer.weight
    spread = delta.mean(dim=2, keepdim=True) + normalised * (delta * normalised).mean(dim=2, keepdim=True)
    return (delta - spread) / deviation


# The error before a module from the error after it, its input and its output. At a kink the derivative is the left one.
BACK: dict[type[network.Layer], Callable[..., torch.Tensor]] = {
    network.Dense: linear_back,
    network.BatchNorm: batch_norm_back,
    network.Dropout: lambda module, delta, x, a: delta.mul_(module.mask),
    network.Identity: lambda module, delta, z, a: delta,
    network.Sigmoid: lambda module, delta, z, a: delta.mul_(a).mul_(1 - a),
    network.Tanh: lambda module, delta, z, a: delta.mul_(1 - a * a),
    network.ReLU: lambda module, delta, z, a: delta.mul_(a.sign()),
    network.LeakyReLU: lambda module, delta, z, a: torch.where(a > 0, delta, delta * module.negative_slope),
    network.ELU: lambda module, delta, z, a: torch.where(a > 0, delta, delta * (a + module.alpha)),
    network.SELU: lambda module, delta, z, a: delta.mul_(torch.where(a > 0, SELU_SCALE, a + SELU_SCALE * SELU_ALPHA)),
    network.Softplus: lambda module, delta, z, a: delta.mul_(-torch.expm1(-a)),
}

_CANCELLING = (network.CrossEntropy, network.BinaryCrossEntropy)
TorchManualTrainer.vocabulary = (*BACK, *ERROR, *_CANCELLING, *OPTIMIZERS, *network.CLIPPINGS.values())
