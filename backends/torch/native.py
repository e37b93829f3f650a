"""PyTorch's own way, as in its tutorials: `nn.Sequential`, a shuffling `DataLoader`, `torch.optim`.

What the experiment does not say is left to PyTorch: the start of `nn.Linear`, float32, each optimizer's constants.
Its `weight_decay` is coupled and meets biases, too.
"""

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from harness import network
from harness.contract import Config, NativeFit, Weights

ACTIVATION = {
    "identity": nn.Identity,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "softplus": nn.Softplus,
}


class NativeNetwork:
    """The network that `fit` makes and trains."""

    model: nn.Sequential

    def __init__(self, config: Config) -> None:
        self.config = config

    def fit(self, X: np.ndarray, y: np.ndarray, seed: int) -> NativeFit:
        """See `Trainer.fit_native`."""
        config = self.config
        dtype = getattr(torch, config.dtype) if "dtype" in config.written else torch.float32

        torch.manual_seed(seed)
        self.model = model = build(config, dtype)
        output = activation(config, config.loss.output.name) if config.task == "regression" else nn.Identity()
        targets = own_tensor(y, torch.int64 if config.task == "multiclass" else dtype)
        dataset = TensorDataset(own_tensor(X, dtype), targets)
        loader = DataLoader(
            dataset, batch_size=config.batch_size, shuffle=True, generator=torch.Generator().manual_seed(seed)
        )
        criterion = criterion_of(config)
        optimizer = optimizer_of(config, model)

        curve = []
        for _ in range(config.epochs):
            total = 0.0
            for inputs, labels in loader:
                optimizer.zero_grad()
                loss = criterion(output(model(inputs)), labels)
                loss.backward()
                optimizer.step()
                total += loss.item() * len(labels)
            curve.append(total / len(dataset))
        return NativeFit(config.epochs, {"loss": curve})

    @torch.no_grad()
    def logits(self, X: np.ndarray) -> np.ndarray:
        """See `Trainer.logits`."""
        return self.model(own_tensor(X, self.model[0].weight.dtype)).numpy()

    @torch.no_grad()
    def weights(self) -> Weights:
        """See `Trainer.weights`; `Linear.weight` is `(n_out, n_in)`, ours transposed."""
        layers = [module for module in self.model if isinstance(module, nn.Linear)]
        return tuple(
            {"W": np.array(layer.weight.T.numpy(), order="C"), "b": layer.bias.numpy().copy()} for layer in layers
        )


def own_tensor(array: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
    """A copy of the array: sharing its memory would warn about a read-only one and refuse reversed strides."""
    return torch.tensor(np.ascontiguousarray(array), dtype=dtype)


def build(config: Config, dtype: torch.dtype) -> nn.Sequential:
    """Linear layers with an activation between each two; the last gives the logits."""
    modules: list[nn.Module] = []
    for k, (n_in, n_out) in enumerate(pairwise(config.network.units)):
        modules.append(nn.Linear(n_in, n_out, dtype=dtype))
        if k < len(config.network.dense["hidden"]):
            modules.append(activation(config, config.network.dense["activation"][k]))
    return nn.Sequential(*modules)


def activation(config: Config, name: str) -> nn.Module:
    """An activation as PyTorch has it; its constant only where it was asked for."""
    if name == "leaky_relu" and "leaky_slope" in config.written:
        return nn.LeakyReLU(config.value("leaky_slope"))
    if name == "elu" and "elu_alpha" in config.written:
        return nn.ELU(config.value("elu_alpha"))
    return ACTIVATION[name]()


def criterion_of(config: Config) -> nn.Module:
    """The loss as in the tutorials, from logits but for a regression."""
    if config.loss.name == "huber":
        return nn.HuberLoss(delta=config.value("huber_delta"))
    return {
        "cross_entropy": nn.CrossEntropyLoss,
        "binary_cross_entropy": nn.BCEWithLogitsLoss,
        "mse": nn.MSELoss,
        "mae": nn.L1Loss,
    }[config.loss.name]()


OPTIMIZER: dict[type[network.Optimizer], type[torch.optim.Optimizer]] = {
    **dict.fromkeys((network.SGD, network.Momentum, network.Nesterov), torch.optim.SGD),
    network.Adagrad: torch.optim.Adagrad,
    network.RMSprop: torch.optim.RMSprop,
    network.Adam: torch.optim.Adam,
}
KEYWORD = {"epsilon": "eps", "rho": "alpha", "initial_accumulator": "initial_accumulator_value"}


def optimizer_of(config: Config, model: nn.Sequential) -> torch.optim.Optimizer:
    """As in the tutorials; constants other than the momentum only where they were asked for."""
    it, rates = config.optimizer, {"lr": config.optimizer.learning_rate, "weight_decay": config.penalty.l2}
    constants: dict[str, Any] = {
        KEYWORD[name]: value for name, value in it.numbers().items() if name in config.written and name in KEYWORD
    }
    if isinstance(it, network.Momentum | network.Nesterov):
        constants |= {"momentum": it.momentum, "nesterov": isinstance(it, network.Nesterov) and it.momentum > 0}
    if isinstance(it, network.Adam) and config.written & {"beta_1", "beta_2"}:
        constants["betas"] = (it.beta_1, it.beta_2)
    return OPTIMIZER[type(it)](model.parameters(), **rates, **constants)


VOCABULARY = (
    *(network.Dense, network.CrossEntropy, network.BinaryCrossEntropy, network.MSE, network.MAE, network.Huber),
    *(network.ACTIVATIONS[name] for name in ACTIVATION),
    *OPTIMIZER,
)
"""What PyTorch has of its own."""
