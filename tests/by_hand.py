"""Trainings by codes that share nothing with the replay, for the conventions that no backend's native way has."""

from collections.abc import Callable, Iterable

import numpy as np

from harness.contract import Weights
from harness.replay.training import Member


def hand_in(member: Member) -> Weights:
    """The hand-in of 2019: slices of 50 rows, one row left out, while there are 51; a mean over one too many."""
    config, X, t = member.config, member.X, np.eye(10)[member.y]
    (W1, b1), (W2, b2) = ((layer["W"].copy(), layer["b"].copy()) for layer in member.start)
    rate = config.optimizer.learning_rate
    for _ in range(config.epochs):
        for first in range(0, len(X) - 50, 51):
            x, target = X[first : first + 50], t[first : first + 50]
            a = 1 / (1 + np.exp(-(x @ W1 + b1)))
            p = np.exp(a @ W2 + b2)
            delta = (p / p.sum(axis=1, keepdims=True) - target) / (len(x) + 1)
            back = delta @ W2.T * a * (1 - a)
            W1, b1 = W1 - rate * x.T @ back, b1 - rate * back.sum(axis=0)
            W2, b2 = W2 - rate * a.T @ delta, b2 - rate * delta.sum(axis=0)
    return ({"W": W1, "b": b1}, {"W": W2, "b": b2})


def in_torch(optimizer: Callable) -> Callable[[Member], Weights]:
    """PyTorch's layers, loss and optimizer, which is made of the matrices and the biases of a tanh network."""
    import torch
    from torch import nn

    def train(member: Member) -> Weights:
        (n_in, units), (_, n_out) = (layer["W"].shape for layer in member.start)
        linear = [nn.Linear(n_in, units, dtype=torch.float64), nn.Linear(units, n_out, dtype=torch.float64)]
        with torch.no_grad():
            for module, layer in zip(linear, member.start, strict=True):
                module.weight.copy_(torch.tensor(layer["W"].T.copy()))
                module.bias.copy_(torch.tensor(layer["b"]))
        model, criterion = nn.Sequential(linear[0], nn.Tanh(), linear[1]), nn.CrossEntropyLoss()
        step_by = optimizer([module.weight for module in linear], [module.bias for module in linear], member.config)
        X, y = torch.tensor(member.X), torch.tensor(member.y)
        for epoch in range(len(member.batches)):
            for rows in member.batches[epoch].batches():
                step_by.zero_grad()
                criterion(model(X[rows]), y[rows]).backward()
                step_by.step()
        arrays = [(module.weight.detach().numpy().T, module.bias.detach().numpy()) for module in linear]
        return tuple({"W": W.copy(), "b": b.copy()} for W, b in arrays)

    return train


def adamw(matrices: Iterable, biases: Iterable, config):
    """Decay beside the gradient, of the matrices."""
    import torch

    groups = [{"params": matrices, "weight_decay": config.penalty.l2}, {"params": biases, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.optimizer.learning_rate, eps=config.value("epsilon"))


def dampened(matrices: Iterable, biases: Iterable, config):
    """SGD with dampening, its velocities from 0: left to itself PyTorch takes the first gradient undampened."""
    import torch

    m = config.value("momentum")
    groups = [{"params": matrices, "weight_decay": config.penalty.l2}, {"params": biases}]
    sgd = torch.optim.SGD(groups, lr=config.optimizer.learning_rate, momentum=m, dampening=m)
    for parameter in (*matrices, *biases):
        sgd.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return sgd


def bounded(matrices: Iterable, biases: Iterable, config):
    """Gradients clipped before the step, which adds the decay of the matrices behind that."""
    import torch

    groups = [{"params": matrices, "weight_decay": config.penalty.l2}, {"params": biases}]
    sgd = torch.optim.SGD(groups, lr=config.optimizer.learning_rate, momentum=config.value("momentum"))
    parameters = [*matrices, *biases]
    sgd.register_step_pre_hook(lambda *_: torch.nn.utils.clip_grad_value_(parameters, config.value("clip_value")))
    return sgd


def in_keras(last: str | Callable) -> Callable[[Member], Weights]:
    """`fit` without shuffling, a loss of probabilities that `last` gives, and L2 on the hidden layer only."""
    import keras

    from backends.keras.trainer import precision

    def train(member: Member) -> Weights:
        config = member.config
        with precision("float64"):
            penalty = keras.regularizers.L2(config.penalty.l2)
            model = keras.Sequential(
                [
                    keras.Input((config.network.units[0],)),
                    keras.layers.Dense(
                        config.network.dense["hidden"][0],
                        config.network.dense["activation"][0],
                        kernel_regularizer=penalty,
                    ),
                    keras.layers.Dense(config.network.n_outputs, last),
                ]
            )
            model.set_weights([layer[key] for layer in member.start for key in ("W", "b")])
            model.compile(
                keras.optimizers.SGD(config.optimizer.learning_rate), keras.losses.SparseCategoricalCrossentropy()
            )
            model.fit(member.X, member.y, batch_size=config.batch_size, epochs=config.epochs, shuffle=False, verbose=0)
        W1, b1, W2, b2 = model.get_weights()
        return ({"W": W1, "b": b1}, {"W": W2, "b": b2})

    return train


def probabilities(z):
    """Softmax by other operations: behind one that it knows, Keras looks for the logits."""
    from keras import ops

    return ops.exp(ops.log_softmax(z))
