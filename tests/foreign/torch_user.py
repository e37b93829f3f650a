"""A training in PyTorch as its users write it: `nn.Sequential`, `torch.optim`, a loop, and the recorder."""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from backends.torch_recorder import TorchRecorder
from tests.foreign.data import load
from tests.foreign.draw import Training
from tests.foreign.recorded import keep_only_weights


def train(training: Training, path: Path) -> None:
    """Train, and write the recording."""
    t = training.truth
    torch.manual_seed(training.seed)
    dtype = getattr(torch, t["dtype"])
    X, y = load(training.data, training.n_outputs)
    X, y = torch.tensor(X, dtype=dtype), torch.tensor(y)
    if t["task"] != "multiclass":
        y = y.to(dtype)
    if t["task"] in ("binary", "regression") and y.ndim == 1:
        y = y.reshape(-1, 1)
    model = model_of(training, X.shape[1]).to(dtype)
    optimizer = optimizer_of(training, model)
    criterion = criterion_of(t)
    recorder = TorchRecorder(model, optimizer, X, y)
    loader = DataLoader(
        recorder, training.batch_size, shuffle=t["batches"] == "permutation", drop_last=t["last_batch"] == "drop"
    )
    scheduler = scheduler_of(t, optimizer)
    for _ in range(training.epochs):
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            if t["l2"] and training.way["l2"] == "penalty":
                loss = loss + penalty(t, model, len(inputs))
            loss.backward()
            if t["clip_norm"]:
                nn.utils.clip_grad_norm_(model.parameters(), t["clip_norm"])
            if t["clip_value"]:
                nn.utils.clip_grad_value_(model.parameters(), t["clip_value"])
            optimizer.step()
            scheduler.step()
    recorder.save(path, **training.recorded["settings"])
    keep_only_weights(path, training)


def model_of(training: Training, width: int) -> nn.Sequential:
    t, layers = training.truth, []
    for units, activation in zip(training.hidden, t["activation"], strict=True):
        layers += [nn.Linear(width, units), activation_of(activation, t)]
        width = units
    model = nn.Sequential(*layers, nn.Linear(width, training.n_outputs))
    if t["init"] != "torch_uniform":
        for layer in model:
            if isinstance(layer, nn.Linear):
                if t["init"] == "glorot_uniform":
                    nn.init.xavier_uniform_(layer.weight)
                else:
                    nn.init.normal_(layer.weight, std=float(t["init"][len("normal(") : -1]))
                if t["bias"] != "torch_uniform":  # what nn.Linear draws is left as it is
                    nn.init.constant_(layer.bias, t["bias"])
    return model


def activation_of(name: str, t: dict[str, Any]) -> nn.Module:
    if name == "leaky_relu":
        return nn.LeakyReLU(t["leaky_slope"])
    if name == "elu":
        return nn.ELU(t["elu_alpha"])
    return {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU, "selu": nn.SELU, "softplus": nn.Softplus}[name]()


def criterion_of(t: dict[str, Any]) -> nn.Module:
    if t["loss"] == "huber":
        return nn.HuberLoss(reduction=t["reduction"], delta=t["huber_delta"])
    kinds = {
        "cross_entropy": nn.CrossEntropyLoss,
        "binary_cross_entropy": nn.BCEWithLogitsLoss,
        "mse": nn.MSELoss,
        "mae": nn.L1Loss,
    }
    return kinds[t["loss"]](reduction=t["reduction"])


def optimizer_of(training: Training, model: nn.Sequential) -> torch.optim.Optimizer:
    t, way = training.truth, training.way
    decay = t["l2"] if way.get("l2") == "optimizer" else 0.0
    parameters: Any = model.parameters()
    if decay and t["l2_tensors"] == "weights":  # as language models have it: no decay of biases
        weights = [p for p in model.parameters() if p.ndim > 1]
        biases = [p for p in model.parameters() if p.ndim == 1]
        parameters = [{"params": weights, "weight_decay": decay}, {"params": biases, "weight_decay": 0.0}]
    lr = t["learning_rate"]
    if way["optimizer"] in ("adam", "adamw"):
        kind = torch.optim.AdamW if way["optimizer"] == "adamw" else torch.optim.Adam
        betas = (t["beta_1"], t["beta_2"])
        return kind(parameters, lr=lr, betas=betas, eps=t["epsilon"], weight_decay=decay)
    if way["optimizer"] == "rmsprop":
        return torch.optim.RMSprop(parameters, lr=lr, alpha=t["rho"], eps=t["epsilon"], weight_decay=decay)
    if way["optimizer"] == "adagrad":
        return torch.optim.Adagrad(
            parameters,
            lr=lr,
            eps=t["epsilon"],
            weight_decay=decay,
            initial_accumulator_value=t["initial_accumulator"],
        )
    return torch.optim.SGD(parameters, lr=lr, momentum=t["momentum"], nesterov=t["nesterov"], weight_decay=decay)


def penalty(t: dict[str, Any], model: nn.Sequential, n: int) -> torch.Tensor:
    """L2 by hand, as it stands in many scripts."""
    tensors = list(model.parameters())
    if t["l2_tensors"] != "weights and biases":
        tensors = [p for p in tensors if p.ndim > 1]
    if t["l2_tensors"] == "hidden":
        tensors = tensors[:-1]
    total = sum(p.pow(2).sum() for p in tensors)
    size = t["l2"] if t["l2_factor"] == "full" else t["l2"] / 2
    return size * total if t["l2_divisor"] == "none" else size / n * total


def scheduler_of(t: dict[str, Any], optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
    """Stepped after every step."""
    schedulers = torch.optim.lr_scheduler
    if t["schedule"] == "step":
        return schedulers.StepLR(optimizer, t["decay_steps"], t["decay_rate"])
    if t["schedule"] == "exponential":
        return schedulers.ExponentialLR(optimizer, t["decay_rate"] ** (1 / t["decay_steps"]))
    if t["schedule"] == "cosine":
        return schedulers.CosineAnnealingLR(optimizer, t["decay_steps"])
    if t["schedule"] == "inverse_time":
        return schedulers.LambdaLR(optimizer, lambda step: 1 / (1 + t["decay_rate"] * step / t["decay_steps"]))
    return schedulers.ConstantLR(optimizer, factor=1)
