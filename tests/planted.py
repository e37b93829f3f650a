"""Trainings with a fault planted in them, by a code that shares nothing with the harness: an eager loop in PyTorch.

Gradients are autograd's, optimizers are written out tensor by tensor. What is planted never reaches a recording: its
settings say what the experiment says.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import torch

from harness.recording.file import Recording


@dataclass(frozen=True)
class Training:
    """Everything that the code can do; the defaults are the harness's own conventions."""

    seed: int = 0
    start_seed: int = 0
    order_seed: int = 0
    task: str = "multiclass"
    n: int = 46
    layers: tuple = (6, 7, 4)
    activation: str = "tanh"
    leaky_slope: float = 0.01
    elu_alpha: float = 1.0
    softplus_threshold: float = math.inf
    optimizer: str = "sgd"
    learning_rate: float = 0.1
    decay: float = 1.0  # the learning rate's, a step
    batch_size: int = 8
    epochs: int = 4
    l2: float = 0.0
    l2_factor: float = 1.0  # of the harness's l2 W
    l2_divided: bool = False
    l2_tensors: str = "weights"
    l2_decoupled: bool = False
    reduction: str = "mean"
    outputs: str = "mean"
    probabilities: str = "logits"
    momentum: float = 0.9
    momentum_form: str = "outside"
    nesterov: bool = False
    beta_1: float = 0.9
    beta_2: float = 0.999
    rho: float = 0.9
    epsilon: float = 1e-8
    epsilon_place: str = "outside"
    correction: str = "step"
    reset: bool = False
    accumulator: float = 0.0
    accumulator_by_row: bool = False
    clip_norm: float | None = None
    clip_value: float | None = None
    init: str = "glorot_uniform"
    init_scale: float = 1.0
    bias: object = 0.0
    batches: str = "permutation"
    last_batch: str = "keep"
    dtype: str = "float64"
    constants_32: bool = False
    watched: tuple = ("activations", "logits", "loss", "gradients")
    said: dict = field(default_factory=dict)  # settings that the recording has, where they are not the defaults


def problem(training):
    rng = np.random.default_rng([training.seed, 1])
    X = rng.normal(size=(training.n, training.layers[0]))
    scores = X @ rng.normal(size=(training.layers[0], training.layers[-1])) + rng.normal(size=training.layers[-1])
    if training.task == "multiclass":
        return X, scores.argmax(axis=1)
    return X, (scores > 0) * 1.0 if training.task == "multilabel" else scores


def start(training):
    rng = np.random.default_rng([training.seed, training.start_seed, 2])
    tensors = []
    for n_in, n_out in zip(training.layers[:-1], training.layers[1:], strict=True):
        bound = {
            "glorot_uniform": math.sqrt(6 / (n_in + n_out)),
            "torch_uniform": 1 / math.sqrt(n_in),
            "sklearn_uniform": math.sqrt(2 / (n_in + n_out)),
        }.get(training.init, training.init_scale)
        u, v = rng.random((n_in, n_out)), rng.random(n_out)
        if training.init.endswith("uniform"):
            W = bound * (2 * u - 1)
        else:
            W = np.sqrt(2) * torch.erfinv(torch.tensor(2 * u - 1)).numpy() * training.init_scale
        if training.bias == "as_weights":
            b = bound * (2 * v - 1)
        elif isinstance(training.bias, str):  # "normal 0.1"
            b = float(training.bias.split()[1]) * np.sqrt(2) * torch.erfinv(torch.tensor(2 * v - 1)).numpy()
        else:
            b = np.full(n_out, training.bias)
        tensors += [W, b]
    return tensors


def draw(training):
    """The rows of every step, and its epoch."""
    n, size, rng = training.n, training.batch_size, np.random.default_rng([training.seed, training.order_seed, 3])
    sample = rng.integers(0, n, n)
    rows, epoch = [], []
    for e in range(training.epochs):
        order = {"in_order": np.arange(n), "bootstrap": sample}.get(training.batches, rng.permutation(n))
        parts = [order[first : first + size] for first in range(0, n, size)]
        if training.batches == "skipping":
            parts = [np.arange(first, min(first + size, n)) for first in range(0, n, size + 1)]
        if len(parts[-1]) < size and training.last_batch != "keep":
            last = parts.pop()
            if training.last_batch == "merge":
                parts[-1] = np.concatenate([parts[-1], last])
        if training.batches == "independent":
            parts = [rng.choice(n, len(part), replace=False) for part in parts]
        if training.batches == "replacement":
            parts = [rng.integers(0, n, len(part)) for part in parts]
        rows += parts
        epoch += [e] * len(parts)
    return rows, epoch


def activate(training, z):
    if training.activation == "leaky_relu":
        return torch.nn.functional.leaky_relu(z, training.leaky_slope)
    if training.activation == "elu":
        return torch.nn.functional.elu(z, training.elu_alpha)
    if training.activation == "softplus":
        return torch.where(z > training.softplus_threshold, z, torch.logaddexp(z, torch.zeros_like(z)))
    return {"tanh": torch.tanh, "sigmoid": torch.sigmoid, "relu": torch.relu}[training.activation](z)


def loss_of(training, z, y):
    """What the step minimises, the penalty apart."""
    n, outputs = len(z), z.shape[1]
    if training.task == "multiclass":
        if training.probabilities == "logits":
            each = torch.nn.functional.cross_entropy(z, y, reduction="none")
        elif training.probabilities == "clipped":
            p = torch.softmax(z, 1).clamp(1e-7, 1 - 1e-7)
            each = -torch.log(p[torch.arange(n), y] / p.sum(1))
        else:  # what course codes do: p - t is the error, whatever their p is
            e = torch.exp(z - z.max(1, keepdim=True).values)
            p = e / (e.sum(1, keepdim=True) + 1e-9)
            error = (p - torch.nn.functional.one_hot(y, outputs)).detach()
            each = (error * z).sum(1)
            each = each - each.detach() - torch.log(p[torch.arange(n), y]).detach()
    else:
        if training.task == "multilabel":
            each = torch.nn.functional.binary_cross_entropy_with_logits(z, y, reduction="none")
        else:
            each = (z - y) ** 2
        each = each.sum(1) / {"mean": outputs, "sum": 1, "half sum": 2}[training.outputs]
    return each.sum() / {"mean": n, "sum": 1, "mean of n + 1": n + 1}[training.reduction]


class Optimizer:
    """One tensor's, written out."""

    def __init__(self, training, like):
        self.t, self.training, self.like = 0, training, like
        self.velocity = torch.zeros_like(like)
        self.reset()

    def reset(self):
        first = self.training.accumulator if self.training.optimizer == "adagrad" else 0.0
        self.first, self.second = torch.zeros_like(self.like), torch.full_like(self.like, first)

    def root(self, second):
        epsilon = self.training.epsilon
        return torch.sqrt(second + epsilon) if self.training.epsilon_place == "inside" else torch.sqrt(second) + epsilon

    def step(self, g, rate, epoch):
        it, self.t = self.training, self.t + 1
        single = (lambda c: float(np.float32(c))) if it.constants_32 else float
        if it.optimizer in ("sgd", "momentum"):
            m = single(it.momentum) if it.optimizer == "momentum" else 0.0
            if it.momentum_form == "inside":
                self.velocity = m * self.velocity - rate * g
                return rate * g - m * self.velocity if it.nesterov else -self.velocity
            self.velocity = m * self.velocity + (g * (1 - m) if it.momentum_form == "dampened" else g)
            return rate * (g + m * self.velocity) if it.nesterov else rate * self.velocity
        if it.optimizer == "adagrad":
            squares = g**2
            if it.accumulator_by_row:
                squares = squares.sum(-1, keepdim=True).expand_as(g)
            self.second = self.second + squares
            return rate * g / self.root(self.second)
        if it.optimizer == "rmsprop":
            self.second = single(it.rho) * self.second + (1 - it.rho) * g**2
            return rate * g / self.root(self.second)
        self.first = it.beta_1 * self.first + (1 - it.beta_1) * g
        self.second = it.beta_2 * self.second + (1 - it.beta_2) * g**2
        t = {"step": self.t, "epoch": epoch + 1, "none": math.inf}[it.correction]
        c1, c2 = 1 - single(it.beta_1) ** t, 1 - single(it.beta_2) ** t
        if it.epsilon_place == "hat":
            return rate * math.sqrt(c2) / c1 * self.first / (torch.sqrt(self.second) + it.epsilon)
        return rate * (self.first / c1) / self.root(self.second / c2)


def penalty_of(training, place, last, n):
    """The factor of a tensor in its own gradient."""
    penalised = {"weights": place % 2 == 0, "hidden": place % 2 == 0 and place < last, "weights and biases": True}
    l2 = float(np.float32(training.l2)) if training.constants_32 else training.l2
    return l2 * training.l2_factor / (n if training.l2_divided else 1) if penalised[training.l2_tensors] else 0.0


def record(training, soil=None):
    """Train, and write down what anybody who watches could see; the settings are those of `soil`."""
    kind = {"float64": torch.float64, "float32": torch.float32}[training.dtype]
    X_all, y_all = problem(training)
    X = torch.tensor(X_all, dtype=kind)
    y = torch.tensor(y_all, dtype=torch.long if training.task == "multiclass" else kind)
    tensors = [torch.tensor(value, dtype=kind) for value in start(training)]
    optimizers = [Optimizer(training, w) for w in tensors]
    rows, epochs = draw(training)
    last, size, rate = len(tensors) - 2, max(map(len, rows)), training.learning_rate
    noted = {"weights": [[w.numpy().copy() for w in tensors]], "gradients": [], "logits": [], "loss": [], "rates": []}
    noted["activations"] = []
    for step, (chosen, epoch) in enumerate(zip(rows, epochs, strict=True)):
        if training.reset and step and epochs[step - 1] != epoch:
            for optimizer in optimizers:
                optimizer.reset()
        leaves = [w.clone().requires_grad_() for w in tensors]
        a, hidden = X[chosen], []
        for k in range(0, len(leaves), 2):
            z = a @ leaves[k] + leaves[k + 1]
            if k < last:
                a = activate(training, z)
                hidden.append(a)
        loss = loss_of(training, z, y[chosen])
        factors = [penalty_of(training, place, last, len(chosen)) for place in range(len(leaves))]
        if not training.l2_decoupled:
            loss = loss + sum(f / 2 * (w**2).sum() for f, w in zip(factors, leaves, strict=True))
        gradients = torch.autograd.grad(loss, leaves)
        norm = math.sqrt(sum(float((g**2).sum()) for g in gradients))
        if training.clip_norm is not None and norm > training.clip_norm:
            gradients = [g * (training.clip_norm / norm) for g in gradients]
        if training.clip_value is not None:
            gradients = [g.clamp(-training.clip_value, training.clip_value) for g in gradients]
        for i, (w, g, optimizer) in enumerate(zip(tensors, gradients, optimizers, strict=True)):
            if training.l2_decoupled:
                w = w - rate * factors[i] * w
            tensors[i] = w - optimizer.step(g, rate, epoch)
        noted["weights"].append([w.numpy().copy() for w in tensors])
        noted["gradients"].append([g.numpy().copy() for g in gradients])
        noted["logits"].append(filled(z, size))
        noted["activations"].append([filled(a, size) for a in hidden])
        noted["loss"].append(loss.item())
        noted["rates"].append(rate)
        rate *= training.decay
    return recording_of(training, soil or training, X_all, y_all, rows, epochs, noted)


def filled(array, size):
    array = array.detach().numpy()
    return np.pad(array, ((0, size - len(array)), (0, 0)))


def recording_of(training, soil, X, y, rows, epochs, noted):
    def series(steps):
        columns = [np.stack(column) for column in zip(*steps, strict=True)]
        return tuple({"W": W, "b": b} for W, b in zip(columns[::2], columns[1::2], strict=True))

    size = max(map(len, rows))
    seen = training.watched
    settings = {
        "task": soil.task,
        "loss": {"multiclass": "cross_entropy", "multilabel": "binary_cross_entropy", "regression": "mse"}[soil.task],
        "activation": [soil.activation] * (len(soil.layers) - 2),
        "optimizer": soil.optimizer,
        "learning_rate": soil.learning_rate,
        "l2": soil.l2,
        "batch_size": soil.batch_size,
        "epochs": soil.epochs,
        "momentum": soil.momentum,
        **soil.said,
    }
    if soil.optimizer == "momentum" and soil.nesterov:
        settings["optimizer"] = "nesterov"
    return Recording(
        X=X.astype(training.dtype),
        y=y if training.task == "multiclass" else y.astype(training.dtype),
        rows=np.stack([np.pad(chosen, (0, size - len(chosen)), constant_values=-1) for chosen in rows]),
        epoch=np.array(epochs),
        weights=series(noted["weights"]),
        gradients=series(noted["gradients"]) if "gradients" in seen else None,
        activations=tuple(map(np.stack, zip(*noted["activations"], strict=True))) if "activations" in seen else None,
        logits=np.stack(noted["logits"]) if "logits" in seen else None,
        loss=np.array(noted["loss"]) if "loss" in seen else None,
        learning_rate=np.array(noted["rates"]) if training.decay != 1 else None,
        settings=settings,
        name="planted",
    )
