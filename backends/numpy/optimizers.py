"""Optimizers for the NumPy backend: a few in-place operations on matrices `(members, parameters)`.

A rule takes the state, the constants of the members, and the learning rates and epsilons of its step. Where the
rules come from stands in `harness/reference/trainer.py`.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import repeat

import numpy as np

from harness import network
from harness.contract import Config


class Constants:
    """The numbers in which members differ, each a column `(members, 1)` that was rounded once to the network's dtype.

    `exact` holds in float64 those that go through a formula before they are rounded.
    """

    def __init__(self, configs: Sequence[Config]) -> None:
        def exact(name: str) -> np.ndarray:
            return np.array([[config.value(name)] for config in configs], np.float64)  # nan for None

        def rounded(values: np.ndarray) -> np.ndarray:
            return values.astype(configs[0].dtype)

        self.exact = {name: exact(name) for name in ("l2", "l1", "clip_norm", "beta_1", "beta_2", "epsilon")}
        self.l2, self.l1, self.clip_value = map(rounded, map(exact, ("l2", "l1", "clip_value")))
        self.initial, self.epsilon = map(rounded, map(exact, ("initial_accumulator", "epsilon")))
        self.momentum, self.rho, self.new_rho = map(rounded, (exact("momentum"), exact("rho"), 1 - exact("rho")))
        self.beta_1, self.new_1 = rounded(exact("beta_1")), rounded(1 - exact("beta_1"))
        self.beta_2, self.new_2 = rounded(exact("beta_2")), rounded(1 - exact("beta_2"))
        rates = np.array([[layer.rate for layer in config.network.dropouts] for config in configs])
        self.dropout_factors = rounded(1 / (1 - rates.T))[..., None, None]  # `(masks, members, 1, 1)`


class State:
    """What an optimizer reads and changes, `(members, parameters)` each; `scratch` is anybody's."""

    def __init__(self, members: int, parameters: int, config: Config, constants: Constants) -> None:
        self.w, self.g, self.v, self.squares, self.scratch = np.zeros((5, members, parameters), config.dtype)
        if isinstance(config.optimizer, network.Adagrad | network.AdagradMomentum):
            self.squares += constants.initial

    def take_over(self, other: "State", kept: np.ndarray) -> None:
        """The rows of another state where `kept` is True."""
        self.w[...], self.v[...], self.squares[...] = other.w[kept], other.v[kept], other.squares[kept]


def is_plain(config: Config) -> bool:
    """Whether the step is the gradient times the learning rate, which can then be in the error from the start."""
    return isinstance(config.optimizer, network.SGD | network.Perceptron) and config.clipping is None


Columns = Iterable[np.ndarray | None]


def step_factors(
    config: Config, constants: Constants, learning_rate: np.ndarray, lengths: np.ndarray, t: int
) -> tuple[Columns, Columns, Columns, Columns, Columns]:
    """What the steps of an epoch multiply by: five columns `(members, 1)` for each step, rounded once from float64.

    They are the factors of the error (the derivative of a row's loss; `(members, 1, 1)`), of `W` and of `sign(W)` in
    the penalties, and the learning rate and epsilon of the rule. Learning rates are `(members, steps)`, `lengths` are
    those of the batches, and `t` counts the steps before.
    """
    dtype, exact, rate = config.dtype, constants.exact, learning_rate.T[:, :, None]
    outputs = 1 if config.task == "multiclass" else config.network.n_outputs
    divisors = outputs * (lengths if config.reduction == "mean" else np.ones_like(lengths))[:, None, None]
    if is_plain(config):
        l2, l1 = ((rate * exact[name]).astype(dtype) for name in ("l2", "l1"))
        return (rate / divisors)[..., None].astype(dtype), l2, l1, repeat(None), repeat(None)
    epsilon: Columns = repeat(constants.epsilon)
    if isinstance(config.optimizer, network.Adam):
        # m_hat / (sqrt(v_hat) + eps) = m * root / (1 - beta_1**t) / (sqrt(v) + eps * root)
        steps = np.arange(t + 1, t + 1 + len(lengths))[:, None, None]
        root = np.sqrt(1 - exact["beta_2"] ** steps)
        rate, epsilon = rate * root / (1 - exact["beta_1"] ** steps), (exact["epsilon"] * root).astype(dtype)
    error = (1 / divisors)[..., None].astype(dtype)
    return error, repeat(constants.l2), repeat(constants.l1), rate.astype(dtype), epsilon


Rule = Callable[[State, Constants, np.ndarray, np.ndarray], None]


def plain(s: State, c: Constants, rate: np.ndarray, epsilon: np.ndarray) -> None:
    """`w -= g`, for a gradient that has its learning rate already."""
    s.w -= s.g


def sgd(s: State, c: Constants, rate: np.ndarray, epsilon: np.ndarray) -> None:
    """`w -= lr * g`."""
    s.g *= rate
    s.w -= s.g


def momentum(s: State, c: Constants, rate: np.ndarray, epsilon: np.ndarray) -> None:
    """`v = m*v + g; w -= lr * v`."""
    s.v *= c.momentum
    s.v += s.g
    s.w -= np.multiply(s.v, rate, out=s.scratch)


def nesterov(s: State, c: Constants, rate: np.ndarray, epsilon: np.ndarray) -> None:
    """`v = m*v + g; w -= lr * (g + m*v)`."""
    s.v *= c.momentum
    s.v += s.g
    s.g += np.multiply(s.v, c.momentum, out=s.scratch)
    s.g *= rate
    s.w -= s.g


def adagrad(s: State, c: Constants, rate: np.ndarray, epsilon: np.ndarray) -> None:
    """`G += g**2; w -= lr * g / (sqrt(G) + epsilon)`."""
    s.squares += np.square(s.g, out=s.scratch)
    s.w -= _scaled(s, s.g, rate, epsilon)


def adagrad_momentum(s: State, c: Constants, rate: np.ndarray, epsilon: np.ndarray) -> None:
    """`G += g**2; v = m*v + lr * g / (sqrt(G) + epsilon); w -= v`."""
    s.squares += np.square(s.g, out=s.scratch)
    s.v *= c.momentum
    s.v += _scaled(s, s.g, rate, epsilon)
    s.w -= s.v


def rmsprop(s: State, c: Constants, rate: np.ndarray, epsilon: np.ndarray) -> None:
    """`G = rho*G + (1 - rho)*g**2; w -= lr * g / (sqrt(G) + epsilon)`."""
    _remember_squares(s, c.rho, c.new_rho)
    s.w -= _scaled(s, s.g, rate, epsilon)


def adam(s: State, c: Constants, rate: np.ndarray, epsilon: np.ndarray) -> None:
    """`w -= lr * m_hat / (sqrt(v_hat) + epsilon)`; the corrections of both moments are in `rate` and `epsilon`."""
    s.v *= c.beta_1
    s.v += np.multiply(s.g, c.new_1, out=s.scratch)
    _remember_squares(s, c.beta_2, c.new_2)
    s.w -= _scaled(s, s.v, rate, epsilon)


def _remember_squares(s: State, kept: np.ndarray, new: np.ndarray) -> None:
    """`G = kept*G + new*g**2`."""
    s.squares *= kept
    np.multiply(s.g, new, out=s.scratch)
    s.scratch *= s.g
    s.squares += s.scratch


def _scaled(s: State, step: np.ndarray, rate: np.ndarray, epsilon: np.ndarray) -> np.ndarray:
    """`rate * step / (sqrt(G) + epsilon)`, in place of the gradient."""
    np.sqrt(s.squares, out=s.scratch)
    s.scratch += epsilon
    np.multiply(step, rate, out=s.g)
    s.g /= s.scratch
    return s.g


RULES: dict[type[network.Optimizer], Rule] = {
    network.SGD: sgd,
    network.Momentum: momentum,
    network.Nesterov: nesterov,
    network.Adagrad: adagrad,
    network.AdagradMomentum: adagrad_momentum,
    network.RMSprop: rmsprop,
    network.Adam: adam,
    network.Perceptron: sgd,  # the same step along another error: `(z > 0) - y`
}
