"""Every form of every optimizer, for a stack of trainings at once.

The formulas are those of `harness/reference/trainer.py`, in the forms that `harness/conventions/table.py` lists.
"""

from collections.abc import Callable, Sequence

import numpy as np

from harness.reference.optimizers import RULES, State
from harness.replay.training import Member, constant, numbers

SGD = ("sgd", "momentum", "nesterov", "perceptron")
"""One rule: plain SGD is momentum with 0, and Nesterov's differs in its last line."""

Tensors = Callable[[np.ndarray], list[dict[str, np.ndarray]]]


class Optimizer:
    """The state of one optimizer for members of one structure: `m` and `v`, each `(members, n_weights)`.

    `m` is the velocity or the first moment, `v` the sum or the mean of the squares. `tensors` gives the views of the
    single tensors in such a matrix.
    """

    def __init__(self, members: Sequence[Member], like: np.ndarray, tensors: Tensors) -> None:
        self.members, self.tensors, self.dtype = members, tensors, like.dtype
        self.config, self.row = members[0].config, members[0].row
        self.name = "momentum" if self.config.optimizer.name in SGD else self.config.optimizer.name
        adagrad = self.name in ("adagrad", "adagrad_momentum")
        first = constant(members, "initial_accumulator") * adagrad
        self.first_v = np.broadcast_to(self._cast(first), like.shape)
        self.m, self.v = np.zeros_like(like), self.first_v.copy()
        self.state: State = {}
        self.t = self.epoch = 0

    def begin_epoch(self) -> None:
        """Count the epoch, and forget the moments where the row says so."""
        self.epoch += 1
        if self.row.moments_reset == "epoch" and self.name != "momentum":
            self.v = self.first_v.copy()
            if self.name == "adam":
                self.m = np.zeros_like(self.m)

    def step(self, g: np.ndarray, learning_rate: np.ndarray) -> np.ndarray:
        """What every weight is lowered by: `g` is `(members, n_weights)`, `learning_rate` `(members, 1)`."""
        self.t += 1
        rule = {
            "momentum": self._momentum,
            "adagrad": self._adagrad,
            "adagrad_momentum": self._adagrad_momentum,
            "rmsprop": self._rmsprop,
            "adam": self._adam,
        }.get(self.name, self._reference)
        return rule(g, learning_rate)

    def _reference(self, g: np.ndarray, rate: np.ndarray) -> np.ndarray:
        """The reference's own rule, for an optimizer that has one form; each constant is a column of the members'."""
        kind = type(self.config.optimizer)
        numbers = {
            each.field: self._cast(np.array([getattr(member.config.optimizer, each.field) for member in self.members]))
            for each in kind.constants()
        }
        return RULES[kind](kind(**numbers), self.state, g, rate, self.t)  # type: ignore[arg-type]

    def _cast(self, values: np.ndarray) -> np.ndarray:
        """Numbers of the members, `(members, 1)`, rounded once to the dtype of the weights."""
        cast: np.ndarray = values.astype(self.dtype)[:, None]
        return cast

    def _momentum(self, g: np.ndarray, rate: np.ndarray) -> np.ndarray:
        heavy = np.array([member.config.optimizer.name in ("momentum", "nesterov") for member in self.members])
        mass = constant(self.members, "momentum") * heavy
        m = self._cast(mass)
        if self.row.momentum_form == "inside":
            self.m = m * self.m - rate * g
            return -(m * self.m - rate * g) if self.row.nesterov else -self.m
        self.m = m * self.m + (self._cast(1 - mass) * g if self.row.momentum_form == "dampened" else g)
        lowered: np.ndarray = rate * (g + m * self.m) if self.row.nesterov else rate * self.m
        return lowered

    def _adagrad(self, g: np.ndarray, rate: np.ndarray) -> np.ndarray:
        squares = g * g
        if self.row.accumulator == "row":
            for layer in self.tensors(squares):
                for tensor in layer.values():
                    tensor[...] = tensor.sum(axis=-1, keepdims=True)
        self.v = self.v + squares
        lowered: np.ndarray = rate * g / self._root(self.v)
        return lowered

    def _adagrad_momentum(self, g: np.ndarray, rate: np.ndarray) -> np.ndarray:
        self.m = self._cast(constant(self.members, "momentum")) * self.m + self._adagrad(g, rate)
        return self.m

    def _rmsprop(self, g: np.ndarray, rate: np.ndarray) -> np.ndarray:
        rho = numbers(self.members, lambda member: member.config.value("rho"))
        self.v = self._cast(rho) * self.v + self._cast(1 - rho) * g * g
        lowered: np.ndarray = rate * g / self._root(self.v)
        return lowered

    def _adam(self, g: np.ndarray, rate: np.ndarray) -> np.ndarray:
        beta_1 = numbers(self.members, lambda member: member.config.value("beta_1"))
        beta_2 = numbers(self.members, lambda member: member.config.value("beta_2"))
        self.m = self._cast(beta_1) * self.m + self._cast(1 - beta_1) * g
        self.v = self._cast(beta_2) * self.v + self._cast(1 - beta_2) * g * g
        first, second = self._correction("beta_1"), self._correction("beta_2")
        lowered: np.ndarray
        if self.row.epsilon_place == "hat":
            lowered = rate * np.sqrt(second) / first * self.m / self._root(self.v)
        else:
            lowered = rate * (self.m / first) / self._root(self.v / second)
        return lowered

    def _correction(self, name: str) -> np.ndarray:
        """`1 - beta**t`, `(members, 1)`. Python's power, as in the reference: NumPy's may differ in the last bit."""
        t = {"step": self.t, "epoch": self.epoch, "none": np.inf}[self.row.bias_correction]
        return self._cast(np.array([1 - beta**t for beta in constant(self.members, name).tolist()]))

    def _root(self, v: np.ndarray) -> np.ndarray:
        """The denominator of a step."""
        epsilon = self._cast(numbers(self.members, lambda member: member.config.value("epsilon")))
        root: np.ndarray = np.sqrt(v + epsilon) if self.row.epsilon_place == "inside" else np.sqrt(v) + epsilon
        return root
