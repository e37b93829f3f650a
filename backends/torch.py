"""PyTorch: `nn.Sequential`, `torch.optim` and a plain loop over index batches.

PyTorch's conventions are nearly the harness's. `Linear.weight` is `(n_out, n_in)`: ours transposed. Its
`weight_decay` adds `l2 * W` to the gradient whatever the reduction, which is our L2, but to biases too: so weights
and biases are two parameter groups. SGD with momentum starts its buffer at the first gradient, which is
`v = m*v + g` from zero, and applies the learning rate outside of it; Adam has the paper's form.
"""

from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from harness.trainer import AfterEpoch, Batches, Config, NativeFit, Trainer, Weights

ACTIVATION = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}


class TorchTrainer(Trainer):
    """`torch.nn` with `torch.optim`, on the CPU, in eager mode."""

    name = "torch"
    requires = ("torch",)
    arithmetic = ("torch.nn.functional.linear", "torch.nn.functional.cross_entropy", "torch.optim.SGD.step")

    def __init__(self, config: Config, start: Weights | None) -> None:
        self.config = config
        if start is not None:
            self.model = build(config, getattr(torch, config.dtype))
            self.set_weights(start)
            self.optimizer = optimizer(config, self.model)

    def train(self, X: np.ndarray, y: np.ndarray, batches: Batches, after_epoch: AfterEpoch) -> None:
        inputs, labels = own_tensor(X, getattr(torch, self.config.dtype)), own_tensor(y, torch.int64)
        for e in range(len(batches)):
            epoch = batches[e]
            for rows, learning_rate in zip(epoch.batches(), epoch.learning_rate.tolist(), strict=True):
                rows = torch.from_numpy(rows)
                for group in self.optimizer.param_groups:
                    group["lr"] = learning_rate
                loss = F.cross_entropy(self.model(inputs[rows]), labels[rows], reduction=self.config.reduction)
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
            if after_epoch(e + 1):
                return

    @torch.no_grad()
    def logits(self, X: np.ndarray) -> np.ndarray:
        return self.model(own_tensor(X, self.model[0].weight.dtype)).numpy()

    @torch.no_grad()
    def weights(self) -> Weights:
        def copy(parameter: torch.Tensor) -> np.ndarray:
            return np.array(parameter.numpy().T, order="C")

        return tuple({"W": copy(layer.weight), "b": copy(layer.bias)} for layer in linear_layers(self.model))

    @torch.no_grad()
    def set_weights(self, weights: Weights) -> None:
        for layer, given in zip(linear_layers(self.model), weights, strict=True):
            layer.weight.copy_(own_tensor(given["W"].T, layer.weight.dtype))
            layer.bias.copy_(own_tensor(given["b"], layer.bias.dtype))

    def fit_native(self, X: np.ndarray, y: np.ndarray, seed: int) -> NativeFit:
        config = self.config
        dtype = getattr(torch, config.dtype) if "dtype" in config.written else torch.float32

        torch.manual_seed(seed)
        self.model = model = build(config, dtype)
        dataset = TensorDataset(own_tensor(X, dtype), own_tensor(y, torch.int64))
        loader = DataLoader(
            dataset, batch_size=config.batch_size, shuffle=True, generator=torch.Generator().manual_seed(seed)
        )
        criterion = nn.CrossEntropyLoss()
        optimizer = native_optimizer(config, model)

        curve = []
        for _ in range(config.epochs):
            total = 0.0
            for inputs, labels in loader:
                optimizer.zero_grad()
                loss = criterion(model(inputs), labels)
                loss.backward()
                optimizer.step()
                total += loss.item() * len(labels)
            curve.append(total / len(dataset))
        return NativeFit(config.epochs, {"loss": curve})


def build(config: Config, dtype: torch.dtype) -> nn.Sequential:
    """Linear layers with an activation between each two; the last gives the logits."""
    modules: list[nn.Module] = []
    for (n_in, n_out), name in zip(pairwise(config.layers), (*config.activation, None), strict=True):
        modules.append(nn.Linear(n_in, n_out, dtype=dtype))
        if name is not None:
            modules.append(ACTIVATION[name]())
    return nn.Sequential(*modules)


def linear_layers(model: nn.Sequential) -> list[nn.Linear]:
    """The layers that have weights."""
    return [module for module in model if isinstance(module, nn.Linear)]


def own_tensor(array: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
    """A copy of the array: sharing its memory would warn about a read-only one and refuse reversed strides."""
    return torch.tensor(np.ascontiguousarray(array), dtype=dtype)


def optimizer(config: Config, model: nn.Sequential) -> torch.optim.Optimizer:
    """Every constant handed over, and L2 on the weights only; the learning rate is set before each step."""
    layers = linear_layers(model)
    groups = [
        {"params": [layer.weight for layer in layers], "weight_decay": config.l2},
        {"params": [layer.bias for layer in layers], "weight_decay": 0.0},
    ]
    if config.optimizer == "adam":
        betas = (config.beta_1, config.beta_2)
        return torch.optim.Adam(groups, lr=config.learning_rate, betas=betas, eps=config.epsilon)
    momentum = 0.0 if config.optimizer == "sgd" else config.momentum
    nesterov = config.optimizer == "nesterov" and momentum > 0  # refused at 0, where it is plain SGD
    return torch.optim.SGD(groups, lr=config.learning_rate, momentum=momentum, nesterov=nesterov)


def native_optimizer(config: Config, model: nn.Sequential) -> torch.optim.Optimizer:
    """As in the tutorials; Adam's constants only where they were asked for."""
    rates = {"lr": config.learning_rate, "weight_decay": config.l2}
    if config.optimizer == "sgd":
        return torch.optim.SGD(model.parameters(), **rates)
    if config.optimizer == "momentum":
        return torch.optim.SGD(model.parameters(), momentum=config.momentum, **rates)
    if config.optimizer == "nesterov":
        return torch.optim.SGD(model.parameters(), momentum=config.momentum, nesterov=True, **rates)
    constants = {}
    if config.written & {"beta_1", "beta_2"}:
        constants["betas"] = (config.beta_1, config.beta_2)
    if "epsilon" in config.written:
        constants["eps"] = config.epsilon
    return torch.optim.Adam(model.parameters(), **rates, **constants)
