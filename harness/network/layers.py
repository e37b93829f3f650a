"""Layers: each says the shape of its output, and what it owns."""

from dataclasses import dataclass

from harness.network.vocabulary import Entry, number

Shape = tuple[int, ...]
"""Of one row: `(64,)`."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """An array that a layer owns: its shape, its start, whether penalties count it, and whether it is trained.

    `init` is a number, or "weights" or "biases": the law that the experiment has for these.
    """

    shape: Shape
    init: float | str = 0.0
    penalised: bool = False
    trainable: bool = True


class Layer(Entry):
    """A layer of a network. What it is not told otherwise it leaves as it comes, and it owns nothing."""

    __slots__ = ()

    def output_shape(self, shape: Shape) -> Shape:
        """The shape of one row behind the layer, whose input has `shape`."""
        return shape

    def parameters(self, shape: Shape) -> dict[str, Parameter]:
        """What the layer owns: name -> shape and kind, for an input of `shape`."""
        return {}


@dataclass(frozen=True, slots=True)
class Dense(Layer):
    """`a W + b`, `W` `(n_in, n_out)`, `b` `(n_out,)`."""

    name = "dense"
    units: int
    use_bias: bool = True

    def output_shape(self, shape: Shape) -> Shape:
        """`(units,)`."""
        return (self.units,)

    def parameters(self, shape: Shape) -> dict[str, Parameter]:
        """`W`, which penalties count, and `b`."""
        owned = {"W": Parameter((shape[-1], self.units), "weights", penalised=True)}
        return owned | ({"b": Parameter((self.units,), "biases")} if self.use_bias else {})


@dataclass(frozen=True, slots=True)
class BatchNorm(Layer):
    """`gamma * (z - mean) / sqrt(variance + epsilon) + beta`.

    In training with the batch's own mean and biased variance, otherwise with the running ones,
    `running = momentum * running + (1 - momentum) * batch`. Source: Ioffe and Szegedy, 2015.
    """

    name = "batch_norm"
    momentum: float = number(
        0.9,
        "of the running moments: `running = momentum * running + (1 - momentum) * batch`",
        key="batch_norm_momentum",
        least=0,
        below=1,
    )
    epsilon: float = number(1e-5, "added to the variance, under the root", key="batch_norm_epsilon", above=0)

    def parameters(self, shape: Shape) -> dict[str, Parameter]:
        """`gamma` and `beta`, and the running `mean` and `variance`, which are not trained."""
        return {
            "gamma": Parameter(shape, 1.0),
            "beta": Parameter(shape),
            "mean": Parameter(shape, trainable=False),
            "variance": Parameter(shape, 1.0, trainable=False),
        }


@dataclass(frozen=True, slots=True)
class Dropout(Layer):
    """Drops each number with probability `rate` in training; what is kept is divided by `1 - rate`.

    Source: Srivastava et al., 2014, here inverted.
    """

    name = "dropout"
    rate: float = number(
        0.0, "the rate at which units are dropped", key="dropout", least=0, below=1, member=True, part=True
    )
