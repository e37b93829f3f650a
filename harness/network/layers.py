"""Layers: each says the shape of its output, and what it owns."""

from dataclasses import dataclass
from typing import ClassVar

from harness.network.vocabulary import Entry, number

Shape = tuple[int, ...]
"""Of one row: `(64,)`."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """An array that a layer owns: its shape, its start, whether penalties count it, and whether it is trained.

    `init` is a number, or "weights" or "biases": the law that the experiment has for these. `fans` are how many numbers
    go into one unit and come out for one input, which laws divide by: `(n_in, n_out)`. `inputs` is the axis along which
    the inputs of the layer lie, None where the array has none.
    """

    shape: Shape
    init: float | str = 0.0
    penalised: bool = False
    trainable: bool = True
    fans: tuple[int, int] = (1, 1)
    inputs: int | None = None


class Layer(Entry):
    """A layer of a network. What it is not told otherwise it leaves as it comes, and it owns nothing.

    `mixes` says that each output depends on all inputs: where these stand is not seen behind it.
    """

    __slots__ = ()
    mixes: ClassVar[bool] = False

    @classmethod
    def key_of(cls, field: str) -> str:
        """With the layer's name before it: `maxout_pieces`."""
        return f"{cls.name}_{field}"

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
    mixes = True
    units: int
    use_bias: bool = True

    def output_shape(self, shape: Shape) -> Shape:
        """`(units,)`."""
        return (self.units,)

    def parameters(self, shape: Shape) -> dict[str, Parameter]:
        """`W`, which penalties count, and `b`."""
        fans = (shape[-1], self.units)
        owned = {"W": Parameter(fans, "weights", penalised=True, fans=fans, inputs=0)}
        return owned | ({"b": Parameter((self.units,), "biases", fans=fans)} if self.use_bias else {})


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
            "gamma": Parameter(shape, 1.0, inputs=0),
            "beta": Parameter(shape, inputs=0),
            "mean": Parameter(shape, trainable=False, inputs=0),
            "variance": Parameter(shape, 1.0, trainable=False, inputs=0),
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
