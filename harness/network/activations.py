"""Activations: what stands between two layers, and at the output of a regression."""

from dataclasses import dataclass
from typing import ClassVar

from harness.network.layers import Layer
from harness.network.vocabulary import by_name, number

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
"""The constants of `selu`. Source: Klambauer et al., "Self-normalizing neural networks", 2017."""


class Activation(Layer):
    """A function of each number of a layer; the derivative at a kink is the left one (0 for relu at 0).

    `hidden` says that it can stand between two layers.
    """

    __slots__ = ()
    hidden: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Identity(Activation):
    """`z`."""

    name = "identity"


@dataclass(frozen=True, slots=True)
class Sigmoid(Activation):
    """`1 / (1 + exp(-z))`."""

    name = "sigmoid"


@dataclass(frozen=True, slots=True)
class Tanh(Activation):
    """`tanh(z)`."""

    name = "tanh"


@dataclass(frozen=True, slots=True)
class ReLU(Activation):
    """`max(z, 0)`. Source: Nair and Hinton, 2010."""

    name = "relu"


@dataclass(frozen=True, slots=True)
class LeakyReLU(Activation):
    """`z` above 0, else `slope * z`. Source: Maas et al., 2013."""

    name = "leaky_relu"
    slope: float = number(0.01, "its slope below 0", key="leaky_slope", least=0)


@dataclass(frozen=True, slots=True)
class ELU(Activation):
    """`z` above 0, else `alpha * (exp(z) - 1)`. Source: Clevert et al., 2016."""

    name = "elu"
    alpha: float = number(1.0, "minus its limit far below 0", key="elu_alpha", above=0)


@dataclass(frozen=True, slots=True)
class SELU(Activation):
    """`SELU_SCALE` times an ELU of `SELU_ALPHA`. Source: Klambauer et al., 2017."""

    name = "selu"


@dataclass(frozen=True, slots=True)
class Softplus(Activation):
    """`log(1 + exp(z))`. Source: Dugas et al., 2001."""

    name = "softplus"


@dataclass(frozen=True, slots=True)
class Softmax(Activation):
    """`exp(z) / sum(exp(z))` over the outputs of a row."""

    name = "softmax"
    hidden = False


@dataclass(frozen=True, slots=True)
class Heaviside(Activation):
    """1 above 0, else 0: the perceptron's answer."""

    name = "heaviside"
    hidden = False


ACTIVATIONS = by_name(Activation, vars())
