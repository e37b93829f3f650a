"""A training in NumPy, as lecture notes write it: forward, backward and update by hand, everything noted on the way."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np

from tests.foreign.data import load
from tests.foreign.draw import Training
from tests.foreign.recorded import Notebook


def train(training: Training, path: Path) -> None:
    """Train, and write the recording."""
    t, rng = training.truth, np.random.default_rng(training.seed)
    X, y = load(training.data, training.n_outputs)
    X = X.astype(t["dtype"])
    if t["task"] == "multiclass":
        targets = np.eye(training.n_outputs, dtype=t["dtype"])[y]
    else:
        y = y.astype(t["dtype"])
        targets = y.reshape(len(y), -1)
    theta = [w.astype(t["dtype"]) for w in start(rng, (X.shape[1], *training.hidden, training.n_outputs), t)]
    notes, update, step = Notebook(), Update(t), 0
    notes.weights.append([w.copy() for w in theta])
    for epoch, batches in enumerate(epochs_of(rng, len(X), training)):
        update.begin_epoch()
        for rows in batches:
            loss, logits, grad = loss_and_gradient(theta, X[rows], targets[rows], t)
            lr = learning_rate(t, step)
            if t["clip_norm"]:
                norm = np.sqrt(sum((g**2).sum() for g in grad))
                if norm > t["clip_norm"]:
                    grad = [g * (t["clip_norm"] / norm) for g in grad]
            if t["clip_value"]:
                grad = [np.clip(g, -t["clip_value"], t["clip_value"]) for g in grad]
            changes = update(grad, lr, epoch)
            if t["l2"] and t["l2_form"] == "decoupled":
                for i in penalised(t, len(theta)):
                    changes[i] = changes[i] + lr * t["l2"] * theta[i]
            theta = [(w - change).astype(t["dtype"]) for w, change in zip(theta, changes, strict=True)]
            step += 1
            notes.rows.append(rows)
            notes.epoch.append(epoch)
            notes.rates.append(lr)
            notes.loss.append(loss)
            notes.logits.append(logits)
            notes.gradients.append(grad)
            notes.weights.append([w.copy() for w in theta])
    notes.save(path, X, y, training)


def start(rng: np.random.Generator, widths: tuple[int, ...], t: dict[str, Any]) -> list[np.ndarray]:
    theta = []
    for n_in, n_out in itertools.pairwise(widths):
        if t["init"].startswith("normal"):
            W = rng.normal(0, float(t["init"][7:-1]), (n_in, n_out))
        elif t["init"] == "torch_uniform":
            W = rng.uniform(-1, 1, (n_in, n_out)) / np.sqrt(n_in)
        else:
            W = rng.uniform(-1, 1, (n_in, n_out)) * np.sqrt((6 if t["init"][0] == "g" else 2) / (n_in + n_out))
        b = rng.normal(0, 0.1, n_out) if isinstance(t["bias"], str) else np.full(n_out, t["bias"])
        theta += [W, b]
    return theta


def epochs_of(rng, n, training):
    kind, size, last = training.truth["batches"], training.batch_size, training.truth["last_batch"]
    order = np.arange(n)
    if kind == "one_permutation":
        rng.shuffle(order)
    if kind == "bootstrap":
        order = rng.integers(0, n, n)
    for _ in range(training.epochs):
        if kind == "permutation":
            rng.shuffle(order)
        if kind in ("independent", "replacement"):
            yield [rng.choice(n, size, replace=kind == "replacement") for _ in range(max(n // size, 1))]
        else:
            batches = [order[i : i + size].copy() for i in range(0, n, size)]
            yield [rows for rows in batches if len(rows) == size or last == "keep"]


def act(name, z, t):
    if name == "sigmoid":
        return 1 / (1 + np.exp(-z))
    if name == "tanh":
        return np.tanh(z)
    return np.where(z > 0, z, (0 if name == "relu" else t["leaky_slope"]) * z).astype(z.dtype)


def slope(name, z, a, t):
    if name == "sigmoid":
        return a * (1 - a)
    if name == "tanh":
        return 1 - a**2
    return np.where(z > 0, 1, 0 if name == "relu" else t["leaky_slope"]).astype(z.dtype)


def loss_and_gradient(theta, X, targets, t):
    """The loss with its penalty, the outputs before softmax, and the gradient of every W and b."""
    n, activations, zs, a = len(X), [X], [], X
    for i in range(0, len(theta), 2):
        z = a @ theta[i] + theta[i + 1]
        zs.append(z)
        a = act(t["activation"][i // 2], z, t) if i + 2 < len(theta) else z
        activations.append(a)
    loss, delta = output_error(z, targets, t)
    scale = {"mean": 1 / n, "sum": 1, "mean of n + 1": 1 / (n + 1)}[t["reduction"]]
    loss, delta = loss * scale, (delta * scale).astype(z.dtype)
    grad = [None] * len(theta)
    for i in range(len(theta) - 2, -1, -2):
        grad[i], grad[i + 1] = activations[i // 2].T @ delta, delta.sum(axis=0)
        if i:
            before = i // 2 - 1
            delta = (delta @ theta[i].T) * slope(t["activation"][before], zs[before], activations[i // 2], t)
    if t["l2"] and t["l2_form"] == "coupled":
        size = t["l2"] * (2 if t["l2_factor"] == "full" else 1) / (n if t["l2_divisor"] != "none" else 1)
        for i in penalised(t, len(theta)):
            loss += size / 2 * (theta[i] ** 2).sum()
            grad[i] = grad[i] + size * theta[i]
    return float(loss), z, grad


def output_error(z, targets, t):
    if t["loss"] == "cross_entropy":
        shifted = np.exp(z - z.max(axis=1, keepdims=True))
        p = shifted / shifted.sum(axis=1, keepdims=True)
        if t["probabilities"] != "logits":
            p = np.exp(z) / (np.exp(z).sum(axis=1, keepdims=True) + 1e-9)
        return -(targets * np.log(p)).sum(), p - targets
    if t["loss"] == "binary_cross_entropy":
        p = 1 / (1 + np.exp(-z))
        return -(targets * np.log(p) + (1 - targets) * np.log(1 - p)).sum(), p - targets
    share = {"mean": 1 / z.shape[1], "sum": 1, "half sum": 0.5}[t["outputs"]]
    error = z - targets
    if t["loss"] == "mse":
        return share * (error**2).sum(), share * 2 * error
    if t["loss"] == "mae":
        return share * np.abs(error).sum(), share * np.sign(error)
    d = t["huber_delta"]
    small = np.abs(error) <= d
    return share * np.where(small, error**2 / 2, d * (np.abs(error) - d / 2)).sum(), share * np.clip(error, -d, d)


def penalised(t, tensors):
    if t["l2_tensors"] == "weights and biases":
        return range(tensors)
    return range(0, tensors - 2 * (t["l2_tensors"] == "hidden"), 2)


def learning_rate(t, step):
    if t["schedule"] == "constant":
        return t["learning_rate"]
    x = step / t["decay_steps"]
    if t["schedule"] == "cosine":
        return t["learning_rate"] * (1 + np.cos(np.pi * min(x, 1))) / 2
    r = t["decay_rate"]
    return (
        t["learning_rate"]
        * {"step": r ** np.floor(x), "exponential": r**x, "inverse_time": 1 / (1 + r * x)}[t["schedule"]]
    )


class Update:
    """What an optimizer takes off the weights."""

    def __init__(self, t):
        self.t, self.m, self.v, self.steps = t, None, None, 0

    def begin_epoch(self):
        if self.t.get("moments_reset") == "epoch":
            self.m = self.v = None

    def __call__(self, grad, lr, epoch):
        t = self.t
        self.steps += 1
        if self.m is None:
            self.m = [np.zeros_like(g) for g in grad]
            self.v = [np.full_like(g, t.get("initial_accumulator", 0)) for g in grad]
        return [self.one(i, g, lr, epoch + 1) for i, g in enumerate(grad)]

    def one(self, i, g, lr, epoch):
        t = self.t
        if t["optimizer"] == "sgd":
            return self.sgd(i, g, lr)
        if t["optimizer"] == "adam":
            self.m[i] = t["beta_1"] * self.m[i] + (1 - t["beta_1"]) * g
            self.v[i] = t["beta_2"] * self.v[i] + (1 - t["beta_2"]) * g**2
            m, v = self.m[i], self.v[i]
            if t["bias_correction"] != "none":
                k = self.steps if t["bias_correction"] == "step" else epoch
                m, v = m / (1 - t["beta_1"] ** k), v / (1 - t["beta_2"] ** k)
        elif t["optimizer"] == "rmsprop":
            self.v[i] = t["rho"] * self.v[i] + (1 - t["rho"]) * g**2
            m, v = g, self.v[i]
        else:
            by_row = t["accumulator"] == "row"
            self.v[i] = self.v[i] + ((g**2).sum(axis=-1, keepdims=True) if by_row else g**2)
            m, v = g, self.v[i]
        root = np.sqrt(v + t["epsilon"]) if t["epsilon_place"] == "inside" else np.sqrt(v) + t["epsilon"]
        return lr * m / root

    def sgd(self, i, g, lr):
        t, m = self.t, self.t["momentum"]
        if not m:
            return lr * g
        if t["momentum_form"] == "inside":
            self.m[i] = m * self.m[i] - lr * g
            return -(m * self.m[i] - lr * g) if t["nesterov"] else -self.m[i]
        self.m[i] = m * self.m[i] + (1 - m if t["momentum_form"] == "dampened" else 1) * g
        return lr * (g + m * self.m[i]) if t["nesterov"] else lr * self.m[i]
