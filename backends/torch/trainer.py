"""PyTorch: modules with a member axis in `nn.Sequential`, autograd, and optimizers with one number a member.

Many small networks train as one model. A layer's weight is `(members, n_out, n_in)`, `Linear.weight` with one axis
more; what runs through is `(members, units, rows)`, with the classes where `F.cross_entropy` has them. While all
members see the same inputs the first layer is one wide product. Losses are summed over the members: no gradient of
one depends on another.

`torch.optim` takes one number a parameter group, so its optimizers cannot give each member its own learning rate: here
they are subclasses of `torch.optim.Optimizer` whose numbers are tensors. Three more things are not as in PyTorch, and
have a helper each below: dropout does not draw its masks, the running variance is the biased one, and `Softplus` stays
what it is above 20. PyTorch's own idiom is `backends/torch/native.py`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from backends.torch.native import NativeNetwork, own_tensor
from backends.torch.optimizers import column, optimizer_of
from harness import network
from harness.contract import AfterStackedEpoch, Batches, Config, NativeFit, StackTrainer, Weights

_ROWS = 512  # at once in inference, so that a wide stack stays within the cache


class TorchTrainer(StackTrainer):
    """A stack of networks as one `nn.Module`, on the CPU, in eager mode."""

    name = "torch"
    requires = ("torch",)
    arithmetic = ("torch.addmm", "torch.baddbmm", "torch.nn.functional.cross_entropy")

    native: NativeNetwork | None = None

    @classmethod
    def unsupported(cls, config: Config) -> str | None:
        if config.optimizer.name == "perceptron":
            return "the perceptron rule is no gradient descent: its step has no derivative; only numpy has it"
        return None

    def build_stack(self, configs: Sequence[Config], start: Weights) -> None:
        self.dtype = getattr(torch, self.config.dtype)
        self.model = build(configs, self.dtype)
        self.set_stack_weights(start)
        self.parameters = list(self.model.parameters())
        matrices = {module.weight for module in self.model if isinstance(module, Linear)}
        self.optimizer = optimizer_of(configs, self.parameters, matrices)
        self.present = np.arange(len(configs))

    def train_stack(self, X: np.ndarray, y: np.ndarray, batches: Batches, after_epoch: AfterStackedEpoch) -> None:
        inputs = own_tensor(X, self.dtype)
        targets = own_tensor(y, torch.int64 if self.config.task == "multiclass" else self.dtype)
        dropouts = [module for module in self.model if isinstance(module, Dropout)]
        for e in range(len(batches)):
            epoch = batches[e]
            rows = epoch.batches()
            order, lengths = torch.from_numpy(np.concatenate(rows)), [len(batch) for batch in rows]
            steps = zip(
                inputs[order].split(lengths),
                targets[order].split(lengths),
                self._rates(epoch.learning_rate),
                strict=True,
            )
            self.model.train()
            for step, (X_batch, y_batch, learning_rate) in enumerate(steps):
                if dropouts:
                    for dropout, mask in zip(dropouts, epoch.step_masks(step), strict=True):
                        dropout.set_mask(mask[self.present])
                self.back_propagate(X_batch.T.contiguous(), y_batch.T if y_batch.ndim == 2 else y_batch)
                self.optimizer.param_groups[0]["lr"] = learning_rate
                self.optimizer.step()
            leaves = after_epoch(e + 1)
            if leaves.all():
                return
            if leaves.any():
                self._keep(np.flatnonzero(~leaves))

    def back_propagate(self, X: torch.Tensor, y: torch.Tensor) -> None:
        """Leave the gradient of the batch's loss in `.grad`; `X` is `(n_inputs, rows)`, `y` `(n_outputs, rows)`.

        Labels are `(rows,)`.
        """
        loss = batch_loss(self.config, self.model(X), y)
        for w, g in zip(self.parameters, torch.autograd.grad(loss, self.parameters), strict=True):
            w.grad = g  # `backward` would copy it

    def _rates(self, learning_rate: np.ndarray) -> Sequence[torch.Tensor]:
        """For each step the learning rates of those that are still here, infinite where the dtype cannot hold them."""
        return torch.from_numpy(learning_rate[self.present].T[..., None, None].copy()).to(self.dtype).unbind()

    def _keep(self, members: np.ndarray) -> None:
        self.present = self.present[members]
        kept = torch.from_numpy(members)
        for tensor in (*self.model.parameters(), *self.model.buffers()):
            tensor.data = tensor.data[kept]
        self.optimizer.keep(kept)

    @torch.no_grad()
    def stack_logits(self, X: np.ndarray) -> np.ndarray:
        self.model.eval()
        parts = [self.model(rows.T) for rows in own_tensor(X, self.dtype).split(_ROWS)]
        return torch.cat(parts, dim=2).transpose(1, 2).contiguous().numpy()

    @torch.no_grad()
    def stack_weights(self) -> Weights:
        return tuple(
            {key: outward(key, tensor).numpy().copy() for key, tensor in layer.items()}
            for layer in named_tensors(self.model)
        )

    @torch.no_grad()
    def set_stack_weights(self, weights: Weights) -> None:
        for layer, given in zip(named_tensors(self.model), weights, strict=True):
            for key, tensor in layer.items():
                tensor.data = inward(key, own_tensor(given[key], tensor.dtype))

    def fit_native(self, X: np.ndarray, y: np.ndarray, seed: int) -> NativeFit:
        self.native = NativeNetwork(self.config)
        return self.native.fit(X, y, seed)

    def logits(self, X: np.ndarray) -> np.ndarray:
        return self.native.logits(X) if self.native else super().logits(X)

    def weights(self) -> Weights:
        return self.native.weights() if self.native else super().weights()


class Linear(nn.Module):
    """`nn.Linear` for every member: `W x + b`."""

    def __init__(self, members: int, n_in: int, n_out: int, bias: bool, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(members, n_out, n_in, dtype=dtype))
        self.bias = nn.Parameter(torch.empty(members, n_out, 1, dtype=dtype)) if bias else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(members, n_out, rows)` from `(members, n_in, rows)`, or from the `(n_in, rows)` that all members share."""
        return product(self.weight, x, self.bias)


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

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise by the batch's own moments in training, else by the running ones."""
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
    return nn.Sequential(*(LAYER[type(same[0])](same, shape, dtype) for same, shape in pairs))


def named_tensors(model: nn.Sequential) -> list[dict[str, torch.Tensor]]:
    """The model's own tensors, owner by owner, under the contract's names."""
    owners: list[dict[str, torch.Tensor]] = []
    for module in model:
        if isinstance(module, Linear):
            owners.append({"W": module.weight} | ({"b": module.bias} if module.bias is not None else {}))
        elif isinstance(module, BatchNorm):
            running = {"mean": module.running_mean, "variance": module.running_var}
            owners.append({"gamma": module.weight, "beta": module.bias, **running})
    return owners


def outward(key: str, tensor: torch.Tensor) -> torch.Tensor:
    """In the contract's shape: `(members, n_in, n_out)` or `(members, n_out)`."""
    return tensor.transpose(1, 2).contiguous() if key == "W" else tensor.squeeze(2)


def inward(key: str, tensor: torch.Tensor) -> torch.Tensor:
    """In the model's shape: `(members, n_out, n_in)` or `(members, n_out, 1)`."""
    return tensor.transpose(1, 2).contiguous() if key == "W" else tensor.unsqueeze(2)


def batch_loss(config: Config, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The sum over the members of the mean, or sum, over the rows of a row's loss, which is a mean over outputs."""
    rows = y.shape[-1] if config.reduction == "mean" else 1
    targets = y.expand(len(logits), *y.shape)
    if config.loss.name == "cross_entropy":
        return F.cross_entropy(logits, targets, reduction="sum") / rows
    if config.loss.name == "binary_cross_entropy":
        loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="sum")
    else:
        outputs = activation(config.loss.output)(logits)
        if config.loss.name == "mse":
            loss = F.mse_loss(outputs, targets, reduction="sum")
        elif config.loss.name == "mae":
            loss = F.l1_loss(outputs, targets, reduction="sum")
        else:
            loss = F.huber_loss(outputs, targets, reduction="sum", delta=config.huber_delta)
    return loss / (rows * config.n_outputs)
