"""The judge's own replay of a recording under a row, and how far it may be off: the recording's own rounding."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.foreign.network import Row, gradient, penalised, penalty_size, through


@dataclass(frozen=True)
class Recorded:
    """What a file holds of a training: every array that a replay needs."""

    X: np.ndarray
    y: np.ndarray
    rows: list[np.ndarray]
    epoch: np.ndarray
    weights: list[list[np.ndarray]]
    rates: np.ndarray | None
    settings: dict[str, Any]

    @property
    def steps(self) -> int:
        return len(self.rows)

    @property
    def dtype(self) -> str:
        return str(self.weights[0][0].dtype)


class Optimizer:
    """The update of docs/conventions.md, with its state; one for one walk."""

    def __init__(self, row: Row, dtype: str, rounding: np.random.Generator | None = None):
        self.row, self.dtype, self.rounding = row, np.dtype(dtype).type, rounding
        self.state, self.step, self.epoch = [], 0, -1

    def __call__(self, theta: list[np.ndarray], grad: list[np.ndarray], rate: float, epoch: int, n: int) -> list[Any]:
        row = self.row
        if epoch != self.epoch and row.get("moments_reset") == "epoch":
            self.state = []
        self.epoch, self.step = epoch, self.step + 1
        if not self.state:
            first = through(row, row.get("initial_accumulator") or 0.0) if row["optimizer"] == "adagrad" else 0.0
            self.state = [(np.zeros_like(g), np.full_like(g, first)) for g in grad]
        decay = penalty_size(row, n) if row["l2"] and row["l2_form"] == "decoupled" else 0.0
        decayed = penalised(row, len(theta)) if decay else ()
        result = []
        for i, (w, g) in enumerate(zip(theta, grad, strict=True)):
            change, self.state[i] = self.change(g, rate, *self.state[i])
            if i in decayed:
                change = change + rate * decay * w
            result.append((w - change).astype(w.dtype))
        return result

    def change(self, g: np.ndarray, rate: float, m: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, Any]:
        """What is taken off the weights, and the state after it, in the dtype of `g`."""
        row, dtype = self.row, g.dtype
        if row["optimizer"] == "sgd":
            size = through(row, row.get("momentum") or 0.0)
            if not size:
                return rate * g, (m, v)
            if row["momentum_form"] == "inside":
                m = (size * m - rate * g).astype(dtype)
                return (rate * g - size * m if row["nesterov"] else -m), (m, v)
            m = (size * m + (1 - size if row["momentum_form"] == "dampened" else 1) * g).astype(dtype)
            return rate * (g + size * m if row["nesterov"] else m), (m, v)
        if row["optimizer"] == "adam":
            m = (row["beta_1"] * m + (1 - row["beta_1"]) * g).astype(dtype)
            v = (row["beta_2"] * v + (1 - row["beta_2"]) * g * g).astype(dtype)
            return self.adam(rate, m, v), (m, v)
        if row["optimizer"] == "rmsprop":
            v = (row["rho"] * v + (1 - row["rho"]) * g * g).astype(dtype)
            return rate * g / self.root(v), (m, v)
        by_row = row["accumulator"] == "row"
        v = v + ((g * g).sum(axis=-1, keepdims=True) if by_row else g * g)
        change = rate * g / self.root(v)
        if row["optimizer"] == "adagrad_momentum":
            m = change = (row["momentum"] * m + change).astype(dtype)
        elif row["optimizer"] != "adagrad":
            raise NotImplementedError(f"optimizer {row['optimizer']!r}")
        return change, (m, v)

    def root(self, v: np.ndarray) -> np.ndarray:
        epsilon = self.row["epsilon"]
        return np.sqrt(v + epsilon) if self.row["epsilon_place"] == "inside" else np.sqrt(v) + epsilon

    def adam(self, rate: float, m: np.ndarray, v: np.ndarray) -> np.ndarray:
        row = self.row
        t = {"step": self.step, "epoch": self.epoch + 1}.get(row["bias_correction"])
        first, second = 1.0, 1.0
        if t is not None:
            first, second = self.correction(row["beta_1"], t), self.correction(row["beta_2"], t)
        if row["epsilon_place"] == "hat":
            return rate * np.sqrt(second) / first * m / (np.sqrt(v) + row["epsilon"])
        return rate * (m / first) / self.root(v / second)

    def correction(self, beta: float, t: int) -> float:
        """1 - beta^t; where constants go through float32 it is computed in the dtype of the recording."""
        if self.row.get("constants", "exact") == "exact":
            return 1 - beta**t
        power = self.dtype(np.float32(beta)) ** self.dtype(t)
        if self.rounding is not None:
            power = np.nextafter(power, self.dtype(self.rounding.choice([0, 2])))
        return float(self.dtype(1) - power)


def rate_of(row: Row, recorded: Recorded, step: int) -> float:
    """A recorded rate is the rate; otherwise the row's."""
    rate = row["learning_rate"] if recorded.rates is None else float(recorded.rates[step])
    return through(row, rate) if row.get("constants") == "float32 rate" else rate


def walk(
    row: Row, recorded: Recorded, dtype: str, forced: bool = True, rounding: np.random.Generator | None = None
) -> Iterator[list[np.ndarray]]:
    """The weights after each step.

    `forced`: each step begins with the recorded weights; else with its own. `rounding` reverses the rows of the batch
    and moves each weight by one unit in the last place up or down, where the gradient is taken.
    """
    X, optimizer = recorded.X.astype(dtype), Optimizer(row, recorded.dtype, rounding)
    theta = [w.astype(dtype) for w in recorded.weights[0]]
    for step, rows in enumerate(recorded.rows):
        if forced:
            theta = [w.astype(dtype) for w in recorded.weights[step]]
        seen = theta
        if rounding is not None:
            rows = rounding.permutation(rows)
            seen = [
                np.nextafter(w, np.where(rounding.random(w.shape) < 0.5, np.inf, -np.inf).astype(dtype)) for w in theta
            ]
        grad = gradient(seen, X[rows], recorded.y[rows], row)
        theta = optimizer(theta, grad, rate_of(row, recorded, step), int(recorded.epoch[step]), len(rows))
        yield theta


@dataclass(frozen=True)
class Left:
    """What a row leaves, as root mean squares.

    `steps`: of each step and tensor, in units of the rounding; `end`: after all steps of a replay that runs free;
    `reach`: how far that one moves when only roundings change, and one unit in the last place of the largest weight.
    """

    steps: np.ndarray
    end: float
    reach: float

    @property
    def worst(self) -> float:
        return float(self.steps.max())


ROUNDINGS = 6


def left(row: Row, recorded: Recorded) -> Left:
    """How far the recorded weights are from a row's replay, step by step, and at the end of one that runs free."""
    with np.errstate(all="ignore"):
        exact = list(walk(row, recorded, "float64"))
        moved = [list(walk(row, recorded, recorded.dtype, rounding=np.random.default_rng(k))) for k in range(ROUNDINGS)]
        *_, end = walk(row, recorded, "float64", forced=False)
        *_, other = walk(row, recorded, recorded.dtype, forced=False, rounding=np.random.default_rng(ROUNDINGS))
        steps = np.array(
            [
                [
                    in_roundings(recorded.weights[step + 1][i], exact[step][i], [walked[step][i] for walked in moved])
                    for i in range(len(end))
                ]
                for step in range(recorded.steps)
            ]
        )
        off, reach = apart(end, recorded.weights[-1]), apart(end, other)
        reach += float(np.finfo(recorded.dtype).eps) * max(float(np.abs(tensor).max()) for tensor in end)
    return Left(np.where(np.isfinite(steps), steps, np.inf), off if np.isfinite(off) else np.inf, reach)


def apart(one: list[np.ndarray], other: list[np.ndarray]) -> float:
    return float(np.sqrt(np.mean(np.concatenate([(a - b).ravel() for a, b in zip(one, other, strict=True)]) ** 2)))


def in_roundings(recorded: np.ndarray, exact: np.ndarray, moved: list[np.ndarray]) -> float:
    """The root mean square of the difference, each element by how far roundings alone move it."""
    floor = np.max([np.abs(other - exact) for other in moved], axis=0)
    floor = floor + np.spacing(np.abs(recorded).max())
    return float(np.sqrt(np.mean(((recorded - exact) / floor) ** 2)))
