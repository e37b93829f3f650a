"""Gradients of the judge's own replay, in NumPy, from the formulas of docs/conventions.md and nothing else."""

from typing import Any

import numpy as np

Row = dict[str, Any]
"""Conventions and numbers by their names; those of a table's row and of a network together."""

SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


def gradient(theta: list[np.ndarray], X: np.ndarray, y: np.ndarray, row: Row) -> list[np.ndarray]:
    """Of the loss with its penalty, clipped, by every tensor of `theta`: W, b, W, b, …"""
    if row.get("batch_norm") or any(row.get("dropout") or ()):
        raise NotImplementedError("dropout or batch normalisation, which no recording has")
    dtype, n = theta[0].dtype, len(X)
    inputs, slopes, a = [], [], X
    for k in range(len(theta) // 2):
        inputs.append(a)
        z = a @ theta[2 * k] + theta[2 * k + 1]
        if 2 * k + 2 < len(theta):
            a, slope = activation(row["activation"][k], z, row)
            slopes.append(slope.astype(dtype))
            a = a.astype(dtype)
    delta = (output_error(z, y, row) / rows_divisor(row["reduction"], n)).astype(dtype)
    found: list[Any] = [None] * len(theta)
    for k in reversed(range(len(theta) // 2)):
        found[2 * k], found[2 * k + 1] = inputs[k].T @ delta, delta.sum(axis=0)
        if k:
            delta = (delta @ theta[2 * k].T) * slopes[k - 1]
    if row["l2"] and row["l2_form"] == "coupled":
        size = penalty_size(row, n)
        for i in penalised(row, len(theta)):
            found[i] = found[i] + (size * theta[i]).astype(dtype)
    for i in range(0, len(theta), 2) if row.get("l1") else ():
        found[i] = found[i] + (row["l1"] * np.sign(theta[i])).astype(dtype)
    return clipped(found, row)


def rows_divisor(reduction: str, n: int) -> int:
    return {"mean": n, "sum": 1, "mean of n + 1": n + 1}[reduction]


def penalty_size(row: Row, n: int) -> float:
    """What W is multiplied with."""
    divisor = n if row["l2_divisor"] == "rows of the batch" else 1
    return through(row, row["l2"]) * (2 if row["l2_factor"] == "full" else 1) / divisor


def penalised(row: Row, tensors: int) -> range:
    if row["l2_tensors"] == "weights and biases":
        return range(tensors)
    return range(0, tensors - 2 if row["l2_tensors"] == "hidden" else tensors, 2)


def through(row: Row, number: float) -> float:
    """A constant in the dtype that the convention `constants` gives it."""
    return float(np.float32(number)) if row.get("constants", "exact") != "exact" else number


def clipped(grad: list[np.ndarray], row: Row) -> list[np.ndarray]:
    if row.get("clip_norm"):
        norm = np.sqrt(sum(float((g.astype(np.float64) ** 2).sum()) for g in grad))
        if norm > row["clip_norm"]:
            grad = [(g * (row["clip_norm"] / norm)).astype(g.dtype) for g in grad]
    if row.get("clip_value"):
        grad = [np.clip(g, -row["clip_value"], row["clip_value"]) for g in grad]
    return grad


def activation(name: str, z: np.ndarray, row: Row) -> tuple[np.ndarray, np.ndarray]:
    """a and da/dz."""
    if name == "identity":
        return z, np.ones_like(z)
    if name == "sigmoid":
        a = sigmoid(z)
        return a, a * (1 - a)
    if name == "tanh":
        a = np.tanh(z)
        return a, 1 - a * a
    if name == "relu":
        return np.maximum(z, 0), (z > 0).astype(z.dtype)
    if name == "leaky_relu":
        slope = through(row, row["leaky_slope"])
        return np.where(z > 0, z, slope * z), np.where(z > 0, 1.0, slope)
    if name == "softplus":
        threshold = row["softplus_threshold"]
        above = np.zeros(z.shape, bool) if threshold is None else z > threshold
        return np.where(above, z, np.logaddexp(z, 0)), np.where(above, 1.0, sigmoid(z))
    alpha, scale = (row["elu_alpha"], 1.0) if name == "elu" else (SELU_ALPHA, SELU_SCALE)
    below = np.minimum(z, 0)
    return scale * np.where(z > 0, z, alpha * np.expm1(below)), scale * np.where(z > 0, 1.0, alpha * np.exp(below))


def sigmoid(z: np.ndarray) -> np.ndarray:
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1 / (1 + e), e / (1 + e))


def output_error(z: np.ndarray, y: np.ndarray, row: Row) -> np.ndarray:
    """The derivative of each row's loss by the outputs before softmax or sigmoid."""
    if row["loss"] == "cross_entropy":
        e = np.exp(z - z.max(axis=1, keepdims=True))
        p = e / e.sum(axis=1, keepdims=True)
        if row["probabilities"] == "denominator + 1e-9":
            e = np.exp(z)
            p = e / (e.sum(axis=1, keepdims=True) + 1e-9)
        one_hot = np.arange(z.shape[1]) == y.reshape(-1, 1)
        error = p - one_hot
        if row["probabilities"] == "clipped 1e-7":
            true = p[one_hot].reshape(-1, 1)
            error = np.where((true < 1e-7) | (true > 1 - 1e-7), 0, error)
        return error
    y = y.reshape(len(y), -1)
    share = {"mean": 1 / z.shape[1], "sum": 1.0, "half sum": 0.5}[row["outputs"]]
    if row["loss"] == "binary_cross_entropy":
        return share * (sigmoid(z) - y)
    if row["loss"] == "mse":
        return share * 2 * (z - y)
    if row["loss"] == "mae":
        return share * np.sign(z - y)
    if row["loss"] == "huber":
        return share * np.clip(z - y, -row["huber_delta"], row["huber_delta"])
    raise NotImplementedError(f"loss {row['loss']!r}")
