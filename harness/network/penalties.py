"""What is added to the loss for the size of the weights, and how gradients are bounded."""

from dataclasses import dataclass

from harness.network.vocabulary import Entry, by_name, number


@dataclass(frozen=True, slots=True)
class Penalty(Entry):
    """`(l2 / 2) * sum(W**2) + l1 * sum(abs(W))` over the weight matrices, never over biases, gamma or beta.

    It is added to the loss of a batch whatever the batch; sign(0) is 0.
    """

    name = "penalty"
    l2: float = number(
        0.0, "adds `(l2/2) * sum(W**2)` to the loss, whatever the batch; never for biases", least=0, member=True
    )
    l1: float = number(
        0.0,
        "adds `l1 * sum(abs(W))` to the loss, whatever the batch; never for biases",
        least=0,
        member=True,
        part=True,
    )


NO_PENALTY = Penalty()


class Clipping(Entry):
    """A bound of the gradients, penalties included."""

    __slots__ = ()
    limit: float


@dataclass(frozen=True, slots=True)
class ClipNorm(Clipping):
    """`g * min(1, limit / norm)`, the norm over all tensors together. Source: Pascanu, Mikolov and Bengio, 2013."""

    name = "clip_norm"
    limit: float = number(
        None,
        "bound of the gradient's norm over all tensors together, penalties included",
        key="clip_norm",
        above=0,
        member=True,
    )


@dataclass(frozen=True, slots=True)
class ClipValue(Clipping):
    """Every element of `g` within `-limit` and `limit`."""

    name = "clip_value"
    limit: float = number(
        None,
        "bound of each element of the gradient, penalties included; in place of `clip_norm`",
        key="clip_value",
        above=0,
        member=True,
    )


CLIPPINGS = by_name(Clipping, vars())
