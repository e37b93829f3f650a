"""Losses: each says what stands at the network's output, and which tasks it trains."""

from dataclasses import dataclass
from typing import ClassVar

from harness.network.activations import Activation, Heaviside, Identity, ReLU, Sigmoid, Softmax, Softplus, Tanh
from harness.network.vocabulary import Entry, by_name, number

IDENTITY = Identity()

OUTPUTS: tuple[type[Activation], ...] = (Identity, ReLU, Softplus, Sigmoid, Tanh)
"""What can stand at the outputs of a regression."""


class Loss(Entry):
    """The mean over the outputs of a row's loss; `tasks` are those that it trains, `o` the outputs, `e = o - y`."""

    __slots__ = ()
    tasks: ClassVar[tuple[str, ...]]
    output: Activation


@dataclass(frozen=True, slots=True)
class CrossEntropy(Loss):
    """`-log softmax(z)[y]`."""

    name = "cross_entropy"
    tasks = ("multiclass",)
    output = Softmax()


@dataclass(frozen=True, slots=True)
class BinaryCrossEntropy(Loss):
    """`-y log(o) - (1 - y) log(1 - o)`, a logistic unit an output."""

    name = "binary_cross_entropy"
    tasks = ("binary", "multilabel")
    output = Sigmoid()


@dataclass(frozen=True, slots=True)
class MSE(Loss):
    """`e**2`, without a half."""

    name = "mse"
    tasks = ("regression",)
    output: Activation = IDENTITY


@dataclass(frozen=True, slots=True)
class MAE(Loss):
    """`abs(e)`, with sign(0) = 0."""

    name = "mae"
    tasks = ("regression",)
    output: Activation = IDENTITY


@dataclass(frozen=True, slots=True)
class Huber(Loss):
    """`e**2 / 2` up to `delta`, then `delta * (abs(e) - delta / 2)`. Source: Huber, 1964."""

    name = "huber"
    tasks = ("regression",)
    output: Activation = IDENTITY
    delta: float = number(1.0, "where the Huber loss turns linear", key="huber_delta", above=0)


@dataclass(frozen=True, slots=True)
class PerceptronLoss(Loss):
    """The perceptron rule's own: its error is `step(z) - y`. Source: Rosenblatt, 1958."""

    name = "perceptron"
    tasks = ()
    output = Heaviside()


LOSSES = by_name(Loss, vars())
