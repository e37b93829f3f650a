"""Optimizers: each with its rule for a tensor `w`.

`g` is the gradient, penalties included, `lr` the learning rate of the step, `t` the step from 1; states begin with 0
unless another value is said.
"""

from dataclasses import dataclass

from harness.network.vocabulary import Entry, by_name, number


def _learning_rate() -> float:
    rate: float = number(None, "at the first step; `schedule` says how it goes on", above=0, member=True)
    return rate


def _momentum() -> float:
    rate: float = number(0.9, "`v = momentum * v + g`", least=0, below=1, member=True)
    return rate


def _epsilon() -> float:
    epsilon: float = number(1e-8, "stands outside the root", above=0, member=True)
    return epsilon


def _initial_accumulator() -> float:
    first: float = number(0.0, "the sum of squares before the first step", least=0, member=True)
    return first


class Optimizer(Entry):
    """How a tensor is moved against its gradient."""

    __slots__ = ()
    learning_rate: float


@dataclass(frozen=True, slots=True)
class SGD(Optimizer):
    """`w -= lr * g`."""

    name = "sgd"
    learning_rate: float = _learning_rate()


@dataclass(frozen=True, slots=True)
class Momentum(Optimizer):
    """Heavy ball: `v = m * v + g; w -= lr * v`. Source: Polyak, 1964."""

    name = "momentum"
    learning_rate: float = _learning_rate()
    momentum: float = _momentum()


@dataclass(frozen=True, slots=True)
class Nesterov(Optimizer):
    """`v = m * v + g; w -= lr * (g + m * v)`. Source: Sutskever et al., 2013, rewritten as Bengio et al., 2013."""

    name = "nesterov"
    learning_rate: float = _learning_rate()
    momentum: float = _momentum()


@dataclass(frozen=True, slots=True)
class Adagrad(Optimizer):
    """`G += g**2; w -= lr * g / (sqrt(G) + eps)`. Source: Duchi, Hazan and Singer, 2011."""

    name = "adagrad"
    learning_rate: float = _learning_rate()
    initial_accumulator: float = _initial_accumulator()
    epsilon: float = _epsilon()


@dataclass(frozen=True, slots=True)
class AdagradMomentum(Optimizer):
    """`G += g**2; v = m * v + lr * g / (sqrt(G) + eps); w -= v`: Adagrad with a memory, as course notes have it."""

    name = "adagrad_momentum"
    learning_rate: float = _learning_rate()
    momentum: float = _momentum()
    initial_accumulator: float = _initial_accumulator()
    epsilon: float = _epsilon()

    @classmethod
    def title(cls) -> str:
        """What a sentence calls it."""
        return "Adagrad with momentum"


@dataclass(frozen=True, slots=True)
class RMSprop(Optimizer):
    """`v = rho * v + (1 - rho) * g**2; w -= lr * g / (sqrt(v) + eps)`. Source: Tieleman and Hinton, 2012."""

    name = "rmsprop"
    learning_rate: float = _learning_rate()
    rho: float = number(0.9, "`v = rho * v + (1 - rho) * g**2`", least=0, below=1, member=True)
    epsilon: float = _epsilon()


@dataclass(frozen=True, slots=True)
class Adam(Optimizer):
    """`w -= lr * m_hat / (sqrt(v_hat) + eps)`, both bias-corrected. Source: Kingma and Ba, 2015, Algorithm 1."""

    name = "adam"
    learning_rate: float = _learning_rate()
    beta_1: float = number(0.9, "`m = beta_1 * m + (1 - beta_1) * g`", least=0, below=1, member=True)
    beta_2: float = number(0.999, "`v = beta_2 * v + (1 - beta_2) * g**2`", least=0, below=1, member=True)
    epsilon: float = _epsilon()


@dataclass(frozen=True, slots=True)
class Perceptron(Optimizer):
    """`w -= lr * x * (step(z) - y)` with targets 0 and 1 and step(0) = 0. Source: Rosenblatt, 1958."""

    name = "perceptron"
    learning_rate: float = _learning_rate()


OPTIMIZERS = by_name(Optimizer, vars())
