"""The training of the course of 2024, as its printed code computes it, one line after another.

It shares nothing with the replay. What its authors write as classes is here arithmetic on lists: `W[k]` and `b[k]` are
a layer's matrix and its biases, a bias column of 0.01 stands before the inputs of each, and `go` holds what the steps
of one tensor remember.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.replay.training import Member

TINY = 10e-10
RHO, RHO2, MASS, DELTA = 0.9, 0.999, 0.9, 1e-8
Memory = dict[str, np.ndarray]


def constant(go: Memory, g: np.ndarray, eta: float, epoch: int) -> np.ndarray:
    return eta * g


def momentum(go: Memory, g: np.ndarray, eta: float, epoch: int) -> np.ndarray:
    go["kept"] = MASS * go.get("kept", 0) + eta * g
    return go["kept"]


def adagrad(go: Memory, g: np.ndarray, eta: float, epoch: int) -> np.ndarray:
    """One sum of squares for each row of the matrix: the diagonal of the sum of `g g^T`; the biases are one row."""
    table = g.reshape(-1, g.shape[-1])
    go["sum"] = go.get("sum", 0) + np.einsum("ij,ij->i", table, table)
    return (eta * table / (DELTA + np.sqrt(go["sum"]))[:, None]).reshape(g.shape)


def adagrad_momentum(go: Memory, g: np.ndarray, eta: float, epoch: int) -> np.ndarray:
    go["kept"] = MASS * go.get("kept", 0) + adagrad(go, g, eta, epoch)
    return go["kept"]


def rmsprop(go: Memory, g: np.ndarray, eta: float, epoch: int) -> np.ndarray:
    go["second"] = RHO * go.get("second", 0) + (1 - RHO) * g * g
    return eta * g / np.sqrt(go["second"] + DELTA)


def adam(go: Memory, g: np.ndarray, eta: float, epoch: int) -> np.ndarray:
    """Both moments are corrected by the number of the epoch, which they are new in."""
    go["first"] = RHO * go.get("first", 0) + (1 - RHO) * g
    go["second"] = RHO2 * go.get("second", 0) + (1 - RHO2) * g * g
    first, second = go["first"] / (1 - RHO**epoch), go["second"] / (1 - RHO2**epoch)
    return eta * first / np.sqrt(second + DELTA)


SCHEDULERS: dict[str, Callable] = {
    "sgd": constant,
    "momentum": momentum,
    "adagrad": adagrad,
    "adagrad_momentum": adagrad_momentum,
    "rmsprop": rmsprop,
    "adam": adam,
}


@dataclass(frozen=True)
class Ended:
    """What the code holds after every epoch: matrices and biases as they stand in it, and the cost that it logs."""

    epochs: list[tuple[dict[str, np.ndarray], ...]]
    costs: list[float]

    @property
    def weights(self) -> tuple[dict[str, np.ndarray], ...]:
        """The network at the end, as every other has it: with biases that count for 1."""
        return tuple({"W": layer["W"], "b": 0.01 * layer["b"]} for layer in self.epochs[-1])

    @property
    def finite(self) -> list[bool]:
        """Whether all is finite, after each epoch."""
        return [all(np.isfinite(w).all() for layer in each for w in layer.values()) for each in self.epochs]


def hidden(name: str, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An activation and its derivative."""
    if name == "sigmoid":
        e = np.exp(-z)
        return 1 / (1 + e), e / (1 + e) ** 2
    slope = {"relu": 0.0, "leaky_relu": 10e-4}[name]
    return np.where(z > 0, z, slope * z), np.where(z > 0, 1.0, slope)


def forward(W, b, names, X):
    """Inputs of each layer, the derivatives of the hidden ones, and the last sums."""
    inputs, slopes = [X], []
    for k in range(len(W)):
        z = np.hstack([np.full((len(X), 1), 0.01), inputs[k]]) @ np.vstack([b[k], W[k]])
        if k < len(W) - 1:
            a, slope = hidden(names[k], z)
            inputs.append(a)
            slopes.append(slope)
    return inputs, slopes, z


def output(task: str, z: np.ndarray) -> np.ndarray:
    if task == "multiclass":
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / (e.sum(axis=1, keepdims=True) + TINY)
    return z if task == "regression" else 1 / (1 + np.exp(-z))


def output_error(task: str, z: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Behind a softmax `p - t`, which nothing divides; else the derivative of the cost, which the rows divide."""
    p = output(task, z)
    if task == "multiclass":
        return p - t
    if task == "regression":
        return 2 * (p - t) / len(t)
    slope = np.exp(-z) / (1 + np.exp(-z)) ** 2
    return slope * -(t / (p + TINY) - (1 - t) / (1 - p + TINY)) / len(t)


def cost(task: str, p: np.ndarray, t: np.ndarray) -> float:
    """What is logged: of classes the cost of the answers."""
    if task == "regression":
        return np.sum((t - p) ** 2) / len(t)
    said = np.where(p > 0.5, 1, 0)
    if task == "multiclass":
        return -np.sum(t * np.log(said + TINY)) / t.size
    return -np.sum(t * np.log(said + TINY) + (1 - t) * np.log(1 - said + TINY)) / len(t)


def targets(member: Member) -> np.ndarray:
    return np.eye(member.config.network.n_outputs)[member.y] if member.config.task == "multiclass" else member.y


@np.errstate(all="ignore")
def course_2024(member: Member, batches: int, scheduler: Callable | None = None) -> Ended:
    """Train from a member's start on its bootstrap, cut into a number of batches."""
    config, task = member.config, member.config.task
    step = scheduler or SCHEDULERS[config.optimizer.name]
    rows = np.concatenate(member.batches[0].batches())
    X, t = member.X[rows], targets(member)[rows]
    W, b = [layer["W"].copy() for layer in member.start], [layer["b"].copy() for layer in member.start]
    of_W: list[Memory] = [{} for _ in W]
    of_b: list[Memory] = [{} for _ in W]
    size, ended = len(X) // batches, Ended([], [])
    for epoch in range(1, config.epochs + 1):
        for i in range(batches):
            part = slice(i * size, (i + 1) * size if i < batches - 1 else None)
            inputs, slopes, z = forward(W, b, config.network.dense["activation"], X[part])
            delta = output_error(task, z, t[part])
            for k in reversed(range(len(W))):
                if k < len(W) - 1:
                    delta = delta @ W[k + 1].T * slopes[k]  # through a matrix that is new already
                g = inputs[k].T @ delta + config.penalty.l2 * W[k]
                b[k] = b[k] - step(of_b[k], delta.sum(axis=0), config.optimizer.learning_rate, epoch)
                W[k] = W[k] - step(of_W[k], g, config.optimizer.learning_rate, epoch)
        for memory in (*of_W, *of_b):  # what is kept is momentum
            kept = {"kept": memory["kept"]} if "kept" in memory else {}
            memory.clear()
            memory.update(kept)
        ended.epochs.append(tuple({"W": w.copy(), "b": v.copy()} for w, v in zip(W, b, strict=True)))
        ended.costs.append(float(cost(task, output(task, forward(W, b, config.network.dense["activation"], X)[2]), t)))
    return ended
